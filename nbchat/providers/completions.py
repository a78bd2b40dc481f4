"""The body of an OpenAI chat completion, as servers of all kinds send it, to chunks.

Server-sent events as they should be and as they are, a whole JSON completion, and errors in many dresses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from nbchat.messages import Chunk, Finish, Reasoning, Usage
from nbchat.providers.streams import (
    CutOff,
    ErrorEvent,
    Event,
    Events,
    LineDecoder,
    Surrogates,
    Thinking,
    WrongBody,
    is_error,
    read_json,
)


class ChatCompletions(LineDecoder):
    """The body of a chat completion: server-sent events, or one JSON value."""

    def __init__(self) -> None:
        super().__init__()
        self._events = Events()
        self._json: list[str] = []
        self._content = Surrogates()
        self._reasoning = Surrogates()
        self._thinking = Thinking()
        self._answered = False
        self._has_text = False
        self._repeated: Any = None
        self._usage: Usage | None = None
        self._finish = ""

    @property
    def complete(self) -> bool:
        return self.done or bool(self._finish)

    def _line(self, line: str) -> Iterator[Chunk]:
        if self.opening.lstrip().startswith(("{", "[")):
            self._json.append(line)
        elif line.startswith("data:") and line[5:].strip() == "[DONE]":  # its blank line may never come
            yield from self._before_done()
        elif event := self._events.decode(line):
            yield from self._event(event)

    def _before_done(self) -> Iterator[Chunk]:
        if event := self._events.flush():
            yield from self._event(event)
        self.done = True

    def _end(self) -> Iterator[Chunk]:
        if self._json:
            yield from self._value(self._whole("\n".join(self._json)))
        elif not self.done:
            yield from self._last_event()
        if not self._has_text:
            yield from self._said(self._repeated)
        yield from self._rest_of_reasoning()
        yield from self._thinking.decode(self._content.flush())
        yield from self._thinking.flush()
        if self._usage:
            yield self._usage
        self._judge()
        if self._finish:
            yield Finish(self._finish)

    def _judge(self) -> None:
        """Raise if this was no reply, or not all of it."""
        if not self.opening:
            raise WrongBody("sent an empty reply")
        if self._answered and (self.done or self._finish or self._json):
            return
        if self.done or self._json or not _may_be_event(self.opening):
            raise WrongBody("answered with something that is no chat completion", self.opening)
        raise CutOff("ended before the reply was complete")

    def _whole(self, text: str) -> Any:
        try:
            return read_json(text)
        except ValueError as problem:
            if _is_half(text, problem):
                raise CutOff("ended in the middle of a JSON value") from None
            raise WrongBody("answered with broken JSON", text) from None

    def _last_event(self) -> Iterator[Chunk]:
        """The event that the end of the body has completed, or cut."""
        event = self._events.flush()
        try:
            if event:
                yield from self._event(event)
        except WrongBody:
            if not self._finish:
                raise CutOff("ended in the middle of an event") from None

    def _event(self, event: Event) -> Iterator[Chunk]:
        data = event.data.strip()
        if data and event.name != "ping":
            yield from self._data(event.name, data)

    def _data(self, name: str, data: str) -> Iterator[Chunk]:
        try:
            value = read_json(data)
        except ValueError:
            if name == "error":
                raise ErrorEvent(data) from None
            if "\n" not in data:
                raise WrongBody("sent an event that is not JSON", data) from None
        else:
            yield from self._value(value, name)
            return
        for line in data.split("\n"):  # a server that leaves out the blank lines between its events
            yield from self._event(Event(name, line))

    def _value(self, value: Any, name: str = "") -> Iterator[Chunk]:
        if isinstance(value, list) and len(value) == 1:  # so Gemini wraps its errors
            value = value[0]
        if name == "error" or is_error(value):
            raise ErrorEvent((isinstance(value, dict) and value.get("error")) or value)
        if value is None:
            return
        if not isinstance(value, dict):
            raise WrongBody("sent JSON that is no chat completion", json.dumps(value))
        self._usage = _usage(value.get("usage")) or self._usage
        if choice := _first_choice(value.get("choices")):
            self._answered = True
            yield from self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> Iterator[Chunk]:
        reason = choice.get("finish_reason")
        reason = reason if isinstance(reason, str) else ""
        if reason or not self._finish:  # some finish with each piece; else what comes after the finish is no reply
            yield from self._said(choice["delta"] if "delta" in choice else choice.get("message"))
        # Perplexity's `message` repeats everything so far beside each `delta`; others leave the `delta` empty.
        self._repeated = choice.get("message") or self._repeated
        if choice.get("error") or reason == "error":
            raise ErrorEvent(choice.get("error") or {})
        self._finish = reason or self._finish

    def _said(self, said: Any) -> Iterator[Chunk]:
        if not isinstance(said, dict):
            return
        yield from self._think(said.get("reasoning_content") or said.get("reasoning"))
        content = said.get("content")
        for part in [*(content if isinstance(content, list) else [content]), said.get("refusal")]:
            if isinstance(part, dict):
                yield from self._think(part.get("thinking"))
                part = part.get("text") or part.get("refusal")
            if isinstance(part, str) and part:
                self._has_text = True
                yield from self._rest_of_reasoning()
                yield from self._thinking.decode(self._content.decode(part))

    def _think(self, thought: Any) -> Iterator[Chunk]:
        """Reasoning beside the content: text, or parts with text, as Mistral sends it."""
        if isinstance(thought, list):
            thought = "".join(part["text"] for part in thought if isinstance(part, dict) and _is_text(part.get("text")))
        if _is_text(thought) and (text := self._reasoning.decode(thought)):
            yield Reasoning(text)

    def _rest_of_reasoning(self) -> Iterator[Chunk]:
        if text := self._reasoning.flush():
            yield Reasoning(text)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _first_choice(choices: Any) -> dict[str, Any] | None:
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict) and choice.get("index") in (0, None):
            return choice
    return None


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    asked, answered = value.get("prompt_tokens"), value.get("completion_tokens")
    usage = Usage(asked if isinstance(asked, int) else None, answered if isinstance(answered, int) else None)
    return None if usage == Usage() else usage


def _may_be_event(line: str) -> bool:
    """Whether a line, which may be cut, can stand at the start of a stream of events."""
    fields = (":", "data:", "event:", "id:", "retry:", "error:")
    return any(line.startswith(field) or field.startswith(line) for field in fields)


def _is_half(text: str, problem: ValueError) -> bool:
    """Whether JSON could not be read because its end is missing."""
    if not isinstance(problem, json.JSONDecodeError):
        return False
    longest_token = 6  # of those that can be cut: an escape such as \u20ac; a cut string is known by its message
    return problem.msg.startswith("Unterminated string") or len(text) - problem.pos <= longest_token
