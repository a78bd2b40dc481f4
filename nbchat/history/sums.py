"""Digests of the turns that a prompt is sent after, which tell whether they have changed since."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from nbchat.history.turn import Turn, digest_of, digests, sent_later


class After(NamedTuple):
    """What a prompt was sent after; a turn has it as text."""

    turns: str
    """Digest of the turns that were sent with it."""
    system: str = ""
    """Digest of the conversation's system prompt; empty if the prompt had one of its own, or that is not known."""
    first: str = ""
    """Id of the oldest turn that was sent, if there was no room for all; the turn's own if there was for none."""

    @classmethod
    def of(cls, turns: str, system: str | None, first: str) -> After:
        """The same from the system prompt itself."""
        return cls(turns, digest_of_system(system), first)

    def __str__(self) -> str:
        return ":".join(self).rstrip(":")

    @classmethod
    def read(cls, text: str) -> After:
        """The same from its text."""
        return cls(*text.split(":")[:3])


def digest_of_system(text: str | None) -> str:
    """What stands for a system prompt, be it an empty one; empty for None."""
    return "" if text is None else digest_of(text)[:8]


def digest_of_turns(turns: Sequence[Turn]) -> str:
    """The digest of these turns, which all are sent later."""
    found = Sum(0)
    found.take(turns)
    return found.digest


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
        self.take(sent_later(turns))
        self.end += len(turns)

    def take(self, sent: Sequence[Turn]) -> None:
        """Count turns that are sent later."""
        self.sent += len(sent)
        self._hash.update("".join(digests(sent)).encode())
