"""The conversations that a saved notebook carries in its outputs.

The file is read once and looked at with patterns; its JSON is parsed only when turns or sources are asked for.
Nothing in it is trusted: whatever it holds, reading it gives turns, or none.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from nbchat.history.turn import Turn
from nbchat.saved.carried import metadata, told_conversation, told_version
from nbchat.saved.order import Sent, in_order
from nbchat.saved.outputs import Json, SavedReply, saved_replies, source_of, told_by
from nbchat.saved.written import guessed_prompt, prompt_in

__all__ = ["SavedNotebook", "metadata", "read"]

_LARGEST = 500_000_000
"""Bytes of a file that is looked at."""
_MOST_TURNS = 100_000
_STEP = 1e-6
"""Seconds between the places of two turns that would have the same."""
_UNTOLD = datetime(2000, 1, 1, tzinfo=UTC)
"""The time of a turn that does not tell it: whatever else is known of that turn is newer."""
_NO_PROMPT = "[The prompt is not in the notebook.]"

_TOKENS = rb'(?:[^"{}]++|"(?:[^"\\]++|\\.)*+"%b){0,80}+'
_CARRIED = re.compile(rb'"nbchat"\s*:\s*(\{%b\})' % (_TOKENS % rb"|\{%b\}") % (_TOKENS % b""), re.DOTALL)
"""What stands under the name in metadata; of so few parts, since in a forged file each look could go on to its end."""
_CELL_ID = re.compile(rb'"id"\s*:\s*"([A-Za-z0-9_-]{1,64})"')
_NUMBER = re.compile(rb'"\w+"\s*:\s*(\d{1,4})')


def read(path: Path) -> SavedNotebook | None:
    """Look into a notebook file; None if it is not there, or no notebook of format 4, or too large."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            return None
        data = path.read_bytes()
    except (OSError, ValueError):  # the latter of a path with a zero byte
        return None
    is_object = data[:1_000].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    return SavedNotebook(data, found.st_mtime) if is_object and _number(data, b'"nbformat"') >= 4 else None


def _number(data: bytes, name: bytes) -> int:
    """The last number of that name, 0 if there is none: the notebook's own stand behind its cells."""
    at = data.rfind(name)
    found = _NUMBER.match(data, at) if at >= 0 else None
    return int(found[1]) if found else 0


class SavedNotebook:
    """A notebook file as it was when it was read."""

    def __init__(self, data: bytes, modified: float) -> None:
        self._data = data
        self.modified = modified
        """When it was saved, in seconds since 1970."""
        self.ids_last = (_number(data, b'"nbformat"'), _number(data, b'"nbformat_minor"')) >= (4, 5)
        """Whether the ids of its cells are kept in it."""

    @cached_property
    def cells(self) -> frozenset[str]:
        """The ids of its cells, and perhaps of other things in it; empty where they do not last."""
        found = _CELL_ID.findall(self._data) if self.ids_last else ()
        return frozenset(cell.decode() for cell in found)

    @cached_property
    def versions(self) -> dict[str, set[tuple[str, str]]]:
        """The versions of turns that it carries, as `Turn.stamp` names them, by the names of their conversations.

        They are found without parsing it. The time of a turn that does not tell it is empty. Turns that a fork shares
        with the conversation that it came from are only in that.
        """
        found: dict[str, set[tuple[str, str]]] = {}
        for told in self._told():
            if carried := told_version(told):
                found.setdefault(told_conversation(told), set()).add(carried)
        return found

    @cached_property
    def turn_ids(self) -> frozenset[str]:
        """The ids of the turns that it carries, found without parsing it."""
        return frozenset(turn for versions in self.versions.values() for turn, _ in versions)

    def holds(self, prompt: str) -> bool:
        """Whether the prompt stands in the source of a cell."""
        return bool(prompt) and any(prompt in source for source in self._sources)

    @cached_property
    def conversations(self) -> dict[str, list[Turn]]:
        """The turns that it carries, in the order in which they were sent, by the names of their conversations.

        Turns that a fork shares with the conversation that it came from are in both, as objects of their own.
        """
        replies = self._replies
        sent = [
            Sent(turn, reply.carried.after, reply.carried.conversation, reply.time or self.modified)
            for turn, reply in replies.items()
        ]
        ordered = in_order(sent)
        return {name: self._in_place([_turn(replies[turn]) for turn in turns]) for name, turns in ordered.items()}

    @cached_property
    def _replies(self) -> dict[str, SavedReply]:
        """The reply of each turn, from the top to the end.

        Of a turn that is there twice, since its cell was copied, the newest counts, and of equal ones the first. What
        was shown once more counts if it is newer than the turn in its own cell (a stale one that was asked again).
        """
        found: dict[str, SavedReply] = {}
        shown = []
        for reply in saved_replies(self._code_cells, ids_last=self.ids_last) if b'"nbchat"' in self._data else ():
            if reply.is_shown:
                shown.append(reply)
            elif _is_newer(reply, found.get(reply.carried.id)) and len(found) < _MOST_TURNS:
                found[reply.carried.id] = reply
        for reply in shown:
            own = found.get(reply.carried.id)
            if own and _is_newer(reply, own):
                found[own.carried.id] = replace(own, carried=reply.carried, text=reply.text, error=reply.error)
        return found

    @cached_property
    def _sources(self) -> list[str]:
        return [source_of(cell) for cell in self._code_cells]

    @cached_property
    def _code_cells(self) -> list[Json]:
        try:
            notebook = json.loads(self._data.decode("utf-8-sig", "replace"))
        except (ValueError, RecursionError):
            return []
        cells = notebook.get("cells")
        found = cells if isinstance(cells, list) else []
        return [cell for cell in found if isinstance(cell, dict) and cell.get("cell_type") == "code"]

    def _told(self) -> Iterable[Json]:
        try:
            told: list[Any] = json.loads(b"[%b]" % b",".join(_CARRIED.findall(self._data)))
        except (ValueError, RecursionError):
            return told_by(self._code_cells)
        return told

    def _in_place(self, turns: list[Turn]) -> list[Turn]:
        """Turns in order, each with a place: no later than its own time, and before the next one's."""
        place = math.inf
        for turn in reversed(turns):
            time = self.modified if turn.started == _UNTOLD else turn.started.timestamp()
            turn.place = place = min(time, place - _STEP)
        return turns


def _turn(reply: SavedReply) -> Turn:
    told = reply.carried
    written = prompt_in(reply.source, told.length) if told.length else None
    prompt = told.prompt or written or guessed_prompt(reply.source)
    return Turn(
        prompt=prompt or _NO_PROMPT,
        model=told.model,
        provider=told.provider,
        cell=reply.cell,
        id=told.id,
        status=told.status,
        error=reply.error,
        cut=bool(reply.text) and (told.cut or told.status == "stopped"),
        usage=told.usage,
        started=told.started or _UNTOLD,
        seconds=told.seconds,
        is_source=bool(written) and not told.prompt,
        is_guess=not (told.prompt or written),
        chunks=[reply.text] if reply.text else [],
    )


def _is_newer(reply: SavedReply, other: SavedReply | None) -> bool:
    return other is None or reply.time > other.time
