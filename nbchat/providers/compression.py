"""Undoing the compression of a body piece by piece: what a `content-encoding` header says. No I/O.

This is not left to the HTTP library, since a gzip stream that ends too early passes for a whole one there.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

_PIECE = 1 << 18
"""Bytes that one step may give, so that a small body cannot fill the memory at once."""

_GZIP, _ZLIB, _RAW = 31, 15, -15
"""What `zlib` calls the three formats."""


class Unreadable(Exception):
    """The body is not what its label says; `reason` is the rest of a sentence about the server."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Decompressor(Protocol):
    """Undoes one encoding; both steps are to be run to their end."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What these bytes hold, in pieces of bounded size.

        Raises:
            Unreadable: They are not in this encoding.
        """

    def flush(self) -> None:
        """Say that the body is over.

        Raises:
            Unreadable: It ended too early.
        """


def decompressor(encoding: str) -> Decompressor:
    """The decompressor for the value of a `content-encoding` header.

    Raises:
        Unreadable: If there is none.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return _Plain()
    if name in ("gzip", "x-gzip", "deflate"):
        return _Inflate(_ZLIB if name == "deflate" else _GZIP)
    if name == "br" and (library := _brotli()):
        return _Brotli(library)
    raise Unreadable(f"sent a reply compressed as {name!r}, which cannot be read here")


class _Plain:
    def decode(self, data: bytes) -> Iterator[bytes]:
        yield data

    def flush(self) -> None:
        """Nothing is held back."""


class _Inflate:
    def __init__(self, window: int) -> None:
        self._window = window
        self._stream = zlib.decompressobj(window)
        self._mark = b""  # the first bytes, by which zlib knows its own

    def decode(self, data: bytes) -> Iterator[bytes]:
        piece = b""
        while data or len(piece) == _PIECE:
            piece = self._inflate(data)
            if piece:
                yield piece
            data = self._next_member() if self._stream.eof else self._stream.unconsumed_tail

    def _inflate(self, data: bytes) -> bytes:
        at_start = len(self._mark) < 2
        if at_start:
            self._mark += data
        try:
            return self._stream.decompress(data, _PIECE)
        except zlib.error:
            if self._window != _ZLIB or not at_start:
                raise Unreadable("sent a reply whose compression is broken") from None
        self._window = _RAW  # what many servers understand by "deflate"
        self._stream = zlib.decompressobj(_RAW)
        return self._inflate(self._mark)

    def _next_member(self) -> bytes:
        """What follows the end of a gzip file: a body may be several in a row, or be padded."""
        rest = self._stream.unused_data
        if not rest.startswith(b"\x1f\x8b"):
            return b""
        self._stream = zlib.decompressobj(self._window)
        return rest

    def flush(self) -> None:
        if self._mark and not self._stream.eof:
            raise Unreadable("sent a reply that ended in the middle of its compressed data")


class _Brotli:
    def __init__(self, library: Any) -> None:
        self._stream = library.Decompressor()
        self._process = getattr(self._stream, "process", None) or self._stream.decompress
        self._broken: type[Exception] = library.error
        self._begun = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(data)
        try:
            piece = self._process(data)
        except self._broken:
            raise Unreadable("sent a reply whose compression is broken") from None
        if piece:
            yield piece

    def flush(self) -> None:
        if self._begun and not self._stream.is_finished():
            raise Unreadable("sent a reply that ended in the middle of its compressed data")


def _brotli() -> Any:
    for name in ("brotlicffi", "brotli"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None
