"""Harmful replies in real pages: streamed in JupyterLab, saved and opened again, trusted or not, and converted.

Whatever the text says, nothing runs, nothing is fetched, nothing opens, and all of it stands there to be read.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import ipykernel
import nbformat
import pytest
from nbconvert import HTMLExporter

from hostile import ELEMENTS, REPLIES, SANITIZERS
from nbchat.rendering import render
from network_guard import is_loopback
from pages import FORMULA, Page, faults

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

    from labs import Lab, LabServer

PER_CELL = 40
"""JupyterLab shows 50 outputs of a cell."""
JOINED = 8
"""How many long replies all harmful ones make."""
TESTS = str(Path(__file__).parent)
SETUP = f"""
%load_ext nbchat
import sys
sys.path.append({TESTS!r})
import nbchat
from IPython.display import display
from hostile import REPLIES, cut, played
from nbchat.messages import Finish, Notice, Reasoning
from nbchat.testing import ScriptedProvider

chat = get_ipython().run_cell_magic
WORST = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) ![y](//evil.example/p) $\\\\href{{//evil.example}}{{z}}$"

async def show_side_by_side(texts):
    providers = [ScriptedProvider(played(text, steps=6, pause=0.2)) for text in texts]
    replies = [nbchat.Chat(provider=provider).send("hello") for provider in providers]
    for reply in replies:
        display(reply)
    for reply in replies:
        await reply

def register(name, *scripts):
    nbchat.register(ScriptedProvider(*scripts, name=name))

LONG = ["\\n\\n".join(REPLIES[start::{JOINED}]) for start in range({JOINED})]
register("long", *(played(text, steps=120, pause=0.02) for text in LONG))
register("one", *(played(text, steps=3, pause=0.05) for text in REPLIES[::12]))
register("whole", LONG[1])
register("all", played("\\n\\n".join(REPLIES), steps=20, pause=0.05))
register("endless", [*played(LONG[0], steps=50, pause=0.02), 600])
THOUGHTS = [part for text in REPLIES[::4] for part in (*map(Reasoning, cut(text + "\\n\\n")), 0.005)]
register("thinks", [Notice(WORST, lasting=True), 0.2, *THOUGHTS, *played(WORST, steps=3, pause=0.1), Finish("length")])
register("fails", [*played(WORST, steps=3, pause=0.1), nbchat.ProviderError(WORST)])
register("echo", lambda messages: WORST)
register("last", "A formula: $x$")
"""
ALONE = range(0, len(REPLIES), PER_CELL)
CELLS = [
    *(f"await show_side_by_side(REPLIES[{start} : {start + PER_CELL}])" for start in ALONE),
    *["%%chat long\nhello"] * JOINED,
    "for _ in REPLIES[::12]:\n    chat('chat', 'one --no-history', 'hello')\nchat('chat', 'all', 'hello')",
    "%%chat endless\nhello",
    "%%chat thinks\nhello",
    "%%chat fails\nhello",
    "nbchat.Chat('fails').send('hello')",
    "chat('chat', f'-n -m \"echo/{WORST}\"', '\\n'.join(LONG))",
    "%chat show 1",
    "%chat history",
    "%%chat --raw whole\nhello",
    "%%chat --no-stream whole\nhello",
    "%%chat last\nhello",
]

SHOWN = """
page => [...page.querySelectorAll('.jp-OutputArea-child, .output_area')].map(
    output => [...output.querySelectorAll('.nbchat-reply')].map(reply => {
        const copy = reply.cloneNode(true);
        copy.querySelectorAll('mjx-container').forEach(made => made.remove());
        return copy.outerHTML;
    }))
"""
"""The replies in each output, without what MathJax made."""
OF_FORMULAS = re.compile(rf'(<(span|div) class="{FORMULA}"[^>]*>).*?(</\2>)', re.DOTALL)
TRUSTED = "jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.trusted)"


@dataclass
class Streamed:
    """What was seen while harmful replies streamed, and the notebook that holds them."""

    sprung: list[str]
    """What the traps noted."""
    drawn: int
    """How many times a reply was."""
    outputs: list[list[str]]
    outlines: list[Any]
    """What JupyterLab was like around the notebook, before and after."""
    errors: list[str]
    saved: Path


@pytest.fixture(scope="module")
def streamed(lab_server: LabServer, chromium_path: str) -> Streamed:
    """All harmful replies, each streamed in awkward pieces in a JupyterLab full of traps."""
    from labs import Lab, browser
    from traps import Traps

    directory = lab_server.root / "hostile"
    directory.mkdir()
    with browser(chromium_path) as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        lab, traps = Lab(lab_server, page, directory), Traps(page, may_lab_ask)
        lab.open([SETUP, *CELLS])
        outline = traps.outline()
        for index, cell in enumerate([SETUP, *CELLS]):
            run(lab, index, endless="endless\n" in cell)
        wait_for_formulas(lab)
        traps.tease()
        outputs = page.locator(".jp-Notebook").evaluate(SHOWN)
        drawn, outlines = page.evaluate("drawn"), [outline, traps.outline()]
        lab.save()
        lab.close()
    return Streamed(traps.sprung, drawn, outputs, outlines, lab.errors, directory / "test.ipynb")


def run(lab: Lab, index: int, *, endless: bool) -> None:
    """Run a cell to the end of its reply; stop it if there is none."""
    lab.run(index, wait=not endless)
    if not endless:
        return
    expect(lab.output(index)).to_contain_text("alert(1)")
    if ipykernel.version_info >= (7, 4):
        lab.output(index).get_by_role("button", name="Stop", exact=True).click()
        lab.wait()
    else:
        lab.page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")
        expect(lab.output(index)).to_contain_text("characters kept")


def wait_for_formulas(lab: Lab) -> None:
    """Wait until the last one is set, and with it all before it."""
    expect(lab.output(len(CELLS)).locator("mjx-container")).to_have_count(1)


def may_lab_ask(address: str) -> bool:
    """Whether JupyterLab itself needs that: so not what stands in replies."""
    parts = urlsplit(address)
    if parts.scheme in ("data", "about", "blob"):
        return not re.search("alert|evil", address)
    known = re.match(r"/(lab|static|api|kernelspecs|lsp)\b", parts.path)
    return bool(known) and is_loopback(parts.hostname) and not re.search(r"evil|secret|shutdown|token=[x1]\b", address)


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect as eventually  # only where there is a browser

    return eventually(locator)


def words(page: str) -> str:
    """What is to be read in a reply, but for its formulas."""
    return " ".join(Page(OF_FORMULAS.sub(r"\1\3", page)).text.split())


def as_sent(output: list[str]) -> list[str]:
    """The replies without what JupyterLab does to links: it leaves out that they are not to know where they stand."""
    without = [reply.replace('<a target="_blank" rel="nofollow">', "<a>") for reply in output]  # where it leads nowhere
    return [reply.replace(' rel="noopener"', ' rel="noopener noreferrer"') for reply in without]


def letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text)


def test_the_list_is_long() -> None:
    assert len(set(REPLIES)) == len(REPLIES) >= 400


@pytest.mark.parametrize("text", [text for text in ELEMENTS + SANITIZERS if not text.startswith("<br\n")])
def test_a_tag_is_text_to_be_read(text: str) -> None:
    assert letters(html.unescape(text.replace("\0", ""))) in letters(Page(render(text)).text)


HARM = {
    "<img src=x onerror=alert(1)>": "ran: alert(1)",
    "<script>alert(2)</script>": "ran: alert(2)",
    "<script>open('https://evil.example')</script>": "ran: open(https://evil.example)",
    "<iframe srcdoc='<script>alert(3)</script>'></iframe>": "ran: alert(3)",
    "<img src=//evil.example/pixel>": "fetched: http://evil.example/pixel",
    "<img src=/files/secret.png>": "fetched: http://127.0.0.1",
    "<script>new WebSocket('wss://evil.example/x')</script>": "fetched: wss://evil.example/x",
    "<p style='background:url(//evil.example/style)'>x</p>": "fetched: http://evil.example/style",
    "<iframe src=about:blank></iframe>": "opened: a frame",
    "<div class=nbchat-reply><p onclick=alert(4)>x</p></div>": "ran: alert(4)",
    "<div class=nbchat-reply><p id=x>x</p></div>": "shown: p id=x",
    "<div class=nbchat-reply>\\(\\href{https://evil.example}{x}\\)</div>": "shown: a href=https://evil.example",
    "<div class=nbchat-reply><p style=position:fixed;top:0>x</p></div>": "shown: elsewhere: <p",
    "<button data-commandlinker-command=x>x</button>": "shown: button data-commandlinker-command=x",
    "<style>#jp-top-panel { opacity: 0 }</style>": "shown: <style>",
}


@pytest.mark.slow
def test_the_traps_see_harm(lab: Lab) -> None:
    from traps import Traps

    traps = Traps(lab.page, may_lab_ask)
    lab.open([f"from IPython.display import HTML, display\nfor source in {list(HARM)}:\n    display(HTML(source))"])
    outline = traps.outline()
    assert traps.sprung == []
    lab.run(0)
    expect(lab.output(0).locator("mjx-container")).to_have_count(1)
    traps.tease()
    for source, expected in HARM.items():
        assert any(noted.startswith(expected) for noted in traps.sprung), source
    assert traps.outline() != outline


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_happens_while_harmful_replies_stream(streamed: Streamed) -> None:
    assert streamed.sprung == []
    assert streamed.errors == []
    assert streamed.outlines[0] == streamed.outlines[1]
    assert streamed.drawn > 10 * len(REPLIES)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_harmful_replies_stand_there_to_be_read(streamed: Streamed) -> None:
    assert [fault for output in streamed.outputs for reply in as_sent(output) for fault in faults(reply)] == []
    alone = streamed.outputs[: len(REPLIES)]
    assert [" ".join(map(words, output[:-1])) for output in alone] == [words(render(text)) for text in REPLIES]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("trusted", [True, False])
def test_a_notebook_of_harmful_replies_opened_again(lab: Lab, streamed: Streamed, trusted: bool) -> None:
    from traps import Traps

    traps = Traps(lab.page, may_lab_ask)
    notebook = nbformat.read(streamed.saved, as_version=4)
    if not trusted:
        notebook.metadata["changed"] = "by somebody else"
        nbformat.write(notebook, lab.directory / streamed.saved.name)
    else:
        lab.directory = streamed.saved.parent
    lab.open(name=streamed.saved.name)
    assert lab.page.evaluate(TRUSTED) == [trusted] * len(notebook.cells)
    wait_for_formulas(lab)
    traps.tease()
    outputs = lab.page.locator(".jp-Notebook").evaluate(SHOWN)
    assert traps.sprung == []
    assert lab.errors == []
    check(list(map(as_sent, outputs)), streamed)


def check(outputs: list[list[str]], streamed: Streamed) -> None:
    """Hold what is shown now against what may be, and what was."""
    assert [fault for output in outputs for reply in output for fault in faults(reply)] == []
    assert [list(map(words, output)) for output in outputs] == [list(map(words, output)) for output in streamed.outputs]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("template", ["lab", "classic"])
def test_a_page_made_of_harmful_replies(chromium: Browser, streamed: Streamed, template: str, tmp_path: Path) -> None:
    from traps import Traps

    exporter = HTMLExporter(template_name=template)
    empty, _ = exporter.from_notebook_node(nbformat.v4.new_notebook())
    own = set(re.findall(r"https?://[^\s\"'<>]+", empty))  # what the template loads: MathJax and such
    file = tmp_path / "page.html"
    file.write_text(exporter.from_filename(str(streamed.saved))[0], encoding="utf-8")

    def answer(route: Route) -> None:
        if route.request.url in own:
            route.fulfill(body="", content_type="text/javascript")
        else:
            route.continue_()

    page = chromium.new_page()
    page.route("**", answer)
    traps = Traps(page, lambda address: address == file.as_uri() or address in own)
    page.goto(file.as_uri())
    traps.tease()
    outputs = page.locator("body").evaluate(SHOWN)
    assert traps.sprung == []
    check(outputs, streamed)
