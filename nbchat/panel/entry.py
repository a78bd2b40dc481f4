"""One turn as the page has it: finished blocks of HTML, a tail that still changes, and what is said about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nbchat import rendering
from nbchat.display.captions import Progress, left_out
from nbchat.history import Turn
from nbchat.messages import clean
from nbchat.reply import Reply

Json = dict[str, Any]

_STEP, _PLAIN_STEP = 4_000, 200_000
"""Text that comes at once is drawn in steps of so many characters, so that no block keeps the page busy for long; in
longer ones beyond where it is shown as plain text."""


class Entry:
    """One version of a turn, and how much of it the page knows.

    Args:
        turn: The version.
        reply: Its reply, be it under way or done.
    """

    def __init__(self, turn: Turn, reply: Reply) -> None:
        self.turn = turn
        self._reply = reply
        self._digest = ""
        self._live: rendering.Live | None = rendering.Live()
        self._is_plain = False  # it could not be rendered
        self._drawn = 0  # characters of the text
        self._thoughts = 0  # pieces of the reasoning
        self._progress = Progress()
        self._place: Json = {}
        self._said: Json = dict(_fixed(turn))
        self._blocks: list[str] = []
        self._reasoning = self._half = ""
        self._tail = ""

    @property
    def is_open(self) -> bool:
        """Whether more may come without anybody's saying so."""
        return self._live is not None

    @property
    def seconds(self) -> float:
        """How long its reply has been under way."""
        return self._reply.seconds

    def shows(self, turn: Turn) -> bool:
        """Whether this is that version, with the same texts."""
        return turn.started == self.turn.started and (self.is_open or turn.digest == self._digest)

    def whole(self) -> Json:
        """The turn as the page has it."""
        grown = {"blocks": list(self._blocks), "reasoning": self._reasoning, "tail": self._tail}
        return {"id": self.turn.id, **self._said, **grown}

    def advance(self, **place: Any) -> Json:
        """Take in what has happened since, and give the change that tells the page; empty if nothing has.

        Args:
            place: What the history says of the turn, as the page has it; what it said before, without.
        """
        self._place |= place
        is_over = not self.turn.is_live  # asked first: from then on all of it is there
        blocks, tail = self._drawn_or_plain(is_over)
        thoughts = self._think(is_over)
        said = dict(self._say(is_over))
        new = {name: value for name, value in said.items() if name not in self._said or self._said[name] != value}
        if new.keys() == {"seconds"} and not is_over:
            new = {}
        if tail != self._tail:
            new["tail"] = tail
        self._blocks += blocks
        self._reasoning += thoughts
        self._tail = tail
        self._said |= {name: value for name, value in new.items() if name != "tail"}
        return self._change({"blocks": blocks, "reasoning": thoughts}, new)

    def _change(self, grown: Json, new: Json) -> Json:
        grown = {name: value for name, value in grown.items() if value}
        parts = {"add": grown, "set": new}
        told = {name: part for name, part in parts.items() if part}
        return {"id": self.turn.id, **told} if told else {}

    def _drawn_or_plain(self, is_over: bool) -> tuple[list[str], str]:
        """What `_draw` gives; of a reply that cannot be rendered, the rest as it is, once it is whole, and a note."""
        try:
            return self._draw(is_over)
        except Exception:  # whatever it holds, the page must not lose the other turns by it
            if not is_over or self._live is None:
                return [], self._tail
            rest = self.turn.text[self._live.sealed :]
            self._live, self._digest, self._is_plain = None, self.turn.digest, True
            return [rendering.as_it_is(rest)], ""

    def _draw(self, is_over: bool) -> tuple[list[str], str]:
        """The blocks that are finished now, and the tail below them."""
        if self._live is None:
            return [], ""
        text, tail, blocks = self.turn.text, self._tail, []
        while self._drawn < len(text) - (_STEP if is_over else 0):
            is_plain = len(text) > rendering.LIMIT and not 0 < self._drawn < rendering.LIMIT
            self._drawn = min(len(text), self._drawn + (_PLAIN_STEP if is_plain else _STEP))
            sealed, tail = self._live.update(text[: self._drawn])
            blocks.append(sealed)
        if is_over:
            blocks.append(self._live.finish(text))
            self._live, self._digest, tail = None, self.turn.digest, ""
        return [block for block in blocks if block], tail

    def _think(self, is_over: bool) -> str:
        new = self.turn.thoughts[self._thoughts :]
        self._thoughts += len(new)
        text = self._half + "".join(new)
        is_half = "\ud800" <= text[-1:] <= "\udbff" and not is_over  # the other half of the character comes next
        self._half = text[-1:] if is_half else ""
        return clean(text.removesuffix(self._half))

    def _say(self, is_over: bool) -> Iterator[tuple[str, Any]]:
        """What is said beside the reply itself, as far as it may change."""
        turn = self.turn
        yield from self._place.items()
        yield "status", turn.status
        yield "standing", turn.standing
        yield "error", clean(turn.error)
        yield "cut", turn.cut
        if is_over and self._said["text"] is None:
            yield "text", clean(turn.text)
        yield "notice", "" if is_over else self._notice()
        yield "notes", [clean(note) for note in self._notes()]
        yield "seconds", round(turn.seconds, 1) if is_over else float(int(self._reply.seconds))
        yield "tokens", _whole(turn.usage and turn.usage.completion_tokens)
        yield "prompt_tokens", _whole(turn.usage and turn.usage.prompt_tokens)

    def _notice(self) -> str:
        is_quiet = self._progress.is_quiet(self._reply)
        return clean(self._progress.doing(self._reply)) if is_quiet or not self.turn.chunks else ""

    def _notes(self) -> Iterator[str]:
        yield from (notice.text for notice in self.turn.notices if notice.lasting)
        if word := left_out(self.turn):
            yield word
        if self._is_plain:
            yield "it could not be rendered, and is shown as it is"
        if self.turn.is_guess:
            yield "the prompt is not known: this is its cell"


def _fixed(turn: Turn) -> Iterator[tuple[str, Any]]:
    """What never changes of a version; and the text to be copied, which is given once it is whole."""
    for name in ("prompt", "model", "provider"):
        yield name, clean(getattr(turn, name))
    yield "cell", turn.execution or None
    yield "time", turn.started.isoformat(timespec="milliseconds")
    yield "text", None


def _whole(value: object) -> int | None:
    """A number of tokens; somebody's provider may give anything."""
    return value if type(value) is int and 0 <= value < 1 << 53 else None
