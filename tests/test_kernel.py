"""Cells in a real kernel: frames, interrupts at any moment, which turn belongs to which cell, nested loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from IPython.core import completer

from kernels import Execution, Kernel

pytestmark = pytest.mark.slow

SETUP = """
%load_ext nbchat
import asyncio, socket
import nbchat
from nbchat.testing import Gate, OpenAIServer, ScriptedProvider
echo = nbchat.register(ScriptedProvider(name="echo"))
steps = nbchat.register(ScriptedProvider(["**o", 0.2, "ne**\\n\\n", 0.2, "two"], name="steps"))
server = OpenAIServer().start()
chat = nbchat.current()
"""


@pytest.fixture
def ready(kernel: Kernel) -> Kernel:
    """A kernel with the extension and some providers."""
    kernel.run(SETUP)
    return kernel


def value(kernel: Kernel, expression: str) -> Any:
    """The value of an expression in the kernel."""
    return eval(kernel.run(f"print(repr({expression}))").stdout)


def shows(text: str) -> Callable[[Execution], bool]:
    """Whether a frame with that text has come."""
    frames = lambda execution: (data.get("text/html", "").partition("<style>")[0] for data in execution.data)  # noqa: E731
    return lambda execution: any(text in frame for frame in frames(execution))


def test_a_cell_streams_frames_into_one_display(ready: Kernel) -> None:
    ran = ready.run("%%chat steps\nhello")
    assert len(ran.contents("display_data")) == 1
    updates = ran.contents("update_display_data")
    assert len(updates) >= 2
    ids = {content["transient"]["display_id"] for content in ran.contents("display_data", "update_display_data")}
    assert len(ids) == 1
    texts = [data["text/plain"] for data in ran.data]
    assert texts == sorted(texts, key=len)
    assert texts[-1] == "**one**\n\ntwo"
    assert "<strong>one</strong>" in ran.data[-1]["text/html"]
    assert set(ran.data[-1]) == {"text/html", "text/plain"}
    assert updates[-1]["metadata"]["nbchat"]["status"] == "done"
    assert {"id", "model", "provider", "status", "time", "seconds"} <= updates[-1]["metadata"]["nbchat"].keys()


def test_a_reply_of_script_and_markup_is_sent_as_text(ready: Kernel) -> None:
    ran = ready.run("%%chat echo\n<script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1))")
    for data in ran.data:
        assert "<script" not in data["text/html"]
        assert "<img" not in data["text/html"]
        assert 'href="javascript' not in data["text/html"]
        assert set(data) == {"text/html", "text/plain"}


def test_raw_is_text_only_and_no_stream_one_display(ready: Kernel) -> None:
    ran = ready.run("%%chat steps --raw --no-stream\nhello")
    assert len(ran.contents("display_data")) == 1
    assert ran.data[-1] == {"text/plain": "**one**\n\ntwo"}
    assert {data["text/plain"] for data in ran.data} == {"", "**one**\n\ntwo"}


def test_a_section_of_the_manual_is_rendered(ready: Kernel) -> None:
    (page,) = ready.run("%chat help keys").data
    assert "## " not in page["text/html"]
    assert page["text/plain"].startswith("## keys")


def test_capture_keeps_one_output(ready: Kernel) -> None:
    ready.run("%%capture out\n%%chat steps\nhello", cell_id="a")
    assert value(ready, "[set(o.data) for o in out.outputs]") == [{"text/html", "text/plain"}]


def test_an_error_is_one_line_below_what_came(ready: Kernel) -> None:
    ready.run("server.reply('half', ConnectionError())")
    ran = ready.run("get_ipython().run_cell_magic('chat', f'--base-url {server.url} -m loopback', 'x')", check=False)
    assert ran.error == "ReplyCutOff"
    assert len(ran.traceback) == 1
    assert "\n" not in ran.traceback[0]
    assert ran.data[-1]["text/plain"] == "half"
    assert "cut off" in ran.data[-1]["text/html"]


@pytest.mark.parametrize("cell", ["# a comment\n%%chat echo\nhello", "%%chat echo \\\n\nhello", "%%chat echo\n"])
def test_a_misshapen_cell_fails_with_one_line(ready: Kernel, cell: str) -> None:
    ran = ready.run(cell, check=False)
    assert ran.error == "UsageProblem"
    assert len(ran.traceback) == 1
    assert ran.reply is not None
    assert ran.reply["status"] == "error"
    assert ready.run("%%chat echo\nhello").data[-1]["text/plain"] == "hello"


def test_tab_completes_in_a_kernel(ready: Kernel) -> None:
    asked = ready.send("complete_request", {"code": "%%chat --model google-ge", "cursor_pos": 24})
    reply = ready.reply_to(asked)
    assert reply["matches"][-1] == "google-gemini"
    assert reply["cursor_start"] == 15
    if hasattr(completer, "context_matcher"):  # before IPython 8.6, Python's names cannot be left out
        assert len(reply["matches"]) == 1


# Interrupts

SILENT = """
import contextlib, threading
silent, ended = socket.create_server(("127.0.0.1", 0)), threading.Event()

