"""A notebook keeps its conversations: through restarts, renames, copies and mail, and by its cells. In real kernels."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from documents import Document
from kernels import CellFailed, Kernel

pytestmark = pytest.mark.slow

SETUP = """
%load_ext nbchat
import nbchat
from nbchat.testing import Gate, ScriptedProvider

class Counter:
    def __init__(self):
        self.calls = 0
    def __call__(self, messages):
        self.calls += 1
        return [f"{messages[-1]['content']}, after {len(messages) // 2}, reply {self.calls}"]

nbchat.register(ScriptedProvider(name="echo"))
nbchat.register(ScriptedProvider(Counter(), name="counter"))
nbchat.register(ScriptedProvider(["half ", 60], ["half"], name="slow"))
"""
START = Callable[..., Kernel]


@pytest.fixture
def start(start_kernel: START, tmp_path: Path) -> Callable[[Document], Kernel]:
    """A function that starts a kernel for a notebook, with the extension and some providers."""

    def started(document: Document, **variables: str) -> Kernel:
        kernel = start_kernel(**document.variables | variables)
        kernel.run(SETUP)
        return kernel

    return started


@pytest.fixture
def document(tmp_path: Path) -> Document:
    cells = {"one": "%%chat counter\nfirst", "two": "%%chat\nsecond", "look": "%chat history"}
    return Document(tmp_path / "talk.ipynb", cells)


def turns(document: Document, kernel: Kernel) -> list[str]:
    """The prompts of the conversation, by the table of a cell that is not saved."""
    rows = kernel.run("[turn.prompt for turn in nbchat.current().history]", cell_id="asking-cell").data
    return [word.strip(" '") for word in rows[-1]["text/plain"].strip("[]").split(",") if word.strip()]


def test_a_conversation_goes_on_after_a_restart_and_says_so(start: START, document: Document) -> None:
    first = start(document)
    document.run_all(first)
    first.close()
    second = start(document)
    document.sources["three"] = "%%chat\nthird"
    document.run(second, "three")
    assert document.text("three") == "third, after 2, reply 1"
    assert "continues 2 turns from" in document.html("three")
    assert "%chat reset starts afresh" in document.html("three")
    document.run(second, "three")
    assert "continues" not in document.html("three")
    assert turns(document, second) == ["first", "second", "third"]


def test_run_all_leaves_one_turn_for_each_send_before_and_after_a_restart(start: START, document: Document) -> None:
    document.sources["loop"] = "for n in range(3):\n    print(nbchat.current().send(f'number {n}').result())"
    expected = ["first", "second", "number 0", "number 1", "number 2"]
    for _ in range(3):
        kernel = start(document)
        for _ in range(2):
            document.run_all(kernel)
        assert turns(document, kernel) == expected
        kernel.close()


def test_a_shorter_loop_and_a_cell_that_asks_no_more_leave_fewer_turns(start: START, document: Document) -> None:
    document.sources["loop"] = "for n in range(3):\n    nbchat.current().send(f'number {n}').result()"
    kernel = start(document)
    document.run_all(kernel)
    document.run(kernel, "loop", document.sources["loop"].replace("range(3)", "range(1)"))
    assert turns(document, kernel) == ["first", "second", "number 0"]
    document.run(kernel, "one", "1 + 1")
    assert turns(document, kernel) == ["second", "number 0"]
    document.run(kernel, "look")
    assert "stale" in document.text("look")
    kernel.run("%chat undo 2", cell_id="undoing")
    assert turns(document, kernel) == ["first", "second", "number 0", "number 1", "number 2"]


def test_a_cell_that_fails_or_looks_at_the_conversation_keeps_its_turns(start: START, document: Document) -> None:
    kernel = start(document)
    document.run_all(kernel)
    document.run(kernel, "one", "1 / 0", check=False)
    document.run(kernel, "two", "%chat history")
    assert turns(document, kernel) == ["first", "second"]


def test_a_cell_that_asked_no_more_before_the_conversation_was_opened(start: START, document: Document) -> None:
    kernel = start(document)
    document.run_all(kernel)
    kernel.close()
    kernel = start(document)
    document.run(kernel, "one", "1 + 1")
    document.run(kernel, "two")
    assert turns(document, kernel) == ["second"]


def test_the_turn_of_a_deleted_cell_is_sent_no_more_until_it_runs(start: START, document: Document) -> None:
    kernel = start(document)
    document.run_all(kernel)
    document.run(kernel, "two", deleted=["one", "two"])
    assert document.text("two").startswith("second, after 0")
    document.run(kernel, "look")
    assert "cell deleted" in document.text("look")
    document.run(kernel, "one")
    document.run(kernel, "two")
    assert document.text("two").startswith("second, after 1")


def test_a_renamed_notebook_keeps_its_conversation(start: START, document: Document) -> None:
    kernel = start(document)
    document.run_all(kernel)
    document.save()
    document.rename("renamed.ipynb")
    document.run(kernel, "two")
    kernel.close()
    kernel = start(document)
    assert turns(document, kernel) == ["first", "second"]
    assert "renamed.ipynb" in kernel.run("%chat notebooks", cell_id="x").stdout
    assert "talk.ipynb" not in kernel.run("%chat notebooks", cell_id="x").stdout


PANEL = """
from nbchat.notebook import apart_from_cells
nbchat.current()
with apart_from_cells():
    print(nbchat.current().send({prompt!r}, model="counter").result())
