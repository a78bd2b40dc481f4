"""The centre: a conversation (`Chat`) and the live answer to one prompt (`Reply`).

`Chat.send` puts a turn into the history, starts the provider on a background thread, and returns at once.
Text gathers in the reply on that thread; whoever wants it looks (or waits) on their own. A turn is complete
when `Reply._end` has run, and nothing else completes one.
"""

from __future__ import annotations

import asyncio
import functools
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from nbchat.config import settings
from nbchat.errors import ConnectionFailed, NbchatError, ProviderError, ReplyCutOff, UsageProblem
from nbchat.history import History, Status, Turn, context
from nbchat.loop import TICK, Job, Worker, shared, wait
from nbchat.messages import Chunk, Finish, Message, Messages, Notice, Reasoning, Usage, clean
from nbchat.notebook import SendCounter
from nbchat.providers import registry
from nbchat.providers.adapt import chunks, is_ours, options_of
from nbchat.providers.base import shared_loop
from nbchat.providers.failures import redact

_GRACE = 0.15
"""Seconds that a stopped provider has to end by itself before it is abandoned."""

_FINISHES = {
    "length": "the reply reached its limit of tokens",
    "content_filter": "the provider's content filter ended the reply",
}


class Reply:
    """What comes back to one prompt: live while it streams, text once it is done.

    `await` it, iterate it with `for` or `async for`, or ask `result()`: all give the text, and all raise the
    provider's error if the reply failed. Of a stopped reply they give what came. Interrupting or cancelling
    one that waits also stops the reply.
    """

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.notices: list[Notice] = []
        self.left_out = 0
        """How many older turns did not fit and were not sent."""
        self.error: NbchatError | None = None
        self._began = time.monotonic()
        self._ended: Future[None] = Future()
        self._job: Job[None] | None = None

    def __repr__(self) -> str:
        if self.status in ("queued", "streaming"):
            return f"<Reply {self.status}: {len(self.text)} characters from {self.turn.model} so far>"
        return f"<Reply {self.status}: {self.error or self.text!r}>"

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
    def seconds(self) -> float:
        """How long it has taken since it was sent."""
        return self.turn.seconds if self._ended.done() else time.monotonic() - self._began

    def stop(self) -> None:
        """End the reply and keep what came; no error. Its request is dropped at the server."""
        if self._job is not None:
            self._job.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds for the end, on this thread; true if the reply has ended."""
        return wait(self._ended, timeout)

    def result(self, timeout: float | None = None) -> str:
        """Wait for the end, on this thread, and give the text.

        Raises:
            TimeoutError: After `timeout` seconds; the reply goes on.
            ProviderError: If the reply failed.
        """
        try:
            if not self.wait(timeout):
                raise TimeoutError(f"No end of the reply after {timeout:g} s; it goes on, and .stop() ends it.")
        except KeyboardInterrupt:
            self.stop()
            raise
        return self._outcome()

    def __await__(self) -> Generator[Any, None, str]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> str:
        async for _ in self._looks():
            pass
        return self._outcome()

    def __iter__(self) -> Iterator[str]:
        seen, ended = 0, False
        try:
            while not ended:
                ended = self.wait(TICK)
                yield from self.turn.chunks[seen : (seen := len(self.turn.chunks))]
        except KeyboardInterrupt:
            self.stop()
            raise
        self._outcome()

    async def __aiter__(self) -> AsyncIterator[str]:
        seen = 0
        async for _ in self._looks():
            new = self.turn.chunks[seen:]
            seen += len(new)
            for chunk in new:
                yield chunk
        self._outcome()

    async def _looks(self) -> AsyncIterator[None]:
        """Yield at each tick until the reply has ended, and once more then."""
        ended = asyncio.wrap_future(self._ended)
        try:
            while not ended.done():
                await asyncio.wait([ended], timeout=TICK)
                yield
        except asyncio.CancelledError:
            self.stop()
            raise

    def _outcome(self) -> str:
        if self.error is not None:
            raise self.error
        return self.text

    def _feed(self, chunk: Chunk) -> None:
        """Take in one chunk from the provider. After the end (an abandoned provider) it is ignored."""
        if self._ended.done():
            return
        self.turn.status = "streaming"
        if isinstance(chunk, Reasoning):
            self.turn.reasoning += chunk.text
        elif isinstance(chunk, Usage):
            self.turn.usage = chunk
        elif isinstance(chunk, Notice):
            self.notices.append(chunk)
        elif isinstance(chunk, Finish):
            if word := _FINISHES.get(chunk.reason):
                self.notices.append(Notice(word, lasting=True))
        elif chunk:
            self.turn.chunks.append(chunk)

    def _end(self, status: Status, error: NbchatError | None = None) -> None:
        """Complete the turn; only the first call counts."""
        if self._ended.done():
            return
        self.error = error
        self.turn.error = str(error) if error else ""
        broken = status == "stopped" or isinstance(error, ReplyCutOff | ConnectionFailed)
        self.turn.cut = broken and bool(self.turn.chunks)
        self.turn.seconds = time.monotonic() - self._began
        self.turn.status = status
        self._ended.set_result(None)


@dataclass(frozen=True)
class _Call:
    """What a reply is asked for with, beside its turn."""

    choice: registry.Choice
    system: str
    history: bool
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
        self.options = options | {"proxy": proxy, "timeout": timeout}
        self.history = History()
        self._first: registry.Choice | None = None
        if model or provider or base_url or api_key:
            self._first = _choose(model, provider, base_url, api_key)
        self._last = self._first
        self._choices: weakref.WeakKeyDictionary[Turn, registry.Choice] = weakref.WeakKeyDictionary()
        self._replies: weakref.WeakValueDictionary[str, Reply] = weakref.WeakValueDictionary()
        self._cells: SendCounter | None = None
        self._queue = asyncio.Lock()
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
            **options: For this prompt only: `temperature`, `max_tokens`, `proxy`, `timeout` and whatever the
                provider takes.

        Raises:
            UsageProblem: If there is nothing to send, or no such model or provider; nothing is sent then.
        """
        if not prompt.strip():
            raise UsageProblem("There is nothing to send: the prompt is empty.")
        cell = self._cells.next() if self._cells and history else None
        if model or provider or base_url:
            choice = _choose(model, provider, base_url)
        else:
            choice = self._choice_again(self.history.of_cell(cell))
        call = _Call(choice, self._system(system), history, self._options(choice, options))
        turn = Turn(clean(prompt), choice.model, choice.name, cell)
        if history:
            self._last = choice
            self._stop_turn(self.history.add(turn))
        return self._start(turn, call)

    def retry(self, model: str | None = None) -> Reply:
        """Send the last prompt again, to another model if one is named; its new reply takes the old one's place.

        Raises:
            UsageProblem: If there is no turn yet, or no such model.
        """
        choice = _choose(model) if model else None
        if not self.history:
            raise UsageProblem("There is nothing to retry: this conversation has no turn yet.")
        old = self.history[-1]
        choice = choice or self._choices[old]
        turn = Turn(old.prompt, choice.model, choice.name, old.cell)
        self._last = choice
        self.history.replace(old, turn)
        self._stop_turn(old)
        return self._start(turn, _Call(choice, self._system(), True, self._options(choice, {})))

    def preview(self, prompt: str, *, system: str | None = None, history: bool = True) -> Messages:
        """The messages that `send` would send now; nothing is sent."""
        cell = self._cells.peek() if self._cells else None
        earlier = self.history.before(self.history.of_cell(cell)) if history else []
        return self._context(earlier, clean(prompt), self._system(system))[0]

    def stop(self) -> int:
        """Stop all replies of this conversation that are under way, and say how many."""
        live = [reply for reply in list(self._replies.values()) if not reply.wait(0)]
        for reply in reversed(live):  # the last first, so that none of those in the queue begins
            reply.stop()
        return len(live)

    def reset(self) -> int:
        """Forget all turns, and say how many; `undo` brings them back until the next prompt."""
        self.stop()
        return self.history.reset()

    def undo(self) -> list[Turn]:
        """Undo a reset, else take back the last turn; the turns concerned (none if there is nothing to undo)."""
        turns = self.history.undo()
        for turn in turns:
            if turn not in self.history:
                self._stop_turn(turn)
        return turns

    def _choice_again(self, old: Turn | None) -> registry.Choice:
        """The model for a prompt that names none: the last one used; for a cell run again, the last before it."""
        if old is None:
            return self._last or _choose(None)
        earlier = self.history.before(old)
        return self._choices[earlier[-1]] if earlier else self._first or _choose(None)

    def _options(self, choice: registry.Choice, own: dict[str, Any]) -> dict[str, Any]:
        """What to pass to the provider: the settings' defaults, then the conversation's, then this prompt's."""
        defaults = {name: getattr(settings(), name) for name in ("temperature", "max_tokens", "timeout")}
        given = {name: value for name, value in (self.options | own).items() if value is not None}
        takes = options_of(choice.provider)
        if takes is None:
            return {name: value for name, value in (defaults | given).items() if value is not None}
        if unknown := [name for name in given if name not in takes]:
            raise UsageProblem(f"{choice.name} takes no {' and no '.join(unknown)}.")
        return {name: value for name, value in (defaults | given).items() if value is not None and name in takes}

    def _system(self, own: str | None = None) -> str:
        return clean(next((text for text in (own, self.system) if text is not None), settings().system))

    def _context(self, earlier: list[Turn], prompt: str, system: str) -> tuple[list[Message], int]:
        most = settings().max_context if self.max_context is None else self.max_context
        return context(earlier, prompt, system=system, most_tokens=most)

    def _stop_turn(self, turn: Turn | None) -> None:
        if turn is not None and (reply := self._replies.get(turn.id)):
            reply.stop()

    def _start(self, turn: Turn, call: _Call) -> Reply:
        reply = Reply(turn)
        self._choices[turn] = call.choice
        self._replies[turn.id] = reply
        job = shared().submit(self._run(reply, call))
        reply._job = job
        job.add_done_callback(lambda _: reply._end("stopped"))  # where it was stopped before it began
        return reply

    async def _run(self, reply: Reply, call: _Call) -> None:
        """The life of one reply, on the loop thread."""
        async with self._queue:
            earlier = self.history.before(reply.turn) if call.history else []
            if not getattr(call.choice.provider, "supports_message_history", True):
                earlier = []
            messages, reply.left_out = self._context(earlier, reply.turn.prompt, call.system)
            reply.turn.status = "streaming"
            try:
                await self._ask(reply, call, messages)
            except asyncio.CancelledError:
                reply._end("stopped")
                raise
            except Exception as error:  # a provider that somebody else wrote may raise anything
                reply._end("failed", _explained(error, call.choice))
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
        if self._worker is None:
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
                self._worker.stop(patience=0)
                self._worker = None
            raise


