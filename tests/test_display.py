"""Views of a reply: what is printed, what a frame holds, how often, and what the caption says."""

from __future__ import annotations

import io
from typing import Any

import pytest

from nbchat import Chat, ProviderError, Reply
from nbchat.display import CellView, Look, TextView, captions, pieces, show
from nbchat.display.pacing import Pace
from nbchat.errors import ReplyCutOff, ReplyInterrupted
from nbchat.history import Turn
from nbchat.messages import Finish, Notice, Reasoning, Usage
from nbchat.testing import Gate, ScriptedProvider


class Page:
    """Stands where a kernel's display publisher does, and shows what a page would show."""

    def __init__(self) -> None:
        self.outputs: dict[str, tuple[dict[str, str], dict[str, Any]]] = {}
        self.frames: list[dict[str, str]] = []

    def publish(self, data: dict[str, str], *, metadata: Any, transient: Any, update: bool) -> None:
        display_id = transient["display_id"]
        assert update == (display_id in self.outputs)
        self.outputs[display_id] = data, metadata
        self.frames.append(data)

    @property
    def html(self) -> str:
        """What is to be seen."""
        return "".join(data.get("text/html", "") for data, _ in self.outputs.values())

    @property
    def plain(self) -> str:
        """What there is as text."""
        return "".join(data["text/plain"] for data, _ in self.outputs.values())

    @property
    def told(self) -> list[dict[str, Any]]:
        """What the outputs tell, one by one."""
        return [metadata["nbchat"] for _, metadata in self.outputs.values()]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    """The page that the next `CellView` draws on."""
    page = Page()
    monkeypatch.setattr(pieces, "publisher", lambda: page)
    return page


def chat(*pieces: Any, **options: Any) -> Chat:
    return Chat("big-model", provider=ScriptedProvider(list(pieces), name="Fake"), **options)


def last_frame(page: Page, *pieces: Any, look: Look = Look(), **place: Any) -> dict[str, str]:
    reply = chat(*pieces).send("hello")
    reply.wait(10)
    CellView(look, **place).end(reply)
    return page.frames[-1]


def streamed(text: str, *, size: int = 100, look: Look = Look(), **place: Any) -> tuple[Reply, CellView]:
    """A reply that has ended, and a view on which all but its end was drawn, in pieces of that size."""
    reply, view = Reply(Turn("hello", "m", "p")), CellView(look, **place)
    for start in range(0, len(text), size):
        reply._feed(text[start : start + size])
        view._pace = Pace()
        view.draw(reply)
    reply._end("done")
    return reply, view


def test_text_goes_to_stdout_as_it_comes_and_notices_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    gate = Gate()
    reply, view = chat("one ", Notice("busy, retrying in 4 s"), gate, "two").send("hello"), TextView(Look())
    assert gate.wait_reached()
    view.draw(reply)
    assert capsys.readouterr() == ("one ", "(busy, retrying in 4 s)\n")
    gate.open()
    reply.wait(10)
    view.end(reply)
    assert capsys.readouterr() == ("two\n", "")


def test_a_prompt_stands_above_what_is_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    show(lambda: chat("one").send("hello"), Look(prompt="hello\nthere"))
    assert capsys.readouterr().out == "> hello\n> there\none\n"


def test_show_raises_what_failed_after_what_came(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProviderError, match="is down"):
        show(lambda: chat("one", ProviderError("is down")).send("hello"))
    assert capsys.readouterr().out == "one\n"


def test_an_interrupt_of_the_last_frame_says_how_much_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            monkeypatch.undo()
            raise KeyboardInterrupt

    reply = chat("text").send("hello")
    reply.wait(10)
    monkeypatch.setattr("sys.stdout", Interrupted())
    with pytest.raises(ReplyInterrupted, match="4 characters kept"):
        show(lambda: reply)


def test_while_nothing_has_come_the_caption_says_who_is_asked(page: Page) -> None:
    gate = Gate()
    reply, view = chat(gate, "text").send("hello"), CellView(Look())
    assert gate.wait_reached()
    view.draw(reply)
    assert "big-model · Fake · 0 s · asking" in page.html
    assert page.plain == ""
    view._pace = Pace()
    view.draw(reply)
    assert len(page.frames) == 1  # nothing has changed
    gate.open()
    reply.wait(10)
    view.end(reply)
    assert page.plain == "text"


