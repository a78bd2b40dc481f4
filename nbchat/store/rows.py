"""A turn as rows of the file, and a row as a turn.

Tens of thousands of turns may have to be read before the first reply of a conversation. So what tells where a turn
stands is in one table, and read at once; all else is in another, and read when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from nbchat.history.changes import Change, Move
from nbchat.history.turn import Cell, Standing, Status, Turn
from nbchat.history.turn import Texts as Loader
from nbchat.messages import Notice, Usage, clean

Row = tuple[Any, ...]
Texts = tuple[str, str, str]
"""Prompt, text and reasoning of a turn."""

LIGHT = ("id", "started", "place", "cell", "ordinal", "after", "digest", "sent", "standing", "status", "session", "cut")
USUAL: tuple[Standing, Status, str, int] = ("current", "done", "", 0)
"""What most turns have in the last columns of LIGHT. It is not read, since each value takes time."""
MORE = ("size", "asked")
"""What else is in that table: the size of the texts, and the digest of the prompt."""
DETAILS = ("model", "provider", "seconds", "prompt_tokens", "completion_tokens", "is_source", "rest")
TEXTS = ("prompt", "text", "reasoning")
_NO_DETAILS = ("", "", 0.0, None, None, 0, "")

_RARE: dict[str, Any] = {
    "error": "",
    "unseen": False,
    "is_guess": False,
    "is_foreign": False,
    "system": None,
    "base_url": "",
    "options": {},
    "left_out": 0,
}
"""What is together in `rest`, if it is not as usual."""


class _Later:
    """An attribute that is read with the texts of its turn."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, turn: Turn, _: type[Turn]) -> Any:
        held = vars(turn)
        if "_details" not in held:
            held["_texts"].load([turn])
        for name, value in _attributes(*held.pop("_details", _NO_DETAILS)).items():
            held.setdefault(name, value)
        return held[self._name]


class _UnreadTurn(Turn):
    """A turn of which only the values of LIGHT are in memory, until another one is asked for."""

    _texts: Loader
    _stored: tuple[int, Row]
    """Its conversation and row: the values of LIGHT, and perhaps more, or what `all_rows` gives, which is shorter."""


_UnreadTurn.__qualname__ = Turn.__qualname__  # it is read by the first who looks
for _name in ("model", "provider", "seconds", "usage", "is_source", "notices", *_RARE):
    setattr(_UnreadTurn, _name, _Later(_name))


def moment(started: datetime) -> str:
    """A time as it is kept: in the order of the texts, times are in order."""
    return started.astimezone(UTC).isoformat(timespec="microseconds")


def stored(turn: Turn) -> tuple[int, Row] | None:
    """The turn's conversation and row as this process last saw them in the file; without details if it is not read."""
    found: tuple[int, Row] | None = vars(turn).get("_stored")
    if found is None or len(found[1]) >= len(LIGHT):
        return found
    conversation, (*values, unusual) = found
    return conversation, (*values, *_seldom(unusual))


@lru_cache(64)  # few kinds of it stand in many rows
def _seldom(unusual: str | None) -> tuple[Standing, Status, str, int]:
    """The last values of LIGHT from what was read of them."""
    return tuple(json.loads(unusual)) if unusual else USUAL


def source(turn: Turn) -> Row:
    """Which turn of which conversation it was when it was read or written; a copy of it may be in another one now."""
    conversation, row = vars(turn).get("_stored") or (0, (turn.id, ""))
    return (conversation, *row[:2])


def is_complete(turn: Turn) -> bool:
    """Whether all of the turn is in memory."""
    return turn.is_read and ("model" in vars(turn) or "_details" in vars(turn))


def texts_in(turn: Turn) -> Texts | None:
    """Prompt, text and reasoning as far as they have come; None for a turn that was not read whole."""
    held = vars(turn)  # an attribute would be read from the file
    prompt, chunks, thoughts = (held.get(name) for name in ("prompt", "chunks", "thoughts"))
    if prompt is None or chunks is None or thoughts is None or turn.is_lost:
        return None
    return clean(prompt), clean("".join(chunks)), clean("".join(thoughts))


