"""A conversation and its live replies: order, context, stopping, failing, and providers of every make."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import pytest

import nbchat
from nbchat import Chat, ProviderError, Reply, ReplyInterrupted, UsageProblem
from nbchat.errors import ConnectionFailed, ContextLengthError, ReplyCutOff, UnknownModel
from nbchat.history import Turn
from nbchat.messages import Finish, Messages, Notice, Reasoning, Usage
from nbchat.providers.registry import unregister
from nbchat.testing import OpenAIServer, ScriptedProvider


class Echo:
    """Answers with the last message's words, and remembers what it was sent."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Messages, dict[str, Any]]] = []

    async def create_async_generator(
        self, model: str, messages: Messages, proxy: str | None = None, **kwargs: Any
    ) -> AsyncIterator[str]:
        self.calls.append((model, list(messages), kwargs | ({"proxy": proxy} if proxy else {})))
        for word in str(messages[-1]["content"]).split():
            yield f"<{word}>"


class Gate:
    """Says "one ", and goes on once it is let."""

    def __init__(self) -> None:
        self.waiting, self.open = threading.Event(), threading.Event()
        self.ended = threading.Event()
        self.asked: list[str] = []

    async def create_async_generator(self, model: str, messages: Messages) -> AsyncIterator[str]:
        self.asked.append(str(messages[-1]["content"]))
        try:
            yield "one "
            self.waiting.set()
            while not self.open.is_set():  # noqa: ASYNC110 - it is set on another thread
                await asyncio.sleep(0.005)
            yield "two"
        finally:
            self.ended.set()


class Breaks:
    """Says what it is given, and then raises."""

    def __init__(self, error: Exception, *text: str) -> None:
        self.error, self.text = error, text

    async def create_async_generator(self, model: str, messages: Messages) -> AsyncIterator[str]:
        for piece in self.text:
            yield piece
        raise self.error


def prompts(messages: Messages) -> list[Any]:
    return [message["content"] for message in messages]


# What a reply gives


def test_result_gives_the_text() -> None:
    reply = Chat(provider=Echo()).send("a b")
    assert reply.result(10) == "<a><b>"
    assert (reply.status, reply.text, reply.error) == ("done", "<a><b>", None)
    assert reply.seconds > 0


async def test_a_reply_can_be_awaited_more_than_once() -> None:
    reply = Chat(provider=Echo()).send("a b")
    assert await reply == "<a><b>"
    assert await reply == "<a><b>"


def test_for_gives_the_chunks_as_they_come() -> None:
    gate = Gate()
    reply, seen = Chat(provider=gate).send("x"), []
    for chunk in reply:
        seen.append((chunk, reply.status))
        gate.open.set()
    assert [chunk for chunk, _ in seen] == ["one ", "two"]
    assert seen[0][1] == "streaming"
    assert list(reply) == ["one ", "two"]


async def test_async_for_gives_the_chunks_as_they_come() -> None:
    gate = Gate()
    reply, seen = Chat(provider=gate).send("x"), []
    async for chunk in reply:
        seen.append(chunk)
        gate.open.set()
    assert seen == ["one ", "two"]


def test_result_can_give_up_waiting_and_the_reply_goes_on() -> None:
    gate = Gate()
    reply = Chat(provider=gate).send("x")
    with pytest.raises(TimeoutError, match="goes on"):
        reply.result(0.05)
    gate.open.set()
    assert reply.result(10) == "one two"


def test_values_beside_text_are_kept_apart_from_it() -> None:
    class Rich:
        async def create_async_generator(self, model: str, messages: Messages) -> AsyncIterator[Any]:
            yield Reasoning("hm")
            yield "text"
            yield Notice("slow today")
            yield Usage(3, 4)
            yield Finish("length")

    reply = Chat(provider=Rich()).send("x")
    assert reply.result(10) == "text"
    assert (reply.reasoning, reply.usage) == ("hm", Usage(3, 4))
    assert [(notice.text, notice.lasting) for notice in reply.notices] == [
        ("slow today", False),
        ("the reply reached its limit of tokens", True),
    ]


