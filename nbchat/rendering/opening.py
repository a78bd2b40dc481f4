"""Markup of which only the beginning has come: what it most likely is going to be.

These rules are for the last words of a reply that is still coming. Each stands beside the rule for the same
markup when it is whole, and takes what that one does not: from an opening mark to the end of the text. So no
mark is seen that will be gone a moment later. What may be half of a mark, at the very end, is not shown yet.
"""

from __future__ import annotations

import re
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.common.entities import entities
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter

from nbchat.rendering.formulas import math_coming

_LONGEST_LABEL = 200
"""Words in brackets with more characters are no link."""
_TAGS = ("<br />", "<br/>", "<br>", "<sub>", "<sup>", "<http://", "<https://", "<mailto:")
_HALF_TAGS = "|".join(sorted({tag[:length] for tag in _TAGS for length in range(1, len(tag))}))
_HALF_MARK = re.compile(
    rf"(?:[*_~]+|`+|\$+(?:[A-Z] ?)?\\?|\$\$ [A-Z]?|\\|!?\[|{_HALF_TAGS}|&#?[A-Z0-9]*)\Z", re.IGNORECASE
)
_HALF_FORMULA = re.compile(r"(?:\$[A-Za-z]|\$\$(?: [A-Za-z])?)\Z")
"""Most likely one, but perhaps the name of a variable: the next character will tell."""
_HALF_NUMBER = re.compile(r"#(?:\d{0,7}|x[0-9a-f]{0,6})", re.IGNORECASE)
_TICKS = re.compile("`+")
_HALF_ADDRESS = re.compile(
    r"""\(\s*(?:(?:<[^<>\n]*>?|[^\s<]\S*)(?:\s+(?:"[^"]*"?|'[^']*'?|\([^()]*\)?)?)?)?\s*\Z|\[[^][]{0,100}\Z|\Z"""
)
"""What follows the words of a link that is not whole."""
_RAISED = re.compile(r"<(su[bp])>([^<>\n]{0,100})(?:</?s?u?[bp]?)?\Z")
_ADDRESS = re.compile(r"<(?:https?://|mailto:|[\w.+-]+@)[^\s<>]*\Z", re.IGNORECASE)


def complete(markdown: MarkdownIt) -> None:
    """Let a parser take the last words of a text for what they are going to be.

    For these, `env` is to say whether they are `spaced`: whether space follows them.
    """
    rules = markdown.inline.ruler
    rules.after("newline", "half_mark", _half_mark)
    rules.after("math", "math_coming", math_coming)
    rules.before("backticks", "code_coming", _code_coming)
    rules.after("link", "link_coming", _link_coming)
    rules.after("image", "image_coming", _image_coming)
    rules.after("autolink", "address_coming", _address_coming)
    rules.before("autolink", "raised_coming", _raised_coming)
    markdown.inline.ruler2.after("balance_pairs", "emphasis_coming", _emphasis_coming)


def _is_last(state: StateInline, silent: bool) -> bool:
    """Whether the text ends with what is being read; not so within a link, nor while one looks ahead."""
    return not silent and state.posMax == len(state.src)


def _half_mark(state: StateInline, silent: bool) -> bool:
    marks = _HALF_FORMULA if state.env["spaced"] else _HALF_MARK
    found = marks.match(state.src, state.pos) if _is_last(state, silent) else None
    if not found or (found[0][0] == "&" and not _is_half_entity(found[0][1:])):
        return False
    state.pos = state.posMax
    return True


def _is_half_entity(name: str) -> bool:
    return bool(_HALF_NUMBER.fullmatch(name)) or name in _half_entities()


@cache
def _half_entities() -> set[str]:
    return {name[:length] for name in entities for length in range(len(name) + 1)}


def _code_coming(state: StateInline, silent: bool) -> bool:
    found = _TICKS.match(state.src, state.pos) if _is_last(state, silent) else None
    if not found or re.search(f"(?<!`){found[0]}(?!`)", state.src[found.end() :]):
        return False
    if code := state.src[found.end() :].rstrip("`").replace("\n", " ").strip():
        state.push("code_inline", "code", 0).content = code
    state.pos = state.posMax
    return True


