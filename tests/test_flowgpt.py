"""FlowGpt: what it puts on the wire, and how it reads what comes back."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from cutting import assert_decodes
from nbchat.errors import ProviderError, RateLimitError, ReplyCutOff, UnknownModel, UsageProblem
from nbchat.messages import Messages
from nbchat.providers import FlowGpt
from nbchat.providers.flowgpt import EventLines
from nbchat.testing import FlowGptServer, Received

HELLO: Messages = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def server() -> AsyncIterator[FlowGptServer]:
    async with FlowGptServer() as server:
        with server.pointing(FlowGpt):
            yield server


async def ask(messages: Messages = HELLO, model: str = "", **options: Any) -> str:
    return "".join([str(chunk) async for chunk in FlowGpt.create_async_generator(model, messages, **options)])


async def sent(server: FlowGptServer, messages: Messages = HELLO, model: str = "", **options: Any) -> Received:
    await ask(messages, model, **options)
    return server.requests[-1]


def test_what_it_says_of_itself() -> None:
    assert FlowGpt.url == "https://flowgpt.com/chat"
    assert FlowGpt.api_endpoint == "https://prod-backend-k8s.flowgpt.com/v3/chat-anonymous"
    assert FlowGpt.working is False
    assert FlowGpt.supports_stream is FlowGpt.supports_message_history is FlowGpt.supports_system_message is True
    assert FlowGpt.default_model == "gpt-3.5-turbo"
    assert FlowGpt.models == [
        "gpt-3.5-turbo",
        "gpt-3.5-long",
        "gpt-4-turbo",
        "google-gemini",
        "claude-instant",
        "claude-v1",
        "claude-v2",
        "llama2-13b",
        "mythalion-13b",
        "pygmalion-13b",
        "chronos-hermes-13b",
        "Mixtral-8x7B",
        "Dolphin-2.6-8x7B",
    ]
    assert FlowGpt.model_aliases == {"gemini": "google-gemini", "gemini-pro": "google-gemini"}


async def test_the_documented_example(server: FlowGptServer) -> None:
    server.reply("При", "вет!")
    messages: Messages = [{"role": "user", "content": "Привет, как дела?"}]
    generator = await FlowGpt.create_async_generator(model="gpt-3.5-turbo", messages=messages)
    assert [message async for message in generator] == ["При", "вет!"]
    assert server.requests[0].body["question"] == "Привет, как дела?"


async def test_the_headers_are_these_and_no_others(server: FlowGptServer) -> None:
    headers = dict((await sent(server)).raw_headers)
    transport = {name: headers.pop(name) for name in ("Host", "Content-Length")}
    assert transport["Content-Length"] == str(len(server.requests[0].data))
    assert set(headers.pop("Accept-Encoding").split(", ")) in ({"gzip", "deflate"}, {"gzip", "deflate", "br"})
    timestamp, nonce, device = (headers.pop(f"x-{name}") for name in ("timestamp", "nonce", "flow-device-id"))
    assert abs(int(timestamp) - time.time()) < 60
    assert re.fullmatch("[0-9a-f]{32}", nonce)
    assert re.fullmatch("f-[a-z0-9]{19}", device)
    assert headers == {
        "User-Agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:122.0) Gecko/20100101 Firefox/122.0",
        "Accept": "*/*",
        "Accept-Language": "en-US;q=0.7,en;q=0.3",
        "Referer": "https://flowgpt.com/",
        "Content-Type": "application/json",
        "Authorization": "Bearer null",
        "Origin": "https://flowgpt.com",
        "Connection": "keep-alive",
        "Sec-Fetch-Dest": "empty",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Site": "same-site",
        "TE": "trailers",
        "x-signature": hashlib.md5(f"{timestamp}-{nonce}-Bearer null".encode()).hexdigest(),
    }


async def test_nonce_and_device_are_new_each_time(server: FlowGptServer) -> None:
    first, second = await sent(server), await sent(server)
    for name in ("x-nonce", "x-flow-device-id", "x-signature"):
        assert first.headers[name] != second.headers[name]


async def test_the_body(server: FlowGptServer) -> None:
    messages: Messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Two?"},
    ]
    before = json.dumps(messages)
    assert (await sent(server, messages, "gemini-pro", temperature=0)).body == {
        "model": "google-gemini",
        "nsfw": False,
        "question": "Two?",
        "history": [
            {"role": "assistant", "content": "Hello, how can I help you today?"},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "1"},
        ],
        "system": "Be brief.\nBe kind.",
        "temperature": 0,
        "promptId": "model-google-gemini",
        "documentIds": [],
        "chatFileDocumentIds": [],
        "generateImage": False,
        "generateAudio": False,
    }
    assert json.dumps(messages) == before


@pytest.mark.parametrize("model", ["", None])
async def test_the_defaults(server: FlowGptServer, model: Any) -> None:
    body = (await sent(server, HELLO, model)).body
    assert body["model"] == "gpt-3.5-turbo"
    assert body["temperature"] == 0.7
    assert body["system"] == "You are helpful assistant. Follow the user's instructions carefully."
    assert body["history"] == [{"role": "assistant", "content": "Hello, how can I help you today?"}]


async def test_a_blank_system_message_is_none(server: FlowGptServer) -> None:
    body = (await sent(server, [{"role": "system", "content": ""}, *HELLO])).body
    assert body["system"].startswith("You are helpful assistant.")


async def test_what_cannot_be_encoded_is_cleaned(server: FlowGptServer) -> None:
    messages: Messages = [
        {"role": "system", "content": "\ud83d"},
        {"role": "user", "content": [{"type": "text", "text": "\ud83d\ude00"}, {"type": "text", "text": "x\udc00"}]},
        {"role": "user", "content": "y\ud800"},
    ]
    body = (await sent(server, messages)).body
    assert (body["system"], body["history"][1]["content"], body["question"]) == ("\ufffd", "😀\nx\ufffd", "y\ufffd")


def test_an_unknown_model_is_named_before_any_request() -> None:
    with pytest.raises(UnknownModel, match=r"'gogle-gemini'.*Did you mean google-gemini"):
        FlowGpt.create_async_generator("gogle-gemini", HELLO)


def test_a_temperature_that_json_has_no_form_for_is_a_usage_problem() -> None:
    with pytest.raises(UsageProblem, match="cannot be sent as JSON"):
        FlowGpt.create_async_generator("", HELLO, temperature=float("nan"))


def test_no_messages_is_a_usage_problem() -> None:
    with pytest.raises(UsageProblem, match="no message"):
        FlowGpt.create_async_generator("", [])


async def test_the_silence_limit_is_passed_on(server: FlowGptServer) -> None:
    server.reply("a", 3600)
    with pytest.raises(ProviderError, match=r"0\.2 s"):
        await ask(timeout=0.2)


async def test_a_refusal_carries_status_and_words(server: FlowGptServer) -> None:
    server.reply("not today", status=451)
    with pytest.raises(ProviderError, match="451: not today") as caught:
        await ask()
    assert caught.value.status == 451


async def test_an_error_event_is_an_error_and_what_came_is_kept(server: FlowGptServer) -> None:
    server.reply("Hel", "lo", Exception("Rate limit exceeded"))
    reply = FlowGpt.create_async_generator("", HELLO)
    assert [await anext(reply), await anext(reply)] == ["Hel", "lo"]
    with pytest.raises(RateLimitError, match="Rate limit exceeded"):
        await anext(reply)


async def test_a_reply_cut_in_the_middle_is_an_error(server: FlowGptServer) -> None:
    server.reply("Hel", b'{"event": "text", "da')
    with pytest.raises(ReplyCutOff):
        await ask()


def lines(*events: Any) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def text(data: str) -> dict[str, str]:
    return {"event": "text", "data": data}


def replies() -> Iterator[tuple[bytes, list[Any]]]:
    yield lines(text("Hi "), text("there")), ["Hi there"]
    yield json.dumps(text("Привет 😀"), ensure_ascii=False).encode(), ["Привет 😀"]
    yield b'\xef\xbb\xbf\r\n{"event":"text","data":"a"}\r\n\r\n{"data":"b","event":"text"}\r', ["ab"]
    yield lines({"event": "metaData", "data": {"x": 1}}, text("a"), text(""), {"event": "text", "data": 7}), ["a"]
    yield lines({"event": "text", "data": None}, {"data": "no event"}, text("a"), {"event": "end"}), ["a"]
    yield b'{"event":"text","data":"\\ud83d"}\n{"event":"text","data":"\\ude00"}\n', ["😀"]
    yield b'{"event":"text","data":"a\\ud83d"}\n{"event":"text","data":"\\ud83d"}', ["a\ufffd\ufffd"]
    yield b'{"event":"text","data":"bad \xff"}', ["bad \ufffd"]
    yield '{"event":"text","data":"one\u2028line\x85"}\n'.encode(), ["one\u2028line\x85"]
    yield lines(text("a"), {"event": "error", "data": "gone"}, text("b")), ["a", ("error", "gone")]
    yield lines({"event": "error", "data": {"code": 500}}), [("error", {"code": 500})]
    yield lines({"event": "error"}), [("error", {"event": "error"})]
    yield lines({"error": {"message": "no"}}), [("error", {"message": "no"})]
    yield b'{"event":"text","data":"a"}\n{"event":"te', ["a", ("cut", "ended in the middle of a line")]
    yield b'{"event":"te', [("cut", "ended in the middle of a line")]
    yield b"", [("wrong", "sent an empty reply", "")]
    yield b" \n\n", [("wrong", "sent an empty reply", "")]
    yield lines({"event": "end"}), [("wrong", "sent a reply without text", '{"event": "end"}')]
    yield b"Service down", [("wrong", "sent a line that is not JSON", "Service down")]
    yield lines(text("a")) + b"oops\n", ["a", ("wrong", "sent a line that is not JSON", "oops")]
    yield b'"text"\n', [("wrong", "sent a line that is no event", '"text"')]
    yield b"<html><title>Off</title>\n</html>", [("wrong", "answered with an HTML page", "Off")]


@pytest.mark.parametrize(("body", "expected"), [*replies()])
def test_a_reply_is_read_the_same_at_every_cut(body: bytes, expected: list[Any]) -> None:
    assert_decodes(EventLines, body, expected)


@pytest.mark.parametrize("piece", [1 << 20, 100])
def test_a_line_of_ten_megabytes(piece: int) -> None:
    body, decoder = lines(text("x" * 10_000_000)), EventLines()
    chunks = [chunk for start in range(0, len(body), piece) for chunk in decoder.decode(body[start : start + piece])]
    assert "".join(map(str, chunks)) == "x" * 10_000_000
