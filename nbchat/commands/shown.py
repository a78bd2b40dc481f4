"""The subcommand that shows the conversation in another way than below its cells."""

from __future__ import annotations

from functools import partial

from nbchat.chat import Chat
from nbchat.commands.words import NoMatch, Result, Shown


def panel(chat: Chat, words: list[str]) -> Result:
    """panel [--sidecar]: the conversation as a chat of its own; --sidecar: beside the notebook"""
    if words not in ([], ["--sidecar"]):
        raise NoMatch
    from nbchat.panel import show  # with anywidget: not before somebody wants it

    return Shown(partial(show, in_sidecar=bool(words)))