def test_repr_says_how_it_stands() -> None:
    gate = Gate()
    reply = Chat(provider=gate).send("x")
    assert gate.waiting.wait(10)
    assert repr(reply).startswith("<Reply streaming: 4 characters")
    gate.open.set()
    reply.result(10)
    assert repr(reply) == "<Reply done: 'one two'>"


# The turn


def test_a_turn_exists_from_send_on_and_grows() -> None:
    gate = Gate()
    chat = Chat(provider=gate)
    reply = chat.send("x")
    assert chat.history[0] is reply.turn
    assert gate.waiting.wait(10)
    assert (chat.history[0].text, chat.history[0].status) == ("one ", "streaming")
    gate.open.set()
    reply.result(10)
    assert (chat.history[0].text, chat.history[0].status) == ("one two", "done")


def test_later_prompts_are_sent_with_the_turns_before() -> None:
    echo = Echo()
    chat = Chat("m", provider=echo, system="Be brief.")
    chat.send("a").result(10)
    chat.send("b").result(10)
    assert prompts(echo.calls[1][1]) == ["Be brief.", "a", "<a>", "b"]
    assert prompts(chat.messages) == ["Be brief.", "a", "<a>", "b", "<b>"]


def test_two_sends_of_one_chat_run_one_after_the_other() -> None:
    gate = Gate()
    chat = Chat(provider=gate)
    first, second, third = chat.send("1"), chat.send("2"), chat.send("3")
    assert gate.waiting.wait(10)
    assert (second.status, third.status) == ("queued", "queued")
    second.stop()
    assert second.result(10) == ""
    assert gate.asked == ["1"]
    gate.open.set()
    assert third.result(10) == "one two"
    assert first.status == "done"
    assert gate.asked == ["1", "3"]


def test_two_chats_stream_side_by_side() -> None:
    gate = Gate()
    slow = Chat(provider=gate).send("x")
    assert gate.waiting.wait(10)
    assert Chat(provider=Echo()).send("y").result(10) == "<y>"
    gate.open.set()
    assert slow.result(10) == "one two"


def test_the_callers_messages_and_prompt_are_made_encodable() -> None:
    echo = Echo()
    Chat(provider=echo).send("a\ud83d\ude00 \ud83d").result(10)
    assert prompts(echo.calls[0][1]) == ["a\U0001f600 \ufffd"]


def test_halves_of_a_character_in_two_chunks_are_joined() -> None:
    class Halves:
        def create_async_generator(self, model: str, messages: Messages) -> Iterator[str]:
            yield from ("a\ud83d", "\ude00b", "\ud83d", "c", "\ud83d")

    assert Chat(provider=Halves()).send("x").result(10) == "a\U0001f600b\ufffdc\ufffd"


@pytest.mark.parametrize("word", ["word", "word " * 4])
def test_each_try_sends_less_of_a_conversation_that_is_too_long(word: str) -> None:
    sent = []

    class Small:
        def create_async_generator(self, model: str, messages: Messages) -> Iterator[str]:
            sent.append(len(messages))
            if len(messages) > 5:
                raise ContextLengthError("maximum context length is 8192 tokens, got 9001")
            yield "ok"

    chat = Chat(provider=Small())
    for number in range(20):
        chat.history.add(Turn(str(number), "m", "Small", status="stopped", cut=True, chunks=[word]))
    assert chat.send("now").result(10) == "ok"
    assert sent[0] == 41
    assert sent == sorted(set(sent), reverse=True)


def test_what_does_not_fit_the_context_is_left_out_and_said() -> None:
    echo = Echo()
    chat = Chat(provider=echo, max_context=60)
    for n in range(4):
        reply = chat.send(f"{n} " + "word " * 20)
        reply.result(10)
    assert reply.left_out > 0
    assert len(echo.calls[-1][1]) == 2 * (3 - reply.left_out) + 1


def test_more_than_any_model_takes_is_sent_only_if_it_is_wanted() -> None:
    echo = Echo()
    chat = Chat(provider=echo)
    for name in "abc":
        chat.send(f"{name} {'long' * 200_000}").result(10)
    reply = chat.send("And then?")
    reply.result(10)
    assert (reply.left_out, len(echo.calls[-1][1])) == (1, 5)
    chat.max_context = 5_000_000
    reply = chat.retry()
    reply.result(10)
    assert (reply.left_out, len(echo.calls[-1][1])) == (0, 7)


