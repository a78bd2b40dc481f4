"""Every fault that a server or a network is known for, thrown at the three wire formats byte by byte.

Whatever happens: the text that came is given, the error has the right class and says in few words what it was,
no secret is in it, nothing hangs, and no connection is left behind.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import time
import traceback
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import pytest

from nbchat.errors import (
    AuthenticationError,
    ConnectionFailed,
    ContextLengthError,
    ModelNotFoundError,
    NbchatError,
    ProviderError,
    RateLimitError,
    ReplyCutOff,
)
from nbchat.loop import Worker
from nbchat.messages import Message, Notice
from nbchat.providers import http
from nbchat.providers.base import AsyncResult, shared_loop
from nbchat.providers.flowgpt import FlowGpt
from nbchat.providers.gprochat import GPROChat
from nbchat.providers.openai_compatible import OpenAICompatible
from raw_server import END, KEEP, Asked, Peer, RawServer, Script, chunk, head, whole

KEY = "correct-horse-battery-staple"
KEY_LIKE = "sk-proj-0123456789abcdef"
HELLO: list[Message] = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True)
class Wire:
    """A wire format: how to ask in it, and what a server writes."""

    name: str
    ask: Callable[..., AsyncResult]
    text: Callable[[str], bytes]
    """Bytes that carry a piece of a reply's text."""
    end: bytes = b""
    """What a reply ends with."""
    error: Callable[[Any], bytes] = field(default=lambda _: b"")
    """Bytes that report an error inside a reply."""

    def body(self, *texts: str) -> bytes:
        return b"".join(map(self.text, texts)) + self.end


def ask_flowgpt(url: str, messages: list[Message] = HELLO, **options: Any) -> AsyncResult:
    here = type("FlowGpt", (FlowGpt,), {"api_endpoint": f"{url}/v3/chat-anonymous"})
    return here.create_async_generator("google-gemini", messages, **options)


def ask_gprochat(url: str, messages: list[Message] = HELLO, **options: Any) -> AsyncResult:
    here = type("GPROChat", (GPROChat,), {"api_endpoint": f"{url}/api/generate", "secret_key": KEY})
    return here.create_async_generator("gemini-1.5-pro", messages, **options)


def ask_openai(url: str, messages: list[Message] = HELLO, **options: Any) -> AsyncResult:
    provider = OpenAICompatible(f"{url}/v1", KEY, key_variable="ACME_API_KEY", name="acme")
    return provider.create_async_generator("big-1", messages, **options)


def dumped(value: Any) -> bytes:
    """JSON with its characters as they are; half surrogate pairs have only an escaped form."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def line(value: Any) -> bytes:
    return dumped(value) + b"\n"


def event(value: Any) -> bytes:
    return b"data: " + dumped(value) + b"\n\n"


def delta(text: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}}]})


FLOWGPT = Wire(
    "FlowGpt",
    ask_flowgpt,
    lambda text: line({"event": "text", "data": text}),
    error=lambda error: line({"event": "error", "error": error}),
)
GPROCHAT = Wire("GPROChat", ask_gprochat, lambda text: text.encode())
OPENAI = Wire("acme", ask_openai, delta, b"data: [DONE]\n\n", error=lambda error: event({"error": error}))


def of(*wires: Wire) -> pytest.MarkDecorator:
    """The formats that a test is about."""
    return pytest.mark.parametrize("wire", [pytest.param(wire, id=wire.name) for wire in wires])


every_wire = of(FLOWGPT, GPROCHAT, OPENAI)
with_lines = of(FLOWGPT, OPENAI)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BASE_DELAY", 0.01)
    monkeypatch.setattr(http, "_ERROR_TIME", 0.3)


@pytest.fixture(autouse=True)
def nothing_told_to_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert KEY not in caplog.text
    assert KEY_LIKE not in caplog.text


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    assert not {task for task in asyncio.all_tasks() - before if not task.done()} - {asyncio.current_task()}


@dataclass
class Outcome:
    """What a reply came to."""

    text: str = ""
    notices: list[str] = field(default_factory=list)
    error: Any = None

    def failed(self, kind: type[NbchatError], *words: str) -> ProviderError:
        """The error, which is exactly of this class and has these words."""
        assert type(self.error) is kind, repr(self.error)
        for word in words:
            assert word in str(self.error)
        return self.error


async def outcome(result: AsyncResult) -> Outcome:
    """Read a reply to its end, whatever that is; a hang fails."""
    came = Outcome()
    try:
        async with asyncio.timeout(10):
            async for one in result.events():
                if isinstance(one, Notice):
                    came.notices.append(one.text)
                elif isinstance(one, str):
                    came.text += one
    except NbchatError as error:
        came.error = error
        check(error)
    return came


def check(error: NbchatError) -> None:
    """What is true of every error: who, in few words, no secret, and no other library's exception."""
    assert isinstance(error, ProviderError)
    assert len(str(error)) <= 300
    assert error.provider in str(error)
    assert "127.0.0.1" in error.provider
    shown = [str(error), repr(error), str(vars(error)), *traceback.format_exception(error)]
    for secret in (KEY, KEY_LIKE, KEY_LIKE[3:]):
        assert not any(secret in text for text in shown)
    cause: BaseException | None = error
    while cause is not None:
        assert type(cause).__module__.startswith("nbchat.")
        cause = cause.__cause__ or cause.__context__


