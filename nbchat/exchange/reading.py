"""Which of the formats a file has, by what is in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nbchat.errors import UsageProblem
from nbchat.exchange import cells, chatgpt, files, openai, ours
from nbchat.exchange.conversation import Conversation
from nbchat.history.turn import new_id

_READ = (
    "nbchat reads what `%chat export` wrote to .json or .ipynb, messages in OpenAI's shape (JSON, or JSON lines), "
    "or ChatGPT's export (conversations.json, or its .zip)"
)
_KEYS = ("role", "mapping", "messages")
"""By these in the first of its records a format is known."""


def conversations(file: Path) -> list[Conversation]:
    """What a file holds.

    Raises:
        UsageProblem: If it is none of the formats that can be read.
    """
    found: list[Conversation] = []
    for text in files.read(file):
        value = _parsed(file, text)
        if isinstance(value, dict) and "nbformat" in value:
            found += cells.conversations(file, value)
        else:
            records = value if isinstance(value, list) else [value]
            found += _read_by(file, records)(records)
    return _with_ids_of_their_own(found)


def _read_by(file: Path, records: list[Any]) -> Callable[[list[Any]], Iterable[Conversation]]:
    """What reads these records: the first of them tells."""
    first = next((record for record in records if isinstance(record, dict)), {})
    if "role" in first:
        return lambda messages: [openai.conversation({"messages": messages})]
    if "mapping" in first:
        return lambda talks: map(chatgpt.conversation, talks)
    if "messages" in first:
        return lambda bodies: map(_of_messages, bodies)
    raise UsageProblem(f"{file.name} has none of the known formats: {_READ}.")


def _of_messages(body: Any) -> Conversation:
    return ours.conversation(body) or openai.conversation(body)


def _parsed(file: Path, text: str) -> Any:
    """The value of JSON, or a list of those on the lines."""
    if text.lstrip()[:1] not in ("{", "["):
        said = "is empty" if not text.strip() else "is not JSON"
        raise UsageProblem(f"{file.name} {said}: {_READ}.")
    try:
        return json.loads(text)
    except RecursionError:
        raise UsageProblem(f"{file.name} is nested too deep to be a conversation.") from None
    except ValueError as error:
        if lines := _lines(file, text):
            return lines
        raise UsageProblem(f"{file.name} is not JSON ({error}): {_READ}.") from None


def _lines(file: Path, text: str) -> list[Any]:
    """The values on the lines, none if the first is not one of a conversation by itself."""
    values: list[Any] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            if not values:
                return []
            raise UsageProblem(f"{file.name} is not JSON in line {number}: {error}.") from None
        if not isinstance(values[0], dict) or values[0].keys().isdisjoint(_KEYS):
            return []
    return values


def _with_ids_of_their_own(found: list[Conversation]) -> list[Conversation]:
    """One id is one turn: where a file has it twice, only the first keeps it."""
    seen: set[str] = set()
    for conversation in found:
        for turn in conversation.turns:
            if turn.id in seen:
                turn.id = new_id()
            seen.add(turn.id)
    return found