def test_turns_that_were_left_out_do_not_make_those_stale_that_were_sent_without_them() -> None:
    chat = Chat(provider=Echo(), max_context=60)
    for name in "abcde":
        chat.send(f"{name} {'word ' * 8}").result(5)
    assert chat.history[-1].left_out == 4 - 1
    chat.history.hide([chat.history[0]])
    assert chat.history[1] in chat.history.stale()
    assert chat.history[-1] not in chat.history.stale()
    chat.history.hide([chat.history[-2]])
    assert chat.history[-1] in chat.history.stale()


def test_a_prompt_for_which_no_room_is_left_was_sent_alone() -> None:
    chat = Chat(provider=Echo(), max_context=1)
    chat.send("a").result(5)
    chat.send("b").result(5)
    assert chat.history[1].left_out == 1
    chat.drop(chat.history[0])
    assert chat.history.stale() == []


def test_whoever_hears_of_a_turn_finds_its_reply() -> None:
    class Hears:
        def changed(self) -> None:
            self.asks = threading.Thread(target=self.ask)
            self.asks.start()
            self.asks.join(0.2)  # it may have to wait until the reply has begun

        def ask(self) -> None:
            self.found = chat.reply_of(chat.history[0])

    chat, hears = Chat(provider=Gate()), Hears()
    chat.history.watch(hears.changed)
    reply = chat.send("a")
    hears.asks.join(5)
    assert hears.found is reply
    reply.stop()


def test_a_turn_that_is_taken_out_while_it_streams_makes_nothing_stale() -> None:
    gate = Gate()
    chat = Chat(provider=Echo())
    chat.send("a").result(5)
    chat.system = "Be kind."
    reply = chat.send("b", provider=gate)
    assert gate.waiting.wait(5)
    chat.drop(reply.turn)
    assert reply.wait(5)
    assert not [notice.text for notice in reply.notices if "stale" in notice.text]


def test_another_system_prompt_makes_those_turns_stale_that_were_sent_with_the_old_one() -> None:
    chat = Chat(provider=Echo(), system="Be brief.")
    chat.send("a").result(5)
    chat.send("b", system="Be long.").result(5)
    chat.system = "Be kind."
    assert chat.history.stale() == chat.history[:1]
    chat.retry(turn=chat.history[0]).result(5)
    assert chat.history.stale() == []


def test_no_history_neither_sends_nor_keeps() -> None:
    echo = Echo()
    chat = Chat(provider=echo)
    chat.send("a").result(10)
    assert chat.send("b", history=False).result(10) == "<b>"
    assert prompts(echo.calls[1][1]) == ["b"]
    assert [turn.prompt for turn in chat.history] == ["a"]


def test_a_provider_without_history_gets_only_the_prompt() -> None:
    class Forgets(Echo):
        supports_message_history = False

    forgets = Forgets()
    chat = Chat(provider=forgets, system="s")
    chat.send("a").result(10)
    chat.send("b").result(10)
    assert prompts(forgets.calls[1][1]) == ["s", "b"]


# Options


def test_options_are_the_conversations_with_overrides_per_prompt() -> None:
    echo = Echo()
    chat = Chat("m", provider=echo, temperature=0.2, system="s")
    chat.send("a", temperature=0, system="t", seed=1).result(10)
    chat.send("b").result(10)
    assert [(prompts(call[1])[0], call[2]) for call in echo.calls] == [
        ("t", {"temperature": 0, "seed": 1}),
        ("s", {"temperature": 0.2}),
    ]


def test_the_settings_are_the_defaults() -> None:
    from nbchat.config import NbChat

    echo = Echo()
    settings = NbChat.instance()
    settings.temperature, settings.system = 0.7, "from settings"
    Chat(provider=echo).send("a").result(10)
    assert echo.calls[0][2] == {"temperature": 0.7}
    assert prompts(echo.calls[0][1])[0] == "from settings"