def sending(*pieces: bytes, then: str = "close") -> Script:
    """A script that sends these pieces, and then closes, resets, keeps or just holds the connection."""

    async def script(peer: Peer, asked: Asked) -> object:
        await peer.send(*pieces)
        if then == "reset":
            await asyncio.sleep(0.02)  # a reset may overtake what was sent before
            peer.reset()
        elif then == "hold":
            await peer.gone()
        return KEEP if then == "keep" else None

    return script


async def reply(wire: Wire, *scripts: Script, **options: Any) -> tuple[Outcome, RawServer]:
    """Ask a server that follows these scripts."""
    async with RawServer(*scripts) as server:
        return await outcome(wire.ask(server.url, **options)), server


def good(wire: Wire, *texts: str) -> Script:
    return sending(head(), chunk(wire.body(*(texts or ("Hi",)))), END)


@every_wire
async def test_a_good_reply(wire: Wire) -> None:
    came, _ = await reply(wire, good(wire, "Grüße, ", "wie geht's? 😀"))
    assert came == Outcome("Grüße, wie geht's? 😀")


# Connections that come to nothing


@every_wire
async def test_nobody_listens(wire: Wire) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        came = await outcome(wire.ask(f"http://127.0.0.1:{port}"))
    came.failed(ConnectionFailed, f"127.0.0.1:{port}", "refused the connection", "Is the server running?")
    assert came.notices == ["could not connect, retrying in 1 s"] * 2


@every_wire
@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("sent", [b"", b"HT", b"HTTP/1.1 200 OK\r\nContent-Ty"], ids=["nothing", "two", "half a head"])
async def test_the_connection_dies_before_the_answer(wire: Wire, sent: bytes, then: str) -> None:
    came, server = await reply(wire, sending(sent, then=then))
    came.failed(ConnectionFailed, "closed the connection without an answer")
    assert came.notices == ["the connection broke, retrying in 1 s"] * 2
    assert len(server.asked) == 3


@every_wire
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_the_connection_dies_between_head_and_text(wire: Wire, then: str) -> None:
    came, _ = await reply(wire, sending(head(), then=then), good(wire))
    assert came == Outcome("Hi", ["the connection broke, retrying in 1 s"])


@every_wire
@pytest.mark.parametrize("sent", [b"220 mail ready\r\n", b"\x15\x03\x01\x00\x02\x02\x0a", b"HTTP/1.1 banana\r\n\r\n"])
async def test_the_answer_is_not_http(wire: Wire, sent: bytes) -> None:
    came, server = await reply(wire, sending(sent, then="hold"))
    came.failed(ConnectionFailed, "not HTTP", "Check the base URL")
    assert len(server.asked) == 1


@every_wire
async def test_the_head_is_too_long(wire: Wire) -> None:
    came, _ = await reply(wire, sending(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000, then="hold"))
    came.failed(ConnectionFailed)


# Silence


@every_wire
async def test_silence_instead_of_an_answer(wire: Wire) -> None:
    came, server = await reply(wire, sending(then="hold"), timeout=0.3)
    came.failed(ConnectionFailed, f"127.0.0.1:{server.port}", "sent nothing for 0.3 s", "--timeout")
    assert not came.notices


@every_wire
async def test_silence_after_the_head(wire: Wire) -> None:
    came, _ = await reply(wire, sending(head(), then="hold"), timeout=0.3)
    came.failed(ConnectionFailed, "sent nothing for 0.3 s")


@every_wire
async def test_silence_within_the_reply(wire: Wire) -> None:
    came, _ = await reply(wire, sending(head(), chunk(wire.text("Hi")), then="hold"), timeout=0.3)
    came.failed(ConnectionFailed, "sent nothing for 0.3 s")
    assert came.text == "Hi"


def dripping(before: bytes, drops: bytes, frame: Callable[[bytes], bytes] = bytes) -> Script:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(before)
        while True:
            for drop in drops:
                await peer.send(frame(bytes([drop])))
                await asyncio.sleep(0.03)

    return script


@every_wire
async def test_the_head_comes_byte_by_byte_for_ever(wire: Wire) -> None:
    came, _ = await reply(wire, dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), timeout=0.4)
    came.failed(ConnectionFailed)


