"""The one thread that writes: all that waits goes into one transaction, and is tried again until it is on disk.

Nobody waits for it but who asks to (`flush`). What cannot be written stays in memory, and the next attempt has it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

from nbchat.loop import Latch, Worker
from nbchat.store import schema
from nbchat.store.database import Connection, Database, is_busy, is_damage, is_outside

BEAT = 0.7
"""Seconds between two looks at what grows: with the time that writing takes, a crash loses less than one."""
_RETRY = 3.0
"""Seconds between two attempts while the file cannot be used."""
_SOON = 0.05
"""The same while another process has locked it."""
_PATIENCE = 1.0
"""Seconds that one attempt waits for other processes."""


class Writing:
    """A transaction under way."""

    def __init__(self, db: Connection) -> None:
        self.db = db
        self.doing: Op | None = None
        self.entered: set[object] = set()
        """What is known to be in the file."""
        self.touched: set[object] = set()
        """The records that have counted this transaction."""
        self.growing: list[Growing] = []
        self.stored: list[tuple[object, object]] = []
        """Turns and their rows, which readers see once the transaction has ended."""
        self._undo: list[tuple[object, str, object]] = []

    def execute(self, statement: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self.db.execute(statement, tuple(values))

    def set(self, thing: object, name: str, value: object) -> None:
        """Set an attribute, for good only if the transaction comes to its end."""
        self._undo.append((thing, name, vars(thing).get(name)))
        vars(thing)[name] = value

    def undo(self) -> None:
        """The transaction has failed: attributes are as they were."""
        while self._undo:
            thing, name, before = self._undo.pop()
            vars(thing)[name] = before


Op = Callable[[Writing], None]
"""Something to be written; done again from its beginning if the transaction fails."""


class Growing(Protocol):
    """Something that is written again as long as it puts itself among what grows."""

    def __call__(self, writing: Writing) -> None: ...

    def has_grown(self) -> bool:
        """Whether there is more of it than was written."""


class _Flush(Latch):
    """Opened when all that was put before it is on disk, or cannot be for now."""

    is_written = False


class Writer:
    """Writes into a database, on a thread that the first thing to be written starts."""

    def __init__(self, database: Database, residents: Callable[[], Iterable[Op]]) -> None:
        """`residents` are done first in every file that was opened anew: it may lack what this process knows."""
        self._database = database
        self._residents = residents
        self.begin()

    def begin(self) -> None:
        """Nothing is open, and nothing waits."""
        self._waiting: deque[Op] = deque()
        self._flushes: deque[_Flush] = deque()
        self._in_hand: dict[Op, None] = {}
        self._growing: dict[Growing, None] = {}
        self._scrub = False
        self._is_blocked = False
        self.db: Connection | None = None
        self._lock = threading.Lock()
        self.at_work = threading.Lock()
        """Held while the file is used."""
        self._worker: Worker | None = None
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell = asyncio.Event()

    def put(self, *ops: Op) -> None:
        """Have something written; returns at once."""
        self._waiting.extend(ops)
        self._ring()

    def scrub(self) -> None:
        """Leave no trace in the files of what is deleted, once all is written that was put before."""
        self._scrub = True
        self._ring()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was put is on disk; false if that takes longer, or is not possible for now."""
        if self._thread == threading.get_ident():
            return False
        if not (self._waiting or self._in_hand or self._growing or self._scrub):
            return True
        flush = _Flush()
        self._flushes.append(flush)
        self._ring()
        return flush.wait(timeout) and flush.is_written

    def settle(self, timeout: float) -> bool:
        """The same, but without waiting while something is known to be in the way."""
        return not self._is_blocked and self.flush(timeout)

    def close(self, timeout: float) -> bool:
        """Flush, and end the thread."""
        is_written = self.flush(timeout)
        with self._lock:
            worker, self._worker, self._loop = self._worker, None, None
        if worker is not None:
            worker.stop(patience=timeout)
        return is_written

    def connections(self) -> list[Connection]:
        """What is open."""
        return [self.db] if self.db is not None else []

    def disconnect(self) -> None:
        """Close the file; the next attempt opens it again."""
        db, self.db = self.db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _ring(self) -> None:
        with self._lock:
            if self._worker is None and not self._start():
                self._attempt()
        if self._loop is not None:  # else it has not begun, and will see what waits
            with suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self._bell.set)

    def _start(self) -> bool:
        try:
            self._worker = Worker("nbchat-history")
        except RuntimeError:  # Python is about to end, and starts no more threads
            return False
        self._worker.submit(self._work())
        return True

    async def _work(self) -> None:
        bell = self._bell = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        try:
            while True:
                bell.clear()
                with self.at_work:
                    pause = self._attempt()
                with suppress(TimeoutError):
                    await asyncio.wait_for(bell.wait(), pause)
        finally:
            if bell is self._bell:  # in a forked child, what its parent was doing here ends as garbage
                self._thread = 0
                self.disconnect()

    def _attempt(self) -> float | None:
        """Write what there is; seconds until the next attempt, None if nothing is left to do."""
        flushes = [self._flushes.popleft() for _ in range(len(self._flushes))]
        while self._waiting:
            op = self._waiting[0]
            self._in_hand.pop(op, None)
            self._in_hand[op] = None
            self._waiting.popleft()  # only now, so that `flush` finds it somewhere at any time
        try:
            db = self._connected()
            self._write(db)
            if self._scrub:
                _wipe(db)
                self._scrub = False
            has_moved = not self._database.has_open(db)
        except Exception as error:  # whatever it is, this thread goes on, and tries again
            return self._cope(error, flushes)
        self._is_blocked = False
        _release(flushes, True)
        return 0 if has_moved else BEAT if self._growing else None

    def _connected(self) -> Connection:
        if self.db is not None and not self._database.has_open(self.db):
            self.disconnect()
        if self.db is None:
            self.db = self._database.connect(_PATIENCE, create=True)
            self._in_hand = {**dict.fromkeys(self._residents()), **self._in_hand}
        if self.db is None:
            raise FileNotFoundError(f"{self._database.path} was deleted")
        return self.db

    def _write(self, db: Connection) -> None:
        """Write all of it, but for what cannot be written for a reason of its own."""
        while ops := self._due():
            writing = Writing(db)
            try:
                self._transact(writing, ops)
            except BaseException as error:
                writing.undo()
                if writing.doing is None or is_outside(error) or not isinstance(error, Exception):
                    raise
                self._drop(writing.doing, error)
            else:
                self._done(ops, writing)

    def _due(self) -> list[Op]:
        return [*self._in_hand, *(op for op in self._growing if op not in self._in_hand and _has_grown(op))]

    def _transact(self, writing: Writing, ops: list[Op]) -> None:
        with schema.transaction(writing.db):
            schema.version(writing.db)  # another process may have brought the file to a newer one
            for writing.doing in ops:
                writing.doing(writing)

    def _done(self, ops: list[Op], writing: Writing) -> None:
        self._in_hand.clear()
        for turn, row in writing.stored:
            vars(turn)["_stored"] = row
        for op in ops:
            self._growing.pop(op, None)  # type: ignore[call-overload]  # what does not grow is not there
        self._growing.update(dict.fromkeys(writing.growing))
        self._database.news.forget()

    def _drop(self, op: Op, error: Exception) -> None:
        self._in_hand.pop(op, None)
        self._growing.pop(op, None)  # type: ignore[call-overload]  # what does not grow is not there
        self._database.news.say(f"A part of the conversation could not be kept on disk ({error}).")

    def _cope(self, error: BaseException, flushes: list[_Flush]) -> float:
        self._is_blocked = True
        if is_busy(error):
            self._flushes.extendleft(reversed(flushes))
            return _SOON
        identity = self.db.identity if self.db else None
        self.disconnect()  # a connection that has failed is not relied on
        if is_damage(error) and self._set_aside(identity):
            self._flushes.extendleft(reversed(flushes))
            return BEAT
        self._database.explain(error)
        _release(flushes, False)
        return _RETRY

    def _set_aside(self, identity: tuple[int, int] | None) -> bool:
        try:
            self._database.set_aside(identity, _PATIENCE)
        except OSError as error:
            self._database.explain(error)
            return False
        return True


def _has_grown(op: Growing) -> bool:
    try:
        return op.has_grown()
    except Exception:  # whatever it is, writing it will find it out
        return True


def _wipe(db: Connection) -> None:
    """Empty the file in which SQLite writes ahead.

    Raises:
        TimeoutError: If a reader still needs it.
    """
    if db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise TimeoutError


def _release(flushes: Iterable[_Flush], is_written: bool) -> None:
    for flush in flushes:
        flush.is_written = is_written
        flush.open()
