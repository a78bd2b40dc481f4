"""Digests of the turns that a prompt is sent after, which tell whether they have changed since."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from nbchat.history.turn import Turn, digest_of


class After(NamedTuple):
    """What a prompt was sent after; a turn has it as text."""

    turns: str
    """Digest of the turns that were sent with it."""
    system: str = ""
    """Digest of the conversation's system prompt; empty if the prompt had one of its own, or that is not known."""
    first: str = ""
    """Id of the oldest turn that was sent, if there was no room for all; the turn's own if there was for none."""

    def __str__(self) -> str:
        return ":".join(self).rstrip(":")

    @classmethod
    def read(cls, text: str) -> After:
        """The same from its text."""
        return cls(*text.split(":")[:3])


def digest_of_system(text: str | None) -> str:
    """What stands for a system prompt, be it an empty one; empty for None."""
    return "" if text is None else digest_of(text)[:8]


class Sum:
    """Digest and number of the turns that are sent later, among those from a place on; more can be added to it."""

    def __init__(self, begin: int) -> None:
        self.begin = self.end = begin
        self.sent = 0
        self._hash = blake2b(digest_size=8)

    @property
    def digest(self) -> str:
        """Empty for none."""
        return self._hash.hexdigest() if self.sent else ""

    def add(self, turns: Sequence[Turn]) -> None:
        """Go on with these turns."""
        digests = [turn._digest for turn in turns if turn.sent_later]
        self.end += len(turns)
        self.sent += len(digests)
        self._hash.update("".join(digests).encode())