@with_lines
async def test_bytes_without_a_line_end_come_for_ever(wire: Wire) -> None:
    came, _ = await reply(wire, dripping(head() + chunk(wire.text("Hi")), b"x", chunk), timeout=0.4)
    came.failed(ConnectionFailed, "sent nothing for 0.4 s")
    assert came.text == "Hi"


@every_wire
async def test_an_empty_body_comes_for_ever(wire: Wire) -> None:
    """Chunks of gzip that hold nothing are no sign of life."""
    packer = zlib.compressobj(wbits=31)
    start = packer.compress(b"") + packer.flush(zlib.Z_SYNC_FLUSH)
    empty = b"\x00\x00\x00\xff\xff"

    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head(200, "content-encoding: gzip"), chunk(start))
        while True:
            await peer.send(chunk(empty))
            await asyncio.sleep(0.03)

    came, _ = await reply(wire, script, timeout=0.4)
    came.failed(ConnectionFailed)


@every_wire
async def test_the_body_of_an_error_comes_byte_by_byte_for_ever(wire: Wire) -> None:
    came, _ = await reply(wire, dripping(head(400) + chunk(b"no, and "), b"no ", chunk))
    came.failed(ProviderError, "answered 400: no, and")


@of(GPROCHAT)
async def test_text_without_end_can_be_left(wire: Wire) -> None:
    async with RawServer(dripping(head(), b"x", chunk)) as server:
        result = wire.ask(server.url, timeout=0.5)
        assert [await anext(result) for _ in range(30)] == ["x"] * 30
        await result.aclose()


@of(OPENAI)
async def test_comments_are_signs_of_life(wire: Wire) -> None:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head())
        for _ in range(8):
            await peer.send(chunk(b": ping\n\n"))
            await asyncio.sleep(0.1)
        await peer.send(chunk(wire.body("Hi")), END)

    came, _ = await reply(wire, script, timeout=0.4)
    assert came == Outcome("Hi")


# Replies that are whole, though the connection does not end as it should

FINISH = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


@pytest.mark.parametrize("more", [b": ping\n\n", b"x", delta("more")], ids=["comments", "bytes", "text"])
async def test_what_comes_for_ever_after_the_finish_does_not_hold_it_up(
    more: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_AFTERWORD", 0.2)

    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head(), chunk(delta("Hi") + FINISH))
        while True:
            await peer.send(chunk(more))
            await asyncio.sleep(0.03)

    assert (await reply(OPENAI, script))[0] == Outcome("Hi")


