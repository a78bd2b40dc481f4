"""Subcommands about the turns of the conversation."""

from __future__ import annotations

import json
import shlex
from functools import partial

from nbchat.chat import Chat
from nbchat.commands.words import (
    Again,
    NoMatch,
    Result,
    Series,
    Table,
    count,
    nothing_more,
    numbered,
    slip,
    stale_now,
    turn_of,
    turns_of,
)
from nbchat.config import settings
from nbchat.conversations import conversations
from nbchat.errors import UnknownModel, UsageProblem, shorten
from nbchat.history import Change, Turn, table
from nbchat.notebook import next_cell
from nbchat.providers import registry

_UNDO = "`%chat undo` undoes it."


def history(chat: Chat, words: list[str]) -> Result:
    """history [N]: the turns so far, or the last N (also --search TEXT, --json)"""
    most, text, as_json = _filters(words)
    chat.history.refresh()
    turns = [turn for turn in chat.history if _holds(turn, text)] if text else list(chat.history)
    turns = turns if most is None else turns[max(0, len(turns) - most) :]
    if as_json:
        return json.dumps(table.as_data(chat.history, turns), indent=2, ensure_ascii=False)
    shown = None if most is None and not text else turns
    return Table(table.as_text(chat.history, shown), table.as_html(chat.history, shown))


def _filters(words: list[str]) -> tuple[int | None, str, bool]:
    most, text, as_json = None, "", False
    left = list(words)
    while left:
        match left:
            case ["-n"]:
                raise UsageProblem("%chat history -n needs a number.")
            case ["--search"]:
                raise UsageProblem("%chat history --search needs a text.")
            case ["-n", number, *left] if number.isdecimal():
                most = int(number)
            case ["--json", *left]:
                as_json = True
            case ["--search", *rest]:
                end = next((at for at, word in enumerate(rest) if word in ("-n", "--json")), len(rest))
                text, left = " ".join(rest[:end]).strip("\"'"), rest[end:]
            case [number, *left] if number.isdecimal():
                most = int(number)
            case _:
                raise NoMatch
    return most, text, as_json


def _holds(turn: Turn, text: str) -> bool:
    return text.casefold() in f"{turn.prompt}\n{turn.text}".casefold()


def show(chat: Chat, words: list[str]) -> Result:
    """show N [--raw]: a turn, by its number in the history, with its whole reply"""
    if not words or not words[0].isdecimal() or words[1:] not in ([], ["--raw"]):
        raise NoMatch
    turn = turn_of(chat, int(words[0]))
    return Again(turn.prompt, chat.reply_of(turn), len(words) > 1)


def versions(chat: Chat, words: list[str]) -> Result:
    """versions N [K]: the replies that turn N has had; K makes that one count again"""
    if not words or len(words) > 2 or not all(word.isdecimal() for word in words):
        raise NoMatch
    turn = turn_of(chat, int(words[0]))
    all_of_it = chat.history.versions(turn)
    if len(words) == 1:
        return "\n".join(_version_line(number, version) for number, version in enumerate(all_of_it, 1))
    wanted = int(words[1])
    if not 0 < wanted <= len(all_of_it):
        raise UsageProblem(f"Turn {words[0]} has {len(all_of_it)} version{'s' * (len(all_of_it) != 1)}.")
    if all_of_it[wanted - 1] is turn:
        return f"Version {wanted} of turn {words[0]} is the one that counts already."
    chat.history.restore(all_of_it[wanted - 1])
    return f"Turn {words[0]} is its version {wanted} again; {_UNDO}{stale_now(chat)}"


def _version_line(number: int, version: Turn) -> str:
    mark = " " if version.standing == "earlier" else "*"
    who = version.model or version.provider
    text = shorten(version.text or version.error, 45)
    return f"{mark}{number:>2}  {table.when(version.started)}  {who}  {version.status}  {text}"


def undo(chat: Chat, words: list[str]) -> Result:
    """undo [N]: take back the last change (a prompt, a retry, a reset, …), or N changes"""
    if len(words) > 1 or not all(word.isdecimal() for word in words):
        raise NoMatch
    said = []
    for _ in range(int(words[0]) if words else 1):
        if (change := conversations.undo(chat)) is None:
            break
        said.append(_undone(chat, change))
    return "\n".join(said) or "There is nothing to undo."


