"""Which notebook and which conversation a row of the file stands for, and how it comes to be there."""

from __future__ import annotations

from dataclasses import dataclass

from nbchat.store.database import Connection
from nbchat.store.writer import Writing


@dataclass(eq=False)
class Place:
    """A notebook, as far as this process knows it."""

    id: int
    path: str = ""
    device: int = 0
    inode: int = 0
    current: str = "main"

    def enter(self, writing: Writing) -> None:
        """See that the file has it; another process may have been faster."""
        here = [self.path, self.device, self.inode]
        found = writing.execute(
            "SELECT id FROM notebooks WHERE id = ? OR (path = ? AND device = ? AND inode = ? AND path != '')",
            [self.id, *here],
        ).fetchall()
        if not found:
            writing.execute(
                "INSERT INTO notebooks (id, path, device, inode, current) VALUES (?, ?, ?, ?, ?)",
                [self.id, *here, self.current],
            )
        elif (self.id,) not in found:
            writing.set(self, "id", found[0][0])


def find(db: Connection, notebook: int, name: str) -> int:
    """Id of the conversation of that name, 0 if there is none."""
    found = db.execute(
        "SELECT id FROM conversations WHERE notebook = ? AND name = ? AND deleted IS NULL", [notebook, name]
    ).fetchone()
    return found[0] if found else 0
