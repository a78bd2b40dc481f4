"""Files whole: read with a limit, written all or not at all, and never over what somebody else wrote.

What is written carries a digest of itself, so that exporting again replaces an export that nobody has changed, and
nothing else.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nbchat.errors import UsageProblem
from nbchat.messages import clean

LIMIT = 300_000_000
"""How many bytes a file may have to be read; one in memory takes several times as much."""

_BLANK = "0" * 16
MARK = f"nbchat-export-{_BLANK}"
"""What a text must hold, below all that it tells, in order to be written."""

_MARK = re.compile(rb"nbchat-export-([0-9a-f]{16})")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_IN_ARCHIVE = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.json")


def read(file: Path) -> list[str]:
    """The text of a file, or those of the conversations in an archive of ChatGPT's.

    Raises:
        UsageProblem: If it cannot be read, is too large, or is not text.
    """
    with _explained(file, "read"):
        if file.exists() and not file.is_file():
            raise UsageProblem(f"{file} is not a file.")
        _require_size(file, file.stat().st_size)
        if zipfile.is_zipfile(file):
            return [_decoded(file, data) for data in _archived(file)]
        return [_decoded(file, file.read_bytes())]


def write(file: Path, text: str) -> None:
    """Write a text, which holds `MARK`, at once as a whole.

    Raises:
        UsageProblem: If that cannot be done, or something else would be lost; then nothing is changed.
    """
    with _explained(file, "written"):
        file = file.resolve()
        if not file.parent.is_dir():
            raise UsageProblem(f"There is no folder {file.parent}.")
        if file.exists() and not _is_ours(file):
            raise UsageProblem(f"{file.name} exists, and is not an export that can be made anew: take another name.")
        _replace(file, _with_digest(clean(text).encode()))


def _replace(file: Path, data: bytes) -> None:
    beside = file.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with open(beside, "xb") as part:  # not `tempfile`, whose files nobody else may read
            part.write(data)
            part.flush()
            os.fsync(part.fileno())
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)


def _is_ours(file: Path) -> bool:
    """Whether this is an export that nobody has changed since."""
    if not file.is_file() or file.stat().st_size > LIMIT:
        return False
    data = file.read_bytes()
    return bool(_MARK.search(data)) and _with_digest(data) == data


def _with_digest(data: bytes) -> bytes:
    """The same with the digest of all else in its last mark."""
    *_, mark = _MARK.finditer(data)
    start, end = mark.span(1)
    digest = hashlib.blake2b(data[:start] + data[end:], digest_size=8).hexdigest()
    return data[:start] + digest.encode() + data[end:]


def _archived(file: Path) -> Iterator[bytes]:
    """The files of an archive that hold conversations; a large export has several."""
    with zipfile.ZipFile(file) as archive:
        found = [entry for entry in archive.infolist() if _IN_ARCHIVE.fullmatch(entry.filename)]
        if not found:
            raise UsageProblem(f"{file.name} has no conversations.json in it, as ChatGPT's export has.")
        _require_size(file, sum(entry.file_size for entry in found))
        for entry in sorted(found, key=lambda entry: entry.filename):
            yield archive.read(entry)


def _decoded(file: Path, data: bytes) -> str:
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise UsageProblem(f"{file.name} is not text in UTF-8.") from None


def _require_size(file: Path, size: int) -> None:
    if size > LIMIT:
        raise UsageProblem(f"{file.name} is too large: {size:,} bytes, of {LIMIT:,} that can be read at once.")


@contextmanager
def _explained(file: Path, done: str) -> Iterator[None]:
    """What the system and the archive say against it, in one line."""
    try:
        yield
    except UsageProblem:
        raise
    except FileNotFoundError:
        raise UsageProblem(f"There is no file {file}.") from None
    except OSError as error:
        raise UsageProblem(f"{file} cannot be {done}: {error.strerror or error}.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UsageProblem(f"{file} cannot be {done}: {error}.") from None  # also a name with a NUL in it
