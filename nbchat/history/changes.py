"""What one undo takes back, and where a conversation is kept with all its changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from nbchat.history.turn import Standing, Turn


class Move(NamedTuple):
    """Where one version of a turn stood before a change, and after it."""

    id: str
    started: datetime
    before: Standing
    after: Standing


@dataclass(eq=False)
class Change:
    """What one undo takes back."""

    kind: str
    """What was done, for the words about it: "send", "again", "version", "drop", "shorter", "hide", "unhide", "reset",
    "import"; of a notebook's conversations "delete NAME"."""
    moves: list[Move]
    number: int = 0
    """Its place in the log of a record; 0 as long as it has none."""


class Record(Protocol):
    """Where a conversation is kept; all but `read` returns at once."""

    @property
    def system(self) -> str | None:
        """The conversation's system prompt."""

    def set_system(self, text: str | None) -> None:
        """Keep another."""

    def read(self) -> tuple[list[Turn], list[Change]]:
        """All versions of all turns, by place and time, and the changes that can be undone."""

    def is_behind(self) -> bool:
        """Whether somebody else has written since it was read."""

    def write(self, turns: Iterable[Turn]) -> None:
        """Keep these turns as they are now; the text of one that is under way is kept up to date."""

    def log(self, change: Change) -> None:
        """Keep a change."""

    def unlog(self, change: Change) -> None:
        """Forget a change that was undone."""