async def test_a_server_that_finishes_with_each_piece_is_heard_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_AFTERWORD", 0.5)

    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head())
        for _ in range(10):
            await peer.send(chunk(event({"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]})))
            await asyncio.sleep(0.1)

    assert (await reply(OPENAI, script))[0] == Outcome("x" * 10)


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("framing", [head(), head(length=5000)], ids=["chunks", "length"])
async def test_a_connection_that_breaks_after_the_finish(framing: bytes, then: str) -> None:
    body = delta("Hi") + FINISH
    sent = chunk(body) if framing == head() else body
    assert (await reply(OPENAI, sending(framing, sent, then=then)))[0] == Outcome("Hi")


@pytest.mark.parametrize("rest", [b"", b"\xff" * 99], ids=["cut", "broken"])
async def test_compression_that_fails_after_the_finish(rest: bytes) -> None:
    first, *_ = packed(delta("Hi") + FINISH)
    sent = [chunk(piece) for piece in (first, rest) if piece]
    assert (await reply(OPENAI, sending(head(200, "content-encoding: gzip"), *sent, END)))[0] == Outcome("Hi")


async def test_done_without_its_blank_line_ends_the_reply() -> None:
    body = delta("Hi") + b"data: [DONE]\n"
    came, _ = await reply(OPENAI, sending(head(), chunk(body), then="hold"), timeout=3)
    assert came == Outcome("Hi")


# Replies that end too early


@every_wire
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_the_connection_ends_within_a_chunk(wire: Wire, then: str) -> None:
    half = chunk(wire.text("everything that stands in this line is cut"))[:-20]
    came, server = await reply(wire, sending(head(), chunk(wire.text("Hi, ")), half, then=then))
    came.failed(ReplyCutOff, "closed the connection in the middle of the reply")
    assert came.text.startswith("Hi, ")
    assert len(server.asked) == 1


@every_wire
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_the_connection_ends_between_chunks(wire: Wire, then: str) -> None:
    came, _ = await reply(wire, sending(head(), chunk(wire.text("Hi")), then=then))
    came.failed(ReplyCutOff)
    assert came.text == "Hi"


@every_wire
async def test_what_came_with_the_break_is_not_lost(wire: Wire) -> None:
    """A consumer that looks away finds text and end at once when it looks again."""

    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head(), chunk(wire.text("one ")))
        await looks_away.wait()
        await peer.send(chunk(wire.text("two ")), chunk(wire.text("three")), b"5\r\nha")
        peer.writer.close()
        await peer.writer.wait_closed()
        closed.set()

    looks_away, closed = asyncio.Event(), asyncio.Event()
    async with RawServer(script) as server:
        result = wire.ask(server.url)
        first = await anext(result)
        looks_away.set()
        await closed.wait()
        await asyncio.sleep(0.05)
        came = await outcome(result)
    assert isinstance(first, str)
    assert (first + came.text).startswith("one two three")
    came.failed(ReplyCutOff)


@every_wire
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_the_body_is_shorter_than_its_length(wire: Wire, then: str) -> None:
    came, _ = await reply(wire, sending(head(length=500), wire.text("Hi"), then=then))
    came.failed(ReplyCutOff)
    assert came.text == "Hi"


@with_lines
async def test_the_body_is_longer_than_its_length(wire: Wire) -> None:
    body = wire.text("Hi") + wire.text("there")

    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head(length=len(body) - 9))
        await asyncio.sleep(0.05)  # in one packet with the head, aiohttp takes all of it for no HTTP
        await peer.send(body)

    came, _ = await reply(wire, script)
    came.failed(ReplyCutOff)
    assert came.text == "Hi"


@every_wire
async def test_a_body_that_ends_with_the_connection_may_be_whole(wire: Wire) -> None:
    came, _ = await reply(wire, sending(head(length=-1), wire.body("Hi")))
    assert came == Outcome("Hi")


@every_wire
async def test_a_body_that_ends_with_the_connection_is_cut_by_a_reset(wire: Wire) -> None:
    came, _ = await reply(wire, sending(head(length=-1), wire.text("Hi"), then="reset"))
    came.failed(ReplyCutOff)
    assert came.text == "Hi"


@every_wire
@pytest.mark.parametrize("garbage", [b"banana\r\n", b"5\r\nab", b"\r\n\r\n", b"-5\r\n", b"ffffffffffffffffffff\r\n"])
async def test_garbage_in_place_of_a_chunk(wire: Wire, garbage: bytes) -> None:
    """The connection stays open: the break is not told by its end."""

    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head(), chunk(wire.text("Hi")))
        await asyncio.sleep(0.05)  # together with the head, aiohttp takes all of it for no HTTP
        await peer.send(garbage + b"and more of it\r\n" * 3)
        await peer.gone()

    came, _ = await reply(wire, script, timeout=3)
    came.failed(ReplyCutOff)
    assert came.text.startswith("Hi")


@of(OPENAI)
async def test_an_end_without_a_reason_is_no_end(wire: Wire) -> None:
    came, _ = await reply(wire, sending(head(), chunk(wire.text("Hi")), END))
    came.failed(ReplyCutOff, "ended before")
    assert came.text == "Hi"


@with_lines
async def test_the_last_line_is_cut(wire: Wire) -> None:
    came, _ = await reply(wire, sending(head(), chunk(wire.text("Hi") + wire.text("there")[:-12]), END))
    came.failed(ReplyCutOff)
    assert came.text == "Hi"


# Compression


def packed(*parts: bytes) -> list[bytes]:
    """The parts as gzip, each of which can be read when it has come; and the end of it."""
    packer = zlib.compressobj(wbits=31)
    return [packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in parts] + [packer.flush()]


@every_wire
async def test_a_compressed_reply(wire: Wire) -> None:
    pieces = packed(wire.text("Hi "), wire.body("there"))
    came, _ = await reply(wire, sending(head(200, "content-encoding: gzip"), *map(chunk, pieces), END))
    assert came == Outcome("Hi there")


@every_wire
async def test_compression_that_breaks_after_some_text(wire: Wire) -> None:
    first, *_ = packed(wire.text("Hi"))
    came, _ = await reply(wire, sending(head(200, "content-encoding: gzip"), chunk(first), chunk(b"\xff" * 99), END))
    came.failed(ReplyCutOff, "compression")
    assert came.text == "Hi"


@every_wire
async def test_compression_that_is_none(wire: Wire) -> None:
    came, server = await reply(wire, sending(head(200, "content-encoding: gzip"), chunk(wire.body("Hi")), END))
    came.failed(ProviderError, "compression")
    assert len(server.asked) == 1


@of(FLOWGPT, GPROCHAT)
async def test_compressed_data_that_end_too_early_though_the_body_does_not(wire: Wire) -> None:
    first, *_ = packed(wire.text("Hi"))
    came, _ = await reply(wire, sending(head(200, "content-encoding: gzip"), chunk(first), END))
    came.failed(ReplyCutOff, "compressed data")
    assert came.text == "Hi"


@every_wire
async def test_compression_that_is_not_known(wire: Wire) -> None:
    came, _ = await reply(wire, sending(head(200, "content-encoding: zstd"), chunk(b"?"), END))
    came.failed(ProviderError, "compressed as 'zstd'")


# Bodies that are no reply


@every_wire
@pytest.mark.parametrize("label", ["text/html; charset=utf-8", "text/event-stream", "application/json"])
async def test_a_web_page(wire: Wire, label: str) -> None:
    page = f"<!DOCTYPE html>\n<html><head><title>Sign in {KEY_LIKE}</title></head><body></body></html>\n".encode()
    came, server = await reply(wire, sending(whole(200, page, f"content-type: {label}")))
    came.failed(ProviderError, "HTML page", "Sign in [hidden]", "Check the base URL")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "response",
    [
        whole(200, b"z" * 180 + b" " + KEY.encode()),
        whole(200, b"z" + b" " * 1980 + KEY.encode()),
        whole(200, b"data: " + b"z" * 180 + KEY.encode() + b"\n\n"),
        whole(200, b"<html><title>" + b"z" * 180 + KEY.encode() + b"</title>"),
        whole(200, b"", f"content-encoding: zz-{KEY}"),
        whole(307, b"", f"location: http://{'z' * 50}.{KEY}/"),
        whole(400, KEY[:9].encode() + b"\n" + KEY[9:].encode()),
        whole(400, KEY.upper().encode()),
    ],
    ids=["text", "text far off", "event", "title", "encoding", "redirect", "two lines", "capitals"],
)
async def test_no_part_of_a_key_is_shown_where_words_are_cut(response: bytes) -> None:
    came, _ = await reply(OPENAI, sending(response))
    error = came.failed(ProviderError)
    shown = f"{error} {error!r} {vars(error)}".lower()
    assert not any(KEY[at : at + 6] in shown for at in range(len(KEY) - 5))