def serve():
    peer = silent.accept()[0]
    peer.recv(4)
    print("asked", flush=True)
    with contextlib.suppress(ConnectionResetError):
        while peer.recv(65536):
            pass
    ended.set()

threading.Thread(target=serve, daemon=True).start()
"""
"""A server that reads its request and never answers."""

STAGES = {
    "before the headers": (SILENT, "asked"),
    "in silence": ("server.reply('one', Gate())", "one"),
    "in mid-reply": ("server.reply(*['one '] + [0.02, 'more '] * 5000)", "one"),
    "while retrying": ("server.reply('later', status=503, headers={'Retry-After': '30'})", "retrying in"),
}


@pytest.mark.parametrize("magic", ["cell", "nested"])
@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupt_at_any_moment_ends_the_cell_with_one_line(ready: Kernel, stage: str, magic: str) -> None:
    prepare, shown = STAGES[stage]
    ready.run(prepare)
    silent = stage == "before the headers"
    url = "f'http://127.0.0.1:{silent.getsockname()[1]}/v1'" if silent else "server.url"
    ready.run(f"nbchat.config.settings().aliases = {{}}; url = {url}; chat.options['timeout'] = 60")
    code = {
        "cell": f"%%chat --base-url {value(ready, 'url')} -m loopback\nhello",
        "nested": "get_ipython().run_cell_magic('chat', f'--base-url {url} -m loopback', 'hello')",
    }[magic]
    cell = ready.start(code, cell_id="interrupted")
    following = ready.start("print('not to be run')")
    said = lambda _: any(shown in stream["text"] for stream in ready.published("stream"))  # noqa: E731
    ready.wait(cell, said if silent else shows(shown))
    ready.interrupt()
    ready.wait(cell)
    assert cell.error == "ReplyInterrupted"
    assert len(cell.traceback) == 1
    assert cell.traceback[0].startswith("stopped by interrupt; ")
    assert ready.wait(following).reply["status"] == "aborted"
    text, status = value(ready, "(chat.history[0].text, chat.history[0].status)")
    assert status == "stopped"
    assert text.startswith("one") == (stage in ("in silence", "in mid-reply"))
    if silent:
        assert value(ready, "ended.wait(10)")  # the connection was dropped
    elif stage != "while retrying":
        assert value(ready, "server.requests[-1].wait_ended()") == "dropped"
    assert ready.run("%%chat echo\nstill there", cell_id="next").data[-1]["text/plain"] == "still there"


def test_stop_from_a_thread_ends_the_cell_without_an_error(ready: Kernel) -> None:
    ready.run("server.reply('one', Gate())\nimport threading")
    ready.run("threading.Timer(0.5, chat.stop).start()")
    ran = ready.run("get_ipython().run_cell_magic('chat', f'--base-url {server.url} -m loopback', 'x')", cell_id="a")
    assert ran.error is None
    assert "stopped" in ran.data[-1]["text/html"]


# Turns and cells


def test_a_cell_that_is_run_again_replaces_its_own_turns(ready: Kernel) -> None:
    loop = "for n in range(3):\n    await chat.send(f'loop {n}', model='echo')"
    for _ in range(2):
        ready.run("%%chat echo\nfirst", cell_id="a")
        ready.run(loop, cell_id="b")
        ready.run("%%chat\nlast", cell_id="c")
    assert value(ready, "[t.prompt for t in chat.history]") == ["first", "loop 0", "loop 1", "loop 2", "last"]
    ready.run("%%chat echo\nfirst again", cell_id="a")
    assert value(ready, "len(echo.calls[-1].messages)") == 1
    assert value(ready, "[t.prompt for t in chat.history][:2]") == ["first again", "loop 0"]


def test_without_cell_ids_turns_are_appended(ready: Kernel) -> None:
    for _ in range(2):
        ready.run("%%chat echo\nhello")
    assert value(ready, "[t.prompt for t in chat.history]") == ["hello", "hello"]


def test_a_chat_of_ones_own_has_no_cells(ready: Kernel) -> None:
    ready.run("own = nbchat.Chat('echo')")
    for _ in range(2):
        ready.run("await own.send('hello')", cell_id="a")
    assert value(ready, "len(own.history)") == 2


def test_a_cell_run_again_without_a_model_asks_the_one_it_asked_before(ready: Kernel) -> None:
    ready.run("%%chat echo\nfirst", cell_id="a")
    ready.run("%%chat\nsecond", cell_id="b")
    ready.run("%%chat steps\nthird", cell_id="c")
    ready.run("%%chat\nsecond again", cell_id="b")
    assert value(ready, "[t.provider for t in chat.history]") == ["echo", "echo", "steps"]


def test_a_reply_as_the_last_expression_goes_on_after_the_cell(ready: Kernel) -> None:
    cell = ready.start("chat.send('x', model='steps')", cell_id="a")
    ready.wait(cell)
    assert cell.data[-1]["text/plain"] != "**one**\n\ntwo"
    ready.run("%%capture out\nimport time; time.sleep(0.3)")  # another cell's capture must not take the frames
    for _ in range(100):  # older kernels publish it under whichever cell runs then; pages go by the display's id
        ready.run("time.sleep(0.05)")
        frames = ready.published("update_display_data")
        if any(frame["data"]["text/plain"] == "**one**\n\ntwo" for frame in frames):
            break
    else:
        pytest.fail(f"the display did not go on: {cell.data[-1]}")
    assert len({frame["transient"]["display_id"] for frame in frames}) == 1
    assert value(ready, "len(out.outputs)") == 0


def test_a_reply_as_the_last_expression_waits_where_nobody_would_see_it(ready: Kernel) -> None:
    assert ready.run("chat.send('x', model='steps')").data[-1]["text/plain"] == "**one**\n\ntwo"


def test_a_reply_that_fails_as_the_last_expression_fails_its_cell(ready: Kernel) -> None:
    ready.run("server.reply('half', ConnectionError())")
    ran = ready.run("chat.send('x', base_url=server.url, model='loopback')", check=False)
    assert ran.error == "ReplyCutOff"
    assert ran.reply is not None
    assert ran.reply["status"] == "error"


def test_a_reply_that_fails_after_its_cell_has_ended_says_so_in_its_display(ready: Kernel) -> None:
    ready.run("gate = Gate(); server.reply('half', gate, ConnectionError())")
    ready.run("chat.send('x', base_url=server.url, model='loopback')", cell_id="a")
    ready.run("gate.open(); import time")
    for _ in range(100):
        ready.run("time.sleep(0.05)")
        if any("ReplyCutOff: " in frame["data"]["text/html"] for frame in ready.published("update_display_data")):
            break
    else:
        pytest.fail("the display does not say what failed")


# Loops


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize(
    "code",
    [
        "%%chat echo\nhello",
        "%chat -m echo hello",
        "%%time\n%%chat echo\nhello",
        "%autoawait False\n%chat -m echo hello",
        "async def ask():\n    %chat -m echo hello\nawait ask()",
        "get_ipython().run_cell('%%chat echo\\nhello')",
        "await chat.send('hello', model='echo')",
        "''.join([c async for c in chat.send('hello', model='echo')])",
        "import time\nr = chat.send('hello', model='echo')\nfor c in r: print(c)",
    ],
)
def test_every_form_works_with_and_without_nested_loops(start_kernel: Any, code: str, nested: bool) -> None:
    kernel = start_kernel()
    kernel.run(f"%config IPCompleter.use_jedi = False\n%load_ext nbchat\n%config NbChat.nest_asyncio = {nested}")
    if not nested:
        kernel.run("%reload_ext nbchat")
    kernel.run(SETUP)
    kernel.run(code, cell_id="a")
    assert value(kernel, "chat.history[-1].text") == "hello"


def test_the_documented_forms_work_in_cells(ready: Kernel) -> None:
    ready.run(
        "from nbchat.providers import FlowGpt, GPROChat\n"
        "from nbchat.testing import FlowGptServer, GPROChatServer\n"
        "f, g = FlowGptServer().start(), GPROChatServer().start()\n"
        "FlowGpt.api_endpoint, GPROChat.api_endpoint = f.endpoint, g.endpoint\n"
        "messages = [{'role': 'user', 'content': 'Hello'}]"
    )
    first = ready.run(
        'generator = await FlowGpt.create_async_generator(model="gpt-3.5-turbo", '
        'messages=[{"role": "user", "content": "Привет, как дела?"}])\n'
        "async for message in generator: print(message)"
    )
    assert "Привет, как дела?" in first.stdout.replace("\n", "").replace("  ", " ")
    second = ready.run(
        "async def generate_response():\n"
        "    async for chunk in GPROChat.create_async_generator(model='gemini-1.5-pro', messages=messages): "
        'print(chunk, end="")\n'
        "asyncio.run(generate_response())"
    )
    assert "Hello" in second.stdout
