"""Turns in their order, as a sequence."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import overload

from nbchat.history.turn import Turn

by_place = attrgetter("place", "id")
"""What turns stand in the order of."""


class OnView(Sequence[Turn]):
    """The turns that are on view, oldest first; and which number each has."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []

    def __len__(self) -> int:
        return len(self._turns)

    @overload
    def __getitem__(self, index: int) -> Turn: ...
    @overload
    def __getitem__(self, index: slice) -> list[Turn]: ...
    def __getitem__(self, index: int | slice) -> Turn | list[Turn]:
        return self._turns[index]

    def __iter__(self) -> Iterator[Turn]:
        return iter(list(self._turns))

    def __contains__(self, turn: object) -> bool:
        return isinstance(turn, Turn) and self.number(turn) > 0

    def number(self, turn: Turn) -> int:
        """The turn's number, from 1 on; 0 if it is not on view."""
        at = bisect_left(self._turns, by_place(turn), key=by_place)
        return at + 1 if at < len(self._turns) and self._turns[at] is turn else 0

    def before(self, turn: Turn | None) -> list[Turn]:
        """The turns that stand before `turn`; all of them if it is None or has no place here."""
        number = self.number(turn) if turn else 0
        return self._turns[: number - 1] if number else list(self._turns)
