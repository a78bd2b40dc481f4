"""IPython in a real terminal: text streams as text, and Ctrl+C ends a reply with one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pexpect = pytest.importorskip("pexpect", reason="IPython brings pexpect where there are terminals of this kind")
pytestmark = pytest.mark.slow

WAIT = 30
SETUP = (
    "import nbchat; from nbchat.testing import Gate, OpenAIServer, ScriptedProvider; "
    "server = OpenAIServer().start(); server.reply('one ', Gate()); "
    "echo = nbchat.register(ScriptedProvider(name='echo'))"
)


@pytest.fixture
def terminal() -> Iterator[Any]:
    """An IPython at its prompt, with the extension loaded."""
    quiet = ["--simple-prompt", "--colors=NoColor", "--no-banner", "--no-confirm-exit"]
    command = ["-W", "ignore", "-m", "IPython", *quiet]
    child = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=WAIT, dimensions=(40, 200))
    child.expect(r"In \[1\]: ")
    child.sendline("%load_ext nbchat")
    child.expect(r"In \[2\]: ")
    child.sendline(SETUP)
    child.expect(r"In \[3\]: ")
    yield child
    child.close(force=True)


def test_a_prompt_on_one_line_is_answered_as_text(terminal: Any) -> None:
    terminal.sendline("%chat -m echo what is {x}?")
    terminal.expect_exact("what is {x}?\r\n")  # the line as it was typed
    terminal.expect_exact("what is {x}?\r\n")
    terminal.expect(r"In \[4\]: ")


def test_ctrl_c_ends_a_reply_with_one_line_and_the_next_prompt_works(terminal: Any) -> None:
    terminal.sendline("get_ipython().run_line_magic('chat', f'--base-url {server.url} -m loopback hello')")
    terminal.expect_exact("one ")
    terminal.sendintr()
    terminal.expect_exact("stopped by interrupt; 4 characters kept")
    terminal.expect(r"In \[4\]: ")
    assert "Traceback" not in terminal.before
    terminal.sendline("server.requests[-1].wait_ended()")
    terminal.expect_exact("'dropped'")
    terminal.sendline("%chat -m echo still there")
    terminal.expect_exact("still there\r\n")
    terminal.expect_exact("still there\r\n")


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
