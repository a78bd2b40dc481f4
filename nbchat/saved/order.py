"""In what order turns were sent, told by what each of them was sent after.

That makes a tree: several turns stand behind one where some were taken back, or where a conversation was forked.
What is told may be incomplete, and it may be forged: rings are cut open, and a turn of which the one before is not
there stands behind the one above it in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_MOST_SHARED = 100_000
"""How many turns forks may repeat in all: a forged file could ask for millions."""


class Sent(NamedTuple):
    """When a turn was sent, and after which; the time is that of its newest version."""

    id: str
    after: str | None
    """Empty for a first one, None where it is not told."""
    conversation: str
    time: float


Turns = dict[str, Sent]
Links = dict[str, str]
"""The id of the turn before each, empty for one that stands first."""


def in_order(sent: Sequence[Sent]) -> dict[str, list[str]]:
    """The ids of each conversation's turns in the order in which they were sent.

    Args:
        sent: The turns from the top of the file to its end, each id once.

    Returns:
        Lists by the conversations' names; that of a fork begins with the turns that it was forked from.
    """
    turns = {each.id: each for each in sent}
    before = {
        each.id: each.after for each in sent if each.after is not None and (not each.after or each.after in turns)
    }
    _cut_rings(before, turns)
    _settle(before, turns)
    found: dict[str, list[str]] = {}
    for at in _walk(before, turns):
        found.setdefault(turns[at].conversation, []).append(at)
    room = _MOST_SHARED
    for ids in found.values():
        shared = _above(ids[0], before, room)
        room -= len(shared)
        ids[:0] = reversed(shared)
    return found


def _cut_rings(before: Links, turns: Turns) -> None:
    """Where turns claim to be sent after each other, forget it of the one with the first time."""
    met_from: Links = {}
    for start in turns:
        at = start
        while at and at not in met_from:
            met_from[at] = start
            at = before.get(at, "")
        if at and met_from[at] == start:
            del before[min(_ring(at, before), key=lambda one: turns[one].time)]


def _ring(at: str, before: Links) -> list[str]:
    ring = [at]
    while (at := before[at]) != ring[0]:
        ring.append(at)
    return ring


def _settle(before: Links, turns: Turns) -> None:
    """Let each turn without a link follow the one above it in the file, unless that one follows it."""
    up = {at: before.get(at) or at for at in turns}
    last: Links = {}  # of each conversation
    for at, turn in turns.items():
        if at not in before:
            above = last.get(turn.conversation, at)
            before[at] = "" if _top(above, up) == at else above
            up[at] = before[at] or at
        last[turn.conversation] = at


def _top(at: str, up: Links) -> str:
    """The first of all turns before one; the way there is made shorter each time it is gone."""
    while up[at] != at:
        up[at] = up[up[at]]
        at = up[at]
    return at


def _walk(before: Links, turns: Turns) -> list[str]:
    """All turns, each behind the one before it; of several behind one, the branch that began first comes first."""
    behind: dict[str, list[str]] = {}
    for at in turns:
        behind.setdefault(before[at], []).append(at)
    began = _beginnings(behind, turns)
    walked: list[str] = []
    waiting = [""]
    while waiting:
        at = waiting.pop()
        walked.append(at)
        waiting += sorted(behind.get(at, ()), key=began.__getitem__)[::-1]
    return walked[1:]


def _beginnings(behind: dict[str, list[str]], turns: Turns) -> dict[str, float]:
    """The first time in the branch that begins with each turn: it may itself have run again later."""
    found = [*behind.get("", ())]
    for at in found:
        found += behind.get(at, ())
    began: dict[str, float] = {}
    for at in reversed(found):
        began[at] = min([turns[at].time, *(began[one] for one in behind.get(at, ()))])
    return began


def _above(at: str, before: Links, most: int) -> list[str]:
    """The turns before one, the nearest first."""
    found: list[str] = []
    while (at := before[at]) and len(found) < most:
        found.append(at)
    return found
