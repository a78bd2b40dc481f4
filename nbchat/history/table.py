"""A history as a table: for a terminal, for a notebook, and as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from nbchat.errors import shorten
from nbchat.history.turn import Turn

if TYPE_CHECKING:
    from nbchat.history.turns import History

MOST = 50
"""How many turns are shown of a long history, unless more are asked for."""

_HEAD = ("", "cell", "time", "model", "prompt", "reply", "status")
_WIDEST = (6, 6, 12, 22, 40, 40, 30)


def as_text(history: History, turns: Sequence[Turn] | None = None) -> str:
    """Aligned columns; `turns` of the history, else its last ones."""
    shown = history[-MOST:] if turns is None else turns
    if not shown:
        return "No turns yet." if turns is None else "No such turns."
    rows = [_HEAD, *_rows(history, shown)]
    rows = [tuple(shorten(cell, most) for cell, most in zip(row, _WIDEST, strict=True)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *_rest(history, shown if turns is None else history)])


def as_html(history: History, turns: Sequence[Turn] | None = None) -> str:
    """A table of HTML in which all text is escaped."""
    shown = history[-MOST:] if turns is None else turns
    if not shown:
        return f"<p>{as_text(history, turns)}</p>"
    head = "".join(f'<th style="text-align:left">{name}</th>' for name in _HEAD)
    rows = "".join(f"<tr>{_cells(row)}</tr>" for row in _rows(history, shown))
    rest = "".join(f"<p>{escape(line)}</p>" for line in _rest(history, shown if turns is None else history))
    return f"<table class='mathjax_ignore'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{rest}"


def as_data(history: History, turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """What the table tells, and the whole texts, in values that JSON has."""
    stale = set(history.stale())
    return [
        {
            "number": history.number(turn),
            "id": turn.id,
            "cell": turn.cell.id if turn.cell else None,
            "time": turn.started.isoformat(timespec="seconds"),
            "model": turn.model,
            "provider": turn.provider,
            "prompt": turn.prompt,
            "reply": turn.text,
            "status": turn.status,
            "standing": turn.standing,
            "stale": turn in stale,
            "versions": len(history.versions(turn)),
            "seconds": round(turn.seconds, 1),
        }
        for turn in turns
    ]


def _rows(history: History, turns: Sequence[Turn]) -> Iterator[tuple[str, ...]]:
    stale = set(history.stale())
    for turn in turns:
        yield _row(history, turn, ", ".join(_states(history, turn, turn in stale)))


def _row(history: History, turn: Turn, status: str) -> tuple[str, ...]:
    cell = f"[{turn.execution}]" if turn.execution else ""
    asked = (str(history.number(turn)), cell, when(turn.started), turn.model or turn.provider, turn.prompt)
    return *asked, _reply(turn), status


def _reply(turn: Turn) -> str:
    """The first line of the reply that says something, or why there is none."""
    return next((line for line in turn.text.splitlines() if line.strip()), turn.error)


def _states(history: History, turn: Turn, is_stale: bool) -> Iterator[str]:
    yield turn.status
    if turn.standing == "hidden":
        yield "hidden"
    if turn.standing == "deleted":
        yield "cell deleted"
    if is_stale:
        yield "stale"
    versions = history.versions(turn)
    if len({version.digest for version in versions}) > 1:
        yield f"{len(versions)} versions"
    if turn.is_guess:
        yield "prompt not known"


def _rest(history: History, shown: Sequence[Turn]) -> list[str]:
    left = len(history) - len(shown)
    return [f"… {left:,} earlier turns: `%chat history -n {len(history)}` shows them, too"] if left > 0 else []


def _cells(row: tuple[str, ...]) -> str:
    return "".join(f'<td style="text-align:left">{escape(shorten(cell, 80))}</td>' for cell in row)


def when(moment: datetime) -> str:
    """The time of day, of an earlier day with its date."""
    local, today = moment.astimezone(), datetime.now().astimezone()
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b %H:%M}" if local.year == today.year else f"{local.day} {local:%b %Y}"
