"""Emphasis in scripts that set no space between words.

Markdown knows the beginning and the end of emphasis by the space and the punctuation around its marks, so that
in `**注意：**请` nothing would be bold: no emphasis ends after punctuation and before a letter. Beside a character
of these scripts a mark may open and close wherever there is no space. (Korean is one of them: its words are set
apart, but end with particles that stand right after the marks.)
"""

from __future__ import annotations

import re

from markdown_it.rules_inline import StateInline, emphasis, strikethrough

_SPACELESS = re.compile(
    "[\u1100-\u11ff\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]"
)


def emphasis_marks(state: StateInline, silent: bool) -> bool:
    """`*`, and `_` as it is: that stands within names."""
    start, count = state.pos, len(state.delimiters)
    found = emphasis.tokenize(state, silent)
    if found and state.src[start] == "*":
        _allow_beside_spaceless(state, start, count)
    return found


def strikethrough_marks(state: StateInline, silent: bool) -> bool:
    """`~~`."""
    start, count = state.pos, len(state.delimiters)
    found = strikethrough.tokenize(state, silent)
    if found:
        _allow_beside_spaceless(state, start, count)
    return found


def _allow_beside_spaceless(state: StateInline, start: int, count: int) -> None:
    """Let the marks that were found there, all but so many, open and close."""
    before = state.src[start - 1] if start else " "
    after = state.src[state.pos] if state.pos < state.posMax else " "
    if _SPACELESS.match(before) or _SPACELESS.match(after):
        for mark in state.delimiters[count:]:
            mark.open, mark.close = not after.isspace(), not before.isspace()
