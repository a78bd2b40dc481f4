"""A conversation as markdown, to be read on GitHub or in an editor: a heading a turn, the prompt, the reply."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbchat.errors import shorten
from nbchat.exchange.captions import caption
from nbchat.exchange.conversation import Conversation
from nbchat.exchange.files import MARK
from nbchat.exchange.within import fenced, literal, within
from nbchat.history import Turn
from nbchat.rendering.pages import tidy

_LONGEST_HEADING = 80
_FENCE = re.compile("^ {0,3}(?:```|~~~)", re.MULTILINE)
_INDENTED = re.compile(r"^[ \t]+\S|\S(?:  +|\t)\S", re.MULTILINE)


def document(conversation: Conversation) -> str:
    """The text of a file with this conversation."""
    parts = [f"# {literal(_line(conversation.title)) or 'Conversation'}"]
    if conversation.system:
        parts.append(_folded("System prompt", fenced(tidy(conversation.system))))
    for number, turn in enumerate(conversation.turns, 1):
        parts += _turn(turn, number)
    return "\n\n".join([*parts, f"<!-- {MARK} -->"]) + "\n"


def _turn(turn: Turn, number: int) -> Iterator[str]:
    heading = shorten(turn.prompt.strip().partition("\n")[0], _LONGEST_HEADING)
    yield f"## {number}. {literal(heading)}".rstrip()
    if heading != turn.prompt:
        yield "\n".join(f"> {line}".rstrip() for line in _prompt(turn.prompt, number).split("\n"))
    if turn.reasoning:
        yield _folded("Reasoning", within(turn.reasoning, f"{number}r"))
    if turn.text.strip():
        yield within(turn.text, str(number))
    yield f"<sub>{literal(_line(caption(turn)))}</sub>"


def _prompt(prompt: str, number: int) -> str:
    """A prompt as it was typed: markdown if it has code in fences, else text; as code where its spaces matter."""
    text = tidy(prompt).strip("\n")
    if _FENCE.search(text) and "\t" not in text:  # behind the mark of a quotation a tab is narrower
        return within(text, f"{number}p")
    return fenced(text) if _INDENTED.search(text) else re.sub(r"(?<=[^\n])\n(?=[^\n])", "\\\\\n", literal(text))


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _line(text: str) -> str:
    return " ".join(tidy(text).split())
