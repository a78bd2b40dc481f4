"""Which file a notebook is: what front ends say, stale and inherited words, renames, and searching a folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import nbchat.document as finding
from front_end import Kernel
from kernels import Kernel as RealKernel
from nbchat import notebook
from nbchat.document import document

CELL = "0a1b-c"
UUID = "34361149-e3d8-4dbc-9302-0e86431b3e8c"


def write(file: Path, *cells: str) -> Path:
    """A notebook with these cells, as JupyterLab saves it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    code: list[dict[str, Any]] = [
        {"cell_type": "code", "execution_count": None, "id": id_, "metadata": {}, "outputs": [], "source": []}
        for id_ in cells
    ]
    whole: dict[str, Any] = {"cells": code, "metadata": {}}
    file.write_text(json.dumps(whole | {"nbformat": 4, "nbformat_minor": 5}, indent=1), encoding="utf-8")
    return file


@pytest.fixture
def front_end(pretended_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path | None]:
    """A front end that has told the kernel about its notebook, and runs a cell there: which file do we take it for?"""
    monkeypatch.setattr(finding, "_documents", finding._Documents())

    def runs(session: object = None, cell: str | None = CELL, variable: object = None) -> Path | None:
        monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
        if session is not None:
            monkeypatch.setenv("JPY_SESSION_NAME", str(session))
        running: Any = notebook.shell()
        running.user_ns = {} if variable is None else {"__vsc_ipynb_file__": variable}
        pretended_kernel.runs("1", cell)
        return document()

    return runs


FrontEnd = Callable[..., Path | None]


def test_jupyter_names_the_file(front_end: FrontEnd, tmp_path: Path) -> None:
    file = write(tmp_path / "an alysis ü.ipynb")
    assert front_end(file) == file


def test_a_cell_that_is_not_saved_yet_is_in_the_named_file(front_end: FrontEnd, tmp_path: Path) -> None:
    file = write(tmp_path / "a.ipynb", "other")
    write(tmp_path / "copy.ipynb", "other")
    assert front_end(file, "new") == file


def test_what_papermill_starts_in_a_notebook_inherits_its_name_and_is_not_it(
    front_end: FrontEnd, tmp_path: Path
) -> None:
    file = write(tmp_path / "parent.ipynb", CELL)
    assert front_end(file, cell=None) is None
    assert front_end(file, cell="") is None
    assert front_end(file, cell=None, variable=str(file)) is None


def test_without_a_word_of_the_front_end_nothing_is_known(front_end: FrontEnd, tmp_path: Path) -> None:
    write(tmp_path / "a.ipynb", CELL)
    assert front_end() is None
    assert front_end("") is None


@pytest.mark.parametrize("name", ["script.py", "notes.md", "text"])
def test_a_text_opened_as_a_notebook_is_a_file_as_well(front_end: FrontEnd, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("# %%\n")
    assert front_end(tmp_path / name) == tmp_path / name


@pytest.mark.parametrize("name", ["gone.ipynb", UUID, f"{UUID}.ipynb", f"a-jvsc-{UUID}.ipynb", f"a.ipynb{UUID}"])
def test_a_name_that_is_no_file_means_the_notebook_there_that_holds_the_cell(
    front_end: FrontEnd, tmp_path: Path, name: str
) -> None:
    write(tmp_path / "other.ipynb", "x")
    file = write(tmp_path / "this.ipynb", "x", CELL)
    (tmp_path / "text.txt").write_text(f'"id": "{CELL}"')
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "dangling.ipynb").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.ipynb")
    assert front_end(tmp_path / name) == file
    assert front_end(tmp_path / name, "another") == file  # remembered, though that cell is not saved
    assert front_end(tmp_path / "sub" / name, "in no file") is None


def test_a_file_of_vs_code_that_only_stands_for_a_session_is_no_notebook(front_end: FrontEnd, tmp_path: Path) -> None:
    made_up = write(tmp_path / f"this-jvsc-{UUID}.ipynb")
    assert front_end(made_up) is None
    file = write(tmp_path / "this.ipynb", CELL)
    assert front_end(made_up) == file


