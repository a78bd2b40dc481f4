"""The magics in a shell of this process: what arrives as the prompt, slips, subcommands, where they can stand."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter

import nbchat
from nbchat import UsageProblem
from nbchat.errors import ProviderError, UnknownModel
from nbchat.providers.registry import unregister
from nbchat.testing import ScriptedProvider


@pytest.fixture
def fake() -> Iterator[ScriptedProvider]:
    """A provider that repeats its prompt, by the name of `fake`."""
    provider = ScriptedProvider(name="fake")
    nbchat.register(provider)
    yield provider
    unregister("fake")


@pytest.fixture
def chat(shell: Any, fake: ScriptedProvider) -> Any:
    """A shell with the extension, whose conversation uses the fake."""
    shell.run_cell("%load_ext nbchat")
    nbchat.current().send("warm up", model="fake").result(10)
    nbchat.current().reset()
    fake.calls.clear()
    return shell


def sent(fake: ScriptedProvider) -> Any:
    """The last prompt that the fake was sent."""
    return fake.calls[-1].messages[-1]["content"]


PROMPTS = [
    "hello",
    "two\nlines\n\n  indented",
    "{x} {{y}} {",
    "$HOME $x ${y}",
    "%d %s 100%",
    "back\\slash \\n \\",
    "it's \"quoted\" '''thrice''' \"\"\"",
    ">>> print(1)\n1",
    "In [3]: x = 1\nOut[3]: 1",
    "!ls -la",
    "what is this?",
    "what is this??",
    "?what",
    "%timeit x",
    "%%time\nx",
    "%chat nested",
    "  leading and trailing  ",
    "# a heading",
    "tab\there",
    "Привет, как дела? 你好 \U0001f600",
    "\u2028 and \u0085 and \x0c",
    "ends with a blank line\n",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_cells_prompt_arrives_byte_for_byte(chat: Any, fake: ScriptedProvider, prompt: str) -> None:
    chat.user_ns["x"] = "must not appear"
    chat.run_cell(f"%%chat\n{prompt}\n")
    assert sent(fake) == prompt


@pytest.mark.parametrize("prompt", [prompt for prompt in PROMPTS if "\n" not in prompt and " " in prompt.strip()])
def test_a_lines_prompt_arrives_byte_for_byte(chat: Any, fake: ScriptedProvider, prompt: str) -> None:
    chat.run_cell(f"%chat {prompt}\n")
    assert sent(fake) == prompt.lstrip()


def test_blank_lines_may_stand_above(chat: Any, fake: ScriptedProvider) -> None:
    chat.run_cell("\n\n%%chat\nhello")
    assert sent(fake) == "hello"


def test_the_reply_is_text_on_stdout_without_a_kernel(chat: Any, capsys: pytest.CaptureFixture[str]) -> None:
    chat.run_cell("%%chat\n**hello**")
    assert capsys.readouterr().out == "**hello**\n"


def test_nbchat_is_the_same_magic(chat: Any, fake: ScriptedProvider) -> None:
    chat.run_cell("%%nbchat\nhello")
    assert sent(fake) == "hello"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%chat", "There is no prompt"),
        ("%%chat\n\n   \n", "There is no prompt"),
        ("# a comment\n%%chat\nhello", "must begin with its %%chat line"),
        ("%%chat -m fake \\\n-t 0\nhello", "cannot go on below with a backslash"),
        ("%%chat --modle fake\nhello", "Did you mean --model?"),
        ("%%chat fake too many\nhello", "one word too many"),
        ("%%chat -p fak\nhello", "Did you mean fake?"),
        ("%chat histroy", "Did you mean history?"),
        ("%chat hello", "`%chat -- hello`"),
    ],
)
def test_a_slip_is_one_line_and_nothing_is_sent(chat: Any, fake: ScriptedProvider, cell: str, said: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        chat.run_cell(cell)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert fake.calls == []


def test_an_unknown_model_gets_a_suggestion(chat: Any) -> None:
    with pytest.raises(UnknownModel, match="google-gemini"):
        chat.run_cell("%%chat --model google-gemin\nhello")


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        ("list primes", "list primes"),
        ("-- hello", "hello"),
        ("-- history", "history"),
        ("history of Rome", "history of Rome"),
        ("reset the counter", "reset the counter"),
        ("retry please", "retry please"),
        ("-t 0 hello", "hello"),
        ("help me out", "help me out"),
    ],
)
def test_what_is_no_subcommand_in_full_is_a_prompt(chat: Any, fake: ScriptedProvider, line: str, prompt: str) -> None:
    chat.run_cell(f"%chat {line}")
    assert sent(fake) == prompt


def test_an_error_shows_as_one_line_and_the_cell_fails(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    nbchat.register(ScriptedProvider(["half", ProviderError("answered 500", provider="broken")], name="broken"))
    try:
        shell.run_cell("%load_ext nbchat")
        with pytest.raises(ProviderError):
            shell.run_cell("%%chat broken\nhello")
        shown = capsys.readouterr()
        assert shown.out == "half\nProviderError: broken answered 500.\n"
        assert "Traceback" not in shown.out + shown.err
    finally:
        unregister("broken")


def test_options_reach_the_provider(chat: Any, fake: ScriptedProvider) -> None:
    chat.run_cell("%%chat -m fake/big -s 'Be brief.' -t 0 --max-tokens 5 -o seed 7 --timeout 9\nhello")
    call = fake.calls[-1]
    assert call.model == "big"
    assert call.messages[0] == {"role": "system", "content": "Be brief."}
    assert {name: value for name, value in call.options.items() if value is not None} == {
        "temperature": 0.0,
        "max_tokens": 5,
        "seed": 7,
        "timeout": 9.0,
    }


def test_into_puts_the_text_into_a_variable(chat: Any) -> None:
    chat.run_cell("%%chat --into answer\nhello")
    assert chat.user_ns["answer"] == "hello"


def test_new_forgets_first_and_no_history_keeps_nothing(chat: Any, fake: ScriptedProvider) -> None:
    chat.run_cell("%chat -- one")
    chat.run_cell("%chat --no-history two")
    assert len(fake.calls[-1].messages) == 1
    chat.run_cell("%chat -- three")
    assert len(fake.calls[-1].messages) == 3
    chat.run_cell("%chat -n four")
    assert len(fake.calls[-1].messages) == 1
    assert [turn.prompt for turn in nbchat.current().history] == ["four"]


def test_show_prompt_sends_nothing(chat: Any, fake: ScriptedProvider, capsys: pytest.CaptureFixture[str]) -> None:
    chat.run_cell("%chat -- one")
    capsys.readouterr()
    chat.run_cell("%%chat --show-prompt -s S -t 0.5 --proxy http://me:hush@127.0.0.1:1\ntwo")
    shown = capsys.readouterr().out
    assert shown == "to scripted (fake), temperature 0.5\n\nsystem: S\n\nuser: one\n\nassistant: one\n\nuser: two\n"
    assert len(fake.calls) == 1


def test_a_prompt_that_could_not_be_sent_is_not_shown_as_if_it_could(chat: Any) -> None:
    with pytest.raises(UnknownModel):
        chat.run_cell("%%chat --show-prompt -m google-gemin\nhello")


@pytest.mark.parametrize("line", ["%chat -h", "%chat --help", "%%chat --help\nhello", "%%chat -h"])
def test_help_can_be_asked_for_as_everywhere(chat: Any, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    chat.run_cell(line)
    assert "%chat help [SECTION]" in capsys.readouterr().out


def test_no_stream_prints_once_whole(chat: Any, capsys: pytest.CaptureFixture[str]) -> None:
    chat.run_cell("%%chat --no-stream\nhello")
    assert capsys.readouterr().out == "hello\n"


@pytest.mark.parametrize(
    "code",
    [
        "%%time\n%%chat\nhello",
        "%%capture out\n%%chat\nhello",
        "%%prun -q\n%%chat\nhello",
        "for n in range(2):\n    get_ipython().run_cell_magic('chat', '', 'hello')",
        "for n in range(2):\n    %chat -- hello",
        "get_ipython().run_cell('%%chat\\nhello')",
        "async def ask():\n    %chat -- hello\nawait ask()",
        "%autoawait False\n%chat -- hello",
        "text = %chat -- hello",
    ],
)
def test_it_works_wherever_a_magic_does(chat: Any, fake: ScriptedProvider, code: str) -> None:
    try:
        chat.run_cell(code)
    finally:
        chat.autoawait = True
    assert sent(fake) == "hello"


def test_it_works_in_the_very_cell_that_loads_it(shell: Any, fake: ScriptedProvider) -> None:
    shell.run_cell("%load_ext nbchat\nget_ipython().run_cell('%%chat fake\\nhello')")
    assert sent(fake) == "hello"


def test_a_chat_magic_of_another_extension_is_left_alone(
    shell: Any, fake: ScriptedProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.register_magic_function(lambda line, cell=None: sys.stdout.write("theirs\n"), "line_cell", "chat")
    shell.run_cell("%load_ext nbchat")
    assert "another extension has %%chat here; ours is %%nbchat" in capsys.readouterr().out
    shell.run_cell("%%chat\nhello")
    assert capsys.readouterr().out.startswith("theirs\n")
    shell.run_cell("%%nbchat fake\nhello")
    assert sent(fake) == "hello"


def test_loading_again_and_unloading_leave_nothing_behind(shell: Any) -> None:
    before = len(shell.input_transformers_cleanup)
    shell.run_cell("%load_ext nbchat")
    shell.run_cell("%reload_ext nbchat")
    assert len(shell.input_transformers_cleanup) == before + 1
    shell.run_cell("%unload_ext nbchat")
    assert len(shell.input_transformers_cleanup) == before
    assert "chat" not in shell.magics_manager.magics["cell"]
    assert [each for each in shell.configurables if type(each).__name__ == "NbChat"] == []


def test_config_shows_and_sets_the_defaults(chat: Any, fake: ScriptedProvider) -> None:
    chat.run_cell("%config NbChat.temperature = 0.5")
    chat.run_cell("%chat -- hello")
    assert fake.calls[-1].options["temperature"] == 0.5


def test_a_reply_as_the_last_expression_shows_itself(chat: Any, capsys: pytest.CaptureFixture[str]) -> None:
    chat.run_cell("import nbchat\nnbchat.current().send('hello')")
    assert re.fullmatch(r"(Out\[\d\]: )?hello\n", capsys.readouterr().out)


def test_a_reply_that_fails_as_the_last_expression_fails_its_cell(
    chat: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    nbchat.register(ScriptedProvider(["half", ProviderError("answered 500", provider="broken")], name="broken"))
    try:
        with pytest.raises(ProviderError):
            chat.run_cell("import nbchat\nnbchat.current().send('hello', model='broken')")
    finally:
        unregister("broken")
    shown = capsys.readouterr().out
    assert shown.endswith("half\nProviderError: broken answered 500.\n")


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("%%chat --mo", "--model"),
        ("%%chat -m google-g", "google-gemini"),
        ("%%chat -p FlowG", "FlowGpt"),
        ("%chat his", "history"),
        ("%chat help ke", "keys"),
        ("%%chat goo", "google-gemini"),
        ("%%chat --model=goo", "google-gemini"),
    ],
)
def test_tab_completes(chat: Any, text: str, offered: str) -> None:
    with provisionalcompleter():
        assert offered in [found.text for found in chat.Completer.completions(text, len(text))]


def test_a_half_typed_cell_is_left_to_ipython(chat: Any) -> None:
    assert chat.check_complete("%%chat\nhello")[0] == "incomplete"


def test_the_help_fits_a_screen(chat: Any, capsys: pytest.CaptureFixture[str]) -> None:
    chat.run_cell("%chat")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 120