"""


def test_a_renamed_notebook_keeps_what_the_panel_sent_of_which_no_cell_tells(start: START, document: Document) -> None:
    document.sources = {"panel": "%load_ext nbchat"}
    document.save()
    kernel = start(document)
    kernel.run(PANEL.format(prompt="before"), cell_id="panel")
    document.rename("renamed.ipynb")
    kernel.run(PANEL.format(prompt="after"), cell_id="panel")
    kernel.close()
    document.save()
    assert turns(document, start(document)) == ["before", "after"]


def test_a_copy_has_what_its_file_carries_and_its_own_future(start: START, document: Document, tmp_path: Path) -> None:
    kernel = start(document)
    document.run_all(kernel)
    document.save()
    copy = document.copy(tmp_path / "copy.ipynb")
    document.run(kernel, "one", "%%chat\nchanged")
    other = start(copy)
    assert turns(copy, other) == ["first", "second"]
    copy.sources["three"] = "%%chat\nthird"
    copy.run(other, "three")
    assert copy.text("three").startswith("third, after 2")
    assert turns(copy, other) == ["first", "second", "third"]
    assert turns(document, kernel) == ["changed", "second"]


def test_with_the_database_gone_the_notebook_gives_the_conversation_back(
    start: START, document: Document, tmp_path: Path
) -> None:
    kernel = start(document)
    document.run_all(kernel)
    document.run(kernel, "one")
    document.save()
    kernel.close()
    elsewhere = tmp_path / "other-home"
    kernel = start(document, JUPYTER_DATA_DIR=str(elsewhere), HOME=str(elsewhere))
    document.sources["three"] = "%%chat\nthird"
    document.run(kernel, "three")
    assert "guide" in document.html("three")  # whom a file names is not asked unless the user says so
    document.sources["three"] = "%%chat counter\nthird"
    document.run(kernel, "three")
    assert document.text("three").startswith("third, after 2")
    document.run(kernel, "two")
    assert turns(document, kernel) == ["first", "second", "third"]


def test_without_embedding_the_notebook_tells_nothing(start: START, document: Document, tmp_path: Path) -> None:
    kernel = start(document)
    kernel.run("%config NbChat.embed = False")
    document.run_all(kernel)
    document.save()
    assert "conversation" not in document.file.read_text()
    kernel.close()
    kernel = start(document, JUPYTER_DATA_DIR=str(tmp_path / "elsewhere"))
    assert turns(document, kernel) == []


def test_what_was_sent_before_the_notebook_was_known_is_taken_along(start: START, document: Document) -> None:
    kernel = start(document)
    kernel.run("nbchat.current().send('early', model='echo').result()")
    document.run(kernel, "one")
    kernel.close()
    assert turns(document, start(document)) == ["early", "first"]


def test_where_no_cell_is_told_nothing_is_kept(start: START, document: Document, tmp_path: Path) -> None:
    kernel = start(document)
    kernel.run("%%chat echo\nby a program")
    kernel.close()
    assert list(tmp_path.rglob("history.db*")) == []
    assert turns(document, start(document)) == []


def test_ids_that_do_not_last_are_replaced_by_prompt_and_occurrence(start: START, tmp_path: Path) -> None:
    cells = {"u1": "%%chat counter\nsame", "u2": "%%chat\nsame", "u3": "%%chat\nother"}
    old = Document(tmp_path / "old.ipynb", cells, minor=4)
    kernel = start(old)
    old.run_all(kernel)
    old.run_all(kernel)
    assert turns(old, kernel) == ["same", "same", "other"]
    with kernel.reloaded():
        again = Document(old.file, {f"v{cell}": source for cell, source in cells.items()}, minor=4)
        again.run_all(kernel)
        assert turns(again, kernel) == ["same", "same", "other"]
    kernel.close()
    kernel = start(old)
    last = Document(old.file, {f"w{cell}": source for cell, source in cells.items()}, minor=4)
    last.run_all(kernel)
    assert turns(last, kernel) == ["same", "same", "other"]


def test_named_conversations_last(start: START, document: Document) -> None:
    kernel = start(document)
    document.run_all(kernel)
    kernel.run("%chat fork ideas", cell_id="x")
    kernel.run("%chat system Be brief.", cell_id="x")
    document.sources["three"] = "%%chat\nthird"
    document.run(kernel, "three")
    with pytest.raises(CellFailed, match="Every notebook has its conversation `main`"):
        kernel.run("%chat rename main plans", cell_id="x")
    kernel.close()
    kernel = start(document)
    assert turns(document, kernel) == ["first", "second", "third"]
    assert kernel.run("%chat system", cell_id="x").stdout.strip() == "Be brief."
    kernel.run("%chat delete ideas", cell_id="x")
    kernel.close()
    kernel = start(document)
    assert turns(document, kernel) == ["first", "second"]
    kernel.run("%chat undo", cell_id="x")
    kernel.run("%chat switch ideas", cell_id="x")
    assert turns(document, kernel) == ["first", "second", "third"]


def test_an_undo_reaches_beyond_a_restart(start: START, document: Document) -> None:
    kernel = start(document)
    document.run_all(kernel)
    kernel.run("%chat reset", cell_id="x")
    kernel.close()
    kernel = start(document)
    assert turns(document, kernel) == []
    kernel.run("%chat undo", cell_id="x")
    assert turns(document, kernel) == ["first", "second"]


def test_stale_turns_are_asked_again_in_their_own_cells(start: START, document: Document) -> None:
    kernel = start(document)
    document.sources |= {"three": "%%chat\nthird", "again": "%chat retry --stale"}
    for cell in ("one", "two", "three"):
        document.run(kernel, cell)
    document.run(kernel, "one")
    assert "2 later turns are now stale (%chat retry --stale)" in document.html("one")
    document.run(kernel, "again")
    assert document.text("two") == "second, after 1, reply 5"
    assert document.text("three") == "third, after 2, reply 6"
    asked = "Turns 2, 3: asked again, each in its own cell if that is on this page.\n"
    assert document.text("again") == asked
    document.save()
    with kernel.reloaded():
        document.run(kernel, "one")
        document.run(kernel, "again")
    assert document.text("two") == "second, after 1, reply 5"
    assert document.text("again") == asked + "second, after 1, reply 8third, after 2, reply 9"
    assert "second" in document.html("again")


def test_an_edited_prompt_takes_the_place_of_the_turn(start: START, document: Document) -> None:
    kernel = start(document)
    document.run_all(kernel)
    edited = kernel.run("%chat edit 1", cell_id="x")
    assert edited.reply
    (payload,) = edited.reply["payload"]
    assert re.fullmatch(r"%%chat --edit [0-9a-f]{8}\nfirst", payload["text"])
    document.sources["edited"] = payload["text"].replace("first", "better")
    document.run(kernel, "edited")
    assert "1 later turn is now stale" in document.html("edited")
    document.run(kernel, "edited")
    assert turns(document, kernel) == ["better", "second"]


def test_a_second_kernel_on_one_notebook_loses_and_mixes_nothing(start: START, document: Document) -> None:
    one, other = start(document), start(document)
    document.run(one, "one")
    document.run(other, "two")
    document.sources["three"] = "%%chat counter\nthird"
    document.run(one, "three")
    assert turns(document, other) == turns(document, one) == ["first", "second", "third"]


def test_a_path_or_memory_can_be_chosen(start: START, document: Document, tmp_path: Path) -> None:
    kernel = start(document)
    place = tmp_path / "elsewhere" / "talks.db"
    kernel.run(f"%config NbChat.history = {str(place)!r}", cell_id="x")
    document.run(kernel, "one")
    kernel.run("%config NbChat.history = 'memory'", cell_id="x")
    document.run(kernel, "two")
    assert turns(document, kernel) == ["first", "second"]
    kernel.close()
    with sqlite3.connect(place) as database:
        assert database.execute("SELECT count(*) FROM turns").fetchone() == (1,)
    assert list(tmp_path.rglob("history.db")) == []


@pytest.mark.parametrize("damage", ["garbage", "directory", "newer"])
def test_a_store_that_cannot_be_used_is_said_once_and_chat_goes_on(
    start: START, document: Document, tmp_path: Path, damage: str
) -> None:
    place = tmp_path / "store" / "history.db"
    place.parent.mkdir()
    if damage == "garbage":
        place.write_bytes(os.urandom(10_000))
    elif damage == "directory":
        place.mkdir()
    else:
        with sqlite3.connect(place) as database:
            database.execute("PRAGMA user_version = 1000")
            database.execute("CREATE TABLE turns (x)")
    kernel = start(document)
    kernel.run(f"%config NbChat.history = {str(place)!r}", cell_id="x")
    document.run(kernel, "one")
    document.run(kernel, "two")
    said = document.html("one") + document.html("two")
    assert said.count(place.name) >= 1
    assert document.text("two").startswith("second, after 1")
    assert turns(document, kernel) == ["first", "second"]


def test_a_stored_notebook_is_listed_and_forgotten_for_good(start: START, document: Document, tmp_path: Path) -> None:
    document.sources["one"] = "%%chat counter\na canary in the prompt"
    kernel = start(document)
    document.run_all(kernel)
    listed = kernel.run("%chat notebooks", cell_id="x").stdout
    assert "2 turns" in listed
    assert str(document.file) in listed
    assert "2 turns" in kernel.run("%chat forget talk.ipynb", cell_id="x").stdout
    assert turns(document, kernel) == []
    for file in tmp_path.rglob("history.db*"):
        assert b"canary" not in file.read_bytes()


def test_a_cut_reply_goes_on_after_a_restart(start: START, document: Document) -> None:
    kernel = start(document)
    document.sources["slow"] = "%%chat slow\ncount"
    running = kernel.start(document.sources["slow"], cell_id="slow")
    kernel.wait(running, lambda execution: any("half" in data.get("text/plain", "") for data in execution.data))
    kernel.interrupt()
    kernel.wait(running)
    kernel.close()
    kernel = start(document)
    kernel.run("nbchat.register(ScriptedProvider(['and half'], name='slow'))")
    assert "half and half" in kernel.run("%chat continue", cell_id="y").data[-1]["text/plain"]


def test_a_renamed_or_deleted_conversation_does_not_come_back_by_the_file(start: START, document: Document) -> None:
    kernel = start(document)
    kernel.run("%chat switch -n ideas", cell_id="x")
    document.run(kernel, "one")
    kernel.run("%chat switch -n others", cell_id="x")
    document.run(kernel, "two", "%%chat counter\nsecond")
    document.save()
    kernel.close()
    kernel = start(document)
    kernel.run("%chat rename ideas plans", cell_id="x")
    kernel.run("%chat delete others", cell_id="x")
    assert re.findall(r"\w+(?=  +\d turn)", kernel.run("%chat list", cell_id="x").stdout) == ["main", "plans"]
    kernel.run("%chat undo", cell_id="x")
    assert "others" in kernel.run("%chat list", cell_id="x").stdout


def test_what_came_back_with_a_colleague_is_one_turn_also_after_an_undo(
    start: START, document: Document, tmp_path: Path
) -> None:
    kernel = start(document)
    document.run_all(kernel)
    document.run(kernel, "one")
    document.save()
    kernel.close()
    elsewhere = start(document, JUPYTER_DATA_DIR=str(tmp_path / "elsewhere"))
    document.run(elsewhere, "one")
    document.save()
    elsewhere.close()
    kernel = start(document)
    assert turns(document, kernel) == ["first", "second"]
    kernel.run("%chat undo", cell_id="x")
    assert turns(document, kernel).count("first") <= 1


def test_a_retry_in_another_cell_tells_the_prompt_of_its_turn(start: START, document: Document, tmp_path: Path) -> None:
    kernel = start(document)
    document.run(kernel, "one")
    document.sources["retry"] = "%chat retry"
    document.run(kernel, "retry")
    document.save()
    kernel.close()
    kernel = start(document, JUPYTER_DATA_DIR=str(tmp_path / "elsewhere"))
    assert turns(document, kernel) == ["first"]
    last = kernel.run("nbchat.current().history[0].text", cell_id="x").data[-1]["text/plain"]
    assert "reply 2" in last


def test_to_look_at_the_prompt_drops_no_turn(start: START, document: Document) -> None:
    kernel = start(document)
    document.run_all(kernel)
    document.run(kernel, "one", "%%chat --show-prompt\nfirst")
    assert turns(document, kernel) == ["first", "second"]


def test_what_is_forgotten_does_not_come_back_by_the_file_in_this_kernel(
    start: START, document: Document, tmp_path: Path
) -> None:
    document.sources["one"] = "%%chat counter\na canary in the prompt"
    kernel = start(document)
    document.run(kernel, "one")
    document.save()
    kernel.run("%chat forget talk.ipynb", cell_id="x")
    assert turns(document, kernel) == []
    for file in tmp_path.rglob("history.db*"):
        assert b"canary" not in file.read_bytes()


def test_a_change_of_place_doubles_and_reverts_nothing(start: START, document: Document) -> None:
    kernel = start(document)
    document.run_all(kernel)
    kernel.run("%config NbChat.history = 'memory'", cell_id="x")
    kernel.run("%chat drop 1", cell_id="x")
    kernel.run("%config NbChat.history = ''", cell_id="x")
    assert turns(document, kernel) == ["second"]
    assert kernel.run("%chat undo 9", cell_id="x").stdout.count("\n") == 3


def test_a_dropped_turn_of_a_cell_is_said(start: START, document: Document) -> None:
    kernel = start(document)
    document.run_all(kernel)
    document.run(kernel, "one", "1 + 1")
    document.run(kernel, "two")
    assert "1 turn that a cell does not send any more dropped (%chat undo)" in document.html("two")


def test_what_asks_without_a_cell_does_not_change_whose_turns_are_whose(start: START, document: Document) -> None:
    kernel = start(document)
    document.run_all(kernel)
    kernel.run("nbchat.current().send('by a widget').result()")  # a request without a cell
    assert kernel.run("nbchat.current().history[-1].session").data[-1]["text/plain"] == "''"
    document.run(kernel, "one", "%%chat counter\nchanged")
    assert turns(document, kernel) == ["changed", "second", "by a widget"]