def _undone(chat: Chat, change: Change) -> str:
    turns = chat.history.turns_of(change)
    back = [turn for turn in turns if turn in chat.history]
    match change.kind:
        case "send":
            return f"Taken back: {shorten(turns[0].prompt, 60)!r}. Run its cell to ask again."
        case "again":
            return f"{numbered(chat, back)} has its reply from before again: {shorten(back[0].prompt, 60)!r}."
        case "version":
            return f"{numbered(chat, back)} is as it was before the change of versions."
        case "reset":
            return f"What was there before the reset is back: {count(back)}."
        case "hide":
            return f"{numbered(chat, back)}: not hidden any more."
        case "unhide":
            return f"{numbered(chat, back)}: hidden again."
        case "import":
            return f"Taken back: {count(turns)} that were imported."
        case kind if kind.startswith("delete "):
            return f"The conversation {kind.removeprefix('delete ')!r} is back."
    return f"{numbered(chat, back)}: back again."


def retry(chat: Chat, words: list[str]) -> Result:
    """retry [MODEL | --stale]: ask the last prompt again, in its place; or all that are stale"""
    if words == ["--stale"]:
        stale = set(chat.history.stale())
        again = [turn for turn in chat.history if turn in stale or _has_failed_again(chat, turn)]
        if not again:
            return "No turn is stale."
        word = f"{numbered(chat, again)}: asked again, each in its own cell if that is on this page."
        return Series(word, again, lambda turn: chat.retry(turn=turn))
    if len(words) > 1:
        raise NoMatch
    try:
        registry.resolve(*words, aliases=settings().aliases)
    except UnknownModel:
        if not words[0].isalpha():  # a model's name
            raise
        raise slip(f"There is no model {words[0]!r}.", words[0], registry.known_models(settings().aliases)) from None
    return partial(chat.retry, *words)


def _has_failed_again(chat: Chat, turn: Turn) -> bool:
    """Whether a turn failed that has had a reply before."""
    earlier = chat.history.versions(turn)[:-1] if turn.status == "failed" and not turn.cut else []
    return any(version.status == "done" or version.cut for version in earlier)


def continue_(chat: Chat, words: list[str]) -> Result:
    """continue: let the last reply go on that was stopped or cut off"""
    nothing_more(words)
    return chat.go_on


def edit(chat: Chat, words: list[str]) -> Result:
    """edit N: the prompt of turn N in a new cell; what is sent there takes its place"""
    if len(words) != 1 or not words[0].isdecimal():
        raise NoMatch
    turn = turn_of(chat, int(words[0]))
    if not next_cell(f"%%chat --edit {turn.id[:8]}{_options(turn)}\n{turn.prompt}"):
        raise UsageProblem("No cell can be made from here: `%chat edit` works in notebooks and in IPython.")
    return (
        f"The prompt of turn {words[0]} is in the next cell: change it there and run it. Its old cell would ask anew."
    )


def _options(turn: Turn) -> str:
    """The options of its own that a turn was sent with, as far as they are known, for a line."""
    known = [("-s", turn.system)] if turn.system and "\n" not in turn.system else []
    written = [f" {name} {shlex.quote(text)}" for name, text in known]
    written += [f" -o {name} {json.dumps(value)}" for name, value in turn.options.items()]
    return "".join(written)


def drop(chat: Chat, words: list[str]) -> Result:
    """drop N…: take turns out of the conversation"""
    turns = turns_of(chat, words)
    said = numbered(chat, turns)
    chat.drop(*turns)
    return f"{said}: dropped; {_UNDO}{stale_now(chat)}"


def hide(chat: Chat, words: list[str]) -> Result:
    """hide N…: keep turns on view, and send them no more"""
    turns = turns_of(chat, words)
    chat.history.hide(turns)
    return f"{numbered(chat, turns)}: not sent any more; `%chat unhide {' '.join(words)}` undoes it.{stale_now(chat)}"


def unhide(chat: Chat, words: list[str]) -> Result:
    """unhide N…: send turns again that were hidden, or whose cell was deleted"""
    turns = turns_of(chat, words)
    chat.history.unhide(turns)
    return f"{numbered(chat, turns)}: not hidden any more.{stale_now(chat)}"


def reset(chat: Chat, words: list[str]) -> Result:
    """reset: forget the conversation (`%chat undo` brings it back)"""
    nothing_more(words)
    turns = list(chat.history)
    return f"{count(turns)} forgotten; {_UNDO}" if chat.reset() else "There was nothing to forget."


def stop(chat: Chat, words: list[str]) -> Result:
    """stop: end the replies of this conversation, and keep what came"""
    nothing_more(words)
    stopped = chat.stop()
    return (
        f"Stopped {stopped} {'replies' if stopped > 1 else 'reply'}."
        if stopped
        else "No reply of this conversation is under way."
    )
