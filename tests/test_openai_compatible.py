"""OpenAICompatible: addresses, keys, requests, and what it does about a server that refuses a part of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from nbchat.errors import AuthenticationError, ModelNotFoundError, ProviderError, UnknownProvider, UsageProblem
from nbchat.messages import Chunk, Finish, Messages, Reasoning, Usage
from nbchat.providers import OpenAICompatible
from nbchat.providers.openai_compatible import SERVICES
from nbchat.testing import Gate, OpenAIServer
from raw_server import Asked, Peer, RawServer, chunk, head, whole

HELLO: Messages = [{"role": "user", "content": "Hello"}]
SECRET = "sk-a-secret-of-the-tests"


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer(models=["loopback", "other"]) as server:
        yield server


async def ask(
    provider: OpenAICompatible, messages: Messages = HELLO, model: str = "loopback", **options: Any
) -> list[Chunk]:
    return [chunk async for chunk in provider.create_async_generator(model, messages, **options)]


@pytest.mark.parametrize(
    ("written", "base_url"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        (" https://api.example.com/v1//\n", "https://api.example.com/v1"),
        ("https://api.example.com/v1/chat/completions", "https://api.example.com/v1"),
        ("https://api.example.com/v1/chat/completions/", "https://api.example.com/v1"),
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com/v1#top", "https://api.example.com/v1"),
        ("api.example.com/v1", "https://api.example.com/v1"),
        ("api.example.com:8443/v1", "https://api.example.com:8443/v1"),
        ("localhost:11434/v1", "http://localhost:11434/v1"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("[::1]:8080/v1", "http://[::1]:8080/v1"),
        ("gpu-box:8000/v1", "http://gpu-box:8000/v1"),
        ("gpu.local:8000/v1", "http://gpu.local:8000/v1"),
        ("http://me:pass@gpu-box/v1", "http://gpu-box/v1"),
    ],
)
def test_a_base_url_may_be_written_as_people_do(written: str, base_url: str) -> None:
    provider = OpenAICompatible(written)
    assert provider.base_url == provider.url == base_url
    assert provider.api_endpoint == f"{base_url}/chat/completions"


def test_a_query_stays_at_the_end_and_out_of_sight() -> None:
    provider = OpenAICompatible("https://api.example.com/deployments/x?api-version=2026&code=hidden")
    assert (
        provider.api_endpoint == "https://api.example.com/deployments/x/chat/completions?api-version=2026&code=hidden"
    )
    assert "hidden" not in repr(provider) + provider.url + provider.base_url + provider.name


@pytest.mark.parametrize(
    "written", ["", " ", "ftp://example.com/v1", "https://", "http://x:port/v1", "http://[::1/v1", SECRET + "://"]
)
def test_what_is_no_web_address_is_a_usage_problem(written: str) -> None:
    with pytest.raises(UsageProblem, match="no web address") as caught:
        OpenAICompatible(written)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "written", ["not a url", "http://not a host/v1", "http://two..dots/v1", f"http://{'x' * 64}/v1"]
)
def test_what_is_no_hosts_name_is_no_web_address(written: str) -> None:
    with pytest.raises(UsageProblem, match="no web address"):
        OpenAICompatible(written)


@pytest.mark.parametrize(
    "key", ["sk-proj-0123456789abcdef", "gsk_0123456789abcdef0123", "0123456789AbCdEf0123456789AbCdEf"]
)
def test_a_key_in_the_place_of_the_address_is_refused_unseen(key: str) -> None:
    with pytest.raises(UsageProblem, match="no web address") as caught:
        OpenAICompatible(f" {key}\n")
    assert key not in str(caught.value)
    assert OpenAICompatible(f"http://{key}:8000/v1").name == f"{key}:8000"  # whoever means a server can say so


def test_what_it_says_of_itself() -> None:
    provider = OpenAICompatible("http://127.0.0.1:1/v1", SECRET)
    assert provider.working
    assert provider.supports_stream
    assert provider.supports_message_history
    assert provider.supports_system_message
    assert provider.models == ()
    assert provider.name == "127.0.0.1:1"
    assert repr(provider) == "OpenAICompatible('http://127.0.0.1:1/v1', name='127.0.0.1:1')"
    assert OpenAICompatible("http://me:word@127.0.0.1:1/v1", name="mine").name == "mine"


async def test_the_request(server: OpenAIServer) -> None:
    messages: Messages = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}, {"type": "text", "text": "?"}],
        },
    ]
    before = json.dumps(messages)
    await ask(OpenAICompatible(server.url), messages, temperature=0, max_tokens=None, top_p=None, seed=7, stop=["\n"])
    [received] = server.requests
    assert received.body == {
        "model": "loopback",
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "seed": 7,
        "stop": ["\n"],
    }
    assert {name.lower() for name, _ in received.raw_headers} - {"accept-encoding", "connection"} == {
        "host", "content-length", "content-type", "accept", "user-agent",
    }  # fmt: skip
    assert json.dumps(messages) == before


async def test_a_stream_is_asked_for_whatever_the_options_say(server: OpenAIServer) -> None:
    await ask(OpenAICompatible(server.url), stream=False)
    assert server.requests[0].body["stream"] is True


async def test_what_cannot_be_encoded_is_cleaned(server: OpenAIServer) -> None:
    messages: Messages = [
        {"role": "user", "content": "\ud83d\ude00 \ud83d"},
        {"role": "user", "content": [{"type": "text", "text": "\udc00"}]},
    ]
    await ask(OpenAICompatible(server.url), messages, user="\ud800")
    body = server.requests[0].body
    assert [message["content"] for message in body["messages"]] == ["😀 \ufffd", [{"type": "text", "text": "\ufffd"}]]
    assert body["user"] == "\ufffd"


@pytest.mark.parametrize("option", [{"x": object()}, {"x": float("nan")}, {"api_key": SECRET}])
def test_an_option_that_cannot_be_sent_is_a_usage_problem(option: dict[str, Any]) -> None:
    with pytest.raises(UsageProblem) as caught:
        OpenAICompatible("http://127.0.0.1:1/v1").create_async_generator("m", HELLO, **option)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("model", ["", None])
def test_a_model_must_be_named(model: Any) -> None:
    with pytest.raises(UsageProblem, match="ollama has no default model"):
        OpenAICompatible.from_service("ollama").create_async_generator(model, HELLO)


async def test_all_that_a_server_sends_comes_out(server: OpenAIServer) -> None:
    server.reply(Reasoning("Hm."), "Hel", "lo", Finish("length"), Usage(3, 2))
    assert await ask(OpenAICompatible(server.url)) == [Reasoning("Hm."), "Hel", "lo", Usage(3, 2), Finish("length")]


async def test_an_exception_thrown_into_a_reply_ends_it(server: OpenAIServer) -> None:
    events = OpenAICompatible(server.url).create_async_generator("loopback", HELLO).events()
    assert await anext(events)
    with pytest.raises(LookupError):
        await events.athrow(LookupError())
    assert [chunk async for chunk in events] == []


async def test_a_model_that_is_not_there(server: OpenAIServer) -> None:
    with pytest.raises(ModelNotFoundError, match="nope"):
        await ask(OpenAICompatible(server.url), model="nope")


# Keys


async def test_a_given_key_is_sent_and_shown_nowhere() -> None:
    async with OpenAIServer(api_key=SECRET) as server:
        provider = OpenAICompatible(server.url, f" {SECRET}\n")
        assert await ask(provider)
        assert SECRET not in repr(provider)
        server.reply(f"{SECRET} is over its limit", status=400)
        with pytest.raises(ProviderError, match="over its limit") as caught:
            await ask(provider)
    assert SECRET not in str(caught.value) + repr(caught.value)


async def test_a_wrong_key_is_an_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "wrong")
    async with OpenAIServer(api_key=SECRET) as server:
        with pytest.raises(AuthenticationError, match="MY_KEY"):
            await ask(OpenAICompatible(server.url, key_variable="MY_KEY"))


async def test_the_variable_is_read_at_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async with OpenAIServer(api_key=SECRET) as server:
        provider = OpenAICompatible(server.url, key_variable="MY_KEY", name="mine")
        with pytest.raises(AuthenticationError, match=r'mine needs a key, .*MY_KEY.*os\.environ\["MY_KEY"\] = getpass'):
            provider.create_async_generator("loopback", HELLO)
        monkeypatch.setenv("MY_KEY", f"{SECRET}\n")
        assert await ask(provider)
    assert len(server.requests) == 1


@pytest.mark.parametrize("key", ["ключ-ключ", "sk-two\nlines", "sk-\x00"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(key: str) -> None:
    with pytest.raises(AuthenticationError, match="Copy the key once more") as caught:
        OpenAICompatible("http://127.0.0.1:1/v1", key).create_async_generator("m", HELLO)
    assert key not in str(caught.value)


async def test_a_login_in_the_address_is_sent_and_shown_nowhere() -> None:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(whole(400, b"bad: me:p%40ss, p@ss, " + (asked.header("authorization") or "").encode()))

    async with RawServer(script) as server:
        provider = OpenAICompatible(f"{server.url.replace('//', '//me:p%40ss@')}/v1")
        with pytest.raises(ProviderError, match="400: bad") as caught:
            await ask(provider)
    assert server.asked[0].header("authorization") == "Basic bWU6cEBzcw=="
    for secret in ("p%40ss", "p@ss", "bWU6cEBzcw"):
        assert secret not in f"{caught.value} {caught.value!r} {provider!r} {provider.url} {provider.name}"


# Services


@pytest.mark.parametrize("service", SERVICES.values(), ids=str)
def test_each_service_is_a_provider(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = OpenAICompatible.from_service(service.name.upper())
    assert provider.name == service.name
    assert provider.base_url == service.base_url
    assert provider.api_endpoint == f"{service.base_url}/chat/completions"
    assert service.example
    if service.local:
        assert service.base_url.startswith("http://127.0.0.1:")
        assert provider.create_async_generator("m", HELLO)
        return
    assert service.base_url.startswith("https://")
    assert service.key_page.startswith("https://")
    with pytest.raises(AuthenticationError) as caught:
        provider.create_async_generator("m", HELLO)
    assert f'os.environ["{service.key_variable}"] = getpass.getpass()' in str(caught.value)
    assert service.key_page in str(caught.value)
    assert len(str(caught.value)) <= 300
    for variable in (service.key_variable, *service.more_variables):
        with monkeypatch.context() as only_here:
            only_here.setenv(variable, SECRET)
            assert service.key() == SECRET
            assert provider.create_async_generator("m", HELLO)
    assert service.key() == ""


def test_a_blank_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "  ")
    monkeypatch.setenv("GOOGLE_API_KEY", SECRET)
    assert SERVICES["gemini"].key() == SECRET


def test_an_unknown_service_gets_a_suggestion() -> None:
    with pytest.raises(UnknownProvider, match="Did you mean openrouter"):
        OpenAICompatible.from_service("openruter")


# Asking once more in another way


class Picky:
    """A server that refuses what it does not know; it remembers the bodies and paths that it saw."""

    def __init__(self, *refusals: tuple[str, int, bytes]) -> None:
        self._refusals = refusals
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []

    async def script(self, peer: Peer, asked: Asked) -> None:
        body = json.loads(asked.body)
        self.bodies.append(body)
        self.paths.append(asked.first_line.split()[1])
        for field, status, answer in self._refusals:
            if field in body or field == self.paths[-1]:
                await peer.send(whole(status, answer, "content-type: application/json"))
                return
        good = b'data: {"choices":[{"delta":{"content":"ok"},"finish_reason":"stop"}]}\n\n'
        await peer.send(head(200) + chunk(good) + b"0\r\n\r\n")


UNKNOWN_FIELD = b'{"error": {"message": "Unrecognized request argument supplied: stream_options"}}'
EXTRA_FIELD = b'{"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}'
OLD_LIMIT = (
    b'{"error": {"message": "Unsupported parameter: use \'max_completion_tokens\' instead.", "param": "max_tokens"}}'
)


@pytest.mark.parametrize(
    ("status", "words"),
    [(400, UNKNOWN_FIELD), (422, UNKNOWN_FIELD), (422, EXTRA_FIELD)],
)
async def test_refused_stream_options_are_left_out(status: int, words: bytes) -> None:
    picky = Picky(("stream_options", status, words))
    async with RawServer(picky.script) as server:
        assert await ask(OpenAICompatible(f"{server.url}/v1"), seed=1) == ["ok", Finish("stop")]
    first, second = picky.bodies
    assert first.pop("stream_options") == {"include_usage": True}
    assert second == first


async def test_a_refused_max_tokens_is_named_anew() -> None:
    picky = Picky(("stream_options", 400, UNKNOWN_FIELD), ("max_tokens", 400, OLD_LIMIT))
    async with RawServer(picky.script) as server:
        assert await ask(OpenAICompatible(f"{server.url}/v1"), max_tokens=5) == ["ok", Finish("stop")]
    assert len(picky.bodies) == 3
    assert picky.bodies[-1]["max_completion_tokens"] == 5
    assert not {"max_tokens", "stream_options"} & picky.bodies[-1].keys()


@pytest.mark.parametrize(
    ("status", "words"),
    [(400, b'{"error": "temperature is too high"}'), (500, UNKNOWN_FIELD), (401, UNKNOWN_FIELD)],
)
async def test_nothing_else_is_asked_again(status: int, words: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbchat.providers.http.RETRIES", 0)
    picky = Picky(("model", status, words))
    async with RawServer(picky.script) as server:
        with pytest.raises(ProviderError) as caught:
            await ask(OpenAICompatible(f"{server.url}/v1"))
    assert caught.value.status == status
    assert len(picky.bodies) == 1


async def test_a_server_that_refuses_everything_is_asked_so_often_and_no_more() -> None:
    picky = Picky(("model", 400, UNKNOWN_FIELD + OLD_LIMIT))
    async with RawServer(picky.script) as server:
        with pytest.raises(ProviderError, match="400"):
            await ask(OpenAICompatible(f"{server.url}/v1"), max_tokens=1)
    assert len(picky.bodies) == 3


async def test_a_forgotten_v1_is_found() -> None:
    picky = Picky(("/chat/completions", 404, b"not found"))
    async with RawServer(picky.script) as server:
        assert await ask(OpenAICompatible(server.url)) == ["ok", Finish("stop")]
    assert picky.paths == ["/chat/completions", "/v1/chat/completions"]


async def test_a_server_without_v1_is_asked_without_it() -> None:
    picky = Picky()
    async with RawServer(picky.script) as server:
        assert await ask(OpenAICompatible(server.url)) == ["ok", Finish("stop")]
    assert picky.paths == ["/chat/completions"]


async def test_once_something_came_nothing_is_asked_again() -> None:
    async def script(peer: Peer, asked: Asked) -> None:
        good = b'data: {"choices":[{"delta":{"content":"ok"}}]}\n\n'
        bad = b'data: {"error": {"code": 400, "message": "stream_options are unknown"}}\n\n'
        await peer.send(head(200) + chunk(good) + chunk(bad) + b"0\r\n\r\n")

    async with RawServer(script) as server:
        reply = OpenAICompatible(f"{server.url}/v1").create_async_generator("m", HELLO)
        assert await anext(reply) == "ok"
        with pytest.raises(ProviderError, match="stream_options"):
            await anext(reply)
    assert len(server.asked) == 1


# The list of models


async def test_the_models_of_a_server(server: OpenAIServer) -> None:
    assert await OpenAICompatible(server.url).list_models() == ["loopback", "other"]


def model_lists() -> Iterator[tuple[bytes, list[str]]]:
    yield b'{"data": [{"id": "models/gemini-x"}, {"id": 7}, "x"]}', ["gemini-x"]
    yield b'[{"id": "a/b"}]', ["a/b"]
    yield b'{"data": null}', []
    yield b'{"data": []}', []


@pytest.mark.parametrize(("body", "names"), [*model_lists()])
async def test_lists_of_models_in_the_wild(body: bytes, names: list[str]) -> None:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(whole(200, body))

    async with RawServer(script) as server:
        assert await OpenAICompatible(f"{server.url}/v1").list_models() == names
    assert server.asked[0].first_line.startswith("GET /v1/models ")


@pytest.mark.parametrize("body", [b'{"detail": "no"}', b'"nothing"', b"null", b'{"data": {"id": "x"}}', b"<html>"])
async def test_what_is_no_list_of_models_is_an_error(body: bytes) -> None:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(whole(200, body))

    async with RawServer(script) as server:
        with pytest.raises(ProviderError, match="answered with something"):
            await OpenAICompatible(f"{server.url}/v1").list_models()


async def test_the_list_needs_the_key_too() -> None:
    async with OpenAIServer(api_key=SECRET) as server:
        assert await OpenAICompatible(server.url, SECRET).list_models() == ["loopback"]
        with pytest.raises(AuthenticationError) as caught:
            await OpenAICompatible(server.url, "sk-another-wrong-one").list_models()
    assert "sk-another" not in str(caught.value)


async def test_a_reply_that_is_whole_does_not_wait_for_an_end_that_never_comes() -> None:
    event = {"choices": [{"delta": {"content": "whole"}, "finish_reason": "stop"}]}
    async with OpenAIServer() as server:
        server.reply(b"data: " + json.dumps(event).encode() + b"\n\n", Gate())
        provider = OpenAICompatible(server.url)
        chunks = [chunk async for chunk in provider.create_async_generator("loopback", HELLO, timeout=50)]
    assert chunks == ["whole", Finish("stop")]
