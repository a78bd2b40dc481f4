"""Where a send happens: which cell, and which send of its execution."""

from __future__ import annotations

from typing import Any

import pytest

from nbchat import notebook
from nbchat.notebook import Cell, SendCounter, cell_id, in_kernel, publisher, shell


class Kernel:
    """As much of a kernel as is read: the request under way."""

    def __init__(self) -> None:
        self.request: dict[str, Any] | None = None

    def runs(self, execution: str, cell: Any = None) -> None:
        """A request to execute arrives, from a front end that sends the cell's id or does not."""
        metadata = {} if cell is None else {"cellId": cell}
        self.request = {"header": {"msg_id": execution}, "metadata": metadata}

    def get_parent(self, channel: str) -> Any:
        assert channel == "shell"
        return self.request


class Shell:
    def __init__(self) -> None:
        self.kernel = Kernel()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """The kernel that this process seems to be."""
    running = Shell()
    monkeypatch.setattr(notebook, "shell", lambda: running)
    return running.kernel


def test_without_ipython_there_is_no_cell() -> None:
    assert shell() is None
    assert publisher() is None
    assert not in_kernel()
    assert cell_id() == ""
    assert SendCounter().next() is None


@pytest.mark.parametrize(
    "request_", [None, {}, {"metadata": None}, {"metadata": {}}, {"metadata": {"cellId": 7}}, {"header": None}]
)
def test_a_request_that_tells_no_cell_has_none(kernel: Kernel, request_: Any) -> None:
    kernel.request = request_
    assert in_kernel()
    assert cell_id() == ""
    assert SendCounter().next() is None


def test_sends_are_numbered_within_each_execution(kernel: Kernel) -> None:
    sends = SendCounter()
    kernel.runs("1", "a")
    assert [sends.next(), sends.next()] == [Cell("a", 0), Cell("a", 1)]
    kernel.runs("2", "a")
    assert sends.next() == Cell("a", 0)
    kernel.runs("3", "b")
    assert [sends.next(), sends.next()] == [Cell("b", 0), Cell("b", 1)]
    kernel.runs("4")
    assert sends.next() is None


def test_peeking_does_not_count(kernel: Kernel) -> None:
    sends = SendCounter()
    kernel.runs("1", "a")
    assert [sends.peek(), sends.peek(), sends.next(), sends.peek()] == [
        Cell("a", 0),
        Cell("a", 0),
        Cell("a", 0),
        Cell("a", 1),
    ]
