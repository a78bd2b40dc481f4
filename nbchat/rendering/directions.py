"""Which blocks are written from right to left.

A browser finds the direction of a block by its first letter (`dir="auto"`), and may do so where no letter is of
a right-to-left script. Where there are some, it is found here: by the words alone, not by code or formulas among
them, and of a whole list or table, so that its parts stand in line. The alignment is said with it: JupyterLab
aligns all paragraphs left, and all cells right, for data frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from markdown_it.rules_core import StateCore
from markdown_it.token import Token

_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff]")
_LETTER = re.compile(r"[^\W\d_]")


def set_directions(state: StateCore) -> None:
    """Give each block its direction, and its paragraphs and cells an alignment."""
    for block in _blocks(state.tokens):
        if block[0].nesting == 1:
            texts = [(opening, inline) for opening, inline in pairwise(block) if inline.type == "inline"]
            _direct(block[0], texts)


def _blocks(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The blocks at the top of the text, and at the top of quotations there."""
    quotations, block = 0, list[Token]()
    for token in tokens:
        if not block and token.type in ("blockquote_open", "blockquote_close"):
            quotations += token.nesting
            continue
        block.append(token)
        if token.level == quotations and token.nesting <= 0:
            yield block
            block = []


def _direct(block: Token, texts: Sequence[tuple[Token, Token]]) -> None:
    mixed = any(_RIGHT_TO_LEFT.search(inline.content) for _, inline in texts)
    directions = [_direction(inline) if mixed else "" for _, inline in texts]
    whole = next(filter(None, directions), "auto")
    for (opening, inline), own in zip(texts, directions, strict=True):
        if own and own != whole:
            opening.attrSet("dir", own)
        if mixed:
            _isolate(inline)
        _align(opening, whole)
    block.attrSet("dir", whole)


def _direction(inline: Token) -> str:
    for child in inline.children or []:
        if child.type == "text" and (letter := _LETTER.search(child.content)):
            return "rtl" if _RIGHT_TO_LEFT.match(letter[0]) else "ltr"
    return ""


def _isolate(inline: Token) -> None:
    for child in inline.children or []:
        if child.type in ("code_inline", "math_inline"):
            child.attrSet("dir", "ltr")


def _align(opening: Token, whole: str) -> None:
    if opening.type in ("th_open", "td_open") and "style" not in opening.attrs:
        opening.attrSet("style", f"text-align:{'right' if whole == 'rtl' else 'left'}")
    elif opening.type == "paragraph_open" and whole == "rtl":
        margin = opening.attrs.get("style")
        opening.attrSet("style", f"{margin};text-align:right" if margin else "text-align:right")
