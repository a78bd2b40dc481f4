"""Messages in the shape of OpenAI's chat API, as anybody may have written them to a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from nbchat.exchange import believed
from nbchat.exchange.conversation import Conversation, Said, turns_of

_SYSTEM = ("system", "developer")
_TIMES = ("timestamp", "created_at", "create_time", "created")
"""What programs that keep messages call the time of one; the shape itself has none."""
_REASONING = ("reasoning_content", "reasoning", "thinking")
_NOT_TEXT = ("image", "audio", "file", "document", "video")


def conversation(body: Any) -> Conversation:
    """The conversation that the body of a request is about: `{"messages": […]}`, and `model` if it names one.

    Calls of tools, and what these said, are left out; all system messages together are the system prompt.
    """
    known = believed.mapping(body)
    messages = [believed.mapping(message) for message in believed.sequence(known.get("messages"))]
    system = [text for message in messages if message.get("role") in _SYSTEM if (text := _Parts(message).text)]
    said = _said(messages, believed.name(known.get("model")))
    return Conversation(believed.name(known.get("title")), "\n\n".join(system) or None, turns_of(said))


def _said(messages: list[dict[str, Any]], model: str) -> Iterator[Said]:
    for message in messages:
        parts = _Parts(message)
        role: Literal["user", "assistant"]
        if message.get("role") == "user":
            role = "user"
        elif message.get("role") == "assistant" and (parts.text or parts.reasoning or parts.left_out):
            role = "assistant"
        else:
            continue
        when = next((when for name in _TIMES if (when := believed.moment(message.get(name)))), None)
        named = believed.name(message.get("model")) or model
        yield Said(role, parts.text, parts.reasoning, when, named, parts.left_out)


class _Parts:
    """The content of a message: text, or a list of parts of which some are text."""

    def __init__(self, message: dict[str, Any]) -> None:
        content = message.get("content") or message.get("refusal")
        self.left_out = 0
        self._texts: list[str] = []
        self._thoughts = [text for name in _REASONING if (text := believed.text(message.get(name)))][:1]
        for part in [content] if isinstance(content, str) else believed.sequence(content):
            self._take(part)

    @property
    def text(self) -> str:
        return "\n".join(self._texts)

    @property
    def reasoning(self) -> str:
        return "\n\n".join(self._thoughts)

    def _take(self, part: Any) -> None:
        known = believed.mapping(part)
        if text := believed.text(part) or believed.text(known.get("text")) or believed.text(known.get("refusal")):
            self._texts.append(text)
        elif thought := believed.text(known.get("thinking")):
            self._thoughts.append(thought)
        elif any(word in believed.text(known.get("type")) for word in _NOT_TEXT):
            self.left_out += 1
