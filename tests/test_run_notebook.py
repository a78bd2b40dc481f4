"""scripts/run_notebook.py: what a person reads in the terminal while the quickstart runs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

SCRIPT = Path(__file__).parent.parent / "scripts/run_notebook.py"
specification = importlib.util.spec_from_file_location("run_notebook", SCRIPT)
assert specification is not None
assert specification.loader is not None
run_notebook = importlib.util.module_from_spec(specification)
specification.loader.exec_module(run_notebook)

STREAMING = """
# a reply of two blocks, the way nbchat shows one: the first is sealed when the second begins
from IPython.display import clear_output, display
def show(text):
    return display({"text/plain": text}, raw=True, display_id=True)
first = show("One")
first.update({"text/plain": "One two.\\n\\nThr"}, raw=True)
first.update({"text/plain": "One two."}, raw=True)
second = show("Three ")
second.update({"text/plain": "Three four."}, raw=True)
clear_output(wait=True)
show("One two.\\n\\nThree four.\\n\\n(guide)");
"""


@pytest.mark.parametrize(
    ("shown", "now", "new"),
    [
        ("", "Hello", "Hello"),
        ("Hel", "Hello", "lo"),
        ("Hello ", "Hello world", "world"),
        ("Hello", "Hello world", " world"),
        ("a\n\nb", "a\nb\nc", "\nc"),
        ("Hello", "Hello", ""),
        ("Hello world", "Hello", ""),
        ("Hello", "Jello", None),
    ],
)
def test_growth_is_what_is_new(shown: str, now: str, new: str | None) -> None:
    assert run_notebook.growth(shown, now) == new


def run(tmp_path: Path, *cells: str) -> subprocess.CompletedProcess[str]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "test.ipynb")
    return subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "test.ipynb"], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_streamed_reply_is_printed_once(tmp_path: Path) -> None:
    done = run(tmp_path, STREAMING, "for n in range(3):\n    print(n, end=' ', flush=True)", "6 * 7")
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        *("", "[1] # a reply of two blocks, the way nbchat shows one: the first is sealed when the second begins …"),
        *("One two.", "", "Three four.", "", "(guide)"),
        *("", "[2] for n in range(3): …", "0 1 2 "),
        *("", "[3] 6 * 7", "42"),
    ]


def test_a_rewritten_display_is_printed_anew(tmp_path: Path) -> None:
    cell = "from IPython.display import display\nh = display('abc', display_id=True)\nh.update('xyz')"
    assert run(tmp_path, cell).stdout.splitlines()[-2:] == ["'abc'", "'xyz'"]


def test_a_cell_that_fails_ends_the_run_with_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "raise ValueError('no such\\nthing')", "print('never')")
    assert done.returncode == 1
    assert done.stderr == "ValueError: no such\n"
    assert "never" not in done.stdout


def test_output_arrives_while_the_cell_runs(tmp_path: Path) -> None:
    """The cell waits for a file that this test writes only after it has read the cell's first output."""
    go = tmp_path / "go"
    source = f"import pathlib, time\nprint('waiting')\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.05)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbformat.write(notebook, tmp_path / "test.ipynb")
    command = [sys.executable, SCRIPT, tmp_path / "test.ipynb"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line == "waiting\n" for line in process.stdout)
        go.touch()
        assert process.wait(timeout=60) == 0