def test_an_option_that_the_provider_does_not_take_is_said_before_anything_is_sent() -> None:
    gate = Gate()
    chat = Chat(provider=gate)
    with pytest.raises(UsageProblem, match="Gate takes no seed"):
        chat.send("x", seed=1)
    assert len(chat.history) == 0


def test_an_empty_prompt_is_not_sent() -> None:
    with pytest.raises(UsageProblem, match="empty"):
        Chat(provider=Echo()).send("  \n")
    with pytest.raises(UsageProblem, match="A prompt is text, not int"):
        Chat(provider=Echo()).send(5)  # type: ignore[arg-type]


def test_an_unknown_model_is_said_before_anything_is_sent() -> None:
    chat = Chat(provider=Echo())
    with pytest.raises(UnknownModel):
        chat.send("x", model="no-such-model-anywhere")
    assert len(chat.history) == 0


# Which model


def test_the_last_model_used_answers_the_next_prompt() -> None:
    echo, other = Echo(), Echo()
    chat = Chat("m", provider=echo)
    chat.send("a", provider=other, model="n").result(10)
    chat.send("b").result(10)
    assert chat.model == "n"
    assert [call[0] for call in other.calls] == ["n", "n"]
    assert echo.calls == []


def test_without_any_model_guide_answers() -> None:
    chat = Chat()
    assert chat.model == "guide"
    reply = chat.send("How do I stop a reply?")
    assert "language model" in reply.result(10)
    assert reply.turn.provider == "guide"


def test_the_environment_and_the_settings_name_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from nbchat.config import NbChat

    monkeypatch.setenv("NBCHAT_MODEL", "google-gemini")
    assert Chat().model == "google-gemini"
    NbChat.instance().model = "gpt-4-turbo"
    assert Chat().model == "gpt-4-turbo"


# Stopping


def test_stop_keeps_what_came_and_ends_the_provider() -> None:
    gate = Gate()
    chat = Chat(provider=gate)
    reply = chat.send("x")
    assert gate.waiting.wait(10)
    reply.stop()
    assert reply.result(10) == "one "
    assert reply.status == "stopped"
    assert gate.ended.wait(10)
    assert reply.turn.cut
    assert reply.notices == []
    reply.stop()
    assert reply.status == "stopped"


async def test_cancelling_who_waits_stops_the_reply() -> None:
    gate = Gate()
    reply = Chat(provider=gate).send("x")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reply._wait_async(), 0.1)
    assert await asyncio.wait_for(reply._wait_async(), 10) == "one "
    assert reply.status == "stopped"


def test_a_provider_that_blocks_its_thread_is_abandoned_by_stop_and_said() -> None:
    class Blocks:
        release = threading.Event()

        async def create_async_generator(self, model: str, messages: Messages) -> AsyncIterator[str]:
            yield "one"
            self.release.wait(30)
            yield "two"

    chat = Chat(provider=Blocks())
    reply = chat.send("x")
    assert next(iter(reply)) == "one"
    assert Chat(provider=Echo()).send("y").result(10) == "<y>"
    reply.stop()
    assert reply.result(10) == "one"
    assert reply.notices[-1].lasting
    assert "abandoned" in reply.notices[-1].text
    Blocks.release.set()
    assert chat.send("z", provider=Echo()).result(10) == "<z>"
    assert reply.text == "one"


def test_a_chat_stops_all_its_replies() -> None:
    gate = Gate()
    chat = Chat(provider=gate)
    replies = [chat.send("1"), chat.send("2")]
    assert gate.waiting.wait(10)
    assert chat.stop() == 2
    assert [reply.result(10) for reply in replies] == ["one ", ""]
    assert chat.stop() == 0


def test_reset_stops_and_forgets_and_undo_brings_back() -> None:
    gate = Gate()
    chat = Chat(provider=gate)
    reply = chat.send("x")
    assert gate.waiting.wait(10)
    assert chat.reset() == 1
    assert reply.result(10) == "one "
    assert len(chat.history) == 0
    change = chat.undo()
    assert change
    assert chat.history.turns_of(change) == [reply.turn]
    assert len(chat.history) == 1


