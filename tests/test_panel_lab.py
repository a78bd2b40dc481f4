"""The panel in a real JupyterLab and Notebook 7: what needs their keys, their widgets and a kernel that is busy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import ipykernel
import ipywidgets
import nbformat
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

    from labs import Lab

SETUP = """
%load_ext nbchat
import time
from pathlib import Path
import nbchat
from nbchat.testing import ScriptedProvider

asked = []
def talk(messages):
    asked.append(messages[-1]["content"])
    if asked[-1] != "count":
        return [f"Echo: {asked[-1]}"]
    return [piece for number in range(2000) for piece in (f"Line {number} of many.\\n\\n", 0.05)]

def wait_for(name):
    "Blocks the kernel until there is a file of this name."
    print("blocked", flush=True)
    while not Path(name).exists():
        time.sleep(0.02)

nbchat.register(ScriptedProvider(talk, name="talk"))
%config NbChat.model = "talk"
"""
SHOW = "nbchat.panel()"
BLOCK = "wait_for('go')"
LOOK = "print(asked)"
HISTORY = "%chat history --json"
MANAGER = "@jupyter-widgets/jupyterlab-manager/plugin"
WAITS = "Waiting for the running cell"
COMMAND = "%chat export"
INSTEAD = f"nbchat's panel: run this cell to see the conversation; {COMMAND} writes it down."
LOST = "Not connected: run the cell that shows this panel again."
ENDS = {"restart": "session.kernel.restart()", "shutdown": "shutdown()"}
SUBSHELLS = pytest.mark.skipif(
    ipykernel.version_info < (7, 4), reason="before ipykernel 7.4 what the panel asks for waits for the running cell"
)


def expect(locator: Any, **options: Any) -> Any:
    from playwright.sync_api import expect as eventually  # only where there is a browser

    return eventually(locator, **options)


@pytest.fixture(autouse=True)
def no_errors(lab: Lab) -> Iterator[None]:
    """The page complains of nothing, and asks nobody for anything."""
    yield
    assert lab.errors == []
    assert lab.outside == []


class Shown:
    """A view of the panel, below the cell of this index."""

    def __init__(self, lab: Lab, index: int = 1) -> None:
        self.lab = lab
        self.root = lab.output(index).locator(".nbchat-panel")
        self.log = self.root.get_by_role("log", name="Conversation")
        self.composer = self.root.get_by_role("textbox", name="Message")
        self.turns = self.root.get_by_role("article")
        self.stop = self.button("Stop")
        self.banner = self.root.get_by_text(LOST, exact=True).and_(self.root.locator("p"))

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    def send(self, text: str) -> None:
        self.composer.fill(text)
        self.composer.press("Enter")

    def line(self) -> int:
        """The number of the last line that has come of a reply that counts."""
        lines = re.findall(r"Line (\d+) of many", self.log.inner_text())
        return int(lines[-1])

    def left(self) -> float:
        """How many pixels of the transcript are below what is shown of it."""
        script = "log => log.scrollHeight - log.scrollTop - log.clientHeight"
        pixels: float = self.log.evaluate(script)
        return pixels


def open_panel(lab: Lab, *cells: str, **options: Any) -> Shown:
    """A notebook whose second cell shows the panel; both have run."""
    lab.open([SETUP, SHOW, *cells], **options)
    lab.run(0)
    lab.run(1)
    shown = Shown(lab)
    expect(shown.composer).to_be_visible()
    return shown


def block(lab: Lab, index: int) -> None:
    """Run the cell that blocks the kernel."""
    lab.run(index, wait=False)
    expect(lab.output(index)).to_contain_text("blocked")


def unblock(lab: Lab) -> None:
    (lab.directory / "go").touch()
    lab.wait()


def forget(lab: Lab, words: str) -> None:
    """Let the page have complained of that."""
    lab.errors[:] = [error for error in lab.errors if words not in error]


def history(lab: Lab) -> list[dict[str, Any]]:
    """The turns on view, as the cell tells that asks for them."""
    look = lab.sources().index(HISTORY)
    lab.run(look)
    found: list[dict[str, Any]] = json.loads(lab.text(look))
    return found


@SUBSHELLS
def test_while_a_cell_blocks_the_kernel_the_panel_streams_stops_and_sends(lab: Lab) -> None:
    panel = open_panel(lab, BLOCK, LOOK)
    panel.send("count")
    expect(panel.log).to_contain_text("Line 3 of many")
    block(lab, 2)
    expect(panel.log).to_contain_text(f"Line {panel.line() + 10} of many")
    panel.stop.click()
    expect(panel.turns.nth(0).locator(".nbchat-line")).to_contain_text("Stopped", timeout=2_000)
    panel.send("hello")
    expect(panel.turns.nth(1)).to_contain_text("Echo: hello", timeout=2_000)
    assert not (lab.directory / "go").exists()
    assert lab.cell(2).locator(".jp-InputPrompt").inner_text() == "[*]:"
    unblock(lab)
    lab.run(3)
    assert lab.text(3) == "['count', 'hello']\n"


def test_where_messages_wait_for_the_running_cell_the_panel_says_so(lab: Lab) -> None:
    lab.server.set("@jupyterlab/apputils-extension/kernels-settings", {"commsOverSubshells": "disabled"})
    panel = open_panel(lab, BLOCK, LOOK)
    panel.send("count")
    expect(panel.log).to_contain_text("Line 3 of many")
    block(lab, 2)
    expect(panel.log).to_contain_text(f"Line {panel.line() + 10} of many")
    panel.stop.click()
    expect(panel.root.get_by_text(f"{WAITS} (stop)")).to_be_visible()
    panel.send("one")
    panel.send("two")
    expect(panel.log.get_by_text(WAITS)).to_have_count(2)
    panel.button("Withdraw").first.click()
    expect(panel.log.get_by_text(WAITS)).to_have_count(1)
    expect(panel.composer).to_have_value("one")
    unblock(lab)
    expect(panel.turns.nth(0).locator(".nbchat-line")).to_contain_text("Stopped")
    expect(panel.turns.nth(1)).to_contain_text("Echo: two")
    expect(panel.root.get_by_text(WAITS)).to_have_count(0)
    lab.run(3)
    assert lab.text(3) == "['count', 'two']\n"


@pytest.mark.parametrize("app", ["lab/tree", "notebooks"], ids=["JupyterLab", "Notebook 7"])
def test_the_notebooks_keys_do_nothing_in_the_panel_but_save(lab: Lab, app: str) -> None:
    panel = open_panel(lab, "1 + 1", "2 + 2", app=app)
    sources = lab.sources()
    prompt = lab.cell(1).locator(".jp-InputPrompt").inner_text()
    panel.composer.fill("first")
    panel.composer.press("Shift+Enter")
    panel.composer.press_sequentially("zabdd")
    expect(panel.composer).to_have_value("first\nzabdd")
    panel.composer.press("Control+s")
    file = lab.directory / "test.ipynb"
    lab.page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    assert "jupyter.widget-view" in file.read_text()
    panel.composer.press("Enter")
    expect(panel.turns).to_have_count(1)
    panel.log.focus()
    for key in ("d", "d", "z", "a", "b", "x", "Shift+Enter", "Control+Enter"):
        panel.log.press(key)
    panel.turns.first.hover()
    panel.button("Copy reply").focus()
    for key in ("d", "d"):
        panel.button("Copy reply").press(key)
    lab.run(3)  # whatever a key might have run has run
    assert lab.sources() == sources
    assert lab.cell(1).locator(".jp-InputPrompt").inner_text() == prompt
    expect(panel.turns).to_have_count(1)
    panel.composer.press("Escape")
    lab.page.keyboard.press("b")
    lab.page.wait_for_function("jupyterapp.shell.currentWidget.content.widgets.length === 5")
    lab.page.keyboard.press("d")
    lab.page.keyboard.press("d")
    lab.page.wait_for_function("jupyterapp.shell.currentWidget.content.widgets.length === 4")


def test_a_page_that_is_loaded_anew_in_mid_stream_goes_on_at_the_end(lab: Lab) -> None:
    panel = open_panel(lab)
    panel.send("hello")
    panel.send("count")
    expect(panel.log).to_contain_text("Line 20 of many")
    panel.composer.fill("a draft")
    lab.save()
    lab.open()
    expect(panel.log).to_contain_text("Echo: hello")
    expect(panel.log).to_contain_text(f"Line {panel.line() + 10} of many")
    expect(panel.turns).to_have_count(2)
    assert panel.left() < 40
    expect(panel.composer).to_have_value("a draft")
    panel.stop.click()
    expect(panel.turns.nth(1).locator(".nbchat-line")).to_contain_text("Stopped")
    lines = [int(line) for line in re.findall(r"Line (\d+) of many", panel.log.inner_text())]
    assert lines == list(range(len(lines)))


@pytest.mark.parametrize("end", ["restart", "shutdown"])
def test_a_panel_whose_kernel_has_gone_says_so_and_a_run_of_the_cell_brings_it_back(lab: Lab, end: str) -> None:
    panel = open_panel(lab)
    panel.send("hello")
    panel.send("count")
    expect(panel.log).to_contain_text("Line 3 of many")
    lab.page.evaluate(f"jupyterapp.shell.currentWidget.sessionContext.{ENDS[end]}")
    expect(panel.banner).to_be_visible()
    expect(panel.root.get_by_role("status")).to_have_text(LOST)
    expect(panel.root.get_by_text("Replying")).to_have_count(0)
    expect(panel.stop).to_be_hidden()
    expect(panel.log).to_contain_text("Echo: hello")
    panel.composer.fill("typed meanwhile")
    panel.composer.press("Enter")
    expect(panel.composer).to_have_value("typed meanwhile")
    if end == "shutdown":
        lab.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.startKernel()")
    lab.run(0)
    lab.run(1)
    expect(panel.turns).to_have_count(2)
    expect(panel.turns.nth(1).locator(".nbchat-line")).to_contain_text("Stopped")
    expect(panel.banner).to_be_hidden()
    panel.send("again")
    expect(panel.log).to_contain_text("Echo: again")


def test_turns_of_cells_and_of_the_panel_are_the_same(lab: Lab) -> None:
    panel = open_panel(lab, "%%chat talk\nfrom a cell", HISTORY, "%chat switch -n other", "%chat undo")
    lab.run(2)
    first = panel.turns.nth(0)
    expect(first).to_contain_text("Echo: from a cell")
    expect(first.locator(".nbchat-line")).to_contain_text("[3]")
    panel.send("from the panel")
    expect(panel.turns.nth(1)).to_contain_text("Echo: from the panel")
    first.hover()
    first.get_by_role("button", name="Edit prompt").click()
    first.get_by_role("textbox", name="Edit prompt").fill("edited")
    first.get_by_role("textbox", name="Edit prompt").press("Enter")
    expect(first).to_contain_text("Echo: edited")
    expect(panel.turns.nth(1).locator(".nbchat-line")).to_contain_text("stale")
    panel.turns.nth(1).get_by_role("button", name="Retry").click()
    expect(panel.turns.nth(1).locator(".nbchat-line")).to_contain_text("2 versions")
    expect(panel.turns.nth(1).locator(".nbchat-line")).not_to_contain_text("stale")
    told = history(lab)
    assert [(turn["prompt"], turn["versions"], turn["stale"]) for turn in told] == [
        ("edited", 2, False),
        ("from the panel", 2, False),
    ]
    panel.turns.nth(1).get_by_role("button", name="Delete").click()
    expect(panel.turns).to_have_count(1)
    assert [turn["prompt"] for turn in history(lab)] == ["edited"]
    lab.run(5)
    expect(panel.turns).to_have_count(2)
    lab.run(4)
    names = panel.root.get_by_role("combobox", name="Switch conversation")
    expect(names).to_have_value("other")
    expect(panel.turns).to_have_count(0)
    names.select_option("main")
    expect(panel.turns).to_have_count(2)
    assert [turn["prompt"] for turn in history(lab)] == ["edited", "from the panel"]


def test_two_views_and_two_pages_show_the_same_conversation(lab: Lab, chromium: Browser) -> None:
    from labs import Lab as AnotherPage

    panel = open_panel(lab, SHOW)
    before = comms(lab)
    lab.run(2)
    assert comms(lab) == before
    below = Shown(lab, 2)
    panel.send("hello")
    for view in panel, below:
        expect(view.turns).to_have_count(1)
        expect(view.log).to_contain_text("Echo: hello")
    lab.save()
    other = AnotherPage(lab.server, chromium.new_page(), lab.directory)
    other.open()
    there = Shown(other)
    expect(there.log).to_contain_text("Echo: hello")
    there.send("from another page")
    panel.send("count")
    for view in panel, below, there:
        expect(view.log).to_contain_text("Echo: from another page")
        expect(view.log).to_contain_text("Line 5 of many")
    there.stop.click()
    for view in panel, below, there:
        expect(view.turns.nth(2).locator(".nbchat-line")).to_contain_text("Stopped")
    assert other.errors == []


def saved(lab: Lab) -> Any:
    """What is in the file of a notebook that was saved with a panel of one turn, and whose kernel has gone."""
    panel = open_panel(lab)
    panel.send("hello")
    expect(panel.log).to_contain_text("Echo: hello")
    expect(lab.output(1).get_by_text(INSTEAD)).to_be_hidden()
    notebook = lab.save()
    lab.close()
    return notebook


def test_what_was_sent_is_there_after_the_notebook_was_renamed_and_its_kernel_restarted(lab: Lab) -> None:
    panel = open_panel(lab)
    panel.send("hello")
    expect(panel.log).to_contain_text("Echo: hello")
    lab.save()
    lab.page.evaluate("jupyterapp.shell.currentWidget.context.rename('renamed.ipynb')")
    lab.restart()
    lab.run(0)
    lab.run(1)
    expect(Shown(lab).log).to_contain_text("Echo: hello")


def test_a_saved_notebook_holds_one_sentence_and_no_transcript(lab: Lab) -> None:
    from nbconvert import HTMLExporter

    notebook = saved(lab)
    sentence, view = notebook.cells[1].outputs
    assert set(sentence.data) == {"text/plain", "text/html"}
    assert sentence.data["text/plain"] == INSTEAD.replace(COMMAND, f"`{COMMAND}`")
    assert set(view.data) == {"application/vnd.jupyter.widget-view+json", "text/plain"}
    assert view.data["text/plain"] == ""
    assert "widgets" not in notebook.metadata
    file = lab.directory / "test.ipynb"
    assert "Echo: hello" not in file.read_text()
    assert len(json.dumps([sentence, view])) < 1_200
    page, _ = HTMLExporter().from_filename(file)
    assert page.count(INSTEAD.partition(COMMAND)[0]) == 1


@pytest.mark.parametrize("app", ["lab/tree", "notebooks"], ids=["JupyterLab", "Notebook 7"])
def test_a_saved_notebook_on_a_new_kernel_shows_the_sentence_alone_and_then_the_panel(lab: Lab, app: str) -> None:
    saved(lab)
    lab.open(app=app)
    expect(lab.output(1)).to_contain_text("model not found")  # in the words of ipywidgets, as of any widget
    expect(lab.output(1)).to_have_text(INSTEAD, use_inner_text=True)
    forget(lab, "widget model not found")
    lab.run(0)
    lab.run(1)
    panel = Shown(lab)
    expect(panel.turns).to_have_count(1)
    expect(panel.log).to_contain_text("Echo: hello")
    expect(lab.output(1).get_by_text(INSTEAD)).to_be_hidden()


def test_a_saved_notebook_without_a_kernel_shows_the_sentence_alone(lab: Lab) -> None:
    saved(lab)
    lab.page.route("**/api/kernelspecs*", lambda route: route.fulfill(json={"default": "", "kernelspecs": {}}))
    lab.page.reload()
    expect(lab.output(1)).to_contain_text("Loading widget")
    expect(lab.output(1)).to_have_text(INSTEAD, use_inner_text=True)


def test_a_saved_notebook_that_is_not_trusted_shows_the_sentence_alone(lab: Lab) -> None:
    notebook = saved(lab)
    notebook.cells[1].outputs[0].metadata.changed = True
    nbformat.write(notebook, lab.directory / "test.ipynb")
    lab.open()
    expect(lab.output(1)).to_have_text(INSTEAD, use_inner_text=True)
    expect(lab.output(1).locator("style")).to_have_count(0)


def test_what_else_the_cell_puts_out_is_never_hidden(lab: Lab) -> None:
    within = (
        "import ipywidgets\nout = ipywidgets.Output()\ndisplay(out)\nwith out: display(nbchat.panel())\nprint('Mine')"
    )
    lab.open([SETUP, within])
    lab.run(0)
    lab.run(1)
    expect(lab.output(1).locator(".nbchat-panel")).to_be_visible()
    expect(lab.output(1).get_by_text("Mine")).to_be_visible()
    expect(lab.output(1).get_by_text(INSTEAD)).to_be_hidden()


def test_a_view_of_the_output_beside_the_notebook_shows_the_panel_alone(lab: Lab) -> None:
    open_panel(lab)
    lab.select(1)
    lab.command("notebook:create-output-view")
    beside = lab.page.locator(".jp-LinkedOutputView")
    expect(beside.locator(".nbchat-panel")).to_be_visible()
    expect(beside.get_by_text(INSTEAD)).to_be_hidden()


def test_a_saved_widget_state_shows_the_turns_and_tells_of_no_reply_under_way(lab: Lab) -> None:
    lab.server.set(MANAGER, {"saveState": True})
    panel = open_panel(lab)
    panel.send("hello")
    panel.send("count")
    expect(panel.log).to_contain_text("Line 10 of many")
    lab.save()
    lab.close()
    lab.open()
    expect(panel.log).to_contain_text("Echo: hello")
    expect(panel.log).to_contain_text("Line 9 of many")
    expect(panel.banner).to_be_visible()
    expect(lab.output(1).get_by_text(INSTEAD)).to_be_hidden()
    expect(panel.root.get_by_text("Replying")).to_have_count(0)
    expect(panel.stop).to_be_hidden()
    if ipywidgets.__version__.startswith("7."):
        forget(lab, "reading 'filter'")  # by the page's half of ipywidgets 8, of what is not in a state of ipywidgets 7


def test_panels_that_were_opened_and_closed_leave_nothing_in_the_page(lab: Lab) -> None:
    open_panel(lab, "p = nbchat.panel(nbchat.Chat('talk')); display(p)", "p.close()")
    counts = []
    for _ in range(20):
        lab.run(2)
        expect(Shown(lab, 2).composer).to_be_visible()
        lab.run(3)
        expect(Shown(lab, 2).composer).to_have_count(0)
        counts.append(listeners(lab) | comms(lab))
    assert counts[0] == counts[-1]


def listeners(lab: Lab) -> dict[str, int]:
    """How many functions listen to what happens to the window and the document."""
    session = lab.page.context.new_cdp_session(lab.page)
    found = {}
    for name in "window", "document":
        it = session.send("Runtime.evaluate", {"expression": name})["result"]["objectId"]
        found[name] = len(session.send("DOMDebugger.getEventListeners", {"objectId": it})["listeners"])
    session.detach()
    return found


def comms(lab: Lab) -> dict[str, int]:
    """How many comms the page holds."""
    return {"comms": lab.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel._comms.size")}


def test_axe_finds_nothing_in_either_theme(lab: Lab) -> None:
    from axe_playwright_python.sync_playwright import Axe

    panel = open_panel(lab)
    panel.send("hello")
    panel.send("count")
    expect(panel.log).to_contain_text("Line 3 of many")
    for theme in "Light", "Dark":
        lab.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", f"JupyterLab {theme}"
        )
        lab.page.wait_for_function(f"document.body.dataset.jpThemeLight === '{str(theme == 'Light').lower()}'")
        found = Axe().run(lab.page, context=".nbchat-panel")
        assert found.violations_count == 0, found.generate_report()
