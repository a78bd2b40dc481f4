"""A terminal that shows what is written to it, and knows only what nbchat may send: anything else fails the test."""

from __future__ import annotations

import io
import re
from unicodedata import category, east_asian_width

_SENT = re.compile(r"\x1b\[(?:(?P<up>\d+)A|(?P<erase>J)|\?7(?P<wrap>[hl])|(?P<style>[\d;]*)m)|(?P<one>.)", re.DOTALL)


class Screen(io.TextIOBase):
    """A stream that is a terminal.

    Args:
        width: Columns.
        height: Rows; what is above has scrolled away, and cannot be reached any more.
    """

    encoding = "utf-8"

    def __init__(self, width: int = 80, height: int = 24) -> None:
        self.width, self.height = width, height
        self.rows: list[str] = [""]
        self.styles: set[str] = set()
        """All that were asked for."""
        self.sent = ""
        self.wide = ""
        """Characters of one column that this terminal draws on two."""
        self._row = self._column = 0
        self._wraps = True

    @property
    def text(self) -> str:
        """All rows, those that have scrolled away included."""
        return "\n".join(row.rstrip() for row in self.rows).rstrip()

    @property
    def is_as_it_was(self) -> bool:
        """Whether the next line may be written as if nothing had happened: all is below the text, nothing is off."""
        return self._wraps and self._column == 0 and self._row == len(self.rows) - 1

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.sent += text
        for found in _SENT.finditer(text):
            if found["up"]:
                assert int(found["up"]) <= self._row - max(0, len(self.rows) - self.height), (
                    "drew over the screen's top"
                )
                self._row -= int(found["up"])
            elif found["erase"]:
                self.rows[self._row] = self.rows[self._row][: self._column]
                del self.rows[self._row + 1 :]
            elif found["wrap"]:
                self._wraps = found["wrap"] == "h"
            elif found["style"] is not None:
                self.styles.update(found["style"].split(";"))
            else:
                self._put(found["one"])
        return len(text)

    def _put(self, character: str) -> None:
        if character == "\n":  # the line discipline makes a line's whole end of it
            self._row, self._column = self._row + 1, 0
            self.rows += [""] * (self._row == len(self.rows))
        elif character == "\r":
            self._column = 0
        elif character == "\t":
            self._put(" " * (8 - self._column % 8))
        else:
            assert category(character[:1]) not in ("Cc", "Cs"), f"{character!r} got through"
            self._show(character, self._columns(character))

    def _show(self, character: str, columns: int) -> None:
        if self._column + columns > self.width:
            if not self._wraps:
                return
            self._put("\n")
        assert self._column == self._columns(self.rows[self._row]), "wrote over text"
        self.rows[self._row] += character
        self._column += columns

    def _columns(self, text: str) -> int:
        return sum(
            0 if category(one) in ("Mn", "Me", "Cf") else 1 + (one in self.wide or east_asian_width(one) in "WF")
            for one in text
        )
