"""The last line of a reply that is still coming: what of it can be shown already.

A line that has only begun may turn out to be something else than it looks: the line below a heading, a list, the
end of a formula. So a line of nothing but marks is not shown before more of it has come.
"""

from __future__ import annotations

import re

from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from nbchat.rendering.tables import ends_with_cell

_MARKS = r"[-=*_+#>|:~`$\\!<&(^\[\] \t]*"
_FENCE = r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*(?:`{3,}[^`]*|~{3,}.*)"
_ONLY_MARKS = re.compile(rf"{_MARKS}(?:\d{{1,9}}(?:[.)](?:[ \t]{_MARKS})?)?)?(?:(?<=\[)[xX]\]?[ \t]*)?\Z|{_FENCE}\Z")
_HALF_TITLE = r"""(?:"[^"]*"?|'[^']*'?|\([^()]*\)?)?"""
_HALF_ADDRESS = rf"(?:(?:<[^<>]*>?|[^\s<]\S*)(?:[ \t]+{_HALF_TITLE})?)?"
_HALF_DEFINITION = re.compile(rf"[ \t>]*\[[^][]{{1,40}}(?:\](?::[ \t]*{_HALF_ADDRESS})?)?\Z")


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
        return ends_with_cell(text)
    return opening.type == "heading_open" and text.endswith("\n")
