"""What every provider of nbchat keeps to, whatever it speaks."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from nbchat.errors import ProviderError, UsageProblem
from nbchat.messages import Messages, Notice
from nbchat.providers import (
    AsyncGeneratorProvider,
    AsyncResult,
    FlowGpt,
    GPROChat,
    OpenAICompatible,
    ProviderModelMixin,
)
from nbchat.providers.guide import Guide
from nbchat.providers.services import SERVICES
from nbchat.testing import FlowGptServer, Gate, GPROChatServer, LoopbackServer, OpenAIServer, ScriptedProvider

TALK: Messages = [
    {"role": "system", "content": "Be brief. \ud83d"},
    {"role": "user", "content": [{"type": "text", "text": "One?"}]},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "Two?"},
]

EVERYONE: dict[str, Any] = {
    "FlowGpt": FlowGpt,
    "FlowGpt()": FlowGpt(),
    "GPROChat": GPROChat,
    "GPROChat()": GPROChat(),
    "guide": Guide,
    "base_url": OpenAICompatible("http://127.0.0.1:1/v1"),
    **{name: OpenAICompatible.from_service(name, "sk-a-key-of-the-tests") for name in SERVICES},
    "scripted": ScriptedProvider(),
}
everyone = pytest.mark.parametrize("provider", EVERYONE.values(), ids=EVERYONE)


@everyone
def test_it_says_what_it_is(provider: Any) -> None:
    assert isinstance(provider.url, str)
    assert isinstance(provider.api_endpoint, str)
    for flag in ("working", "supports_stream", "supports_message_history", "supports_system_message"):
        assert isinstance(getattr(provider, flag), bool)
    assert all(isinstance(model, str) for model in provider.models)
    assert isinstance(provider.default_model, str)
    assert provider.get_model("" if provider.default_model else "x") == (provider.default_model or "x")
    assert "sk-a-key" not in repr(provider)


@everyone
def test_its_method_takes_what_is_documented(provider: Any) -> None:
    parameters = inspect.signature(provider.create_async_generator).parameters
    assert list(parameters)[:3] == ["model", "messages", "proxy"]
    assert parameters["proxy"].default is None
    assert any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    assert inspect.getdoc(provider.create_async_generator)


@pytest.mark.parametrize("provider", [FlowGpt, GPROChat])
def test_the_documented_bases(provider: Any) -> None:
    assert issubclass(provider, AsyncGeneratorProvider)
    assert issubclass(provider, ProviderModelMixin)
    parameters = inspect.signature(provider.create_async_generator).parameters
    assert list(parameters)[-1] == "kwargs"
    assert parameters.get("temperature", inspect.Parameter.empty) == (
        inspect.signature(FlowGpt.create_async_generator).parameters["temperature"]
        if provider is FlowGpt
        else inspect.Parameter.empty
    )


UNSENDABLE = [
    [],
    (),
    "Hello",
    ["Hello"],
    [{"role": "user"}],
    iter([{"role": "user", "content": "Hello"}]),
    [{"role": "user", "content": None}],
    [{"role": None, "content": "Hello"}, {"role": "user", "content": "Hello"}],
    [{"role": "user", "content": [{"type": "text"}]}],
]


@everyone
@pytest.mark.parametrize("messages", UNSENDABLE, ids=[repr(each).split(" at ")[0] for each in UNSENDABLE])
def test_what_cannot_be_sent_is_a_usage_problem_at_once(provider: Any, messages: Any) -> None:
    with pytest.raises(UsageProblem):
        provider.create_async_generator(provider.default_model or "m", messages)


@pytest.mark.parametrize("provider", [FlowGpt, GPROChat, EVERYONE["base_url"]])
@pytest.mark.parametrize("timeout", ["5", -1, float("nan")])
def test_a_timeout_that_is_none_is_a_usage_problem_at_once(provider: Any, timeout: Any) -> None:
    with pytest.raises(UsageProblem, match="timeout"):
        provider.create_async_generator(provider.default_model or "m", TALK, timeout=timeout)


@dataclass
class Asked:
    """A provider with something behind it that answers, and sees what becomes of the request."""

    provider: Any
    model: str
    reply: Callable[..., None]
    """Script the next answer: a chunk, then what is given."""
    outcome: Callable[[], Any]
    """Wait for what became of the last request."""
    server: LoopbackServer | None = None

    def start(self, messages: Messages = TALK, **options: Any) -> AsyncResult:
        result = self.provider.create_async_generator(self.model, messages, **options)
        assert isinstance(result, AsyncResult)
        return result


@asynccontextmanager
async def scripted() -> AsyncIterator[Asked]:
    replies: list[Any] = []
    provider = ScriptedProvider(lambda messages: replies.pop(0) if replies else "an answer")
    yield Asked(provider, "m", lambda *pieces: replies.append(pieces), lambda: provider.calls[-1].ended())


@asynccontextmanager
async def guide() -> AsyncIterator[Asked]:
    yield Asked(Guide, Guide.default_model, lambda *pieces: None, lambda: None)


def serving(kind: Callable[[], LoopbackServer], provider: Any, model: str = "") -> Callable[[], Any]:
    @asynccontextmanager
    async def asked() -> AsyncIterator[Asked]:
        async with kind() as server:
            with server.pointing(provider):
                yield Asked(provider, model, server.reply, lambda: server.requests[-1].ended(), server)

    return asked


SERVED: dict[str, Callable[[], Any]] = {
    "FlowGpt": serving(FlowGptServer, FlowGpt),
    "GPROChat": serving(GPROChatServer, GPROChat),
    "OpenAICompatible": serving(OpenAIServer, OpenAICompatible("http://127.0.0.1:1/v1"), "loopback"),
}
served = pytest.mark.parametrize("asked", SERVED.values(), ids=SERVED, indirect=True)
scripted_or_served = pytest.mark.parametrize(
    "asked", [*SERVED.values(), scripted], ids=[*SERVED, "scripted"], indirect=True
)
answering = pytest.mark.parametrize(
    "asked", [*SERVED.values(), scripted, guide], ids=[*SERVED, "scripted", "guide"], indirect=True
)


@pytest.fixture
async def asked(request: pytest.FixtureRequest) -> AsyncIterator[Asked]:
    async with request.param() as asked:
        yield asked


def text(chunks: list[Any]) -> str:
    return "".join(chunk for chunk in chunks if isinstance(chunk, str))


@answering
async def test_both_call_forms(asked: Asked) -> None:
    generator = await asked.start()
    assert text([chunk async for chunk in generator])
    assert text([chunk async for chunk in asked.start()])


@answering
async def test_messages_are_never_changed(asked: Asked) -> None:
    for talk in (TALK, TALK[-1:], tuple(TALK)):
        before = copy.deepcopy(talk)
        assert text([chunk async for chunk in asked.start(talk, temperature=0, timeout=30)])
        assert talk == before


@answering
async def test_what_comes_can_be_encoded(asked: Asked) -> None:
    assert text([chunk async for chunk in asked.start([{"role": "user", "content": "\ud83d \ude00"}])]).encode()


@scripted_or_served
async def test_chunks_come_as_they_are_sent(asked: Asked) -> None:
    gate = Gate()
    asked.reply("Hel", gate, "lo")
    reply = asked.start()
    assert await anext(reply) == "Hel"
    gate.open()
    assert text([chunk async for chunk in reply]) == "lo"
    assert await asked.outcome() == "done"


@scripted_or_served
async def test_a_cancelled_reply_drops_its_request(asked: Asked) -> None:
    asked.reply("Hel", Gate())
    waiting = asyncio.Event()

    async def whole() -> None:
        async for _ in asked.start():
            waiting.set()

    task = asyncio.create_task(whole())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asked.outcome() == "dropped"


@served
async def test_a_reply_cancelled_before_its_first_chunk_drops_its_request(asked: Asked) -> None:
    gate = Gate()
    asked.reply(gate)
    task = asyncio.create_task(anext(asked.start()))  # type: ignore[arg-type]  # __anext__ is a coroutine
    await gate.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asked.outcome() == "dropped"


@scripted_or_served
async def test_a_closed_reply_drops_its_request(asked: Asked) -> None:
    asked.reply("Hel", Gate())
    reply = asked.start()
    assert await anext(reply) == "Hel"
    await reply.aclose()
    assert await asked.outcome() == "dropped"
    assert [chunk async for chunk in reply] == []


@served
async def test_an_error_in_the_middle_comes_after_what_came(asked: Asked) -> None:
    asked.reply("Hel", ConnectionResetError())
    reply = asked.start()
    assert await anext(reply) == "Hel"
    with pytest.raises(ProviderError) as caught:
        await anext(reply)
    assert len(str(caught.value)) <= 300
    assert len(asked.server.requests) == 1  # type: ignore[union-attr]  # served: there is one


@served
@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 413, 418, 422, 451, 501])
async def test_what_is_not_2xx_raises_with_its_status(asked: Asked, status: int) -> None:
    asked.reply("these words", status=status)
    with pytest.raises(ProviderError) as caught:
        await anext(asked.start())
    assert caught.value.status == status
    assert str(status) in str(caught.value)
    assert status == 301 or "these words" in str(caught.value)


@served
async def test_a_retry_is_announced_to_those_who_ask_for_events(asked: Asked) -> None:
    asked.reply("wait", status=503, headers={"Retry-After": "0"})
    asked.reply("ok")
    chunks = [chunk async for chunk in asked.start().events()]
    assert isinstance(chunks[0], Notice)
    assert text(chunks) == "ok"
    assert len(asked.server.requests) == 2  # type: ignore[union-attr]  # served: there is one


@pytest.mark.parametrize("kind", SERVED)
def test_outside_of_nbchats_loop_nothing_is_left_open(kind: str) -> None:
    """Each run has a loop and so a session of its own; a warning about either would fail this test."""

    async def whole_and_left(asked: Asked) -> None:
        assert text([chunk async for chunk in asked.start()])
        asked.reply("Hel", Gate())
        async for _ in asked.start():
            break  # as users do: nothing is closed here

    async def run() -> None:
        async with SERVED[kind]() as asked:
            await whole_and_left(asked)

    for _ in range(2):
        asyncio.run(run())
        gc.collect()


@pytest.mark.parametrize("kind", SERVED)
def test_an_error_in_the_users_own_loop_is_all_that_shows(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its traceback keeps the reply alive until asyncio closes what is left: that must go without a word."""

    async def fail() -> None:
        async with SERVED[kind]() as asked:
            asked.reply("Hel", Gate())
            generator = await asked.start()
            async for _ in generator:
                raise LookupError("the user's own")

    with pytest.raises(LookupError):
        asyncio.run(fail())
    assert not caplog.records


@pytest.mark.parametrize("kind", SERVED)
def test_one_thread_after_another_may_ask(kind: str) -> None:
    """Nothing that belongs to a loop is kept on a provider."""
    server: LoopbackServer = {"FlowGpt": FlowGptServer, "GPROChat": GPROChatServer}.get(kind, OpenAIServer)()
    provider: Any = {"FlowGpt": FlowGpt, "GPROChat": GPROChat}.get(kind) or OpenAICompatible("http://127.0.0.1:1/v1")

    async def ask() -> str:
        return text(
            [
                chunk
                async for chunk in provider.create_async_generator(
                    "loopback" if kind == "OpenAICompatible" else "", TALK
                )
            ]
        )

    async def ask_together() -> list[str]:
        return await asyncio.gather(ask(), ask(), asyncio.to_thread(asyncio.run, ask()))

    with server, server.pointing(provider):
        assert len({asyncio.run(ask()), *asyncio.run(ask_together())}) == 1
