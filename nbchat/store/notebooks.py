"""Which of the stored notebooks a file is: one that has been here before, perhaps under another name, or a new one.

A name does not tell: the next Untitled.ipynb is called like the one that was deleted, and has its inode as well,
since file systems hand them out again at once. An inode does not tell either: a checkout makes a new one. So both
are believed only of a file that shows traces of the conversation: its cells, its turns, its prompts.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nbchat.messages import clean

if TYPE_CHECKING:
    from nbchat.saved.notebook import SavedNotebook
    from nbchat.store.store import KnownNotebook, Store

_LASTING_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_NAMES = 20_000
"""How many names of a folder are looked at."""
_PROMPTS = 20
"""How many of the newest prompts are looked for in a file."""
_TELLING = 16
"""As many characters of prompts tell a notebook; a "Hello" stands in many."""
_INTEGERS = 2**63
"""SQLite's integers end there; inodes of Windows do not."""


class Location(NamedTuple):
    """Where a file is."""

    path: str
    """Without symbolic links."""
    device: int = 0
    inode: int = 0
    """0 where the file system has none, or where no file is."""
    links: int = 0
    """Under how many names the file is to be found; 0 where no file is."""

    @property
    def stored(self) -> tuple[str, int, int]:
        """As a row has it."""
        return clean(self.path), self.device, self.inode

    def is_same_file(self, device: int, inode: int) -> bool:
        """Whether the file that is here has this inode."""
        return bool(self.links) and (self.device, self.inode) == (device, inode)


def locate(file: Path | str) -> Location:
    """Where a file is; it may be gone."""
    try:
        path = os.path.realpath(file)
    except (OSError, ValueError):
        return Location(str(file))
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return Location(path)
    return Location(path, found.st_dev % _INTEGERS, found.st_ino % _INTEGERS, found.st_nlink)


def name_now(file: Path | str, device: int, inode: int) -> Location | None:
    """Where in the same folder a file with this inode and the same extension is: `file` under its new name."""
    folder, old = os.path.split(file)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _MOST_NAMES)]
    except (OSError, ValueError):
        return None
    kind = os.path.splitext(old)[1]
    places = (locate(os.path.join(folder, name)) for name in names if name != old and name.endswith(kind))
    return next((place for place in places if inode and place.is_same_file(device, inode)), None)


def is_lasting(cell: str) -> bool:
    """Whether a cell's id may stand in a file: addresses of documents, as VS Code sends them, do not."""
    return bool(_LASTING_ID.fullmatch(cell))


def find(store: Store, file: Path, saved: SavedNotebook | None, cell: str) -> int:
    """The row of the store that a notebook has; a new one if it is not known.

    Args:
        store: Where the rows are.
        file: What the notebook is kept in.
        saved: What stands in the file; None if it cannot be read, or is no notebook.
        cell: The id of the cell that runs, which need not be saved yet.
    """
    search = _Search(store, locate(file), saved, cell)
    row = search.unmoved() or search.moved_or_replaced()
    search.clear_name(but=row)
    if row is None:
        return store.add_notebook(*search.here.stored)
    if _stored(row) != search.here.stored and search.here.links:
        store.move_notebook(row.id, *search.here.stored)
    return row.id


def renamed(store: Store, notebook: int, file: Path) -> Path | None:
    """Where a notebook that was here is now, in the same folder; its row goes along. None if that is not known."""
    was = locate(file)
    row = next((row for row in store.known(lambda path, *_: path == was.stored[0]) if row.id == notebook), None)
    there = _new_name(store, was.path, row) if row and not was.links else None
    if not row or not there:
        return None
    saved = _read(there.path)
    if saved is None or not _Search(store, there, saved, "").may_be(row):
        return None
    store.move_notebook(row.id, *there.stored)
    return Path(there.path)


def _new_name(store: Store, path: str, row: KnownNotebook) -> Location | None:
    """Where the row's file is, which was at this path, unless another row is known to be there."""
    there = name_now(path, row.device, row.inode)
    return None if there is None or store.known(lambda path, *_: path == there.stored[0]) else there


def _stored(row: KnownNotebook) -> tuple[str, int, int]:
    return row.path, row.device, row.inode


