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
from collections.abc import Iterator, MutableMapping, Sequence
from functools import cache, lru_cache
from itertools import accumulate, groupby, islice, zip_longest
from time import thread_time
from typing import Any, NamedTuple

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference, unescapeAll
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from pygments.lexers import get_all_lexers, get_lexer_by_name  # type: ignore[import-untyped]  # it has no types
from pygments.token import STANDARD_TYPES  # type: ignore[import-untyped]  # likewise

LIMIT = 200_000
"""How many characters a reply may have to be shown as markdown; a longer one is shown as plain text."""

_LONGEST_PARAGRAPH = 10_000
_MOST_BRACKETS = 300
"""A paragraph or table cell with more of these is text without markup: nobody wrote it to be read,
and markdown-it can take a time that grows with the square of it."""
_LONGEST_PART = 3_000
"""Code with more characters is coloured in parts: some lexers take a time that grows with the cube of it."""
_PATIENCE = 0.5
"""Seconds of processor time for colouring the code of one text; what then is left stays plain."""
_DEEPEST = 50
"""Levels of nested blocks (a list in a list is two) and of braces in a formula."""
_SPARE_CELLS = 200
"""A table ends where more cells than these (and one row of them) would have to be made up to fill its rows."""
_PLAIN_PIECE = 2_000
"""Past `LIMIT`, pieces of so many characters are sealed."""
_PER_CHARACTER = 50
_HEAD_START = 20_000
"""`Live` renders at most so many characters for each one that comes, and so many more, however the text is cut."""

_MATH = "mathjax_process tex2jax_process"
_OPEN = '<div class="nbchat-reply mathjax_ignore tex2jax_ignore">'
_CLOSE = "</div>\n"

_Env = MutableMapping[str, Any]


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
    return _page(f"<p><small>{_escape(_tidy(text))}</small></p>\n")


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
        rest = self._draw(fresh[end:])
        return Frame(sealed + rest.sealed, rest.tail)

    def _seal(self, piece: str) -> str:
        self.work += len(piece)
        self._sealed += len(piece)
        self._open = self._tail = ""
        return _page(_blocks(_tidy(piece), {"references": self._references}))

    def _open_environment(self) -> _Env:
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
    return f"<pre><code>{_escape(_tidy(text))}</code></pre>\n" if text else ""


def _too_long() -> str:
    return f"<p>This reply has more than {LIMIT:,} characters; they are shown as plain text.</p>\n"


def _blocks(text: str, env: _Env) -> str:
    return _html(_markdown().parse(text, env), env)


def _html(tokens: Sequence[Token], env: _Env) -> str:
    markdown = _markdown()
    rendered: str = markdown.renderer.render(tokens, markdown.options, env)
    return rendered


# What may go out

