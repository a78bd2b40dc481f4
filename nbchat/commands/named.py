"""Subcommands about the notebook's conversations, which have names, and their system prompts."""

from __future__ import annotations

import re

from nbchat.chat import Chat
from nbchat.commands.words import NoMatch, Result, count, nothing_more, stale_now
from nbchat.conversations import conversations
from nbchat.errors import UsageProblem, did_you_mean, shorten
from nbchat.history.table import when

_NAME = re.compile(r"[^\W_][\w.-]{0,59}")


def list_(chat: Chat, words: list[str]) -> Result:
    """list: the conversations of this notebook"""
    nothing_more(words)
    names = conversations.names()
    width = max(map(len, names))
    return "\n".join(_line(name, width, name == chat.name) for name in names)


def _line(name: str, width: int, is_current: bool) -> str:
    turns = conversations.named(name).history
    last = f", last at {when(turns[-1].started)}: {shorten(turns[-1].prompt, 50)}" if turns else ""
    return f"{'*' if is_current else ' '} {name:<{width}}  {count(turns)}{last}"


def switch(chat: Chat, words: list[str]) -> Result:
    """switch [-n] NAME: go on with another conversation of this notebook; -n begins it"""
    match words:
        case ["-n" | "--new", name]:
            if _valid(name) in conversations.names():
                raise UsageProblem(f"There is a conversation {name!r} already: `%chat switch {name}` goes there.")
        case [name]:
            _require(name, hint=f" `%chat switch -n {name}` begins it." if _NAME.fullmatch(name) else "")
        case _:
            raise NoMatch
    other = conversations.switch(name)
    system = f" Its system prompt: {shorten(other.system, 100)!r}." if other.system else ""
    return f"This is {name!r} now: {count(other.history)}; `%chat switch {chat.name}` goes back.{system}"


def fork(chat: Chat, words: list[str]) -> Result:
    """fork [NAME]: begin a conversation with the turns of this one"""
    match words:
        case []:
            name = _free_name(chat.name)
        case [name]:
            _valid(name)
        case _:
            raise NoMatch
    forked = conversations.fork(name)
    return f"This is {name!r} now, with {count(forked.history)}; `%chat switch {chat.name}` goes back."


def rename(chat: Chat, words: list[str]) -> Result:
    """rename [OLD] NEW: give this conversation, or OLD, another name"""
    match words:
        case [new]:
            old = chat.name
        case [old, new]:
            _require(old)
        case _:
            raise NoMatch
    conversations.rename(old, _valid(new))
    return f"{old!r} is called {new!r} now; `%chat rename {new} {old}` undoes it."


def delete(chat: Chat, words: list[str]) -> Result:
    """delete NAME: forget a conversation of this notebook (`%chat undo` brings it back)"""
    match words:
        case [name]:
            _require(name)
        case _:
            raise NoMatch
    turns = count(conversations.named(name).history)
    conversations.delete(name)
    here = conversations.current().name
    return f"{name!r} with {turns} is deleted; `%chat undo` here in {here!r} brings it back."


def system(chat: Chat, words: list[str]) -> Result:
    """system [TEXT | --clear]: the system prompt of this conversation; sets another, or none"""
    before = f"Before: {chat.system!r}." if chat.system else "There was none."
    match words:
        case []:
            return chat.system or "This conversation has no system prompt of its own: `%chat system TEXT` sets one."
        case ["--clear"]:
            chat.system = None
            return f"This conversation has no system prompt of its own any more. {before}{stale_now(chat)}"
    chat.system = " ".join(words)
    said = f"System prompt set, for the prompts from here on. {before} `%chat system --clear` takes it away."
    return said + stale_now(chat)


def _valid(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageProblem(f"{shorten(name, 60)!r} is no name: letters, digits, `-`, `_` and `.`, at most 60.")
    return name


def _require(name: str, hint: str = "") -> None:
    names = conversations.names()
    if name not in names:
        near = did_you_mean(name, names)
        raise UsageProblem(
            f"There is no conversation {shorten(name, 60)!r}.{near}{hint} To send the line as a prompt: `%chat -- …`"
        )


def _free_name(name: str) -> str:
    """The name with the next free number: main-2, main-3."""
    base = re.sub(r"-\d+$", "", name)
    taken = set(conversations.names())
    return next(f"{base}-{number}" for number in range(2, len(taken) + 3) if f"{base}-{number}" not in taken)
