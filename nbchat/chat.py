"""The centre: a conversation, which is a history and what its prompts are sent with.

`Chat.send` puts a turn into the history, starts the provider on a background thread, and returns a `Reply` at
once. Text gathers in it on that thread; whoever wants it looks (or waits) on their own.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NamedTuple

from nbchat.config import settings
from nbchat.errors import NbchatError, ProviderError, UsageProblem
from nbchat.history import History, Turn, context
from nbchat.loop import Worker, shared
from nbchat.messages import Chunk, Message, Messages, Notice, clean
from nbchat.notebook import Cell, SendCounter
from nbchat.providers import registry
from nbchat.providers.adapt import chunks, is_ours, options_of
from nbchat.providers.base import shared_loop
from nbchat.providers.failures import redact
from nbchat.reply import Reply

_GRACE = 0.15
"""Seconds that a stopped provider has to end by itself before it is abandoned."""
_SLICE = 0.02
"""Seconds for which a provider that never waits may keep its loop to itself."""


class Preview(NamedTuple):
    """What a prompt would be sent as."""

    model: str
    provider: str
    options: dict[str, Any]
    """Without keys and the like."""
    messages: Messages


@dataclass(frozen=True)
class _Call:
    """What a turn is asked for with."""

    choice: registry.Choice
    history: bool
    own_system: str | None
    own_options: dict[str, Any]
    """This prompt's own, for when it is retried."""
    system: str
    options: dict[str, Any]


