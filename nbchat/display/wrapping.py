"""How wide text is on a terminal, and where its lines are broken.

Terminals do not agree on emoji: one that is made of several characters is drawn as one, or as all of them. Here a
text counts as wide as any terminal may draw it, so that no line gets too long.

rich has functions for this, but those of 13.0 lose characters of words that are longer than a line, and those of
15.0 raise an IndexError where a line begins with a joiner.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from functools import lru_cache
from itertools import accumulate
from unicodedata import category, east_asian_width

from rich.segment import Segment
from rich.text import Text

Line = list[Segment]

_EMOJI = "\ufe0f"
"""Makes an emoji of the character before it."""
_CHARACTER = re.compile(f".{_EMOJI}?")
_SPACELESS = "\u2e80-\u2fff\u3041-\ua4cf\uac00-\ud7af\uf900-\ufaff"
_NEVER_FIRST = "\u3001-\u3003\u3009\u300b\u300d\u300f\u3011\u3015\u30fc\uff01\uff09\uff0c\uff0e\uff1a\uff1b\uff1f"
_PIECE = re.compile(rf"\n| +|[{_SPACELESS}][{_NEVER_FIRST}]*|[^ \n{_SPACELESS}]+")
"""The end of a line, space, a word; of scripts without spaces a character, and the punctuation that belongs to it."""


def columns(text: str) -> int:
    """How many columns a text takes at most."""
    return len(text) if text.isascii() else sum(map(_columns, text))


@lru_cache(maxsize=10_000)
def _columns(character: str) -> int:
    kind = category(character)
    if kind in ("Mn", "Me", "Cf"):
        return int(character == _EMOJI)
    return 2 if kind == "Cn" or east_asian_width(character) in "WF" else 1


def wrapped(text: Text, width: int) -> list[Text]:
    """The lines of a text, without the space that they are broken at."""
    lines = list(text.divide(_starts(text.plain, width)))
    for line in lines:
        line.rstrip()
    return lines


def _starts(text: str, width: int) -> Iterator[int]:
    """Where all lines but the first start."""
    used = 0
    for piece in _PIECE.finditer(text):
        needed = columns(piece[0])
        if piece[0] == "\n":
            yield piece.end()
            used = 0
        elif piece[0][0] == " ":
            used += needed
        else:
            if used and used + needed > width:
                yield piece.start()
                used = 0
            used = yield from _starts_within(piece, used, width)


def _starts_within(word: re.Match[str], used: int, width: int) -> Generator[int, None, int]:
    """Where lines start in a word that is longer than one; gives the columns that it takes of the last."""
    for character in _CHARACTER.finditer(word[0]):
        needed = columns(character[0])
        if needed and used and used + needed > width:
            yield word.start() + character.start()
            used = 0
        used += needed
    return used


def beginning(line: Line, width: int) -> Line:
    """As much of a line as there is room for."""
    kept: Line = []
    for segment in line:
        needed = columns(segment.text)
        if needed > width:
            fitting = sum(used <= width for used in accumulate(map(columns, segment.text)))
            return [*kept, Segment(segment.text[:fitting], segment.style)]
        kept.append(segment)
        width -= needed
    return kept
