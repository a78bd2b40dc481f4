"""Where am I: which shell, which cell, which page. The only reader of kernel headers.

Facts: JupyterLab sends the cell's id with every execution, in the metadata of the request's header, also from its
consoles, whose cells are in no file; nbclient and consoles in a terminal do not. nbclient, and so papermill and
nbconvert, says that nobody answers an `input()`; consoles do not. An IPython without a kernel (a terminal) has no
requests at all. A page that is loaded anew has another session's name in its headers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbchat.history import Cell


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


_apart: ContextVar[dict[str, Any] | None] = ContextVar("apart", default=None)


@contextmanager
def apart_from_cells(page: str = "") -> Iterator[None]:
    """What happens within is no cell's doing, though one may be running: a widget asked for it, on this page."""
    token = _apart.set({"header": {"session": page}})
    try:
        yield
    finally:
        _apart.reset(token)


def request() -> dict[str, Any]:
    """The message that asked for the execution under way; empty outside a kernel; apart from cells, only the page."""
    if apart := _apart.get():
        return apart
    kernel = getattr(shell(), "kernel", None)
    request: dict[str, Any] = kernel.get_parent("shell") if kernel is not None else {}
    return request or {}


def takes_clicks() -> bool:
    """Whether a widget's message arrives while the cell that runs awaits: not before ipykernel 7.4, nor headless."""
    ipykernel = sys.modules.get("ipykernel")
    return bool(cell_id()) and getattr(ipykernel, "version_info", (0,)) >= (7, 4)


def is_headless() -> bool:
    """Whether what the cell that runs shows goes to a file, and to no page; Voila runs cells like that for a page."""
    for_a_page = os.environ.get("SERVER_SOFTWARE", "").startswith("voila/")
    return not (for_a_page or cell_id()) and _told("content", "allow_stdin") is False


def cell_id() -> str:
    """The id of the cell that runs, empty where the front end does not tell it."""
    found = _told("metadata", "cellId")
    return found if isinstance(found, str) else ""


def deleted_cells() -> list[str]:
    """The ids of cells that were deleted since the last request; a hint only, for a cell that is moved counts, too."""
    found = _told("metadata", "deletedCells")
    return [cell for cell in found if isinstance(cell, str)] if isinstance(found, list) else []


def page_session() -> str:
    """What the page that asks calls itself; another one, or the same one loaded anew, has another name."""
    found = _told("header", "session")
    return found if isinstance(found, str) else ""


def _told(part: str, name: str) -> Any:
    """What a part of the request says under this name."""
    found = request().get(part)
    return found.get(name) if isinstance(found, dict) else None


def execution_number() -> int:
    """The number in the brackets beside the cell that runs; 0 without a shell, and apart from cells."""
    if _apart.get():
        return 0
    # The shell's own count is one ahead while a cell runs, or not, as IPython's version has it.
    found = getattr(getattr(shell(), "displayhook", None), "prompt_count", 0)
    return found if isinstance(found, int) else 0


class SendCounter:
    """Numbers the sends of each execution, so that a loop of three prompts in a cell makes three turns."""

    def __init__(self) -> None:
        self._execution = ""
        self._sends = 0

    def next(self) -> Cell | None:
        """The place of the send that happens now; None where cells cannot be told apart."""
        place = self.peek()
        if place:  # else somebody sends apart from the cell that runs, whose count goes on
            self._execution, self._sends = execution(), place.ordinal
        return place

    def peek(self) -> Cell | None:
        """What `next` would give, without counting."""
        from nbchat.history import Cell  # not before somebody sends

        cell = cell_id()
        again = execution() == self._execution
        return Cell(cell, self._sends + 1 if again else 0) if cell else None

    def sends(self) -> int:
        """How many prompts the execution under way has sent."""
        return self._sends + 1 if execution() == self._execution else 0


class CellListener(Protocol):
    """Somebody to whom it matters which cells there are, and how they end."""

    def cell_begins(self, deleted: set[str]) -> None:
        """A cell begins to run; the page says that others were deleted."""

    def cell_ends(self, cell: str) -> None:
        """This cell has ended well."""


class Cells:
    """Hears of cells that run, and remembers it for whoever asks first."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nobody listens, and nothing was heard."""
        self._listener: CellListener | None = None
        self._deleted: set[str] = set()
        self._ended: set[str] = set()

    def begin(self) -> None:
        """A cell begins to run."""
        deleted = set(deleted_cells()) - {cell_id()}
        self._deleted |= deleted
        if self._listener:
            self._listener.cell_begins(deleted)

    def end(self, *, well: bool) -> None:
        """The cell that runs ends."""
        if well and (cell := cell_id()):
            self._ended.add(cell)
            self._deleted.discard(cell)
            if self._listener:
                self._listener.cell_ends(cell)

    def tell(self, listener: CellListener | None) -> tuple[set[str], set[str]]:
        """Tell this one from now on; the cells that were deleted, and those that have ended well, until now."""
        self._listener = listener
        return set(self._deleted), set(self._ended)


cells = Cells()


def source() -> str:
    """The source of the cell that runs, as the front end sent it."""
    code = (request().get("content") or {}).get("code")
    return code if isinstance(code, str) else ""


def next_cell(text: str) -> bool:
    """Have a new cell made below this one, with this text; false where nobody can."""
    running: Any = shell()
    if running is None:
        return False
    running.set_next_input(text)
    return True


def execution() -> str:
    """The id of the request that is being executed."""
    return str((request().get("header") or {}).get("msg_id", ""))
