"""Where am I: which shell, which cell, which front end. The only reader of kernel headers.

Facts: JupyterLab sends the cell's id with every execution, in the metadata of the request's header; nbclient
and consoles do not. An IPython without a kernel (a terminal) has no requests at all. A page that is loaded anew
has another session's name in its headers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
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
    _delay: ClassVar[timedelta] = timedelta.max
    """By how much the pages' clocks seem to be behind: the least time that a request took, by both clocks."""

    def __init__(self) -> None:
        self._date = _date(_request().get("header") or {})
        self._stopped: datetime | None = None
        self.listen()

    @classmethod
    def listen(cls) -> None:
        """Hear of pages from now on."""
        if _tap(cls._note):
            cls._note("", _request().get("header") or {})

    def stop(self) -> None:
        """Take the time."""
        if self._heard:
            self._stopped = datetime.now(UTC) - self._delay

    def was_left(self) -> bool:
        """Whether the page that asks now came before the clock was stopped, in the place of the one that asked then."""
        came = self._heard.get(str((_request().get("header") or {}).get("session", "")))
        if came is None or self._date is None or self._stopped is None:
            return False
        return self._date < came < self._stopped

    @classmethod
    def _note(cls, kind: str, request: dict[str, Any]) -> None:
        if date := _date(request):
            cls._heard.setdefault(str(request.get("session", "")), date)
            cls._delay = min(cls._delay, datetime.now(UTC) - date)


def _date(header: dict[str, Any]) -> datetime | None:
    """When the message was sent, if its header tells, with the time zone."""
    date = header.get("date")
    return date if isinstance(date, datetime) and date.tzinfo else None


_OUTPUTS = {"stream", "display_data", "execute_result", "error", "clear_output"}
_ONE_MAGIC = re.compile(r"(?:[ \t]*(?:#.*)?\n)*[ \t]*%")


class CellOutput:
    """Watches what is put out in the cell that runs: whoever wants to clear it must know that all of it is theirs.

    Threads, logging and other libraries write under a cell as well, by any of several ways.
    """

    _by: ContextVar[CellOutput | None] = ContextVar("by", default=None)
    _watches: ClassVar[dict[str, CellOutput]] = {}
    _earlier: ClassVar[set[str]] = set()
    """The requests under which something was put out that nobody watched, since the last watch began."""

    def __init__(self) -> None:
        request = _execution()
        self._mixed = request in self._watches or request in self._earlier or not _is_one_magic()
        self._earlier.clear()
        if not self._mixed:
            self._watches.clear()  # of cells that have ended
            self._watches[request] = self
            self._mixed = not self.listen()

    @classmethod
    def listen(cls) -> bool:
        """Hear of what is put out from now on, as by others in a cell before its watch begins; false if none can."""
        return _tap(cls._note)

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
        if kind not in _OUTPUTS:
            return
        execution = str(request.get("msg_id", ""))
        watch = cls._watches.get(execution)
        if watch is None:
            cls._earlier.add(execution)
        elif cls._by.get() is not watch:
            watch._mixed = True


def _is_one_magic() -> bool:
    """Whether the cell that runs begins with a magic, and so is one: ours, if it awaits."""
    return bool(_ONE_MAGIC.match(str((_request().get("content") or {}).get("code", ""))))


class _Tap:
    """Stands in for the `send` of the kernel's session, where all that a kernel says comes through.

    Its arguments are called as the session's are, for whoever passes them by name.
    """

    def __init__(self, send: Callable[..., Any]) -> None:
        self._send = send
        self.notes: dict[str, Callable[[str, dict[str, Any]], None]] = {}

    def __call__(
        self, stream: Any, msg_or_type: Any, content: Any = None, parent: Any = None, *rest: Any, **more: Any
    ) -> Any:
        whole = isinstance(msg_or_type, dict)
        kind = msg_or_type["header"]["msg_type"] if whole else msg_or_type
        above = (msg_or_type.get("parent_header") if whole else parent) or {}
        for note in self.notes.values():
            note(str(kind), above.get("header", above))
        return self._send(stream, msg_or_type, content, parent, *rest, **more)


def _tap(note: Callable[[str, dict[str, Any]], None]) -> bool:
    """Let `note` see the kind of each message that the kernel sends, and the header of what it answers."""
    session = getattr(getattr(shell(), "kernel", None), "session", None)
    if session is None:
        return False
    if not isinstance(session.send, _Tap):
        session.send = _Tap(session.send)
    session.send.notes[note.__qualname__] = note
    return True
