"""What a provider gets of a conversation: the system prompt, as many of the turns as fit, and the prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import NamedTuple

from nbchat.history.garbage import no_collection
from nbchat.history.sums import digest_of_turns
from nbchat.history.turn import Turn, bytes_in, read_texts, sent_later
from nbchat.messages import Message

_NUMBER = re.compile(r"\d[\d,]{2,}")
_KEPT = 200
"""So many of the newest turns' texts stay in memory; those of older ones are read for each prompt."""
_BATCH = 64
"""How many turns are looked at together, from the newest on."""
_FRAME = 4
"""Tokens of a message beside its text, which takes about one for four bytes of UTF-8."""
_ROOM_TO_GROW = 0.75
"""Share of the limit that is filled anew when the oldest turns are left out: then the same turn comes first for a
while, and what the provider has cached of the messages before holds."""


class Window(NamedTuple):
    """What is sent, and what of the conversation is not."""

    messages: list[Message]
    left_out: int
    """How many older turns did not fit."""
    first: str
    """Id of the oldest turn that is sent, empty if none is or all are."""
    sent: str
    """Digest of the turns that are sent."""
    tokens: int
    """About how many tokens that takes, counted as it is for what fits."""


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
    own = sum(_tokens(text) for text in (system, prompt) if text)
    with no_collection():
        kept, used, are_all = _newest(earlier, most_tokens - own, first)
        read_texts(kept[-_KEPT:])
        said = _said(kept)
        messages = [*head, *_messages(said, mark_cut), last]
    left_out = 0
    if not are_all or len(said) < len(kept):
        known = len(sent_later(earlier)) if sendable is None else sendable
        left_out = max(known - len(said), 1)  # somebody may have hidden some meanwhile
    oldest = next(iter(said), None) if left_out else None
    return Window(messages, left_out, oldest.id if oldest else "", digest_of_turns(list(said)), own + used)


def messages_of(turns: Sequence[Turn], *, mark_cut: bool = True) -> list[Message]:
    """What of these turns is sent with later prompts; texts that are not in memory are read at once, and not kept."""
    with no_collection():
        return _messages(_said(sent_later(turns)), mark_cut)


def size_that_fits(tokens: int, refusal: str) -> int:
    """About how many tokens to send where so many were refused as too long: always fewer.

    Many a refusal tells the limit and what was counted ("maximum context length is 8192 tokens … resulted in 9001");
    then as large a share of the messages as the one is of the other, and a little less.
    """
    told = [int(number.replace(",", "")) for number in _NUMBER.findall(refusal)]
    share = min(told) / max(told) if len(told) > 1 else 1.0
    return int(tokens * (share * 0.9 if 0.02 < share < 1 else 0.6))


def _newest(earlier: Sequence[Turn], room: float, first: str) -> tuple[list[Turn], int, bool]:
    """The newest whole turns that fit in about `room` tokens, oldest first; what they take; whether it is all.

    No text is read for that.
    """
    newest: list[Turn] = []
    sizes = [0]  # of so many of them together
    for turn in _backwards(earlier):
        used = sizes[-1] + turn.size // 4 + 2 * _FRAME
        if used > room:
            count = _cut_off(newest, sizes, room, first)
            return newest[:count][::-1], sizes[count], False
        newest.append(turn)
        sizes.append(used)
    return newest[::-1], sizes[-1], True


def _cut_off(newest: list[Turn], sizes: list[int], room: float, first: str) -> int:
    """How many to send where not all fit: down to where it began the last time, else so many that there is room."""
    again = next((count for count, turn in enumerate(newest, 1) if turn.id == first), 0)
    return again or max(sum(size <= room * _ROOM_TO_GROW for size in sizes[1:]), min(1, len(newest)))


def _backwards(earlier: Sequence[Turn]) -> Iterator[Turn]:
    """Those that are sent later, from the newest on."""
    for end in range(len(earlier), 0, -_BATCH):
        yield from reversed(sent_later(earlier[max(0, end - _BATCH) : end]))


def _said(turns: Sequence[Turn]) -> dict[Turn, tuple[str, str]]:
    """Prompt and reply of these turns, but of those that are lost; what has not been read is read at once."""
    unread = [turn for turn in turns if not turn.is_read]
    said = unread[0].said_with(unread) if unread else {}
    read_texts([turn for turn in unread if turn not in said])
    return {turn: said.get(turn) or (turn.prompt, turn.text) for turn in turns if turn in said or not turn.is_lost}


def _messages(said: Mapping[Turn, tuple[str, str]], mark_cut: bool) -> list[Message]:
    return [message for turn, texts in said.items() for message in turn.as_messages(*texts, mark_cut=mark_cut)]


def _tokens(text: str) -> int:
    """About how many tokens a message takes."""
    return bytes_in(text) // 4 + _FRAME
