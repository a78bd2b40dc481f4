"""Where am I: which shell, which cell, which front end. The only reader of kernel headers.

Facts: JupyterLab sends the cell's id with every execution, in the metadata of the request's header; nbclient
and consoles do not. An IPython without a kernel (a terminal) has no requests at all. A page that is loaded anew
has another session's name in its headers.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

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


def publisher() -> Any:
    """Where displays of the cell that runs go: the kernel's display publisher, or what captures for it."""
    return getattr(shell(), "display_pub", None)


def _request() -> dict[str, Any]:
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
    found = (_request().get("metadata") or {}).get("cellId")
    return found if isinstance(found, str) else ""


class SendCounter:
    """Numbers the sends of each execution, so that a loop of three prompts in a cell makes three turns."""

    def __init__(self) -> None:
        self._execution = ""
        self._sends = 0

    def next(self) -> Cell | None:
        """The place of the send that happens now; None where cells cannot be told apart."""
        place = self.peek()
        self._execution = _execution()
        self._sends = place.ordinal if place else 0
        return place

    def peek(self) -> Cell | None:
        """What `next` would give, without counting."""
        cell = cell_id()
        again = _execution() == self._execution
        return Cell(cell, self._sends + 1 if again else 0) if cell else None


def _execution() -> str:
    """The id of the request that is being executed."""
    return str((_request().get("header") or {}).get("msg_id", ""))


class PageClock:
    """Tells whether the page that ran this cell was still there at some later moment.

    The kernel hears of a page that was loaded anew only when the cell has ended, but what it hears then was
    dated by the page's own clock, and so was the request that runs this cell.
    """

    _heard: ClassVar[dict[str, datetime]] = {}
    """The pages that the kernel has heard of, and when they first sent something, by their clocks."""

    def __init__(self) -> None:
        header = _request().get("header") or {}
        self._page = str(header.get("session", ""))
        self._date = header.get("date")
        self._began = time.monotonic()
        self._stopped = 0.0
        if isinstance(self._date, datetime):
            self._note("", header)
            _tap(self._note)

    def stop(self) -> None:
        """Take the time."""
        self._stopped = time.monotonic()

    def was_left(self) -> bool:
        """Whether the page that asks now came before the clock was stopped, in the place of the one that asked then."""
        came = self._heard.get(str((_request().get("header") or {}).get("session", "")))
        if came is None or not isinstance(self._date, datetime):
            return False
        return self._date < came < self._date + timedelta(seconds=self._stopped - self._began)

    @classmethod
    def _note(cls, kind: str, request: dict[str, Any]) -> None:
        if isinstance(date := request.get("date"), datetime):
            cls._heard.setdefault(str(request.get("session", "")), date)


_OUTPUTS = {"stream", "display_data", "execute_result", "error", "clear_output"}
_ONE_MAGIC = re.compile(r"(?:[ \t]*(?:#.*)?\n)*[ \t]*%")


class CellOutput:
    """Watches what is put out in the cell that runs: whoever wants to clear it must know that all of it is theirs.

    Threads, logging and other libraries write under a cell as well, by any of several ways.
    """

    _by: ContextVar[CellOutput | None] = ContextVar("by", default=None)
    _watches: ClassVar[dict[str, CellOutput]] = {}

    def __init__(self) -> None:
        request = _execution()
        self._mixed = request in self._watches or not _is_one_magic()
        if not self._mixed:
            self._watches.clear()  # of cells that have ended
            self._watches[request] = self
            self._mixed = not _tap(self._note)

    @contextmanager
    def ours(self) -> Iterator[None]:
        """What is put out within is the watcher's own."""
        token = self._by.set(self)
        try:
            yield
        finally:
            self._by.reset(token)

    def is_ours_alone(self) -> bool:
        """Whether nothing else has been put out so far."""
        sys.stdout.flush()
        sys.stderr.flush()
        return not self._mixed

    @classmethod
    def _note(cls, kind: str, request: dict[str, Any]) -> None:
        watch = cls._watches.get(str(request.get("msg_id", ""))) if kind in _OUTPUTS else None
        if watch is not None and cls._by.get() is not watch:
            watch._mixed = True


def _is_one_magic() -> bool:
    """Whether the cell that runs begins with a magic, and so is one: ours, if it awaits."""
    return bool(_ONE_MAGIC.match(str((_request().get("content") or {}).get("code", ""))))


class _Tap:
    """Stands in for the `send` of the kernel's session, where all that a kernel says comes through."""

    def __init__(self, send: Callable[..., Any]) -> None:
        self._send = send
        self.notes: dict[str, Callable[[str, dict[str, Any]], None]] = {}

    def __call__(
        self, stream: Any, message: Any, content: Any = None, parent: Any = None, *rest: Any, **more: Any
    ) -> Any:
        whole = isinstance(message, dict)
        kind = message["header"]["msg_type"] if whole else message
        above = (message.get("parent_header") if whole else parent) or {}
        for note in self.notes.values():
            note(str(kind), above.get("header", above))
        return self._send(stream, message, content, parent, *rest, **more)


def _tap(note: Callable[[str, dict[str, Any]], None]) -> bool:
    """Let `note` see the kind of each message that the kernel sends, and the header of what it answers."""
    session = getattr(getattr(shell(), "kernel", None), "session", None)
    if session is None:
        return False
    if not isinstance(session.send, _Tap):
        session.send = _Tap(session.send)
    session.send.notes[note.__qualname__] = note
    return True
