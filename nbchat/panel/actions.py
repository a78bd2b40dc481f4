"""What the page asks for: read as what anybody may have sent, and carried out on the conversation.

This may happen while a cell runs, and is none of that cell's doing (`notebook.apart_from_cells`).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from nbchat.conversations import conversations
from nbchat.display import show_in_its_cell
from nbchat.errors import NbchatError, UsageProblem, shorten
from nbchat.history import Turn
from nbchat.messages import clean
from nbchat.panel.transcript import Transcript
from nbchat.providers.failures import redact

_LONGEST_TEXT = 10_000_000
_LONGEST_NAME = 1_000
_LONGEST_ERROR = 500

_FIELDS = {
    "send": ("text", "model"),
    "edit": ("id", "text"),
    "retry": ("id", "model"),
    **dict.fromkeys(("stop", "delete", "hide", "unhide"), ("id",)),
    "switch": ("name",),
    "withdraw": ("of",),
    **dict.fromkeys(("undo", "new", "earlier", "sync"), ()),
}


class Request(NamedTuple):
    """One message of the page."""

    op: str
    nonce: str
    """Tells it from all others of the page; what comes twice is carried out once."""
    values: dict[str, str]


class Outcome(NamedTuple):
    """How it went."""

    error: str = ""
    """A sentence about why it could not be done."""
    prompt: str = ""
    """What goes back to where the user types."""


def read(content: object) -> Request:
    """Read a message.

    Raises:
        UsageProblem: If it is none that the page sends.
    """
    message: dict[str, Any] = content if isinstance(content, dict) else {}
    op = message.get("op")
    if not isinstance(op, str) or op not in _FIELDS:
        raise UsageProblem("The panel's page asked for something that this nbchat does not know: load the page anew.")
    nonce = nonce_of(message)
    if not nonce and op != "sync":
        raise UsageProblem(f"The panel's page sent {op!r} without a mark to answer to.")
    return Request(op, nonce, {name: _text(message, op, name) for name in _FIELDS[op]})


def nonce_of(content: object) -> str:
    """What the page calls its message; empty if that cannot be told."""
    nonce = content.get("nonce") if isinstance(content, dict) else None
    return clean(nonce) if isinstance(nonce, str) and len(nonce) <= _LONGEST_NAME else ""


def _text(message: dict[str, Any], op: str, name: str) -> str:
    value = message.get(name, "")
    most = _LONGEST_TEXT if name == "text" else _LONGEST_NAME
    if not isinstance(value, str):
        raise UsageProblem(f"The panel's page sent {op!r} with a {name} that is no text.")
    if len(value) > most:
        raise UsageProblem(f"That is too long: a {name} has at most {most:,} characters.")
    return clean(value)


def carry_out(request: Request, transcript: Transcript) -> Outcome:
    """Do what is asked for."""
    try:
        return Outcome(prompt=_ACTIONS[request.op](transcript, **request.values) or "")
    except NbchatError as problem:
        return Outcome(clean(shorten(redact(str(problem)), _LONGEST_ERROR)))
    except Exception as error:  # a provider, a store or a setting that somebody else wrote; the panel goes on
        return Outcome(f"nbchat could not do that ({type(error).__name__}).")


def _send(transcript: Transcript, text: str, model: str) -> None:
    transcript.chat.send(text, model=model or None)


def _stop(transcript: Transcript, id: str) -> None:
    if id:
        transcript.chat.reply_of(_turn(transcript, id)).stop()
    else:
        transcript.chat.stop()


def _retry(transcript: Transcript, id: str, model: str) -> None:
    show_in_its_cell(transcript.chat.retry(model or None, turn=_turn(transcript, id)))


def _edit(transcript: Transcript, id: str, text: str) -> None:
    transcript.chat.edit(_turn(transcript, id), text)


def _delete(transcript: Transcript, id: str) -> None:
    transcript.chat.drop(_turn(transcript, id))


def _hide(transcript: Transcript, id: str) -> None:
    transcript.chat.history.hide([_turn(transcript, id)])


def _unhide(transcript: Transcript, id: str) -> None:
    transcript.chat.history.unhide([_turn(transcript, id)])


def _undo(transcript: Transcript) -> str:
    """A prompt that is taken back is given back, unless it stands in a cell."""
    change = conversations.undo(transcript.chat)
    if change is None:
        raise UsageProblem("There is nothing to undo.")
    turns = transcript.chat.history.turns_of(change) if change.kind == "send" else []
    return "".join(clean(turn.prompt) for turn in turns if turn.cell is None)


def _switch(transcript: Transcript, name: str) -> None:
    _require_notebooks_own(transcript)
    if name not in conversations.names():
        raise UsageProblem(f"There is no conversation {shorten(name, 60)!r} any more.")
    conversations.switch(name)


def _new(transcript: Transcript) -> None:
    _require_notebooks_own(transcript)
    taken = set(conversations.names())
    conversations.switch(next(name for number in count(1) if (name := f"chat-{number}") not in taken))


def _earlier(transcript: Transcript) -> None:
    transcript.show_earlier()


_ACTIONS: dict[str, Callable[..., str | None]] = {
    "send": _send,
    "stop": _stop,
    "retry": _retry,
    "edit": _edit,
    "delete": _delete,
    "hide": _hide,
    "unhide": _unhide,
    "undo": _undo,
    "switch": _switch,
    "new": _new,
    "earlier": _earlier,
}


def _turn(transcript: Transcript, id: str) -> Turn:
    turn = transcript.turn(id)
    if turn is None:
        raise UsageProblem("That turn is not here any more.")
    return turn


def _require_notebooks_own(transcript: Transcript) -> None:
    if not transcript.is_notebooks_own:
        raise UsageProblem("This panel shows a conversation of its own: the notebook's others are not in it.")