def _link_coming(state: StateInline, silent: bool) -> bool:
    """A link as its words, since where it leads is not known."""
    if not _is_last(state, silent) or state.src[state.pos] != "[":
        return False
    start, end = state.pos + 1, state.md.helpers.parseLinkLabel(state, state.pos, True)
    if end < 0:
        state.pos += _are_words_of_link(state, start)
        return state.pos == start
    rest = state.src[end + 1 :]
    if not _HALF_ADDRESS.match(rest) or (rest[:1] != "(" and not _may_be_label(state, start, end)):
        return False
    _push_words(state, start, end)
    return True


def _are_words_of_link(state: StateInline, start: int) -> bool:
    words = state.src[start:]
    whole = words.count("]") > words.count("[") or words.count(")") > words.count("(")
    return len(words) <= _LONGEST_LABEL and not whole and _may_be_label(state, start, len(state.src))


def _may_be_label(state: StateInline, start: int, end: int) -> bool:
    """Not so for the index of a list, a footnote, a box to tick."""
    before, label = state.src[max(start - 2, 0) : start - 1], state.src[start:end]
    return not _is_word(before) and label[:1] != "^" and label.strip() not in ("", "x", "X")


def _is_word(before: str) -> bool:
    """Whether the text ends with a word, or as a word may in a formula or a program."""
    return before[-1:] in (")", "]") or (before[-1:].isascii() and before[-1:].isalnum())


def _push_words(state: StateInline, start: int, end: int) -> None:
    most = state.posMax
    state.pos, state.posMax = start, end
    state.push("link_open", "a", 1).attrs = {"href": ""}
    state.linkLevel += 1
    state.md.inline.tokenize(state)
    state.linkLevel -= 1
    state.push("link_close", "a", -1)
    state.pos = state.posMax = most


def _image_coming(state: StateInline, silent: bool) -> bool:
    if not _is_last(state, silent) or not state.src.startswith("![", state.pos):
        return False
    start, end = state.pos + 2, state.md.helpers.parseLinkLabel(state, state.pos + 1, False)
    if end >= 0 and not _HALF_ADDRESS.match(state.src[end + 1 :]):
        return False
    token = state.push("image", "img", 0)
    token.content = state.src[start : end if end >= 0 else None]
    token.children = []
    state.pos = state.posMax
    return True


def _address_coming(state: StateInline, silent: bool) -> bool:
    """`<https://…`: without its bracket it is an address that stands in the text."""
    if not _is_last(state, silent) or not _ADDRESS.match(state.src, state.pos):
        return False
    state.pos += 1
    return True


def _raised_coming(state: StateInline, silent: bool) -> bool:
    found = _RAISED.match(state.src, state.pos) if _is_last(state, silent) else None
    if found:
        push_within(state, found[1], *found.span(2))
        state.pos = state.posMax
    return bool(found)


def push_within(state: StateInline, tag: str, start: int, end: int) -> None:
    """Add what stands between two places, within an element."""
    most = state.posMax
    state.pos, state.posMax = start, end
    state.push(f"{tag}_open", tag, 1)
    state.md.inline.tokenize(state)
    state.push(f"{tag}_close", tag, -1)
    state.posMax = most


def _emphasis_coming(state: StateInline) -> None:
    """Close what is open, from the innermost; a mark within other emphasis, or within a word, is none."""
    within, opening = -1, []
    for index, mark in enumerate(state.delimiters):
        if index > within and mark.end >= 0:
            within = mark.end
        elif index > within and mark.open and not _is_within_word(state, index):
            opening.append(index)
    for index in reversed(opening):
        mark = state.delimiters[index]
        state.push("text", "", 0).content = state.tokens[mark.token].content
        mark.end = len(state.delimiters)
        state.delimiters.append(Delimiter(mark.marker, 0, len(state.tokens) - 1, -1, open=False, close=True))


def _is_within_word(state: StateInline, index: int) -> bool:
    """Whether a word goes on after the marks: `2*3`, `x**2`; where words are not set apart, that says nothing."""
    mark = state.delimiters[index]
    while index and state.delimiters[index - 1].token == state.delimiters[index].token - 1:
        index -= 1
    first = state.delimiters[index].token
    before = state.tokens[first - 1].content if first else ""
    return chr(mark.marker) != "~" and _is_word(before)
