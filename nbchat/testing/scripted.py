"""A provider that follows a script: no network, no model."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbchat.messages import Chunk, Messages, text_of
from nbchat.providers.base import AsyncResult, require_messages
from nbchat.testing.script import Course, Outcome, Piece, Script, pieces_of, waited


@dataclass
class Call(Course):
    """One reply that a `ScriptedProvider` was asked for."""

    model: str
    messages: Messages
    options: Mapping[str, Any]


class ScriptedProvider:
    """A provider whose replies are written beforehand.

    Args:
        *replies: One for each call, the last one for all that follow: pieces (see `nbchat.testing`), or a function
            of the messages that gives them. Without any, it repeats what it was asked.
        name: The name that users see.
        models: Its models; any name if it has none.
    """

    url = ""
    api_endpoint = ""
    working = True
    supports_stream = True
    supports_message_history = True
    supports_system_message = True
    default_model = "scripted"

    def __init__(self, *replies: Script, name: str = "scripted", models: Sequence[str] = ()) -> None:
        self.name = name
        self.models = models
        self.calls: list[Call] = []
        self._replies = replies or (lambda messages: text_of(messages[-1]),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"

    def get_model(self, model: str | None = None) -> str:
        """The model's name, or the default for an empty one."""
        return model or self.default_model

    def create_async_generator(
        self, model: str, messages: Messages, proxy: str | None = None, **options: Any
    ) -> AsyncResult:
        """Start the next reply.

        Raises:
            UsageProblem: If there is no message.
        """
        require_messages(messages)
        script = self._replies[min(len(self.calls), len(self._replies) - 1)]
        call = Call(self.get_model(model), copy.deepcopy(messages), {**options, "proxy": proxy})
        self.calls.append(call)
        return AsyncResult(_play(pieces_of(script, call.messages), call))


async def _play(pieces: Sequence[Piece], call: Call) -> AsyncGenerator[Chunk, None]:
    outcome: Outcome = "dropped"  # unless it gets further
    try:
        for piece in pieces:
            if isinstance(piece, BaseException):
                outcome = "failed"
                raise piece
            if not await waited(piece):
                yield piece  # type: ignore[misc]  # what is left of Piece is Chunk
        outcome = "done"
    finally:
        call.end(outcome)