class _Search:
    """The search for the row of one file."""

    def __init__(self, store: Store, here: Location, saved: SavedNotebook | None, cell: str) -> None:
        self.store, self.here, self.saved, self.cell = store, here, saved, cell
        self.rows = store.known(self._may_be_meant)

    def unmoved(self) -> KnownNotebook | None:
        """The row that has this name and this inode, unless another notebook has come in the place of its own."""
        found = (row for row in self.rows if self.here.is_same_file(row.device, row.inode) and self._has_name(row))
        row = next(found, None)
        return row if row and (self._is_unsaved_since(row) or self.may_be(row)) else None

    def moved_or_replaced(self) -> KnownNotebook | None:
        """The row of another name or of another inode; the newer one, if a notebook and its copy have had both."""
        moved, replaced = self._moved(), self._replaced()
        if moved and replaced and self._shows(replaced, self.saved, self.cell):
            return max(moved, replaced, key=attrgetter("used"))
        return moved or replaced

    def clear_name(self, but: KnownNotebook | None) -> None:
        """Take this name from the rows that have it wrongly."""
        for row in self.rows:
            if row is not but and row.path == self.here.stored[0]:
                self.store.move_notebook(row.id, "", row.device, row.inode)

    def may_be(self, row: KnownNotebook) -> bool:
        """Whether nothing speaks against a row that has the file's name."""
        if self.saved is None or not row.used or self._shows(row, self.saved, self.cell):
            return True
        # Turns of the panel, of Python and of VS Code leave no ids of cells to be looked for.
        return not self._cells(row, self.saved) and self.saved.holds("nbchat")

    def _moved(self) -> KnownNotebook | None:
        """The row whose notebook has come here from another name."""
        found = (row for row in self.rows if self._may_come_from(row))
        return next((row for row in found if self._shows(row, self.saved, self.cell) and self._has_left(row)), None)

    def _replaced(self) -> KnownNotebook | None:
        """The row that has this name and another inode, where a checkout or an editor has put a new file in place."""
        named = (row for row in self.rows if row.path == self.here.stored[0])
        row = next((row for row in named if not self.here.is_same_file(row.device, row.inode)), None)
        if row is None or not self.here.links:  # gone at this moment; who comes next will see what became of it
            return row
        if self._went_elsewhere(row):
            self.rows.remove(row)
            return None
        return row if self.may_be(row) else None

    def _has_name(self, row: KnownNotebook) -> bool:
        """Whether a row with this inode has this name, or one that is another spelling of it (upper case on a Mac)."""
        if row.path == self.here.stored[0]:
            return True
        one_name = self.here.links == 1 and row.inode > 0
        return one_name and bool(row.path) and locate(row.path).is_same_file(row.device, row.inode)

    def _may_be_meant(self, path: str, device: int, inode: int) -> bool:
        return path == self.here.stored[0] or self._may_have_come(path, device, inode)

    def _may_come_from(self, row: KnownNotebook) -> bool:
        return self._may_have_come(row.path, row.device, row.inode)

    def _may_have_come(self, path: str, device: int, inode: int) -> bool:
        """Whether a notebook that was there last may be here now: by its inode; where there is none, by its folder."""
        if self.here.stored[2]:
            return (device, inode) == self.here.stored[1:]
        return path != self.here.stored[0] and os.path.dirname(path) == os.path.dirname(self.here.stored[0])

    def _has_left(self, row: KnownNotebook) -> bool:
        """Whether the row's notebook is no longer where the row says, so that it may be here."""
        own = locate(row.path) if row.path else Location("")
        if not own.links:
            return True
        if own.is_same_file(row.device, row.inode):
            return False
        return self._follows_inode(row, _read(own.path), self.saved)

    def _went_elsewhere(self, row: KnownNotebook) -> bool:
        """Whether the row's notebook was renamed, and this file put in its place; the row then goes with it."""
        there = _new_name(self.store, self.here.path, row)
        if there is None:
            return False
        if went := self._follows_inode(row, self.saved, _read(there.path)):
            self.store.move_notebook(row.id, *there.stored)
        return went

    def _follows_inode(self, row: KnownNotebook, named: SavedNotebook | None, moved: SavedNotebook | None) -> bool:
        """Whether the row belongs to the file that has its inode rather than to the one that has its name.

        One of the two may be a copy of the other: it came later. A duplicate can have the inode that the row's
        notebook had until a checkout; and where a notebook was renamed, a copy can have been put in its place.
        """
        if moved is None or not self._shows(row, moved):
            return False
        return named is None or not self._shows(row, named) or moved.modified < named.modified

    def _is_unsaved_since(self, row: KnownNotebook) -> bool:
        return self.saved is not None and self.saved.modified < row.used

    def _shows(self, row: KnownNotebook, saved: SavedNotebook | None, cell: str = "") -> bool:
        """Whether a notebook, or the cell of it that runs, shows traces of the row's turns."""
        cells = self._cells(row, saved)
        if cell in cells or saved is None:
            return cell in cells
        return bool(cells & saved.cells) or self._holds_turns(row, saved) or self._holds_prompts(row, saved)

    def _cells(self, row: KnownNotebook, saved: SavedNotebook | None) -> set[str]:
        """The cells of the row's turns that can be told by their ids in this notebook."""
        ids_last = saved is None or saved.ids_last
        return {cell for cell in self.store.cells(row.id) if is_lasting(cell)} if ids_last else set()

    def _holds_turns(self, row: KnownNotebook, saved: SavedNotebook) -> bool:
        names = self.store.names(row.id) if saved.turn_ids else []
        return any(
            turn.id in saved.turn_ids for name in names for turn in self.store.conversation(row.id, name).read()[0]
        )

    def _holds_prompts(self, row: KnownNotebook, saved: SavedNotebook) -> bool:
        asked = {prompt.strip() for prompt in self.store.prompts(row.id, _PROMPTS)}
        return sum(len(prompt) for prompt in asked if saved.holds(prompt)) >= _TELLING


def _read(path: str) -> SavedNotebook | None:
    from nbchat.saved import notebook as saved  # only where two files contend for a row

    return saved.read(Path(path))