async def _gather(reply: Reply, source: AsyncGenerator[Chunk, None]) -> None:
    """Feed a provider's chunks to the reply until they, or the reply, end."""
    async with aclosing(source):
        async for chunk in source:
            reply._feed(chunk)


def _explained(error: Exception, choice: registry.Choice) -> NbchatError:
    """The error to show: ours as it is, a stranger's as one of ours; with advice if the service is known to be down."""
    if not isinstance(error, NbchatError):
        stranger = ProviderError(f"failed: {type(error).__name__}: {redact(str(error))}", provider=choice.name)
        stranger.__cause__ = error
        error = stranger
    if isinstance(error, ProviderError) and not getattr(choice.provider, "working", True):
        error.advice = f"{choice.name} was last known not to answer: try another model (`%chat models` lists them)."
    return error


def _choose(
    model: str | None, provider: Any = None, base_url: str | None = None, api_key: str | None = None
) -> registry.Choice:
    """Whom a model's name means; the key goes to this choice only, never along to a later one."""
    wanted = model if model or provider or base_url else settings().default_model()
    return registry.resolve(wanted, provider, base_url=base_url, api_key=api_key, aliases=settings().aliases)


@functools.cache
def current() -> Chat:
    """This notebook's conversation: the one that `%%chat` and the panel use."""
    chat = Chat()
    chat._cells = SendCounter()
    return chat
