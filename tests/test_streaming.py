"""What a person sees in JupyterLab while a reply streams: Stop, selections, heights, themes, a page loaded anew."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipykernel
import pytest

if TYPE_CHECKING:
    from labs import Lab

SETUP = """
%load_ext nbchat
import nbchat
from nbchat.testing import ScriptedProvider

def paced(text, pause=0.02, size=40):
    return [piece for at in range(0, len(text), size) for piece in (text[at : at + size], pause)]

LINE = "Paragraph {}, with **bold** words, long enough to fill most of a line.\\n\\n"
PARAGRAPHS = "".join(LINE.format(number) for number in range(140))
nbchat.register(ScriptedProvider([*paced(PARAGRAPHS[:10_000], 0.005), 600, "end"], name="endless"))
nbchat.register(ScriptedProvider(paced(PARAGRAPHS[:4_000]), name="slow"))
nbchat.register(ScriptedProvider(paced(PARAGRAPHS[:4_000], 0.1), name="slower"))
"""


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect as eventually  # only where there is a browser

    return eventually(locator)


@pytest.mark.skipif(ipykernel.version_info < (7, 4), reason="before ipykernel 7.4 there is no button")
def test_stop_stands_last_ends_the_reply_and_leaves_nothing_behind(lab: Lab) -> None:
    lab.open([SETUP, "%%chat endless\nhello", "1 + 1"])
    lab.run(0)
    lab.run(1, wait=False)
    expect(lab.output(1)).to_contain_text("Paragraph 125")
    stop = lab.output(1).get_by_role("button", name="Stop", exact=True)
    expect(stop).to_have_count(1)
    last = lab.output(1).locator(".jp-OutputArea-child").last
    expect(last.get_by_role("button", name="Stop")).to_be_visible()
    stop.click()
    lab.wait()
    expect(stop).to_have_count(0)
    expect(lab.output(1)).to_contain_text("· stopped")
    lab.run(2)
    expect(lab.output(2)).to_contain_text("2")
    saved = lab.save()
    (output,) = saved.cells[1].outputs
    assert set(output.data) == {"text/html", "text/plain"}
    assert len(output.data["text/plain"]) == 10_000
    assert output.metadata.nbchat.status == "stopped"
    assert "widgets" not in saved.metadata
    assert lab.errors == []


@pytest.mark.skipif(ipykernel.version_info < (7, 4), reason="before ipykernel 7.4 there is no button")
def test_a_restart_in_mid_stream_leaves_no_dead_button(lab: Lab) -> None:
    lab.open([SETUP, "%%chat endless\nhello"])
    lab.run(0)
    lab.run(1, wait=False)
    expect(lab.output(1)).to_contain_text("Paragraph 125")
    stop = lab.output(1).get_by_text("Stop", exact=True)
    expect(stop).to_be_visible()
    lab.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(stop).to_be_hidden()
    expect(lab.output(1)).to_contain_text("Paragraph 125")


def test_a_selection_in_a_finished_piece_survives_while_text_comes(lab: Lab) -> None:
    lab.open([SETUP, "%%chat slow\nhello"])
    lab.run(0)
    lab.run(1, wait=False)
    expect(lab.output(1)).to_contain_text("Paragraph 24")
    before = lab.page.evaluate(
        """() => {
            const [paragraph] = document.querySelectorAll('.nbchat-reply p');
            getSelection().selectAllChildren(paragraph);
            return [getSelection().toString(), paragraph.getBoundingClientRect().top];
        }"""
    )
    expect(lab.output(1)).to_contain_text("Paragraph 40")
    after = lab.page.evaluate(
        "() => [getSelection().toString(), document.querySelector('.nbchat-reply p').getBoundingClientRect().top]"
    )
    assert before[0].startswith("Paragraph 0")
    assert after == before


WATCH = """() => {
    window.heights = [];
    const area = document.querySelectorAll('.jp-Notebook .jp-Cell')[1].querySelector('.jp-OutputArea');
    const look = () => {
        const height = area.offsetHeight;
        if (height !== window.heights.at(-1)) window.heights.push(height);
        requestAnimationFrame(look);
    };
    look();
}"""
TESTS = str(Path(__file__).parent)
LINE = 24
"""Pixels."""


@pytest.mark.parametrize("name", ["tables", "math", "nested lists", "Python", "quotations", "SQL and bash"])
def test_the_output_never_shrinks_by_more_than_a_line(lab: Lab, name: str) -> None:
    reply = f"""
import sys
sys.path.append({TESTS!r})
from replies import REPLIES
nbchat.register(ScriptedProvider(paced(REPLIES[{name!r}], 0.01, 9), name="x"))
"""
    lab.open([SETUP + reply, "%%chat x\nhello"])
    lab.run(0)
    lab.page.evaluate(WATCH)
    lab.run(1)
    expect(lab.output(1)).to_contain_text("characters")
    heights = lab.page.evaluate("window.heights")
    assert len(heights) > 2
    # Where a piece ends Stop moves down by two messages; seldom does the page draw itself between them.
    afterwards = [max(pair) for pair in pairwise(heights[1:])] + heights[-1:]
    assert max(before - after for before, after in zip(heights, afterwards, strict=False)) <= LINE


def test_colours_follow_the_theme(lab: Lab) -> None:
    lab.open([SETUP, "%%chat x\nhello"])
    code = "nbchat.register(ScriptedProvider(['text\\n\\n```python\\ndef f(): return 1\\n```\\n'], name='x'))"
    lab.page.evaluate(
        "code => jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel.setSource(code)", SETUP + code
    )
    lab.run_all()
    keyword = lab.output(1).locator(".highlight .k").first
    expect(keyword).to_have_text("def")
    colour = "element => [getComputedStyle(element).color, getComputedStyle(element.closest('.nbchat-reply')).color]"
    light = keyword.evaluate(colour)
    lab.page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    lab.page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
    expect(lab.output(1).locator(".nbchat-reply p").first).not_to_have_css("color", light[1])
    assert keyword.evaluate(colour)[0] != light[0]


def test_a_page_that_is_loaded_anew_in_mid_stream(lab: Lab) -> None:
    lab.open([SETUP, "%%chat slower\nhello", "%%chat guide\nHow do I stop a reply?", "%chat show 1"])
    lab.run(0)
    lab.run(1, wait=False)
    expect(lab.output(1)).to_contain_text("Paragraph 25")
    pieces = lab.save().cells[1].outputs
    lab.open()
    expect(lab.output(1)).to_contain_text("Paragraph 5")
    lab.run(2)
    expect(lab.output(2)).to_contain_text("the reply to turn 1 ended while the page was away (%chat show 1 shows it)")
    lab.run(3)
    expect(lab.output(3)).to_contain_text("Paragraph 51")
    saved = lab.save()
    assert saved.cells[1].outputs == pieces
    told = [output.metadata.nbchat for output in pieces if "text/html" in output.data]
    assert [(one.part, one.status) for one in told] == [(number, "streaming") for number in range(len(told))]
    assert len({one.id for one in told}) == 1
    assert "".join(output.data["text/plain"] for output in pieces).startswith("Paragraph 0, with **bold**")
    lab.open()
    expect(lab.output(1)).to_contain_text("Paragraph 5")
    if ipykernel.version_info >= (7, 4):
        dead = lab.output(1).get_by_text(re.compile("widget"))
        expect(dead).to_have_count(1)  # what JupyterLab says in the place of the button
        expect(dead).to_be_hidden()
    assert lab.output(1).get_by_role("button", name="Stop").count() == 0
