"""From bytes to chunks: the steps that the wire formats share, as plain objects that do no I/O.

    bytes ─Text→ str ─Lines→ lines ─Events→ server-sent events ─(a provider's decoder)→ chunks

Each step has `decode` for the next piece and `flush` for the end. A piece may end anywhere: inside a
character, a line end, a surrogate pair or a `<think>` mark. A provider's decoder is a `Decoder`; the line
based ones inherit from `LineDecoder`. `nbchat.providers.http` feeds it and turns the three exceptions
below, which no user ever sees, into those of `nbchat.errors`.
"""

from __future__ import annotations

import codecs
import html
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from nbchat.messages import Chunk, Reasoning, clean

LONGEST_LINE = 100_000_000
"""Characters after which a line is no longer believed to end."""

_LONGEST_HEAD = 20_000
"""Characters of an HTML page that are searched for its title."""

_LONGEST_BLANK = 200
"""White space that may stand before a `<think>`."""

_LONGEST_EXCERPT = 2000
"""Characters that are kept of a body that is no reply: more than is shown, so that secrets are still whole."""


class ErrorEvent(Exception):
    """The server reported an error inside the body.

    Attributes:
        payload: The value of its `error` field where there is one, else the whole JSON value or text.
    """

    def __init__(self, payload: Any) -> None:
        super().__init__("the body holds an error")
        self.payload = json.loads(clean(json.dumps(payload, ensure_ascii=False)))


class CutOff(Exception):
    """The body ended in the middle; `reason` says of what ("ended in the middle of a line")."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WrongBody(Exception):
    """The body is not a reply in this format.

    Attributes:
        reason: What came instead, as the rest of a sentence ("answered with an HTML page").
        excerpt: Its start, or a page's title, as the server sent it; may be empty.
    """

    def __init__(self, reason: str, excerpt: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.excerpt = clean(excerpt[:_LONGEST_EXCERPT])


class Decoder(Protocol):
    """Turns the body of one response into chunks.

    `decode` and `flush` are iterators, to be run to their end: what they raise comes after the chunks
    that stand before it in the body.
    """

    media_type: str
    """What the server calls the body, without parameters; empty if it does not say."""

    @property
    def signs(self) -> int:
        """Signs of life so far: whole lines (comments count), or characters where the format has no lines."""

    @property
    def done(self) -> bool:
        """Whether the format itself has said that the reply is over; the rest of the body is not needed."""

    @property
    def complete(self) -> bool:
        """Whether the reply itself is whole, though more may follow, such as a count of tokens."""

    def decode(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that this piece completes.

        Raises:
            ErrorEvent: The server reported an error.
            WrongBody: This is no reply.
        """

    def flush(self) -> Iterator[Chunk]:
        """What is left at the end of the body, or once `done` is true; to be called once, in both cases.

        Raises:
            ErrorEvent, WrongBody: As in `decode`.
            CutOff: The body ended too early.
        """


class Text:
    """Bytes to text: UTF-8, a byte order mark dropped, each invalid sequence one U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True

    def decode(self, data: bytes, final: bool = False) -> str:
        text = self._decoder.decode(data, final)
        if self._at_start and text:
            self._at_start = False
            return text.removeprefix("\ufeff")
        return text

    def flush(self) -> str:
        return self.decode(b"", final=True)


class Lines:
    """Text to lines, ended by LF, CR or CRLF and by nothing else; `count` is how many came whole."""

    _END = re.compile("\r\n|\r|\n")

    def __init__(self) -> None:
        self.count = 0
        self._half = io.StringIO()  # grows in place: a long line may come in very many pieces
        self._after_cr = False

    def decode(self, text: str) -> Iterator[str]:
        if self._after_cr and text:
            text = text.removeprefix("\n")
            self._after_cr = False
        start = 0
        for end in self._END.finditer(text):
            # A CR at the end of a piece ends its line at once; if a LF follows, it is dropped above.
            self._after_cr = end[0] == "\r" and end.end() == len(text)
            self._hold(text[start : end.start()])
            start = end.end()
            yield self._take()
        self._hold(text[start:])

    def flush(self) -> str:
        """The last line, if it has no line end; it does not count."""
        half, self._half = self._half.getvalue(), io.StringIO()
        return half

    def _hold(self, text: str) -> None:
        if self._half.tell() + len(text) > LONGEST_LINE:
            raise WrongBody("sent a line without end", self._half.getvalue() or text)
        self._half.write(text)

    def _take(self) -> str:
        self.count += 1
        return self.flush()


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event: its name ("" if it has none) and its data."""

    name: str
    data: str


class Events:
    """Lines to server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    Comments, `id` and `retry` are passed over. Two things are not by the book: an event that lacks its blank
    line at the end of the body counts, as many servers leave it out; and a line `error: …` is an event of
    that name, since llama.cpp's servers of some years wrote it so.
    """

    def __init__(self) -> None:
        self._name = ""
        self._data: list[str] = []

    def decode(self, line: str) -> Event | None:
        if not line:
            return self.flush()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "error":
            self._name = field
            self._data.append(value)
        return None

    def flush(self) -> Event | None:
        """The event under way, if it has data."""
        name, data = self._name, self._data
        self._name, self._data = "", []
        return Event(name, "\n".join(data)) if data else None


