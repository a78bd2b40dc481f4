"""What is written to a file and read from one, and how the messages of a foreign file become turns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from nbchat.history import Turn
from nbchat.messages import Notice, clean

IMPORTED = "imported"
"""The provider of a turn whose file does not name one that nbchat knows."""

_APART = 0.001
"""Seconds between the places of two turns that were sent at the same time, or in a file's order only."""
_NO_PROMPT = "the file has no prompt for this reply: it is kept on view, and not sent"


@dataclass(frozen=True)
class Conversation:
    """Turns in order, what they are called together, and their system prompt."""

    title: str
    system: str | None
    turns: list[Turn]


@dataclass(frozen=True)
class Said:
    """One message of a file that others wrote."""

    role: Literal["user", "assistant"]
    text: str
    reasoning: str = ""
    when: datetime | None = None
    model: str = ""
    left_out: int = 0
    """How many images and files stood in it that cannot be taken over."""


@dataclass
class _Exchange:
    asked: list[Said] = field(default_factory=list)
    answered: list[Said] = field(default_factory=list)

    def turn(self) -> Turn:
        """All that was asked in a row is one prompt, all that was answered to it one reply."""
        said = [*self.asked, *self.answered]
        turn = Turn(
            _joined(message.text for message in self.asked),
            next((message.model for message in reversed(self.answered) if message.model), ""),
            IMPORTED,
            status="done" if self.answered else "stopped",
            standing="current" if self.asked else "hidden",
            notices=[Notice(text, lasting=True) for text in self._notices()],
        )
        turn.started = next((message.when for message in said if message.when), turn.started)
        turn.chunks += filter(None, [_joined(message.text for message in self.answered)])
        turn.thoughts += filter(None, [_joined(message.reasoning for message in self.answered)])
        return turn

    def _notices(self) -> Iterable[str]:
        if count := sum(message.left_out for message in [*self.asked, *self.answered]):
            yield f"{count} image{'s' * (count != 1)} or file{'s' * (count != 1)} left out"
        if not self.asked:
            yield _NO_PROMPT


def turns_of(messages: Iterable[Said]) -> list[Turn]:
    """The turns that messages make up; one without any text that can be taken over is none."""
    exchanges: list[_Exchange] = []
    for message in messages:
        if not exchanges or (message.role == "user" and exchanges[-1].answered):
            exchanges.append(_Exchange())
        (exchanges[-1].asked if message.role == "user" else exchanges[-1].answered).append(message)
    turns = [exchange.turn() for exchange in exchanges]
    return [turn for turn in turns if turn.prompt or turn.text or turn.notices]


def put_in_order(turns: Iterable[Turn]) -> None:
    """Give turns places that increase, each at the time of its turn where that goes."""
    last = 0.0
    for turn in turns:
        turn.place = last = max(turn.started.timestamp(), last + _APART)


def _joined(texts: Iterable[str]) -> str:
    return "\n\n".join(clean(text) for text in texts if text)
