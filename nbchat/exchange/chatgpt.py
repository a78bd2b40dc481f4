"""ChatGPT's export: each conversation is a tree of messages, of which one branch was on view last.

OpenAI does not document the format; this is what exports of 2023 to 2026 hold, by what others found in theirs. A node
has a `message` and a `parent`; `current_node` is the last one of the branch. Messages that are hidden, or are for tools
or from them, are left out, and so are images and files, which the turn says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from nbchat.exchange import believed
from nbchat.exchange.conversation import Conversation, Said, turns_of

_HIDDEN = "is_visually_hidden_from_conversation"
_TO_ALL = ("all", "", None)
"""The recipient of what is said to the user; a call names its tool there."""
_NO_MODEL = "auto"

_MARKED = re.compile("\ue200([^\ue200\ue201]*)\ue201|[\ue200-\ue206]")
"""Marks that the page replaces: a citation is `\\ue200cite\\ue202turn0search1\\ue201`."""
_SEPARATOR = "\ue202"


def conversation(record: Any) -> Conversation:
    """One conversation of an export."""
    known = believed.mapping(record)
    model = _model(known.get("default_model_slug"))
    said = (found for message in _branch(known) if (found := _said(message, model)))
    return Conversation(believed.name(known.get("title")), None, turns_of(said))


def _branch(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages from the first to the current one."""
    nodes = {name: believed.mapping(node) for name, node in believed.mapping(record.get("mapping")).items()}
    name = believed.text(record.get("current_node"))
    if name not in nodes:
        name = max(nodes, key=lambda name: _time(nodes[name]), default="")
    messages = []
    while node := nodes.pop(name, None):  # no node twice, whatever the parents are
        messages.append(believed.mapping(node.get("message")))
        name = believed.text(node.get("parent"))
    return messages[::-1]


def _time(node: dict[str, Any]) -> float:
    when = believed.moment(believed.mapping(node.get("message")).get("create_time"))
    return when.timestamp() if when else 0.0


def _said(message: dict[str, Any], model: str) -> Said | None:
    """What a message says to the reader; None if it is not for the reader."""
    metadata, content = believed.mapping(message.get("metadata")), believed.mapping(message.get("content"))
    role = believed.mapping(message.get("author")).get("role")
    if metadata.get(_HIDDEN) or message.get("recipient") not in _TO_ALL or role not in ("user", "assistant", "tool"):
        return None
    text, reasoning, left_out = _content(content)
    if role == "tool":  # it is told only what pictures it made
        text = reasoning = ""
    else:
        text = _without_marks(text, believed.sequence(metadata.get("content_references")))
        left_out = max(left_out, len(believed.sequence(metadata.get("attachments"))))
    if not (text or reasoning or left_out):
        return None
    when = believed.moment(message.get("create_time"))
    slug = _model(metadata.get("model_slug")) or model
    return Said("user" if role == "user" else "assistant", text, reasoning, when, slug, left_out)


def _content(content: dict[str, Any]) -> tuple[str, str, int]:
    """The text, the reasoning, and how many images there are."""
    kind = content.get("content_type", "text")
    if kind == "thoughts":
        return "", "\n\n".join(_thoughts(content)), 0
    if kind == "code":
        return _fenced(believed.text(content.get("text")), believed.text(content.get("language"))), "", 0
    if kind not in ("text", "multimodal_text"):  # what the user has told of themselves, how long it thought, …
        return "", "", 0
    parts = believed.sequence(content.get("parts"))
    texts = [believed.text(part) or believed.text(believed.mapping(part).get("text")) for part in parts]
    images = sum(believed.mapping(part).get("content_type") == "image_asset_pointer" for part in parts)
    return "\n\n".join(filter(None, texts)), "", images


def _thoughts(content: dict[str, Any]) -> Iterator[str]:
    for thought in map(believed.mapping, believed.sequence(content.get("thoughts"))):
        title = believed.name(thought.get("summary"))
        yield "\n\n".join(filter(None, [f"**{title}**" if title else "", believed.text(thought.get("content"))]))


def _fenced(code: str, language: str) -> str:
    fence = max(["```", *(f"{run}`" for run in re.findall("`{3,}", code))], key=len)
    return f"{fence}{language if re.fullmatch('[a-z0-9+#]+', language) else ''}\n{code}\n{fence}" if code else ""


def _without_marks(text: str, references: list[Any]) -> str:
    """The text with its sources as links, and the names in it as names."""
    sources = {believed.text(known.get("matched_text")): known for known in map(believed.mapping, references)}
    return _MARKED.sub(lambda mark: _instead(mark, sources), text)


def _instead(mark: re.Match[str], sources: dict[str, dict[str, Any]]) -> str:
    kind, _, told = (mark[1] or "").partition(_SEPARATOR)
    if mark[0] in sources:
        return believed.text(sources[mark[0]].get("alt")) or ", ".join(_links(sources[mark[0]]))
    if kind != "entity":
        return ""
    try:
        _, name, *_ = json.loads(told)
    except (ValueError, TypeError, RecursionError):  # not a list of two or more
        return ""
    return believed.text(name)


def _links(source: dict[str, Any]) -> Iterator[str]:
    for item in map(believed.mapping, believed.sequence(source.get("items"))):
        url = believed.text(item.get("url"))
        words = believed.name(item.get("attribution")) or believed.name(item.get("title")) or url
        if re.fullmatch(r"https?://[^\s<>()]+", url):
            yield f"[{words.translate({91: None, 93: None})}]({url})"


def _model(slug: Any) -> str:
    name = believed.name(slug)
    return "" if name == _NO_MODEL else name
