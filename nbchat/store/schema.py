"""The tables of the file that conversations are kept in, and how a file of an earlier version becomes one of this.

A file says whose it is (`application_id`) and which of the migrations it has been through (`user_version`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress

APPLICATION = int.from_bytes(b"nbch")
"""What stands in the header of a file of ours."""

# Ids of notebooks and conversations are random: several processes can make them without asking each other, and none is
# ever used again. What is not needed to put the turns of a conversation in order is apart, so that it is read when
# it is asked for.
_FIRST = (
    "CREATE TABLE file AS SELECT random() AS id",  # tells it from one that gets its inode later
    """CREATE TABLE notebooks (
        id INTEGER PRIMARY KEY,
        path TEXT NOT NULL,
        device INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        current TEXT NOT NULL DEFAULT 'main'
    )""",
    """CREATE TABLE conversations (
        id INTEGER PRIMARY KEY,
        notebook INTEGER NOT NULL REFERENCES notebooks ON DELETE CASCADE,
        name TEXT NOT NULL,
        made REAL NOT NULL,
        deleted REAL,
        system TEXT,
        version INTEGER NOT NULL DEFAULT 0,
        logged INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE UNIQUE INDEX conversations_by_name ON conversations (notebook, name) WHERE deleted IS NULL",
    "CREATE INDEX conversations_of_notebook ON conversations (notebook)",
    """CREATE TABLE turns (
        number INTEGER PRIMARY KEY,
        conversation INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
        id TEXT NOT NULL,
        started TEXT NOT NULL,
        place REAL NOT NULL,
        standing TEXT NOT NULL,
        status TEXT NOT NULL,
        cell TEXT,
        ordinal INTEGER,
        session TEXT NOT NULL,
        after TEXT,
        digest TEXT NOT NULL,
        asked TEXT NOT NULL,
        cut INTEGER NOT NULL,
        size INTEGER NOT NULL DEFAULT 0,
        UNIQUE (conversation, id, started)
    )""",
    "CREATE INDEX turns_in_order ON turns (conversation, place, started, size, cell)",
    """CREATE TABLE details (
        turn INTEGER PRIMARY KEY REFERENCES turns ON DELETE CASCADE,
        model TEXT NOT NULL,
        provider TEXT NOT NULL,
        seconds REAL NOT NULL,
        prompt_tokens INTEGER,
        completion_tokens INTEGER,
        is_source INTEGER NOT NULL,
        rest TEXT NOT NULL,
        prompt TEXT NOT NULL,
        text TEXT NOT NULL,
        reasoning TEXT NOT NULL
    )""",
    """CREATE TABLE changes (
        conversation INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
        number INTEGER NOT NULL,
        kind TEXT NOT NULL,
        moves TEXT NOT NULL,
        PRIMARY KEY (conversation, number)
    ) WITHOUT ROWID""",
)

# Of the size, what is sent later: a prompt and its reply, without the reasoning.
_SENT = (
    "ALTER TABLE turns ADD COLUMN sent INTEGER NOT NULL DEFAULT 0",
    "UPDATE turns SET sent = size",  # too much for those with reasoning: to read all texts would take others' time
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _SENT)
"""Each makes a file of one version more; what was released is never changed, only added to."""


class LeftAlone(Exception):
    """The file is not one that this version may write; the message says why."""


def version(db: sqlite3.Connection) -> int:
    """How many migrations the file has been through.

    Raises:
        LeftAlone: If it is of a newer version, or somebody else's.
    """
    # In this order, and so the other way round than they are written: another process may be just making the file.
    is_empty = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    done: int = db.execute("PRAGMA user_version").fetchone()[0]
    application: int = db.execute("PRAGMA application_id").fetchone()[0]
    is_new = is_empty and not done and not application
    if application != APPLICATION and not is_new:
        raise LeftAlone("is a database of another program")
    if done > len(MIGRATIONS):
        raise LeftAlone("was written by a newer version of nbchat")
    return done


def migrate(db: sqlite3.Connection) -> None:
    """Bring the file to this version; an interruption leaves it at one of those between, whole."""
    while version(db) < len(MIGRATIONS):
        with transaction(db):
            done = version(db)  # somebody else may have been faster
            for statement in MIGRATIONS[done] if done < len(MIGRATIONS) else ():
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {min(done + 1, len(MIGRATIONS))}")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All that is written within, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has rolled back some failures itself
            db.execute("ROLLBACK")
        raise
