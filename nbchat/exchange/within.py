"""Markdown as a part of a larger document: whatever a reply holds, it ends where the reply does.

A reply's headings stand below the document's own, a fence that it leaves open is closed, and its raw HTML is text, as
it is in a cell. Images become links, so that opening the file fetches nothing. The names of its references get the
number of the turn, since `[1]` means something else in each. Formulas are written as GitHub knows them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from nbchat.rendering import LIMIT
from nbchat.rendering.code import Env
from nbchat.rendering.markdown import parse
from nbchat.rendering.pages import tidy

if TYPE_CHECKING:
    from markdown_it.token import Token

_DEEPER = 2
"""By how many levels headings go down: the document has a title, and a heading for each turn."""

_HEADING = re.compile(r"^([^#]*)(#{1,6})(?=[ \t]|$)")
_BACKTICKS = re.compile("`{3,}")
_NOTE = re.compile(r"^ {0,3}\[\^([^\]\s]+)\]:", re.MULTILINE)
_LINE_OF_FORMULA = re.compile(r"^\s*(?:\$\$|\\\[)|(?:\$\$|\\\])\s*$")
_LINE_THAT_BEGINS_A_TAG = re.compile(r"\n(?=[\s>]*<)")
"""Within a piece of code as well, it would begin a block of HTML; a space means the same there."""
_MARKS = re.compile(r"(https?://[^\s<>()\[\]*`~|\\]+)|(?<![^\W_])_|_(?![^\W_])|[\\`*\[\]<>&~$|]")
_FIRST_MARK = re.compile(r"^(\d*)([#+=.)-])", re.MULTILINE)
_INLINE = re.compile(
    r"""(?P<code>(?<!`)(?P<ticks>`+)(?!`)[\s\S]*?(?<!`)(?P=ticks)(?!`))
    | \\\((?P<formula>[^`\n]{1,1000}?)\\\)
    | \$(?P<dollars>(?=[^$`\n]*<)[^\s$`](?:[^$`\n]{0,1000}?[^\s$`\\])?)\$(?!\d)
    | (?P<kept>\\. | <(?:https?://|mailto:)[^<>\s]*> | <br[ ]*/?> | <(?P<raised>su[bp])>[^<>\n]{1,100}</(?P=raised)>)
    | (?P<tag><(?=[a-zA-Z/!?]))
    | (?P<image>!\[\]?)
    | (?P<behind>(?<=\])\[(?P<target>[^][<`\\]+)\])
    | \[(?P<label>[^][<`\\]+)\](?:\[\])?(?![(\[])
    """,
    re.VERBOSE,
)


def within(text: str, turn: str) -> str:
    """The text, so that it can stand in a document between blank lines.

    Args:
        text: Markdown that somebody else wrote.
        turn: What its references are told from others' by.
    """
    text = tidy(text).strip("\n")
    if len(text) > LIMIT:
        return fenced(text)
    env: Env = {}
    tokens = parse(text, env)
    rows: list[str | None] = list(text.split("\n"))
    code: set[int] = set()
    for token in tokens:
        if token.map and token.type in ("fence", "code_block"):
            code.update(range(*token.map))
            if token.type == "fence":
                _close(token, rows)
        elif token.map and token.type == "math_block" and token.level == 0:
            code.update(range(*token.map))
            _as_fence(token, rows)
        elif token.map and token.type == "heading_open":
            _lower(token, rows)
    blocks = [(token.map[0], token.map[1]) for token in tokens if token.type == "inline" and token.map]
    _guard(rows, blocks, code, _References(turn, {*env.get("references", ())}, text).inline)
    return "\n".join(row for row in rows if row is not None)


def fenced(text: str, info: str = "") -> str:
    """The text as it is, in a block of code that nothing in it can end."""
    fence = max(["```", *(f"{run}`" for run in _BACKTICKS.findall(text))], key=len)
    return f"{fence}{info}\n{text}\n{fence}"


def literal(text: str) -> str:
    """Text that markdown leaves as it is; addresses stay, and become links."""
    escaped = _MARKS.sub(lambda mark: mark[1] or f"\\{mark[0]}", text)
    return _FIRST_MARK.sub(r"\1\\\2", escaped)


def _close(token: Token, rows: list[str | None]) -> None:
    """End a fence that the text leaves open; one within a list or a quotation ends there."""
    assert token.map is not None
    first, end = token.map
    mark = re.escape(token.markup)
    closed = end - 1 > first and re.fullmatch(rf" {{0,3}}{mark}{mark[-1]}*[ \t]*", rows[end - 1] or "")
    if token.level == 0 and not closed:
        rows[end - 1] = f"{rows[end - 1]}\n{token.markup}"


def _as_fence(token: Token, rows: list[str | None]) -> None:
    assert token.map is not None
    first, end = token.map
    lines = "\n".join(row for row in rows[first:end] if row is not None)
    rows[first:end] = [fenced(_LINE_OF_FORMULA.sub("", lines).strip("\n"), "math"), *[None] * (end - first - 1)]


def _lower(token: Token, rows: list[str | None]) -> None:
    assert token.map is not None
    first, end = token.map
    if token.markup[0] == "#":
        rows[first] = _HEADING.sub(lambda found: found[1] + "#" * min(6, len(found[2]) + _DEEPER), rows[first] or "")
    elif token.level == 0:  # underlined; in a list or a quotation it is left, as its lines have marks before them
        words = " ".join((row or "").strip() for row in rows[first : end - 1])
        level = {"=": 1, "-": 2}[token.markup] + _DEEPER
        rows[first:end] = [f"{'#' * level} {words}", *[None] * (end - first - 1)]


def _guard(
    rows: list[str | None], blocks: list[tuple[int, int]], code: set[int], inline: Callable[[re.Match[str]], str]
) -> None:
    """Make harmless what is not code: block by block, as a piece of code in a line may go on in the next."""
    done = set(code)
    for start, end in [*blocks, *((number, number + 1) for number in range(len(rows)))]:
        lines = {number: row for number in range(start, end) if number not in done and (row := rows[number])}
        done.update(lines)
        for number in lines:
            rows[number] = None
        if lines:
            rows[min(lines)] = _INLINE.sub(inline, "\n".join(lines.values()))


class _References:
    """Gives the references of one text names of their own."""

    def __init__(self, turn: str, known: set[str], text: str) -> None:
        self._turn = turn
        self._known = known
        self._notes = set(_NOTE.findall(text))

    def inline(self, found: re.Match[str]) -> str:
        """What takes the place of a piece of markdown that means something beyond itself."""
        if found["code"]:
            return _LINE_THAT_BEGINS_A_TAG.sub(" ", found[0])
        if formula := found["formula"] or found["dollars"]:
            return f"$`{formula.strip()}`$"
        if found["tag"]:
            return r"\<"
        if image := found["image"]:
            return "🖼 [" if image.endswith("[") else "🖼 [image]"
        if target := found["target"]:
            return f"[{self._name(target)}]"
        if label := found["label"]:
            return self._labelled(found, label)
        return found[0]

    def _labelled(self, found: re.Match[str], label: str) -> str:
        name = self._name(label)
        is_definition = found.string[found.end() : found.end() + 1] == ":"
        if name == label or is_definition or label.startswith("^"):
            return found[0].replace(f"[{label}]", f"[{name}]", 1)
        return f"[{label}][{name}]"

    def _name(self, label: str) -> str:
        if label[0] == "^" and label[1:] in self._notes:
            return f"^{self._turn}-{label[1:]}"
        is_known = " ".join(label.split()).lower().upper() in self._known
        return f"{self._turn}-{label}" if is_known else label
