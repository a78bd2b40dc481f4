"""One prompt with its reply, as a version of the turn that it belongs to."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from nbchat.errors import shorten
from nbchat.messages import Message, Notice, Usage

Status = Literal["queued", "streaming", "done", "stopped", "failed"]
Standing = Literal["current", "hidden", "deleted", "earlier", "gone"]
"""Where a version of a turn stands: it is sent with later prompts; it is on view but not sent, since the user hid
it or its cell was deleted; another version has taken its place; it was taken back, and can be brought back."""

LIVE = ("queued", "streaming")
ON_VIEW = ("current", "hidden", "deleted")

_CUT_MARK = "\n\n[The reply was cut off here.]"


class Cell(NamedTuple):
    """Which send of a notebook this is: the cell's id, and its place among the sends of that execution."""

    id: str
    ordinal: int


class Texts(Protocol):
    """Whoever knows the texts of turns that were read without them."""

    def said(self, turns: Sequence[Turn]) -> dict[Turn, tuple[str, str]]:
        """Prompt and reply of each of these turns, for this once, where they are to be had so."""

    def note_asked(self, turns: Sequence[Turn]) -> None:
        """Give these turns the digests of their prompts, where that is possible without reading them."""

    def load(self, turns: Sequence[Turn]) -> None:
        """Give these turns their prompts, chunks and thoughts."""