def test_a_notice_is_shown_while_it_matters(page: Page) -> None:
    gate = Gate()
    reply, view = chat(Notice("rate limited, retrying in 4 s"), gate, "text").send("hello"), CellView(Look())
    assert gate.wait_reached()
    view.draw(reply)
    assert "rate limited, retrying in 4 s" in page.html
    gate.open()
    reply.wait(10)
    view.end(reply)
    assert "retrying" not in page.html


@pytest.mark.parametrize(("came", "said"), [("One.", "waiting for more"), (Reasoning("Well"), "thinking: … Well")])
def test_a_notice_is_over_once_something_has_come(
    page: Page, monkeypatch: pytest.MonkeyPatch, came: Any, said: str
) -> None:
    monkeypatch.setattr(captions, "_QUIET", 0)
    reply, view = Reply(Turn("hello", "m", "p")), CellView(Look())
    reply._feed(Notice("the reply to turn 1 ended", lasting=True))
    reply._feed(Notice("rate limited, retrying in 4 s"))
    view.draw(reply)
    assert "0 s · rate limited" in page.html
    reply._feed(came)
    view._pace = Pace()
    view.draw(reply)
    assert f"0 s · {said}" in page.html
    reply._feed(Notice("cut off, going on in 1 s"))
    view._pace = Pace()
    view.draw(reply)
    assert "0 s · cut off, going on in 1 s" in page.html


def test_the_last_words_of_the_thoughts_are_shown_until_the_answer_begins(page: Page) -> None:
    reply, view = Reply(Turn("hello", "m", "p")), CellView(Look())
    reply._feed(Reasoning("First, I should\nconsider <b>all</b> of it."))
    view.draw(reply)
    assert "thinking: … First, I should consider &lt;b&gt;all&lt;/b&gt; of it." in page.html
    assert "<details" not in page.html
    reply._feed("Yes.")
    view._pace = Pace()
    view.draw(reply)
    assert "thinking" not in page.html
    assert page.html.index("<details") < page.html.index("consider") < page.html.index("Yes.")
    reply._end("done")
    view.end(reply)
    assert page.html.index("<details") < page.html.index("consider") < page.html.index("Yes.")
    assert page.plain == "Yes."


def test_a_reply_that_stands_still_says_so(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    reply, view = Reply(Turn("hello", "m", "p")), CellView(Look())
    reply._feed("One.")
    view.draw(reply)
    assert "waiting for more" not in page.html
    monkeypatch.setattr(captions, "_QUIET", 0)
    view._pace = Pace()
    view.draw(reply)
    assert "One." in page.html
    assert "m · p · 0 s · waiting for more" in page.html


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (("text",), "· 4 characters"),
        (("text", Usage(3, 7)), "· 7 tokens"),
        (("text", Finish("length")), "the reply reached its limit of tokens"),
        (("text", ReplyCutOff("ended early")), "cut off after 4 characters"),
        ((ProviderError("refused"),), "failed"),
    ],
)
def test_the_caption_says_how_it_ended(page: Page, pieces: tuple[Any, ...], said: str) -> None:
    assert said in last_frame(page, *pieces)["text/html"]


def test_the_caption_says_what_was_left_out(page: Page) -> None:
    long = Chat("m", provider=ScriptedProvider(["text"]), max_context=10)
    long.send("one " * 20).result(10)
    reply = long.send("two")
    reply.wait(10)
    CellView(Look()).end(reply)
    assert "1 older turn left out" in page.html


def test_a_caption_is_never_markup(page: Page) -> None:
    reply = Chat("<script>$x$</script>", provider=ScriptedProvider(["text"])).send("hello")
    reply.wait(10)
    CellView(Look()).end(reply)
    assert "<script" not in page.html
    assert "mathjax_process" not in page.html


def test_a_prompt_above_a_reply_is_never_markup(page: Page) -> None:
    assert "&lt;b&gt;$x$<br>two" in last_frame(page, "text", look=Look(prompt="<b>$x$\ntwo"))["text/html"]


