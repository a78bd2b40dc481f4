"""A history to and from files: markdown, JSON, notebooks and web pages.

`export` writes one conversation in the format of the file's extension; `read` finds the format by the content.
Both take a file for what it is: something that others read, and something that anybody can have written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nbchat.errors import UsageProblem, did_you_mean
from nbchat.exchange import files, reading
from nbchat.exchange.conversation import IMPORTED, Conversation, put_in_order
from nbchat.history import Turn
from nbchat.history.turn import ON_VIEW

__all__ = ["EXTENSIONS", "IMPORTED", "Conversation", "export", "read"]

EXTENSIONS = (".md", ".json", ".ipynb", ".html")
"""The formats that can be written."""


def export(turns: Sequence[Turn], file: Path, *, system: str | None = None, title: str = "") -> None:
    """Write a conversation to a file, in the format of its extension.

    What is on view in the notebook is exported: failed, stopped and hidden turns, too, and marked so. Earlier
    versions, and what was taken back, are not. In JSON, the `messages` are those that would be sent next; turns
    that are not sent stand beside them, and come back with `read`. An export that nobody has changed since is
    replaced; any other file is left alone.

    Args:
        turns: The turns, oldest first.
        file: Where to: `.md` as GitHub shows it, `.json` in the shape of OpenAI's messages, `.ipynb` as cells that
            can be run, or `.html` as one page that needs and loads nothing else.
        system: The conversation's system prompt.
        title: What it is called.

    Raises:
        UsageProblem: If there is nothing to export, no such format, or the file cannot be written; then nothing is.
    """
    extension = file.suffix.lower()
    if extension not in EXTENSIONS:
        *others, last = EXTENSIONS
        near = did_you_mean(extension, EXTENSIONS) if extension else ""
        raise UsageProblem(f"The name of an exported file ends in {', '.join(others)} or {last}.{near}")
    on_view = [turn for turn in turns if turn.standing in ON_VIEW]
    if not on_view:
        raise UsageProblem("There is nothing to export: this conversation has no turns.")
    files.write(_at_home(file), _written(Conversation(title, system or None, on_view), extension))


def read(file: Path) -> list[Conversation]:
    """Read the conversations in a file; which format it has is found by its content.

    It may be what `export` wrote to `.json` or `.ipynb`, a notebook with replies, messages in OpenAI's shape (a list
    of them, `{"messages": …}`, or one such object a line), or ChatGPT's export, as `conversations.json` or still in
    its archive. Nothing in it is trusted: what is not of the right kind is left out, and none of it is run.

    Returns:
        The conversations that have turns: in order, in places that increase, and belonging to no cell.

    Raises:
        UsageProblem: In one line, if there is none of that in the file.
    """
    file = _at_home(file)
    conversations = [found for found in reading.conversations(file) if found.turns]
    if not conversations:
        raise UsageProblem(f"{file.name} has no messages in it that can be imported.")
    for conversation in conversations:
        put_in_order(conversation.turns)
    return conversations


def _written(conversation: Conversation, extension: str) -> str:
    # Imported only now: most need what is slow to import.
    if extension == ".md":
        from nbchat.exchange.markdown import document
    elif extension == ".json":
        from nbchat.exchange.ours import document
    elif extension == ".ipynb":
        from nbchat.exchange.cells import document
    else:
        from nbchat.exchange.webpage import document
    return document(conversation)


def _at_home(file: Path) -> Path:
    try:
        return file.expanduser()
    except RuntimeError:
        raise UsageProblem(f"There is no such home: {file}.") from None