@of(GPROCHAT)
@pytest.mark.parametrize(
    ("label", "body", "kind", "words"),
    [
        ("text/html; charset=utf-8", "<!-- cf --><html><title>Wait</title>", ProviderError, "an HTML page: 'Wait'"),
        ("application/json", '{"code": 401, "message": "sign invalid"}', AuthenticationError, "(401): sign invalid"),
        ("Application/JSON", f'{{"error": "no, {KEY}"}}', ProviderError, "no, [hidden]"),
    ],
)
async def test_what_is_labelled_as_no_text(
    wire: Wire, label: str, body: str, kind: type[ProviderError], words: str
) -> None:
    came, _ = await reply(wire, sending(whole(200, body.encode(), f"content-type: {label}")))
    came.failed(kind, words)
    assert came.text == ""


@of(GPROCHAT)
async def test_text_that_looks_like_a_page_is_text_if_it_is_called_so(wire: Wire) -> None:
    page = "<!DOCTYPE html><title>as you asked</title>"
    came, _ = await reply(wire, sending(whole(200, page.encode(), "content-type: text/plain; charset=utf-8")))
    assert came == Outcome(page)


@every_wire
@pytest.mark.parametrize(
    "response",
    [whole(200, b""), whole(204, b""), head() + END, head(length=-1), head() + chunk(b"\n\n") + END],
    ids=["no length", "no content", "no chunk", "closed", "blank"],
)
async def test_an_empty_reply(wire: Wire, response: bytes) -> None:
    came, server = await reply(wire, sending(response))
    came.failed(ProviderError, "empty")
    assert came.text == ""
    assert len(server.asked) == 1


@with_lines
@pytest.mark.parametrize(
    "payload",
    [{"error": {"message": f"no, {KEY_LIKE}"}}, {"error": f"no, {KEY_LIKE}"}],
    ids=["object", "string"],
)
async def test_an_error_with_status_200(wire: Wire, payload: Any) -> None:
    came, _ = await reply(wire, sending(whole(200, json.dumps(payload).encode(), "content-type: application/json")))
    came.failed(ProviderError, "reported an error: no, [hidden]")


@of(OPENAI)
async def test_a_whole_completion_in_place_of_a_stream(wire: Wire) -> None:
    body = json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}, indent=1).encode()
    came, _ = await reply(wire, sending(whole(200, body, "content-type: application/json")))
    assert came == Outcome("Hi")


@of(OPENAI)
async def test_a_stream_with_the_wrong_label(wire: Wire) -> None:
    came, _ = await reply(wire, sending(head(200, "content-type: application/json"), chunk(wire.body("Hi")), END))
    assert came == Outcome("Hi")


# Errors within a reply


