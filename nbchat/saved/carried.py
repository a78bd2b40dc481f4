"""What the output of a reply carries of its turn: how it is written, and read back.

It is written so that it tells nothing that is not on view in the notebook: no options, no system prompt, no
address, and of the prompt only where in the cell's source it stands. What is read may be forged, since notebooks
come by mail: each value is taken only if it has the right type and a sane size.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from nbchat.history.turn import Status, Turn
from nbchat.messages import Usage, clean

KEY = "nbchat"
"""Under this name it stands in an output's metadata."""
FIRST_NAME = "main"
"""The conversation that every notebook has."""

_ID = re.compile("[0-9a-f]{32}")
_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
"""Controls, and characters that turn the direction of others."""
_ENDS: dict[Any, Status] = {"done": "done", "stopped": "stopped", "failed": "failed"}
_YEARS = range(2000, 2100)


def metadata(turn: Turn, *, conversation: str, after: str, embed: bool | str) -> dict[str, Any]:
    """What stands under `nbchat` in the metadata of a reply's output.

    Args:
        turn: The turn; it may be live.
        conversation: The name of its conversation; empty if it belongs to none of the notebook's.
        after: The id of the turn before it, empty for the first.
        embed: Whether a conversation is to be had back from the notebook; "full" puts prompts in that do not stand
            in their cell's source.
    """
    told: dict[str, Any] = {
        "id": turn.id,
        "model": turn.model,
        "provider": turn.provider,
        "status": turn.status,
        "time": _stamp(turn.started),
    }
    if not turn.is_live:
        told["seconds"] = round(turn.seconds, 1)
    if turn.usage:
        told["usage"] = {"prompt": turn.usage.prompt_tokens, "completion": turn.usage.completion_tokens}
    return told | _embedded(turn, conversation, after, embed) if embed and conversation else told


def _embedded(turn: Turn, conversation: str, after: str, embed: bool | str) -> dict[str, Any]:
    found: dict[str, Any] = {"conversation": conversation, "after": after}
    if turn.cut:
        found["cut"] = True
    if turn.is_source:
        found["prompt"] = {"source": len(clean(turn.prompt))}
    elif embed == "full":
        found["prompt"] = {"text": clean(turn.prompt)}
    return found


def told_version(told: dict[str, Any]) -> tuple[str, str] | None:
    """What `version` gives of the turn that an output tells of, with an empty time if it has none; None of no turn.

    Nor is it told by a later piece of several.
    """
    turn, time = identity(told.get("id")), _time(told.get("time"))
    if not turn or not told_conversation(told) or (time is None and told.get("part")):
        return None
    return turn, _stamp(time) if time else ""


def told_conversation(told: dict[str, Any]) -> str:
    """The name of the conversation that an output belongs to; empty if it names none."""
    return _word(told.get("conversation"), 60)


def _stamp(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class Carried:
    """What an output told, as far as it can be believed."""

    id: str
    model: str
    provider: str
    status: Status
    cut: bool
    started: datetime | None
    seconds: float
    usage: Usage | None
    conversation: str
    after: str | None
    """None where it was not told."""
    length: int | None
    """Of a prompt that stands in the cell's source."""
    prompt: str | None
    """One that was put in whole."""


def carried(told: dict[str, Any]) -> Carried | None:
    """What an output tells; None if that is nothing about a turn of one of the notebook's conversations."""
    found, conversation = identity(told.get("id")), told_conversation(told)
    if not found or not conversation:
        return None
    after, mark = told.get("after"), told.get("prompt")
    mark = mark if isinstance(mark, dict) else {}
    return Carried(
        id=found,
        model=_word(told.get("model"), 200),
        provider=_word(told.get("provider"), 200),
        status=_ENDS.get(_word(told.get("status"), 10), "stopped"),
        cut=told.get("cut") is True,
        started=_time(told.get("time")),
        seconds=_seconds(told.get("seconds")),
        usage=_usage(told.get("usage")),
        conversation=conversation,
        after=identity(after) if isinstance(after, str) else None,
        length=_count(mark.get("source")),
        prompt=clean(text) if isinstance(text := mark.get("text"), str) else None,
    )


def identity(value: Any) -> str:
    """The id that a value stands for: itself if it is one, a hash of any other text, nothing for what is no text."""
    if not isinstance(value, str):
        return ""
    if not value or _ID.fullmatch(value):
        return value
    return hashlib.blake2b(value.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _word(value: Any, most: int) -> str:
    """Text for one line, at most so long."""
    return _line(value[: 4 * most])[:most].rstrip() if isinstance(value, str) else ""


@lru_cache(maxsize=64)  # most outputs of a notebook tell the same
def _line(text: str) -> str:
    return " ".join(_UNSEEN.sub(" ", clean(text)).split())


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return time if time.year in _YEARS else None


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value <= 1e7 else 0.0


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= 1e12 else None


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    usage = Usage(_count(value.get("prompt")), _count(value.get("completion")))
    return None if usage == Usage() else usage
