"""When the next frame is due: a pace that suits the page, the kernel and the eye."""

from __future__ import annotations

import time

_SOONEST, _LATEST = 0.05, 0.25
"""Seconds between two frames while text comes, as far as frames are small."""
_REST = 9
"""A frame that took t seconds to draw is followed by at least t × _REST seconds without one."""
_BYTES_A_SECOND, _MOST_BYTES_A_SECOND = 50_000, 400_000
"""What a reply may send to the page: as it should be, and with frames that are too large for `_LATEST`."""
_ENVELOPE = 1_000
"""Bytes that a message takes beside its content."""


class Pace:
    """Counts what frames cost, and says when the next may come."""

    def __init__(self) -> None:
        self._due = 0.0

    def is_due(self) -> bool:
        """Whether a frame may be drawn now."""
        return time.monotonic() >= self._due

    def count(self, started: float, size: int, *, hurry: bool = False) -> None:
        """Take in what a frame cost that was begun at `started` (monotonic) and had so many bytes.

        Args:
            started: When it was begun.
            size: Its bytes.
            hurry: Whether much more is waiting to be drawn.
        """
        now, sent = time.monotonic(), size + _ENVELOPE
        rest = _SOONEST if hurry else max(_SOONEST, min(_LATEST, sent / _BYTES_A_SECOND))
        self._due = now + max(rest, (now - started) * _REST, sent / _MOST_BYTES_A_SECOND)
