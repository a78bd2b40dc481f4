"""Where a reply that is still coming can be cut: between blocks, and within one that has become long.

What stands before a cut is what no text that follows can change. Where a cut goes through a block, a `Lead` says
what is to be known of the part above for the part below to go on with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from markdown_it.token import Token

from nbchat.rendering.looks import BLOCKS, GOES_ON
from nbchat.rendering.markdown import is_unreadable

LONG, _LONG_CODE = 1_500, 1_000
"""A block that is still coming, and has more characters than these, is cut where it can be."""
_SPANNING = re.compile(r"\"\"\"|'''|/\*|\*/")
"""Marks of strings and comments that may have several lines: where one is open, colours would go wrong."""
_HIGHEST_NUMBER = 999_999_999
"""What markdown takes for the number of an item."""


class Lead(NamedTuple):
    """How a block goes on below a cut."""

    kind: str = ""
    """The type of the block's first token; empty if the cut is between blocks."""
    text: str = ""
    """What makes the parser take the text below for more of the same block."""
    number: int = 1
    """Of the first item of a list."""
    is_loose: bool = False
    """Whether the items of a list are paragraphs."""


class Cut(NamedTuple):
    """A place in a text, and how the block goes on that it goes through."""

    end: int
    lead: Lead


class Part(NamedTuple):
    """What came after the last cut: `text` begins with what `lead` has."""

    tokens: list[Token]
    text: str
    lead: Lead

    @property
    def lines(self) -> list[str]:
        """The lines of the text; the last has only begun."""
        return self.text.split("\n")

    def cut(self, line: int, lead: Lead) -> Cut | None:
        """A cut above that line, unless it is one above all that is new."""
        end = sum(len(text) + 1 for text in self.lines[:line])
        return Cut(end, lead) if end > len(self.lead.text) else None


def find_cut(part: Part) -> Cut | None:
    """The last place that is certain, if there is one."""
    if start := _start_of_last_block(part, level=0):
        return part.cut(start, Lead())
    opening = part.tokens[0] if part.tokens else None
    if not opening or not opening.map or opening.map[1] < len(part.lines) - 1 or opening.type not in _SPLITS:
        return None
    is_long = len(part.text) - len(part.lead.text) > (_LONG_CODE if opening.type == "fence" else LONG)
    return _SPLITS[opening.type](part) if is_long else None


def go_on(tokens: list[Token], lead: Lead) -> list[Token]:
    """Make the tokens of what follows a cut parts of the block that it goes through."""
    if lead.kind == "paragraph_open":
        return _without_first_word(tokens, lead.text)
    if not tokens or tokens[0].type != lead.kind:
        return tokens
    tokens[0].meta["above"] = True
    if lead.kind == "table_open":
        return _without_head(tokens)
    if lead.kind == "ordered_list_open":
        tokens[0].attrs["start"] = min(lead.number, _HIGHEST_NUMBER)
    if lead.is_loose:
        _loosen(tokens)
    return tokens


def will_go_on(tokens: list[Token], lead: Lead) -> None:
    """Make the tokens of what is above a cut parts of the block that it goes through."""
    if not tokens or tokens[0].type != lead.kind:
        return
    tokens[0].meta["below"] = True
    if tokens[0].tag in GOES_ON:
        style = str(tokens[0].attrs["style"]).replace(BLOCKS[tokens[0].tag], GOES_ON[tokens[0].tag])
        tokens[0].attrSet("style", style)
    if lead.kind == "paragraph_open":
        _make_plain(tokens[1], tokens[1].content)
    if lead.is_loose:
        _loosen(tokens)


def _start_of_last_block(part: Part, level: int) -> int:
    """The first line of the last block at that level, if the line is whole, and the block surely starts there.

    It does after a blank line, or by a mark that ends any block before it. (What starts otherwise may yet turn
    out to be a part of the block before: the first row of a table, the title of a definition.)
    """
    lines, blank = part.lines, " \t>" if level else " \t"
    for token in reversed(part.tokens):
        if token.level == level and token.nesting >= 0 and token.map:
            start = token.map[0]
            if 0 < start < len(lines) - 1 and (_ends_any_block(token) or not lines[start - 1].strip(blank)):
                return start
    return 0


def _ends_any_block(token: Token) -> bool:
    if token.type == "heading_open":
        return token.markup.startswith("#")
    return token.type in {"fence", "hr", "blockquote_open", "bullet_list_open", "ordered_list_open"}