def test_undo_of_a_live_turn_stops_it() -> None:
    gate = Gate()
    chat = Chat(provider=gate)
    reply = chat.send("x")
    assert gate.waiting.wait(10)
    change = chat.undo()
    assert change
    assert chat.history.turns_of(change) == [reply.turn]
    assert reply.result(10) == "one "


# Failing


def test_a_failure_raises_wherever_one_waits() -> None:
    reply = Chat(provider=Breaks(ProviderError("is down"), "half")).send("x")
    for wait in (lambda: reply.result(10), lambda: list(reply), lambda: asyncio.run(reply._wait_async())):
        with pytest.raises(ProviderError, match="is down"):
            wait()
    assert (reply.status, reply.text, reply.turn.error) == ("failed", "half", "is down.")


@pytest.mark.parametrize(
    ("words", "shown"), [("lost", "lost"), ("lost sk-abcdefghijklmnopqrstuvwxyz1234", "lost [hidden]")]
)
def test_a_strangers_error_becomes_ours_with_its_cause_unless_that_shows_a_secret(words: str, shown: str) -> None:
    cause = RuntimeError(words)
    reply = Chat(provider=Breaks(cause)).send("x")
    with pytest.raises(ProviderError) as caught:
        reply.result(10)
    assert str(caught.value) == f"Breaks failed: RuntimeError: {shown}."
    assert caught.value.__cause__ is (cause if words == shown else None)


@pytest.mark.parametrize(
    ("error", "cut"),
    [(ReplyCutOff("ended early"), True), (ConnectionFailed("fell silent"), True), (ProviderError("refused"), False)],
)
def test_a_failed_turn_is_sent_later_only_if_its_reply_was_cut(error: Exception, cut: bool) -> None:
    chat = Chat(provider=Breaks(error, "half"))
    with pytest.raises(ProviderError):
        chat.send("x").result(10)
    echo = Echo()
    chat.send("y", provider=echo).result(10)
    sent = prompts(echo.calls[0][1])
    assert sent == (["x", "half\n\n[The reply was cut off here.]", "y"] if cut else ["y"])


def test_a_service_known_to_be_down_is_used_when_asked_for_and_advice_comes_only_with_a_failure() -> None:
    class Down(Breaks):
        working: ClassVar[bool] = False

    reply = Chat(provider=Down(ProviderError("answered 500"))).send("x")
    with pytest.raises(ProviderError, match=r"answered 500\. Down was last known not to answer: use another model"):
        reply.result(10)

    class Up(Echo):
        working = False

    assert Chat(provider=Up()).send("x").result(10) == "<x>"


# Providers of every make


def test_a_plain_generator_is_a_provider() -> None:
    class Plain:
        @staticmethod
        def create_async_generator(model: str, messages: Messages) -> Iterator[str]:
            yield from ("a", "b")

    assert Chat(provider=Plain).send("x").result(10) == "ab"


def test_a_coroutine_that_gives_a_generator_is_a_provider() -> None:
    class Awaited:
        @classmethod
        async def create_async_generator(cls, model: str, messages: Messages, **kwargs: Any) -> AsyncIterator[str]:
            return Echo().create_async_generator(model, messages)

    assert Chat(provider=Awaited).send("x").result(10) == "<x>"


def test_values_of_another_library_are_known_by_their_names() -> None:
    class ResponseType:  # the classes and attributes are g4f's
        def __str__(self) -> str:
            raise NotImplementedError

    class JsonResponse(ResponseType):
        def __str__(self) -> str:
            return "{'choices': []}"

    class MediaResponse(ResponseType):
        def __str__(self) -> str:
            return "![](x)"

    class ImageResponse(MediaResponse): ...

    class Reasoning(ResponseType):
        def __str__(self) -> str:
            return "hm"

    class Usage(ResponseType):
        prompt_tokens, completion_tokens = 3, 7

    class FinishReason(ResponseType):
        reason = "length"

    class Foreign:
        async def create_async_generator(self, model: str, messages: Messages) -> AsyncIterator[object]:
            kinds = (ResponseType, JsonResponse, ImageResponse, Reasoning, Usage, FinishReason, object)
            for value in (*(kind() for kind in kinds), "!"):
                yield value

    reply = Chat(provider=Foreign()).send("x")
    assert reply.result(10) == "![](x)!"
    assert (reply.reasoning, reply.usage and reply.usage.completion_tokens) == ("hm", 7)
    assert "limit of tokens" in reply.notices[-1].text