@with_lines
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": f"broke {KEY_LIKE}", "type": None, "code": None}, ProviderError),
        ({"message": f"broke {KEY_LIKE}", "code": 502}, ProviderError),
        ({"message": f"broke {KEY_LIKE}", "code": "429"}, RateLimitError),
        ({"message": f"broke {KEY_LIKE}", "type": "rate_limit_error"}, RateLimitError),
        ({"message": f"broke {KEY_LIKE}", "code": "context_length_exceeded"}, ContextLengthError),
        ({"message": f"broke {KEY_LIKE}", "type": "exceed_context_size_error", "code": 400}, ContextLengthError),
        (f"broke {KEY_LIKE}", ProviderError),
    ],
)
async def test_an_error_within_the_reply(wire: Wire, error: Any, kind: type[ProviderError]) -> None:
    body = wire.text("Hi") + wire.error(error)
    came, server = await reply(wire, sending(head(), chunk(body), then="hold"))
    raised = came.failed(kind, "reported an error", "broke [hidden]")
    assert raised.said == "broke [hidden]"
    assert came.text == "Hi"
    assert len(server.asked) == 1


@of(OPENAI)
async def test_a_key_that_a_server_repeats_within_the_reply(wire: Wire) -> None:
    came, _ = await reply(wire, sending(head(), chunk(wire.text("Hi") + wire.error(f"bad key {KEY}")), END))
    came.failed(ProviderError, "bad key [hidden]")


# Refusals


@of(GPROCHAT, OPENAI)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
async def test_a_key_that_a_server_repeats(wire: Wire, status: int) -> None:
    body = json.dumps({"error": {"message": f"Bearer {KEY} is bad, and so is {KEY_LIKE}"}}).encode()
    came, _ = await reply(wire, sending(whole(status, body)))
    assert type(came.error) is (AuthenticationError if status in (401, 403) else ProviderError)
    assert "[hidden] is bad, and so is [hidden]" in str(came.error)


@every_wire
async def test_an_error_three_times(wire: Wire) -> None:
    came, server = await reply(wire, sending(whole(500, b'{"error": "it broke"}')))
    assert came.failed(ProviderError, "answered 500: it broke", "Try again later.").status == 500
    assert came.notices == ["the server failed, retrying in 1 s"] * 2
    assert len(server.asked) == 3


@every_wire
async def test_an_error_and_then_a_reply(wire: Wire) -> None:
    came, _ = await reply(wire, sending(whole(500, b"it broke")), good(wire))
    assert came == Outcome("Hi", ["the server failed, retrying in 1 s"])


@every_wire
@pytest.mark.parametrize("wait", ["1", formatdate(time.time() - 1, usegmt=True)], ids=["seconds", "date"])
async def test_too_many_requests(wire: Wire, wait: str) -> None:
    limited = sending(whole(429, b'{"error": {"message": "slow down"}}', f"retry-after: {wait}"))
    came, _ = await reply(wire, limited, good(wire))
    assert came == Outcome("Hi", [f"rate limited, retrying in {1 if wait == '1' else 0} s"])


@every_wire
async def test_too_many_requests_for_an_hour(wire: Wire) -> None:
    came, server = await reply(wire, sending(whole(429, b'{"detail": "slow down"}', "retry-after: 3600")))
    error = came.failed(RateLimitError, "answered 429: slow down", "Come back in 60 min, at ")
    assert error.retry_after == 3600
    assert len(server.asked) == 1


@of(OPENAI)
@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_is_not_taken(wire: Wire, status: int) -> None:
    came, _ = await reply(wire, sending(whole(status, b'{"error": {"message": "Incorrect API key."}}')))
    assert came.failed(AuthenticationError, "Set ACME_API_KEY").status == status


@every_wire
@pytest.mark.parametrize("status", [404, 400])
async def test_a_model_that_is_not_there(wire: Wire, status: int) -> None:
    body = b'{"error": {"message": "The model `big-1` does not exist.", "code": "model_not_found"}}'
    came, _ = await reply(wire, sending(whole(status, body)))
    came.failed(ModelNotFoundError, "`big-1` does not exist", "%chat models")


@every_wire
async def test_a_path_that_is_not_there(wire: Wire) -> None:
    came, _ = await reply(wire, sending(whole(404, b'{"detail":"Not Found"}')))
    came.failed(ProviderError, "answered 404: Not Found", "Check the base URL.")


@every_wire
@pytest.mark.parametrize(
    "error",
    [
        {"message": "too long", "type": "exceed_context_size_error", "code": 400},
        {"message": "too long", "code": "context_length_exceeded"},
        {"message": "This model's maximum context length is 8192 tokens."},
    ],
)
async def test_more_than_the_model_can_read(wire: Wire, error: Any) -> None:
    came, _ = await reply(wire, sending(whole(400, json.dumps({"error": error}).encode())))
    came.failed(ContextLengthError, "answered 400", "Send less")


