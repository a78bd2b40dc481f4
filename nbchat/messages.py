"""The shapes that travel between a conversation and its providers.

A conversation is a list of *messages*; a provider answers it with *chunks*. Most chunks are
plain `str`; the few values beside text (`Reasoning`, `Usage`, `Finish`, `Notice`) are not
strings, so that a consumer of text can skip them with one `isinstance`.

This module imports nothing of nbchat; every other module may import it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    """One message, in the shape that every provider takes.

    `content` is text, or a list of parts (`{"type": "text", "text": …}`, `{"type": "image_url", …}`).
    """

    role: Role
    content: str | list[dict[str, Any]]


Messages = Sequence[Message]


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model thought before it answered; shown apart from the reply's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """How many tokens a reply took, as the provider counted them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the model ended its reply: "stop", "length", "content_filter" or the provider's own word."""

    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A short word to the user about a reply under way, such as "rate limited, retrying in 4 s"."""

    text: str
    lasting: bool = False
    """Still worth saying once the reply has ended."""


Chunk = str | Reasoning | Usage | Finish | Notice

_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Make text that can be encoded: halves of a surrogate pair are joined, a lone one becomes U+FFFD."""
    if not _SURROGATE.search(text):
        return text
    joined = _SURROGATE_PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return _SURROGATE.sub("\ufffd", joined)


def text_of(message: Message) -> str:
    """The text of a message; of a list of parts, the text parts, joined by newlines."""
    content = message["content"]
    if isinstance(content, str):
        return clean(content)
    return clean("\n".join(part["text"] for part in content if part.get("type") == "text"))
