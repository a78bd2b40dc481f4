"""Markdown to HTML that is yet to be cleaned: markdown-it, and rules of our own for what models write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference, unescapeAll
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from nbchat.rendering.addresses import bare_address, with_links
from nbchat.rendering.code import Env, code, escape
from nbchat.rendering.directions import set_directions
from nbchat.rendering.emphasis import emphasis_marks, strikethrough_marks
from nbchat.rendering.formulas import CLOSING, MATH, formula, math_block, math_inline, one_line, without_marks
from nbchat.rendering.lastline import last_words
from nbchat.rendering.looks import BLOCKS, DISPLAY, NO_CONTENTS, SCROLLED, TABLE, TASK
from nbchat.rendering.opening import complete, push_within
from nbchat.rendering.tables import table_coming, table_whole

_LONGEST_PARAGRAPH = 10_000
_MOST_BRACKETS = 300
"""A paragraph or table cell with more of these is text without markup: nobody wrote it to be read,
and markdown-it can take a time that grows with the square of it."""
_DEEPEST = 50
"""Levels of nested blocks; a list in a list is two."""
_SPARE_ADDRESSES = 20_000
"""Characters of addresses that links by reference may have beyond the length of the text."""
_ADDRESS = re.compile(r"https?://[^/]|mailto:", re.IGNORECASE)


def parse(text: str, env: Env) -> list[Token]:
    """The tokens of a text; `env` holds the definitions, and `open` if the text is still coming."""
    return _markdown(coming="open" in env).parse(text, env)


def to_html(tokens: Sequence[Token], env: Env) -> str:
    """What tokens become."""
    markdown = _markdown()
    rendered: str = markdown.renderer.render(tokens, markdown.options, env)
    return rendered


class _Markdown(MarkdownIt):
    """A parser that takes every address for one."""

    def validateLink(self, url: str) -> bool:
        return True  # `_show_links` decides, and keeps the words of a link that leads nowhere


@cache
def _markdown(*, coming: bool = False) -> MarkdownIt:
    markdown = _Markdown(
        "commonmark", {"html": False, "maxNesting": _DEEPEST, "store_labels": True}, renderer_cls=_Renderer
    )
    markdown.enable(["table", "strikethrough"])
    markdown.core.ruler.at("inline", _parse_inline)
    markdown.core.ruler.before("inline", "tasks", _mark_tasks)
    markdown.core.ruler.push("dress", _dress)
    markdown.core.ruler.push("directions", set_directions)
    markdown.block.ruler.at("table", table_whole, {"alt": ["paragraph", "reference"]})
    markdown.block.ruler.at("reference", _definition)
    markdown.block.ruler.before("fence", "math", math_block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    markdown.inline.ruler.at("emphasis", emphasis_marks)
    markdown.inline.ruler.at("strikethrough", strikethrough_marks)
    markdown.inline.ruler.before("escape", "math", math_inline)
    markdown.inline.ruler.before("escape", "address", bare_address)
    markdown.inline.ruler.before("autolink", "break", _line_break)
    markdown.inline.ruler.before("autolink", "raised", _raised)
    if coming:
        markdown.block.ruler.after("table", "table_coming", table_coming, {"alt": ["paragraph", "reference"]})
        complete(markdown)
    return markdown


def _parse_inline(state: StateCore) -> None:
    last = None
    if "open" in state.env:
        last, state.env["spaced"] = last_words(state), state.src[-1:].isspace()
    for token in state.tokens:
        if token.type == "inline":
            token.children = []
            markdown = state.md if token is last else _markdown()
            if is_unreadable(token.content):
                token.children.append(Token("text", "", 0, content=token.content))
            else:
                markdown.inline.parse(token.content, markdown, state.env, token.children)


def is_unreadable(words: str) -> bool:
    """Whether this is more than anybody reads in one paragraph; that can only become worse."""
    return len(words) > _LONGEST_PARAGRAPH or words.count("[") > _MOST_BRACKETS


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


_RAISED = re.compile(r"<(su[bp])>([^<>\n]{1,100})</\1>")


def _raised(state: StateInline, silent: bool) -> bool:
    """`H<sub>2</sub>O`, `m<sup>2</sup>`: what models write for want of anything in markdown."""
    found = _RAISED.match(state.src, state.pos)
    if not found:
        return False
    if not silent:
        push_within(state, found[1], *found.span(2))
    state.pos = found.end()
    return True


_LINE_BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)


def _line_break(state: StateInline, silent: bool) -> bool:
    """`<br>`: likewise, in the cells of tables."""
    found = _LINE_BREAK.match(state.src, state.pos, state.posMax)
    if not found:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


def _mark_tasks(state: StateCore) -> None:
    for item, paragraph, token in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        if (item.type, paragraph.type) == ("list_item_open", "paragraph_open"):
            box = {"[ ] ": "☐ ", "[x] ": "☑ ", "[X] ": "☑ "}.get(token.content[:4])
            token.content = box + token.content[4:] if box else token.content
            if box and item.markup in "*+-":  # numbers stay
                item.attrSet("style", TASK)


def _dress(state: StateCore) -> None:
    by_reference = _SPARE_ADDRESSES + len(state.src)
    for token in state.tokens:
        if token.type == "inline":
            by_reference -= _show_links(token, by_reference)
        elif token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
        if token.type == "heading_open":
            token.attrSet("class", NO_CONTENTS)
        if token.nesting >= 0 and token.tag in BLOCKS and (token.level == 0 or token.tag not in ("p", "ul", "ol")):
            token.attrSet("style", BLOCKS[token.tag])


def _show_links(token: Token, most: int) -> int:
    """Keep links that lead to the web or to an address of mail, and find more; of others, and of images, the words.

    Returns:
        How many characters the addresses of links by reference have. Past `most`, only the words are kept:
        one long definition and many short links would make very much of a short text.
    """
    shown: list[Token] = []
    within: list[bool] = []
    spent, is_read = 0, not is_unreadable(token.content)
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
        elif child.type == "text" and is_read and not within:
            shown += with_links(child)
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

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Env) -> str:
        meta = tokens[idx].meta
        above, below = "above" in meta, "below" in meta
        return code(tokens[idx].content, env, tokens[idx].info, above=above, below=below)

    code_block = fence

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Env) -> str:
        style = SCROLLED["below" in tokens[idx].meta]
        return f'<div style="{style}"{self.renderAttrs(tokens[idx])}><table style="{TABLE}">\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Env) -> str:
        return "</table></div>\n"

    def math_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Env) -> str:
        token = tokens[idx]
        if found := formula(token):
            return f'<span class="{MATH}"{self.renderAttrs(token)}>{found}</span>'
        return f"<code>{escape(token.markup + token.content + CLOSING[token.markup])}</code>"

    def math_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Env) -> str:
        token = tokens[idx]
        inner = Token("", "", 0, content=without_marks(token), markup=token.markup)
        if found := formula(inner):
            return f'<div class="{MATH}" style="{DISPLAY}">{found}</div>\n'
        return code(token.content, env)

    def math_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Env) -> str:
        tex = one_line(without_marks(tokens[idx]).rstrip("$\\"))
        return f"<p{self.renderAttrs(tokens[idx])}><code>{escape(tex)}</code></p>\n" if tex else ""
