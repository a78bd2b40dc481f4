"""All notebooks' conversations in one file: which notebooks there are, what their conversations are called.

Reading is done on the caller's thread and takes at most about two seconds; writing is done on a thread of its own, and
nothing here waits for it. What goes wrong with the file is never raised: conversations go on in memory, and `news` says
why.
"""

from __future__ import annotations

import atexit
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet, ref

from nbchat.messages import clean
from nbchat.store.database import Connection, Database
from nbchat.store.place import Place, find
from nbchat.store.reader import Reader
from nbchat.store.record import WAIT, Record
from nbchat.store.writer import Op, Writer, Writing

T = TypeVar("T")

_PATIENCE = 2.0
"""Seconds that a fork waits until the file can be closed."""

_NOTEBOOKS = """
    SELECT n.id, n.path, n.device, n.inode, t.used, coalesce(t.turns, 0), coalesce(t.size, 0),
        (SELECT count(*) FROM conversations c WHERE c.notebook = n.id AND c.deleted IS NULL)
    FROM notebooks n LEFT JOIN (
        SELECT c.notebook, max(s.used) AS used, sum(s.turns) AS turns, sum(s.size) AS size
        FROM conversations c JOIN (
            SELECT conversation, max(started) AS used, count(DISTINCT place) AS turns, sum(size) AS size
            FROM turns GROUP BY conversation
        ) s ON s.conversation = c.id
        GROUP BY c.notebook
    ) t ON t.notebook = n.id
    ORDER BY t.used DESC, n.path
"""
_PLACES = "SELECT id, path, device, inode FROM notebooks ORDER BY id"
_USED = """
    SELECT max(t.started) FROM conversations c JOIN turns t ON t.conversation = c.id WHERE c.notebook = ?
"""
_CELLS = """
    SELECT DISTINCT t.cell FROM conversations c JOIN turns t ON t.conversation = c.id
    WHERE c.notebook = ? AND t.cell IS NOT NULL
"""
_PROMPTS = """
    SELECT x.prompt FROM details x JOIN (
        SELECT t.number, t.started FROM conversations c JOIN turns t ON t.conversation = c.id
        WHERE c.notebook = ? ORDER BY t.started DESC LIMIT ?
    ) newest ON newest.number = x.turn
    ORDER BY newest.started DESC
"""
_NAMES = "SELECT name FROM conversations WHERE notebook = ? AND deleted IS NULL ORDER BY made"


@dataclass(frozen=True)
class KnownNotebook:
    """A notebook that the store knows: where it is, and since when it was not used."""

    id: int
    path: str
    """Where it was last; empty if it is no more."""
    device: int
    inode: int
    used: float
    """When its last turn was sent, in seconds since 1970; 0 without turns."""


@dataclass(frozen=True)
class StoredNotebook(KnownNotebook):
    """A notebook that has conversations in the store, and how much that is."""

    turns: int
    size: int
    """Bytes of the texts of all versions of its turns."""
    conversations: int


_AT_ONCE = 500
"""Ids in one query."""
_ASKED = """SELECT turns.id, model, provider FROM turns JOIN details ON details.turn = turns.number
    WHERE turns.id IN ({}) AND rest NOT LIKE ?"""
_FOREIGN = '%"is_foreign": true%'


