"""Where am I: which shell, which cell, which front end. The only reader of kernel headers.

Facts: JupyterLab sends the cell's id with every execution, in the metadata of the request's header; nbclient
and consoles do not. An IPython without a kernel (a terminal) has no requests at all. A page that is loaded anew
has another session's name in its headers.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class Cell(NamedTuple):
    """Which send of a notebook this is: the cell's id, and its place among the sends of that execution."""

    id: str
    ordinal: int


def shell() -> InteractiveShell | None:
    """The running IPython shell, if there is one; looks without importing IPython."""
    ipython = sys.modules.get("IPython")
    running: InteractiveShell | None = ipython.get_ipython() if ipython is not None else None
    return running


def in_kernel() -> bool:
    """Whether the shell is a Jupyter kernel's: its output goes to a notebook or a console front end."""
    return getattr(shell(), "kernel", None) is not None


def inside_a_cell() -> bool:
    """Whether a cell is what runs here, and not a task of its own that a cell has started."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]  # ends at None
        if frame.f_code.co_name == "run_cell_async":
            return True
    return False


def publisher() -> Any:
    """Where displays of the cell that runs go: the kernel's display publisher, or what captures for it."""
    return getattr(shell(), "display_pub", None)


def request() -> dict[str, Any]:
    """The message that asked for the execution under way; empty outside a kernel."""
    kernel = getattr(shell(), "kernel", None)
    request: dict[str, Any] = kernel.get_parent("shell") if kernel is not None else {}
    return request or {}


def takes_clicks() -> bool:
    """Whether a widget's message arrives while the cell that runs awaits: not before ipykernel 7.4, nor headless."""
    ipykernel = sys.modules.get("ipykernel")
    return bool(cell_id()) and getattr(ipykernel, "version_info", (0,)) >= (7, 4)


def cell_id() -> str:
    """The id of the cell that runs, empty where the front end does not tell it."""
    found = (request().get("metadata") or {}).get("cellId")
    return found if isinstance(found, str) else ""


class SendCounter:
    """Numbers the sends of each execution, so that a loop of three prompts in a cell makes three turns."""

    def __init__(self) -> None:
        self._execution = ""
        self._sends = 0

    def next(self) -> Cell | None:
        """The place of the send that happens now; None where cells cannot be told apart."""
        place = self.peek()
        self._execution = execution()
        self._sends = place.ordinal if place else 0
        return place

    def peek(self) -> Cell | None:
        """What `next` would give, without counting."""
        cell = cell_id()
        again = execution() == self._execution
        return Cell(cell, self._sends + 1 if again else 0) if cell else None


def execution() -> str:
    """The id of the request that is being executed."""
    return str((request().get("header") or {}).get("msg_id", ""))
