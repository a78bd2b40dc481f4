"""The centre: a conversation, which is a history and what its prompts are sent with.

`Chat.send` puts a turn into the history, starts the provider on a background thread, and returns a `Reply` at
once. Text gathers in it on that thread; whoever wants it looks (or waits) on their own.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from math import inf
from typing import Any, NamedTuple

from nbchat.asking import Asker, Call, end_with_job, explained, going_on
from nbchat.config import settings
from nbchat.errors import ContextLengthError, UsageProblem
from nbchat.history import After, Cell, Change, History, Record, Turn, Window, context, messages_of, size_that_fits
from nbchat.loop import shared
from nbchat.messages import Messages, Notice, clean
from nbchat.notebook import SendCounter, execution_number, source
from nbchat.providers import registry
from nbchat.providers.adapt import options_of
from nbchat.providers.base import is_secret
from nbchat.providers.services import SERVICES
from nbchat.reply import Reply
from nbchat.saved.written import prompt_in

_CEILING = 1_000_000
"""Tokens that are sent at most unless more are wanted: few models take more, and each costs time and money."""
_TRIES = 6
"""How often a conversation that is too long for its model is sent with ever fewer turns."""


class Preview(NamedTuple):
    """What a prompt would be sent as."""

    model: str
    provider: str
    options: dict[str, Any]
    """Without keys and the like."""
    messages: Messages


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
        max_context: Send only the newest turns that fit in about this many tokens; a million if it is not said.
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
        self.name = ""
        """Which of the notebook's conversations this is; empty for one of its own."""
        self._system_prompt = system
        self.max_context = max_context
        self.options = options | ({} if timeout is None else {"timeout": timeout})
        self.history = History(self._system)
        self._proxy = proxy  # apart from what is shown, as it may hold a password
        self._first: registry.Choice | None = None
        if model or provider or base_url or api_key:
            self._first = _choose(model, provider, base_url, api_key)
        self._last = self._first
        self._calls: weakref.WeakKeyDictionary[Turn, Call] = weakref.WeakKeyDictionary()
        self._replies: weakref.WeakValueDictionary[tuple[str, datetime], Reply] = weakref.WeakValueDictionary()
        self._limits: dict[tuple[str, str], float] = {}
        """How many tokens a provider's model takes, as far as its refusals told."""
        self._oldest_sent = ""
        self._words: list[str] = []
        """About the conversation, for the next reply's caption."""
        self._storage_news: Callable[[], str] = str
        """A word about where the conversation is kept, once."""
        self._record: Record | None = None
        self._cells: SendCounter | None = None
        self._lock = threading.Lock()  # so that turns are asked in the order of the history
        self._asker = Asker()

    def __repr__(self) -> str:
        return f"<Chat with {self.model}: {len(self.history)} turn{'s' * (len(self.history) != 1)}>"

    @property
    def system(self) -> str | None:
        """The system prompt of this conversation; None: the settings'."""
        return self._record.system if self._record else self._system_prompt

    @system.setter
    def system(self, text: str | None) -> None:
        self._system_prompt = text
        if self._record:
            self._record.set_system(text)
        self.history.note_system()

    @property
    def model(self) -> str:
        """The model that the next prompt goes to unless it names another."""
        if self._last:
            return self._last.model or self._last.name
        if last := _last_own(self.history):
            return last.model or last.provider
        return settings().default_model()

    @property
    def messages(self) -> Messages:
        """The conversation as messages, oldest first, as the next prompt is sent after if all of it fits."""
        system = self._system()
        first: Messages = [{"role": "system", "content": system}] if system else []
        return [*first, *messages_of(self.history, mark_cut=settings().mark_cut)]

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
        instead_of: Turn | None = None,
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
            instead_of: A turn in whose place this one goes, unless it goes in the place of the cell's own.
            **options: For this prompt only: `temperature`, `max_tokens`, `proxy`, `timeout` and whatever the
                provider takes.

        Raises:
            UsageProblem: If there is nothing to send, or no such model or provider; nothing is sent then, and
                nothing forgotten.
        """
        _require_text(prompt)
        prompt = clean(prompt)
        cell = self._cells.next() if self._cells and history else None
        old = self.history.of_cell(cell, prompt, instead_of) if history else None
        choice = self._choice(model, provider, base_url, old, instead_of)
        call = self._call(choice, history, system, options)
        turn = _turn(prompt, call, cell)
        if not history:
            return self._start(turn, call)
        if new:
            self.reset()
        with self._lock:
            self._last = choice
            stale = self._stale_after(old)
            self._stop_turn(self.history.add(turn, instead_of))
            return self._start(turn, call, stale)

    def retry(self, model: str | None = None, *, turn: Turn | None = None) -> Reply:
        """Send a prompt again, to another model if one is named; its new reply takes the old one's place.

        Args:
            model: Who answers now, and from here on.
            turn: Which prompt; the last one if None.

        Raises:
            UsageProblem: If there is no turn yet, or no such model; nothing is changed then.
        """
        return self._again(turn or self._last_turn("retry"), _choose(model) if model else None)

    def edit(self, turn: Turn, prompt: str) -> Reply:
        """Send another prompt in a turn's place, to whom and with what that one was sent.

        Raises:
            UsageProblem: If there is nothing to send, or whom it was sent to cannot be asked; nothing is changed then.
        """
        _require_text(prompt)
        return self._again(turn, None, prompt=clean(prompt))

    def go_on(self) -> Reply:
        """Let the last reply go on that was stopped or cut off; what comes is appended to it.

        Raises:
            UsageProblem: If the last reply was not cut; nothing is changed then.
        """
        old = self._last_turn("continue")
        if not old.cut:
            raise UsageProblem("There is nothing to continue: the last reply was not cut off.")
        return self._again(old, None, begun=old.text)

    def _last_turn(self, what: str) -> Turn:
        if not self.history:
            raise UsageProblem(f"There is nothing to {what}: this conversation has no turn yet.")
        return self.history[-1]

    def _again(self, old: Turn, choice: registry.Choice | None, *, prompt: str = "", begun: str = "") -> Reply:
        """Send a turn's prompt, or another one, as a new version of it."""
        known = self._calls.get(old)
        own = (known.own_system, known.own_options) if known else (old.system, old.options)
        call = replace(self._call(choice or self._call_of(old).choice, True, *own), begun=begun)
        turn = _turn(prompt or old.prompt, call, old.cell)
        turn.execution, turn.is_source = old.execution, old.is_source and not prompt
        turn.chunks += [begun] if begun else []
        with self._lock:
            self._last = call.choice
            stale = self._stale_after(old)
            self.history.replace(old, turn)
            self._stop_turn(old)
            return self._start(turn, call, stale)

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
        instead_of: Turn | None = None,
        **options: Any,
    ) -> Preview:
        """What `send`, which takes and raises the same, would send now, and to whom; nothing is sent."""
        _require_text(prompt)
        prompt = clean(prompt)
        cell = self._cells.peek() if self._cells and history else None
        old = self.history.of_cell(cell, prompt, instead_of) if history else None
        choice = self._choice(model, provider, base_url, old, instead_of)
        call = self._call(choice, history, system, options)
        window = self._window(call, prompt, None if new else old, forget=new)
        shown = {name: value for name, value in call.options.items() if not is_secret(name)}
        return Preview(call.choice.model, call.choice.name, shown, window.messages)

    def stop(self) -> int:
        """Stop all replies of this conversation that are under way, and say how many."""
        known = [ref() for ref in self._replies.valuerefs()]  # all at once: other threads may be adding to them
        live = [reply for reply in known if reply and not reply.wait(0)]
        for reply in reversed(live):  # the last first, so that none of those in the queue begins
            reply.stop()
        return len(live)

    def reply_of(self, turn: Turn) -> Reply:
        """The reply of a turn, be it under way or done; one that failed is not raised again."""
        with self._lock:  # a turn is in the history a moment before its reply is known
            reply = self._replies.get(turn.key)
        return reply if reply and not reply.error else Reply.of(turn)

    def reset(self) -> int:
        """Forget all turns, and say how many; `undo` brings them back."""
        self.stop()
        return self.history.reset()

    def drop(self, *turns: Turn) -> None:
        """Take turns out of the conversation; `undo` brings them back."""
        for turn in turns:
            self._stop_turn(turn)
        self.history.drop(turns)

    def undo(self) -> Change | None:
        """Take back the last change of the conversation: a prompt, a retry, a reset, ...; None if there was none."""
        change = self.history.undo()
        for turn in self.history.turns_of(change) if change else []:
            if turn.standing == "gone":
                self._stop_turn(turn)
        return change

    def keep_in(self, record: Record | None) -> None:
        """Take in what a record has of this conversation, and keep it there from now on; None: in memory."""
        self._system_prompt = self.system
        self._record = record
        self.history.open(record)
        if record and self._system_prompt is not None:
            record.set_system(self._system_prompt)

    def go_on_as(self, other: Chat) -> None:
        """Have another conversation's turns, and send prompts as it does."""
        self.system = other.system
        self.options, self.max_context = dict(other.options), other.max_context
        self._proxy, self._first, self._last = other._proxy, other._first, other._last
        self.history.copy_of(other.history)

    def tell(self, word: str) -> None:
        """Have something said in the next reply's caption."""
        self._words.append(word)

    def _choice(
        self, model: str | None, provider: Any, base_url: str | None, old: Turn | None, edited: Turn | None = None
    ) -> registry.Choice:
        """Whom to ask. A prompt that names nobody: the last one asked; in an old turn's place, the last before.

        A prompt that is edited goes to whom it went.
        """
        if model or provider or base_url:
            return _choose(model, provider, base_url)
        if old is None and self._last:
            return self._last
        if edited is not None and old is edited:
            return self._call_of(edited).choice
        last = _last_own(self.history.before(old))
        return self._call_of(last).choice if last else self._first or _choose(None)

    def _call(self, choice: registry.Choice, history: bool, system: str | None, own: dict[str, Any]) -> Call:
        return Call(choice, history, system, own, self._system(system), self._options(choice, own))

    def _call_of(self, turn: Turn) -> Call:
        """What a turn was asked for with; as far as it was kept, if another kernel asked."""
        if call := self._calls.get(turn):
            return call
        who = turn.model or turn.provider
        if turn.is_foreign:
            if not (self._last or _last_own(self.history)):
                number = self.history.number(turn)
                raise UsageProblem(f"Turn {number} came with a file, and was answered by {who}: name whom to ask now.")
            return self._call(self._last or self._choice(None, None, None, turn), True, None, {})
        try:
            by_address = turn.base_url and turn.provider not in SERVICES
            choice = _choose(turn.model or None, None if by_address else turn.provider, turn.base_url or None)
        except UsageProblem as problem:
            raise type(problem)(f"This conversation last asked {who}, which cannot be asked here. {problem}") from None
        return self._call(choice, True, turn.system, turn.options)

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

    def _window(self, call: Call, prompt: str, turn: Turn | None, *, forget: bool = False, most: float = 0) -> Window:
        """What to send for a prompt whose turn is this one, if it has a place yet."""
        remembers = call.remembers and not forget
        return context(
            self.history.before(turn) if remembers else [],
            prompt,
            system=call.system,
            most_tokens=most or self._most(call),
            first=self._oldest_sent,
            mark_cut=settings().mark_cut,
            sendable=self.history.sendable(turn) if remembers else 0,
        )

    def _after(self, turn: Turn, call: Call, window: Window) -> str | None:
        """What the turn is sent after; a provider without history gets no turns, but the system prompt."""
        if not call.history:
            return None
        first = window.first or (turn.id if window.left_out or not call.remembers else "")
        return str(After.of(window.sent, call.system if call.own_system is None else None, first))

    def _most(self, call: Call) -> float:
        """How many tokens may be sent: as many as the user said, and the model takes, as far as it is known."""
        said = settings().max_context if self.max_context is None else self.max_context
        return min(said or _CEILING, self._limits.get((call.choice.name, call.choice.model), inf))

    def _stop_turn(self, turn: Turn | None) -> None:
        if turn is not None and (reply := self._replies.get(turn.key)):
            reply.stop()

    def _stale_after(self, turn: Turn | None) -> int:
        return len(self.history.stale(turn)) if turn else 0

    def _start(self, turn: Turn, call: Call, stale: int = 0) -> Reply:
        reply = Reply(turn)
        reply.notices += self._unseen()
        reply.notices += [Notice(word, lasting=True) for word in (*self._words, self._storage_news()) if word]
        self._words.clear()
        if call.history:
            reply._finish = lambda: self._finish(reply, stale)
            reply.conversation = self.name
            number = self.history.number(turn)
            reply.follows = self.history[number - 2].id if number > 1 else ""
        self._calls[turn] = call
        self._replies[turn.key] = reply
        reply._job = shared().submit(self._run(reply, call))
        reply._job.add_done_callback(lambda job: end_with_job(reply, job))
        return reply

    def _finish(self, reply: Reply, stale: int) -> None:
        """The reply has ended, and nobody knows yet: keep it, and say what became of the turns after it."""
        self.history.ended(reply.turn)
        if reply.turn in self.history and (more := len(self.history.stale(reply.turn)) - stale) > 0:
            are = "turns are" if more > 1 else "turn is"
            reply.notices.append(Notice(f"{more} later {are} now stale (%chat retry --stale)", lasting=True))
        self.history.keep(reply.turn)

    def _unseen(self) -> list[Notice]:
        """A word about each reply that ended while its page was away; said once."""
        notices = []
        known = [ref() for ref in self._calls.keyrefs()]  # all at once: other threads may be adding to them
        for turn in [turn for turn in known if turn and turn.unseen]:
            turn.unseen = False
            if number := self.history.number(turn):
                word = f"the reply to turn {number} ended while the page was away (%chat show {number} shows it)"
                notices.append(Notice(word, lasting=True))
        return notices

    async def _run(self, reply: Reply, call: Call) -> None:
        """The life of one reply, on the loop thread."""
        async with self._asker.turnstile():
            try:
                await self._ask_what_fits(reply, call)
            except Exception as error:  # a provider that somebody else wrote may raise anything
                reply._end("failed", explained(error, call))
            else:
                reply._end("done")

    async def _ask_what_fits(self, reply: Reply, call: Call) -> None:
        """Ask, and ask again with fewer of the older turns as long as the messages are too long for the model."""
        turn = reply.turn
        most = 0
        for tries in range(_TRIES):
            window = self._window(call, turn.prompt, turn, most=most)
            turn.left_out = window.left_out
            turn.after = self._after(turn, call, window)
            turn.status = "streaming"
            try:
                await self._asker.ask(reply, call, going_on(window.messages, call.begun))
                self._oldest_sent = window.first
                return
            except ContextLengthError as error:
                most = size_that_fits(window.tokens, error.said or str(error))
                if tries == _TRIES - 1 or len(window.messages) < 3 or turn.text != call.begun:
                    raise
                self._limits[call.choice.name, call.choice.model] = most
                reply._feed(Notice(f"too long for {call.choice.model or call.choice.name}: leaving out older turns"))


def _turn(prompt: str, call: Call, cell: Cell | None) -> Turn:
    """A turn that is about to be asked for; of what it is asked with it keeps what is no secret."""
    return Turn(
        prompt,
        call.choice.model,
        call.choice.name,
        cell,
        execution=execution_number(),
        is_source=prompt_in(source(), len(prompt)) == prompt,
        system=call.own_system,
        base_url=call.choice.base_url,
        options={name: value for name, value in call.own_options.items() if _may_be_kept(name, value)},
    )


def _last_own(turns: Sequence[Turn]) -> Turn | None:
    """The last turn that was sent from here: whom a file names must not be asked for that."""
    return next((turn for turn in reversed(turns) if not turn.is_foreign), None)


def _may_be_kept(option: str, value: object) -> bool:
    """Numbers, and true or false: what is no text can hold no secret."""
    return isinstance(value, int | float) and not is_secret(option)


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
