"""Background threads with asyncio loops, and nested loops for users: the only place that knows of either.

One thread, `shared()`, does the network I/O of all of nbchat's own providers. A provider that somebody
else wrote, a test server, a live display or the panels get a `Worker` of their own, so that it can block nobody.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from math import inf
from typing import Any, TypeVar

from nbchat.errors import NbchatError

T = TypeVar("T")

TICK = 0.05
"""Seconds between two looks at something that grows on another thread; an interrupt is seen as fast."""


class Job(Future[T]):
    """A coroutine at work on a worker's loop.

    Unlike a plain future it ends only when the coroutine has: `cancel` asks, and is answered by the end.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> None:
        super().__init__()
        self._loop = loop
        self._task: asyncio.Task[T] | None = None
        loop.call_soon_threadsafe(self._start, work)

    def _start(self, work: Coroutine[Any, Any, T]) -> None:
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
        elif error := task.exception():
            self.set_exception(error)
        else:
            self.set_result(task.result())

    def cancel(self) -> bool:
        """Ask the coroutine to end; `done()` turns true when it has."""
        if self.done() or self._loop.is_closed():
            return False
        self._loop.call_soon_threadsafe(self._cancel_task)
        return True

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()


class Worker:
    """A daemon thread that runs an asyncio loop until `stop`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._end_tasks()
        finally:
            self._loop.close()

    def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=1))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs; it does not in a forked child, nor after `stop`."""
        return self._thread.is_alive()

    def submit(self, work: Coroutine[Any, Any, T]) -> Job[T]:
        """Start a coroutine on this thread; called from any other.

        Raises:
            NbchatError: If the thread has ended.
        """
        if not self.is_alive or self._loop.is_closed():
            work.close()
            raise NbchatError("Nothing can be sent any more: this Python process is about to end.")
        return Job(self._loop, work)

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on this thread soon; from any other thread. Once the thread has ended, nothing happens."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, *arguments)

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Start a coroutine on this thread and wait for its result.

        Raises:
            TimeoutError: After `timeout` seconds; the coroutine is asked to end.
        """
        job = self.submit(work)
        try:
            wait(job, timeout)
            return job.result(0)
        except BaseException:  # an interrupt here must not leave the coroutine running
            job.cancel()
            raise

    def stop(self, *, patience: float = 2.0) -> None:
        """End the loop and what runs on it; a thread that is stuck is left behind after `patience` seconds."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(patience)

    def abandon(self) -> None:
        """Leave a thread behind that is stuck in somebody else's code; what that still says interests nobody."""
        self._loop.set_exception_handler(lambda *_: None)
        self.stop(patience=0)


class Latch(Future[None]):
    """A future without a result that the main thread may wait for, and be interrupted at any moment.

    An interrupt that comes within a `threading.Condition`, which events and futures are made of, can leave its lock
    locked for ever; then the thread that sets the result is stuck, and so is whoever asks next. So only a bare lock
    is waited for here, and a plain attribute is asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False
        self._bolt = threading.Lock()
        self._bolt.acquire()

    def open(self) -> None:
        """Set the result; only once."""
        self.set_result(None)
        self.is_open = True
        self._bolt.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait on this thread at most `timeout` seconds until it is open; true if it is."""
        end = inf if timeout is None else time.monotonic() + timeout
        while not self.is_open and (left := end - time.monotonic()) > 0:
            if self._bolt.acquire(timeout=min(TICK, left)):
                self._bolt.release()  # for others who wait
        return self.is_open


def wait(future: Future[Any], timeout: float | None = None) -> bool:
    """Wait on this thread until the future is done or `timeout` seconds are over; true if it is done.

    Waits in slices, so that an interrupt is seen at once on every platform.
    """
    latch = Latch()
    future.add_done_callback(lambda _: latch.open())
    return latch.wait(timeout)


class SharedWorker:
    """A worker that is started when it is first asked for; a forked child, which has no threads, gets its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._worker: Worker | None = None

    def get(self) -> Worker:
        """The worker."""
        with self._lock:
            if self._worker is None:
                self._worker = Worker(self._name)
                atexit.register(self._worker.stop)
            return self._worker


shared = SharedWorker("nbchat").get
"""The thread on which all of nbchat's own providers run; started by the first reply."""


def allow_nested_loops() -> bool:
    """Let `asyncio.run(…)` work in a cell; false where the running loop cannot be patched (uvloop).

    This is for users' own code: nbchat never nests a loop.
    """
    if sys.version_info >= (3, 14):
        import nest_asyncio2 as nest_asyncio
    else:
        import nest_asyncio
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a terminal: no loop runs while a cell does, so there is nothing to nest in
        return True
    if not isinstance(loop, asyncio.BaseEventLoop):
        return False
    nest_asyncio.apply(loop)
    return True
