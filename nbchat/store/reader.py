"""Reads from the file on the thread of whoever asks; what cannot be read in about a second is said to be unknown."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from nbchat.store import schema
from nbchat.store.database import Connection, Database, Trouble, is_busy, is_damage

T = TypeVar("T")

_PATIENCE = 1.0
"""Seconds that one look into the file may wait for other processes."""


class Reader:
    """A connection for reading, opened when it is first needed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.begin()

    def begin(self) -> None:
        """Nothing is open."""
        self.db: Connection | None = None
        self._former: Connection | None = None
        self.at_work = threading.RLock()
        """Held while the file is used."""

    def read(self, query: Callable[[Connection], T]) -> T | None:
        """What `query` finds, all of it as of one moment; None if there is no file, or it cannot be read."""
        with self.at_work:
            try:
                db = self._connected()
                return _within(db, query) if db is not None else None
            except Trouble as error:
                self._cope(error)
                return None

    def rescue(self, query: Callable[[Connection], T]) -> T | None:
        """What `query` finds in the file that was in this one's place before: it may be damaged, or have no name."""
        with self.at_work, suppress(*Trouble):
            if self.db is not None:
                self._connected()
            return query(self._former) if self._former is not None else None
        return None

    def connections(self) -> list[Connection]:
        """What is open."""
        return [db for db in (self.db, self._former) if db is not None]

    def disconnect(self) -> None:
        """Close the file; the next look opens it again."""
        with self.at_work:
            for db in self.connections():
                db.close()
            self.db = self._former = None

    def _connected(self) -> Connection | None:
        if self.db is not None and not self._database.has_open(self.db):
            self._step_back()
        if self.db is None:
            self.db = self._database.connect(_PATIENCE, create=False)
        return self.db

    def _step_back(self) -> None:
        if self._former is not None:
            self._former.close()
        self._former, self.db = self.db, None

    def _cope(self, error: BaseException) -> None:
        damaged = self.db.identity if self.db and is_damage(error) else None
        if self.db is not None:
            self._step_back()
        if is_busy(error):
            path = self._database.path
            self._database.news.say(f"{path} could not be read, since another program has locked it.")
        elif damaged:
            with suppress(OSError):  # the writer will say why
                self._database.set_aside(damaged, _PATIENCE)
        else:
            self._database.explain(error)


def _within(db: Connection, query: Callable[[Connection], T]) -> T:
    db.execute("BEGIN")
    try:
        schema.version(db)
        return query(db)
    finally:  # an interrupt must not leave it open either
        with suppress(sqlite3.Error):  # it may have ended by an error
            db.execute("ROLLBACK")
