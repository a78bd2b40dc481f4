"""Letting a provider answer one prompt: what it is asked with, on which thread, and how it failed."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from nbchat.errors import NbchatError, ProviderError
from nbchat.loop import Worker, shared
from nbchat.messages import Chunk, Messages, Notice
from nbchat.providers import registry
from nbchat.providers.adapt import chunks, is_ours
from nbchat.providers.base import is_secret, shared_loop
from nbchat.providers.failures import redact
from nbchat.reply import Reply

_GRACE = 0.15
"""Seconds that a stopped provider has to end by itself before it is abandoned."""
_SLICE = 0.02
"""Seconds for which a provider that never waits may keep its loop to itself."""
_GO_ON = "Your reply was cut off. Go on exactly where it ends, with the next character, and repeat nothing of it."


@dataclass(frozen=True)
class Call:
    """What a turn is asked for with."""

    choice: registry.Choice
    history: bool
    own_system: str | None
    own_options: dict[str, Any]
    """This prompt's own, for when it is retried."""
    system: str
    options: dict[str, Any]
    begun: str = ""
    """The reply so far, if this is to go on from it."""

    @property
    def remembers(self) -> bool:
        """Whether the turns before are sent, too."""
        return self.history and getattr(self.choice.provider, "supports_message_history", True)


class Asker:
    """Lets providers answer the prompts of one conversation, one by one."""

    def __init__(self) -> None:
        self._queue = _Queue()
        self._worker: Worker | None = None

    def turnstile(self) -> asyncio.Lock:
        """What lets one reply through at a time."""
        return self._queue.turnstile()

    async def ask(self, reply: Reply, call: Call, messages: Messages) -> None:
        """Let the provider answer: ours on this loop, anybody else's on a thread of its own, as it may block."""
        work = _gather(reply, chunks(call.choice.provider, call.choice.model, messages, call.options))
        if is_ours(call.choice.provider):
            shared_loop.set(True)
            await work
        else:
            await self._ask_elsewhere(reply, work)

    async def _ask_elsewhere(self, reply: Reply, work: Coroutine[Any, Any, None]) -> None:
        if self._worker is None or not self._worker.is_alive:
            self._worker = Worker("nbchat-provider")
            weakref.finalize(self, self._worker.stop, patience=0)
        job = self._worker.submit(work)
        try:
            await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            if not job.done():
                await asyncio.wait([asyncio.wrap_future(job)], timeout=_GRACE)
            if not job.done():
                reply._feed(Notice(f"{reply.turn.provider} did not react to Stop and was abandoned", lasting=True))
                self._worker.abandon()
                self._worker = None
            raise


class _Queue:
    """Lets the replies of one conversation through one by one; a lock of asyncio's, which belongs to one loop."""

    def __init__(self) -> None:
        self._of: Worker | None = None

    def turnstile(self) -> asyncio.Lock:
        if self._of is not shared():  # in a forked child
            self._of = shared()
            self._lock = asyncio.Lock()
        return self._lock


def going_on(messages: Messages, begun: str) -> Messages:
    """The messages, and if a reply is to go on its beginning and the word for it."""
    if not begun:
        return messages
    return [*messages, {"role": "assistant", "content": begun}, {"role": "user", "content": _GO_ON}]


def end_with_job(reply: Reply, job: Future[None]) -> None:
    """End a reply that its job has not ended: it was stopped, or nbchat itself is at fault."""
    error = None if job.cancelled() else job.exception()
    reply._end("failed" if error else "stopped", NbchatError(f"{type(error).__name__}: {error}") if error else None)


async def _gather(reply: Reply, source: AsyncGenerator[Chunk, None]) -> None:
    """Feed a provider's chunks to the reply until they, or the reply, end."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        async with aclosing(source):
            async for chunk in source:
                if not reply._feed(chunk):
                    break
                if loop.time() - started > _SLICE:  # it may have chunks without end, and never wait
                    await asyncio.sleep(0)
                    started = loop.time()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ProviderError("cancelled its own task", provider=reply.turn.provider) from error
    except Exception:
        raise  # `_run` explains it
    except BaseException as error:  # a provider that calls sys.exit() must not end this thread
        what = f"ended with {type(error).__name__}: {redact(str(error))}".removesuffix(": ")
        raise ProviderError(what, provider=reply.turn.provider) from None


def explained(error: Exception, call: Call) -> NbchatError:
    """The error to show: ours as it is, a stranger's as one of ours; what is known of the service is added."""
    choice = call.choice
    if not isinstance(error, NbchatError):
        words = redact(str(error), _secrets(call.options))
        stranger = ProviderError(f"failed: {type(error).__name__}: {words}", provider=choice.name)
        if words == str(error):  # else the cause would show what was hidden
            stranger.__cause__ = error
        error = stranger
    if isinstance(error, ProviderError) and not getattr(choice.provider, "working", True):
        known = f"{choice.name} was last known not to answer: use another model (`%chat models`)."
        error.advice = f"{error.advice.removesuffix('Try again later.')} {known}".lstrip()
    return error


def _secrets(options: dict[str, Any]) -> list[str]:
    """The values of options that are called like secrets."""
    return [value for name, value in options.items() if isinstance(value, str) and is_secret(name)]