@pytest.mark.parametrize("value", [None, b"text", 7, True, {"text": "x"}])
@pytest.mark.parametrize("how", ["given", "yielded"])
def test_what_is_no_text_is_said(value: Any, how: str) -> None:
    class Wrong:
        def create_async_generator(self, model: str, messages: Messages) -> Any:
            return value if how == "given" else iter([value])

    with pytest.raises(ProviderError, match=f"Wrong gave {type(value).__name__} where text belongs"):
        Chat(provider=Wrong()).send("x").result(10)


def test_a_reply_without_text_says_so() -> None:
    class Mute:
        def create_async_generator(self, model: str, messages: Messages) -> Iterator[str]:
            yield from ()

    reply = Chat(provider=Mute()).send("x")
    assert reply.result(10) == ""
    assert [(notice.text, notice.lasting) for notice in reply.notices] == [("the reply is empty", True)]


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), BaseExceptionGroup("x", [SystemExit()])]
)
@pytest.mark.parametrize("ours", [True, False])
def test_a_provider_that_would_end_its_thread_ends_only_its_reply(error: BaseException, ours: bool) -> None:
    provider: Any = ScriptedProvider(["half", error]) if ours else Breaks(error, "half")  # type: ignore[arg-type]
    chat = Chat(provider=provider)
    with pytest.raises(ProviderError):
        chat.send("x").result(10)
    assert chat.send("y", provider=Echo()).result(10) == "<y>"
    assert Chat(provider=ScriptedProvider()).send("z").result(10) == "z"


@pytest.mark.parametrize("ours", [True, False])
def test_a_provider_without_an_end_and_without_a_pause_is_stopped(ours: bool) -> None:
    class Endless:
        ended = threading.Event()

        async def create_async_generator(self, model: str, messages: Messages) -> AsyncIterator[str]:
            try:
                while True:
                    yield "x"
            finally:
                self.ended.set()

    if ours:
        Endless.__module__ = "nbchat.made.up"
    reply = Chat(provider=Endless()).send("q")
    next(iter(reply))
    reply.stop()
    assert reply.wait(10)
    assert reply.status == "stopped"
    assert Endless.ended.wait(10)