class Surrogates:
    """Joins surrogate pairs that were split over two pieces of text; a lone half becomes U+FFFD."""

    def __init__(self) -> None:
        self._half = ""

    def decode(self, text: str) -> str:
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return clean(text[:-1] if self._half else text)

    def flush(self) -> str:
        half, self._half = self._half, ""
        return clean(half)


class Thinking:
    """Takes a `<think>…</think>` that stands before a reply out of its text, as `Reasoning`."""

    _OPEN, _CLOSE = "<think>", "</think>"

    def __init__(self) -> None:
        self._step = self._before
        self._held = ""

    def decode(self, text: str) -> Iterator[Chunk]:
        if self._held:
            text, self._held = self._held + text, ""
        return self._step(text) if text else iter(())

    def flush(self) -> Iterator[Chunk]:
        held, self._held = self._held, ""
        if held and self._step != self._between:
            yield Reasoning(held) if self._step == self._inside else held

    def _before(self, text: str) -> Iterator[Chunk]:
        start = text.lstrip()
        if start.startswith(self._OPEN):
            self._step = self._inside
            yield from self.decode(start.removeprefix(self._OPEN))
        elif self._OPEN.startswith(start) and len(text) < _LONGEST_BLANK:
            self._held = text
        else:
            self._step = self._after
            yield text

    def _inside(self, text: str) -> Iterator[Chunk]:
        thought, mark, rest = text.partition(self._CLOSE)
        if not mark:
            keep = _overlap(text, self._CLOSE)
            thought, self._held = text[: len(text) - keep], text[len(text) - keep :]
        if thought:
            yield Reasoning(thought)
        if mark:
            self._step = self._between
            yield from self.decode(rest)

    def _between(self, text: str) -> Iterator[Chunk]:
        if text := text.lstrip():
            self._step = self._after
            yield text

    def _after(self, text: str) -> Iterator[Chunk]:
        yield text


def _overlap(text: str, mark: str) -> int:
    """How many characters at the end of the text may be the start of the mark."""
    return next((size for size in range(len(mark) - 1, 0, -1) if text.endswith(mark[:size])), 0)


class Page:
    """An HTML page that came in place of a reply, read as far as its title and then raised as `WrongBody`."""

    _TITLE = re.compile("<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)

    def __init__(self) -> None:
        self._head = ""

    def decode(self, text: str) -> None:
        self._head += text[:_LONGEST_HEAD]
        if self._TITLE.search(self._head) or len(self._head) >= _LONGEST_HEAD:
            self.flush()

    def flush(self) -> NoReturn:
        raise WrongBody("answered with an HTML page", self.title(self._head))

    @classmethod
    def title(cls, page: str) -> str:
        """The page's title, or "" if it has none."""
        found = cls._TITLE.search(page)
        return " ".join(html.unescape(found[1]).split()) if found else ""


class LineDecoder(ABC):
    """Base of the decoders whose format is made of lines; a subclass reads them in `_line`.

    An HTML page is recognised by its first character, which no such format begins with.
    """

    media_type = ""

    def __init__(self) -> None:
        self.done = False
        self.opening = ""
        """The first line that is not blank."""
        self._text = Text()
        self._lines = Lines()
        self._page: Page | None = None

    @property
    def signs(self) -> int:
        return self._lines.count

    @property
    def complete(self) -> bool:
        return self.done

    def decode(self, data: bytes) -> Iterator[Chunk]:
        return self._read(self._text.decode(data))

    def flush(self) -> Iterator[Chunk]:
        yield from self._read(self._text.flush())
        if half := self._lines.flush():
            yield from self._half_line(half)
        if self._page:
            self._page.flush()
        yield from self._end()

    def _read(self, text: str) -> Iterator[Chunk]:
        for line in self._lines.decode(text):
            if self.done:
                return
            yield from self._any_line(line)

    def _half_line(self, line: str) -> Iterator[Chunk]:
        if not self.done:
            yield from self._any_line(line)

    def _any_line(self, line: str) -> Iterator[Chunk]:
        if not self.opening and line.strip():
            self.opening = line[:_LONGEST_EXCERPT]
            if line.lstrip().startswith("<"):
                self._page = Page()
        if self._page:
            self._page.decode(line + "\n")
        else:
            yield from self._line(line)

    @abstractmethod
    def _line(self, line: str) -> Iterator[Chunk]:
        """The chunks that this line completes."""

    @abstractmethod
    def _end(self) -> Iterator[Chunk]:
        """What is left when there are no more lines; raises if the reply is not whole."""


def read_json(text: str) -> Any:
    """The JSON value in the text.

    Raises:
        ValueError: If it is none, or one nested too deep to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def is_error(value: Any) -> bool:
    """Whether a JSON value reports an error: by its `error`, or instead of choices in its own words."""
    if not isinstance(value, dict):
        return False
    words = value.get("object") == "error" or value.get("detail") or value.get("message")
    return bool(value.get("error") or ("choices" not in value and words))
