"""Markdown text → safe HTML, block by block.

A reply is not to be trusted, and the output of a cell is: what it holds runs in the page. So nothing is
sent but what this module made. Raw HTML in a reply is text (markdown-it), code is coloured by classes
(pygments), and `nh3` takes away every tag, attribute, class and address that is not on the short lists below.

- `render` gives the final form of a reply.
- `Live` gives the frames of one that is still coming: finished blocks once, the open tail anew each time.

All HTML comes in `<div class="nbchat-reply …">`. There are no styles but the alignment of table cells: colours and
scrolling are the host's (JupyterLab colours `.highlight` by its theme). MathJax is told to keep its hands off
all of it but our own formulas, so that "It costs $5 and $10" stays as it is: a formula goes out as `\\(…\\)` or
`\\[…\\]`, and one that could run, style or define something goes out as code.

This module imports nothing of nbchat, and is slow to import: import it when there is something to show.
"""

from __future__ import annotations

import html
import re
from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from functools import cache
from itertools import accumulate, islice
from typing import Any, NamedTuple

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from pygments.lexers import get_all_lexers, get_lexer_by_name
from pygments.token import STANDARD_TYPES

LIMIT = 200_000
"""How many characters a reply may have to be shown as markdown; a longer one is shown as plain text."""

_LONGEST_PARAGRAPH = 20_000
"""A paragraph or table cell with more characters is text without markup: nobody wrote it to be read,
and markdown-it can take a time that grows with the square of it."""
_LONGEST_CODE = 50_000
_LONGEST_FORMULA = 5_000
_DEEPEST = 50
"""Levels of nested blocks (a list in a list is two) and of braces in a formula."""
_MOST_CELLS = 20_000
_PLAIN_PIECE = 2_000
_PER_CHARACTER = 50
"""`Live` renders at most so many characters for each one that comes, however the text is cut."""
_HEAD_START = 20_000

_MATH = "mathjax_process tex2jax_process"
_OPEN = '<div class="nbchat-reply mathjax_ignore tex2jax_ignore">'
_CLOSE = "</div>\n"

Environment = MutableMapping[str, Any]


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
    return _page(_blocks(_tidy(text), {}))


def caption(text: str) -> str:
    """One small line below a reply, as it is: no markdown, no formulas."""
    return _page(f"<p><small>{html.escape(_tidy(text), quote=False)}</small></p>\n")


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
        tokens = _markdown().parse(_tidy(fresh), env)
        lines = _finished_lines(tokens, _tidy(fresh))
        if not lines:
            self._open, self._tail = fresh, _page(_html(tokens, env))
            return Frame("", self._tail)
        end = _end_of_line(fresh, lines)
        sealed = self._seal(fresh[:end])
        return Frame(sealed, self._draw(fresh[end:]).tail)

    def _seal(self, piece: str) -> str:
        self.work += len(piece)
        self._sealed += len(piece)
        self._open = self._tail = ""
        return _page(_blocks(_tidy(piece), {"references": self._references}))

    def _open_environment(self) -> Environment:
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
    return f"{_OPEN}{_clean(body)}{_CLOSE}" if body else ""


def _plain(text: str) -> str:
    # a parser of HTML drops the first newline in <pre>
    return f"<pre>\n{html.escape(_tidy(text), quote=False)}</pre>\n" if text else ""


def _too_long() -> str:
    return f"<p>This reply has more than {LIMIT:,} characters; they are shown as plain text.</p>\n"


def _blocks(text: str, env: Environment) -> str:
    return _html(_markdown().parse(text, env), env)


def _html(tokens: Sequence[Token], env: Environment) -> str:
    markdown = _markdown()
    rendered: str = markdown.renderer.render(tokens, markdown.options, env)
    return rendered


# What may go out

