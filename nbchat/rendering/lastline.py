"""The last line of a reply that is still coming: what of it can be shown already.

A line that has only begun may turn out to be something else than it looks: the line below a heading, a list, the
end of a formula. So a line of nothing but marks is not shown before more of it has come; and what begins like a
table is one from its first row on.
"""

from __future__ import annotations

import re

from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

_MARKS = r"[-=*_+#>|:~`$\\!<&(^\[\] \t]*"
_FENCE = r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*(?:`{3,}[^`]*|~{3,}.*)"
_ONLY_MARKS = re.compile(rf"{_MARKS}(?:\d{{1,9}}(?:[.)](?:[ \t]{_MARKS})?)?)?(?:(?<=\[)[xX]\]?[ \t]*)?\Z|{_FENCE}\Z")
_HALF_TITLE = r"""(?:"[^"]*"?|'[^']*'?|\([^()]*\)?)?"""
_HALF_ADDRESS = rf"(?:(?:<[^<>]*>?|[^\s<]\S*)(?:[ \t]+{_HALF_TITLE})?)?"
_HALF_DEFINITION = re.compile(rf"[ \t>]*\[[^][]{{1,40}}(?:\](?::[ \t]*{_HALF_ADDRESS})?)?\Z")
_BARS = re.compile(r"(?<!\\)\|")
_END_OF_CELL = re.compile(r"(?:(?<!\\)\|[ \t]*|\n)\Z")


def without_half_line(text: str) -> str:
    """The text up to the line that has only begun, if what there is of it may be no more than marks."""
    start = text.rfind("\n") + 1
    if _ONLY_MARKS.match(text, start):
        return text[:start]
    if _HALF_DEFINITION.match(text, start) and _may_be_defined(text[:start]):
        return text[:start]
    return text


def _may_be_defined(before: str) -> bool:
    """Whether a definition can stand here: below a blank line, or below another one."""
    line = before[before.rfind("\n", 0, -1) + 1 :]
    return "]:" in line or not line.strip(" \t\n>")


def table_coming(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The first row of a table, the last line so far; a line that begins with a bar is hardly anything else."""
    row = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]].strip()
    if row[:1] != "|" or len(state.src) - state.eMarks[start] > 1 or state.is_code_block(start):
        return False
    columns = len(_BARS.split(row.removesuffix("|"))) - 1
    tokens: list[Token] = []
    alone = StateBlock(f"{row}\n{'|-' * columns}|", state.md, state.env, tokens)
    alone.level = state.level
    found = table(alone, 0, 2, silent)
    if found and not silent:
        for token in tokens:
            token.map = [start, start + 1] if token.map else None
        state.tokens += tokens
        state.line = start + 1
    return found


def last_words(state: StateCore) -> Token | None:
    """The words at the very end of the text, if they may go on."""
    lines = state.src.count("\n") + (not state.src.endswith("\n"))
    for opening, words in zip(state.tokens[-2::-1], state.tokens[:0:-1], strict=True):
        if words.type == "inline" and words.content:
            return words if words.map and words.map[1] >= lines and not _has_ended(opening, state.src) else None
    return None


def _has_ended(opening: Token, text: str) -> bool:
    """Whether a heading or cell is whole: neither goes on in the next line."""
    if opening.type in ("th_open", "td_open"):
        return bool(_END_OF_CELL.search(text))
    return opening.type == "heading_open" and text.endswith("\n")
