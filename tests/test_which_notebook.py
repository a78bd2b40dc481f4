"""A notebook finds the row of the store that it has, whatever becomes of its file; and no other notebook finds that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from nbchat.history import Cell, Turn
from nbchat.saved.notebook import read
from nbchat.store.notebooks import find, is_lasting, locate, name_now, renamed
from nbchat.store.store import Store, StoredNotebook

PROMPT = "What is the capital of France?"
TELLING = {
    "conversation": "main",
    "id": "0" * 32,
    "model": "m",
    "provider": "p",
    "status": "done",
    "time": "2026-11-20T13:00:00.000+00:00",
}


@dataclass
class Desk:
    """A person who saves notebooks and chats in them; each act takes a second."""

    store: Store
    folder: Path
    now: int = 1_800_000_000

    def save(self, name: str | Path, *cells: str, source: str = "", carries: str = "", minor: int = 5) -> Path:
        """Write a notebook of these cells in place, as Jupyter does; `carries` is a turn of which it has the output."""
        file = self.folder / name
        code: list[dict[str, Any]] = [
            {"cell_type": "code", "execution_count": None, "id": id_, "metadata": {}, "outputs": [], "source": source}
            for id_ in cells
        ]
        if carries:
            output = {"output_type": "display_data", "data": {"text/plain": "Paris"}}
            code[0]["outputs"] = [output | {"metadata": {"nbchat": TELLING | {"id": carries}}}]
        if minor < 5:
            for cell in code:
                del cell["id"]
        whole = {"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": minor}
        file.write_text(json.dumps(whole, indent=1), encoding="utf-8")
        return self.touch(file)

    def touch(self, file: Path | str) -> Path:
        self.now += 1
        os.utime(file, (self.now, self.now))
        return Path(file)

    def open(self, file: Path, cell: str = "another") -> int:
        """Ask for the row in a kernel that has just started."""
        return find(self.store, file, read(file), cell)

    def chat(self, file: Path, cell: str | None = "a", prompt: str = PROMPT) -> int:
        """Send a prompt from a cell, from the panel if it is None."""
        row = self.open(file, cell or "another")
        self.now += 1
        turn = Turn(prompt, "m", "p", Cell(cell, 0) if cell else None, started=datetime.fromtimestamp(self.now, UTC))
        turn.chunks.append("Paris")
        turn.status = "done"
        self.store.conversation(row, "main").write([turn])
        assert self.store.flush()
        return row

    def row(self, number: int) -> StoredNotebook:
        (found,) = [row for row in self.store.notebooks() if row.id == number]
        return found

    def turn_id(self, row: int) -> str:
        turns, _ = self.store.conversation(row, "main").read()
        return turns[-1].id


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store" / "history.db")
    yield store
    store.close()


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Desk:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    return Desk(store, folder)


def replace(file: Path) -> Path:
    """Put a new file of the same content in place, as git does, so that it has another inode."""
    before = file.stat().st_ino
    new = file.with_suffix(".new")
    shutil.copy2(file, new)
    new.replace(file)
    assert file.stat().st_ino != before
    return file


def test_a_notebook_keeps_its_row_through_saves_and_restarts(desk: Desk) -> None:
    file = desk.save("a.ipynb")
    row = desk.chat(file)
    assert desk.open(file) == row
    desk.save("a.ipynb", "a")
    assert [desk.open(file), desk.open(file, "a"), desk.chat(file, "b")] == [row] * 3
    known = desk.row(row)
    assert (known.path, known.inode, known.turns) == (str(file), file.stat().st_ino, 2)
    assert len(desk.store.notebooks()) == 1


def test_a_notebook_that_was_not_saved_since_its_turns_is_the_same(desk: Desk) -> None:
    file = desk.save("a.ipynb", "x")
    row = desk.chat(file, "unsaved")
    assert desk.open(file, "another unsaved one") == row


def test_each_notebook_has_a_row_of_its_own(desk: Desk) -> None:
    files = [desk.save(f"{name}.ipynb", "a") for name in "abc"]
    assert len({desk.chat(file) for file in files}) == 3


def test_a_renamed_notebook_keeps_its_row(desk: Desk) -> None:
    row = desk.chat(desk.save("a.ipynb", "a"))
    file = (desk.folder / "a.ipynb").rename(desk.folder / "b.ipynb")
    assert desk.open(file) == row
    assert desk.row(row).path == str(file)
    file = file.rename(desk.folder / "c.ipynb")
    assert desk.chat(file, "new") == row
    assert desk.open(file) == row


def test_a_notebook_renamed_while_its_kernel_runs_keeps_what_no_cell_tells(desk: Desk) -> None:
    old = desk.folder / "a.ipynb"
    row = desk.chat(desk.save("a.ipynb", "x", source="%load_ext nbchat"), None)
    assert renamed(desk.store, row, old) is None, "it is where it was"
    file = old.rename(desk.folder / "b.ipynb")
    assert renamed(desk.store, row, old) == file
    assert desk.open(file) == row
    assert desk.row(row).path == str(file)


def test_a_file_of_another_notebook_is_no_new_name(desk: Desk) -> None:
    old = desk.folder / "a.ipynb"
    row = desk.chat(desk.save("a.ipynb", "x", source="%load_ext nbchat"), None)
    file = old.rename(desk.folder / "b.ipynb")
    other = desk.open(desk.save(file, "y", source="1 + 1"))
    assert other != row
    assert renamed(desk.store, row, old) is None, "another row has that file"
    desk.store.forget([other])
    assert renamed(desk.store, row, old) is None, "it does not use nbchat"
    old.write_text("{")
    assert renamed(desk.store, row, old) is None, "there is a file"


def test_a_notebook_renamed_before_it_was_saved_is_told_by_the_cell_that_runs(desk: Desk) -> None:
    row = desk.chat(desk.save("a.ipynb"), "unsaved")
    file = (desk.folder / "a.ipynb").rename(desk.folder / "b.ipynb")
    assert desk.open(file, "unsaved") == row


def test_a_notebook_moved_to_another_folder_keeps_its_row(desk: Desk) -> None:
    row = desk.chat(desk.save("a.ipynb", "a"))
    (desk.folder / "sub").mkdir()
    file = (desk.folder / "a.ipynb").rename(desk.folder / "sub/a.ipynb")
    assert desk.open(file) == row
    file.rename(desk.folder / "elsewhere.ipynb")
    (desk.folder / "sub").rmdir()
    assert desk.open(desk.folder / "elsewhere.ipynb") == row


@pytest.mark.parametrize("first", ["renamed", "new"])
def test_a_new_notebook_under_the_name_of_a_renamed_one_is_another(desk: Desk, first: str) -> None:
    old = desk.chat(desk.save("a.ipynb", "a"))
    renamed = (desk.folder / "a.ipynb").rename(desk.folder / "b.ipynb")
    file = desk.save("a.ipynb", "x")
    if first == "renamed":
        assert desk.open(renamed) == old
    new = desk.chat(file, "x")
    assert new != old
    assert desk.row(old).path == str(renamed)
    assert [desk.open(renamed), desk.open(file)] == [old, new]
    assert (desk.row(old).path, desk.row(new).path) == (str(renamed), str(file))


@pytest.mark.parametrize("first", ["renamed", "copy"])
def test_a_copy_put_in_the_place_of_a_renamed_notebook_is_another(desk: Desk, first: str) -> None:
    old = desk.chat(desk.save("a.ipynb", "a"))
    renamed = (desk.folder / "a.ipynb").rename(desk.folder / "b.ipynb")
    copy = desk.touch(shutil.copy(renamed, desk.folder / "a.ipynb"))
    files = [renamed, copy] if first == "renamed" else [copy, renamed]
    rows = {file: desk.open(file) for file in files}
    assert rows[renamed] == old
    assert rows[copy] != old


def test_a_copy_has_a_row_of_its_own_even_when_the_original_is_gone(desk: Desk) -> None:
    file = desk.save("a.ipynb", "a")
    row = desk.chat(file)
    copy = desk.touch(shutil.copy(file, desk.folder / "copy.ipynb"))
    of_copy = desk.chat(copy)
    assert of_copy != row
    file.unlink()
    assert desk.open(copy) == of_copy
    another = desk.touch(shutil.copy(copy, desk.folder / "another.ipynb"))
    assert desk.open(another) != of_copy


@pytest.mark.parametrize("cells", [(), ("x",)])
def test_the_next_untitled_notebook_is_not_the_one_that_was_deleted(desk: Desk, cells: tuple[str, ...]) -> None:
    file = desk.save("Untitled.ipynb", "a")
    old = desk.chat(file)
    before = file.stat().st_ino
    desk.save("Untitled.ipynb", *cells, source="%load_ext nbchat")  # in place: the inode is the same at all events
    assert file.stat().st_ino == before
    new = desk.chat(file, "x")
    assert new != old
    assert (desk.row(old).path, desk.row(old).turns) == ("", 1)
    assert desk.open(file, "y") == new


def test_a_notebook_that_was_never_chatted_in_leaves_its_row_to_the_next(desk: Desk) -> None:
    file = desk.save("a.ipynb", "a")
    row = desk.open(file)
    desk.save("a.ipynb", "x")
    assert desk.chat(file, "x") == row


def test_a_notebook_that_comes_back_has_its_row_again(desk: Desk) -> None:
    file = desk.save("a.ipynb", "a")
    row = desk.chat(file)
    trashed = file.rename(desk.folder / "trashed")
    assert desk.chat(desk.save("a.ipynb", "x"), "x") != row
    file.unlink()
    trashed.rename(file)
    assert desk.open(file) == row


def test_a_checkout_or_an_editor_that_replaces_the_file_changes_nothing(desk: Desk) -> None:
    row = desk.chat(desk.save("a.ipynb", "a"))
    file = replace(desk.folder / "a.ipynb")
    assert desk.open(file) == row
    assert desk.row(row).inode == file.stat().st_ino
    moved = replace(file).rename(desk.folder / "b.ipynb")
    assert desk.open(moved) != row  # two things at once are too much: a copy would look the same


def test_another_notebook_checked_out_in_the_same_place_is_another(desk: Desk) -> None:
    row = desk.chat(desk.save("a.ipynb", "a"))
    desk.save("new", "x").replace(desk.folder / "a.ipynb")
    assert desk.open(desk.folder / "a.ipynb") != row


def test_an_editors_backup_does_not_take_the_row_along(desk: Desk) -> None:
    file = desk.save("a.ipynb", "a")
    row = desk.chat(file)
    file.rename(desk.folder / "a.ipynb~")
    desk.save("a.ipynb", "a", "b")
    assert desk.open(file) == row


@pytest.mark.parametrize("keeps_time", [False, True])
@pytest.mark.parametrize("first", ["original", "copy"])
def test_a_duplicate_with_the_inode_that_the_original_had_before_a_checkout_is_a_copy(
    desk: Desk, first: str, keeps_time: bool
) -> None:
    file = desk.save("a.ipynb", "a")
    row = desk.chat(file)
    freed = desk.folder / "freed"
    freed.hardlink_to(file)
    replace(file)
    freed.write_bytes(file.read_bytes())
    copy = desk.touch(freed.rename(desk.folder / "copy.ipynb"))
    if keeps_time:
        shutil.copystat(file, copy)
    files = [file, copy] if first == "original" else [copy, file]
    rows = {each: desk.open(each) for each in files}
    assert rows[file] == row
    assert rows[copy] != row


def test_another_notebook_with_the_inode_from_before_a_checkout_does_not_take_the_row_along(desk: Desk) -> None:
    file = desk.save("a.ipynb", "a")
    row = desk.chat(file)
    freed = desk.folder / "freed"
    freed.hardlink_to(file)
    replace(file)
    freed.rename(desk.folder / "b.ipynb")
    desk.save("b.ipynb", "b")
    desk.save("a.ipynb", "all anew")
    assert desk.open(file) != row
    assert desk.row(row).path == ""
    assert desk.open(desk.folder / "b.ipynb") != row


def test_notebooks_that_change_names_change_the_names_of_their_rows(desk: Desk) -> None:
    a, b = desk.save("a.ipynb", "a"), desk.save("b.ipynb", "b")
    rows = [desk.chat(a, "a"), desk.chat(b, "b")]
    a.rename(desk.folder / "c")
    b.rename(a)
    (desk.folder / "c").rename(b)
    assert [desk.open(b), desk.open(a)] == rows
    assert [desk.row(row).path for row in rows] == [str(b), str(a)]


def test_a_notebook_that_replaces_the_one_it_was_copied_from_keeps_its_own_row(desk: Desk) -> None:
    file = desk.save("a.ipynb", "a")
    old = desk.chat(file)
    copy = desk.touch(shutil.copy(file, desk.folder / "copy.ipynb"))
    own = desk.chat(copy, "b")
    desk.save("copy.ipynb", "a", "b")
    copy.replace(file)
    assert desk.open(file) == own
    assert desk.row(old).path == ""


def test_a_copy_that_is_replaced_keeps_its_row_though_its_inode_was_that_of_the_original(desk: Desk) -> None:
    file = desk.save("a.ipynb", "a")
    old = desk.chat(file)
    copy = desk.touch(shutil.copy(file, desk.folder / "copy.ipynb"))
    own = desk.chat(copy)
    file.replace(copy)  # as if the inode had been freed and used again
    assert desk.open(copy) == own
    assert desk.row(old).path == str(file)


def test_a_hard_link_is_a_notebook_of_its_own(desk: Desk) -> None:
    file = desk.save("a.ipynb", "a")
    row = desk.chat(file)
    (desk.folder / "b.ipynb").hardlink_to(file)
    other = desk.chat(desk.folder / "b.ipynb")
    assert other != row
    assert [desk.open(file), desk.open(desk.folder / "b.ipynb")] == [row, other]
    replace(file)
    os.utime(desk.folder / "b.ipynb", (1, 1))
    assert [desk.open(file), desk.open(desk.folder / "b.ipynb")] == [row, other]


def test_links_lead_to_one_notebook(desk: Desk, tmp_path: Path) -> None:
    row = desk.chat(desk.save("a.ipynb", "a"))
    (tmp_path / "link").symlink_to(desk.folder)
    (tmp_path / "other.ipynb").symlink_to(desk.folder / "a.ipynb")
    assert desk.open(tmp_path / "link/a.ipynb") == row
    assert desk.open(tmp_path / "other.ipynb") == row
    assert desk.row(row).path == str(desk.folder / "a.ipynb")


def test_a_conversation_of_the_panel_alone_stays_with_a_notebook_that_uses_nbchat(desk: Desk) -> None:
    file = desk.save("a.ipynb")
    row = desk.chat(file, None)
    desk.save("a.ipynb", "x", source="import nbchat\nnbchat.panel()")
    assert desk.open(file, "x") == row
    desk.save("a.ipynb", "y")
    assert desk.open(file, "y") != row


VS_CODE = "vscode-notebook-cell:/a.ipynb#W0sZmlsZQ%3D%3D"


def test_ids_that_are_addresses_prove_nothing(desk: Desk) -> None:
    file = desk.save("a.ipynb")
    row = desk.chat(file, VS_CODE)
    desk.save("a.ipynb", "x", source="1")
    assert desk.open(file, VS_CODE) != row


def test_a_notebook_of_vs_code_is_told_by_its_outputs_or_by_its_prompts(desk: Desk) -> None:
    row = desk.chat(desk.save("a.ipynb"), VS_CODE)
    desk.save("a.ipynb", "x", carries=desk.turn_id(row))
    file = (desk.folder / "a.ipynb").rename(desk.folder / "b.ipynb")
    assert desk.open(file, VS_CODE) == row
    desk.save("b.ipynb", "x", source=f"%%chat\n{PROMPT}")
    file = file.rename(desk.folder / "c.ipynb")
    assert desk.open(file, VS_CODE) == row


def test_a_short_prompt_stands_in_many_notebooks(desk: Desk) -> None:
    row = desk.chat(desk.save("a.ipynb"), VS_CODE, "Hello")
    desk.save("a.ipynb", "x", source="%%chat\nHello")
    file = (desk.folder / "a.ipynb").rename(desk.folder / "b.ipynb")
    assert desk.open(file, VS_CODE) != row


def test_ids_of_an_old_format_prove_nothing_and_prompts_do(desk: Desk) -> None:
    file = desk.save("a.ipynb", minor=4)
    row = desk.chat(file)
    desk.save("a.ipynb", "a", source=f"%%chat\n{PROMPT}", minor=4)
    assert desk.open(file, "new at this load") == row
    desk.save("a.ipynb", "a", source="1", minor=4)
    assert desk.open(file, "a") != row


@pytest.mark.parametrize("name", ["a.py", "a.md", "a.ipynb"])
def test_a_text_that_holds_no_ids_is_told_by_its_name(desk: Desk, name: str) -> None:
    file = desk.folder / name
    file.write_text("# %%\n1\n")
    row = desk.chat(desk.touch(file))
    file.write_text("# %%\n2\n")
    assert desk.open(desk.touch(file)) == row
    assert desk.open(replace(file)) == row
    moved = file.rename(file.with_stem("b"))
    assert desk.open(moved, "a") == row
    assert desk.open(moved.rename(file), "unknown") != row


def test_a_file_that_is_gone_for_the_moment_keeps_its_row(desk: Desk) -> None:
    row = desk.chat(desk.save("a.ipynb", "a"))
    (desk.folder / "a.ipynb").rename(desk.folder / "b.ipynb")
    assert desk.open(desk.folder / "a.ipynb") == row
    assert desk.row(row).path == str(desk.folder / "a.ipynb")
    assert desk.open(desk.folder / "b.ipynb") == row
    nowhere = desk.open(desk.folder / "never/there.ipynb")
    assert nowhere == desk.open(desk.folder / "never/there.ipynb") != row


def test_a_file_name_may_be_any_bytes(desk: Desk) -> None:
    file = desk.save(os.fsdecode(b"\xff\xfe.ipynb"))
    row = desk.chat(file)
    assert desk.open(file) == row
    desk.save(file.name, "a")
    assert desk.open(file.rename(desk.folder / "b.ipynb")) == row


@pytest.fixture
def inodes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], int]], None]:
    """Let the file system have other inodes, and device numbers, than it has."""
    real = os.stat

    def become(change: Callable[[int], int]) -> None:
        def stat(path: Any, **options: Any) -> os.stat_result:
            found = real(path, **options)
            times = {"st_mtime": found.st_mtime, "st_mtime_ns": found.st_mtime_ns}
            return os.stat_result((found[0], change(found.st_ino), change(found.st_dev), *found[3:]), times)

        monkeypatch.setattr(os, "stat", stat)

    return become


def test_inodes_of_64_bits_and_more_are_kept(desk: Desk, inodes: Callable[[Callable[[int], int]], None]) -> None:
    inodes(lambda number: 2**127 + 2**63 + number)
    row = desk.chat(desk.save("a.ipynb", "a"))
    file = (desk.folder / "a.ipynb").rename(desk.folder / "b.ipynb")
    assert desk.open(file) == row
    assert 0 < desk.row(row).inode < 2**63


def test_without_inodes_a_renamed_notebook_is_told_by_its_folder_and_cells(
    desk: Desk, inodes: Callable[[Callable[[int], int]], None]
) -> None:
    inodes(lambda number: 0)
    file = desk.save("a.ipynb", "a")
    row = desk.chat(file)
    assert desk.open(file) == row
    copy = desk.touch(shutil.copy(file, desk.folder / "copy.ipynb"))
    of_copy = desk.chat(copy)
    assert of_copy != row
    desk.save("other.ipynb", "x")
    moved = file.rename(desk.folder / "b.ipynb")
    assert desk.open(moved) == row
    assert desk.open(desk.folder / "other.ipynb", "x") not in (row, of_copy)
    assert name_now(desk.folder / "gone.ipynb", 0, 0) is None
    (desk.folder / "sub").mkdir()
    away = moved.rename(desk.folder / "sub/b.ipynb")
    assert desk.open(away) not in (row, of_copy)
    moved = away.rename(moved)
    assert desk.open(moved) == row
    desk.save("b.ipynb", "x")
    assert desk.chat(moved, "x") != row


def test_one_file_under_two_spellings_is_one_notebook(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = desk.save("a.ipynb", "a")
    row = desk.chat(file)
    real = os.stat

    def of_a_mac(path: Any, **options: Any) -> os.stat_result:
        return real(str(path).replace("A.IPYNB", "a.ipynb"), **options)

    monkeypatch.setattr(os, "stat", of_a_mac)
    assert find(desk.store, desk.folder / "A.IPYNB", read(file), "b") == row
    assert find(desk.store, file, read(file), "b") == row
    assert len(desk.store.notebooks()) == 1


def test_processes_that_ask_at_once_get_one_row(desk: Desk, tmp_path: Path) -> None:
    file = desk.save("a.ipynb", "a")
    code = """
