"""Our own JSON: the messages as OpenAI's chat API takes them, and beside them what it takes to come back whole.

`messages` holds what would be sent next, so `json.load(file)["messages"]` is all that another program needs. Under
`nbchat` stands one entry a turn, in order: what is known of it beside its two messages, and, for a turn that is not
sent (it failed, has no reply, or is hidden), its prompt and text as well. No text stands there twice. A reply that was
cut is written without the mark that is sent with it, as the mark is no part of it.

The messages may be edited, as long as none is added or taken away: else they are read as anybody's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from nbchat.exchange import believed
from nbchat.exchange.conversation import IMPORTED, Conversation
from nbchat.exchange.files import MARK
from nbchat.history import Status, Turn, messages_of
from nbchat.messages import Message, Notice, Usage

_VERSION = 1
_MOST_NOTICES = 20
_MOST_OPTIONS = 100
_NO_OPTIONS = {"model", "messages", "provider", "base_url", "proxy", "system", "history", "new", "instead_of"}
"""What a prompt is sent with, but no option of a provider's."""
_LONGEST_ERROR = 1_000


def document(conversation: Conversation) -> str:
    """The text of a file with this conversation."""
    system: list[Message] = [{"role": "system", "content": conversation.system}] if conversation.system else []
    sent = messages_of(conversation.turns, mark_cut=False)
    entries = [_entry(turn) for turn in conversation.turns]
    known = {"version": _VERSION, "title": conversation.title, "turns": entries, "export": MARK}
    return json.dumps({"messages": [*system, *sent], "nbchat": known}, ensure_ascii=False, indent=1) + "\n"


def conversation(body: Any) -> Conversation | None:
    """The conversation in the value of such a file; None if it is not one, or its parts do not fit any more."""
    known = believed.mapping(believed.mapping(body).get("nbchat"))
    if known.get("version") != _VERSION:
        return None
    entries = [believed.mapping(entry) for entry in believed.sequence(known.get("turns"))]
    messages = [believed.mapping(message) for message in believed.sequence(body.get("messages"))]
    system = messages.pop(0) if messages and messages[0].get("role") == "system" else {}
    roles = [message.get("role") for message in messages]
    if roles != ["user", "assistant"] * sum("prompt" not in entry for entry in entries):
        return None
    left = (believed.text(message.get("content")) for message in messages)
    turns = [_turn(entry, left) for entry in entries]
    return Conversation(believed.name(known.get("title")), believed.text(system.get("content")) or None, turns)


def _entry(turn: Turn) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": turn.id,
        "model": turn.model,
        "provider": turn.provider,
        "started": turn.started.isoformat(),
        "seconds": round(turn.seconds, 3),
    }
    if turn.status != "done":
        entry["status"] = turn.status
    if turn.system is not None:
        entry["system"] = turn.system
    if turn.usage:
        entry["usage"] = {"prompt": turn.usage.prompt_tokens, "completion": turn.usage.completion_tokens}
    seldom = {
        "error": turn.error,
        "cut": turn.cut,
        "hidden": turn.standing != "current",
        "guess": turn.is_guess,
        "options": turn.options,
        "notices": [notice.text for notice in turn.notices if notice.lasting],
        "reasoning": turn.reasoning,
    }
    not_sent = {} if turn.sent_later else {"prompt": turn.prompt, "text": turn.text}
    return entry | {name: value for name, value in seldom.items() if value} | not_sent


def _turn(entry: dict[str, Any], left: Iterator[str]) -> Turn:
    """A turn by what is known of it; its texts are the next of those left, unless it has its own."""
    is_sent = "prompt" not in entry
    prompt, text = (next(left), next(left)) if is_sent else map(believed.text, (entry["prompt"], entry.get("text")))
    provider = believed.name(entry.get("provider")) or IMPORTED
    turn = Turn(prompt, believed.name(entry.get("model")), provider, is_guess=entry.get("guess") is True)
    turn.id = believed.identity(entry.get("id")) or turn.id
    turn.started = believed.moment(entry.get("started")) or turn.started
    turn.seconds = believed.seconds(entry.get("seconds"))
    turn.standing = "hidden" if entry.get("hidden") is True else "current"
    turn.status, turn.cut = _end(entry, text)
    turn.error = believed.name(entry.get("error"), _LONGEST_ERROR)
    turn.usage = _usage(entry.get("usage"))
    turn.system = believed.text(entry["system"]) if isinstance(entry.get("system"), str) else None
    turn.options = _options(entry.get("options"))
    turn.notices = [Notice(text, lasting=True) for text in _notices(entry.get("notices"))]
    turn.chunks += filter(None, [text])
    turn.thoughts += filter(None, [believed.text(entry.get("reasoning"))])
    return turn


def _end(entry: dict[str, Any], text: str) -> tuple[Status, bool]:
    """How it ended, and whether in the middle; one that was under way when it was written ended there."""
    told = entry.get("status")
    if told in ("queued", "streaming"):
        return "stopped", bool(text)
    status: Status = "stopped" if told == "stopped" else "failed" if told == "failed" else "done"
    return status, entry.get("cut") is True and bool(text)


def _usage(value: Any) -> Usage | None:
    known = believed.mapping(value)
    usage = Usage(believed.count(known.get("prompt")), believed.count(known.get("completion")))
    return usage if known else None


def _options(value: Any) -> dict[str, Any]:
    """Numbers, and true or false: what a turn may keep of its options."""
    known = list(believed.mapping(value).items())[:_MOST_OPTIONS]
    return {name: each for name, each in known if name.isidentifier() and name not in _NO_OPTIONS and _is_number(each)}


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _notices(value: Any) -> list[str]:
    return [text for each in believed.sequence(value)[:_MOST_NOTICES] if (text := believed.name(each, _LONGEST_ERROR))]
