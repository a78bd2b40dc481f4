"""Where a send happens: which cell, and which send of its execution."""

from __future__ import annotations

from typing import Any

import pytest

from front_end import Kernel
from nbchat.history import Cell
from nbchat.notebook import (
    SendCounter,
    cell_id,
    deleted_cells,
    execution_number,
    in_kernel,
    page_session,
    publisher,
    shell,
)
from shells import fresh_shell


def test_without_ipython_there_is_no_cell() -> None:
    assert shell() is None
    assert publisher() is None
    assert not in_kernel()
    assert cell_id() == ""
    assert SendCounter().next() is None


@pytest.mark.parametrize(
    "request_", [None, {}, {"metadata": None}, {"metadata": {}}, {"metadata": {"cellId": 7}}, {"header": None}]
)
def test_a_request_that_tells_no_cell_has_none(pretended_kernel: Kernel, request_: Any) -> None:
    pretended_kernel.request = request_
    assert in_kernel()
    assert cell_id() == ""
    assert SendCounter().next() is None


def test_sends_are_numbered_within_each_execution(pretended_kernel: Kernel) -> None:
    sends = SendCounter()
    pretended_kernel.runs("1", "a")
    assert [sends.next(), sends.next()] == [Cell("a", 0), Cell("a", 1)]
    pretended_kernel.runs("2", "a")
    assert sends.next() == Cell("a", 0)
    pretended_kernel.runs("3", "b")
    assert [sends.next(), sends.next()] == [Cell("b", 0), Cell("b", 1)]
    pretended_kernel.runs("4")
    assert sends.next() is None


def test_peeking_does_not_count(pretended_kernel: Kernel) -> None:
    sends = SendCounter()
    pretended_kernel.runs("1", "a")
    assert [sends.peek(), sends.peek(), sends.next(), sends.peek()] == [
        Cell("a", 0),
        Cell("a", 0),
        Cell("a", 0),
        Cell("a", 1),
    ]


def test_what_the_request_tells(pretended_kernel: Kernel) -> None:
    pretended_kernel.request = {"header": {"session": "page"}, "metadata": {"deletedCells": ["a", 7, None, "b"]}}
    assert (page_session(), deleted_cells()) == ("page", ["a", "b"])


@pytest.mark.parametrize(
    "request_",
    [None, {}, {"metadata": None, "header": []}, {"metadata": ["a"]}, {"metadata": {"deletedCells": "abc"}}],
)
def test_a_request_that_tells_nothing(pretended_kernel: Kernel, request_: Any) -> None:
    pretended_kernel.request = request_
    assert (page_session(), deleted_cells(), cell_id()) == ("", [], "")


def test_the_execution_number_is_that_of_the_cell_that_runs() -> None:
    assert execution_number() == 0
    with fresh_shell() as shell:
        shell.run_cell("1", store_history=True)
        result = shell.run_cell("from nbchat import notebook; notebook.execution_number()", store_history=True)
        assert result.result == result.execution_count == 2
