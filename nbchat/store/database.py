"""The file that conversations are kept in: made, opened, protected, and moved out of the way when it is damaged.

Several processes use it at the same time. SQLite sees to that as long as the file stays where it is; whoever makes it,
changes its tables or moves it away keeps the others out meanwhile. Whoever has it open looks whether it is still there.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from nbchat.store import schema
from nbchat.store.schema import LeftAlone

if sys.platform != "win32":
    import fcntl

Identity = tuple[int, int]
"""Device and inode of a file, which tell it from all others as long as it is open."""
Home = tuple[int, int, int]
"""The same, with the random number in it: they tell it from all others that there ever were."""

_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a file."""
_PAGE = 8192
"""Bytes of a page: most turns fit into one, and a second's worth of a reply is a few of them."""
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FULL = {sqlite3.SQLITE_FULL}
_REFUSED = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOLFS,
}

Trouble = (sqlite3.Error, OSError, LeftAlone)
"""What can come of using the file."""


def is_busy(error: BaseException) -> bool:
    """Whether another process was in the way: it works later."""
    return _code(error) in _BUSY or isinstance(error, TimeoutError)


def is_damage(error: BaseException) -> bool:
    """Whether the file is no database, or its parts do not fit together."""
    return _code(error) in _DAMAGED


def is_outside(error: BaseException) -> bool:
    """Whether the cause is the file or the disk, not what was to be done with it."""
    return isinstance(error, OSError | LeftAlone) or _code(error) in _BUSY | _DAMAGED | _FULL | _REFUSED


def _code(error: BaseException) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


class Connection(sqlite3.Connection):
    """A connection that knows which file it has open; a path may lead to another one later."""

    identity: Identity = (0, 0)
    home: Home = (0, 0, 0)


