"""What is said about a reply: the line below it, the metadata of its output."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nbchat.config import settings
from nbchat.reply import Reply
from nbchat.saved import carried

if TYPE_CHECKING:
    from nbchat.history import Turn

_QUIET = 3
"""Seconds without anything new after which a reply that has begun says that it is waited for."""
_LAST_WORDS = 80
"""How many characters of the reasoning the line shows while the model thinks."""


class Progress:
    """What can be said of a reply that is under way."""

    def __init__(self) -> None:
        self._seen = (0, 0)
        self._since = time.monotonic()
        self._come = 0  # when the last notice did
        self._thoughts = 0  # when the last text came

    def is_quiet(self, reply: Reply) -> bool:
        """Whether nothing new has come for so long that it is time for a word."""
        seen = (len(reply.turn.chunks), len(reply.notices))
        if seen[1] != self._seen[1]:
            self._come = _come(reply)
        if seen[0] != self._seen[0]:
            self._thoughts = len(reply.turn.thoughts)
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        return time.monotonic() - self._since > _QUIET

    def line(self, reply: Reply) -> str:
        """Who is asked, for how long, and what is going on."""
        return _joined([*_asked(reply), f"{reply.seconds:.0f} s", self.doing(reply)])

    def doing(self, reply: Reply) -> str:
        """What is going on, in a few words."""
        return self._notice(reply) or self._without_notice(reply)

    def _notice(self, reply: Reply) -> str:
        """The last word about what goes on, unless something has come since."""
        words = [notice.text for notice in reply.notices if not notice.lasting]
        return words[-1] if words and self._come == _come(reply) else ""

    def _without_notice(self, reply: Reply) -> str:
        thoughts = reply.turn.thoughts
        if reply.status == "queued" and reply.seconds > 1:
            return "waiting for the reply before it"
        if len(thoughts) > self._thoughts:
            words = " ".join("".join(thoughts[-_LAST_WORDS:]).split())
            return f"thinking: … {words[-_LAST_WORDS:]}"
        return "waiting for more" if reply.turn.chunks else "asking"


def caption(reply: Reply) -> str:
    """The line below a reply that has ended: who answered, in what time, and how it went."""
    return _joined([*_asked(reply), f"{reply.seconds:.1f} s", *_outcome(reply)])


def left_out(turn: Turn) -> str:
    """What of the conversation did not fit and was not sent."""
    count = turn.left_out
    return f"{count} older turn{'s' * (count != 1)} left out" if count else ""


def metadata(reply: Reply, *, again: bool = False) -> dict[str, Any]:
    """What the output of a reply that has ended tells of its turn; `again` if it is not in the turn's own cell."""
    embed: Any = settings().embed
    told = carried.metadata(reply.turn, conversation=reply.conversation, after=reply.follows, embed=embed)
    return {carried.KEY: told | ({"shown": True} if again else {})}


def metadata_of_piece(reply: Reply, part: int, *, again: bool = False, is_last: bool = False) -> dict[str, Any]:
    """What one of several outputs tells, so that a page that never sees the end has something to go by.

    The first and the last tell all.
    """
    told = metadata(reply, again=again)[carried.KEY]
    if part and not is_last:
        told = {name: told[name] for name in ("id", "status", "shown") if name in told}
    return {carried.KEY: told | {"part": part}}


def _joined(parts: list[str]) -> str:
    return " · ".join(part for part in parts if part)


def _asked(reply: Reply) -> Iterator[str]:
    model, provider = reply.turn.model, reply.turn.provider
    yield model
    if not model or provider.casefold() not in model.casefold():
        yield provider


def _come(reply: Reply) -> int:
    return len(reply.turn.chunks) + len(reply.turn.thoughts)


def _outcome(reply: Reply) -> Iterator[str]:
    turn = reply.turn
    length = f"{len(reply.text):,} characters"
    if turn.usage and turn.usage.completion_tokens is not None:
        yield f"{turn.usage.completion_tokens:,} tokens"
    elif reply.text and not (turn.cut and reply.status == "failed"):
        yield length
    if reply.status == "failed":
        yield f"cut off after {length}" if turn.cut else "failed"
    elif reply.status != "done":
        yield "stopped"
    yield left_out(turn)
    yield from (notice.text for notice in reply.notices if notice.lasting)
