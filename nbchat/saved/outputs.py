"""The replies in the outputs of a saved notebook's cells: whole ones, and those that were saved in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from nbchat.errors import shorten
from nbchat.history.turn import Cell
from nbchat.messages import clean
from nbchat.saved.carried import KEY, Carried, carried, identity

Json = dict[str, Any]

_CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_ERROR = 300


@dataclass(frozen=True, slots=True)
class SavedReply:
    """One reply in the outputs of a cell."""

    carried: Carried
    text: str
    error: str
    source: str
    """Of the cell."""
    cell: Cell | None
    """None where ids do not last."""
    is_shown: bool
    """It was shown there once more, and belongs to another cell."""

    @property
    def time(self) -> float:
        """When it was asked for, in seconds since 1970; 0 if that is not told."""
        return self.carried.started.timestamp() if self.carried.started else 0.0


def saved_replies(cells: Iterable[Json], *, ids_last: bool) -> Iterator[SavedReply]:
    """The replies from the top of a notebook to its end; of two cells with one id the second has none."""
    taken = {""}
    for cell in cells:
        told = cell.get("id")
        is_id = ids_last and isinstance(told, str) and _CELL_ID.fullmatch(told) and told not in taken
        cell_id = str(told) if is_id else ""
        taken.add(cell_id)
        yield from _in_cell(cell, cell_id)


def source_of(cell: Json) -> str:
    """The source of a cell."""
    return clean(_joined(cell.get("source")))


def _in_cell(cell: Json, cell_id: str) -> Iterator[SavedReply]:
    outputs = [output for output in _list(cell.get("outputs")) if isinstance(output, dict)]
    grouped = _by_turn(outputs)
    source = source_of(cell) if grouped else ""
    ordinal = 0
    for (_, is_shown), pieces in grouped.items():
        told, text = _whole(pieces)
        if found := carried(told):
            place = Cell(cell_id, ordinal) if cell_id and not is_shown else None
            error = _error_below(pieces[-1], outputs) if found.status == "failed" else ""
            yield SavedReply(found, text, error, source, place, is_shown)
            ordinal += not is_shown


def _by_turn(outputs: list[Json]) -> dict[tuple[str, bool], list[Json]]:
    """The outputs of each turn, in the order in which they stand in the cell; the Stop button has no turn's id."""
    found: dict[tuple[str, bool], list[Json]] = {}
    for output in outputs:
        told = _told_by(output)
        if turn := identity(told.get("id")):
            found.setdefault((turn, told.get("shown") is True), []).append(output)
    return found


def _whole(outputs: list[Json]) -> tuple[Json, str]:
    """What the outputs of one turn tell, and their text: of the last that is no piece, else of all pieces in order."""
    pieces: dict[int, Json] = {}
    whole = None
    for output in outputs:
        part = _told_by(output).get("part")
        if type(part) is int:
            pieces[part] = output
        else:
            whole = output
    told: Json = {}
    texts = []
    for output in [whole] if whole else [pieces[part] for part in sorted(pieces)]:
        told |= _told_by(output)
        texts.append(_joined(_dict(output.get("data")).get("text/plain")))
    return told, clean("".join(texts))


def _error_below(reply: Json, outputs: list[Json]) -> str:
    """What the error says that ended the cell, if it stands right below the reply."""
    is_last = len(outputs) > 1 and outputs[-2] is reply and outputs[-1].get("output_type") == "error"
    text = outputs[-1].get("evalue") if is_last else ""
    return shorten(clean(text[: 2 * _LONGEST_ERROR]), _LONGEST_ERROR) if isinstance(text, str) else ""


def told_by(cells: Iterable[Json]) -> Iterator[Json]:
    """What each output of these cells tells of a turn."""
    for cell in cells:
        for output in _list(cell.get("outputs")):
            yield _told_by(_dict(output))


def _told_by(output: Json) -> Json:
    return _dict(_dict(output.get("metadata")).get(KEY))


def _joined(value: Any) -> str:
    """Text as a notebook has it: whole, or as a list of lines."""
    try:
        return "".join(value) if isinstance(value, str | list) else ""
    except TypeError:  # a list of something else
        return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