class News:
    """What the user should know about the file, each said once."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._new: list[str] = []

    def say(self, sentence: str) -> None:
        """Say it unless it was said."""
        if sentence not in self._said:
            self._said.add(sentence)
            self._new.append(sentence)

    def forget(self) -> None:
        """All is well again: should it go wrong anew, that is news."""
        self._said.clear()

    def take(self) -> str:
        """What has not been told yet."""
        new, self._new = self._new, []
        return " ".join(new)


class Database:
    """The file at one path."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))  # SQLite's own files stand beside that one
        self.news = News()
        self.is_inherited = False
        """The process that this one was forked from has left it open: SQLite could not tell the two apart."""

    def identity(self) -> Identity | None:
        """Which file is at the path now; None if there is none."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def has_open(self, db: Connection) -> bool:
        """Whether the connection's file is the one at the path."""
        return self.identity() == db.identity

    def connect(self, timeout: float, *, create: bool) -> Connection | None:
        """Open the file, waiting at most about `timeout` seconds for others; None if there is none to be opened.

        A damaged file is moved aside; it is said.

        Raises:
            sqlite3.Error, OSError, LeftAlone: If that is not possible.
        """
        for _ in range(2):
            try:
                return self._connect(timeout, create)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self.set_aside(self.identity(), timeout)
        return self._connect(timeout, create)

    def _connect(self, timeout: float, create: bool) -> Connection | None:
        if self.is_inherited:
            raise LeftAlone("is in use by the process that this one was forked from")
        if self.identity() is None:
            if not create:
                return None
            self._make(timeout)
        self._look()
        db = self._open("mode=rw", timeout)
        try:
            db.execute("PRAGMA secure_delete = ON")  # what a user wants forgotten must not stay in free pages
            if schema.version(db) < len(schema.MIGRATIONS):
                with self._alone(timeout):
                    schema.migrate(db)
            _write_ahead(db)
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute(f"PRAGMA journal_size_limit = {1 << 20}")
            db.home = (*db.identity, db.execute("SELECT id FROM file").fetchone()[0])
        except BaseException:
            db.close()
            raise
        return db

    def _open(self, how: str, timeout: float) -> Connection:
        """A connection; its file must be there."""
        identity = self.identity()
        name = f"{self.path.as_uri()}?{how}"
        db = sqlite3.connect(
            name, timeout=timeout, isolation_level=None, check_same_thread=False, factory=Connection, uri=True
        )
        db.identity = identity or (0, 0)
        return db

    def _make(self, timeout: float) -> None:
        """Make the file and its directory, for the user alone."""
        directory = self.path.parent
        if not directory.exists():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)  # whatever the umask
        with self._alone(timeout):
            if self.identity() is None:
                for end in _BESIDE:  # of a file that was deleted: SQLite would take it for this one's
                    self._beside(end).unlink(missing_ok=True)
                with closing(self._open("mode=rwc", timeout)) as db:
                    _protect(self.path, 0o600)
                    db.execute(f"PRAGMA page_size = {_PAGE}")
                    schema.migrate(db)

    def _look(self) -> None:
        """Look at the file before anything can change it: at its rights, and whether it is ours."""
        if not self.path.is_file():
            raise LeftAlone("is not a file")
        for path in (self.path, *map(self._beside, _BESIDE)):
            _protect(path, 0o600)
        with suppress(OSError):
            if all(name.startswith(self.path.name) for name in os.listdir(self.path.parent)):  # it is for nothing else
                _protect(self.path.parent, 0o700)
        with suppress(sqlite3.Error), closing(self._open(self._untouching(), 0)) as db:
            schema.version(db)

    def _untouching(self) -> str:
        """How to open the file without a trace: what SQLite has written ahead can only be read with locks."""
        ahead = self._beside("-wal")
        return "mode=ro" if ahead.exists() and ahead.stat().st_size else "mode=ro&immutable=1"

    def set_aside(self, damaged: Identity | None, timeout: float) -> None:
        """Give a damaged file another name, unless somebody else has done so."""
        with self._alone(timeout):
            if damaged is None or self.identity() != damaged:
                return
            name = f"{self.path.name}.corrupt-{datetime.now():%Y%m%d-%H%M%S}"
            while self.path.with_name(name).exists():
                name += "x"
            self.path.rename(self.path.with_name(name))
            for end in _BESIDE:
                with suppress(FileNotFoundError):
                    self._beside(end).rename(self.path.with_name(name + end))
        self.news.say(f"The file of conversations was damaged: it is now {name}, and a new one was begun in its place.")

    def explain(self, error: BaseException) -> None:
        """Say what is wrong, unless it passes by itself."""
        if isinstance(error, LeftAlone):
            self.news.say(f"{self.path} {error}, and is left alone: conversations are in memory only.")
        elif _code(error) in _FULL:
            self.news.say("The disk is full: until there is room, conversations are in memory only.")
        elif not is_busy(error):
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self.news.say(f"{self.path} cannot be used ({why}): until it can, conversations are in memory only.")

    def _beside(self, end: str) -> Path:
        return self.path.with_name(self.path.name + end)

    @contextmanager
    def _alone(self, timeout: float) -> Iterator[None]:
        """Keep other processes, and other threads, from making, changing or moving the file.

        Raises:
            TimeoutError: If another one does so for too long.
        """
        if sys.platform == "win32":  # where an open file cannot be moved or deleted anyway
            yield
            return
        handle = os.open(self.path.parent, os.O_RDONLY)
        try:
            _lock(handle, time.monotonic() + timeout)
            yield
        finally:
            os.close(handle)


def _lock(handle: int, end: float) -> None:
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError from None
            time.sleep(0.01)
        except OSError:  # a file system without locks
            return None


def _protect(path: Path, mode: int) -> None:
    """Let nobody but the user read it, if it is the user's."""
    with suppress(FileNotFoundError, PermissionError):
        found = os.stat(path)
        if found.st_mode & 0o777 != mode and getattr(os, "getuid", lambda: found.st_uid)() == found.st_uid:
            os.chmod(path, mode)


def _write_ahead(db: sqlite3.Connection) -> None:
    """Let readers and a writer go on side by side, where the file system can do that."""
    if db.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    try:
        db.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if not is_busy(error):  # busy: another process is doing it
            db.execute("PRAGMA journal_mode = DELETE")
