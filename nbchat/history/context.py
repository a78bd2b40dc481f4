"""What a provider gets of a conversation: the system prompt, as many of the turns as fit, and the prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple

from nbchat.history.garbage import no_collection
from nbchat.history.sums import digest_of_turns
from nbchat.history.turn import Turn, read_texts, sent_later
from nbchat.messages import Message

_NUMBER = re.compile(r"\d[\d,]{2,}")
_FIRST_BATCH, _BATCH = 16, 512
"""How many turns are read at a time, from the newest on: ever more."""
_KEPT = 128
"""Batches of up to so many stay in memory; of a longer conversation the older texts are read for each prompt."""
_ROOM_TO_GROW = 0.75
"""Share of the limit that is filled anew when the oldest turns are left out: then the same turn comes first for a
while, and what the provider has cached of the messages before holds."""

Said = tuple[Turn, tuple[str, str]]
"""A turn, and its prompt and reply."""


class Window(NamedTuple):
    """What is sent, and what of the conversation is not."""

    messages: list[Message]
    left_out: int
    """How many older turns did not fit."""
    first: str
    """Id of the oldest turn that is sent, empty if none is or all are."""
    sent: str
    """Digest of the turns that are sent."""


def context(
    earlier: Sequence[Turn],
    prompt: str,
    *,
    system: str = "",
    most_tokens: float = inf,
    first: str = "",
    mark_cut: bool = True,
    sendable: int | None = None,
) -> Window:
    """Gather what a provider gets for a prompt.

    Args:
        earlier: The turns before, oldest first; those that failed, have no text or are hidden are not sent.
        prompt: What is asked.
        system: The system prompt, sent first if there is one.
        most_tokens: Leave out the oldest turns beyond about this many tokens.
        first: The turn that came first the last time: it does again as long as there is room.
        mark_cut: Whether a cut reply is marked as such.
        sendable: How many of the earlier turns could be sent, if that is known; else all of them are looked at.
    """
    head: list[Message] = [{"role": "system", "content": system}] if system else []
    last: Message = {"role": "user", "content": prompt}
    with no_collection():
        kept, are_all = _newest(earlier, most_tokens - _tokens(system) - _tokens(prompt), first)
        kept.reverse()
        messages = [*head, *_messages(kept, mark_cut), last]
    left_out = 0
    if not are_all:
        known = len(sent_later(earlier)) if sendable is None else sendable
        left_out = max(known - len(kept), 1)  # somebody may have hidden some meanwhile
    sent = digest_of_turns([turn for turn, _ in kept])
    return Window(messages, left_out, kept[0][0].id if left_out and kept else "", sent)


def messages_of(turns: Sequence[Turn], *, mark_cut: bool = True) -> list[Message]:
    """The messages that these turns are sent as; texts that are not in memory are read at once, and not kept."""
    with no_collection():
        return _messages([(turn, texts) for turn, texts in _said(turns) if texts], mark_cut)


def size_that_fits(messages: Sequence[Message], refusal: str) -> int:
    """About how many tokens to send of messages that were refused as too long.

    Many a refusal tells the limit and what was counted ("maximum context length is 8192 tokens … resulted in 9001");
    then as large a share of the messages as the one is of the other, and a little less.
    """
    told = [int(number.replace(",", "")) for number in _NUMBER.findall(refusal)]
    share = min(told) / max(told) if len(told) > 1 else 1.0
    sent = sum(_tokens(str(message["content"])) for message in messages)
    return int(sent * (share * 0.9 if 0.02 < share < 1 else 0.6))


def _newest(earlier: Sequence[Turn], room: float, first: str) -> tuple[list[Said], bool]:
    """The newest whole turns that fit in about `room` tokens, with their texts; newest first. Whether it is all."""
    newest: list[Said] = []
    sizes: list[int] = []
    used, are_all = 0, True
    for turn, texts in _backwards(earlier):
        if texts is None:
            are_all = False
            continue
        used += _tokens(texts[0]) + _tokens(texts[1])
        if used > room:
            return newest[: _cut_off(newest, sizes, room, first)], False
        newest.append((turn, texts))
        sizes.append(used)
    return newest, are_all


def _cut_off(newest: list[Said], sizes: list[int], room: float, first: str) -> int:
    """How many to send where not all fit: down to where it began the last time, else so many that there is room."""
    again = next((count for count, (turn, _) in enumerate(newest, 1) if turn.id == first), 0)
    return again or max(sum(size <= room * _ROOM_TO_GROW for size in sizes), min(1, len(sizes)))


def _backwards(earlier: Sequence[Turn]) -> Iterator[tuple[Turn, tuple[str, str] | None]]:
    """Those that are sent later, with their texts, from the newest on."""
    end, size = len(earlier), _FIRST_BATCH
    while end > 0:
        batch = sent_later(earlier[max(0, end - size) : end])
        if size <= _KEPT:
            read_texts(batch)
        yield from _said(batch[::-1])
        end, size = end - size, min(2 * size, _BATCH)


def _said(turns: Sequence[Turn]) -> Iterator[tuple[Turn, tuple[str, str] | None]]:
    """Prompt and reply of these turns, None if they are lost; those that have not been read are read at once."""
    unread = [turn for turn in turns if not turn.is_read]
    said = unread[0].said_with(unread) if unread else {}
    read_texts([turn for turn in unread if turn not in said])
    for turn in turns:
        yield turn, said.get(turn) or (None if turn.is_lost else (turn.prompt, turn.text))


def _messages(turns: Sequence[Said], mark_cut: bool) -> list[Message]:
    return [message for turn, texts in turns for message in turn.as_messages(*texts, mark_cut=mark_cut)]


def _tokens(text: str) -> int:
    """About how many tokens a message takes: four bytes of UTF-8 each, and four for its frame."""
    return (len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))) // 4 + 4
