"""The history in a real JupyterLab: what its own commands do to a notebook must not harm the conversation."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from isolation import isolated_environment

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from labs import Lab

SETUP = """
%load_ext nbchat
import os
import nbchat
from nbchat.testing import ScriptedProvider

class Counter:
    def __init__(self):
        self.calls = 0
    def __call__(self, messages):
        self.calls += 1
        return [f"{messages[-1]['content']}, after {len(messages) // 2}, reply {self.calls}"]

def long():
    return ["half of it ", *(f"piece {n} " + "of a long reply " * 20 + "\\n\\n" for n in range(12)), 600, "end"]

nbchat.register(ScriptedProvider(name="echo"))
nbchat.register(ScriptedProvider(Counter(), name="counter"))
nbchat.register(ScriptedProvider(long(), name="endless"))
print(os.environ["JPY_SESSION_NAME"], os.getpid());
"""
FIRST, SECOND, THIRD = "%%chat counter\nfirst", "%%chat\nsecond", "%%chat counter\nthird"
LOOK = "%chat history --json"


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect as eventually  # only where there is a browser

    return eventually(locator)


@pytest.fixture
def colleague(chromium: Browser, tmp_path: Path) -> Iterator[Lab]:
    """A page of somebody else's JupyterLab, on a machine where nothing is known."""
    from labs import Lab, LabServer

    folder = tmp_path / "notebooks" / "from mail"
    folder.mkdir(parents=True)
    server = LabServer(folder.parent, isolated_environment(os.environ, tmp_path))
    lab = Lab(server, chromium.new_page(), folder)
    yield lab
    lab.close()
    server.close()


def history(lab: Lab) -> list[dict[str, Any]]:
    """The turns on view, as the cell tells that asks for them."""
    look = lab.sources().index(LOOK)
    lab.run(look)
    found: list[dict[str, Any]] = json.loads(lab.text(look))
    return found


def prompts(lab: Lab) -> list[str]:
    return [turn["prompt"] for turn in history(lab)]


def kernel(lab: Lab) -> tuple[Path, int]:
    """What the kernel was told is its notebook, and its process."""
    notebook, process = lab.text(0).rsplit(maxsplit=1)
    return Path(notebook), int(process)


def database(lab: Lab) -> Path:
    (file,) = lab.server.root.parent.rglob("history.db")
    return file


def wait_until_stored(lab: Lab, words: str) -> None:
    """Wait until a reply with these words is kept."""
    deadline = time.monotonic() + 60
    query = "SELECT count(*) FROM details WHERE instr(text, ?)"
    with closing(sqlite3.connect(database(lab))) as connection:
        while connection.execute(query, [words]).fetchone() == (0,):
            assert time.monotonic() < deadline
            lab.page.wait_for_timeout(100)


def delete_database(lab: Lab) -> None:
    """Delete what is kept, while no kernel runs."""
    lab.close()
    file = database(lab)
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()


def test_run_all_and_restart_leave_one_turn_for_each_cell(lab: Lab) -> None:
    lab.open([SETUP, FIRST, SECOND, LOOK])
    lab.run_all()
    lab.run_all()
    lab.save()
    lab.restart()
    lab.run(0)
    third = lab.add(THIRD)
    expect(lab.output(third)).to_contain_text("third, after 2, reply 1")
    expect(lab.output(third)).to_contain_text("continues 2 turns from")
    lab.run_all()
    assert prompts(lab) == ["first", "second", "third"]
    expect(lab.output(third)).not_to_contain_text("continues")
    assert lab.errors == []


def test_a_notebook_that_is_renamed_while_its_kernel_lives(lab: Lab) -> None:
    lab.open([SETUP, FIRST, SECOND, LOOK], name="Untitled.ipynb")
    lab.run_all()
    lab.save()
    lab.confirm("docmanager:rename", "renamed.ipynb")
    lab.add(THIRD)
    assert kernel(lab)[0] == lab.directory / "Untitled.ipynb"
    lab.restart()
    lab.run(0)
    assert kernel(lab)[0] == lab.directory / "renamed.ipynb"
    assert prompts(lab) == ["first", "second", "third"]
    lab.open([SETUP, LOOK], name="Untitled.ipynb")
    lab.run(0)
    assert prompts(lab) == []


def test_a_notebook_that_was_renamed_before_its_first_prompt_and_a_new_one_of_its_old_name(
    lab: Lab, chromium: Browser
) -> None:
    from labs import Lab as AnotherPage

    lab.open([SETUP, FIRST, LOOK], name="Untitled.ipynb")
    lab.run(0)
    lab.save()
    lab.confirm("docmanager:rename", "renamed.ipynb")
    other = AnotherPage(lab.server, chromium.new_page(), lab.directory)
    other.open([SETUP, "%%chat counter\nsomething else", LOOK], name="Untitled.ipynb")
    other.run(0)
    lab.run(1)
    other.run(1)
    assert prompts(lab) == ["first"]
    assert prompts(other) == ["something else"]


