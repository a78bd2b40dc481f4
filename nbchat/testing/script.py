"""What a scripted reply is made of, and how it is played."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nbchat.messages import Chunk, Messages

Outcome = Literal["running", "done", "failed", "dropped"]


class Gate:
    """A place in a script at which it waits until the test lets it through; safe to use from any thread."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._open = threading.Event()

    def open(self) -> None:
        """Let the script through."""
        self._open.set()

    def wait_reached(self, timeout: float = 10) -> bool:
        """Wait at most `timeout` seconds, on this thread, until the script has come here."""
        return self._reached.wait(timeout)

    async def reached(self) -> None:
        """Wait until the script has come here."""
        await until(self._reached)

    async def pass_through(self) -> None:
        """Wait, as the script, until the gate is open."""
        self._reached.set()
        await until(self._open)


Piece = Chunk | bytes | float | Gate | BaseException
Script = Piece | Sequence[Piece] | Callable[[Messages], "Script"]


async def until(event: threading.Event) -> None:
    while not event.is_set():  # noqa: ASYNC110 - it is set on another thread, which knows nothing of this loop
        await asyncio.sleep(0.002)


async def waited(piece: Piece) -> bool:
    """Wait, if this piece is a wait."""
    if isinstance(piece, Gate):
        await piece.pass_through()
    elif isinstance(piece, int | float):
        await asyncio.sleep(piece)
    else:
        return False
    return True


def pieces_of(script: Script, messages: Messages) -> Sequence[Piece]:
    if callable(script):
        return pieces_of(script(messages), messages)
    return script if isinstance(script, list | tuple) else [script]  # type: ignore[list-item]  # no other sequence left


@dataclass
class Course:
    """What became of a call or a request, and a way to wait for that."""

    outcome: Outcome = field(default="running", init=False)
    """What became of it; "dropped" if whoever asked was gone before its end."""
    _over: threading.Event = field(default_factory=threading.Event, init=False, repr=False, compare=False)

    def wait_ended(self, timeout: float = 10) -> Outcome:
        """Wait at most `timeout` seconds, on this thread, for its end."""
        self._over.wait(timeout)
        return self.outcome

    async def ended(self) -> Outcome:
        """Wait for its end."""
        await until(self._over)
        return self.outcome

    def end(self, outcome: Outcome) -> None:
        """Say what became of it."""
        self.outcome = outcome
        self._over.set()
