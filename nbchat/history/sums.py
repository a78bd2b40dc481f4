"""A digest of the turns that a prompt is sent after, which tells whether they have changed since."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from nbchat.history.turn import Turn


class Sum:
    """Digest and number of the turns that are sent later, among the first so many; more can be added to it."""

    def __init__(self) -> None:
        self.upto = 0
        self.sent = 0
        self._hash = blake2b(digest_size=8)

    @property
    def digest(self) -> str:
        """Empty for none."""
        return self._hash.hexdigest() if self.sent else ""

    def add(self, turns: Sequence[Turn]) -> None:
        """Go on with these turns."""
        digests = [turn.digest for turn in turns if turn.sent_later]
        self.upto += len(turns)
        self.sent += len(digests)
        self._hash.update("".join(digests).encode())
