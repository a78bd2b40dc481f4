"""The safe HTML of a reply, set in lines for a terminal.

What is a block, where a link leads, which words of a program are of one kind: all that `rendering` has found out.
Here it gets the lines and marks that a terminal has. Addresses are shown as text, since nobody could see where a
terminal's own links lead; formulas stay TeX. Lines of code are not broken, so that a terminal, which breaks what
it shows but not what it copies, gives them back whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import Literal
from xml.etree.ElementTree import Element

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from nbchat.display.words import CODE, DIM, code, dim, parts, tree, words
from nbchat.display.wrapping import Line, beginning, columns, wrapped

Side = Literal["left", "center", "right"]

_NARROWEST = 16
"""Columns for the words of a block, however deep it stands in others."""
_NARROWEST_COLUMN = 4
"""Of a table; one that still has no room is broken by the terminal."""
_BETWEEN = "  "


class Typesetter:
    """Sets lines for one console, at the width that it has."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._widths: list[int] = []
        """Of the columns of the last table."""

    def lines(self, html: str) -> list[Line]:
        """Each block with an empty line after it, unless it goes on in the next piece."""
        lines: list[Line] = []
        for page in tree(html):
            for block in page:
                lines += map(_trimmed, self._block(block, self._console.width))
                if _has_margin(block):
                    lines.append([])
        return lines

    def aside(self, text: str, rows: int = 0) -> list[Line]:
        """Words that stand back, as they are; cut to so many rows, if any are named."""
        width = self._console.width
        lines = self._words(dim(text[: rows * width or None]), width)
        if rows and (len(lines) > rows or rows * width < len(text)):
            lines[rows - 1 :] = [[*beginning(lines[:rows][-1], width - 2), Segment(" …", DIM)]]
        return lines

    def _block(self, block: Element, width: int) -> list[Line]:
        if block.tag in ("ul", "ol"):
            return self._list(block, width)
        if block.tag == "blockquote":
            return _prefixed(self._stack(block, _within(width, 2)), "│ ", "│ ")
        if block.tag == "hr":
            return [[Segment("─" * width, DIM)]]
        if block.tag == "pre":
            return self._code(block, Style())
        if (table := block.find("table")) is not None:
            return self._table(table, width)
        if (pre := block.find("pre")) is not None:
            return self._label(block) + self._code(pre, Style() if pre.find("code/*") is not None else CODE)
        if block.tag == "div":
            return _prefixed(self._words(words(block), _within(width, 2)), "  ", "  ")
        return self._words(words(block), width)

    def _words(self, text: Text, width: int) -> list[Line]:
        return [self._line(line) for line in wrapped(text, width)]

    def _line(self, text: Text) -> Line:
        return list(text.render(self._console))

    def _stack(self, element: Element, width: int) -> list[Line]:
        """What stands in an item or a quotation, one below the other."""
        found = list(parts(element))
        is_tight = any(isinstance(part, Text) for part in found)
        blocks = [self._words(part, width) if isinstance(part, Text) else self._block(part, width) for part in found]
        return _joined(blocks, tight=is_tight) or [[]]

    def _list(self, block: Element, width: int) -> list[Line]:
        items = []
        for number, item in enumerate(block, int(block.get("start", 1))):
            mark = f"{number}. " if block.tag == "ol" else "" if item.get("style") else "• "
            items.append(_prefixed(self._stack(item, _within(width, len(mark))), mark, " " * len(mark)))
        return _joined(items, tight=block.find("li/p") is None)

    def _label(self, block: Element) -> list[Line]:
        """The language of code."""
        return [self._line(dim("".join(child.itertext()))) for child in block if child.tag != "pre"]

    def _code(self, pre: Element, style: Style) -> list[Line]:
        return [self._line(line) for line in code(pre, style).split("\n", allow_blank=True)]

    def _table(self, table: Element, width: int) -> list[Line]:
        rows = [[words(cell) for cell in row] for row in table.iter("tr")]
        sides = [_side(cell) for cell in next(table.iter("tr"))]
        has_head = table.find("thead") is not None
        if has_head or len(self._widths) != len(sides):  # else it goes on from the piece above
            self._widths = _widths(rows, width)
        lines: list[Line] = []
        for row in rows:
            lines += self._row(row, sides)
            if row is rows[0] and has_head:
                lines.append([Segment(_BETWEEN.join("─" * width for width in self._widths), DIM)])
        return lines if lines[-1] else lines[:-1]

    def _row(self, row: list[Text], sides: list[Side]) -> list[Line]:
        cells = [self._words(text, width) for text, width in zip(row, self._widths, strict=True)]
        lines: list[Line] = []
        for pieces in zip_longest(*cells, fillvalue=[]):
            lines.append([])
            for piece, width, side in zip(pieces, self._widths, sides, strict=True):
                lines[-1] += [*_aligned(piece, width, side), Segment(_BETWEEN)]
        return lines if len(lines) == 1 else [*lines, []]


def _has_margin(block: Element) -> bool:
    """Whether there is space below it."""
    margins = block.get("style", "").partition(";")[0].removeprefix("margin:").split()
    return margins[2:3] != ["0"] if len(margins) > 2 else margins[:1] != ["0"]


def _widths(rows: list[list[Text]], width: int) -> list[int]:
    """How wide columns are: as their words need it, and the wide ones cut down until all have room."""
    needed = [
        max(columns(line) for text in column for line in text.plain.split("\n")) for column in zip(*rows, strict=True)
    ]
    room = width - len(_BETWEEN) * (len(needed) - 1)
    most = max(width, _NARROWEST_COLUMN)
    while most > _NARROWEST_COLUMN and sum(min(each, most) for each in needed) > room:
        most -= 1
    return [min(max(each, 1), most) for each in needed]


def _aligned(line: Line, width: int, side: Side) -> Line:
    room = max(0, width - sum(columns(segment.text) for segment in line))
    before = {"left": 0, "center": room // 2, "right": room}[side]
    return [Segment(" " * before), *line, Segment(" " * (room - before))]


def _side(cell: Element) -> Side:
    style = cell.get("style", "")
    return "right" if style.endswith("right") else "center" if style.endswith("center") else "left"


def _within(width: int, margin: int) -> int:
    return max(width - margin, _NARROWEST)


def _prefixed(lines: list[Line], first: str, others: str) -> list[Line]:
    return [[Segment(others if at else first, DIM), *line] for at, line in enumerate(lines)]


def _trimmed(line: Line) -> Line:
    """The line without white space at its end, which would be copied with it."""
    while line and not line[-1].text.strip():
        line = line[:-1]
    return [*line[:-1], Segment(line[-1].text.rstrip(), line[-1].style)] if line else []


def _joined(groups: Iterable[list[Line]], *, tight: bool) -> list[Line]:
    lines: list[Line] = []
    for group in groups:
        lines += [[]] * bool(lines and not tight) + group
    return lines
