"""IPython in a real terminal: a reply streams as markdown or as text, and Ctrl+C ends it with one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from screens import Screen

pexpect = pytest.importorskip("pexpect", reason="IPython brings pexpect where there are terminals of this kind")
pytestmark = pytest.mark.slow

WAIT = 30
SETUP = (
    "import nbchat; from nbchat.testing import Gate, OpenAIServer, ScriptedProvider; "
    "server = OpenAIServer().start(); server.reply('one **tw', Gate()); "
    "echo = nbchat.register(ScriptedProvider(name='echo')); "
    "evil = nbchat.register(ScriptedProvider(['one \\x1b', '[2J\\x1b]0;two\\x07 three\\r', '\\n'], name='evil'))"
)
WITHOUT_RICH = "import sys; sys.modules['rich'] = None"
CALL = "get_ipython().run_line_magic('chat', f'--base-url {server.url} -m loopback hello')"


@pytest.fixture
def start() -> Iterator[Callable[..., Any]]:
    """A function that starts a program in a terminal."""
    children = []

    def start(*command: str) -> Any:
        environment = {**os.environ, "TERM": "xterm-256color"}
        child = pexpect.spawn(
            sys.executable,
            ["-W", "ignore", *command],
            encoding="utf-8",
            timeout=WAIT,
            dimensions=(40, 200),
            env=environment,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.close(force=True)


@pytest.fixture(params=["rich", "plain"])
def kind(request: pytest.FixtureRequest) -> str:
    """Whether rich is there."""
    return str(request.param)


@pytest.fixture
def terminal(start: Callable[..., Any], kind: str) -> Any:
    """An IPython at its prompt, with the extension loaded."""
    child = start("-m", "IPython", "--simple-prompt", "--colors=NoColor", "--no-banner", "--no-confirm-exit")
    for line in ("pass" if kind == "rich" else WITHOUT_RICH, "%load_ext nbchat", SETUP):
        child.expect(r"In \[\d\]: ")
        child.sendline(line)
    child.expect(r"In \[\d\]: ")
    return child


def answer(terminal: Any, line: str) -> str:
    """What a screen shows between a line and the next prompt."""
    terminal.sendline(line)
    terminal.expect_exact(f"{line}\r\n")
    return after(terminal)


def after(terminal: Any, *, began: str = "") -> str:
    """What a screen shows at the next prompt of all that came before it."""
    terminal.expect(r"\s+In \[\d\]: ")
    screen = Screen(200, 40)
    screen.write(began + terminal.before)
    return screen.text


def test_a_prompt_on_one_line_is_answered(terminal: Any, kind: str) -> None:
    shown = answer(terminal, "%chat -m echo what is **{x}**?")
    if kind == "plain":
        assert shown == "what is **{x}**?"
    else:
        assert shown.splitlines()[:2] == ["what is {x}?", ""]
        assert "echo · " in shown


def test_ctrl_c_ends_a_reply_with_one_line_and_the_next_prompt_works(terminal: Any, kind: str) -> None:
    terminal.sendline(CALL)
    terminal.expect_exact(f"{CALL}\r\n")
    terminal.expect_exact("tw")
    began = terminal.before + "tw"
    terminal.sendintr()
    *shown, last = after(terminal, began=began).splitlines()
    assert last == "stopped by interrupt; 8 characters kept"
    if kind == "rich":
        assert shown[:2] == ["one **tw", ""]
        assert shown[2].endswith(" · 8 characters · stopped")
    else:
        assert shown[0].removesuffix("^C") == "one **tw"
    assert answer(terminal, "server.requests[-1].wait_ended()") == "Out[5]: 'dropped'"
    assert answer(terminal, "%chat -m echo still there").startswith("still there")


def test_a_reply_cannot_steer_the_terminal(terminal: Any) -> None:
    assert answer(terminal, "%chat -m evil hello").startswith("one \ufffd[2J\ufffd]0;two\ufffd three")


def test_plain_python_in_a_terminal_shows_text(start: Callable[..., Any]) -> None:
    script = (
        "import nbchat; from nbchat.testing import ScriptedProvider; from nbchat.display import show; "
        "show(lambda: nbchat.Chat(provider=ScriptedProvider(['**one** \\x1b', '[2J\\rtwo'])).send('hello'))"
    )
    child = start("-c", script)
    child.expect(pexpect.EOF)
    assert child.before == "**one** \ufffd[2Jtwo\r\n"


SCRIPT = """
import asyncio
from nbchat.providers import FlowGpt, GPROChat
from nbchat.testing import FlowGptServer, GPROChatServer

greeting = [{"role": "user", "content": "Привет, как дела?"}]
messages = [{"role": "user", "content": "Hello, GPROChat!"}]

async def documented():
    generator = await FlowGpt.create_async_generator(model="gpt-3.5-turbo", messages=greeting)
    async for message in generator: print(message)

async def generate_response():
    async for chunk in GPROChat.create_async_generator(model='gemini-1.5-pro', messages=messages):
        print(chunk, end="")

with FlowGptServer() as flowgpt, GPROChatServer() as gprochat, flowgpt.pointing(FlowGpt), gprochat.pointing(GPROChat):
    asyncio.run(documented())
    asyncio.run(generate_response())
"""

CHAT_SCRIPT = """
import nbchat
from nbchat.testing import ScriptedProvider
chat = nbchat.Chat(provider=ScriptedProvider(["one ", 0.05, "two"]))
for chunk in chat.send("hello"):
    print(chunk)
"""


@pytest.mark.parametrize(
    ("script", "printed"), [(SCRIPT, ["Привет,", "Hello, GPROChat!"]), (CHAT_SCRIPT, ["one \ntwo\n"])]
)
def test_a_plain_script_needs_no_shell_and_leaves_nothing_open(script: str, printed: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "utf8", "-W", "error", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert ran.stderr == ""
    assert ran.returncode == 0
    for text in printed:
        assert text in ran.stdout
