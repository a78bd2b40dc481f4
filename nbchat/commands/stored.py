"""Subcommands about files and the store: taking conversations along, and seeing and forgetting what is kept."""

from __future__ import annotations

import re
import shlex
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nbchat.chat import Chat
from nbchat.commands.words import NoMatch, Result, count
from nbchat.conversations import MAIN, conversations
from nbchat.errors import UsageProblem, did_you_mean, shorten
from nbchat.history.table import when

if TYPE_CHECKING:
    from nbchat.store import StoredNotebook

_AGE = re.compile(r"(\d+)d")
_DAY = 24 * 3600


def export(chat: Chat, words: list[str]) -> Result:
    """export FILE: write the conversation to a .md, .json, .ipynb or .html file"""
    from nbchat import exchange

    file = _file(words)
    chat.history.refresh()
    exchange.export(list(chat.history), file, system=chat.system, title="" if chat.name == MAIN else chat.name)
    return f"{count(chat.history)} written to {file}."


def import_(chat: Chat, words: list[str]) -> Result:
    """import FILE: take in conversations: OpenAI messages (.json), ours, ChatGPT's export"""
    from nbchat import exchange

    file = _file(words)
    found = exchange.read(file)
    if len(found) == 1:
        (one,) = found
        if not (new := chat.history.extend(one.turns)):
            return f"Nothing taken in: {count(one.turns)} in the file, all here already."
        system = f" The file's system prompt is not taken over: {shorten(one.system, 200)!r}" if one.system else ""
        return f"{new:,} of {count(one.turns)} taken in; `%chat undo` undoes it.{system}"
    names = [conversations.take_in(each.title, each.turns, each.system) for each in found]
    return f"{len(names):,} conversations taken in, as `%chat list` shows; `%chat delete NAME` takes one away."


def notebooks(chat: Chat, words: list[str]) -> Result:
    """notebooks: what is stored of which notebook"""
    if words:
        raise NoMatch
    store = conversations.store()
    if store is None:
        return "Conversations are kept in memory only (`%config NbChat.history`)."
    rows = store.notebooks()
    lines = [_line(row) for row in rows]
    return "\n".join([*lines, f"Kept in {conversations.file}; `%chat forget NOTEBOOK` deletes."])


def _line(row: StoredNotebook) -> str:
    used = when(datetime.fromtimestamp(row.used).astimezone()) if row.used else "never"
    turns = f"{row.turns:>6,} turn{'s' if row.turns != 1 else ' '}"
    return f"{_handle(row)}  {used:<12}  {turns}  {_size(row.size):>8}  {row.path or '(its file is gone)'}"


def forget(chat: Chat, words: list[str]) -> Result:
    """forget NOTEBOOK | --older 90d: delete what is stored of a notebook, or of those not used for so long"""
    store = conversations.store()
    if store is None:
        raise UsageProblem("Conversations are kept in memory only; there is nothing to forget but by `%chat reset`.")
    rows = store.notebooks()
    match words:
        case ["--older", age] if found := _AGE.fullmatch(age):
            chosen = [row for row in rows if row.used < time.time() - int(found[1]) * _DAY]
        case ["--older", *_]:
            raise UsageProblem("How old? `%chat forget --older 90d`")
        case []:
            raise NoMatch
        case _:
            name = _joined(words)
            chosen = [row for row in rows if _is_meant(name, row)]
            if not chosen:
                near = did_you_mean(name, {Path(row.path).name for row in rows})
                raise UsageProblem(f"Nothing is stored of a notebook {name!r}.{near} `%chat notebooks` shows all.")
            if len(chosen) > 1:
                raise UsageProblem(
                    f"{len(chosen)} notebooks are called {name!r}: name one with its folder, or by its mark."
                )
    if not chosen:
        return "No notebook has been unused for so long."
    conversations.forget([row.id for row in chosen])
    turns = sum(row.turns for row in chosen)
    paths = ", ".join(row.path or "(its file is gone)" for row in chosen)
    return f"Deleted for good: {turns:,} turns of {paths}. What stands in saved outputs stays there."


def _is_meant(name: str, row: StoredNotebook) -> bool:
    path = Path(row.path)
    return name in (row.path, _handle(row)) or (bool(row.path) and name in (path.name, str(path)))


def _handle(row: StoredNotebook) -> str:
    """A mark of the notebook, which it keeps."""
    return f"{row.id & 0xFFFFFF:06x}"


def _file(words: list[str]) -> Path:
    """A file's name, which has an extension; it may have spaces."""
    file = Path(_joined(words)).expanduser()
    if not words or not file.suffix[1:].isalnum():
        raise NoMatch
    return file


def _joined(words: list[str]) -> str:
    line = " ".join(words)
    try:
        return " ".join(shlex.split(line)) if line[:1] in ("'", '"') else line
    except ValueError:
        raise UsageProblem(f"A quotation mark is not closed: {line}") from None


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, size // 1000)} kB"