class Chat:
    """A conversation: a history, and what its prompts are sent with.

    Args:
        model: The model's name, such as `google-gemini` or `ollama/llama3.2`; without it the settings decide.
        provider: A provider's name, or any class or instance with a `create_async_generator`.
        system: The system prompt.
        base_url: Address of an OpenAI-compatible server, up to and with `/v1`.
        api_key: Key for that server; better kept in the service's environment variable.
        proxy: URL of a proxy for this conversation's requests.
        timeout: Seconds of silence after which a reply is given up.
        max_context: Send only the newest turns that fit in about this many tokens.
        **options: Whatever else the provider takes, such as `temperature` or `max_tokens`.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        provider: Any = None,
        system: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        proxy: str | None = None,
        timeout: float | None = None,
        max_context: int | None = None,
        **options: Any,
    ) -> None:
        self.system = system
        self.max_context = max_context
        self.options = options | ({} if timeout is None else {"timeout": timeout})
        self.history = History()
        self._proxy = proxy  # apart from what is shown, as it may hold a password
        self._first: registry.Choice | None = None
        if model or provider or base_url or api_key:
            self._first = _choose(model, provider, base_url, api_key)
        self._last = self._first
        self._calls: weakref.WeakKeyDictionary[Turn, _Call] = weakref.WeakKeyDictionary()
        self._replies: weakref.WeakValueDictionary[str, Reply] = weakref.WeakValueDictionary()
        self._cells: SendCounter | None = None
        self._lock = threading.Lock()  # so that turns are asked in the order of the history
        self._queue = _Queue()
        self._worker: Worker | None = None

    def __repr__(self) -> str:
        return f"<Chat with {self.model}: {len(self.history)} turn{'s' * (len(self.history) != 1)}>"

    @property
    def model(self) -> str:
        """The model that the next prompt goes to unless it names another."""
        return self._last.model or self._last.name if self._last else settings().default_model()

    @property
    def messages(self) -> Messages:
        """The conversation as messages, oldest first, as the next prompt would be sent after."""
        system = self._system()
        first: Messages = [{"role": "system", "content": system}] if system else []
        return [*first, *(message for turn in self.history if turn.sent_later for message in turn.messages())]

    def send(
        self,
        prompt: str,
        *,
        model: str | None = None,
        provider: Any = None,
        base_url: str | None = None,
        system: str | None = None,
        history: bool = True,
        new: bool = False,
        **options: Any,
    ) -> Reply:
        """Send a prompt; the reply starts at once, or when the one before it in this conversation has ended.

        Args:
            prompt: What to ask.
            model: A model for this prompt and the ones after it.
            provider: A provider's name, class or instance, likewise.
            base_url: Address of an OpenAI-compatible server, likewise.
            system: A system prompt for this prompt only.
            history: False to send without earlier turns, and keep no turn.
            new: Forget the conversation first (as `reset` does); not with `history=False`, which keeps it as it is.
            **options: For this prompt only: `temperature`, `max_tokens`, `proxy`, `timeout` and whatever the
                provider takes.

        Raises:
            UsageProblem: If there is nothing to send, or no such model or provider; nothing is sent then, and
                nothing forgotten.
        """
        _require_text(prompt)
        cell = self._cells.next() if self._cells and history else None
        choice = self._choice(model, provider, base_url, cell)
        call = self._call(choice, history, system, options)
        turn = Turn(clean(prompt), choice.model, choice.name, cell)
        if not history:
            return self._start(turn, call)
        if new:
            self.reset()
        with self._lock:
            self._last = choice
            self._stop_turn(self.history.add(turn))
            return self._start(turn, call)

    def retry(self, model: str | None = None) -> Reply:
        """Send the last prompt again, to another model if one is named; its new reply takes the old one's place.

        Raises:
            UsageProblem: If there is no turn yet, or no such model; nothing is changed then.
        """
        choice = _choose(model) if model else None
        if not self.history:
            raise UsageProblem("There is nothing to retry: this conversation has no turn yet.")
        old = self.history[-1]
        before = self._calls[old]
        call = self._call(choice or before.choice, True, before.own_system, before.own_options)
        turn = Turn(old.prompt, call.choice.model, call.choice.name, old.cell)
        with self._lock:
            self._last = call.choice
            self.history.replace(old, turn)
            self._stop_turn(old)
            return self._start(turn, call)

    def preview(
        self,
        prompt: str,
        *,
        model: str | None = None,
        provider: Any = None,
        base_url: str | None = None,
        system: str | None = None,
        history: bool = True,
        new: bool = False,
        **options: Any,
    ) -> Preview:
        """What `send`, which takes and raises the same, would send now, and to whom; nothing is sent."""
        _require_text(prompt)
        cell = self._cells.peek() if self._cells and history else None
        call = self._call(self._choice(model, provider, base_url, cell), history, system, options)
        earlier = [] if new else self._earlier(call, self.history.of_cell(cell))
        messages, _ = self._context(earlier, clean(prompt), call.system)
        shown = {name: value for name, value in call.options.items() if not _is_secret(name)}
        return Preview(call.choice.model, call.choice.name, shown, messages)

    def stop(self) -> int:
        """Stop all replies of this conversation that are under way, and say how many."""
        live = [reply for reply in list(self._replies.values()) if not reply.wait(0)]
        for reply in reversed(live):  # the last first, so that none of those in the queue begins
            reply.stop()
        return len(live)

    def reply_of(self, turn: Turn) -> Reply:
        """The reply of a turn, be it under way or done; one that failed is not raised again."""
        reply = self._replies.get(turn.id)
        return reply if reply and not reply.error else Reply.of(turn)

    def reset(self) -> int:
        """Forget all turns, and say how many; `undo` brings them back, once later turns are undone."""
        self.stop()
        return self.history.reset()

    def undo(self) -> list[Turn]:
        """Take back the last turn; where there is none, undo a reset. The turns concerned, none if there are none."""
        turns = self.history.undo()
        for turn in turns:
            if turn not in self.history:
                self._stop_turn(turn)
        return turns

    def _choice(self, model: str | None, provider: Any, base_url: str | None, cell: Cell | None) -> registry.Choice:
        """Whom to ask. A prompt that names nobody: the last one asked; in a cell run again, the last before it."""
        if model or provider or base_url:
            return _choose(model, provider, base_url)
        old = self.history.of_cell(cell)
        if old is None:
            return self._last or _choose(None)
        earlier = self.history.before(old)
        return self._calls[earlier[-1]].choice if earlier else self._first or _choose(None)

    def _call(self, choice: registry.Choice, history: bool, system: str | None, own: dict[str, Any]) -> _Call:
        return _Call(choice, history, system, own, self._system(system), self._options(choice, own))

    def _options(self, choice: registry.Choice, own: dict[str, Any]) -> dict[str, Any]:
        """What to pass to the provider: the settings' defaults, then the conversation's, then this prompt's."""
        defaults = {name: getattr(settings(), name) for name in ("temperature", "max_tokens", "timeout")}
        given = {name: value for name, value in ({"proxy": self._proxy} | self.options | own).items()}
        given = {name: value for name, value in given.items() if value is not None}
        takes = options_of(choice.provider)
        if takes is not None:
            if unknown := [name for name in given if name not in takes]:
                raise UsageProblem(f"{choice.name} takes no {' and no '.join(unknown)}.")
            defaults = {name: value for name, value in defaults.items() if name in takes}
        return {name: value for name, value in (defaults | given).items() if value is not None}

    def _system(self, own: str | None = None) -> str:
        return clean(next((text for text in (own, self.system) if text is not None), settings().system))

    def _earlier(self, call: _Call, turn: Turn | None) -> list[Turn]:
        """The turns to send before this one."""
        remembers = call.history and getattr(call.choice.provider, "supports_message_history", True)
        return self.history.before(turn) if remembers else []

    def _context(self, earlier: list[Turn], prompt: str, system: str) -> tuple[list[Message], int]:
        most = settings().max_context if self.max_context is None else self.max_context
        return context(earlier, prompt, system=system, most_tokens=most)

    def _stop_turn(self, turn: Turn | None) -> None:
        if turn is not None and (reply := self._replies.get(turn.id)):
            reply.stop()

    def _start(self, turn: Turn, call: _Call) -> Reply:
        reply = Reply(turn)
        reply.notices += self._unseen()
        self._calls[turn] = call
        self._replies[turn.id] = reply
        reply._job = shared().submit(self._run(reply, call))
        reply._job.add_done_callback(lambda job: _end_with_job(reply, job))
        return reply

    def _unseen(self) -> list[Notice]:
        """A word about each reply that ended while its page was away; said once."""
        notices = []
        for number, turn in enumerate(self.history, 1):
            if turn.unseen:
                turn.unseen = False
                word = f"the reply to turn {number} ended while the page was away (%chat show {number} shows it)"
                notices.append(Notice(word, lasting=True))
        return notices

    async def _run(self, reply: Reply, call: _Call) -> None:
        """The life of one reply, on the loop thread."""
        async with self._queue.turnstile():
            earlier = self._earlier(call, reply.turn)
            messages, reply.left_out = self._context(earlier, reply.turn.prompt, call.system)
            reply.turn.status = "streaming"
            try:
                await self._ask(reply, call, messages)
            except Exception as error:  # a provider that somebody else wrote may raise anything
                reply._end("failed", _explained(error, call))
            else:
                reply._end("done")

    async def _ask(self, reply: Reply, call: _Call, messages: Messages) -> None:
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