class Store:
    """The conversations of all notebooks, in the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        self._reader = Reader(self._database)
        self._writer = Writer(self._database, self._residents)
        self._places: dict[int, Place] = {}
        self._records: list[ref[Record]] = []
        self._held: list[Writer | Reader] = []
        _stores.add(self)

    def news(self) -> str:
        """What has gone wrong with the file, each said once; empty if there is nothing new."""
        return self._database.news.take()

    def notebooks(self) -> list[StoredNotebook]:
        """All notebooks, the one used last first."""
        found = self._read(lambda db: db.execute(_NOTEBOOKS).fetchall()) or []
        return [StoredNotebook(*row[:4], _seconds(row[4]), *row[5:]) for row in found]  # type: ignore[call-arg]  # of a tuple

    def known(self, is_wanted: Callable[[str, int, int], bool]) -> list[KnownNotebook]:
        """The notebooks of whose path, device and inode this is true, the one used last first."""

        def query(db: Connection) -> list[KnownNotebook]:
            wanted = [row for row in db.execute(_PLACES).fetchall() if is_wanted(*row[1:])]
            return [KnownNotebook(*row, _seconds(db.execute(_USED, row[:1]).fetchone()[0])) for row in wanted]  # type: ignore[call-arg]  # of a tuple

        return sorted(self._read(query) or [], key=lambda row: (-row.used, row.path))

    def cells(self, notebook: int) -> set[str]:
        """Ids of all cells that the notebook's turns know."""
        found = self._read(lambda db: db.execute(_CELLS, [self._id(notebook)]).fetchall()) or []
        return {cell for (cell,) in found}

    def prompts(self, notebook: int, most: int) -> list[str]:
        """The notebook's last prompts, the newest first."""
        found = self._read(lambda db: db.execute(_PROMPTS, [self._id(notebook), most]).fetchall()) or []
        return [prompt for (prompt,) in found]

    def asked(self, turns: Sequence[str]) -> set[tuple[str, str, str]]:
        """Id, model and provider of those of these turns that were sent from here, in whatever notebook."""
        batches = (turns[begin : begin + _AT_ONCE] for begin in range(0, len(turns), _AT_ONCE))
        return {found for ids in batches for found in self._asked(ids)}

    def _asked(self, turns: Sequence[str]) -> list[tuple[str, str, str]]:
        query = _ASKED.format(", ".join("?" * len(turns)))
        return self._read(lambda db: db.execute(query, [*turns, _FOREIGN]).fetchall()) or []

    def add_notebook(self, path: str, device: int, inode: int) -> int:
        """Make a notebook; its id. One that another process has just made of the same file is taken instead."""
        place = Place(_new_id(), clean(path), device, inode)
        self._places[place.id] = place
        self._writer.put(place.enter)
        self._writer.settle(WAIT)
        self._places[place.id] = place
        return place.id

    def move_notebook(self, notebook: int, path: str, device: int, inode: int) -> None:
        """The notebook's file is here now; nowhere if the path is empty."""
        place = self._place(notebook)
        place.path, place.device, place.inode = clean(path), device, inode

        def move(writing: Writing) -> None:
            here = [place.path, place.device, place.inode]
            writing.execute("UPDATE notebooks SET path = ?, device = ?, inode = ? WHERE id = ?", [*here, place.id])

        self._writer.put(move)

    def forget(self, notebooks: Iterable[int]) -> None:
        """Delete notebooks with all that they have, so that no trace of their texts is left in the file."""
        ids = [self._id(notebook) for notebook in notebooks]

        def delete(writing: Writing) -> None:
            for id in ids:
                writing.execute("DELETE FROM notebooks WHERE id = ?", [id])

        self._writer.put(delete)
        self._writer.scrub()
        self.flush()

    def names(self, notebook: int) -> list[str]:
        """Names of the notebook's conversations, the oldest first."""
        found = self._read(lambda db: db.execute(_NAMES, [self._id(notebook)]).fetchall()) or []
        return [name for (name,) in found]

    def current(self, notebook: int) -> str:
        """Name of the conversation that the notebook was last switched to."""
        query = "SELECT current FROM notebooks WHERE id = ?"
        found = self._read(lambda db: db.execute(query, [self._id(notebook)]).fetchone())
        return str(found[0]) if found else self._place(notebook).current

    def set_current(self, notebook: int, name: str) -> None:
        """The notebook was switched to another conversation."""
        place = self._place(notebook)
        place.current = clean(name)
        self._put("UPDATE notebooks SET current = ? WHERE id = ?", lambda: (place.current, place.id))

    def conversation(self, notebook: int, name: str) -> Record:
        """The notebook's conversation of that name; made if there is none."""
        place, name = self._place(notebook), clean(name)
        id = self._read(lambda db: find(db, place.id, name))
        record = Record(self._reader, self._writer, place, name, id or _new_id())
        self._records.append(ref(record))
        if not id:
            self._writer.put(record.enter)
        return record

    def rename(self, notebook: int, old: str, new: str) -> None:
        """Give a conversation another name; nothing happens if that is taken."""
        place, old, new = self._place(notebook), clean(old), clean(new)
        for record in self._living():
            record.renamed(place, old, new)
        place.current = new if place.current == old else place.current
        self._put(
            "UPDATE OR IGNORE conversations SET name = ? WHERE notebook = ? AND name = ? AND deleted IS NULL",
            lambda: (new, place.id, old),
        )
        self._put("UPDATE notebooks SET current = ? WHERE id = ? AND current = ?", lambda: (new, place.id, old))

    def delete(self, notebook: int, name: str) -> None:
        """Let a conversation be no more, until it is restored."""
        place, now = self._place(notebook), time.time()
        self._put(
            "UPDATE conversations SET deleted = ? WHERE notebook = ? AND name = ? AND deleted IS NULL",
            lambda: (now, place.id, clean(name)),
        )

    def restore(self, notebook: int, name: str) -> None:
        """Bring the conversation of that name back that was deleted last; nothing happens if the name is taken."""
        place = self._place(notebook)
        self._put(
            """UPDATE OR IGNORE conversations SET deleted = NULL WHERE id = (
                SELECT id FROM conversations WHERE notebook = ? AND name = ? AND deleted IS NOT NULL
                ORDER BY deleted DESC LIMIT 1
            )""",
            lambda: (place.id, clean(name)),
        )

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until all that was written here is on disk; false if that takes longer, or is not possible for now."""
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Flush, and leave the file; the next use opens it again."""
        self._writer.close(2.0)
        self._reader.disconnect()

    def before_fork(self) -> None:
        """Close the file: a child that has it open could not open it anew, by the rules of SQLite."""
        self._held = [part for part in (self._writer, self._reader) if part.at_work.acquire(timeout=_PATIENCE)]
        for part in self._held:
            part.disconnect()

    def after_fork(self) -> None:
        """Go on."""
        while self._held:
            self._held.pop().at_work.release()

    def forked(self) -> None:
        """This is a child process: what its parent is about to write is the parent's."""
        if kept := [*self._writer.connections(), *self._reader.connections()]:  # they were in use for too long
            _inherited.extend(kept)
            self._database.is_inherited = True
        self._writer.begin()
        self._reader.begin()

    def _put(self, statement: str, values: Callable[[], tuple[object, ...]]) -> None:
        """Run a statement on the writer's thread, with values as they are by then."""

        def run(writing: Writing) -> None:
            writing.execute(statement, values())

        self._writer.put(run)

    def _read(self, query: Callable[[Connection], T]) -> T | None:
        self._writer.settle(WAIT)
        return self._reader.read(query)

    def _place(self, notebook: int) -> Place:
        if notebook not in self._places:
            query = "SELECT id, path, device, inode, current FROM notebooks WHERE id = ?"
            found = self._read(lambda db: db.execute(query, [notebook]).fetchone())
            if not found:
                return Place(notebook)
            self._places[notebook] = Place(*found)
        return self._places[notebook]

    def _id(self, notebook: int) -> int:
        return self._places[notebook].id if notebook in self._places else notebook

    def _residents(self) -> list[Op]:
        return [record.move_in for record in self._living()]

    def _living(self) -> list[Record]:
        """The records that somebody holds."""
        return [record for known in list(self._records) if (record := known())]


def _new_id() -> int:
    return secrets.randbits(53) + 1


def _seconds(started: str | None) -> float:
    return datetime.fromisoformat(started).timestamp() if started else 0.0


_stores: WeakSet[Store] = WeakSet()
_inherited: list[object] = []
"""Connections of the parent process: closing one here could harm it."""


def _each(step: Callable[[Store], None]) -> Callable[[], None]:
    def steps() -> None:
        for store in list(_stores):
            step(store)

    return steps


atexit.register(_each(Store.close))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_each(Store.before_fork), after_in_parent=_each(Store.after_fork), after_in_child=_each(Store.forked)
    )
