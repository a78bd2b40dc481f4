"""What subcommands take and give: words, numbers of turns, and what is to be shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from nbchat.chat import Chat
from nbchat.errors import UsageProblem, did_you_mean
from nbchat.history import Turn
from nbchat.reply import Reply


class Page(str):
    """Markdown, to be rendered where that can be done."""


class Table(NamedTuple):
    """A table, as text and as safe HTML."""

    text: str
    html: str


class Again(NamedTuple):
    """A turn to be shown once more."""

    prompt: str
    reply: Reply
    raw: bool


class Series(NamedTuple):
    """Turns to be sent anew, one after the other, each shown in its own cell where that can be done."""

    word: str
    turns: list[Turn]
    start: Callable[[Turn], Reply]


class Shown(NamedTuple):
    """Something that is put out by itself."""

    show: Callable[[], None]


Result = str | Table | Again | Series | Shown | Callable[[], Reply]
"""What to print or show, or what starts the reply to show."""

_NUMBERS = re.compile(r"(\d+)(?:-(\d+))?")


class NoMatch(Exception):
    """The words are not arguments of this subcommand."""


def nothing_more(words: list[str]) -> None:
    """Take no words."""
    if words:
        raise NoMatch


def slip(what: str, word: str, known: Iterable[str]) -> Exception:
    """The problem to raise for a word that is near a known one; any other makes the line a prompt."""
    near = did_you_mean(word, known)
    return UsageProblem(f"{what}{near} To send the line as a prompt: `%chat -- …`") if near else NoMatch()


def turns_of(chat: Chat, words: list[str]) -> list[Turn]:
    """The turns with these numbers: `3`, `3 5`, `3-5`."""
    found = [match for word in words if (match := _NUMBERS.fullmatch(word))]
    if not words or len(found) != len(words):
        raise NoMatch
    ends = [(turn_of(chat, int(match[1])), turn_of(chat, int(match[2] or match[1]))) for match in found]
    numbers = [range(chat.history.number(first), chat.history.number(last) + 1) for first, last in ends]
    if not all(numbers):
        raise UsageProblem("Of two numbers with a `-` between them the smaller one comes first.")
    return [chat.history[number - 1] for number in dict.fromkeys(number for each in numbers for number in each)]


def turn_of(chat: Chat, number: int) -> Turn:
    """The turn with this number."""
    if not 0 < number <= len(chat.history):
        raise UsageProblem(f"There is no turn {number}: this conversation has {count(chat.history)}.")
    return chat.history[number - 1]


def numbered(chat: Chat, turns: Sequence[Turn]) -> str:
    """The turns' numbers, for a sentence."""
    numbers = [str(chat.history.number(turn)) for turn in turns]
    return f"Turn{'s' * (len(turns) != 1)} {', '.join(numbers)}"


def count(turns: Sequence[Turn]) -> str:
    """How many turns these are."""
    return f"{len(turns):,} turn{'s' * (len(turns) != 1)}"


def stale_now(chat: Chat) -> str:
    """Which turns are stale, for the end of a subcommand's result."""
    stale = chat.history.stale()
    return f" Stale now: {count(stale)} (`%chat retry --stale`)." if stale else ""