def test_a_copy_has_what_its_file_carries_and_its_own_future(lab: Lab) -> None:
    lab.open([SETUP, FIRST, SECOND, LOOK], name="talk.ipynb")
    lab.run_all()
    lab.save()
    copy = "folder => jupyterapp.serviceManager.contents.copy(`${folder}/talk.ipynb`, folder)"
    lab.page.evaluate(copy, lab.directory.name)
    lab.add("%%chat\nnot in the copy")
    lab.open(name="talk-Copy1.ipynb")
    lab.run(0)
    third = lab.add(THIRD)
    expect(lab.output(third)).to_contain_text("third, after 2, reply 1")
    expect(lab.output(third)).to_contain_text("continues 2 turns from")
    assert prompts(lab) == ["first", "second", "third"]


def test_with_the_database_deleted_the_notebook_has_the_conversation(lab: Lab) -> None:
    lab.open([SETUP, FIRST, SECOND, LOOK])
    lab.run_all()
    lab.run(1)
    lab.save()
    delete_database(lab)
    lab.open()
    lab.run(0)
    third = lab.add(THIRD)
    expect(lab.output(third)).to_contain_text("third, after 2, reply 1")
    expect(lab.output(third)).to_contain_text("continues 2 turns from")
    told = history(lab)
    assert [turn["reply"] for turn in told[:2]] == ["first, after 0, reply 3", "second, after 1, reply 2"]
    lab.run_all()
    assert prompts(lab) == ["first", "second", "third"]


def test_a_notebook_that_was_mailed_has_the_conversation(lab: Lab, colleague: Lab) -> None:
    lab.open([SETUP, FIRST, SECOND, LOOK])
    lab.run_all()
    lab.save()
    shutil.copy(lab.directory / "test.ipynb", colleague.directory / "fwd talk.ipynb")
    colleague.open(name="fwd talk.ipynb")
    expect(colleague.output(2)).to_contain_text("second, after 1, reply 2")
    colleague.run(0)
    third = colleague.add(THIRD)
    expect(colleague.output(third)).to_contain_text("third, after 2, reply 1")
    assert prompts(colleague) == ["first", "second", "third"]
    assert colleague.outside == []


def test_a_deleted_cell_is_sent_no_more_until_it_is_back_and_runs(lab: Lab) -> None:
    lab.open([SETUP, FIRST, SECOND, LOOK, "%chat history"])
    lab.run_all()
    lab.select(1)
    lab.command("notebook:delete-cell")
    lab.run(1)
    assert lab.text(1).startswith("second, after 0")
    assert [turn["standing"] for turn in history(lab)] == ["deleted", "current"]
    lab.run(3)
    expect(lab.output(3)).to_contain_text("cell deleted")
    lab.command("notebook:undo-cell-action")
    assert lab.sources()[1] == FIRST
    lab.run(1)
    lab.run(2)
    assert lab.text(2).startswith("second, after 1")
    assert [turn["standing"] for turn in history(lab)] == ["current", "current"]


def test_a_cell_that_was_deleted_before_a_restart_is_sent_no_more(lab: Lab) -> None:
    lab.open([SETUP, FIRST, SECOND, LOOK])
    lab.run_all()
    lab.select(1)
    lab.command("notebook:delete-cell")
    lab.restart()
    lab.run(0)  # the page says only now which cells were deleted, to a kernel without the extension
    lab.run(1)
    assert lab.text(1).startswith("second, after 0")
    assert [turn["standing"] for turn in history(lab)] == ["deleted", "current"]


def test_cells_that_are_moved_duplicated_split_and_replaced(lab: Lab) -> None:
    lab.open([SETUP, FIRST, SECOND, LOOK])
    lab.run_all()
    lab.select(1)
    lab.command("notebook:cut-cell")
    lab.select(1)
    lab.command("notebook:paste-cell-below")
    assert lab.sources()[1:3] == [SECOND, FIRST]
    lab.run(2)
    assert [(turn["prompt"], turn["versions"]) for turn in history(lab)] == [("first", 2), ("second", 1)]
    lab.command("notebook:duplicate-below")  # of the cell that shows the history
    lab.select(2)
    lab.command("notebook:copy-cell")
    lab.command("notebook:paste-cell-below")
    lab.run(3)
    assert lab.text(3).startswith("first, after 2")
    assert [(turn["prompt"], turn["versions"]) for turn in history(lab)][2:] == [("first", 1)]
    lab.write(3, "%%chat counter\nupper\n%%chat counter\nlower")
    lab.select(3, line=2)
    lab.command("notebook:split-cell-at-cursor")
    lab.run(3)
    lab.run(4)
    lab.run_all()
    assert sorted(prompts(lab)) == ["first", "lower", "second", "upper"]
    lab.select(1)
    lab.command("notebook:delete-cell")
    lab.add(SECOND)
    found = history(lab)
    assert [(turn["prompt"], turn["standing"]) for turn in found][1] == ("second", "current")
    assert len(found) == 4


