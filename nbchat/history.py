"""The turns of one conversation, in order, and the messages that a provider gets of them.

In memory. A turn that a notebook cell asked for belongs to that cell: running the cell again replaces it
in place. Without a cell (a console, nbclient, a `Chat` of one's own) turns are appended.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from nbchat.errors import shorten
from nbchat.messages import Message, Usage

if TYPE_CHECKING:
    from nbchat.notebook import Cell

Status = Literal["queued", "streaming", "done", "stopped", "failed"]

_CUT_MARK = "\n\n[The reply was cut off here.]"


@dataclass(eq=False)
class Turn:
    """One prompt with its reply; it exists from the moment the prompt is sent."""

    prompt: str
    model: str
    provider: str
    cell: Cell | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: Status = "queued"
    error: str = ""
    cut: bool = False
    """The reply ended in the middle: by Stop, an interrupt or a broken connection."""
    unseen: bool = False
    """The page that asked was gone when the reply ended."""
    usage: Usage | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0
    chunks: list[str] = field(default_factory=list, repr=False)
    """The reply's text as it came; only ever appended to."""
    thoughts: list[str] = field(default_factory=list, repr=False)
    """The model's reasoning, likewise."""
    _joined: tuple[int, str] = field(default=(0, ""), repr=False)

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

    def summary(self, number: int) -> str:
        """The turn in three short lines."""
        who = self.model or self.provider
        head = f"{number:>3}  {self.started.astimezone():%H:%M}  {who}  {self.status}"
        return f"{head}\n     > {shorten(self.prompt, 90)}\n       {shorten(self.error or self.text, 90)}".rstrip()

    @property
    def sent_later(self) -> bool:
        """Whether later prompts are sent with this turn: it has text, and did not fail (a cut reply counts)."""
        return bool(self.chunks) and (self.status == "done" or self.cut)

    def messages(self) -> list[Message]:
        """The turn as a later prompt is sent with it; a reply that was cut says so."""
        reply = self.text + (_CUT_MARK if self.cut else "")
        return [{"role": "user", "content": self.prompt}, {"role": "assistant", "content": reply}]


class History:
    """The turns of one conversation, oldest first; indexed, iterated and counted like a list."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._before_reset: list[Turn] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._turns)

    def __getitem__(self, index: int) -> Turn:
        return self._turns[index]

    def __iter__(self) -> Iterator[Turn]:
        return iter(list(self._turns))

    def __repr__(self) -> str:
        return self.listing()

    def listing(self, most: int | None = None) -> str:
        """The turns, or the last `most` of them, each in three short lines."""
        rows = list(enumerate(self, 1))
        shown = rows if most is None else rows[max(0, len(rows) - most) :]
        return "\n".join(turn.summary(number) for number, turn in shown) or "No turns yet."

    def of_cell(self, cell: Cell | None) -> Turn | None:
        """The turn that this send of this cell made when the cell ran before."""
        return next((turn for turn in self if cell is not None and turn.cell == cell), None)

    def before(self, turn: Turn | None) -> list[Turn]:
        """The turns that stand before `turn`; all of them if it is None or not of this history."""
        turns = list(self)
        return turns[: turns.index(turn)] if turn in turns else turns

    def add(self, turn: Turn) -> Turn | None:
        """Append a turn, or put it in the place of the one its cell made before, which is returned."""
        with self._lock:
            old = self.of_cell(turn.cell)
            if old is None:
                self._turns.append(turn)
            else:
                self._turns[self._turns.index(old)] = turn
            return old

    def replace(self, old: Turn, new: Turn) -> None:
        """Put a turn in the place of another (a retry)."""
        with self._lock:
            self._turns[self._turns.index(old)] = new

    def reset(self) -> int:
        """Forget all turns, and say how many; `undo` brings them back, once later turns are undone."""
        with self._lock:
            forgotten = self._turns
            if forgotten:
                self._before_reset, self._turns = forgotten, []
            return len(forgotten)

    def undo(self) -> list[Turn]:
        """Take back the last turn; where there is none, undo a reset. The turns concerned, none if there are none."""
        with self._lock:
            if self._turns:
                return [self._turns.pop()]
            self._turns, self._before_reset = self._before_reset, []
            return list(self._turns)


def context(
    earlier: Sequence[Turn], prompt: str, *, system: str = "", most_tokens: int = 0
) -> tuple[list[Message], int]:
    """What a provider gets for a prompt: the system prompt, the turns before it, and the prompt.

    Args:
        earlier: The turns before, oldest first; those that failed or have no text are not sent.
        prompt: What is asked.
        system: The system prompt, sent first if there is one.
        most_tokens: Leave out the oldest turns beyond about this many tokens; 0 for no limit.

    Returns:
        The messages, and how many older turns did not fit.
    """
    turns = [turn.messages() for turn in earlier if turn.sent_later]
    first: list[Message] = [{"role": "system", "content": system}] if system else []
    last: Message = {"role": "user", "content": prompt}
    kept = _newest(turns, most_tokens - _tokens([*first, last])) if most_tokens else turns
    return [*first, *(message for turn in kept for message in turn), last], len(turns) - len(kept)


def _newest(turns: list[list[Message]], room: int) -> list[list[Message]]:
    """The newest whole turns that fit in about `room` tokens."""
    kept = 0
    for messages in reversed(turns):
        room -= _tokens(messages)
        if room < 0:
            break
        kept += 1
    return turns[len(turns) - kept :]


def _tokens(messages: list[Message]) -> int:
    """About how many tokens the messages take: four bytes of UTF-8 each, and four for a message's frame."""
    return sum(len(str(message["content"]).encode()) // 4 + 4 for message in messages)