_CODE_CLASSES = set(STANDARD_TYPES.values()) - {"", "n", "w", "err", "esc", "x"}
"""Without those that say nothing, and without errors: code is written by halves while it streams."""
_TAGS = set("p h3 h4 h5 h6 ul ol li blockquote pre code em strong s hr br table thead tbody tr th td a span div small".split())
_ALIGNED = {"style": {f"text-align:{side}" for side in ("left", "center", "right", "start")}}
_DIRECTED = ("p", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table")
_VALUES: dict[str, dict[str, set[str]]] = {
    **{tag: {"dir": {"auto"}} for tag in _DIRECTED},
    "div": {"class": {"highlight", _MATH}},
    "span": {"class": {_MATH, *_CODE_CLASSES}},
    "th": _ALIGNED,
    "td": _ALIGNED,
}
_ADDRESS = re.compile(r"https?://[^/]|mailto:", re.IGNORECASE)


def _clean(body: str) -> str:
    return nh3.clean(
        body,
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        tag_attribute_values=_VALUES,
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer",
        url_schemes={"http", "https", "mailto"},
    )


# The parser: markdown-it with rules for formulas, bare addresses and line breaks


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802 - markdown-it's name
        return True  # `_show_links` decides, and keeps the words of a link that leads nowhere


@cache
def _markdown() -> MarkdownIt:
    markdown = _Markdown("commonmark", {"html": False, "maxNesting": _DEEPEST}, renderer_cls=_Renderer)
    markdown.enable(["table", "strikethrough"])
    markdown.core.ruler.at("inline", _parse_inline)
    markdown.core.ruler.before("inline", "tasks", _mark_tasks)
    markdown.core.ruler.push("dress", _dress)
    markdown.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    markdown.block.ruler.before("fence", "math", _math_block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    markdown.inline.ruler.before("escape", "math", _math_inline)
    markdown.inline.ruler.before("escape", "address", _bare_address)
    markdown.inline.ruler.before("autolink", "break", _line_break)
    return markdown


def _parse_inline(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline":
            token.children = []
            if len(token.content) > _LONGEST_PARAGRAPH:
                token.children.append(Token("text", "", 0, content=token.content))
            else:
                state.md.inline.parse(token.content, state.md, state.env, token.children)


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table, unless its empty cells would be very many: three characters a row can make a thousand cells."""
    if not table(state, start, end, True):
        return False
    last = start
    while last < end and not state.isEmpty(last):
        last += 1
    columns = state.src.count("|", state.bMarks[start], state.eMarks[start])
    return (last - start) * columns <= _MOST_CELLS and (silent or table(state, start, end, False))


_LINE_BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)


def _line_break(state: StateInline, silent: bool) -> bool:
    """`<br>`: the one tag of HTML that models write for want of anything in markdown, in table cells."""
    found = _LINE_BREAK.match(state.src, state.pos, state.posMax)
    if not found:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


_BARE = re.compile(r"://[A-Za-z0-9\[][^\s<>\"`|\\^{}“”‘’«»\u3000-\u9fff\uac00-\ud7af\uff00-\uffef]*")


def _bare_address(state: StateInline, silent: bool) -> bool:
    """An address that stands in the text, `http://…` or `https://…`, without the punctuation after it."""
    found = _BARE.match(state.src, state.pos, state.posMax)
    scheme = next((scheme for scheme in ("https", "http") if state.src.endswith(scheme, 0, state.pos)), None)
    if silent or not found or not scheme or state.linkLevel or not state.pending.endswith(scheme):
        return False
    before = state.pending[: -len(scheme)]
    if before[-1:].isalnum():
        return False
    rest = _without_punctuation(found[0])
    state.pending = before
    _push_link(state, scheme + rest)
    state.pos += len(rest)
    return True


def _without_punctuation(address: str) -> str:
    while True:
        kept = address.rstrip("?!.,:;*_~'")
        for opening, closing in ("()", "[]"):
            if kept.endswith(closing) and kept.count(closing) > kept.count(opening):
                kept = kept[:-1]
        if kept == address:
            return kept
        address = kept


def _push_link(state: StateInline, address: str) -> None:
    state.push("link_open", "a", 1).attrs = {"href": state.md.normalizeLink(address)}
    state.push("text", "", 0).content = address
    state.push("link_close", "a", -1)


# Formulas


_DOLLAR = re.compile(r"\$(?!\s)((?:[^\\$]|\\.){1,%d}+)(?<!\s)\$(?!\d)" % _LONGEST_FORMULA, re.DOTALL)
_DOLLARS = re.compile(r"\$\$((?:[^\\$]|\\.|\$(?!\$)){1,%d}+)\$\$" % _LONGEST_FORMULA, re.DOTALL)
_PAREN = re.compile(r"\\\(((?:[^\\]|\\[^()]){1,%d}+)\\\)" % _LONGEST_FORMULA, re.DOTALL)
_BRACKET = re.compile(r"\\\[((?:[^\\]|\\[^][]){1,%d}+)\\\]" % _LONGEST_FORMULA, re.DOTALL)
_PROSE = re.compile(r"[^\\^_={}+*/<>|&]*(?:[A-Za-z]{2,}[^A-Za-z\\^_={}+*/<>|&]+|\d[^\w\\^_={}+*/<>|&]*\s)[A-Za-z]{2}")
_UNSAFE = re.compile(
    r"""\\(?:
        href | url | class | style | cssId | data | html\w* | tex-?html | unicode | require | includegraphics
      | texttip | mathtip | toggle | mmlToken | bbox | set[oO]ptions | mathtoolsset | label | (?:eq)?ref
      | [egx]?def | (?:g?let | futurelet) | (?:re)?new\w+ | provide\w+ | Newextarrow | Declare\w+ | definecolor | csname
    )(?![A-Za-z]) | \\begin\s*\{\s*(?:html|tex-html) | \\[()[\]](?<!\\\\.)""",
    re.VERBOSE,
)
"""What makes MathJax run, fetch, style or point at something, or change what later formulas on the page mean."""


def _math_inline(state: StateInline, silent: bool) -> bool:
    found = _formula(state.src, state.pos, state.posMax)
    if not found:
        return False
    if not silent:
        token = state.push("math_inline", "", 0)
        token.content, token.markup = found[1].strip(), found[0]
    state.pos = found.end()
    return True


def _formula(text: str, start: int, end: int) -> re.Match[str] | None:
    pattern = {"$": _DOLLAR, "$$": _DOLLARS, "\\(": _PAREN, "\\[": _BRACKET}
    mark = text[start : start + 2]
    found = pattern[mark].match(text, start, end) if mark in pattern else None
    return found