def test_a_notebook_may_be_called_by_an_uuid(front_end: FrontEnd, tmp_path: Path) -> None:
    file = write(tmp_path / f"{UUID}.ipynb", "x")
    assert front_end(file, "unsaved") == file


def test_of_copies_the_one_saved_last_is_taken(front_end: FrontEnd, tmp_path: Path) -> None:
    for age, name in enumerate(["c", "a", "b"]):
        os.utime(write(tmp_path / f"{name}.ipynb", CELL), (1_000_000 - age, 1_000_000 - age))
    assert front_end(tmp_path / UUID) == tmp_path / "c.ipynb"


def test_a_folder_that_holds_no_such_cell_is_read_once(
    front_end: FrontEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def reads(file: Path, real: Callable[[Path], bytes] = finding._bytes) -> bytes:
        read.append(file.name)
        return real(file)

    monkeypatch.setattr(finding, "_bytes", reads)
    write(tmp_path / "a.ipynb", "x")
    assert [front_end(tmp_path / UUID) for _ in range(3)] == [None] * 3
    assert read == ["a.ipynb"]
    os.utime(write(tmp_path / "a.ipynb", "x", CELL), (2_000_000, 2_000_000))
    assert [front_end(tmp_path / UUID) for _ in range(3)] == [tmp_path / "a.ipynb"] * 3
    assert read == ["a.ipynb"] * 2


def test_a_search_is_bounded(front_end: FrontEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "old.ipynb", CELL)
    os.utime(file, (1_000_000, 1_000_000))
    for number in range(3):
        write(tmp_path / f"{number}.ipynb")
    monkeypatch.setattr(finding, "_MOST_FILES", 3)
    assert front_end(tmp_path / UUID) is None
    monkeypatch.setattr(finding, "_MOST_FILES", 4)
    monkeypatch.setattr(finding, "_MOST_BYTES", file.stat().st_size)
    write(tmp_path / "0.ipynb", *"abcdefgh")  # too large: passed over
    assert front_end(tmp_path / UUID) is None  # the small ones before it have used up the room
    (tmp_path / "1.ipynb").unlink()
    (tmp_path / "2.ipynb").unlink()
    assert front_end(tmp_path / UUID) == file


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_passed_over(front_end: FrontEnd, tmp_path: Path) -> None:
    write(tmp_path / "a.ipynb", CELL).chmod(0)
    assert front_end(tmp_path / UUID) is None


def test_a_notebook_is_followed_when_it_is_renamed(front_end: FrontEnd, tmp_path: Path) -> None:
    name = write(tmp_path / "a.ipynb", "saved")
    assert front_end(name) == name
    file = name.rename(tmp_path / "b.ipynb")
    assert front_end(name) == file
    write(name, CELL)  # another one comes to stand in its place
    assert front_end(name) == file
    renamed = file.rename(tmp_path / "c.ipynb")
    write(file, CELL)
    assert front_end(name) == renamed


def test_a_new_file_in_the_old_place_is_the_notebook_unless_that_was_renamed(
    front_end: FrontEnd, tmp_path: Path
) -> None:
    file = write(tmp_path / "a.ipynb")
    assert front_end(file) == file
    write(tmp_path / "checked out").replace(file)
    assert front_end(file) == file
    file.rename(tmp_path / "b.ipynb")
    assert front_end(file) == tmp_path / "b.ipynb"


def test_a_notebook_that_has_left_its_folder_is_not_taken_for_its_copy(front_end: FrontEnd, tmp_path: Path) -> None:
    file = write(tmp_path / "a.ipynb", CELL)
    assert front_end(file) == file
    write(tmp_path / "copy.ipynb", CELL)
    (tmp_path / "sub").mkdir()
    file.rename(tmp_path / "sub/a.ipynb")
    assert front_end(file) is None


def test_a_folder_under_another_name_is_found_by_the_kernel_in_it(
    front_end: FrontEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "old/a.ipynb", CELL)
    monkeypatch.chdir(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    assert front_end(tmp_path / "old/a.ipynb") == tmp_path / "new/a.ipynb"
    shutil.rmtree(tmp_path / "new")
    assert front_end(tmp_path / "old/b.ipynb") is None


def test_a_path_within_the_server_means_the_folder_the_kernel_started_in(
    front_end: FrontEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "sub/a.ipynb", CELL)
    monkeypatch.setattr(notebook.shell(), "starting_dir", str(tmp_path / "sub"), raising=False)
    assert front_end("sub/a.ipynb", "unsaved") == file
    assert front_end(f"sub/{UUID}") == file
    monkeypatch.setattr(notebook.shell(), "starting_dir", str(tmp_path))
    assert front_end("sub/a.ipynb") == file


def test_the_home_folder_is_written_with_a_tilde(
    front_end: FrontEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = write(tmp_path / "a.ipynb")
    assert front_end("~/a.ipynb") == file
    assert front_end("~nobody-of-that-name/a.ipynb") is None


def test_a_folder_that_is_a_link_keeps_its_name(front_end: FrontEnd, tmp_path: Path) -> None:
    write(tmp_path / "real/a.ipynb")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert front_end(tmp_path / "link/a.ipynb") == tmp_path / "link/a.ipynb"


@pytest.mark.parametrize("name", ["/nowhere/at/all.ipynb", "C:\\Users\\me\\a.ipynb", "/" + "x" * 5_000, "/", ".", "~"])
def test_names_that_lead_nowhere(
    front_end: FrontEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert front_end(name) is None
    assert front_end(variable=name) is None


URI = "vscode-notebook-cell:{}#W0sZmlsZQ%3D%3D"


def test_vs_code_sets_a_variable(front_end: FrontEnd, tmp_path: Path) -> None:
    file = write(tmp_path / "a.ipynb")
    assert front_end(variable=str(file)) == file
    assert front_end(cell=URI.format("/gone.ipynb"), variable=str(file)) == file
    assert front_end(tmp_path / "inherited.ipynb", variable=str(file)) == file


@pytest.mark.parametrize("variable", [7, None, "", "Untitled-1.ipynb", "\0", ["/a.ipynb"], "/no/Untitled-1.ipynb"])
def test_a_variable_that_names_no_file(
    front_end: FrontEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: object
) -> None:
    write(tmp_path / "Untitled-1.ipynb", CELL)  # saved by another notebook: VS Code calls all unsaved ones so
    monkeypatch.chdir(tmp_path)
    assert front_end(cell="vscode-notebook-cell:Untitled-1.ipynb?jupyter-notebook#W0", variable=variable) is None


@pytest.mark.parametrize("before", ["", "//ssh-remote%2Bhost"])
def test_vs_code_addresses_of_cells_tell_the_file_even_when_the_variable_is_stale(
    front_end: FrontEnd, tmp_path: Path, before: str
) -> None:
    old, new = write(tmp_path / "old.ipynb"), write(tmp_path / "50 % ü#?.ipynb")
    cell = URI.format(before + quote(str(new)))
    assert front_end(cell=cell, variable=str(old)) == new
    assert front_end(cell=cell) == new  # after %reset


def test_sessions_of_vs_code_have_made_up_names(front_end: FrontEnd, tmp_path: Path) -> None:
    session = write(tmp_path / "a.ipynb", CELL)  # of the server's folder; the notebook's may be elsewhere
    assert front_end(session, URI.format("/elsewhere/a.ipynb")) is None
    assert front_end(session, "x" * 65) is None


def test_a_real_kernel_knows_its_notebook_and_one_started_within_it_does_not(
    start_kernel: Callable[..., RealKernel], tmp_path: Path
) -> None:
    file = write(tmp_path / "a.ipynb")
    real = start_kernel(JPY_SESSION_NAME=str(file))
    code = "from nbchat import notebook as n; from nbchat.document import document as d"
    code += "; print(d(), n.execution_number(), n.page_session() != '')"
    assert real.run(code, cell_id=CELL).stdout.split() == [str(file), "1", "True"]
    assert real.run(code).stdout.split() == ["None", "2", "True"]
    real.run("get_ipython().user_ns['__vsc_ipynb_file__'] = '/nowhere.ipynb'; import os; os.chdir('/')")
    file.rename(tmp_path / "b.ipynb")
    assert real.run(code, cell_id=CELL).stdout.split()[0] == str(tmp_path / "b.ipynb")
