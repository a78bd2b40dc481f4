"""What a cell's output holds while a reply comes and at its end: pieces, the Stop button, and other people's output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipykernel
import nbformat
import pytest
from nbclient import NotebookClient

from kernels import Execution, Kernel

pytestmark = pytest.mark.slow

SETUP = """
%load_ext nbchat
import asyncio, logging, sys, threading
import nbchat
from IPython.display import display
from nbchat.messages import Reasoning
from nbchat.testing import ScriptedProvider

LONG = [f"Paragraph {number} with **bold** words.\\n\\n" for number in range(200)]
nbchat.register(ScriptedProvider(name="echo"))
nbchat.register(ScriptedProvider([*LONG[:150], 0.8, *LONG[150:]], name="long"))
nbchat.register(ScriptedProvider([*LONG[:150], 30], name="endless"))
nbchat.register(ScriptedProvider(["one ", 0.8, "two"], name="brief"))
nbchat.register(ScriptedProvider([Reasoning("thought " * 300), "answer ", 0.5, "end"], name="thinks"))

def later(function, *arguments):
    threading.Timer(0.5, function, arguments).start()
"""
TEXT = "".join(f"Paragraph {number} with **bold** words.\n\n" for number in range(200))
WIDGET = "application/vnd.jupyter.widget-view+json"
STOPPABLE = ipykernel.version_info >= (7, 4)


@pytest.fixture
def ready(kernel: Kernel) -> Kernel:
    """A kernel with the extension and some providers."""
    kernel.run(SETUP)
    return kernel


def shown(execution: Execution) -> list[dict[str, Any]]:
    """What a page would show under the cell now: displays, what was written to the streams, errors."""
    outputs: list[dict[str, Any]] = []
    clear = False
    for message in execution.messages:
        kind, content = message["msg_type"], message["content"]
        display_id = (content.get("transient") or {}).get("display_id")
        if kind == "clear_output":
            assert content["wait"]
            clear = True
        elif kind == "update_display_data":
            (old,) = (output for output in outputs if output.get("display_id") == display_id)
            old |= {"data": content["data"], "metadata": content["metadata"]}
        elif kind in ("display_data", "execute_result", "stream", "error"):
            outputs = [] if clear else outputs
            clear = False
            outputs.append({**content, "display_id": display_id})
    return outputs


def data(execution: Execution) -> list[dict[str, Any]]:
    return [output["data"] for output in shown(execution) if "data" in output]


def plain(execution: Execution) -> str:
    return "".join(bundle["text/plain"] for bundle in data(execution))


def pieces_have_come(execution: Execution) -> bool:
    return len([bundle for bundle in data(execution) if WIDGET not in bundle]) >= 2


def kinds(execution: Execution) -> list[str]:
    return [message["msg_type"] for message in execution.messages]


def test_a_long_reply_comes_in_pieces_and_ends_as_one_output(ready: Kernel) -> None:
    cell = ready.start("%%chat long\nhello", cell_id="a")
    ready.wait(cell, pieces_have_come)
    assert TEXT.startswith(plain(cell))
    parts = [output["metadata"]["nbchat"]["part"] for output in shown(cell)]
    assert [part for part in parts if part != "stop"] == list(range(len(parts) - parts.count("stop")))
    ready.wait(cell)
    assert [set(bundle) for bundle in data(cell)] == [{"text/html", "text/plain"}]
    assert plain(cell) == TEXT
    assert shown(cell)[0]["metadata"]["nbchat"]["status"] == "done"
    assert kinds(cell).count("clear_output") == 1


def test_an_interrupt_keeps_one_output_and_one_line_below(ready: Kernel) -> None:
    cell = ready.start("%%chat endless\nhello", cell_id="a")
    ready.wait(cell, pieces_have_come)
    ready.interrupt()
    ready.wait(cell)
    reply, error = shown(cell)
    assert TEXT.startswith(reply["data"]["text/plain"])
    assert reply["metadata"]["nbchat"]["status"] == "stopped"
    assert error["ename"] == "ReplyInterrupted"


@pytest.mark.skipif(not STOPPABLE, reason="before ipykernel 7.4 there is no button")
def test_stop_stands_last_and_is_gone_at_the_end(ready: Kernel) -> None:
    cell = ready.start("%%chat long\nhello", cell_id="a")
    ready.wait(cell, lambda cell: pieces_have_come(cell) and WIDGET in data(cell)[-1])
    assert sum(WIDGET in bundle for bundle in data(cell)) == 1
    button = next(content for content in cell.contents("comm_open") if content["data"]["state"].get("description"))
    assert button["data"]["state"]["description"] == "Stop"
    assert button["comm_id"] == data(cell)[-1][WIDGET]["model_id"]
    ready.wait(cell)
    assert not any(WIDGET in bundle for bundle in data(cell))
    opened = {content["comm_id"] for content in cell.contents("comm_open")}
    assert opened == {content["comm_id"] for content in cell.contents("comm_close")}


@pytest.mark.skipif(not STOPPABLE, reason="before ipykernel 7.4 there is no button")
def test_the_first_frame_comes_before_the_parts_of_the_button_are_imported(ready: Kernel) -> None:
    assert not value(ready, "'ipywidgets' in sys.modules")
    cell = ready.start("%%chat brief\nhello", cell_id="a")
    ready.wait(cell)
    assert kinds(cell).index("display_data") < kinds(cell).index("comm_open")


@pytest.mark.parametrize("cell", ["%%chat long\nhello", "get_ipython().run_cell_magic('chat', 'long', 'hello')"])
def test_no_button_where_it_could_not_work(ready: Kernel, cell: str) -> None:
    inside = ready.run(cell, cell_id=None if cell.startswith("%%") else "a")
    assert "comm_open" not in kinds(inside)
    assert plain(inside) == TEXT


def test_no_button_for_a_reply_that_is_done_at_once(ready: Kernel) -> None:
    ran = ready.run("%%chat echo\nhello", cell_id="a")
    assert "comm_open" not in kinds(ran)
    assert "clear_output" not in kinds(ran)


@pytest.mark.parametrize(
    "other",
    [
        "later(print, 'other')",
        "later(lambda: print('other', file=sys.stderr))",
        "later(logging.warning, 'other')",
        "later(display, 'other')",
    ],
)
def test_what_others_put_out_meanwhile_is_not_erased(ready: Kernel, other: str) -> None:
    ready.run(other)
    ran = ready.run("%%chat long\nhello", cell_id="a")
    assert any("other" in (output.get("text") or output["data"]["text/plain"]) for output in shown(ran))
    assert "clear_output" not in kinds(ran)
    assert not any(WIDGET in bundle for bundle in data(ran))
    pieces = [output for output in shown(ran) if "nbchat" in output.get("metadata", {})]
    assert "".join(piece["data"]["text/plain"] for piece in pieces) == TEXT
    assert [piece["metadata"]["nbchat"]["part"] for piece in pieces] == list(range(len(pieces)))


def test_what_was_put_out_before_the_prompt_was_sent_is_not_erased(ready: Kernel) -> None:
    hook = "print('other', flush=True)"
    ready.run(f"get_ipython().events.register('pre_run_cell', lambda info: {hook})")
    ran = ready.run("%%chat long\nhello", cell_id="a")
    assert ran.stdout == "other\n"
    assert "clear_output" not in kinds(ran)


def test_the_arguments_of_the_kernels_session_keep_their_names(ready: Kernel) -> None:
    ready.run("%%chat brief\nhello", cell_id="a")
    kernel = "get_ipython().kernel"
    content = "{'name': 'stdout', 'text': 'other'}"
    where = f"stream={kernel}.iopub_socket, parent={kernel}.get_parent('shell')"
    assert ready.run(f"{kernel}.session.send(msg_or_type='stream', content={content}, {where})").stdout == "other"


def test_an_interrupt_of_replies_in_tasks_of_their_own_leaves_the_kernel_alive(ready: Kernel) -> None:
    call = "get_ipython().run_cell_magic('chat_async', 'endless', 'hello')"
    cell = ready.start(f"await asyncio.gather({call}, {call})", cell_id="a")
    ready.wait(cell, data)
    ready.interrupt()
    ready.wait(cell)
    assert cell.error == "CancelledError"
    assert value(ready, "[turn.status for turn in nbchat.current().history]") == ["stopped", "stopped"]


def test_a_chat_in_code_leaves_what_stands_around_it(ready: Kernel) -> None:
    ran = ready.run("print('before')\n%chat -m long hello\nprint('after')", cell_id="a")
    assert ran.stdout == "before\nafter\n"
    assert "clear_output" not in kinds(ran)
    assert plain(ran) == TEXT


def test_an_awaited_magic_in_code_leaves_what_stands_around_it(ready: Kernel) -> None:
    call = "await get_ipython().run_cell_magic('chat_async', 'long', 'hello')"
    ran = ready.run(f"print('before')\n{call}\n{call}\nprint('after')", cell_id="a")
    assert ran.stdout == "before\nafter\n"
    assert plain(ran) == TEXT * 2


def test_two_replies_that_stream_side_by_side_do_not_mix(ready: Kernel) -> None:
    ran = ready.run(
        "one, two = nbchat.Chat('long'), nbchat.Chat('brief')\n"
        "display(one.send('x'), two.send('x'))\n"
        "texts = await asyncio.gather(one.history[0] and one.reply_of(one.history[0]), two.reply_of(two.history[0]))",
        cell_id=None,
    )
    assert [bundle["text/plain"] for bundle in data(ran) if bundle["text/plain"] == "one two"] == ["one two"]
    assert value(ready, "texts == [''.join(LONG), 'one two']")
    pieces = [output["data"]["text/plain"] for output in shown(ran) if output["metadata"]["nbchat"].get("part", 0) >= 0]
    assert "".join(piece for piece in pieces if piece != "one two") == TEXT


def test_reasoning_stands_folded_above_the_answer(ready: Kernel) -> None:
    ran = ready.run("%%chat thinks\nhello", cell_id="a")
    (reply,) = data(ran)
    assert reply["text/plain"] == "answer end"
    assert (
        reply["text/html"].index("<details") < reply["text/html"].index("thought") < reply["text/html"].index("answer")
    )


def test_a_turn_is_shown_again(ready: Kernel) -> None:
    ready.run("%%chat brief\n<b>hello</b>", cell_id="a")
    (again,) = shown(ready.run("%chat show 1", cell_id="b"))
    assert again["data"]["text/plain"] == "one two"
    assert "&lt;b&gt;hello" in again["data"]["text/html"]
    assert again["metadata"]["nbchat"]["id"] == value(ready, "nbchat.current().history[0].id")
    ran = ready.run("%chat show 2", check=False)
    assert "There is no turn 2" in ran.traceback[0]


def test_a_turn_that_failed_is_shown_again_without_failing(ready: Kernel) -> None:
    ready.run("nbchat.register(ScriptedProvider(['half', nbchat.ProviderError('is down')], name='fails'))")
    assert ready.run("%%chat fails\nhello", cell_id="a", check=False).error == "ProviderError"
    for cell in ("%chat show 1", "%chat show 1 --raw"):
        ran = ready.run(cell, cell_id="b")
        assert data(ran)[-1]["text/plain"] == "half"
    assert set(data(ran)[-1]) == {"text/plain"}
    assert "is down" in data(ready.run("%chat show 1"))[-1]["text/html"]


def test_the_next_reply_says_that_one_ended_while_the_page_was_away(ready: Kernel) -> None:
    gone = ready.start("%%chat long\nhello", cell_id="a")
    ready.wait(gone, pieces_have_come)
    with ready.reloaded():
        ready.wait(gone)
        ran = ready.run("%%chat echo\nhello", cell_id="b")
        assert "the reply to turn 1 ended while the page was away (%chat show 1 shows it)" in data(ran)[-1]["text/html"]
        ran = ready.run("%%chat echo\nhello again", cell_id="c")
        assert "away" not in data(ran)[-1]["text/html"]


def test_the_same_is_said_of_a_cell_that_waited_for_its_turn(ready: Kernel) -> None:
    before = ready.start("import time; time.sleep(2)", cell_id="a")
    gone = ready.start("%%chat long\nhello", cell_id="b")
    ready.wait(before)
    ready.wait(gone, pieces_have_come)
    with ready.reloaded():
        ready.wait(gone)
        ran = ready.run("%%chat echo\nhello", cell_id="c")
    assert "the reply to turn 1 ended while the page was away" in data(ran)[-1]["text/html"]


def test_a_page_that_came_after_the_end_is_told_nothing(ready: Kernel) -> None:
    ready.run("%%chat brief\nhello", cell_id="a")
    with ready.reloaded():
        ran = ready.run("%%chat echo\nhello", cell_id="b")
    assert "away" not in data(ran)[-1]["text/html"]


def test_a_run_without_a_page_keeps_one_output_and_no_widgets(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, "%%chat long\nhello")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (output,) = notebook.cells[1].outputs
    assert output.data["text/plain"] == TEXT
    assert output.metadata.nbchat.status == "done"
    assert "widgets" not in notebook.metadata


def value(kernel: Kernel, expression: str) -> Any:
    """The value of an expression in the kernel."""
    return eval(kernel.run(f"print(repr({expression}))").stdout)
