"""GPROChat: what it puts on the wire, and how it reads what comes back."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nbchat.errors import ProviderError, ReplyCutOff, UsageProblem
from nbchat.messages import Messages
from nbchat.providers import GPROChat
from nbchat.providers.gprochat import fold
from nbchat.testing import GPROChatServer, Received

HELLO: Messages = [{"role": "user", "content": "Hello"}]
KEY = "2BC120D4-BB36-1B60-26DE-DB630472A3D8"


@pytest.fixture
async def server() -> AsyncIterator[GPROChatServer]:
    async with GPROChatServer() as server:
        with server.pointing(GPROChat):
            yield server


async def ask(messages: Messages = HELLO, model: str = "", **options: Any) -> str:
    return "".join([str(chunk) async for chunk in GPROChat.create_async_generator(model, messages, **options)])


async def sent(server: GPROChatServer, messages: Messages = HELLO, model: str = "") -> Received:
    await ask(messages, model)
    return server.requests[-1]


def signature(timestamp: int, prompt: str, key: str) -> str:
    return hashlib.sha256(f"{timestamp}:{prompt}:{key}".encode()).hexdigest()


def test_what_it_says_of_itself() -> None:
    assert GPROChat.url == "https://gprochat.com"
    assert GPROChat.api_endpoint == "https://gprochat.com/api/generate"
    assert GPROChat.working is False
    assert GPROChat.supports_stream is GPROChat.supports_message_history is True
    assert GPROChat.supports_system_message is False
    assert GPROChat.default_model == "gemini-1.5-pro"


def test_the_documented_example() -> None:
    output = []
    messages: Messages = [{"role": "user", "content": "Hello, GPROChat!"}]

    async def generate_response() -> None:
        async for chunk in GPROChat.create_async_generator(model="gemini-1.5-pro", messages=messages):
            output.append(chunk)

    with GPROChatServer() as server, server.pointing(GPROChat):
        server.reply("Hello ", "back")
        asyncio.run(generate_response())
    assert "".join(map(str, output)) == "Hello back"


def test_the_documented_signature() -> None:
    timestamp = int(time.time() * 1000)
    assert GPROChat.generate_signature(timestamp, "Test message") == signature(timestamp, "Test message", KEY)
    assert GPROChat.generate_signature(1, "Привет") == signature(1, "Привет", KEY)
    assert len(GPROChat.generate_signature(1, "half \ud83d")) == 64
    assert isinstance(vars(GPROChat)["generate_signature"], staticmethod)


async def test_the_headers_are_these_and_no_others(server: GPROChatServer) -> None:
    headers = dict((await sent(server)).raw_headers)
    for name in ("Host", "Content-Length"):
        del headers[name]
    for name in ("Connection", "Accept-Encoding"):
        headers.pop(name, None)
    assert headers == {
        "accept": "*/*",
        "origin": "https://gprochat.com",
        "referer": "https://gprochat.com/",
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/129.0.0.0 Safari/537.36",
        "content-type": "text/plain;charset=UTF-8",
    }


async def test_the_body(server: GPROChatServer) -> None:
    body = (await sent(server)).body
    now = body["time"]
    assert type(now) is int
    assert abs(now - time.time() * 1000) < 60_000
    assert body == {
        "messages": [{"role": "user", "parts": [{"text": "Hello"}]}],
        "time": now,
        "pass": None,
        "sign": signature(now, "Hello", KEY),
    }


async def test_the_model_is_not_sent(server: GPROChatServer) -> None:
    assert b"gemini" not in (await sent(server, HELLO, "gemini-1.5-flash")).data


async def test_the_key_is_the_variables_at_the_time_of_the_call(
    server: GPROChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBCHAT_GPROCHAT_KEY", "another")
    assert GPROChat.generate_signature(1, "x") == signature(1, "x", "another")
    with pytest.raises(ProviderError, match="signature is wrong"):  # the server still has the public key
        await ask()
    monkeypatch.delenv("NBCHAT_GPROCHAT_KEY")
    assert await ask()


async def test_the_key_is_the_class_attribute_if_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBCHAT_GPROCHAT_KEY", "the variable's")
    monkeypatch.setattr(GPROChat, "secret_key", "the attribute's")
    assert GPROChat.generate_signature(1, "x") == signature(1, "x", "the attribute's")
    async with GPROChatServer(key="the attribute's") as server:
        with server.pointing(GPROChat):
            assert await ask()


async def test_a_subclass_may_have_a_key_of_its_own() -> None:
    class Ours(GPROChat):
        secret_key = "ours"

    async with GPROChatServer(key="ours") as server:
        with server.pointing(Ours):
            assert "".join([str(chunk) async for chunk in Ours.create_async_generator("", HELLO)])
    assert "api_endpoint" not in vars(Ours)
    assert GPROChat.api_endpoint == "https://gprochat.com/api/generate"


async def test_a_subclass_may_sign_in_a_way_of_its_own() -> None:
    class Ours(GPROChat):
        @staticmethod
        def generate_signature(timestamp: int, message: str) -> str:
            return f"{timestamp} {message}"

    async with GPROChatServer() as server:
        with server.pointing(Ours), pytest.raises(ProviderError, match="signature is wrong"):
            await anext(Ours.create_async_generator("", HELLO))
    body = server.requests[0].body
    assert body["sign"] == f"{body['time']} Hello"


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([("user", "As it is.\n")], "As it is.\n"),
        ([("system", "S"), ("user", "U")], "System: S\nUser: U\nAssistant:"),
        ([("user", "a"), ("assistant", "b"), ("user", "c")], "User: a\nAssistant: b\nUser: c\nAssistant:"),
        ([("user", "a"), ("assistant", " \n"), ("user", "c")], "User: a\nUser: c\nAssistant:"),
        ([("system", ""), ("user", "hi")], "User: hi\nAssistant:"),
        ([("user", "\ud83d\ude00 \ud83d")], "😀 \ufffd"),
    ],
)
def test_the_conversation_is_folded_into_one_prompt(messages: list[tuple[Any, str]], prompt: str) -> None:
    assert fold([{"role": role, "content": content} for role, content in messages]) == prompt


async def test_a_folded_prompt_is_signed_as_it_is_sent(server: GPROChatServer) -> None:
    messages: Messages = [{"role": "system", "content": "\ud83d"}, {"role": "user", "content": "Привет\u2028"}]
    before = json.dumps(messages)
    body = (await sent(server, messages)).body
    prompt = "System: \ufffd\nUser: Привет\u2028\nAssistant:"
    assert body["messages"][0]["parts"][0]["text"] == prompt
    assert body["sign"] == signature(body["time"], prompt, KEY)
    assert json.dumps(messages) == before


@pytest.mark.parametrize("messages", [[], [{"role": "user", "content": " "}]])
def test_nothing_to_say_is_a_usage_problem(messages: Messages) -> None:
    with pytest.raises(UsageProblem, match="no message to send"):
        GPROChat.create_async_generator("", messages)


async def test_a_character_split_over_two_pieces(server: GPROChatServer) -> None:
    emoji = "😀".encode()
    server.reply(b"a", emoji[:1], emoji[1:3], emoji[3:], b"b")
    assert await ask() == "a😀b"


async def test_an_empty_reply_is_an_error(server: GPROChatServer) -> None:
    server.reply()
    with pytest.raises(ProviderError, match="empty reply"):
        await ask()


async def test_a_page_is_an_error(server: GPROChatServer) -> None:
    server.reply(b"<!doctype html><title>This domain is for sale</title>", headers={"Content-Type": "text/html"})
    with pytest.raises(ProviderError, match="This domain is for sale"):
        await ask()


async def test_a_refusal_carries_status_and_words(server: GPROChatServer) -> None:
    server.reply(b"come back with a better signature", status=418)
    with pytest.raises(ProviderError, match="418: come back") as caught:
        await ask()
    assert caught.value.status == 418


async def test_a_connection_that_breaks_in_the_middle_is_an_error(server: GPROChatServer) -> None:
    server.reply("Hel", ConnectionError())
    with pytest.raises(ReplyCutOff):
        await ask()


async def test_the_silence_limit_is_passed_on(server: GPROChatServer) -> None:
    server.reply("a", 3600)
    with pytest.raises(ProviderError, match=r"0\.2 s"):
        await ask(timeout=0.2)
