"""The live answer to one prompt: fed on a background thread, watched, awaited or stopped from any other.

A turn is complete when `Reply._end` has run, and nothing else completes one.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

from nbchat.errors import ConnectionFailed, NbchatError, ReplyCutOff, ReplyInterrupted, shorten
from nbchat.history import Status, Turn
from nbchat.loop import TICK, Job, Latch
from nbchat.messages import Chunk, Finish, Notice, Reasoning, Usage

_FINISHES = {
    "length": "the reply reached its limit of tokens",
    "content_filter": "the provider's content filter ended the reply",
}


class Reply:
    """What comes back to one prompt: live while it streams, text once it is done.

    `await` it, iterate it with `for` or `async for`, or ask `result()`: all give the text, and all raise the
    provider's error if the reply failed. Of a stopped reply they give what came. An interrupt (or the
    cancelling of a task) that waits in one of them stops the reply.
    """

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.notices = turn.notices
        self.conversation = ""
        """The notebook's conversation that it belongs to."""
        self.follows = ""
        """Id of the turn before it."""
        self.error: NbchatError | None = None
        self._goes_on = bool(turn.chunks)
        self._is_at_limit = False
        self._began = time.monotonic()
        self._ended = Latch()
        self._lock = threading.Lock()  # a provider's thread feeds while another may end
        self._job: Job[None] | None = None
        self._finish: Callable[[], None] | None = None
        """What is to be done at the end, before anybody hears of it."""

    @classmethod
    def of(cls, turn: Turn) -> Reply:
        """The reply of a turn that has ended; how it failed is told, and not raised again."""
        reply = cls(turn)
        failure = [Notice(turn.error, lasting=True)] if turn.error else []
        reply.notices = failure + [notice for notice in turn.notices if notice.lasting]
        reply._ended.open()
        return reply

    def __repr__(self) -> str:
        if self.status in ("queued", "streaming"):
            who = self.turn.model or self.turn.provider
            return f"<Reply {self.status}: {len(self.text)} characters from {who} so far>"
        return f"<Reply {self.status}: {self.error or repr(shorten(self.text, 200))}>"

    @property
    def text(self) -> str:
        """The reply so far; once it is done, the whole."""
        return self.turn.text

    @property
    def reasoning(self) -> str:
        """What the model thought before it answered, where the provider tells."""
        return self.turn.reasoning

    @property
    def status(self) -> Status:
        """One of "queued", "streaming", "done", "stopped" and "failed"."""
        return self.turn.status

    @property
    def usage(self) -> Usage | None:
        """The tokens it took, where the provider tells."""
        return self.turn.usage

    @property
    def left_out(self) -> int:
        """How many older turns did not fit and were not sent."""
        return self.turn.left_out

    @property
    def seconds(self) -> float:
        """How long it has taken since it was sent."""
        return self.turn.seconds if self._ended.is_open else time.monotonic() - self._began

    def stop(self) -> None:
        """End the reply and keep what came; no error. Its request is dropped at the server."""
        if self._job is not None:
            self._job.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds for the end, on this thread; true if the reply has ended."""
        return self._ended.wait(timeout)

    def result(self, timeout: float | None = None) -> str:
        """Wait for the end, on this thread, and give the text.

        Raises:
            TimeoutError: After `timeout` seconds; the reply goes on.
            ProviderError: If the reply failed.
            ReplyInterrupted: If the wait was interrupted; the reply is stopped.
        """
        if not self._wait(timeout):
            raise TimeoutError(f"No end of the reply after {timeout:g} s; it goes on, and .stop() ends it.")
        return self._outcome()

    def __await__(self) -> Generator[Any, None, str]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> str:
        async for _ in self._looks():
            pass
        return self._outcome()

    def __iter__(self) -> Iterator[str]:
        seen, ended = 0, False
        while not ended:
            ended = self._wait(TICK)
            yield from self.turn.chunks[seen : (seen := len(self.turn.chunks))]
        self._outcome()

    async def __aiter__(self) -> AsyncIterator[str]:
        seen = 0
        async for _ in self._looks():
            new = self.turn.chunks[seen:]
            seen += len(new)
            for chunk in new:
                yield chunk
        self._outcome()

    def _wait(self, timeout: float | None) -> bool:
        try:
            return self.wait(timeout)
        except KeyboardInterrupt:
            self.stop()
            raise ReplyInterrupted(len(self.text)) from None

    async def _looks(self) -> AsyncIterator[None]:
        """Yield at each tick until the reply has ended, and once more then."""
        ended = asyncio.wrap_future(self._ended)
        try:
            while not ended.done():
                await asyncio.wait([ended], timeout=TICK)
                yield
        except asyncio.CancelledError as cancelled:
            self.stop()
            # A kernel's interrupt cancels the cell's task; a subclass would not do for `asyncio.timeout`.
            line = str(ReplyInterrupted(len(self.text)))
            cancelled._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]  # IPython looks for it
            raise

    def _outcome(self) -> str:
        if self.error is not None:
            raise self.error
        return self.text

    def _feed(self, chunk: Chunk) -> bool:
        """Take in one chunk from the provider; false if the reply has ended, and wants no more."""
        with self._lock:
            if self._ended.is_open:
                return False
            if isinstance(chunk, Reasoning):
                self.turn.thoughts.append(chunk.text)
            elif isinstance(chunk, Usage):
                self.turn.usage = chunk
            elif isinstance(chunk, Notice):
                self.notices.append(chunk)
            elif isinstance(chunk, Finish):
                self._is_at_limit = chunk.reason == "length"
                if word := _FINISHES.get(chunk.reason):
                    self.notices.append(Notice(word, lasting=True))
            elif chunk:
                self.turn.chunks.append(chunk)
            return True

    def _end(self, status: Status, error: NbchatError | None = None) -> None:
        """Complete the turn; only the first call counts."""
        with self._lock:
            if self._ended.is_open:
                return
            turn = self.turn
            if status == "done" and not turn.chunks:
                self.notices.append(Notice("the reply is empty", lasting=True))
            self.error = error
            turn.error = str(error) if error else ""
            broken = isinstance(error, ReplyCutOff | ConnectionFailed) or (error is not None and self._goes_on)
            turn.cut = bool(turn.chunks) and (status == "stopped" or broken or self._is_at_limit)
            turn.seconds = time.monotonic() - self._began
            turn.status = status
            if self._finish:
                self._finish()
            self._ended.open()
