"""One conversation in the file: its turns are read all at once, and written as they change.

What is written is kept in step with other processes: of a turn that was there already, only what has changed here is
written, so that what another one has changed meanwhile stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from nbchat.history.changes import Change
from nbchat.history.turn import Turn
from nbchat.messages import clean
from nbchat.store import rows, statements
from nbchat.store.database import Connection, Home
from nbchat.store.place import Place, find
from nbchat.store.reader import Reader
from nbchat.store.writer import Writer, Writing

WAIT = 1.0
"""Seconds that a look into the file may wait for what was put before."""
_MOST_CHANGES = 500
"""How many of the last changes can be undone."""

_CHANGES = "SELECT number, kind, moves FROM changes WHERE conversation = ? ORDER BY number"


class Record:
    """One conversation of one notebook."""

    def __init__(self, reader: Reader, writer: Writer, place: Place, name: str, id: int) -> None:
        self._reader = reader
        self._writer = writer
        self._place = place
        self.name = name
        self._id = id
        self._system: str | None = None
        self._has_new_system = False
        """Another one than the file's is to be written."""
        self._home: Home | None = None
        """The file that has all of it."""
        self._seen: tuple[tuple[Home, int], ...] = ()
        """The file, and how often the conversation had been written to when it was read, or only here since then:
        the last such number, and the one to which a transaction is just changing it."""
        self._turns: list[Turn] = []
        """What was read last, and what was written here: from them, all could be written again."""
        self._written: dict[Turn, None] = {}
        self._changes: dict[Change, None] = {}

    @property
    def system(self) -> str | None:
        """The conversation's system prompt."""
        return self._system

    def set_system(self, text: str | None) -> None:
        """Keep another."""
        self._system = None if text is None else clean(text)
        self._has_new_system = True
        self._writer.put(self._write_system)

    def renamed(self, place: Place, old: str, new: str) -> None:
        """If it is that notebook's conversation of the old name, it has another one."""
        if self._place is place and self.name == old:
            self.name = new

    def is_behind(self) -> bool:
        """Whether another process has written to the conversation since it was read."""
        now = self._reader.read(self._version)
        # What is written here meanwhile counts on: an earlier number is known, too.
        return now is not None and not any(home == now[0] and now[1] <= number for home, number in self._seen)

    def read(self) -> tuple[list[Turn], list[Change]]:
        """All versions of all turns, by place and time, without their texts; and the last changes.

        What this process could not write yet is among them; and if the file cannot be read, they are what it knows.
        """
        is_settled = self._writer.settle(WAIT)
        found = self._reader.read(self._read)
        if found is None:
            return self._known(), list(self._changes)
        turns, changes = found
        if not is_settled or self._home != self._seen[0][0]:
            turns = _with_own(turns, self._written)
            changes += [change for change in self._changes if not change.number]
            self._writer.put(self.move_in)
        self._turns, self._changes = list(turns), dict.fromkeys(changes)
        return turns, changes

    def write(self, turns: Iterable[Turn]) -> None:
        """Keep these turns as they are; one that is under way is written again while it grows, until it has ended."""
        turns = list(turns)
        self._written.update(dict.fromkeys(turns))
        self._writer.put(*(_Saving(self, turn) for turn in turns))

    def log(self, change: Change) -> None:
        """Keep a change."""
        self._changes[change] = None
        self._writer.put(partial(self._write_change, change))

    def unlog(self, change: Change) -> None:
        """Forget a change that was undone."""
        self._changes.pop(change, None)
        self._writer.put(partial(self._delete_change, change))

    def said(self, turns: Sequence[Turn]) -> dict[Turn, tuple[str, str]]:
        """Prompt and reply of each of these turns that can be read so simply."""
        return self._reader.read(lambda db: statements.said(db, turns)) or {}

    def note_asked(self, turns: Sequence[Turn]) -> None:
        """Give these turns the digests of their prompts, as far as the file has them."""
        found = self._reader.read(lambda db: statements.asked(db, self._id)) or {}
        for turn in turns:
            if not turn._asked and (before := rows.stored(turn)):
                turn._asked = found.get(before[1][:2], "")

    def load(self, turns: Sequence[Turn]) -> None:
        """Read the texts of these turns; they are empty if that is not possible."""
        unread = [turn for turn in turns if not rows.is_complete(turn)]
        found = self._reader.read(lambda db: statements.details_of(db, unread))
        for turn, details in zip(unread, found or [None] * len(unread), strict=True):
            rows.complete(turn, details or self._rescued(turn))

    def move_in(self, writing: Writing) -> None:
        """See that the file has what this process knows: it may be a new one, in the place of one that was damaged."""
        home = writing.db.home
        if self._home == home:
            return
        self.enter(writing)
        for turn in self._known():
            if not statements.is_there(writing.db, self._id, turn):
                if not rows.is_complete(turn):
                    rows.complete(turn, self._rescued(turn))
                statements.write_anew(writing, self._id, turn)
        for change in self._changes:
            if change.number:
                self._write_change(change, writing)
        writing.set(self, "_home", home)

    def enter(self, writing: Writing) -> None:
        """See that the file has the conversation; another process may have been faster."""
        if self in writing.entered:
            return
        writing.entered.add(self)
        if not writing.execute("SELECT 1 FROM conversations WHERE id = ?", [self._id]).fetchone():
            self._place.enter(writing)
            known = [self._id, self._place.id, self.name, time.time(), self._system]
            made = writing.execute(
                "INSERT OR IGNORE INTO conversations (id, notebook, name, made, system) VALUES (?, ?, ?, ?, ?)", known
            )
            if made.rowcount:
                writing.set(self, "_seen", ((writing.db.home, 0),))
            else:
                writing.set(self, "_id", find(writing.db, self._place.id, self.name))

    def save(self, writing: Writing, turn: Turn) -> None:
        """Write a turn as it is now."""
        self.enter(writing)
        if self.has_changed(turn):
            self._touch(writing)
            statements.write(writing, self._id, turn)

    def has_changed(self, turn: Turn) -> bool:
        """Whether it is not as it was last written."""
        return rows.stored(turn) != (self._id, rows.row_of(turn, rows.texts_in(turn)))

    def _touch(self, writing: Writing) -> None:
        """Let other processes see that the conversation was written to."""
        if self in writing.touched:
            return
        writing.touched.add(self)
        now = self._version(writing.db)
        writing.execute("UPDATE conversations SET version = version + 1 WHERE id = ?", [self._id])
        if now is not None and now in self._seen:
            writing.set(self, "_seen", (now, (now[0], now[1] + 1)))

    def _rescued(self, turn: Turn) -> rows.Row | None:
        return self._reader.rescue(lambda db: statements.details(db, turn))

    def _version(self, db: Connection) -> tuple[Home, int] | None:
        found = db.execute("SELECT version FROM conversations WHERE id = ?", [self._id]).fetchone()
        return (db.home, found[0]) if found else None

    def _read(self, db: Connection) -> tuple[list[Turn], list[Change]] | None:
        found = db.execute("SELECT version, system FROM conversations WHERE id = ?", [self._id]).fetchone()
        if found is None:
            return None
        turns = rows.turns_of(statements.all_rows(db, self._id), self._id, self)
        changes = rows.changes_of(db.execute(_CHANGES, [self._id]))
        self._seen = ((db.home, found[0]),)
        self._system = self._system if self._has_new_system else found[1]
        self._home = self._home or db.home
        return turns, changes

    def _known(self) -> list[Turn]:
        return _with_own(self._turns, self._written)

    def _write_system(self, writing: Writing) -> None:
        self.enter(writing)
        self._touch(writing)
        writing.set(self, "_has_new_system", False)
        writing.execute("UPDATE conversations SET system = ? WHERE id = ?", [self._system, self._id])

    def _write_change(self, change: Change, writing: Writing) -> None:
        self.enter(writing)
        self._touch(writing)
        if not change.number:  # none is used twice: another process may still know of it
            logged = writing.execute("SELECT logged FROM conversations WHERE id = ?", [self._id]).fetchone()[0]
            writing.set(change, "number", logged + 1)
        known = [self._id, change.number, clean(change.kind), rows.moves_of(change)]
        writing.execute("INSERT OR IGNORE INTO changes (conversation, number, kind, moves) VALUES (?, ?, ?, ?)", known)
        oldest = change.number - _MOST_CHANGES
        writing.execute("DELETE FROM changes WHERE conversation = ? AND number <= ?", [self._id, oldest])
        writing.execute("UPDATE conversations SET logged = max(logged, ?) WHERE id = ?", [change.number, self._id])

    def _delete_change(self, change: Change, writing: Writing) -> None:
        self.enter(writing)
        self._touch(writing)
        writing.execute("DELETE FROM changes WHERE conversation = ? AND number = ?", [self._id, change.number])


@dataclass(frozen=True)
class _Saving:
    """A turn to be written; again and again while its reply is under way."""

    record: Record
    turn: Turn

    def __call__(self, writing: Writing) -> None:
        is_live = self.turn.is_live  # before it is written: it may end meanwhile
        self.record.save(writing, self.turn)
        if is_live:
            writing.growing.append(self)

    def has_grown(self) -> bool:
        """Whether it is not as it was last written."""
        return self.record.has_changed(self.turn)


def _with_own(turns: Iterable[Turn], own: Iterable[Turn]) -> list[Turn]:
    """The turns, those of `own` as they are there."""
    found = {turn.key: turn for turn in [*turns, *list(own)]}
    return sorted(found.values(), key=lambda turn: (turn.place, turn.started))
