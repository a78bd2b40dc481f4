"""What an exported file says of a turn beside its prompt and its reply, in one line."""

from __future__ import annotations

from collections.abc import Iterator

from nbchat.exchange.conversation import IMPORTED
from nbchat.history import Turn

_NOT_SENT = {"hidden": "hidden, not sent with later prompts", "deleted": "its cell was deleted, not sent"}


def caption(turn: Turn) -> str:
    """Who answered, when, in what time, and how it went. The time is told in UTC: the file goes anywhere."""
    return " · ".join(_parts(turn))


def _parts(turn: Turn) -> Iterator[str]:
    yield from filter(None, [turn.model])
    if turn.provider != IMPORTED and turn.provider.casefold() not in turn.model.casefold():
        yield turn.provider
    yield f"{turn.started:%Y-%m-%d %H:%M} UTC"
    if turn.seconds:
        yield f"{turn.seconds:.1f} s"
    if turn.usage and turn.usage.completion_tokens is not None:
        yield f"{turn.usage.completion_tokens:,} tokens"
    yield from _outcome(turn)


def _outcome(turn: Turn) -> Iterator[str]:
    if turn.is_live:
        yield "still under way"
    elif turn.status == "failed":
        yield f"{'cut off' if turn.cut else 'failed'}: {turn.error}".removesuffix(": ")
    elif turn.status == "stopped":
        yield "stopped" if turn.text else "no reply"
    if turn.standing in _NOT_SENT:
        yield _NOT_SENT[turn.standing]
    if turn.is_guess:
        yield "the prompt is not known: this is its cell's source"
    yield from (notice.text for notice in turn.notices if notice.lasting)
