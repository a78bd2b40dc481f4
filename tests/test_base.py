"""What providers are made of: the base classes, the result, and the checks that all share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from nbchat.errors import UnknownModel, UsageProblem
from nbchat.messages import Chunk, Messages, Notice, Usage
from nbchat.providers import AsyncGeneratorProvider, AsyncResult, ProviderModelMixin
from nbchat.providers.base import SILENCE, Request, encode, provider_name, require_messages, silence_limit


class Played:
    """An async generator of chunks that remembers whether it was closed."""

    def __init__(self, *chunks: Chunk) -> None:
        self.closed = False
        self.result = AsyncResult(self._play(chunks))

    async def _play(self, chunks: tuple[Chunk, ...]) -> AsyncGenerator[Chunk, None]:
        try:
            for chunk in chunks:
                yield chunk
        finally:
            self.closed = True


async def test_a_result_may_be_awaited_before_it_is_iterated() -> None:
    result = Played("a", "b").result
    assert await result is result
    assert [chunk async for chunk in result] == ["a", "b"]


async def test_a_result_may_be_iterated_at_once_and_ends_once() -> None:
    result = Played("a").result
    assert aiter(result) is result
    assert [chunk async for chunk in result] == ["a"]
    assert [chunk async for chunk in result] == []


async def test_awaiting_can_be_made_a_task() -> None:
    result = Played("a").result

    async def awaited() -> AsyncResult:
        return await result

    assert await asyncio.wait_for(awaited(), 10) is result


async def test_notices_are_for_those_who_ask_for_events() -> None:
    chunks: list[Chunk] = [Notice("retrying"), "a", Notice("again"), Usage(1, 2)]
    assert [chunk async for chunk in Played(*chunks).result] == ["a", Usage(1, 2)]
    assert [chunk async for chunk in Played(*chunks).result.events()] == chunks


async def test_closing_a_result_closes_what_is_behind_it() -> None:
    played = Played("a", "b")
    assert await anext(played.result) == "a"
    await played.result.aclose()
    assert played.closed


class Fixed(ProviderModelMixin):
    default_model = "one"
    models = ("one", "two")
    model_aliases = {"zwei": "two"}  # noqa: RUF012 - as people write it


class Open(ProviderModelMixin):
    default_model = "one"
    model_aliases = {"zwei": "two"}  # noqa: RUF012 - as people write it


@pytest.mark.parametrize(
    ("kind", "asked", "model"),
    [
        (Fixed, "", "one"),
        (Fixed, None, "one"),
        (Fixed, "two", "two"),
        (Fixed, "zwei", "two"),
        (Open, "", "one"),
        (Open, "zwei", "two"),
        (Open, "whatever", "whatever"),
        (ProviderModelMixin, "", ""),
    ],
)
def test_get_model(kind: type[ProviderModelMixin], asked: str | None, model: str) -> None:
    assert kind.get_model(asked) == model


def test_an_unknown_model_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(UnknownModel, match=r"Fixed has no model 'twoo'\. Did you mean two"):
        Fixed.get_model("twoo")


def test_an_unknown_model_is_told_which_there_are() -> None:
    with pytest.raises(UnknownModel, match=r"'nope'\. Its models: one, two\.$"):
        Fixed.get_model("nope")
    with pytest.raises(UnknownModel) as caught:
        Fixed.get_model("long-" * 100)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("messages", [[], ()])
def test_no_messages(messages: Messages) -> None:
    with pytest.raises(UsageProblem, match="no message to send"):
        require_messages(messages)


@pytest.mark.parametrize(
    "messages",
    [
        "Hello",
        ["Hello"],
        [{"role": "user"}],
        [{"content": "Hello"}],
        [None],
        [{"role": "user", "content": ""}, 7],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": 3}],
        [{"role": None, "content": "Hello"}],
        [{"role": "user", "content": ["x"]}],
        [{"role": "user", "content": [{"type": "text"}]}],
        [{"role": "user", "content": [{"type": "text", "text": None}]}],
    ],
)
def test_what_is_no_message(messages: Any) -> None:
    with pytest.raises(UsageProblem, match=r'A message looks like \{"role": "user"'):
        require_messages(messages)


@pytest.mark.parametrize("messages", [iter([{"role": "user", "content": "Hello"}]), {"role": "user"}, None, 7])
def test_what_is_no_list_of_messages(messages: Any) -> None:
    with pytest.raises(UsageProblem, match="messages is a list of messages, not a value of type"):
        require_messages(messages)


def test_a_message_is_one() -> None:
    require_messages([{"role": "user", "content": "Hello"}])
    require_messages(({"role": "user", "content": [{"type": "text", "text": "Hello"}]},))
    require_messages([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}])


@pytest.mark.parametrize(("timeout", "seconds"), [(None, SILENCE), (0, SILENCE), (5, 5), (0.5, 0.5)])
def test_the_limit_of_silence(timeout: Any, seconds: float) -> None:
    assert silence_limit(timeout) == seconds


@pytest.mark.parametrize("timeout", ["5", -1, float("nan"), [5]])
def test_what_is_no_limit_of_silence(timeout: Any) -> None:
    with pytest.raises(UsageProblem, match="timeout is a number of seconds"):
        silence_limit(timeout)


def test_a_body_is_json_whatever_its_text() -> None:
    assert encode({"a": "\ud83d\ude00 \ud83d é"}) == '{"a": "😀 \ufffd é"}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_has_no_form_for_is_a_usage_problem(value: Any) -> None:
    with pytest.raises(UsageProblem, match="cannot be sent as JSON"):
        encode({"a": value})


class Named:
    name = "my-name"


def test_the_name_of_a_provider() -> None:
    assert provider_name(Named) == provider_name(Named()) == "my-name"
    assert provider_name(Fixed) == provider_name(Fixed()) == "Fixed"


def test_a_request_shows_nothing_secret() -> None:
    request = Request(
        provider="me",
        url="http://127.0.0.1:1/v1?api-key=hidden",
        headers={"Authorization": "Bearer hidden"},
        body=b"hidden",
        proxy="http://me:hidden@127.0.0.1",
        secrets=("hidden",),
    )
    assert "hidden" not in repr(request)
    assert "provider='me'" in repr(request)


def test_a_provider_must_say_how_it_answers() -> None:
    class Mute(AsyncGeneratorProvider):
        pass

    with pytest.raises(TypeError, match="create_async_generator"):
        Mute()  # type: ignore[abstract]
