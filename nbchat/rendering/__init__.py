"""Markdown text → safe HTML, block by block.

A reply is not to be trusted, and the output of a cell is: what it holds runs in the page. So nothing is
sent but what this module made. Raw HTML in a reply is text (markdown-it), code is coloured by classes
(pygments), and `nh3` takes away every tag, attribute, class and address that is not on the short lists in `clean.py`.

- `render` gives the final form of a reply.
- `Live` gives the frames of one that is still coming: finished blocks once, the open tail anew each time.

All HTML comes in `<div class="nbchat-reply …">`. There are no styles but the alignment of table cells: colours and
scrolling are the host's (JupyterLab colours `.highlight` by its theme). MathJax is told to keep its hands off
all of it but our own formulas, so that "It costs $5 and $10" stays as it is: a formula goes out as `\\(…\\)` or
`\\[…\\]`, and one that could run, style or define something goes out as code.

This package imports nothing else of nbchat, and is slow to import: import it when there is something to show.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from markdown_it.token import Token

from nbchat.rendering.clean import CAPTION, clean
from nbchat.rendering.code import Env, escape
from nbchat.rendering.markdown import parse, to_html

LIMIT = 200_000
"""How many characters a reply may have to be shown as markdown; a longer one is shown as plain text."""
_PLAIN_PIECE = 2_000
"""Past `LIMIT`, pieces of so many characters are sealed."""
_PER_CHARACTER = 50
_HEAD_START = 20_000
"""`Live` renders at most so many characters for each one that comes, and so many more, however the text is cut."""

_OPEN = '<div class="nbchat-reply mathjax_ignore tex2jax_ignore">'
_CLOSE = "</div>\n"


class Frame(NamedTuple):
    """What to draw: `sealed` stays as it is, below all that was sealed before; `tail` replaces the last tail."""

    sealed: str
    tail: str


def render(text: str) -> str:
    """Render a whole reply; a text of more than `LIMIT` characters as it is, in a `<pre>`.

    Returns:
        One safe HTML element; an empty string for a text without content.
    """
    if len(text) > LIMIT:
        return _page(_too_long() + _plain(text))
    return _page(_blocks(text, {}))


def caption(text: str) -> str:
    """One small line below a reply, as it is: no markdown, no formulas."""
    return _page(f'<p style="{CAPTION}"><small>{escape(_tidy(text))}</small></p>\n')


class Live:
    """Renders a reply while it grows.

    All that was sealed, and then what `finish` gives, shows the same as `render` of the whole text, however it
    was cut. Two things differ: a link by reference (`[text][name]`) is none if its definition came after its
    block was sealed, and what is past `LIMIT` follows as plain text in pieces.

    The work is linear in the length of the text. Where a frame would cost too much (a very long block, or
    many frames in a row) `update` gives the frame before; `finish` always renders.
    """

    def __init__(self) -> None:
        self.work = 0
        """How many characters were given to the markdown parser so far."""
        self._sealed = 0
        self._open = ""
        self._tail = ""
        self._too_long = False
        self._references: dict[str, Any] = {}

    def update(self, text: str) -> Frame:
        """Take the text so far: the one of the last call, and what came since."""
        fresh = text[self._sealed :].removesuffix("\r")  # it may be half of a line's end
        if fresh == self._open:
            return Frame("", self._tail)
        if len(text) > LIMIT:
            return self._plainly(fresh)
        if self.work + len(fresh) > _PER_CHARACTER * len(text) + _HEAD_START:
            return Frame("", self._tail)
        return self._draw(fresh)

    def finish(self, text: str) -> str:
        """Take the whole text, and give the last piece to seal; there is no tail any more."""
        if len(text) > LIMIT:
            sealed, tail = self._plainly(text[self._sealed :])
            return sealed + tail
        return self._seal(text[self._sealed :])

    def _draw(self, fresh: str) -> Frame:
        self.work += len(fresh)
        env = self._open_environment()
        tokens = parse(_tidy(fresh), env)
        lines = _finished_lines(tokens, _tidy(fresh))
        if not lines:
            self._open, self._tail = fresh, _page(to_html(tokens, env))
            return Frame("", self._tail)
        end = _end_of_line(fresh, lines)
        sealed = self._seal(fresh[:end])
        rest = self._draw(fresh[end:])
        return Frame(sealed + rest.sealed, rest.tail)

    def _seal(self, piece: str) -> str:
        self.work += len(piece)
        self._sealed += len(piece)
        self._open = self._tail = ""
        return _page(_blocks(piece, {"references": self._references}))

    def _open_environment(self) -> Env:
        """Definitions in the tail may be half there: they count for this frame only."""
        return {"references": ChainMap({}, self._references), "open": True}

    def _plainly(self, fresh: str) -> Frame:
        word = "" if self._too_long else _too_long()
        end = (fresh.rfind("\n") + 1 or len(fresh)) if len(fresh) > _PLAIN_PIECE or word else 0
        self._too_long = True
        self._sealed += end
        self._open = fresh[end:]
        self._tail = _page(_plain(fresh[end:]))
        return Frame(_page(word + _plain(fresh[:end])) if end else "", self._tail)


def _finished_lines(tokens: Sequence[Token], text: str) -> int:
    """How many lines, from the first, make blocks that nothing can change that is still to come.

    That is all up to the last top-level block whose first line is whole, and which surely starts there: after
    a blank line, or by a mark that ends any block before it. (What starts otherwise may yet turn out to be
    a part of the block before: the first row of a table, the title of a definition.)
    """
    lines = text.split("\n")
    for token in reversed(tokens):
        if token.level == 0 and token.nesting >= 0 and token.map:
            start = token.map[0]
            if 0 < start < len(lines) - 1 and (_ends_any_block(token) or not lines[start - 1].strip(" \t")):
                return start
    return 0


def _ends_any_block(token: Token) -> bool:
    if token.type == "heading_open":
        return token.markup.startswith("#")
    return token.type in {"fence", "hr", "blockquote_open", "bullet_list_open", "ordered_list_open"}


_NEWLINE = re.compile(r"\r\n?|\n")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _end_of_line(text: str, number: int) -> int:
    """Where the line with that number, counted from 1, ends."""
    return next(islice(_NEWLINE.finditer(text), number - 1, None)).end()


def _tidy(text: str) -> str:
    return _SURROGATE.sub("\ufffd", _NEWLINE.sub("\n", text))


def _page(body: str) -> str:
    return f"{_OPEN}{clean(body)}{_CLOSE}" if body else ""


def _plain(text: str) -> str:
    return f"<pre><code>{escape(_tidy(text))}</code></pre>\n" if text else ""


def _too_long() -> str:
    return f"<p>This reply has more than {LIMIT:,} characters; they are shown as plain text.</p>\n"


def _blocks(text: str, env: Env) -> str:
    return to_html(parse(_tidy(text), env), env)