def _split_fence(part: Part) -> Cut | None:
    """Before a line that starts anew after a blank one, else anywhere; one whole line at least remains."""
    fence, lines = part.tokens[0], part.lines
    start = _first_line(fence)
    ends = range(start + fence.content.count("\n"), start + 1, -1)
    if not ends or len(lines[start]) > LONG:
        return None
    fresh = (line for line in ends if not lines[line - 1].strip() and re.match(r"\w", lines[line]))
    may_be_torn = len(_SPANNING.findall("\n".join(lines[start + 1 : ends[0]]))) % 2 and len(part.text) < 2 * LONG
    end = next(fresh, 0 if may_be_torn else ends[0])
    head = lines[start].replace("|", " ")  # with a bar, and a row of dashes below, it would be a table
    return part.cut(end, Lead(fence.type, f"{head}\n")) if end else None


def _split_indented_code(part: Part) -> Cut | None:
    lines, start = part.lines, _first_line(part.tokens[0])
    ends = (line for line in range(len(lines) - 2, start, -1) if lines[line].strip() and lines[line - 1].strip())
    end = next(ends, 0)
    return part.cut(end, Lead(part.tokens[0].type)) if end else None


def _split_list(part: Part) -> Cut | None:
    """Before the last item whose first line is whole."""
    opening, last = part.tokens[0], len(part.lines) - 1
    starts = [_first_line(token) for token in part.tokens if token.type == "list_item_open" and token.level == 1]
    whole = [start for start in starts if start < last]
    if len(whole) < 2:
        return None
    goes_on = part.lead.kind == opening.type
    first = part.lead.number if goes_on else int(opening.attrs.get("start", 1))
    shown = (token.type == "paragraph_open" and token.level == 2 and not token.hidden for token in part.tokens)
    is_loose = (goes_on and part.lead.is_loose) or any(shown)
    return part.cut(whole[-1], Lead(opening.type, "", first + len(whole) - 1, is_loose))


def _split_table(part: Part) -> Cut | None:
    """Below an even number of rows, for their stripes; one whole row at least remains.

    No row above may lack a cell: only so many can be made up in one table, and the part below could not know.
    """
    opening, lines = part.tokens[0], part.lines
    start = _first_line(opening)
    head = "\n".join(lines[start : start + 2]) + "\n"
    columns, end = lines[start].count("|"), start + 2
    while end < len(lines) - 2 and lines[end].count("|") >= columns:
        end += 1
    end -= (end - start) % 2
    return part.cut(end, Lead(opening.type, head)) if end > start + 2 and len(head) < LONG else None


def _split_quotation(part: Part) -> Cut | None:
    start = _start_of_last_block(part, level=1)
    is_quotation = start > _first_line(part.tokens[0]) and re.match(" {0,3}>", part.lines[start])
    return part.cut(start, Lead("blockquote_open")) if is_quotation else None


def _split_paragraph(part: Part) -> Cut | None:
    """Anywhere, if the paragraph has no markup since it is too long, best at the end of a line or word."""
    is_plain = part.lead.kind == "paragraph_open" or is_unreadable(part.tokens[1].content)
    if not is_plain or _first_line(part.tokens[0]):
        return None
    half = len(part.text) // 2
    if line := part.text.rfind("\n", half, -1) + 1:
        return Cut(line, Lead("paragraph_open", "x\n"))
    return Cut(part.text.rfind(" ", half, -1) + 1 or len(part.text) - 1, Lead("paragraph_open", "x"))


_SPLITS: dict[str, Callable[[Part], Cut | None]] = {
    "fence": _split_fence,
    "code_block": _split_indented_code,
    "bullet_list_open": _split_list,
    "ordered_list_open": _split_list,
    "table_open": _split_table,
    "blockquote_open": _split_quotation,
    "paragraph_open": _split_paragraph,
}


def _first_line(token: Token) -> int:
    return token.map[0] if token.map else 0


def _without_head(tokens: list[Token]) -> list[Token]:
    end = next(index for index, token in enumerate(tokens) if token.type == "thead_close") + 1
    is_empty = tokens[end].type == "table_close"
    return tokens[end + 1 :] if is_empty else [tokens[0], *tokens[end:]]


def _without_first_word(tokens: list[Token], word: str) -> list[Token]:
    if len(tokens) < 2 or tokens[1].type != "inline":
        return tokens  # something else began on the line that was cut
    content = tokens[1].content[len(word) :]
    _make_plain(tokens[1], content)
    return tokens if content else tokens[3:]


def _make_plain(words: Token, content: str) -> None:
    words.content = content
    words.children = [Token("text", "", 0, content=content)]


def _loosen(tokens: Sequence[Token]) -> None:
    """Show the paragraphs of the items of the first list."""
    for token in tokens:
        if token.level == 2 and token.type in ("paragraph_open", "paragraph_close"):
            token.hidden = False
        if token.level == 0 and token.nesting < 0:
            return
