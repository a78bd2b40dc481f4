"""Replies in a terminal: what stands there for good, what is drawn over, and what never gets there."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from random import Random
from typing import Any

import pytest
from IPython import version_info
from rich.console import Console
from rich.text import Text

from hostile import REPLIES
from nbchat import Chat, ProviderError, Reply
from nbchat.display import Look, TextView, show
from nbchat.display.controls import harmless
from nbchat.display.look import View
from nbchat.display.pacing import Pace
from nbchat.display.screen import ScreenView
from nbchat.display.terminal import view as suitable_view
from nbchat.display.wrapping import columns, wrapped
from nbchat.errors import ReplyCutOff
from nbchat.history import Turn
from nbchat.messages import Notice, Reasoning
from nbchat.testing import ScriptedProvider
from screens import Screen
from shells import RaisingShell

MARKDOWN = """# Sorting a `Vec<String>`

Use **`sort`**, *not* ~~that~~; see [the docs](https://doc.example/vec) or https://example.org/a?b=c.
It costs $5 and $10, and \\(x^2\\) is [red]no colour[/red] :smile: <b>x</b>.

- one
- two `code`
  1. an item that goes on until it has to be broken near the margin of the screen
  2. second

- [x] done

> A quote of
> two lines
>
> - with a list

```python
def hello(name: str) -> None:  # a line that is longer than the screen is wide, and is left to the terminal to break
\treturn None

```

```
no language
```

| Name | 値段 |
|:-----|----:|
| りんご | 100 |
| pear | a long text, longer than its column |

$$
\\int_0^1 x\\,dx
$$

---

3. three

مرحبا with the end
"""

SHOWN = """\
Sorting a Vec<String>

Use sort, not that; see the docs
(https://doc.example/vec) or
https://example.org/a?b=c. It costs $5
and $10, and x^2 is [red]no colour[/red]
:smile: <b>x</b>.

• one

• two code

  1. an item that goes on until it has
     to be broken near the margin of the
     screen
  2. second

☑ done

│ A quote of two lines
│
│ • with a list

python
def hello(name: str) -> None:  # a line
that is longer than the screen is wide,
and is left to the terminal to break
    return None


no language

Name                                値段
──────  ────────────────────────────────
りんご                               100
pear        a long text, longer than its
                                  column

  \\int_0^1 x\\,dx

────────────────────────────────────────

3. three

مرحبا with the end

m · p · 0.0 s · 689 characters"""

STEERING = {
    "colours": "\x1b[31mred\x1b[0m",
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;title\x07",
    "link": "\x1b]8;;https://evil.example/\x1b\\harmless\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "answer": "\x1bP$qm\x1b\\ \x1b[c \x1b[6n",
    "eight bits": "\x9b31m \x9d52;c;cm0gLXJm\x9c \x90$qm\x9c \x85",
    "overwriting": "rm -rf /\rls      \nrm\b\bls",
    "others": "".join(map(chr, range(0x20))) + "\x7f",
    "entities": "&#27;[2J &#x1b;[2J &#x9b;2J &#13;x &#8;x &#7;",
    "in code": "```\n\x1b[2J\r\x07\n```\n",
    "in a language": "```python\nx = '\x1b[2J'  # \x9b2J\n```\n",
    "in a fence": "```\x1b[2J\nx\n```\n",
    "in a link": "[a\x1b[2J](https://evil.example/\x1b[2J) <https://evil.example/\x9b2J>",
    "in a table": "| \x1b[2J |\n|---|\n| \x9b2J\b |\n",
    "in a formula": "\\(\x1b[2J\\)\n\n$$\n\x1b[2J\n$$\n",
    "half characters": "\ud83d \udc00",
}


@pytest.fixture
def screen() -> Screen:
    return Screen()


def view_on(screen: Screen, look: Look = Look(), **options: Any) -> ScreenView:
    console = Console(
        file=screen,
        force_terminal=True,
        color_system="standard",
        width=screen.width,
        height=screen.height,
        _environ={"TERM": "xterm"},
        **options,
    )
    return ScreenView(look, console)


def reply_of(*chunks: Any, model: str = "m") -> Reply:
    """A reply that is under way."""
    reply = Reply(Turn("hello", model, "p", status="streaming"))
    for chunk in chunks:
        reply._feed(chunk)
    return reply


def draw(view: Any, reply: Reply) -> None:
    """Draw a frame now, whenever the last one was."""
    view._pace = Pace()
    view.draw(reply)


def end(view: View, reply: Reply) -> None:
    """End a reply in no time, and draw its final form."""
    reply._end("done")
    reply.turn.seconds = 0
    view.end(reply)


def pieces(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def shown_at_once(text: str, **size: int) -> str:
    screen = Screen(**size)
    end(view_on(screen), reply_of(text))
    return screen.text


def test_a_reply_is_shown_as_markdown() -> None:
    assert shown_at_once(MARKDOWN, width=40) == SHOWN


@pytest.mark.parametrize("height", [5, 24])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_what_stands_there_in_the_end_does_not_tell_how_it_came(size: int, height: int) -> None:
    """Nothing is left of any frame, and nothing is missing that was drawn over."""
    screen = Screen(40, height)
    view, reply = view_on(screen), reply_of()
    draw(view, reply)
    for piece in pieces(MARKDOWN, size):
        reply._feed(piece)
        draw(view, reply)
    end(view, reply)
    assert screen.text == SHOWN
    assert screen.is_as_it_was


def test_a_finished_block_is_printed_once_and_the_open_one_stands_below(screen: Screen) -> None:
    view, reply = view_on(screen), reply_of("First *block*.\n\nSecond\n**blo")
    draw(view, reply)
    assert screen.text == "First block.\n\nSecond blo"
    for piece in pieces("ck** goes on and on.", 1):
        reply._feed(piece)
        draw(view, reply)
    end(view, reply)
    assert screen.text.startswith("First block.\n\nSecond block goes on and on.\n\n")
    assert screen.sent.count("First") == 1
    assert screen.sent.count("Second") > 10


def test_a_frame_comes_only_if_something_has_changed(screen: Screen) -> None:
    view, reply = view_on(screen), reply_of("text")
    draw(view, reply)
    sent = screen.sent
    draw(view, reply)
    assert screen.sent == sent


def test_a_block_that_is_higher_than_the_screen_shows_its_last_lines() -> None:
    screen = Screen(40, 6)
    view, reply = view_on(screen), reply_of("```\n" + "".join(f"line {number}\n" for number in range(20)))
    draw(view, reply)
    assert screen.text.split() == ["line", "16", "line", "17", "line", "18", "line", "19"]
    end(view, reply)
    assert [f"line {number}" for number in range(20)] == screen.text.splitlines()[:20]


ATOMS = [
    *"ab.- \n\u3000\u200d\ufe0f\u0301\u05d0\u26a0\U0001fae9\U0001f6d8値。",
    "word",
    "段落",
    "👨‍👩‍👧",
    "⚠️",
    "e\u0301",
    "  ",
]


@pytest.mark.parametrize("seed", range(20))
def test_broken_lines_hold_all_words_and_none_is_too_long(seed: int) -> None:
    chance = Random(seed)
    for _ in range(100):
        text = "".join(chance.choices(ATOMS, k=chance.randrange(80)))
        width = chance.randrange(3, 30)
        lines = [line.plain for line in wrapped(Text.assemble((text, "bold")), width)]
        assert "".join("".join(lines).split()) == "".join(text.split())
        assert all(columns(line) <= width for line in lines)


def test_lines_are_broken_between_words_and_in_scripts_without_spaces_anywhere_but_before_a_full_stop() -> None:
    assert [line.plain for line in wrapped(Text("some words, and averylongone"), 8)] == [
        "some",
        "words,",
        "and",
        "averylon",
        "gone",
    ]
    assert [line.plain for line in wrapped(Text("a 値段段落。 b"), 9)] == ["a 値段段", "落。 b"]


def test_characters_that_a_terminal_makes_wider_than_we_take_them_leave_nothing_behind() -> None:
    screen = Screen(20, 10)
    view, reply = view_on(screen), reply_of()
    for piece in pieces("\u2192" * 40, 3):
        reply._feed(piece)
        screen.wide = "\u2192"
        draw(view, reply)
    reply._end("stopped")
    view.end(reply)
    assert screen.text.count("\u2192") == 40
    assert screen.is_as_it_was


def test_the_screen_may_become_narrower_and_lower() -> None:
    screen = Screen(80, 24)
    view, reply = view_on(screen), reply_of("word " * 30)
    draw(view, reply)
    view._console.size = (30, 5)
    screen.width, screen.height = 30, 5
    draw(view, reply)
    assert max(map(len, screen.text.splitlines())) <= 30
    end(view, reply)
    assert screen.text.count("word") == 30


def test_a_line_says_who_is_asked_until_text_comes(screen: Screen) -> None:
    view, reply = view_on(screen), reply_of()
    draw(view, reply)
    assert screen.text == "m · p · 0 s · asking"
    reply._feed(Notice("busy, retrying in 4 s"))
    draw(view, reply)
    assert screen.text == "m · p · 0 s · busy, retrying in 4 s"
    reply._feed("text")
    draw(view, reply)
    assert screen.text == "text"


def test_the_line_takes_one_row(screen: Screen) -> None:
    view, reply = view_on(screen), reply_of(Notice("値段\n" * 100), model="m" * 70)
    draw(view, reply)
    assert len(screen.text.splitlines()) == 1
    assert screen.text.endswith("…")


def test_reasoning_stands_above_cut_short(screen: Screen) -> None:
    view, reply = view_on(screen), reply_of(Reasoning("I think so. " * 100))
    draw(view, reply)
    assert "thinking: … hink so. I think so." in screen.text
    reply._feed("The answer.")
    draw(view, reply)
    end(view, reply)
    *thoughts, empty, answer, _, caption = screen.text.splitlines()
    assert thoughts[0].startswith("Reasoning, 1,200 characters: I think so. I think")
    assert thoughts[2].endswith(" …")
    assert (len(thoughts), empty, answer, caption) == (3, "", "The answer.", "m · p · 0.0 s · 11 characters")


def test_short_reasoning_is_whole_even_without_an_answer(screen: Screen) -> None:
    end(view_on(screen), reply_of(Reasoning("I *think*\nso.")))
    assert screen.text.startswith("Reasoning, 13 characters: I *think* so.\n\nm · p")


def test_a_prompt_that_stands_nowhere_else_is_shown_above(screen: Screen) -> None:
    end(view_on(screen, Look(prompt="what *is*\nit?")), reply_of("It."))
    assert screen.text.startswith("│ what *is*\n│ it?\n\nIt.\n\nm · p")


def test_without_streaming_the_text_comes_at_the_end(screen: Screen) -> None:
    view, reply = view_on(screen, Look(stream=False)), reply_of("**text**")
    draw(view, reply)
    assert "text" not in screen.text
    assert "m · p · 0 s" in screen.text
    end(view, reply)
    assert screen.text == "text\n\nm · p · 0.0 s · 8 characters"


def test_the_last_line_says_how_it_went(screen: Screen) -> None:
    view, reply = view_on(screen), reply_of("half")
    draw(view, reply)
    reply._end("failed", ReplyCutOff("ended early"))
    view.end(reply)
    assert screen.text.startswith("half\n\nm · p · ")
    assert screen.text.endswith("· cut off after 4 characters")
    assert screen.is_as_it_was


def test_an_interrupt_between_a_block_and_its_printing_loses_nothing(screen: Screen) -> None:
    view, reply = view_on(screen), reply_of("First.\n\nSecond.\n\nThird.\n\nFo")
    view._live.update(reply.text)  # has sealed what was never printed
    end(view, reply)
    assert screen.text.startswith("First.\n\nSecond.\n\nThird.\n\nFo\n\nm · p")


def test_a_table_that_comes_in_parts_keeps_its_columns() -> None:
    rows = [f"| row {number:03} | {'long words ' * (number % 3)} | {number} |\n" for number in range(200)]
    screen = Screen(60, 10)
    view, reply = view_on(screen), reply_of("| a | b | c |\n|---|---|--:|\n")
    for row in rows:
        reply._feed(row)
        draw(view, reply)
    end(view, reply)
    shown = [line for line in screen.text.splitlines() if line.startswith("row")]
    assert [line.split()[1] for line in shown] == [f"{number:03}" for number in range(200)]
    assert len({len(line) for line in shown if line.split()[-1].isdigit()}) == 1


def test_a_table_without_room_shows_all_its_words() -> None:
    columns = range(60)
    text = "".join(f"|{'|'.join(row)}|\n" for row in [[f"c{at}" for at in columns], ["-"] * 60, ["x"] * 60])
    shown = shown_at_once(text, width=40).replace("\n", "")
    assert all(f"c{at}" in shown for at in columns)


@pytest.mark.parametrize("width", [1, 2, 7, 300])
def test_any_width_will_do(width: int) -> None:
    screen = Screen(width, 50)
    view, reply = view_on(screen), reply_of()
    for piece in pieces(MARKDOWN, 50):
        reply._feed(piece)
        draw(view, reply)
    end(view, reply)
    assert all(word in screen.text.replace("\n", "") for word in ("second", "مرحبا"))


def test_links_are_shown_with_their_addresses_and_are_no_links_to_the_terminal() -> None:
    shown = shown_at_once(
        "[words](https://a.example/x) [https://good.example](https://evil.example) <https://c.example> "
        "[js](javascript:alert(1)) <me@d.example> ![pixel](https://e.example/p.png) "
        "[https://good.example/\u202e](https://good.example/%E2%80%AE)",
        width=300,
    )
    assert shown.splitlines()[0] == (
        "words (https://a.example/x) https://good.example (https://evil.example) https://c.example "
        "js me@d.example 🖼 pixel (https://e.example/p.png) "
        "https://good.example/\u202e (https://good.example/%E2%80%AE)"
    )


@pytest.mark.parametrize("text", STEERING.values(), ids=STEERING)
def test_nothing_that_a_terminal_obeys_gets_through(text: str) -> None:
    """`Screen` fails on whatever is no text and was not sent by us."""
    for size in (1, 2, len(text)):
        screen = Screen()
        view, reply = view_on(screen, Look(prompt=text)), reply_of(Reasoning(text), Notice(text), model=text)
        draw(view, reply)
        for piece in pieces(text, size):
            reply._feed(piece)
            draw(view, reply)
        reply._feed(Notice(text, lasting=True))
        end(view, reply)
        assert screen.is_as_it_was


@pytest.mark.parametrize("at", range(0, len(REPLIES), 20))
def test_hostile_replies_are_text(at: int) -> None:
    for text in REPLIES[at : at + 20]:
        screen = Screen()
        view, reply = view_on(screen), reply_of()
        for piece in pieces(text, max(1, len(text) // 10)):
            reply._feed(piece)
            draw(view, reply)
        end(view, reply)
        assert screen.is_as_it_was


@pytest.mark.parametrize("text", STEERING.values(), ids=STEERING)
def test_plain_text_on_a_terminal_is_harmless_too(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (1, 2, len(text)):
        screen = Screen()
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setattr(sys, "stderr", screen)
        view, reply = TextView(Look()), reply_of(Notice(text))
        for piece in pieces(text, size):
            reply._feed(piece)
            view.draw(reply)
        end(view, reply)
        assert screen.is_as_it_was
        assert "\r" not in screen.sent


@pytest.mark.parametrize("text", [*STEERING.values(), MARKDOWN], ids=[*STEERING, "markdown"])
def test_a_pipe_gets_the_exact_text(text: str, capfdbinary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogatepass", newline="")
    monkeypatch.setattr(sys, "stdout", pipe)
    view, reply = suitable_view(Look()), reply_of(*text)
    view.draw(reply)
    end(view, reply)
    assert pipe.buffer.getvalue().decode("utf-8", "surrogatepass") == text + "\n" * (not text.endswith("\n"))


def test_characters_that_a_stream_cannot_take_do_not_end_a_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", pipe)
    end(TextView(Look()), reply_of("é", "\ud83d", "x"))
    assert pipe.buffer.getvalue() == b"\\xe9\\ud83dx\n"


def test_text_becomes_harmless_character_by_character() -> None:
    text = "".join(map(chr, range(0x100))) + "\r\n値段"
    assert "".join(map(harmless, text)) == harmless(text)
    assert harmless("\tone\r\ntwo\n") == "\tone\ntwo\n"
    assert all(one in "\n\t\ufffd" or one.isprintable() or ord(one) in (0xA0, 0xAD) for one in harmless(text))


@pytest.fixture
def terminal(shell: RaisingShell, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> Screen:
    """The screen of a terminal in which IPython runs; what goes to it must be redirected there."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    return screen


def view_for(stream: Any, look: Look = Look()) -> View:
    with redirect_stdout(stream):
        return suitable_view(look)


def say(*pieces: Any) -> Reply:
    return Chat("m", provider=ScriptedProvider(list(pieces))).send("hello")


def test_in_a_terminals_ipython_a_reply_is_markdown(terminal: Screen) -> None:
    with redirect_stdout(terminal):
        show(lambda: say("**text**"))
    assert terminal.text.startswith("text\n\nm · scripted · ")


def test_what_failed_is_raised_after_what_came(terminal: Screen) -> None:
    with redirect_stdout(terminal), pytest.raises(ProviderError, match="is down"):
        show(lambda: say("**te", ProviderError("is down")))
    assert terminal.text.startswith("**te\n\nm · scripted · ")
    assert terminal.is_as_it_was


def test_raw_text_is_shown_as_it_is(terminal: Screen) -> None:
    with redirect_stdout(terminal):
        show(lambda: say("**text**"), Look(raw=True))
    assert terminal.sent == "**text**\n"


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_where_lines_cannot_be_drawn_over_there_is_text(
    kind: str, terminal: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(view_for(terminal), ScreenView)
    monkeypatch.setenv("TERM", kind)
    assert isinstance(view_for(terminal), TextView)


def test_where_characters_are_missing_there_is_text(terminal: Screen) -> None:
    terminal.encoding = "latin-1"
    assert isinstance(view_for(terminal), TextView)


def test_without_rich_there_is_text(terminal: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nbchat.display.screen")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert isinstance(view_for(terminal), TextView)


def test_in_a_pipe_there_is_text(terminal: Screen) -> None:
    assert isinstance(view_for(io.StringIO()), TextView)


def test_outside_of_a_shell_there_is_text(screen: Screen) -> None:
    assert isinstance(view_for(screen), TextView)


@pytest.mark.parametrize("wish", ["", "NO_COLOR", "the shell"])
def test_colours_are_left_out_if_none_are_wanted(
    wish: str, terminal: Screen, shell: RaisingShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell.colors.lower() == "nocolor"
    if wish == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    if wish != "the shell":
        shell.colors = "neutral" if version_info >= (9,) else "Neutral"
    end(view_for(terminal), reply_of("```python\nimport this\n```\n\n`code` **bold**"))
    colours = {"35", "36"}
    assert "1" in terminal.styles
    assert terminal.styles & colours == (set() if wish else colours)


def test_rich_is_not_imported_for_text() -> None:
    script = """
import sys, nbchat
from nbchat.display import show
from nbchat.testing import ScriptedProvider
show(lambda: nbchat.Chat(provider=ScriptedProvider(["**text**"])).send("hello"))
assert "rich" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"**text**\n"
