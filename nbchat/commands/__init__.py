"""The subcommands of `%chat`, one function each.

Each takes the conversation and its words, and returns what to print, or what starts the reply to show. A line is a
subcommand only if all of it parses: a function that cannot take its words raises `NoMatch`, and the line is a
prompt (`%chat list primes`). The first line of a docstring is the subcommand's line of help.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from nbchat.chat import Chat
from nbchat.commands import about, named, shown, stored, turns
from nbchat.commands.words import Again, NoMatch, Page, Result, Series, Shown, Table
from nbchat.errors import UsageProblem, did_you_mean

__all__ = ["COMMANDS", "Again", "NoMatch", "Page", "Result", "Series", "Shown", "Table", "run"]

COMMANDS: dict[str, Callable[[Chat, list[str]], Result]] = {
    function.__name__.rstrip("_"): function
    for function in (
        *(about.help_, about.models, turns.history, turns.show, turns.versions, turns.undo, turns.retry),
        *(turns.continue_, turns.edit, turns.drop, turns.hide, turns.unhide, turns.reset, turns.stop),
        *(named.list_, named.switch, named.fork, named.rename, named.delete, named.system),
        *(stored.export, stored.import_, stored.notebooks, stored.forget),
        *(shown.panel, about.alias, about.config, about.version),
    )
}

_FIRST = (
    "help",
    "models",
    "history",
    "show",
    "undo",
    "retry",
    "continue",
    "edit",
    "reset",
    "fork",
    "switch",
    "panel",
    "export",
)
"""What the first page of help has a line for."""


def run(chat: Chat, line: str) -> Result | None:
    """Carry out a line if it is a subcommand; None if it is a prompt.

    Raises:
        UsageProblem: For a single word that is none: it is not sent, as it is more likely a slip.
    """
    word, *words = line.split() or ["help"]
    if word == "help" and not words:
        usages = [(inspect.getdoc(COMMANDS[name]) or "").partition("\n")[0] for name in _FIRST]
        return about.overview(usages, [name for name in COMMANDS if name not in _FIRST])
    if command := COMMANDS.get(word):
        try:
            return command(chat, words)
        except NoMatch:
            if not words or any(other.startswith("-") for other in words):
                usage, _, what = (inspect.getdoc(command) or "").partition("\n")[0].partition(": ")
                raise UsageProblem(
                    f"`%chat {usage}`: {what}. To send the line as a prompt: `%chat -- {word} …`"
                ) from None
    elif not words:
        near = did_you_mean(word, COMMANDS)
        raise UsageProblem(f"There is no subcommand {word!r}.{near} To send it as a prompt: `%chat -- {word}`")
    return None