_CODE_CLASSES = set(STANDARD_TYPES.values()) - {"", "n", "w", "err", "esc", "x"}
"""Without those that say nothing, and without errors: code is written by halves while it streams."""
_ALIGNED = {"style": {f"text-align:{side}" for side in ("left", "center", "right", "start")}}
_DIRECTED = {"p", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table"}
_TAGS = _DIRECTED | {"li", "pre", "hr", "div", "thead", "tbody", "tr", "th", "td"}
_TAGS |= {"a", "br", "code", "em", "s", "small", "span", "strong"}
_VALUES: dict[str, dict[str, set[str]]] = {
    **{tag: {"dir": {"auto"}} for tag in _DIRECTED},
    "p": {"dir": {"auto"}, "style": {"text-align:start"}},
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
    """A parser that takes every address for one."""

    def validateLink(self, url: str) -> bool:
        return True  # `_show_links` decides, and keeps the words of a link that leads nowhere


@cache
def _markdown() -> MarkdownIt:
    markdown = _Markdown(
        "commonmark", {"html": False, "maxNesting": _DEEPEST, "store_labels": True}, renderer_cls=_Renderer
    )
    markdown.enable(["table", "strikethrough"])
    markdown.core.ruler.at("inline", _parse_inline)
    markdown.core.ruler.before("inline", "tasks", _mark_tasks)
    markdown.core.ruler.push("dress", _dress)
    markdown.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    markdown.block.ruler.at("reference", _definition)
    markdown.block.ruler.before("fence", "math", _math_block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    markdown.inline.ruler.before("escape", "math", _math_inline)
    markdown.inline.ruler.before("escape", "address", _bare_address)
    markdown.inline.ruler.before("autolink", "break", _line_break)
    return markdown


def _parse_inline(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline":
            token.children = []
            if len(token.content) > _LONGEST_PARAGRAPH or token.content.count("[") > _MOST_BRACKETS:
                token.children.append(Token("text", "", 0, content=token.content))
            else:
                state.md.inline.parse(token.content, state.md, state.env, token.children)


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    found = table(state, start, end, True)
    return found and (silent or table(state, start, _end_of_table(state, start, end), False))


def _end_of_table(state: StateBlock, start: int, end: int) -> int:
    """Where too many cells would be made up: a row of one character can stand for a thousand empty ones."""
    columns = state.src.count("|", state.bMarks[start], state.eMarks[start])
    spare = _SPARE_CELLS + columns
    for line in range(start + 2, end):
        spare -= max(0, columns - state.src.count("|", state.bMarks[line], state.eMarks[line]))
        if spare < 0 or state.isEmpty(line):
            return line
    return end


_DEFINITION = re.compile(
    r"""\[((?:[^][\\]|\\.){1,300})\]:[ \t]*(?:<([^<>]*)>|([^\s<]\S*))(?:[ \t]+(?:"[^"]*"|'[^']*'|\([^()]*\)))?[ \t]*"""
)


def _definition(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """`[name]: address "title"` on one line; the rule of markdown-it takes quadratic time before version 4."""
    found = _DEFINITION.fullmatch(state.src, state.bMarks[start] + state.tShift[start], state.eMarks[start])
    name = normalizeReference(found[1]) if found else ""
    if silent or not found or not name or state.is_code_block(start):
        return False
    href = state.md.normalizeLink(unescapeAll(found[2] or found[3] or ""))
    state.env.setdefault("references", {}).setdefault(name, {"title": "", "href": href})
    state.line = start + 1
    return True


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

_SCHEME = re.compile(r"(?<![A-Za-z0-9])https?\Z")


def _bare_address(state: StateInline, silent: bool) -> bool:
    """An address that stands in the text, `http://…` or `https://…`, without the punctuation after it."""
    found = _BARE.match(state.src, state.pos, state.posMax)
    if silent or not found or state.linkLevel:
        return False
    scheme = _SCHEME.search(state.pending, max(0, len(state.pending) - 6))
    if not scheme:
        return False
    rest = _without_punctuation(found[0])
    state.pending = state.pending[: scheme.start()]
    _push_link(state, scheme[0] + rest)
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

_CLOSING = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_INLINE = {
    "$": re.compile(r"\$(?!\s)((?:[^\\$]|\\.){1,5000}+)(?<!\s)\$(?!\d)", re.DOTALL),
    "$$": re.compile(r"\$\$((?:[^\\$]|\\.|\$(?!\$)){1,5000}+)\$\$", re.DOTALL),
    "\\(": re.compile(r"\\\(((?:[^\\]|\\[^()]){1,5000}+)\\\)"),
    "\\[": re.compile(r"\\\[((?:[^\\]|\\[^][]){1,5000}+)\\\]"),
}
_BLOCK = {  # no blank lines; the last group is empty where the text ends before the formula does
    "$$": re.compile(
        r"\$\$((?:[^\\$\n]|\\(?:[^\n]|(?=\n|\Z))|\$(?!\$)|\n(?![ \t]*\n)){0,5000}+)(\$\$[ \t]*(?:\n|\Z)|\Z)"
    ),
    "\\[": re.compile(r"\\\[((?:[^\\\n]|\\(?:[^][\n]|(?=\n|\Z))|\n(?![ \t]*\n)){0,5000}+)(\\\][ \t]*(?:\n|\Z)|\Z)"),
}
_COMMAND = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
_UNSAFE = re.compile(
    r"[][()]|href|url|class|style|cssId|data|unicode|require|includegraphics|texttip|mathtip|toggle|mmlToken|bbox"
    r"|set[oO]ptions|mathtoolsset|label|ref|eqref|[egx]?def|let|futurelet|csname"
    r"|(?:html|newcommand|renewcommand|newenvironment|renewenvironment|provide|define|Declare|New).*"
)
"""Commands by which MathJax runs, fetches, styles or points at something, or changes what later formulas mean."""
_UNSAFE_PART = re.compile(r"\\begin\s*\{\s*(?:html|tex-html)")
_MATHEMATICS = re.compile(r"[\\^_={}+*/<>|&]")
_PROSE = re.compile(r"[^\W\d_]{2,}[\W\d_]+[^\W\d_]{2,}|\d\W*\s[^\W\d_]{2,}")


def _math_inline(state: StateInline, silent: bool) -> bool:
    mark = state.src[state.pos : min(state.pos + 2, state.posMax)]
    mark = mark if mark in _INLINE else mark[:1]
    found = _INLINE[mark].match(state.src, state.pos, state.posMax) if mark in _INLINE else None
    if not found or not found[1].strip() or (mark[0] == "$" and _is_money(found)):
        return False
    if not silent:
        token = state.push("math_inline", "", 0)
        token.content, token.markup = found[1].strip(), mark
    state.pos = found.end()
    return True


def _is_money(found: re.Match[str]) -> bool:
    """Whether dollar signs, and what is between them, are prices or names of variables in prose."""
    before, after = found.string[found.start() - 1 : found.start()], found.string[found.end() : found.end() + 1]
    if before.isascii() and before.isalnum():
        return True
    if after.isascii() and after.isalnum() and found[1][-1] in "/:-_.,=(":
        return True
    return _is_prose(found[1])


def _is_prose(tex: str) -> bool:
    return not _MATHEMATICS.search(tex) and bool(_PROSE.search(tex))


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A formula on lines of its own, without blank lines; while the reply streams it may still be open."""
    position = state.bMarks[start] + state.tShift[start]
    mark = state.src[position : position + 2]
    if mark not in _BLOCK or state.is_code_block(start):
        return False
    found = _BLOCK[mark].match(state.src, position)
    if not found or not (_is_open(state, found) or _is_whole(found)):
        return False
    last = _line_at(state, start, end, len(state.src.rstrip()) if not found[2] else found.end(1))
    if last is None or silent:
        return last is not None
    token = state.push("math_block" if found[2] else "math_open", "", 0)
    token.map = [start, last + 1]
    token.markup = mark
    token.content = state.getLines(start, last + 1, state.blkIndent, False).strip()
    state.line = last + 1
    return True


def _is_open(state: StateBlock, found: re.Match[str]) -> bool:
    return not found[2] and "open" in state.env


def _is_whole(found: re.Match[str]) -> bool:
    return bool(found[2] and found[1].strip()) and not _is_prose(found[1])


def _line_at(state: StateBlock, start: int, end: int, position: int) -> int | None:
    """The line of a position, unless a line on the way there is not of the block that is being read."""
    line = start
    while state.eMarks[line] < position:
        line += 1
        if line >= end or state.sCount[line] < state.blkIndent:
            return None
    return line


def _is_safe(tex: str) -> bool:
    if any(_UNSAFE.fullmatch(command) for command in _COMMAND.findall(tex)):
        return False
    depths = accumulate((character == "{") - (character == "}") for character in tex)
    return not _UNSAFE_PART.search(tex) and max(depths, default=0) <= _DEEPEST


def _formula(token: Token) -> str:
    """The text that MathJax takes for a formula; an empty string if it had better not."""
    if not _is_safe(token.content):
        return ""
    opening, closing = ("\\[", "\\]") if token.markup in ("$$", "\\[") else ("\\(", "\\)")
    return _escape(f"{opening}{token.content}{closing}")


# What markdown-it has understood, made ready for nh3


def _mark_tasks(state: StateCore) -> None:
    for item, paragraph, token in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        if (item.type, paragraph.type) == ("list_item_open", "paragraph_open"):
            box = {"[ ] ": "☐ ", "[x] ": "☑ ", "[X] ": "☑ "}.get(token.content[:4])
            token.content = box + token.content[4:] if box else token.content


_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")


def _dress(state: StateCore) -> None:
    by_reference = _HEAD_START + len(state.src)
    for token, following in zip_longest(state.tokens, state.tokens[1:]):
        if token.type == "inline":
            by_reference -= _show_links(token, by_reference)
        elif token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
        elif token.type in ("th_open", "td_open") and not token.attrs:
            token.attrs = {"style": "text-align:start"}  # JupyterLab aligns cells right, for data frames
        elif token.type == "paragraph_open" and _RIGHT_TO_LEFT.search(following.content):
            token.attrs = {"style": "text-align:start"}  # JupyterLab aligns paragraphs left
        if token.level == 0 and token.nesting == 1:
            token.attrSet("dir", "auto")


def _show_links(token: Token, most: int) -> int:
    """Keep links that lead to the web or to an address of mail; of others, and of images, the words.

    Returns:
        How many characters the addresses of links by reference have. Past `most`, only the words are kept:
        one long definition and many short links would make very much of a short text.
    """
    shown: list[Token] = []
    within: list[bool] = []
    spent = 0
    for child in token.children or []:
        if child.type == "link_open":
            href = str(child.attrs.get("href", ""))
            spent += len(href) if "label" in child.meta else 0
            child.attrs, child.hidden = {"href": href}, not _ADDRESS.match(href) or spent > most
            within.append(child.hidden)
        elif child.type == "link_close":
            child.hidden = within.pop()
        if child.type == "image":
            shown += _image_as_link(child, inside=bool(within))
        else:
            shown.append(child)
    token.children = shown
    return spent


def _image_as_link(image: Token, *, inside: bool) -> list[Token]:
    """Images are not fetched: an address in a reply can tell somebody what stands beside it."""
    text = Token("text", "", 0, content=f"🖼 {image.content.strip() or 'image'}")
    href = str(image.attrs.get("src", ""))
    if inside or "label" in image.meta or not _ADDRESS.match(href):
        return [text]
    return [Token("link_open", "a", 1, attrs={"href": href}), text, Token("link_close", "a", -1)]


class _Renderer(RendererHTML):
    """What our own tokens, and code, become; a method a type of token."""

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: _Env) -> str:
        return _code(tokens[idx].content, env, tokens[idx].info)

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: _Env) -> str:
        return _code(tokens[idx].content, env)

    def math_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: _Env) -> str:
        token = tokens[idx]
        if formula := _formula(token):
            return f'<span class="{_MATH}">{formula}</span>'
        return f"<code>{_escape(token.markup + token.content + _CLOSING[token.markup])}</code>"

    def math_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: _Env) -> str:
        token = tokens[idx]
        inner = Token("", "", 0, content=token.content[2:-2].strip(), markup=token.markup)
        if formula := _formula(inner):
            return f'<div class="{_MATH}">{formula}</div>\n'
        return _code(token.content, env)

    def math_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: _Env) -> str:
        return _code(tokens[idx].content, env)


# Code

_LANGUAGE = re.compile(r"[\s{.]*([\w+#-]+)")
_ENDLESS = re.compile(r"[^\n]{2000}|\s{500}")
"""What no one reads in colours, and what some of the lexers take a quadratic time for."""
_NEW_START = re.compile(r"\n[ \t]*\n(?=\w)")


def _code(code: str, env: _Env, info: str = "") -> str:
    word = _LANGUAGE.match(info)
    language = _languages().get(word[1].lower()) if word else None
    body = _coloured(code, language, env) if language and not _ENDLESS.search(code) else _escape(code)
    return f'<div class="highlight"><pre><code>{body}</code></pre></div>\n'


@cache
def _languages() -> dict[str, str]:
    """The names of languages; only pygments' own, since looking for others in the environment takes its time."""
    return {alias.lower(): alias for _, aliases, _, _ in get_all_lexers(plugins=False) for alias in aliases}


def _coloured(code: str, language: str, env: _Env) -> str:
    """The code in colours, as far as there is patience: lexers are not made for code that means them harm."""
    done = []
    for part in _parts(code):
        started = thread_time()
        patient = env.setdefault("patience", _PATIENCE) > 0
        done.append(_spans(part, language) if patient else _escape(part))
        env["patience"] -= thread_time() - started
    return "".join(done)


def _parts(code: str) -> Iterator[str]:
    """Pieces of long code that a lexer may take one by one: up to a line that starts anew, if there is one."""
    while len(code) > _LONGEST_PART:
        end = max((start.end() for start in _NEW_START.finditer(code, 0, _LONGEST_PART)), default=0)
        end = end or code.rfind("\n", 0, _LONGEST_PART) + 1 or _LONGEST_PART
        yield code[:end]
        code = code[end:]
    yield code


@lru_cache(maxsize=100)
def _spans(code: str, language: str) -> str:
    tokens = get_lexer_by_name(language, stripnl=False, ensurenl=False).get_tokens(code)
    spans = []
    for name, group in groupby(tokens, key=lambda token: _class_of(token[0])):
        text = _escape("".join(text for _, text in group))
        spans.append(f'<span class="{name}">{text}</span>' if name else text)
    return "".join(spans)


@cache
def _class_of(kind: Any) -> str:
    while kind not in STANDARD_TYPES:
        kind = kind.parent
    return STANDARD_TYPES[kind] if STANDARD_TYPES[kind] in _CODE_CLASSES else ""


def _escape(text: str) -> str:
    return html.escape(text, quote=False)