def row_of(turn: Turn, texts: Texts | None) -> Row:
    """The values of LIGHT, and if the turn has its texts, also those of MORE and DETAILS."""
    is_read = texts is not None
    light: Row = (
        turn.id,
        moment(turn.started),
        turn.place,
        *_cell(turn.cell),
        turn.after,
        turn.digest if is_read else turn._digest,
        turn.size if is_read else turn._size,
        turn.standing,
        turn.status,
        clean(turn.session),
        int(turn.cut),
    )
    if turn.never_ended and (before := stored(turn)):  # how it ended is only supposed: its kernel may know better
        supposed = ("status", "digest", "sent", "cut")
        light = tuple(old if name in supposed else new for name, old, new in zip(LIGHT, before[1], light, strict=False))
    if texts is None:
        return light
    return (*light, sum(len(text.encode()) for text in texts), turn.asked, *_details(turn))


def _cell(cell: Cell | None) -> tuple[str | None, int | None]:
    return (clean(cell.id), cell.ordinal) if cell else (None, None)


def _details(turn: Turn) -> Row:
    usage = turn.usage or Usage()
    tokens = usage.prompt_tokens, usage.completion_tokens
    return clean(turn.model), clean(turn.provider), turn.seconds, *tokens, int(turn.is_source), _rest(turn)


def _rest(turn: Turn) -> str:
    found = {name: value for name, usual in _RARE.items() if (value := getattr(turn, name)) != usual}
    if lasting := [notice.text for notice in turn.notices if notice.lasting]:
        found["notices"] = lasting
    return clean(json.dumps(found, ensure_ascii=False)) if found else ""


def turns_of(rows: Iterable[Row], conversation: int, loader: Loader) -> list[Turn]:
    """The turns that these rows tell of; `loader` has the rest of them."""
    return [_turn(row, conversation, loader) for row in rows]


_new, _new_tuple, _moment = object.__new__, tuple.__new__, datetime.fromisoformat
"""What making tens of thousands of objects is fastest with."""


def _turn(row: Row, conversation: int, loader: Loader) -> Turn:
    turn = _new(_UnreadTurn)
    turn.id, started, turn.place, cell, ordinal, turn.after, turn._digest, turn._size, unusual = row
    turn.standing, turn.status, turn.session, cut = _seldom(unusual)
    turn.started = _moment(started)
    turn.cell = None if cell is None else _new_tuple(Cell, (cell, ordinal))
    turn.cut = cut == 1
    turn._texts = loader
    turn._stored = (conversation, row)
    return turn


def complete(turn: Turn, found: Row | None) -> None:
    """Give a turn the values of MORE, DETAILS and TEXTS; empty ones for None."""
    size, asked, *details, prompt, text, reasoning = found or (0, "", *_NO_DETAILS, "", "", "")
    held = vars(turn)
    if "model" in held:  # it was read before, and has changed
        held.update(_attributes(*details))
    else:
        held["_details"] = details  # most turns are but sent, and nobody asks for these
    turn.read(prompt, text, reasoning)
    if found is None:
        held["_blank"] = True  # that they are empty must not be written
        return
    held.pop("_blank", None)
    held["_asked"] = asked
    if before := stored(turn):
        held["_stored"] = before[0], (*before[1][: len(LIGHT)], size, asked, *details)


def _attributes(
    model: str, provider: str, seconds: float, prompt_tokens: int | None, completion_tokens: int | None,
    is_source: int, rest: str,
) -> dict[str, Any]:  # fmt: skip
    rare: dict[str, Any] = json.loads(rest) if rest else {}
    known = prompt_tokens is not None or completion_tokens is not None
    return {
        **_RARE,
        "options": {},
        **rare,
        "notices": [Notice(text, lasting=True) for text in rare.get("notices", ())],
        "model": model,
        "provider": provider,
        "seconds": seconds,
        "usage": Usage(prompt_tokens, completion_tokens) if known else None,
        "is_source": bool(is_source),
    }


def moves_of(change: Change) -> str:
    """The moves of a change, as text."""
    return json.dumps([[move.id, moment(move.started), move.before, move.after] for move in change.moves])


def changes_of(rows: Iterable[tuple[int, str, str]]) -> list[Change]:
    """Changes from their number, kind and moves."""
    found = list(rows)
    moves = json.loads(f"[{','.join(moves for _, _, moves in found)}]")  # one by one takes three times as long
    made = zip(found, moves, strict=True)
    return [Change(kind, [_move(*move) for move in moved], number) for (number, kind, _), moved in made]


def _move(id: str, started: str, before: Any, after: Any) -> Move:
    return Move(id, datetime.fromisoformat(started), before, after)
