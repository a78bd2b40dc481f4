"""How a reply is shown, and what shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nbchat.reply import Reply


@dataclass(frozen=True)
class Look:
    """How a reply is shown."""

    raw: bool = False
    """As it is, without markdown."""
    stream: bool = True
    """As it comes, and not only at its end."""
    prompt: str = ""
    """What to show above it: a prompt that does not stand above already."""
    again: bool = False
    """It was shown before, in a cell of its own."""
    turn: str = ""
    """Id of the turn in whose own place to draw it, if that is still there."""


class View(Protocol):
    """Something that a reply can be drawn on."""

    def draw(self, reply: Reply) -> None:
        """Draw a reply that is under way, if it has changed and it is time."""

    def end(self, reply: Reply) -> None:
        """Draw the final form; the last call, but that an interrupt in it is followed by another."""