@dataclass(eq=False, repr=False)
class Turn:
    """One prompt with its reply; it exists from the moment the prompt is sent.

    All versions of a turn have one `id` and one `place`; `started` tells them apart.
    """

    prompt: str
    model: str
    provider: str
    cell: Cell | None = None
    id: str = field(default_factory=lambda: new_id())
    place: float = field(default_factory=time.time)
    """When the turn was first sent, in seconds since 1970; turns stand in this order."""
    standing: Standing = "current"
    status: Status = "queued"
    error: str = ""
    cut: bool = False
    """The reply ended in the middle: by Stop, an interrupt or a broken connection."""
    unseen: bool = False
    """The page that asked was gone when the reply ended."""
    usage: Usage | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0
    after: str | None = None
    """What it was sent after, as the text of an `After`; None where it was sent without turns, or that is not known."""
    session: str = ""
    """In which life of the cells' ids it was sent; empty where they count for ever."""
    execution: int = 0
    """The number in the brackets beside the cell, in this kernel."""
    is_source: bool = False
    """The prompt is what stands below the `%%chat` line of its cell, or behind `%chat` in a cell of one line."""
    is_guess: bool = False
    """The turn was rebuilt from a saved notebook that does not tell the prompt: `prompt` is the cell's source."""
    is_foreign: bool = False
    """It came with a file, which may be anybody's: whom it was sent to says nothing about whom to ask next."""
    system: str | None = None
    """The system prompt of its own."""
    base_url: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    """The options of its own that may be kept: numbers, and true or false."""
    notices: list[Notice] = field(default_factory=list)
    """What was said on the way; only the lasting ones are kept on disk."""
    never_ended: bool = False
    """It was read as under way, from a kernel that is gone: how it ended was not kept."""
    left_out: int = 0
    """How many older turns did not fit and were not sent."""
    chunks: list[str] = field(default_factory=list, repr=False)
    """The reply's text as it came; only ever appended to."""
    thoughts: list[str] = field(default_factory=list, repr=False)
    """The model's reasoning, likewise."""
    _joined: tuple[int, str] = field(default=(0, ""), repr=False)
    _size: int = field(default=-1, repr=False)
    _digest: str = field(default="", repr=False)
    _asked: str = field(default="", repr=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in ("prompt", "chunks", "thoughts") and "_texts" in vars(self):
                vars(self)["_texts"].load([self])
                return vars(self)[name]
            raise AttributeError(name)

    def read(self, prompt: str, text: str, reasoning: str) -> None:
        """Give a turn that was read without them its texts, unless it has them."""
        known = {"prompt": prompt, "chunks": [text] if text else [], "thoughts": [reasoning] if reasoning else []}
        for name, value in known.items():
            vars(self).setdefault(name, value)
        if self.never_ended:  # its kernel may have written more since the size was read
            self._size = -1

    def read_with(self, others: Sequence[Turn]) -> None:
        """Read the texts of this turn and others of its conversation at once."""
        vars(self)["_texts"].load(others)

    def said_with(self, others: Sequence[Turn]) -> dict[Turn, tuple[str, str]]:
        """Prompt and reply of this turn and others of its conversation, read at once, and kept nowhere."""
        found: dict[Turn, tuple[str, str]] = vars(self)["_texts"].said(others)
        return found

    def end_as(self, other: Turn) -> None:
        """Take over how another copy of this version ended."""
        for name in ("status", "cut", "error", "usage", "seconds", "chunks"):
            setattr(self, name, getattr(other, name))
        self.never_ended, self._joined, self._size, self._digest = False, (0, ""), -1, ""

    def renew(self, read: Turn) -> None:
        """Become what was read of this version; its texts are read again if they have changed."""
        if (self.status, self._digest) != (read.status, read._digest):
            for name in ("prompt", "chunks", "thoughts"):
                vars(self).pop(name, None)
        vars(self).update({name: value for name, value in vars(read).items() if name != "_joined"})
        self.never_ended = read.never_ended
        self._joined = self._joined if self.is_read else (0, "")

    def note_asked_with(self, others: Sequence[Turn]) -> None:
        """Get the digests of the prompts of this turn and others of its conversation at once."""
        vars(self)["_texts"].note_asked(others)

    @property
    def was_read(self) -> bool:
        """Whether it comes from where turns are kept, and so perhaps from another process."""
        return "_texts" in vars(self)

    @property
    def is_read(self) -> bool:
        """Whether its texts are in memory."""
        return "prompt" in vars(self)

    @property
    def is_lost(self) -> bool:
        """Whether its texts were asked for, and could not be read."""
        return "_blank" in vars(self)

    def __repr__(self) -> str:
        who = self.model or self.provider
        return f"<Turn {shorten(self.prompt, 40)!r}, {who}, {self.status}: {shorten(self.error or self.text, 60)!r}>"

    @property
    def key(self) -> tuple[str, datetime]:
        """Tells this version from all others."""
        return self.id, self.started

    @property
    def stamp(self) -> tuple[str, str]:
        """What `key` is in a saved notebook: the id, and the time in milliseconds."""
        return self.id, self.started.isoformat(timespec="milliseconds")

    @property
    def text(self) -> str:
        """The reply so far. Cheap to ask for often: only what is new is joined."""
        count, text = self._joined
        new = self.chunks[count:]
        if new:
            text += "".join(new)
            self._joined = (count + len(new), text)
        return text

    @property
    def reasoning(self) -> str:
        """What the model thought before it answered, where the provider tells."""
        return "".join(self.thoughts)

    @property
    def is_live(self) -> bool:
        """Whether its reply has not ended."""
        return self.status in LIVE

    @property
    def sent_later(self) -> bool:
        """Whether later prompts are sent with it: it has text, did not fail (a cut reply counts), is not hidden."""
        return bool(sent_later([self]))

    @property
    def size(self) -> int:
        """Bytes of the prompt and the reply."""
        if self._size >= 0:
            return self._size
        is_live = self.is_live  # before it is counted: it may end meanwhile
        size = bytes_in(self.prompt) + bytes_in(self.text)
        self._size = -1 if is_live else size
        return size

    @property
    def digest(self) -> str:
        """Tells turns apart that later prompts are sent with; empty for one without text, and as long as it is live."""
        if not self._digest and not self.is_live and self.text:
            self._digest = digest_of("\0".join([self.prompt, self.text, "cut" if self.cut else ""]))
        return self._digest

    @property
    def asked(self) -> str:
        """Digest of the prompt."""
        if not self._asked:
            prompt = self.prompt  # reading it may bring the digest along
            self._asked = self._asked or digest_of(prompt)
        return self._asked

    def messages(self, *, mark_cut: bool = True) -> list[Message]:
        """The turn as a later prompt is sent with it; a reply that was cut says so."""
        return self.as_messages(self.prompt, self.text, mark_cut=mark_cut)

    def as_messages(self, prompt: str, text: str, *, mark_cut: bool = True) -> list[Message]:
        """What `messages` gives of a turn that has these texts."""
        reply = text + _CUT_MARK if self.cut and mark_cut else text
        return [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]


def sent_later(turns: Iterable[Turn]) -> list[Turn]:
    """Those of these turns that later prompts are sent with."""
    return [
        turn
        for turn in turns
        if turn.standing == "current"
        and (turn.status == "done" or turn.cut)
        and (turn._digest or turn.digest)  # of tens of thousands most have it, and a property is slow
    ]


def digests(turns: Iterable[Turn]) -> list[str]:
    """The digests of these turns."""
    return [turn._digest or turn.digest for turn in turns]


def read_texts(turns: Sequence[Turn]) -> None:
    """Read the texts of those of these turns of one conversation that have not been, at once, and keep them."""
    if unread := [turn for turn in turns if not turn.is_read]:
        unread[0].read_with(unread)


def bytes_in(text: str) -> int:
    """How long a text is in UTF-8."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def new_id() -> str:
    """An id for a turn."""
    return uuid.uuid4().hex


def digest_of(text: str) -> str:
    """A short digest of text, to tell texts apart by."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
