"""What a terminal would obey, taken out of a text that is only to be shown."""

from __future__ import annotations

from typing import TextIO

_SHOWN_AS = "\ufffd"
_OBEYED = {*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")}
_SURROGATES = range(0xD800, 0xE000)
"""Halves of characters, which no terminal can be sent."""
_HARMLESS: dict[int, str | None] = dict.fromkeys([*_OBEYED, *_SURROGATES], _SHOWN_AS)
_HARMLESS[ord("\r")] = None  # half of a line's end; alone it would let words be written over others


def harmless(text: str) -> str:
    """The text without control characters but line ends and tabs, each character by itself, however it was cut.

    So a reply cannot move the cursor, change the title, fill the clipboard, or have the terminal type an answer.
    """
    return text.translate(_HARMLESS)


def write(stream: TextIO, text: str) -> None:
    """Write a text exactly as it is; to a terminal, what is harmless of it."""
    text = harmless(text) if stream.isatty() else text
    try:
        stream.write(text)
    except UnicodeEncodeError:  # in this stream's encoding; nothing was written yet
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
