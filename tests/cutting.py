"""Feeds a body to a decoder in every way that a network may cut it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Any

from nbchat.messages import Chunk, Reasoning
from nbchat.providers.streams import CutOff, Decoder, ErrorEvent, WrongBody

SMALL = 70
"""Bytes up to which a body is cut at every pair of places."""


def cuts(body: bytes) -> Iterator[list[bytes]]:
    """The body whole, byte by byte, cut at every place, and if it is small at every pair of places."""
    yield [body]
    yield [body[place : place + 1] for place in range(len(body))]
    places = range(len(body) + 1)
    for count in (1, 2) if len(body) <= SMALL else (1,):
        for cut in combinations(places, count):
            yield [body[start:end] for start, end in zip((0, *cut), (*cut, len(body)), strict=True)]


def decode(decoder: Decoder, pieces: Iterable[bytes]) -> list[Any]:
    """What comes out: chunks, neighbours of a kind joined, and at the end the error if there was one.

    As the network code does, it stops feeding a decoder that is done.
    """
    found: list[Any] = []
    try:
        for piece in pieces:
            if decoder.done:
                break
            add(found, decoder.decode(piece))
        add(found, decoder.flush())
    except ErrorEvent as problem:
        found.append(("error", problem.payload))
    except CutOff as problem:
        found.append(("cut", problem.reason))
    except WrongBody as problem:
        found.append(("wrong", problem.reason, problem.excerpt))
    return found


def add(found: list[Any], chunks: Iterable[Chunk]) -> None:
    """Append chunks, joined to the last one if it is of the same kind."""
    for chunk in chunks:
        assert chunk not in ("", Reasoning("")), "an empty chunk is none"
        last = found[-1] if found else None
        if isinstance(chunk, str) and isinstance(last, str):
            found[-1] = last + chunk
        elif isinstance(chunk, Reasoning) and isinstance(last, Reasoning):
            found[-1] = Reasoning(last.text + chunk.text)
        else:
            found.append(chunk)


def assert_decodes(new: Callable[[], Decoder], body: bytes, expected: list[Any]) -> None:
    """Require the same chunks however the body is cut."""
    for pieces in cuts(body):
        assert decode(new(), pieces) == expected, pieces
