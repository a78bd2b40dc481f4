"""Which file the notebook is that the cell which runs stands in.

A kernel is told it when it starts, and never again; what a notebook's code starts inherits the words. So it is believed
only of a request that carries a cell's id.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from urllib.parse import unquote

from nbchat import notebook
from nbchat.store.notebooks import Location, is_lasting, locate, name_now

_VS_CODE_CELL = re.compile(r"vscode-notebook-cell:(?://[^/?#]*)?(/[^?#]+)", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_MOST_FILES = 100
_MOST_BYTES = 64_000_000
"""How much of a folder's notebooks is searched for a cell."""


def document() -> Path | None:
    """The file of the notebook that the cell which runs stands in; None where that is not known.

    Believed only of a request that carries a cell's id. It is followed when it is renamed; when it leaves its folder
    it is no longer known.
    """
    cell = notebook.cell_id()
    files = (_documents.find(name, cell) for name in _names(cell)) if cell else ()
    return next((file for file in files if file), None)


def _names(cell: str) -> Iterator[Path]:
    """What the front end calls the notebook's file, surest first; there may be no such file.

    VS Code's ids of cells are addresses that begin with the notebook's path. It sets a variable as well, which goes
    stale on a rename; the sessions that it has on a Jupyter server have made-up names.
    """
    if found := _VS_CODE_CELL.match(cell):
        path = unquote(found[1])
        yield from _absolute(path[1:] if re.match("/[A-Za-z]:", path) else path)
    yield from _absolute(getattr(notebook.shell(), "user_ns", {}).get("__vsc_ipynb_file__"))
    session = os.environ.get("JPY_SESSION_NAME") if is_lasting(cell) else None
    yield from _absolute(session)
    if session and not os.path.isabs(os.path.expanduser(session)):  # within a folder that the server knows
        yield from (_home() / name for name in dict.fromkeys((session, os.path.basename(session))))


def _absolute(path: object) -> Iterator[Path]:
    if isinstance(path, str) and os.path.isabs(found := os.path.expanduser(path)):
        yield Path(found)


def _home() -> Path:
    """The folder in which the kernel was started, which is the notebook's; under its new name if it was renamed."""
    start = getattr(notebook.shell(), "starting_dir", "")
    try:
        return Path(start if os.path.isdir(start) else os.getcwd())
    except OSError:
        return Path(start)


class _Documents:
    """Which files are meant by the names that front ends give, so that a folder is not searched at each prompt."""

    def __init__(self) -> None:
        self._found: dict[Path, tuple[Path, Location]] = {}
        self._in_vain: object = None
        """The cell and the files of the last search that found nothing."""

    def find(self, name: Path, cell: str) -> Path | None:
        """The notebook's file, if there is one."""
        file = self._again(name) if name in self._found else self._first(name, cell)
        if file:
            self._found[name] = file, locate(file)
        return file

    def _again(self, name: Path) -> Path | None:
        """The file that it was before, perhaps under a new name now; else another that has come in its place."""
        file, known = self._found[name]
        if locate(file).is_same_file(known.device, known.inode):
            return file
        if moved := name_now(file, known.device, known.inode):
            return Path(moved.path)
        return file if os.path.isfile(file) else None

    def _first(self, name: Path, cell: str) -> Path | None:
        """The file of this name; or if there is none, or the name was made up, the one that holds the cell."""
        exists = os.path.isfile(name)
        if exists and not _UUID.search(name.name):
            if name.suffix != ".ipynb" or not is_lasting(cell) or _holds(_bytes(name), cell.encode()):
                return name
            return self._holding(name.parent, cell, since=_begun()) or name  # a renamed one, and another in its place
        holding = self._holding(name.parent if name.parent.is_dir() else _home(), cell) if is_lasting(cell) else None
        return holding or (name if exists and "-jvsc-" not in name.name else None)

    def _holding(self, folder: Path, cell: str, since: float = 0) -> Path | None:
        """The newest notebook of a folder that holds a cell, of those written or renamed since then."""
        files = _newest(folder, since)
        if self._in_vain == (cell, files):
            return None
        found = next((path for path, _, _ in files if _holds(_bytes(path), cell.encode())), None)
        self._in_vain = None if found else (cell, files)
        return found


_documents = _Documents()


def _begun() -> float:
    """About when the kernel began, in seconds since 1970; 0 where that is not to be found out."""
    connection = getattr(getattr(getattr(notebook.shell(), "kernel", None), "parent", None), "connection_file", "")
    try:
        return os.stat(connection).st_mtime
    except (OSError, TypeError, ValueError):
        return 0


def _newest(folder: Path, since: float) -> list[tuple[Path, int, int]]:
    """The notebooks of a folder that are to be searched, newest first, with their times and sizes."""
    found = sorted(_listed(folder, since), key=itemgetter(1), reverse=True)
    room, taken = _MOST_BYTES, []
    for file in found[:_MOST_FILES]:
        if file[2] <= room:
            room -= file[2]
            taken.append(file)
    return taken


def _listed(folder: Path, since: float) -> Iterator[tuple[Path, int, int]]:
    for file in folder.glob("*.ipynb"):
        try:
            about = file.stat()
        except OSError:
            continue
        if stat.S_ISREG(about.st_mode) and max(about.st_mtime, about.st_ctime) >= since:
            yield file, about.st_mtime_ns, about.st_size


def _holds(data: bytes, cell: bytes) -> bool:
    return b'"%s"' % cell in data and re.search(rb'"id"\s*:\s*"%s"' % cell, data) is not None


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
