"""The extension in a real JupyterLab, in a real browser: what only a page can show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipykernel
import pytest

if TYPE_CHECKING:
    from labs import Lab

SETUP = """
%load_ext nbchat
import nbchat
from nbchat.testing import Gate, ScriptedProvider
gate = Gate()
nbchat.register(ScriptedProvider(["**first**\\n\\n", gate, "second"], name="gated"))
nbchat.register(ScriptedProvider(name="echo"))
"""
HOSTILE = (
    "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'> "
    "[link](javascript:window.hit=1) ![img](https://example.invalid/x.png) "
    "<a data-commandlinker-command='hub:logout'>x</a> $\\href{javascript:window.hit=1}{x}$"
)


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect as eventually  # only where there is a browser

    return eventually(locator)


def test_a_reply_streams_below_its_cell_and_an_interrupt_keeps_what_came(lab: Lab) -> None:
    lab.open([SETUP, "%%chat gated\nhello"])
    lab.run(0)
    lab.run(1, wait=False)
    expect(lab.output(1).locator("strong")).to_have_text("first")
    lab.page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")
    expect(lab.output(1)).to_contain_text("stopped by interrupt; 11 characters kept")
    expect(lab.output(1)).to_contain_text("stopped")
    saved = lab.save()
    reply = saved.cells[1].outputs[0]
    assert reply.data["text/plain"] == "**first**\n\n"
    assert reply.metadata.nbchat.status == "stopped"
    assert "widgets" not in saved.metadata
    assert lab.errors == []
    assert lab.outside == []


@pytest.mark.skipif(ipykernel.version_info < (7, 4), reason="older kernels answer nothing else while a cell runs")
def test_a_comm_arrives_while_a_cell_streams(lab: Lab) -> None:
    target = (
        "def opened(comm, message):\n    gate.open()\nget_ipython().kernel.comm_manager.register_target('gate', opened)"
    )
    lab.open([SETUP + target, "%%chat gated\nhello"])
    lab.run(0)
    lab.run(1, wait=False)
    expect(lab.output(1).locator("strong")).to_have_text("first")
    kernel = lab.page.evaluate_handle("jupyterapp.shell.currentWidget.sessionContext.session.kernel")
    kernel.evaluate("kernel => { kernel.createComm('gate').open({}); }")
    expect(lab.output(1)).to_contain_text("second")
    lab.wait()
    assert lab.errors == []


def test_nothing_in_a_reply_runs_or_is_fetched(lab: Lab) -> None:
    lab.open([SETUP, f"%%chat echo\n{HOSTILE}"])
    lab.run_all()
    expect(lab.output(1)).to_contain_text("<script>")
    assert lab.page.evaluate("window.hit") is None
    assert (
        lab.output(1).locator("script, img, [onerror], [data-commandlinker-command], a[href^=javascript]").count() == 0
    )
    assert lab.outside == []


def test_formulas_are_typeset_and_prices_are_not(lab: Lab) -> None:
    lab.open([SETUP, "%%chat echo\nEuler: $e^{i\\pi}+1=0$. It costs $5 and $10."])
    lab.run_all()
    expect(lab.output(1).locator("mjx-container")).to_have_count(1)
    expect(lab.output(1)).to_contain_text("It costs $5 and $10.")


def test_a_cell_that_is_run_again_has_one_turn(lab: Lab) -> None:
    lab.open([SETUP, "%%chat echo\nhello", "%%chat\nagain", "len(nbchat.current().history)"])
    lab.run_all()
    lab.run_all()
    expect(lab.output(3)).to_contain_text("2")


@pytest.mark.parametrize("cell", ["%chat histroy", "%%chat --modle x\nhello"], ids=["subcommand", "option"])
def test_a_slip_is_one_line_in_the_page(lab: Lab, cell: str) -> None:
    lab.open([SETUP, cell])
    lab.run_all()
    expect(lab.output(1)).to_contain_text("Did you mean")
    assert lab.output(1).inner_text().strip().count("\n") == 0