def test_stale_turns_are_asked_again_where_they_are_to_be_seen(lab: Lab) -> None:
    again = "%chat retry --stale"
    lab.open([SETUP, FIRST, SECOND, THIRD, again, LOOK])
    for cell in (0, 1, 2, 3, 1):
        lab.run(cell)
    expect(lab.output(1)).to_contain_text("2 later turns are now stale")
    assert [turn["stale"] for turn in history(lab)] == [False, True, True]
    lab.run(4)
    expect(lab.output(2)).to_contain_text("second, after 1, reply 5")
    expect(lab.output(3)).to_contain_text("third, after 2, reply 6")
    expect(lab.output(4)).not_to_contain_text("reply")
    lab.save()
    lab.open()
    lab.run(1)
    lab.run(4)
    expect(lab.output(2)).to_contain_text("second, after 1, reply 5")
    expect(lab.output(4)).to_contain_text("second, after 1, reply 8")
    expect(lab.output(4)).to_contain_text("third, after 2, reply 9")
    assert [turn["stale"] for turn in history(lab)] == [False, False, False]


def test_a_prompt_is_edited_in_a_new_cell(lab: Lab) -> None:
    lab.open([SETUP, FIRST, SECOND, LOOK])
    lab.run_all()
    edit = lab.add("%chat edit 1")
    (source,) = lab.sources()[edit + 1 :]
    assert re.fullmatch(r"%%chat --edit [0-9a-f]{8}\nfirst", source)
    lab.write(edit + 1, source.replace("first", "better"))
    lab.run(edit + 1)
    assert lab.text(edit + 1) == "better, after 0, reply 3"
    expect(lab.output(edit + 1)).to_contain_text("1 later turn is now stale")
    assert prompts(lab) == ["better", "second"]


COLUMNS = """cells => cells.map(cell => [getComputedStyle(cell).textAlign, cell.getBoundingClientRect().left])"""


def test_the_table_of_the_history_shows_texts_as_they_are(lab: Lab) -> None:
    hostile = "<img src=x onerror='window.hit = 1'> $\\href{javascript:window.hit=1}{x}$ costs $5 and $10"
    lab.open([SETUP, f"%%chat echo\n{hostile}", "%chat history", "%chat echo\nformula: $x$"])
    lab.run_all()
    row = lab.output(2).locator("tbody td")
    expect(row.nth(4)).to_contain_text("<img src=x")
    expect(row.nth(6)).to_have_text("done")
    head = lab.output(2).locator("th")
    assert head.evaluate_all(COLUMNS) == row.evaluate_all(COLUMNS)
    typeset = lab.add("from IPython.display import Latex\nLatex('$x$')")
    expect(lab.output(typeset).locator("mjx-container")).to_have_count(1)  # what comes after the table was typeset
    expect(lab.output(2).locator("mjx-container, img, a")).to_have_count(0)
    assert lab.page.evaluate("window.hit") is None


def test_a_reply_whose_kernel_and_page_went_in_mid_stream(lab: Lab) -> None:
    lab.open([SETUP, FIRST, "%%chat endless\nlong", LOOK])
    lab.run(0)
    lab.run(1)
    lab.run(2, wait=False)
    expect(lab.output(2)).to_contain_text("piece 11")
    lab.save()
    wait_until_stored(lab, "piece 11")
    process = kernel(lab)[1]
    lab.page.goto("about:blank")
    os.kill(process, signal.SIGKILL)
    lab.close()
    lab.open()
    lab.run(0)
    in_database = history(lab)[1]
    delete_database(lab)
    lab.open()
    lab.run(0)
    in_notebook = history(lab)[1]
    for told in in_database, in_notebook:
        assert told["status"] == "stopped"
        assert told["reply"].startswith("half of it piece 0")
        assert "piece 11" in told["reply"]
    last = lab.add("%%chat counter\nnext")
    assert lab.text(last) == "next, after 2, reply 1"
    sent = lab.add("print(nbchat.current().messages[3]['content'][-40:])")
    expect(lab.output(sent)).to_contain_text("[The reply was cut off here.]")