def test_raw_is_the_text_alone(page: Page) -> None:
    assert last_frame(page, "**x**", look=Look(raw=True)) == {"text/plain": "**x**"}


def test_without_streaming_a_line_says_how_long_it_takes(page: Page) -> None:
    reply, view = Reply(Turn("hello", "m", "p")), CellView(Look(stream=False))
    reply._feed("One.")
    view.draw(reply)
    assert page.plain == ""
    assert "m · p · 0 s" in page.html
    reply._end("done")
    view.end(reply)
    assert page.plain == "One."
    assert len(page.outputs) == 1


PARAGRAPHS = "".join(f"Paragraph {number} with **bold** words.\n\n" for number in range(600))


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("own_cell", [False, True])
def test_a_long_reply_is_sent_once_in_pieces_and_a_small_tail(page: Page, raw: bool, own_cell: bool) -> None:
    reply, view = streamed(PARAGRAPHS, look=Look(raw=raw), own_cell=own_cell)
    largest = max(len(data["text/plain"]) for data in page.frames)
    assert largest < (2_000 if own_cell else 9_000)
    view.end(reply)  # nobody knows here what else stands in the cell's output: the pieces stay
    assert page.plain == PARAGRAPHS
    assert 1 < len(page.outputs) < 30
    assert [told["part"] for told in page.told] == list(range(len(page.outputs)))
    assert {told["id"] for told in page.told} == {reply.turn.id}
    assert page.told[-1]["status"] == "done"
    if not raw:
        assert page.html.count("<strong>bold</strong>") == 600


def test_what_outlives_its_cell_stays_in_one_piece(page: Page) -> None:
    reply, view = streamed(PARAGRAPHS, outlives=True)
    view.end(reply)
    assert len(page.outputs) == 1
    assert page.plain == PARAGRAPHS


@pytest.mark.parametrize("raw", [False, True])
def test_however_long_a_reply_is_it_has_fewer_pieces_than_jupyterlab_shows(page: Page, raw: bool) -> None:
    text = "A line of some length, as any line is.\n\n" * 25_000
    reply, view = streamed(text, size=3_000, look=Look(raw=raw), own_cell=True)
    assert len(page.outputs) < 48
    assert max(len(data["text/plain"]) for data in page.frames) < 8_000
    view.end(reply)
    assert page.plain == text


def test_what_comes_at_once_is_drawn_in_steps(page: Page) -> None:
    reply, view = Reply(Turn("hello", "m", "p")), CellView(Look(), own_cell=True)
    reply._feed(PARAGRAPHS)
    for _ in range(3):
        view._pace = Pace()
        view.draw(reply)
    assert page.plain == PARAGRAPHS[:12_000]


def test_frames_are_rationed_and_the_last_one_always_comes(page: Page) -> None:
    reply, view = chat(*["word "] * 3000).send("hello"), CellView(Look())
    while not reply.wait(0):
        view.draw(reply)
    view.end(reply)
    assert page.plain == "word " * 3000
    assert sum(len(data.get("text/html", "")) for data in page.frames) < 40 * 15_000


def test_a_view_that_outlives_its_cell_says_what_failed(page: Page) -> None:
    reply = chat("half", ProviderError("is <b>down</b>")).send("hello")
    reply.wait(10)
    CellView(Look(), outlives=True).end(reply)
    assert "ProviderError: is &lt;b&gt;down&lt;/b&gt;." in page.html


def test_the_metadata_tells_of_the_turn(page: Page) -> None:
    reply = chat("text", Usage(3, 7)).send("hello")
    reply.wait(10)
    CellView(Look()).end(reply)
    told = page.told[0]
    assert told["id"] == reply.turn.id
    assert (told["model"], told["provider"], told["status"]) == ("big-model", "Fake", "done")
    assert told["usage"] == {"prompt": 3, "completion": 7}


def test_two_runs_differ_only_in_what_stands_in_metadata_and_caption(page: Page) -> None:
    first, second = (last_frame(page, "**text**", Usage(3, 7)) for _ in range(2))
    assert first["text/plain"] == second["text/plain"]
    assert first["text/html"].rpartition("<small>")[0] == second["text/html"].rpartition("<small>")[0]
