"""A reply in a notebook's cell: frames at their own pace, and the final form.

While a reply grows its finished blocks are sent once. They gather in an open piece of the output, with the tail
that still changes; when the piece is large enough it is left alone, and the next one begins below. So each frame
is small however long the reply is. At the end one display takes the place of all pieces, if nothing else stands
in the cell's output; else they stay as they are.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

from nbchat.display.captions import Progress, caption, metadata, metadata_of_piece
from nbchat.display.look import Look
from nbchat.display.pacing import Pace
from nbchat.display.pieces import Bundle, Pieces
from nbchat.display.places import places
from nbchat.display.stop import HIDDEN_WHEN_DEAD
from nbchat.notebook import takes_clicks
from nbchat.reply import Reply
from nbchat.traffic import PageClock

if TYPE_CHECKING:
    from nbchat import rendering
    from nbchat.history import Turn

_ROOM, _ROOM_LATER, _ROOM_IN_CODE = 1_500, 6_000, 8_000
"""How many characters a piece gets before the next begins: more where they stay in several pieces at the end, and
from the `_MANY`th on, as JupyterLab shows no more than 50 outputs of a cell."""
_MANY = 36
_STEP = 4_000
"""Text that comes faster is drawn in steps of so many characters, so that no frame keeps the page busy for long."""
_LONG_LINE = 5_000
"""Text that is shown as it is may be cut after so many characters without a line end."""
_STOP_AFTER = 0.3
"""Seconds until the Stop button is shown: a reply that is done by then needs none."""


class CellView:
    """The output of one reply.

    Args:
        look: How the reply is shown.
        own_cell: Whether the cell was run for this reply alone, and awaits it.
        outlives: Whether the cell may end before the reply: then no piece can be added later, and nothing else
            tells of a failure.
        frames: Whether anything is shown before the end.
    """

    _ended: ClassVar[list[tuple[Turn, PageClock]]] = []
    """What ended since the last view was made, and when."""

    def __init__(self, look: Look, *, own_cell: bool = False, outlives: bool = False, frames: bool = True) -> None:
        from nbchat import rendering  # with its parsers, so not before the first reply

        place = places.of(look.turn) if look.turn else ""
        look = replace(look, prompt="", again=False) if place else look
        self._rendering = rendering
        self._look = look
        self._frames = frames
        self._own_cell = own_cell and not place
        self._outlives = outlives or bool(place)
        self._live: _Raw | rendering.Live = _Raw() if look.raw else rendering.Live()
        self._pieces = Pieces(own_cell=self._own_cell, at=place)
        self._open = _Piece(held=rendering.quote(look.prompt))
        self._pace = Pace()
        self._progress = Progress()
        self._seen = 0  # characters of the text that frames were made of
        self._is_bare = True  # nothing of the text is to be seen yet
        self._line = ""
        can_stop = self._own_cell and takes_clicks()
        self._stop_from = time.monotonic() + _STOP_AFTER if can_stop else inf
        self._hidden = HIDDEN_WHEN_DEAD if can_stop else ""
        self._mind_replies_that_were_left()
        self._clock = PageClock()

    def draw(self, reply: Reply) -> None:
        """Send a frame if there is anything new and it is time."""
        if not self._frames or not self._pace.is_due():
            return
        started = time.monotonic()
        text = reply.text if self._look.stream else ""
        line = self._progress.line(reply) if self._progress.is_quiet(reply) or self._is_bare else ""
        if len(text) > self._seen or line != self._line:
            is_first, self._line = not self._seen, line
            self._seen = min(len(text), self._seen + _STEP)
            if text and is_first:
                self._open.hold(self._reasoning(reply), len(reply.reasoning))
            size = self._draw_frame(reply, text[: self._seen])
            self._pace.count(started, size, hurry=len(text) > self._seen)
        if started > self._stop_from:
            self._stop_from = inf
            self._pieces.offer_stop(reply.stop)

    def end(self, reply: Reply) -> None:
        """Send the final form: one display of the whole, unless other output stands between the pieces."""
        below = self._below(reply)
        bundle = self._bundle(self._whole(reply) + below, reply.text)
        if not self._pieces.are_many:
            self._pieces.draw(bundle, self._metadata(reply))
        elif not self._pieces.replace(bundle, self._metadata(reply)):
            self._end_in_pieces(reply, below)
        self._clock.stop()
        if not self._look.again:
            places.note(reply.turn.id, self._pieces.last if self._frames and not self._pieces.closed else "")
        if self._frames:
            self._ended.append((reply.turn, self._clock))

    def _draw_frame(self, reply: Reply, text: str) -> int:
        """Draw the open piece, and begin the next once it is full; gives the size of what was sent."""
        if len(text) > self._rendering.LIMIT:
            return self._draw_end_of(reply, text)
        finished = self._live.sealed
        sealed, tail = self._live.update(text)
        self._open.hold(sealed, self._live.sealed - finished)
        size = self._next_piece(reply, text) if self._open.weight >= self._room() else 0
        plain = text[self._open.begin :]
        if self._is_bare and (tail or self._live.sealed or (self._look.raw and plain)):
            self._is_bare = False
            self._line = self._line if self._progress.is_quiet(reply) else ""
        body = self._open.held + tail + self._caption(self._line)
        return size + self._draw(reply, body + self._hidden, plain) if body or plain else size

    def _draw_end_of(self, reply: Reply, text: str) -> int:
        body = self._open.held + self._rendering.last_lines(text) + self._caption(self._line) + self._hidden
        return self._draw(reply, body, text[max(self._open.begin, len(text) - _ROOM) :])

    def _room(self) -> float:
        if self._outlives:
            return inf
        if not self._own_cell:
            return _ROOM_IN_CODE
        return _ROOM if self._pieces.closed < _MANY else _ROOM_LATER

    def _next_piece(self, reply: Reply, text: str) -> int:
        end = self._live.sealed
        size = self._draw(reply, self._open.held, text[self._open.begin : end])
        self._pieces.close()
        self._open = _Piece(begin=end)
        return size

    def _draw(self, reply: Reply, body: str, text: str) -> int:
        bundle = self._bundle(body, text)
        self._pieces.draw(bundle, metadata_of_piece(reply, self._pieces.closed, again=self._look.again))
        return sum(map(len, bundle.values()))

    def _end_in_pieces(self, reply: Reply, below: str) -> None:
        self._open.hold(self._live.finish(reply.text), 0)  # at once: after an interrupt this is done again
        rest = self._open.held
        plain = reply.text[self._open.begin :]
        if not self._pieces.has_stop:
            self._pieces.draw(self._bundle(rest + below, plain), self._metadata_of_last(reply))
            return
        if plain or rest:
            self._draw(reply, rest, plain)
        self._pieces.close()
        self._pieces.draw_in_place_of_stop(self._bundle(below, ""), self._metadata_of_last(reply))

    def _metadata(self, reply: Reply) -> dict[str, Any]:
        return metadata(reply, again=self._look.again)

    def _metadata_of_last(self, reply: Reply) -> dict[str, Any]:
        return metadata_of_piece(reply, self._pieces.closed, again=self._look.again, is_last=True)

    def _whole(self, reply: Reply) -> str:
        above = self._rendering.quote(self._look.prompt) + self._reasoning(reply)
        return above if self._look.raw else above + self._rendering.render(reply.text)

    def _reasoning(self, reply: Reply) -> str:
        return self._rendering.reasoning(reply.reasoning) if reply.reasoning else ""

    def _below(self, reply: Reply) -> str:
        failure = f"{type(reply.error).__name__}: {reply.error}" if self._outlives and reply.error else ""
        return self._caption(caption(reply)) + self._caption(failure)

    def _caption(self, line: str) -> str:
        return self._rendering.caption(line) if line else ""

    def _bundle(self, body: str, text: str) -> Bundle:
        """Safe HTML, and the exact text for whoever wants text; text alone if it is to be shown as it is."""
        if self._look.raw and (text or not body):
            return {"text/plain": text}
        return {"text/html": body, "text/plain": text}

    @classmethod
    def _mind_replies_that_were_left(cls) -> None:
        for turn, clock in cls._ended:
            turn.unseen = clock.was_left()
        cls._ended.clear()


@dataclass
class _Piece:
    """What is finished in the open piece."""

    begin: int = 0
    """Where it begins in the text."""
    held: str = ""
    """As HTML."""
    weight: int = 0
    """Of how many characters it was made."""

    def hold(self, html: str, weight: int) -> None:
        self.held += html
        self.weight += weight


class _Raw:
    """What `Live` is to markdown, for text that is shown as it is: whole lines are finished."""

    def __init__(self) -> None:
        self.sealed = 0

    def update(self, text: str) -> tuple[str, str]:
        self.sealed = text.rfind("\n") + 1 or len(text) // _LONG_LINE * _LONG_LINE
        return "", ""

    def finish(self, text: str) -> str:
        return ""
