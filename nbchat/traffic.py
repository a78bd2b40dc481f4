"""What goes by between a kernel and its pages: who else writes under a cell, and whether a page is there no more.

All that a kernel says comes through the `send` of its session, whoever says it; so that is where one listens.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from nbchat.notebook import execution, request, shell


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
        self._date = _date(request().get("header") or {})
        self._stopped: datetime | None = None
        self.listen()

    @classmethod
    def listen(cls) -> None:
        """Hear of pages from now on."""
        if _tap(cls._note):
            cls._note("", request().get("header") or {})

    def stop(self) -> None:
        """Take the time."""
        if self._heard:
            self._stopped = datetime.now(UTC) - self._delay

    def was_left(self) -> bool:
        """Whether the page that asks now came before the clock was stopped, in the place of the one that asked then."""
        came = self._heard.get(str((request().get("header") or {}).get("session", "")))
        if came is None or self._date is None or self._stopped is None:
            return False
        return self._date < came < self._stopped

    @classmethod
    def _note(cls, kind: str, answered: dict[str, Any]) -> None:
        if date := _date(answered):
            cls._heard.setdefault(str(answered.get("session", "")), date)
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
        here = execution()
        self._mixed = here in self._watches or here in self._earlier or not _is_one_magic()
        self._earlier.clear()
        if not self._mixed:
            self._watches.clear()  # of cells that have ended
            self._watches[here] = self
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
    def _note(cls, kind: str, answered: dict[str, Any]) -> None:
        if kind not in _OUTPUTS:
            return
        where = str(answered.get("msg_id", ""))
        watch = cls._watches.get(where)
        if watch is None:
            cls._earlier.add(where)
        elif cls._by.get() is not watch:
            watch._mixed = True


def _is_one_magic() -> bool:
    """Whether the cell that runs begins with a magic, and so is one: ours, if it awaits."""
    return bool(_ONE_MAGIC.match(str((request().get("content") or {}).get("code", ""))))


class _Tap:
    """Stands in for the `send` of a session.

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
        for note in tuple(self.notes.values()):
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