def _end_with_job(reply: Reply, job: Future[None]) -> None:
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


def _explained(error: Exception, call: _Call) -> NbchatError:
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
    return [value for name, value in options.items() if isinstance(value, str) and _is_secret(name)]


def _is_secret(option: str) -> bool:
    return option.endswith(("key", "token", "secret", "password", "proxy"))


def _require_text(prompt: object) -> None:
    if not isinstance(prompt, str):
        raise UsageProblem(f"A prompt is text, not {type(prompt).__name__}.")
    if not prompt.strip():
        raise UsageProblem("There is nothing to send: the prompt is empty.")


def _choose(
    model: str | None, provider: Any = None, base_url: str | None = None, api_key: str | None = None
) -> registry.Choice:
    """Whom a model's name means; the key goes to this choice only, never along to a later one."""
    wanted = model if model or provider or base_url else settings().default_model()
    return registry.resolve(wanted, provider, base_url=base_url, api_key=api_key, aliases=settings().aliases)


class _Current:
    """Makes the notebook's conversation when it is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chat: Chat | None = None

    def get(self) -> Chat:
        """This notebook's conversation: the one of its `%%chat` cells."""
        with self._lock:
            if self._chat is None:
                self._chat = Chat()
                self._chat._cells = SendCounter()
            return self._chat

    def forget(self) -> None:
        """Let the next call of `get` begin anew."""
        self._chat = None


_current = _Current()
current = _current.get