import sys
from pathlib import Path
from nbchat.saved import notebook as saved
from nbchat.store import notebooks, store
kept, file = store.Store(Path(sys.argv[1])), Path(sys.argv[2])
read = saved.read(file)
print("ready", flush=True)
sys.stdin.readline()
print(notebooks.find(kept, file, read, "a"), flush=True)
kept.close()
"""
    command = [sys.executable, "-c", code, str(tmp_path / "store" / "history.db"), str(file)]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    rows = {int(process.communicate(timeout=60)[0]) for process in running}
    assert rows == {desk.open(file)}
    assert len(desk.store.notebooks()) == 1


@pytest.mark.parametrize(
    ("id_", "lasts"),
    [("0a-_Z", True), ("x" * 64, True), ("x" * 65, False), ("", False), (VS_CODE, False), ("a\n", False), ("ü", False)],
)
def test_which_ids_may_stand_in_a_file(id_: str, lasts: bool) -> None:
    assert is_lasting(id_) is lasts


@pytest.mark.parametrize("file", ["/nowhere/a.ipynb", "\0", "/" + "x" * 5_000, ""])
def test_a_place_where_nothing_is(file: str) -> None:
    place = locate(file or "/nowhere")
    assert (place.links, place.inode) == (0, 0)
    assert not place.is_same_file(0, 0)
    assert name_now(file, 1, 1) is None


NAMES = st.sampled_from(["a.ipynb", "b.ipynb", "c.ipynb", "d.ipynb"])


@dataclass
class Notebook:
    """What the model knows of a live notebook."""

    cells: list[str]
    row: int | None = None
    is_settled: bool = True
    """The store knows where it is."""


class Files(RuleBasedStateMachine):
    """Whatever is done to files: two of them never share a row, and a notebook that was moved keeps its own."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[str, Notebook] = {}
        self.count = 0
        self.root = Path(tempfile.mkdtemp())
        (self.root / "notebooks").mkdir()
        self.desk = Desk(Store(self.root / "history.db"), self.root / "notebooks")

    def teardown(self) -> None:
        self.desk.store.close()
        shutil.rmtree(self.root)

    def write(self, name: str) -> None:
        self.desk.save(name, *self.live[name].cells, source="%load_ext nbchat")

    @rule(name=NAMES)
    def create(self, name: str) -> None:
        if name not in self.live:
            self.count += 1
            self.live[name] = Notebook([f"cell-{self.count}"])
            self.write(name)

    @rule(name=NAMES, again=st.booleans())
    def chat(self, name: str, again: bool) -> None:
        if name in self.live:
            self.send(name, again)

    def send(self, name: str, again: bool) -> None:
        """From a cell that is saved: it was before, or it is afterwards."""
        book = self.live[name]
        if not again:
            self.count += 1
            book.cells.append(f"cell-{self.count}")
        row = self.desk.chat(self.desk.folder / name, book.cells[-1])
        others = {other.row for other in self.live.values() if other is not book}
        assert row not in others, "two notebooks share a row"
        assert book.row in (None, row), "a notebook has lost its row"
        book.row, book.is_settled = row, True
        self.write(name)

    @rule(name=NAMES)
    def save(self, name: str) -> None:
        if name in self.live:
            self.write(name)

    @rule(old=NAMES, new=NAMES)
    def rename(self, old: str, new: str) -> None:
        """Also over another notebook, which is gone then; but not over one that it shares cells with."""
        replaced = self.live[new].cells if new in self.live else []
        if old in self.live and not set(self.live[old].cells) & set(replaced):
            (self.desk.folder / old).replace(self.desk.folder / new)
            self.live[new] = self.live.pop(old)
            self.live[new].is_settled = False

    @rule(old=NAMES, new=NAMES)
    @precondition(lambda self: all(book.is_settled for book in self.live.values()))
    def copy(self, old: str, new: str) -> None:
        """Not as long as a notebook is elsewhere than the store knows: which of the two is the copy can't be told."""
        if old in self.live and new not in self.live:
            self.desk.touch(shutil.copy(self.desk.folder / old, self.desk.folder / new))
            self.live[new] = Notebook(list(self.live[old].cells))

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if self.live.pop(name, None):
            (self.desk.folder / name).unlink()

    @rule(name=NAMES)
    def check_out(self, name: str) -> None:
        if name in self.live and self.live[name].is_settled:
            replace(self.desk.folder / name)
            self.send(name, again=True)


def test_whatever_becomes_of_the_files() -> None:
    run_state_machine_as_test(
        Files, settings=settings(max_examples=50, stateful_step_count=30, deadline=None, database=None)
    )
