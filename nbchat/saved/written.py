"""The prompt that stands in the source of a cell: below its `%%chat` line, or behind the `%chat` of its one line."""

from __future__ import annotations

import re
from functools import lru_cache

_MAGIC = re.compile(r"(%%?)(?:chat|nbchat)(?!\S)(.*)")


def prompt_in(source: str, length: int) -> str | None:
    """The prompt that a cell was sent with, byte for byte; None where the source cannot be what it was then.

    Args:
        source: The cell's source.
        length: Of the prompt, in characters: it tells where options end, and whether the source was edited.
    """
    kind, text = _asked(source)
    if kind and len(text) == length:
        return text
    if kind == "%%":
        plain = _with_plain_ends(text)
        return plain if len(plain) == length else None
    start = len(text) - length
    return text[start:] if start > 0 and text.startswith("-") and text[start - 1].isspace() else None


@lru_cache(maxsize=1)  # a cell may have sent many prompts
def guessed_prompt(source: str) -> str:
    """What comes nearest to the prompt of a cell of which only the source is known; empty if that is blank."""
    kind, text = _asked(source)
    found = text if kind else source
    return "" if found.isspace() else found


@lru_cache(maxsize=1)
def _asked(source: str) -> tuple[str, str]:
    """`%%` and what stands below the line, or `%` and what stands behind it; nothing of other cells."""
    rows = source.split("\n")
    first = next((at for at, row in enumerate(rows) if row.strip() and not row.startswith("#")), 0)
    found = _MAGIC.fullmatch(rows[first])
    below = "\n".join(rows[first + 1 :])
    if found and found[1] == "%%":
        return "%%", below.removesuffix("\n")
    is_alone = not below.strip() and not "".join(rows[:first]).strip()
    return ("%", found[2].lstrip()) if found and is_alone else ("", "")


@lru_cache(maxsize=1)
def _with_plain_ends(text: str) -> str:
    return text.replace("\r\n", "\n")