@every_wire
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": "in a string"}', "in a string"),
        (b'{"message": "in a message"}', "in a message"),
        (b"<html><title>502 Bad Gateway</title>", "a web page titled '502 Bad Gateway'"),
        (b"in plain text", "in plain text"),
        (b"", "I'm a Teapot"),
        (b"\xff\xfe\x00", "\ufffd"),
        (b'{"error": {"message": "\\ud83d alone"}}', "\ufffd alone"),
        (b'{"error": {"message": "' + b"long " * 200_000 + b'"}}', "long long"),
    ],
    ids=["string", "message", "page", "text", "empty", "bytes", "surrogate", "megabyte"],
)
async def test_errors_in_every_dress(wire: Wire, body: bytes, words: str) -> None:
    came, _ = await reply(wire, sending(whole(418, body)))
    error = came.failed(ProviderError, "answered 418", words)
    assert len(error.said) <= 2000


@every_wire
@pytest.mark.parametrize("length", [100, 50_000_000], ids=["short", "a bomb"])
async def test_a_compressed_error(wire: Wire, length: int) -> None:
    body = gzip.compress(b'{"error": "no' + b" " * length + b'"}')
    came, _ = await reply(wire, sending(whole(400, body, "content-encoding: gzip")))
    came.failed(ProviderError, "answered 400: ", "no")


@every_wire
async def test_an_error_whose_body_breaks_off(wire: Wire) -> None:
    came, _ = await reply(wire, sending(head(400, length=500), b"as much as there is"))
    came.failed(ProviderError, "answered 400: as much as there is")


@every_wire
async def test_an_answer_while_the_body_is_still_being_sent(wire: Wire) -> None:
    large: list[Message] = [{"role": "user", "content": "large " * 2_000_000}]
    async with RawServer(sending(whole(413, b"too large"), then="hold"), early=True) as server:
        came = await outcome(wire.ask(server.url, large))
        await asyncio.wait_for(server.dropped(), 10)
    came.failed(ProviderError, "answered 413: too large", "Send less")
    assert len(server.asked) == 1


@of(OPENAI)
@pytest.mark.parametrize("status", [400, 422])
async def test_stream_options_that_are_refused_are_left_out(wire: Wire, status: int) -> None:
    refusal = b'{"detail": [{"loc": ["body", "stream_options"], "msg": "stream_options: extra inputs not permitted"}]}'
    came, server = await reply(wire, sending(whole(status, refusal)), good(wire))
    assert came == Outcome("Hi")
    assert ["stream_options" in json.loads(asked.body) for asked in server.asked] == [True, False]


# Redirects


@every_wire
@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_within_the_server(wire: Wire, status: int) -> None:
    came, server = await reply(wire, sending(whole(status, b"", "location: /moved"), then="keep"), good(wire))
    assert came == Outcome("Hi")
    assert server.asked[0].body == server.asked[1].body
    assert server.asked[1].first_line == "POST /moved HTTP/1.1"


@every_wire
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_elsewhere(wire: Wire, status: int) -> None:
    async with RawServer(good(wire)) as other:
        came, _ = await reply(wire, sending(whole(status, b"", f"location: {other.url}/?{KEY_LIKE}")))
    came.failed(ProviderError, f"answered {status}", f"127.0.0.1:{other.port}")
    assert not other.peers


@every_wire
async def test_redirects_in_a_circle(wire: Wire) -> None:
    came, server = await reply(wire, sending(whole(307, b"", "location: /again"), then="keep"))
    came.failed(ProviderError, "answered 307")
    assert len(server.asked) == 6


# Odd but good replies


@every_wire
async def test_one_byte_a_packet(wire: Wire) -> None:
    body = wire.body("Grüße 😀", " und Küsse")
    pieces = [chunk(body[at : at + 1]) for at in range(len(body))]
    came, _ = await reply(wire, sending(head(), *pieces, END))
    assert came == Outcome("Grüße 😀 und Küsse")


@every_wire
async def test_one_byte_a_packet_from_the_first_line_on(wire: Wire) -> None:
    response = head() + chunk(wire.body("Grüße")) + END
    came, _ = await reply(wire, sending(*(response[at : at + 1] for at in range(len(response)))))
    assert came == Outcome("Grüße")


@every_wire
async def test_invalid_utf_8_becomes_a_mark(wire: Wire) -> None:
    came, _ = await reply(wire, sending(head(), chunk(wire.body("a€b").replace("€".encode(), b"\xff")), END))
    assert came == Outcome("a\ufffdb")


@with_lines
async def test_surrogates_are_joined_and_lone_ones_become_marks(wire: Wire) -> None:
    came, _ = await reply(wire, good(wire, "one \ud83d", "\ude00 and \ud83d", " alone"))
    assert came == Outcome("one 😀 and \ufffd alone")


@with_lines
async def test_a_line_of_ten_megabytes(wire: Wire) -> None:
    text = "x" * 10_000_000
    came, _ = await reply(wire, good(wire, text))
    assert came == Outcome(text)


@every_wire
async def test_two_hundred_thousand_small_pieces(wire: Wire) -> None:
    body = wire.text("x") * 200_000 + wire.end
    pieces = [chunk(body[at : at + 60_000]) for at in range(0, len(body), 60_000)]
    came, _ = await reply(wire, sending(head(), *pieces, END))
    assert came == Outcome("x" * 200_000)


