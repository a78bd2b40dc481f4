"""What is believed of a file that anybody can have written: values of the right kind and size, and no others."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from nbchat.errors import shorten
from nbchat.messages import clean

_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_ID = re.compile(r"[0-9a-f]{32}")
_LONGEST_NAME = 200
_LONGEST_TIME = 10_000_000.0
_MOST_TOKENS = 10**12


def mapping(value: object) -> dict[str, Any]:
    """An object of JSON's; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """An array of JSON's; an empty one for anything else."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """A text of any length, which can be encoded."""
    return clean(value) if isinstance(value, str) else ""


def name(value: object, most: int = _LONGEST_NAME) -> str:
    """A text of one line, not too long and safe to show."""
    return shorten(text(value), most)


def identity(value: object) -> str:
    """The id of a turn; empty for what cannot be one of ours."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else ""


def number(value: object, most: float) -> float | None:
    """A number between zero and `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return min(max(float(value), 0.0), most)


def seconds(value: object) -> float:
    """How long something took."""
    return number(value, _LONGEST_TIME) or 0.0


def count(value: object) -> int | None:
    """How many tokens; None if that is not known."""
    amount = number(value, _MOST_TOKENS)
    return None if amount is None else int(amount)


def moment(value: object) -> datetime | None:
    """A time, of seconds since 1970 or of a text in ISO 8601, in this century; None if there is none."""
    try:
        if isinstance(value, str):
            told = datetime.fromisoformat(value)
            when = told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)
        elif (since := number(value, _LAST.timestamp())) is not None:
            when = datetime.fromtimestamp(0, UTC) + timedelta(seconds=since)
        else:
            return None
    except (ValueError, OverflowError):  # no time at all, or one that `datetime` does not reach
        return None
    return min(max(when, _FIRST), _LAST)
