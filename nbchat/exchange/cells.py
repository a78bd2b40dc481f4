"""A conversation as a notebook: each turn is a `%%chat` cell with its reply below, ready to be run again.

The notebook is written as plain JSON (nbformat 4.5), since a kernel's environment need not have `nbformat`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from nbchat.errors import UsageProblem
from nbchat.exchange import believed
from nbchat.exchange.captions import caption
from nbchat.exchange.conversation import IMPORTED, Conversation
from nbchat.exchange.files import MARK
from nbchat.history import Turn
from nbchat.saved import notebook as saved
from nbchat.saved.carried import FIRST_NAME, KEY

_PLAIN = re.compile(r"[\w.:/@+-]+", re.ASCII)
_LINE_END = re.compile("\r\n?")
_KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def document(conversation: Conversation) -> str:
    """The text of a notebook with this conversation."""
    cells = list(_cells(conversation))
    for number, cell in enumerate(cells):
        cell["id"] = cell.get("id") or f"nbchat-{number}"
    known = {"title": conversation.title, "system": conversation.system, "export": MARK}
    metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}, KEY: known}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def conversations(file: Path, notebook: dict[str, Any]) -> list[Conversation]:
    """The conversations that a notebook carries in the outputs of its cells.

    Args:
        file: Where it is.
        notebook: Its value.

    Raises:
        UsageProblem: If it is no notebook that can be read.
    """
    found = saved.read(file)
    if found is None:
        raise UsageProblem(f"{file.name} is not a notebook that can be read (nbformat 4).")
    known = believed.mapping(believed.mapping(notebook.get("metadata")).get(KEY))
    title, system = believed.name(known.get("title")), believed.text(known.get("system")) or None
    return [
        Conversation(title if name == FIRST_NAME else name, system, [_elsewhere(turn) for turn in turns])
        for name, turns in found.conversations.items()
    ]


def _elsewhere(turn: Turn) -> Turn:
    """The same turn where its cell is not."""
    other = copy.copy(turn)
    other.cell, other.is_source, other.session, other.after = None, False, "", None
    return other


def _cells(conversation: Conversation) -> Iterator[dict[str, Any]]:
    from nbchat.exchange.within import literal  # slow to import, and a notebook is read without it

    if conversation.title:
        yield {
            "cell_type": "markdown",
            "metadata": {},
            "source": [f"# {literal(' '.join(conversation.title.split()))}"],
        }
    yield _code(_preparation(conversation.system), [])
    before: list[Turn | None] = [None, *conversation.turns]
    for earlier, turn in pairwise(before):
        assert turn is not None
        yield _code(_source(turn), [_output(turn, earlier)]) | {"id": turn.id}


def _code(source: str, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": outputs,
        "source": _lines(source),
    }


def _preparation(system: str | None) -> str:
    load = "%load_ext nbchat"
    return f"{load}\nimport nbchat\n\nnbchat.current().system = {system!r}" if system else load


def _source(turn: Turn) -> str:
    return _header(turn) + "\n" + _LINE_END.sub("\n", turn.prompt)


def _header(turn: Turn) -> str:
    """The line that asks the same model again."""
    provider = "" if turn.provider == IMPORTED else turn.provider
    whole = " ".join("/".join(filter(None, [provider, turn.model])).split())
    if not whole:
        return "%%chat"
    quoted = whole.replace("\\", "\\\\").replace('"', '\\"')
    return f"%%chat --model {whole}" if _PLAIN.fullmatch(whole) else f'%%chat --model "{quoted}"'


def _output(turn: Turn, earlier: Turn | None) -> dict[str, Any]:
    from nbchat import rendering  # likewise

    thoughts = rendering.reasoning(turn.reasoning) if turn.reasoning else ""
    body = thoughts + rendering.render(turn.text) + rendering.caption(caption(turn))
    known = saved.metadata(
        _as_written(turn), conversation=FIRST_NAME, after=earlier.id if earlier else "", embed="full"
    )
    return {
        "output_type": "display_data",
        "data": {"text/html": _lines(body), "text/plain": _lines(turn.text)},
        "metadata": {KEY: known},
    }


def _as_written(turn: Turn) -> Turn:
    """The turn, with the mark that its prompt stands in the cell if all of it comes back from there.

    An editor has one kind of line ends, and a line end at the very end is not a cell's own.
    """
    other = copy.copy(turn)
    other.is_source = bool(turn.prompt.strip()) and "\r" not in turn.prompt and not turn.prompt.endswith("\n")
    return other


def _lines(text: str) -> list[str]:
    """A text as notebooks have it: lines with their ends."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