@with_lines
@pytest.mark.parametrize("end", [b"\r", b"\r\n"])
async def test_other_line_ends(wire: Wire, end: bytes) -> None:
    body = wire.body("Hi ", "there").replace(b"\n", end)
    came, _ = await reply(wire, sending(head(), *(chunk(body[at : at + 7]) for at in range(0, len(body), 7)), END))
    assert came == Outcome("Hi there")


@every_wire
async def test_a_byte_order_mark(wire: Wire) -> None:
    came, _ = await reply(wire, sending(head(), chunk(b"\xef\xbb\xbf" + wire.body("Hi")), END))
    assert came == Outcome("Hi")


@of(OPENAI)
async def test_a_connection_that_stays_open_after_the_end(wire: Wire) -> None:
    async with RawServer(sending(head(), chunk(wire.body("Hi")), then="hold")) as server:
        assert await outcome(wire.ask(server.url)) == Outcome("Hi")
        await asyncio.wait_for(server.dropped(), 10)


@every_wire
def test_a_connection_of_before_that_has_died_is_replaced_unseen(wire: Wire) -> None:
    kept = sending(head(), chunk(wire.body("Hi")), END, then="keep")

    async def work() -> RawServer:
        shared_loop.set(True)
        async with RawServer(kept, sending(), kept) as server:
            for _ in range(3):
                assert await outcome(wire.ask(server.url)) == Outcome("Hi")
        return server

    worker = Worker("test")
    try:
        server = worker.run(work(), 20)
    finally:
        worker.stop()
    assert [asked.connection for asked in server.asked] == [0, 0, 1, 2]


# Proxies


@every_wire
async def test_a_reply_through_a_proxy(wire: Wire) -> None:
    async with RawServer(good(wire)) as proxy:
        came = await outcome(wire.ask("http://api.acme.example", proxy=proxy.url))
    assert came == Outcome("Hi")
    assert proxy.asked[0].first_line.startswith("POST http://api.acme.example/")


@every_wire
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_a_password(wire: Wire, scheme: str) -> None:
    async with RawServer(sending(whole(407, b"no"))) as proxy:
        came = await outcome(wire.ask(f"{scheme}://api.acme.example", proxy=f"http://me:{KEY}@{proxy.url[7:]}"))
    error = came.failed(ConnectionFailed if scheme == "https" else ProviderError, "answered 407", "user and password")
    assert f"through the proxy 127.0.0.1:{proxy.port}" in error.provider


@every_wire
async def test_a_proxy_that_is_down(wire: Wire) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = f"127.0.0.1:{unused.getsockname()[1]}"
        came = await outcome(wire.ask("https://api.acme.example", proxy=f"http://me:{KEY}@{proxy}"))
    came.failed(ConnectionFailed, f"through the proxy {proxy}", "the proxy takes no connection")


@of(OPENAI)
async def test_a_proxy_never_sees_the_key(wire: Wire) -> None:
    async with RawServer(sending(whole(503, b"", f"x-echo: {KEY}"))) as proxy:
        (await outcome(wire.ask("https://api.acme.example", proxy=proxy.url))).failed(ConnectionFailed)
    assert {asked.first_line for asked in proxy.asked} == {"CONNECT api.acme.example:443 HTTP/1.1"}
    assert KEY not in str(proxy.asked)


# Stop


@every_wire
@pytest.mark.parametrize("stage", ["before the head", "within the head", "before the text", "within the text"])
async def test_a_stop_at_any_moment_is_seen_by_the_server(wire: Wire, stage: str) -> None:
    sent = {
        "before the head": [],
        "within the head": [b"HTTP/1.1 200 OK\r\n"],
        "before the text": [head()],
        "within the text": [head(), chunk(wire.text("Hi"))],
    }
    reached = asyncio.Event()

    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(*sent[stage])
        reached.set()
        await peer.gone()

    async with RawServer(script) as server:
        task = asyncio.create_task(outcome(wire.ask(server.url)))
        await asyncio.wait_for(reached.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.dropped(), 10)


@every_wire
async def test_a_stop_between_retries(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BASE_DELAY", 30.0)
    async with RawServer(sending(whole(500, b""))) as server:
        events = wire.ask(server.url).events()
        assert await anext(events) == Notice("the server failed, retrying in 30 s")
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert len(server.asked) == 1


@every_wire
async def test_leaving_a_reply_is_seen_by_the_server(wire: Wire) -> None:
    async with RawServer(sending(head(), chunk(wire.text("Hi")), then="hold")) as server:
        result = wire.ask(server.url)
        assert await anext(result) == "Hi"
        await result.aclose()
        await asyncio.wait_for(server.dropped(), 10)
