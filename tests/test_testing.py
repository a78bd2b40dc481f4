"""The public fakes: they play what is scripted, record what they are sent, and refuse what is wrong."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import nbchat.testing
from nbchat.errors import ProviderError, ReplyCutOff, UsageProblem
from nbchat.messages import Finish, Messages, Reasoning, Usage
from nbchat.providers import FlowGpt, GPROChat, OpenAICompatible
from nbchat.testing import FlowGptServer, Gate, GPROChatServer, LoopbackServer, OpenAIServer, ScriptedProvider

HELLO: Messages = [{"role": "user", "content": "Hello"}]
SERVERS = [FlowGptServer, GPROChatServer, OpenAIServer]


def provider_for(server: LoopbackServer) -> Any:
    """The real provider of a server's wire format; an instance where it is one, else a class of the test's own."""
    if isinstance(server, OpenAIServer):
        return OpenAICompatible(server.url)
    kind: Any = FlowGpt if isinstance(server, FlowGptServer) else GPROChat
    return type("Here", (kind,), {"api_endpoint": server.endpoint})


async def collect(provider: Any, messages: Messages = HELLO, model: str = "") -> list[Any]:
    model = model or ("loopback" if isinstance(provider, OpenAICompatible) else "")
    return [chunk async for chunk in provider.create_async_generator(model, messages)]


async def text(provider: Any, messages: Messages = HELLO) -> str:
    return "".join(chunk for chunk in await collect(provider, messages) if isinstance(chunk, str))


def test_all_that_is_public_is_there() -> None:
    assert all(hasattr(nbchat.testing, name) for name in nbchat.testing.__all__)


# ScriptedProvider


async def test_a_script_is_played_in_order() -> None:
    pieces = [Reasoning("hm"), "a", 0.001, "b", Usage(1, 2), Finish("stop")]
    assert await collect(ScriptedProvider(pieces)) == [Reasoning("hm"), "a", "b", Usage(1, 2), Finish("stop")]


async def test_each_call_has_its_reply_and_the_last_one_stays() -> None:
    provider = ScriptedProvider("first", ["sec", "ond"], lambda messages: messages[-1]["content"])
    assert [await text(provider) for _ in range(4)] == ["first", "second", "Hello", "Hello"]


async def test_without_a_script_it_repeats_the_prompt() -> None:
    assert await text(ScriptedProvider()) == "Hello"


async def test_a_scripted_exception_is_raised() -> None:
    provider = ScriptedProvider(["a", OSError("gone")])
    reply = provider.create_async_generator("m", HELLO)
    assert await anext(reply) == "a"
    with pytest.raises(OSError, match="gone"):
        await anext(reply)
    assert provider.calls[0].outcome == "failed"


async def test_calls_are_recorded_as_they_were() -> None:
    provider, messages = ScriptedProvider(name="fake", models=["m"]), [{"role": "user", "content": "Hello"}]
    await (await provider.create_async_generator("", messages, "http://proxy", temperature=0)).aclose()
    messages[0]["content"] = "changed later"
    [call] = provider.calls
    assert (call.model, call.messages) == ("scripted", HELLO)
    assert call.options == {"proxy": "http://proxy", "temperature": 0}
    assert repr(provider) == "ScriptedProvider(name='fake')"


async def test_a_closed_reply_is_recorded_as_dropped() -> None:
    provider = ScriptedProvider(["a", "b"])
    reply = provider.create_async_generator("m", HELLO)
    await anext(reply)
    assert provider.calls[0].outcome == "running"
    await reply.aclose()
    assert await provider.calls[0].ended() == "dropped"


async def test_a_gate_holds_the_script_until_it_is_opened() -> None:
    gate = Gate()
    provider = ScriptedProvider(["a", gate, "b"])
    task = asyncio.create_task(collect(provider))
    await gate.reached()
    assert not task.done()
    gate.open()
    assert await task == ["a", "b"]
    assert provider.calls[0].wait_ended() == "done"


def test_a_gate_can_be_watched_from_another_thread() -> None:
    gate = Gate()
    with OpenAIServer() as server, ThreadPoolExecutor() as elsewhere:
        server.reply("a", gate, "b")
        reply = elsewhere.submit(asyncio.run, text(OpenAICompatible(server.url)))
        assert gate.wait_reached()
        assert not reply.done()
        gate.open()
        assert reply.result(10) == "ab"


def test_no_messages_is_a_usage_problem() -> None:
    with pytest.raises(UsageProblem):
        ScriptedProvider().create_async_generator("m", [])


# Servers


@pytest.mark.parametrize("new", SERVERS)
async def test_a_server_works_on_the_running_loop(new: Callable[[], LoopbackServer]) -> None:
    async with new() as server:
        server.reply("Hel", 0.001, "lo")
        assert await text(provider_for(server)) == "Hello"
        assert await server.requests[0].ended() == "done"


@pytest.mark.parametrize("new", SERVERS)
def test_a_server_works_on_a_thread_of_its_own(new: Callable[[], LoopbackServer]) -> None:
    with new() as server:
        server.reply("Hel", "lo")
        assert asyncio.run(text(provider_for(server))) == "Hello"
        assert server.requests[0].wait_ended() == "done"


@pytest.mark.parametrize("new", SERVERS)
def test_a_server_can_be_started_and_stopped_again(new: Callable[[], LoopbackServer]) -> None:
    server = new()
    for _ in range(2):
        server.start()
        assert asyncio.run(text(provider_for(server)))
        server.stop()
        server.stop()


@pytest.mark.parametrize("new", SERVERS)
async def test_the_reply_that_nobody_scripted_says_what_it_is(new: Callable[..., LoopbackServer]) -> None:
    async with new(pace=0.001) as server:
        said = await collect(provider_for(server))
    assert len(said) > 10
    reply = "".join(chunk for chunk in said if isinstance(chunk, str))
    assert "test server on this machine" in reply
    assert "no language model" in reply
    assert reply.endswith("Hello")


@pytest.mark.parametrize("new", SERVERS)
async def test_a_scripted_status(new: Callable[[], LoopbackServer]) -> None:
    async with new() as server:
        server.reply("too much", status=413)
        server.reply(b"<title>Teapot</title>", status=418, headers={"Content-Type": "text/html"})
        for words in ("413: too much", "418.*Teapot"):
            with pytest.raises(ProviderError, match=words):
                await text(provider_for(server))
        assert await text(provider_for(server))
    assert [request.outcome for request in server.requests] == ["failed", "failed", "done"]


@pytest.mark.parametrize("new", SERVERS)
async def test_a_broken_connection(new: Callable[[], LoopbackServer]) -> None:
    async with new() as server:
        server.reply("Hel", ConnectionResetError())
        with pytest.raises(ReplyCutOff):
            await text(provider_for(server))
    assert server.requests[0].outcome == "failed"


@pytest.mark.parametrize("new", [FlowGptServer, OpenAIServer])
async def test_an_error_inside_a_reply(new: Callable[[], LoopbackServer]) -> None:
    async with new() as server:
        server.reply("Hel", ValueError("went wrong"))
        with pytest.raises(ProviderError, match="went wrong"):
            await text(provider_for(server))


async def test_without_error_events_the_connection_breaks() -> None:
    async with GPROChatServer() as server:
        server.reply("Hel", ValueError("went wrong"))
        with pytest.raises(ReplyCutOff):
            await text(provider_for(server))


@pytest.mark.parametrize("new", SERVERS)
async def test_a_dropped_request_is_seen(new: Callable[[], LoopbackServer]) -> None:
    async with new() as server:
        server.reply("Hel", Gate())
        reply = provider_for(server).create_async_generator("loopback" if new is OpenAIServer else "", HELLO)
        assert await anext(reply) == "Hel"
        await reply.aclose()
        assert await server.requests[0].ended() == "dropped"


@pytest.mark.parametrize("new", SERVERS)
def test_stopping_cuts_a_reply_that_hangs(new: Callable[[], LoopbackServer]) -> None:
    async def cut() -> None:
        with new() as server:
            server.reply("Hel", Gate())
            reply = provider_for(server).create_async_generator("loopback" if new is OpenAIServer else "", HELLO)
            assert await anext(reply) == "Hel"
        with pytest.raises(ReplyCutOff):
            await anext(reply)

    asyncio.run(cut())


async def test_raw_bytes_are_sent_as_they_are() -> None:
    async with OpenAIServer() as server:
        server.reply("a", b'data: {"choices": [{"delta": {"content": "b"}, "finish_reason": "length"}]}\n\n')
        assert await collect(OpenAICompatible(server.url)) == ["a", "b", Finish("length")]


def test_pointing_is_undone() -> None:
    endpoint = FlowGpt.api_endpoint
    with FlowGptServer() as server:
        with server.pointing(FlowGpt) as same:
            assert same is server
            assert FlowGpt.api_endpoint == server.url == server.endpoint
        assert FlowGpt.api_endpoint == endpoint

        class Heir(FlowGpt):
            pass

        with server.pointing(Heir):
            assert Heir.api_endpoint == server.url
        assert "api_endpoint" not in vars(Heir)
        with server.pointing(heir := Heir()):  # its method is the class's, and reads the class's address
            assert Heir.api_endpoint == heir.api_endpoint == server.url
            assert asyncio.run(text(heir))
        assert "api_endpoint" not in vars(Heir)
        assert len(server.requests) == 1
    with OpenAIServer() as server, server.pointing(provider := OpenAICompatible("http://127.0.0.1:1/v1")):
        assert provider.api_endpoint == f"{server.url}/chat/completions"
    assert provider.api_endpoint == "http://127.0.0.1:1/v1/chat/completions"


# What the servers refuse. Requests are made by hand here: by no code of ours.


def post(url: str, headers: dict[str, str], body: Any) -> tuple[int, str]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def flowgpt_request(nonce: str = "") -> tuple[dict[str, str], dict[str, Any]]:
    nonce = nonce or secrets.token_hex(16)
    timestamp = str(int(time.time()))
    headers = {
        "User-Agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:122.0) Gecko/20100101 Firefox/122.0",
        "Accept": "*/*",
        "Accept-Language": "en-US;q=0.7,en;q=0.3",
        "Referer": "https://flowgpt.com/",
        "Content-Type": "application/json",
        "Authorization": "Bearer null",
        "Origin": "https://flowgpt.com",
        "Sec-Fetch-Dest": "empty",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Site": "same-site",
        "TE": "trailers",
        "x-flow-device-id": "f-" + "a1" * 9 + "z",
        "x-nonce": nonce,
        "x-timestamp": timestamp,
        "x-signature": hashlib.md5(f"{timestamp}-{nonce}-Bearer null".encode()).hexdigest(),
    }
    body = {
        "model": "gpt-4-turbo",
        "nsfw": False,
        "question": "Hello",
        "history": [{"role": "assistant", "content": "Hello, how can I help you today?"}],
        "system": "Be brief.",
        "temperature": 0,
        "promptId": "model-gpt-4-turbo",
        "documentIds": [],
        "chatFileDocumentIds": [],
        "generateImage": False,
        "generateAudio": False,
    }
    return headers, body


def gprochat_request() -> tuple[dict[str, str], dict[str, Any]]:
    headers = {
        "accept": "*/*",
        "origin": "https://gprochat.com",
        "referer": "https://gprochat.com/",
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/129.0.0.0 Safari/537.36",
        "content-type": "text/plain;charset=UTF-8",
    }
    now = int(time.time() * 1000)
    sign = hashlib.sha256(f"{now}:Hello:2BC120D4-BB36-1B60-26DE-DB630472A3D8".encode()).hexdigest()
    body = {"messages": [{"role": "user", "parts": [{"text": "Hello"}]}], "time": now, "pass": None, "sign": sign}
    return headers, body


def openai_request() -> tuple[dict[str, str], dict[str, Any]]:
    body = {"model": "loopback", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    return {"Content-Type": "application/json", "Authorization": "Bearer key"}, body


REQUESTS: dict[str, Callable[[], Any]] = {
    "flowgpt": flowgpt_request,
    "gprochat": gprochat_request,
    "openai": openai_request,
}
OLD = int(time.time()) - 3600


@pytest.fixture(scope="module")
def servers() -> Any:
    with FlowGptServer() as flowgpt, GPROChatServer() as gprochat, OpenAIServer(api_key="key") as openai:
        yield {"flowgpt": flowgpt, "gprochat": gprochat, "openai": openai}


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_right_request_made_by_hand_is_taken(kind: str, servers: Any) -> None:
    status, said = post(servers[kind].endpoint, *REQUESTS[kind]())
    assert status == 200
    assert "Hello" in said


WRONG: list[tuple[str, dict[str, Any], dict[str, Any], int, str]] = [
    # format, changed headers, changed body (None: left out), status, the words of the refusal
    ("flowgpt", {"x-signature": "0" * 32}, {}, 401, "signature"),
    ("flowgpt", {"x-timestamp": str(OLD)}, {}, 401, "signature"),
    ("flowgpt", {"x-nonce": "too short"}, {}, 400, "x-nonce"),
    ("flowgpt", {"x-flow-device-id": "f-"}, {}, 400, "x-flow-device-id"),
    ("flowgpt", {"Authorization": "Bearer me"}, {}, 400, "authorization"),
    ("flowgpt", {"User-Agent": "Python"}, {}, 400, "user-agent"),
    ("flowgpt", {"TE": None}, {}, 400, "te is None"),
    ("flowgpt", {"Cookie": "a=b"}, {}, 400, "cookie"),
    ("flowgpt", {}, {"system": None}, 400, "lacks the keys ['system']"),
    ("flowgpt", {}, {"more": 1}, 400, "unknown keys ['more']"),
    ("flowgpt", {}, {"temperature": "0"}, 400, "temperature is '0'"),
    ("flowgpt", {}, {"temperature": True}, 400, "temperature is True"),
    ("flowgpt", {}, {"model": "gpt-9"}, 404, "gpt-9"),
    ("flowgpt", {}, {"promptId": "model-x"}, 400, "promptId"),
    ("flowgpt", {}, {"history": [{"role": "system", "content": ""}]}, 400, "no message"),
    ("gprochat", {}, {"sign": "0" * 64}, 401, "signature"),
    ("gprochat", {}, {"time": "1"}, 400, "time is '1'"),
    ("gprochat", {}, {"time": 1.5}, 400, "time is 1.5"),
    ("gprochat", {}, {"messages": []}, 400, "one prompt"),
    ("gprochat", {}, {"pass": ""}, 400, "pass is ''"),
    ("gprochat", {"content-type": "application/json"}, {}, 400, "content-type"),
    ("gprochat", {"authorization": "x"}, {}, 400, "authorization"),
    ("openai", {"Authorization": "Bearer x"}, {}, 401, "Incorrect API key"),
    ("openai", {"Content-Type": "text/plain"}, {}, 415, "content type"),
    ("openai", {}, {"model": "gpt-9"}, 404, "gpt-9"),
    ("openai", {}, {"model": None}, 400, "lacks the keys ['model']"),
    ("openai", {}, {"stream": False}, 400, "stream"),
    ("openai", {}, {"messages": []}, 400, "messages is empty"),
    ("openai", {}, {"messages": [{"role": "user"}]}, 400, "no message"),
    ("openai", {}, {"messages": [{"role": "robot", "content": ""}]}, 400, "no message"),
]


@pytest.mark.parametrize(("kind", "headers", "body", "status", "words"), WRONG)
def test_a_wrong_request_is_refused_with_a_reason(
    kind: str, headers: dict[str, Any], body: dict[str, Any], status: int, words: str, servers: Any
) -> None:
    right_headers, right_body = REQUESTS[kind]()
    changed = {name: value for name, value in {**right_headers, **headers}.items() if value is not None}
    answer = {name: value for name, value in {**right_body, **body}.items() if value is not None or name == "pass"}
    code, said = post(servers[kind].endpoint, changed, answer)
    assert (code, servers[kind].requests[-1].outcome) == (status, "failed")
    assert words in json.loads(said)["error"]["message"]
    assert words in servers[kind].requests[-1].refused


def test_an_old_time_stamp_is_refused(servers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("flowgpt", "gprochat"):
        with monkeypatch.context() as earlier:
            earlier.setattr(time, "time", lambda: OLD)
            request = REQUESTS[kind]()
        code, said = post(servers[kind].endpoint, *request)
        assert code == 401
        assert "time stamp is old" in said


def test_a_nonce_serves_once(servers: Any) -> None:
    request = flowgpt_request(nonce="7" * 32)
    assert post(servers["flowgpt"].endpoint, *request)[0] == 200
    code, said = post(servers["flowgpt"].endpoint, *request)
    assert code == 401
    assert "nonce was used" in said


@pytest.mark.parametrize("data", [b"no json", b"[]", b"7", b"[" * 100_000, b""])
@pytest.mark.parametrize("kind", REQUESTS)
def test_a_body_that_is_no_json_object_is_refused(kind: str, data: bytes, servers: Any) -> None:
    headers, _ = REQUESTS[kind]()
    code, said = post(servers[kind].endpoint, headers, data)
    assert code == 400
    assert "no JSON object" in said


async def replies_at_once(server: LoopbackServer, count: int) -> AsyncIterator[str]:
    provider = provider_for(server)
    for reply in await asyncio.gather(*(text(provider) for _ in range(count))):
        yield reply


@pytest.mark.parametrize("new", SERVERS)
async def test_many_requests_at_once(new: Callable[[], LoopbackServer]) -> None:
    async with new() as server:
        for number in range(20):
            server.reply(f"{number} ", 0.001, "done")
        replies = {reply async for reply in replies_at_once(server, 20)}
    assert replies == {f"{number} done" for number in range(20)}
