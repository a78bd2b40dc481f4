"""A reply while it grows: what is finished is rendered once, the open tail anew for each frame."""

from __future__ import annotations

from collections import ChainMap
from itertools import islice
from typing import Any, NamedTuple

from nbchat.rendering.code import Env
from nbchat.rendering.lastline import without_half_line
from nbchat.rendering.markdown import parse, to_html
from nbchat.rendering.pages import LIMIT, NEWLINE, page, plain, tidy, too_long
from nbchat.rendering.splitting import Lead, Part, find_cut, go_on, will_go_on

_PLAIN_PIECE = 2_000
"""Past `LIMIT`, pieces of so many characters are sealed."""
_CHEAP = 16_000
"""A frame may always cost so many characters of text or HTML; whoever draws frames sees to their number."""
_PER_CHARACTER = 50
"""Beyond that, all frames together may cost so many for each character that came."""


class Frame(NamedTuple):
    """What to draw: `sealed` stays as it is, below all that was sealed before; `tail` replaces the last tail."""

    sealed: str
    tail: str


class Live:
    """Renders a reply while it grows.

    All that was sealed, and then what `finish` gives, shows the same as `render` of the whole text, however it
    was cut, but for this:

    - A block that is long before it ends is sealed in parts. Each is a block of its own that goes on where the one
      above it stopped: code, a table without its head, a list with the next number, a quotation. (What a part
      cannot know: that the items of a list will be set apart by blank lines further down.)
    - A link by reference (`[text][name]`) is none if its definition came after its block was sealed.
    - What is past `LIMIT` follows as plain text in pieces.

    The tail shows markup of which only the beginning has come as what it is most likely going to be.

    The work is linear in the length of the text. Where a frame would cost too much (a block that is very long and
    cannot be cut) `update` gives the frame before; `finish` always renders.
    """

    def __init__(self) -> None:
        self.work = 0
        """How many characters were given to the markdown parser so far."""
        self.sealed = 0
        """How many characters of the text the sealed HTML shows so far."""
        self._lead = Lead()
        self._open = ""
        self._tail = ""
        self._spent = 0
        self._too_long = False
        self._references: dict[str, Any] = {}

    def update(self, text: str) -> Frame:
        """Take the text so far: the one of the last call, and what came since."""
        fresh = text[self.sealed :].removesuffix("\r")  # it may be half of a line's end
        if fresh == self._open:
            return Frame("", self._tail)
        if len(text) > LIMIT:
            return self._plainly(fresh)
        if self._spent + _excess(fresh, self._tail) > _PER_CHARACTER * len(text):
            return Frame("", self._tail)
        return self._draw(fresh)

    def finish(self, text: str) -> str:
        """Take the whole text, and give the last piece to seal; there is no tail any more."""
        if len(text) > LIMIT:
            sealed, tail = self._plainly(text[self.sealed :])
            return sealed + tail
        return self._seal(text[self.sealed :], Lead())

    def _draw(self, fresh: str) -> Frame:
        sealed = ""
        while True:
            env = self._open_environment()
            part = self._parse(fresh, env)
            cut = find_cut(part)
            if cut is None:
                self._open, self._tail = fresh, page(to_html(go_on(part.tokens, self._lead), env))
                self._spent += _excess(fresh, self._tail)
                return Frame(sealed, self._tail)
            end = _position(fresh, part.text[len(self._lead.text) : cut.end])
            sealed += self._seal(fresh[:end], cut.lead)
            fresh = fresh[end:]

    def _parse(self, fresh: str, env: Env) -> Part:
        text = self._lead.text + tidy(fresh)
        self.work += len(text)
        if "open" in env:
            text = without_half_line(text)
        return Part(parse(text, env), text, self._lead)

    def _seal(self, piece: str, below: Lead) -> str:
        env: Env = {"references": self._references}
        tokens = go_on(self._parse(piece, env).tokens, self._lead)
        will_go_on(tokens, below)
        html = page(to_html(tokens, env))
        self._lead = below
        self.sealed += len(piece)
        self._open = self._tail = ""
        return html

    def _open_environment(self) -> Env:
        """Definitions in the tail may be half there: they count for this frame only."""
        return {"references": ChainMap({}, self._references), "open": True}

    def _plainly(self, fresh: str) -> Frame:
        word = "" if self._too_long else too_long()
        end = (fresh.rfind("\n") + 1 or len(fresh)) if len(fresh) > _PLAIN_PIECE or word else 0
        self._too_long = True
        self.sealed += end
        self._open = fresh[end:]
        self._tail = page(plain(fresh[end:]))
        return Frame(page(word + plain(fresh[:end])) if end else "", self._tail)


def _excess(text: str, html: str) -> int:
    """What a frame costs beyond what any may."""
    return max(0, max(len(text), len(html)) - _CHEAP)


def _position(text: str, tidied: str) -> int:
    """Where that part of a text ends which looks like this when it is tidied."""
    lines, column = tidied.count("\n"), len(tidied) - tidied.rfind("\n") - 1
    return (next(islice(NEWLINE.finditer(text), lines - 1, None)).end() if lines else 0) + column
