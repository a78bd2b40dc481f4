"""The body of a reply that is plain text, to chunks: nothing in it says where it ends or whether it went wrong."""

from __future__ import annotations

from collections.abc import Iterator

from nbchat.messages import Chunk
from nbchat.providers.streams import ErrorEvent, Page, Text, WrongBody, is_error, read_json

_LONGEST_BLANK = 200
"""White space that may stand before a page."""

_PAGES = ("text/html", "application/xhtml+xml")


class RawText:
    """Decoder of a body that is the reply's text and nothing else.

    What is no reply is told by `media_type`: a page is a body labelled so that begins with a tag, an error JSON that
    is labelled so. Without a label that says anything, a page is what begins like an HTML document.
    """

    def __init__(self) -> None:
        self.media_type = ""
        self.signs = 0
        self.done = self.complete = False
        self._text = Text()
        self._head: str | None = ""  # held back until it is clear what it is
        self._page: Page | None = None
        self._json: list[str] = []

    def decode(self, data: bytes) -> Iterator[Chunk]:
        return self._read(self._text.decode(data))

    def flush(self) -> Iterator[Chunk]:
        yield from self._read(self._text.flush())
        if self._page:
            self._page.flush()
        if self._json:
            yield self._no_error("".join(self._json))
        elif self._head is not None:
            if not self._head.strip():
                raise WrongBody("sent an empty reply")
            yield self._head

    def _read(self, text: str) -> Iterator[Chunk]:
        self.signs += len(text)
        if self._page:
            self._page.decode(text)
        elif self._json:
            self._json.append(text)
        elif self._head is not None:
            yield from self._begin(self._head + text)
        elif text:
            yield text

    def _begin(self, head: str) -> Iterator[Chunk]:
        start = head.lstrip().lower()
        if start.startswith("{") and self.media_type == "application/json":
            self._json.append(head)
        elif start.startswith(self._marks):
            self._page = Page()
            self._page.decode(head)
        elif len(head) < _LONGEST_BLANK and (not start or any(mark.startswith(start) for mark in self._marks)):
            self._head = head
        else:
            self._head = None
            yield head

    @property
    def _marks(self) -> tuple[str, ...]:
        """What a page begins with."""
        if self.media_type == "text/plain":
            return ()
        return ("<",) if self.media_type in _PAGES else ("<!doctype html", "<html")

    @staticmethod
    def _no_error(text: str) -> str:
        try:
            value = read_json(text)
        except ValueError:
            return text
        if is_error(value):
            raise ErrorEvent(value.get("error") or value)
        return text
