"""Turns in the tables of the file: read, and written with what has changed of them.

Of a turn that this process knows to be there, only that is written which has changed here since: what another process
has changed of it stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from nbchat.history.turn import Turn
from nbchat.store import rows
from nbchat.store.database import Connection
from nbchat.store.rows import DETAILS, LIGHT, MORE, TEXTS, USUAL, Row, Texts
from nbchat.store.writer import Writing

_MANY = 8
_LIGHT = ", ".join(LIGHT)
_MORE = ", ".join(MORE)
_DETAILS = ", ".join((*DETAILS, *TEXTS))
_THIS = "conversation = ? AND id = ? AND started = ?"
_NUMBER = f"SELECT number FROM turns WHERE {_THIS}"
_OFTEN, _SELDOM = (", ".join(names) for names in (LIGHT[: -len(USUAL)], LIGHT[-len(USUAL) :]))
_ALL = f"""SELECT {_OFTEN}, CASE WHEN ({_SELDOM}) = {USUAL} THEN NULL ELSE json_array({_SELDOM}) END
    FROM turns WHERE conversation = ? ORDER BY place, started"""
_READ_DETAILS = f"SELECT {_MORE}, {_DETAILS} FROM turns JOIN details ON turn = number WHERE {_THIS}"
_READ_MANY = f"""SELECT id, started, {_MORE}, {_DETAILS} FROM turns JOIN details ON turn = number
    WHERE conversation = ? AND place BETWEEN ? AND ?"""
_ASKED = "SELECT id, started, asked FROM turns WHERE conversation = ?"
_SAID = """SELECT id, started, prompt, text FROM turns JOIN details ON turn = number
    WHERE conversation = ? AND place BETWEEN ? AND ? AND standing = 'current'"""
_INSERT = f"INSERT INTO turns (conversation, {_LIGHT}, {_MORE}) SELECT ?, {', '.join('?' * len(LIGHT))}"
_CONFLICT = "ON CONFLICT (conversation, id, started) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in (*LIGHT[2:], *MORE)
)
_WRITE = f"{_INSERT}, ?, ? WHERE true {_CONFLICT}"
_COPY = f"{_INSERT}, {_MORE} FROM turns WHERE {_THIS} {_CONFLICT}"
_INSERT_DETAILS = f"INSERT OR REPLACE INTO details (turn, {_DETAILS})"
_WRITE_DETAILS = f"{_INSERT_DETAILS} SELECT number, {', '.join('?' * len((*DETAILS, *TEXTS)))} FROM turns WHERE {_THIS}"
_COPY_DETAILS = f"{_INSERT_DETAILS} SELECT ({_NUMBER}), {_DETAILS} FROM details WHERE turn = ({_NUMBER})"


def all_rows(db: Connection, conversation: int) -> list[Row]:
    """The values of LIGHT of all turns of a conversation, by place and time; the last in one text, None if usual."""
    return db.execute(_ALL, [conversation]).fetchall()


def details(db: Connection, turn: Turn) -> Row | None:
    """A turn's values of MORE, DETAILS and TEXTS; None if they are not there any more."""
    found: Row | None = db.execute(_READ_DETAILS, rows.source(turn)).fetchone()
    return found


def details_of(db: Connection, turns: Sequence[Turn]) -> list[Row | None]:
    """What `details` gives of each of these turns; many that stand together are read together."""
    if len(turns) < _MANY:
        return [details(db, turn) for turn in turns]
    keys = [rows.source(turn) for turn in turns]
    places = [turn.place for turn in turns]
    found: dict[Row, Row] = {}
    for conversation in {key[0] for key in keys}:
        rows_of_it = db.execute(_READ_MANY, (conversation, min(places), max(places)))
        found |= {(conversation, *row[:2]): row[2:] for row in rows_of_it}
    return [found.get(key) for key in keys]


def said(db: Connection, turns: Sequence[Turn]) -> dict[Turn, tuple[str, str]]:
    """Prompt and reply of each of these turns that the file has."""
    keys = [rows.source(turn) for turn in turns]
    places = [turn.place for turn in turns]
    found: dict[Row, tuple[str, str]] = {}
    for conversation in {key[0] for key in keys}:
        rows_of_it = db.execute(_SAID, (conversation, min(places), max(places)))
        found |= {(conversation, id, started): (prompt, text) for id, started, prompt, text in rows_of_it}
    return {turn: found[key] for turn, key in zip(turns, keys, strict=True) if key in found}


def asked(db: Connection, conversation: int) -> dict[Row, str]:
    """The digests of the prompts of a conversation's turns, by their ids and times."""
    return {(id, started): asked for id, started, asked in db.execute(_ASKED, [conversation])}


def is_there(db: Connection, conversation: int, turn: Turn) -> bool:
    """Whether the conversation has this version of the turn."""
    return db.execute(_NUMBER, (conversation, turn.id, rows.moment(turn.started))).fetchone() is not None


def write(writing: Writing, conversation: int, turn: Turn) -> None:
    """Write a turn as it is now into a conversation."""
    texts = rows.texts_in(turn)
    row, before = rows.row_of(turn, texts), rows.stored(turn)
    key = (conversation, *row[:2])
    if before is None or rows.source(turn) != key or not _update(writing, key, row, texts, before[1]):
        _insert(writing, key, row, texts, turn)
    writing.stored.append((turn, (conversation, row)))


def write_anew(writing: Writing, conversation: int, turn: Turn) -> None:
    """Write a turn into a file that does not have it, if all of it is in memory."""
    texts = rows.texts_in(turn)
    if texts is not None:
        row = rows.row_of(turn, texts)
        _insert(writing, (conversation, *row[:2]), row, texts, turn)
        writing.stored.append((turn, (conversation, row)))


def _update(writing: Writing, key: Row, row: Row, texts: Texts | None, before: Row) -> bool:
    """Write what has changed; false if the turn is not there any more, since its notebook was forgotten."""
    columns = zip((*LIGHT, *MORE), row, (*before, None, None), strict=False)  # either row may be without its details
    new = {name: value for name, value, old in columns if value != old}
    names = ", ".join(f"{name} = ?" for name in new)
    if new and not writing.execute(f"UPDATE turns SET {names} WHERE {_THIS}", (*new.values(), *key)).rowcount:
        return False
    if texts is None or row[len(LIGHT) :] == before[len(LIGHT) :]:
        return True
    return writing.execute(_WRITE_DETAILS, (*row[len(LIGHT) + len(MORE) :], *texts, *key)).rowcount > 0


def _insert(writing: Writing, key: Row, row: Row, texts: Texts | None, turn: Turn) -> None:
    """Write all of a turn; the details of one that is from another conversation, and was never read, are copied."""
    end = len(LIGHT) + len(MORE)
    light, rest = row[:end], row[end:]
    if texts is not None:
        writing.execute(_WRITE, (key[0], *light))
        writing.execute(_WRITE_DETAILS, (*rest, *texts, *key))
    elif rows.source(turn) != key:
        writing.execute(_COPY, (key[0], *light, *rows.source(turn)))
        writing.execute(_COPY_DETAILS, (*key, *rows.source(turn)))