def test_the_first_sends_of_many_threads_share_one_loop() -> None:
    script = (
        "import threading, nbchat\n"
        "from nbchat.testing import ScriptedProvider\n"
        "chat, barrier, replies = nbchat.Chat(provider=ScriptedProvider()), threading.Barrier(8), []\n"
        "def send():\n"
        "    barrier.wait()\n"
        "    replies.append(chat.send('x').result(10))\n"
        "threads = [threading.Thread(target=send) for _ in range(8)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
        "print(replies.count('x'), [thread.name for thread in threading.enumerate()].count('nbchat'))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("8 1\n", "")


def test_what_is_no_provider_is_said_at_once() -> None:
    with pytest.raises(UsageProblem, match="create_async_generator"):
        Chat(provider=object())


def test_a_provider_keeps_its_loop_from_one_reply_to_the_next() -> None:
    class Loops:
        def __init__(self) -> None:
            self.loops: set[int] = set()

        async def create_async_generator(self, model: str, messages: Messages) -> AsyncIterator[str]:
            self.loops.add(id(asyncio.get_running_loop()))
            yield "x"

    provider = Loops()
    chat = Chat(provider=provider)
    chat.send("1").result(10)
    chat.send("2").result(10)
    assert len(provider.loops) == 1


# The notebook's conversation


def test_current_is_one_conversation() -> None:
    assert nbchat.current() is nbchat.current()


def test_retry_takes_the_place_of_the_last_turn() -> None:
    echo, other = Echo(), Echo()
    chat = Chat("m", provider=echo)
    chat.send("a").result(10)
    chat.send("b").result(10)
    nbchat.register(other, "other-echo")
    try:
        assert chat.retry("other-echo/n").result(10) == "<b>"
    finally:
        unregister("other-echo")
    assert [(turn.prompt, turn.model) for turn in chat.history] == [("a", "m"), ("b", "n")]
    assert prompts(other.calls[0][1]) == ["a", "<a>", "b"]


def test_a_retry_asks_as_the_turn_was_asked() -> None:
    echo = Echo()
    chat = Chat("m", provider=echo, temperature=0.2)
    chat.send("a", system="Be brief.", temperature=0, seed=1).result(10)
    chat.retry().result(10)
    assert prompts(echo.calls[1][1]) == ["Be brief.", "a"]
    assert echo.calls[1][2] == {"temperature": 0, "seed": 1}


def test_a_retry_that_cannot_be_sent_changes_nothing() -> None:
    chat = Chat("m", provider=Echo(), temperature=0.2)
    chat.send("a").result(10)
    nbchat.register(Gate(), "gate")
    try:
        with pytest.raises(UsageProblem, match="gate takes no temperature"):
            chat.retry("gate")
    finally:
        unregister("gate")
    assert chat.history[0].text == "<a>"
    assert chat.send("b").result(10) == "<b>"


def test_new_forgets_only_what_can_be_sent_after() -> None:
    chat = Chat("m", provider=Echo())
    chat.send("a").result(10)
    with pytest.raises(UnknownModel):
        chat.send("b", model="no-such-model-anywhere", new=True)
    assert len(chat.history) == 1
    chat.send("aside", new=True, history=False).result(10)
    assert len(chat.history) == 1
    chat.send("b", new=True).result(10)
    assert [turn.prompt for turn in chat.history] == ["b"]


def test_an_interrupt_of_who_waits_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    gate = Gate()
    replies = [Chat(provider=gate).send("x"), Chat(provider=gate).send("x")]
    for reply, wait in zip(replies, (Reply.result, list), strict=True):
        monkeypatch.setattr(reply, "wait", interrupt)
        with pytest.raises(ReplyInterrupted, match="characters kept"):
            wait(reply)  # type: ignore[arg-type]
        monkeypatch.undo()
        assert reply.wait(10)
        assert reply.status == "stopped"


def test_an_api_key_goes_to_its_own_server_only() -> None:
    with OpenAIServer(api_key="the-key") as server, OpenAIServer() as other:
        chat = Chat("loopback", base_url=server.url, api_key="the-key")
        assert "no language model" in chat.send("a").result(10)
        assert "no language model" in chat.send("b", base_url=other.url, model="loopback").result(10)
        assert "the-key" not in str(other.requests[0].raw_headers)
    for shown in (repr(chat), repr(chat.options), repr(vars(chat)), repr(chat._calls[chat.history[0]])):
        assert "the-key" not in shown


def test_a_secret_among_the_options_is_not_in_a_strangers_error() -> None:
    class Leaks:
        async def create_async_generator(self, model: str, messages: Messages, **options: Any) -> AsyncIterator[str]:
            raise ValueError(f"no such key: {options['api_key']}")
            yield

    with pytest.raises(ProviderError) as caught:
        Chat(provider=Leaks()).send("x", api_key="-".join(("hush", "hush"))).result(10)
    assert "hush-hush" not in "".join(traceback.format_exception(caught.value))


def test_there_is_nothing_to_retry_in_an_empty_conversation() -> None:
    with pytest.raises(UsageProblem, match="nothing to retry"):
        Chat(provider=Echo()).retry()


def test_preview_sends_nothing() -> None:
    echo = Echo()
    chat = Chat(provider=echo, system="s")
    chat.send("a").result(10)
    assert prompts(chat.preview("b").messages) == ["s", "a", "<a>", "b"]
    assert prompts(chat.preview("b", history=False, system="").messages) == ["b"]
    shown = chat.preview("b", temperature=1, api_key="hush", proxy="http://me:hush@h")
    assert shown[:3] == ("", "Echo", {"temperature": 1})
    assert len(echo.calls) == 1
