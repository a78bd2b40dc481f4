"""Requests as they go over the wire, and what is done when that goes wrong. The faults of bodies: test_faults.py."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nbchat.errors import (
    AuthenticationError,
    ConnectionFailed,
    NbchatError,
    ProviderError,
    RateLimitError,
    UsageProblem,
)
from nbchat.loop import Worker
from nbchat.messages import Chunk, Notice
from nbchat.providers import http
from nbchat.providers.base import Request, shared_loop
from nbchat.providers.streams import CutOff, ErrorEvent, LineDecoder, WrongBody
from raw_server import END, KEEP, Asked, Peer, RawServer, Script, SocketServer, SocksServer, chunk, head, whole

KEY = "correct-horse-battery"


class Words(LineDecoder):
    """A small format: each line is a chunk, a line "." ends the reply, a line "!…" is an error."""

    def _line(self, line: str) -> Iterator[Chunk]:
        if line == ".":
            self.done = True
        elif line.startswith("!"):
            raise ErrorEvent(line[1:])
        elif line and not line.startswith("#"):
            yield line

    def _end(self) -> Iterator[Chunk]:
        if not self.opening:
            raise WrongBody("sent an empty reply")
        if not self.done:
            raise CutOff("ended too early")
        return iter(())


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between retries, a hundred times as short."""
    monkeypatch.setattr(http, "BASE_DELAY", 0.01)


def request(url: str, **changes: Any) -> Request:
    """A request as a provider makes it."""
    usual = Request(
        provider="acme",
        url=f"{url}/chat",
        headers={"Authorization": f"Bearer {KEY}", "X-One": "1"},
        body=b'{"prompt": "hello"}',
        timeout=5,
        secrets=(KEY,),
        key_variable="ACME_API_KEY",
    )
    return replace(usual, **changes)


async def ask(url: str, **changes: Any) -> list[Chunk]:
    """All chunks of a reply; a hang fails."""
    async with asyncio.timeout(10):
        return [chunk async for chunk in http.stream(lambda: request(url, **changes), Words)]


async def outcome(url: str, **changes: Any) -> tuple[list[Chunk], NbchatError | None]:
    """The chunks of a reply, and the error that it ended with."""
    chunks: list[Chunk] = []
    try:
        async with asyncio.timeout(10):
            async for one in http.stream(lambda: request(url, **changes), Words):
                chunks.append(one)
    except NbchatError as error:
        return chunks, error
    return chunks, None


async def fail(url: str, kind: type[NbchatError], **changes: Any) -> Any:
    """The error that a request ends with; exactly of this class."""
    _, error = await outcome(url, **changes)
    assert type(error) is kind, error
    return error


async def good(peer: Peer, asked: Asked) -> object:
    """Answers "hello", and leaves the connection open."""
    await peer.send(head(), chunk(b"hello\n.\n"), END)
    return KEEP


def answering(response: bytes) -> Script:
    async def script(peer: Peer, asked: Asked) -> object:
        await peer.send(response)
        return KEEP

    return script


async def closing(peer: Peer, asked: Asked) -> None:
    """Closes the connection without a byte."""


async def resetting(peer: Peer, asked: Asked) -> None:
    peer.reset()


@contextmanager
def shared() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs coroutines on one of nbchat's loops, where requests share a session."""

    async def there(work: Coroutine[Any, Any, Any]) -> Any:
        shared_loop.set(True)
        return await work

    worker = Worker("test")
    try:
        yield lambda work: worker.run(there(work), 20)
    finally:
        worker.stop()


# What is sent


async def test_nothing_is_sent_but_the_given_headers_and_what_http_needs() -> None:
    async with RawServer(good) as server:
        assert await ask(server.url) == ["hello"]
    assert server.asked[0].first_line == "POST /chat HTTP/1.1"
    assert server.asked[0].headers == [
        ("Host", f"127.0.0.1:{server.port}"),
        ("Authorization", f"Bearer {KEY}"),
        ("X-One", "1"),
        ("Content-Length", "19"),
    ]
    assert server.asked[0].body == b'{"prompt": "hello"}'


def test_cookies_of_an_answer_do_not_come_back_with_the_next_request() -> None:
    async def work() -> RawServer:
        async with RawServer(answering(whole(503, b"", "set-cookie: session=1; path=/")), good) as server:
            await ask(f"http://localhost:{server.port}")
        return server

    with shared() as run:
        assert [asked.header("cookie") for asked in run(work()).asked] == [None, None]


async def test_each_attempt_makes_its_request_anew() -> None:
    numbers = count()
    async with RawServer(answering(whole(500, b"")), closing, good) as server:
        prepare = lambda: request(server.url, headers={"X-Nonce": str(next(numbers))})  # noqa: E731 - shorter so
        async for _ in http.stream(prepare, Words):
            pass
    assert [asked.header("x-nonce") for asked in server.asked] == ["0", "1", "2"]


async def test_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with RawServer(good) as server:
        await ask(server.url, headers={})
    assert server.asked[0].header("authorization") is None


@pytest.mark.parametrize("value", ["a\nb", "a\r\nX-Evil: 1", "a\0"])
async def test_a_header_that_http_does_not_allow_is_a_usage_problem(value: str) -> None:
    async with RawServer(good) as server:
        error = await fail(server.url, UsageProblem, headers={"Authorization": f"Bearer {KEY}{value}"})
    assert "The header 'Authorization'" in str(error)
    assert KEY not in str(error)
    assert not server.asked


@pytest.mark.parametrize("url", ["localhost:80", "http://", "ftp://host"])
async def test_a_url_that_is_none_is_a_usage_problem(url: str) -> None:
    await fail(url, UsageProblem)


async def test_an_address_that_aiohttp_does_not_take() -> None:
    error = str(await fail("http://127.1:81", ConnectionFailed))
    assert "has an address that cannot be used" in error or "refused" in error  # older versions take it


async def test_a_login_in_the_url_is_sent_unless_there_is_a_key() -> None:
    async with RawServer(good) as server:
        await ask(f"http://me:p%40ss@{server.url[7:]}", headers={})
        error = await fail(f"http://me:p%40ss@{server.url[7:]}", UsageProblem)
    assert server.asked[0].header("authorization") == "Basic bWU6cEBzcw=="
    assert len(server.asked) == 1
    assert "p%40ss" not in str(error)


# Retries


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
async def test_what_may_pass_is_tried_again_and_the_user_is_told(status: int) -> None:
    async with RawServer(answering(whole(status, b"busy")), good) as server:
        notice, text = await ask(server.url)
    assert isinstance(notice, Notice)
    assert notice.text.endswith(", retrying in 1 s")
    assert text == "hello"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    async with RawServer(answering(whole(status, b"no"))) as server:
        with pytest.raises(ProviderError) as caught:
            await ask(server.url)
    assert caught.value.status == status
    assert len(server.asked) == 1


async def test_after_two_retries_the_last_error_is_raised() -> None:
    async with RawServer(*(answering(whole(status, b"busy")) for status in (500, 502, 503))) as server:
        chunks, error = await outcome(server.url)
    assert chunks == [Notice("the server failed, retrying in 1 s")] * 2
    assert isinstance(error, ProviderError)
    assert error.status == 503
    assert len(server.asked) == 3


async def test_the_second_wait_is_twice_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BASE_DELAY", 0.51)
    async with RawServer(closing, closing, good) as server:
        assert await ask(server.url) == [
            Notice("the connection broke, retrying in 1 s"),
            Notice("the connection broke, retrying in 2 s"),
            "hello",
        ]


@pytest.mark.parametrize("header", ["1", "0.2", "0"])
async def test_retry_after_in_seconds_is_honoured(header: str) -> None:
    async with RawServer(answering(whole(429, b"slow down", f"retry-after: {header}")), good) as server:
        start = time.monotonic()
        chunks = await ask(server.url)
        assert time.monotonic() - start >= float(header)
    assert chunks == [Notice(f"rate limited, retrying in {0 if header == '0' else 1} s"), "hello"]


async def test_retry_after_as_a_date_is_honoured() -> None:
    async with RawServer(
        answering(whole(503, b"", f"retry-after: {formatdate(time.time() - 5, usegmt=True)}")), good
    ) as server:
        assert await ask(server.url) == [Notice("the server is overloaded, retrying in 0 s"), "hello"]


@pytest.mark.parametrize(
    "header", ["61", "3600", formatdate(time.time() + 7200, usegmt=True)], ids=["61", "3600", "date"]
)
async def test_more_than_a_minute_is_not_waited_for(header: str) -> None:
    async with RawServer(answering(whole(429, b"slow down", f"retry-after: {header}"))) as server:
        error = await fail(server.url, RateLimitError)
    assert len(server.asked) == 1
    assert error.retry_after > 60
    assert "Come back in" in str(error)


async def test_an_error_without_end_is_read_as_far_as_it_is_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_ERROR_TIME", 60.0)

    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head(400))
        while True:
            await peer.send(chunk(b"no " * 20_000))

    async with RawServer(script) as server:
        assert "answered 400: no no no" in str(await fail(server.url, ProviderError))


async def test_a_connection_that_is_refused_is_tried_again() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        chunks, error = await outcome(url)
    assert chunks == [Notice("could not connect, retrying in 1 s")] * 2
    assert isinstance(error, ConnectionFailed)
    assert str(error) == f"acme ({url[7:]}) refused the connection. Is the server running?"


@pytest.mark.parametrize("script", [closing, resetting])
async def test_a_connection_that_dies_before_the_answer_is_tried_again(script: Script) -> None:
    async with RawServer(script, script, good) as server:
        assert await ask(server.url) == [Notice("the connection broke, retrying in 1 s")] * 2 + ["hello"]


async def test_a_connection_that_dies_between_the_head_and_the_first_chunk_is_tried_again() -> None:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head(), chunk(b"# thinking\n"))
        peer.reset()

    async with RawServer(script, good) as server:
        assert await ask(server.url) == [Notice("the connection broke, retrying in 1 s"), "hello"]


async def test_nothing_is_tried_again_after_the_first_chunk() -> None:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head(), chunk(b"hello\n"))

    async with RawServer(script) as server:
        with pytest.raises(ProviderError):
            await ask(server.url)
    assert len(server.asked) == 1


async def test_no_host_of_that_name() -> None:
    error = await fail("http://nowhere.invalid:81", ConnectionFailed)
    assert str(error) == (
        "acme (nowhere.invalid:81) could not be found: no such host is known. Check the network and the base URL."
    )


# Connections that are kept alive


def test_on_a_loop_of_ours_connections_are_kept_and_closed_at_its_end() -> None:
    async def work() -> RawServer:
        async with RawServer(good) as server:
            for _ in range(3):
                assert await ask(server.url) == ["hello"]
        return server

    with shared() as run:
        server = run(work())
    assert len(server.peers) == 1
    assert len(server.asked) == 3


async def test_elsewhere_each_request_has_a_session_of_its_own() -> None:
    async def waiting(peer: Peer, asked: Asked) -> None:
        await good(peer, asked)
        await peer.gone()

    async with RawServer(waiting) as server:
        for number in range(2):
            assert await ask(server.url) == ["hello"]
            await asyncio.wait_for(server.peers[number].is_gone.wait(), 10)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("dies", [closing, resetting])
def test_a_dead_connection_of_before_is_replaced_unseen(dies: Script) -> None:
    """The server has closed it, and the next request is already under way when that is noticed."""

    async def work() -> RawServer:
        async with RawServer(good, dies, good) as server:
            assert await ask(server.url) == ["hello"]
            assert await ask(server.url) == ["hello"]  # and no notice
        return server

    with shared() as run:
        server = run(work())
    assert [asked.connection for asked in server.asked] == [0, 0, 1]


def test_a_dead_connection_is_replaced_once_and_then_tried_again_as_usual() -> None:
    async def work() -> RawServer:
        async with RawServer(good, closing, closing, good) as server:
            assert await ask(server.url) == ["hello"]
            assert await ask(server.url) == [Notice("the connection broke, retrying in 1 s"), "hello"]
        return server

    with shared() as run:
        assert len(run(work()).asked) == 4


def test_a_connection_that_dies_within_the_head_of_an_answer_is_not_replaced_unseen() -> None:
    async def half(peer: Peer, asked: Asked) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\nServ")

    async def work() -> None:
        async with RawServer(good, half, good) as server:
            assert await ask(server.url) == ["hello"]
            assert await ask(server.url) == [Notice("the connection broke, retrying in 1 s"), "hello"]

    with shared() as run:
        run(work())


def test_a_connection_whose_reply_was_not_read_to_its_end_does_not_serve_again() -> None:
    async def talking(peer: Peer, asked: Asked) -> None:
        await peer.send(head(), chunk(b"hello\n"))
        await peer.gone()

    async def work() -> RawServer:
        async with RawServer(talking, good) as server:
            chunks = http.stream(lambda: request(server.url), Words)
            assert await anext(chunks) == "hello"
            await chunks.aclose()
            await asyncio.wait_for(server.dropped(), 10)
            assert await ask(server.url) == ["hello"]
        return server

    with shared() as run:
        assert [asked.connection for asked in run(work()).asked] == [0, 1]


def test_a_connection_that_stays_open_after_the_end_of_the_reply_is_dropped() -> None:
    async def lingering(peer: Peer, asked: Asked) -> None:
        await peer.send(head(), chunk(b"hello\n.\n"))
        await peer.gone()

    async def work() -> None:
        async with RawServer(lingering) as server:
            assert await ask(server.url) == ["hello"]
            await asyncio.wait_for(server.dropped(), 10)

    with shared() as run:
        run(work())


def test_the_end_of_the_body_may_come_just_after_that_of_the_reply() -> None:
    async def in_two(peer: Peer, asked: Asked) -> object:
        await peer.send(head(), chunk(b"hello\n.\n"))
        await asyncio.sleep(0.01)
        await peer.send(END)
        return KEEP

    async def work() -> RawServer:
        async with RawServer(in_two) as server:
            for _ in range(3):
                await ask(server.url)
        return server

    with shared() as run:
        assert len(run(work()).peers) == 1


def test_an_error_leaves_the_connection_in_use() -> None:
    async def work() -> RawServer:
        async with RawServer(answering(whole(500, b"busy")), good) as server:
            await ask(server.url)
        return server

    with shared() as run:
        assert len(run(work()).peers) == 1


def test_two_replies_stream_side_by_side() -> None:
    async def work() -> None:
        arrived = asyncio.Barrier(2)

        async def together(peer: Peer, asked: Asked) -> None:
            await arrived.wait()
            await good(peer, asked)

        async with RawServer(together) as server:
            assert await asyncio.gather(ask(server.url), ask(server.url)) == [["hello"], ["hello"]]

    with shared() as run:
        run(work())


# Silence


async def test_the_time_of_the_consumer_does_not_count() -> None:
    looked = asyncio.Event()

    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head(), chunk(b"one\n"))
        await looked.wait()
        await peer.send(chunk(b"two\n.\n"), END)

    async with RawServer(script) as server:
        chunks = []
        async for text in http.stream(lambda: request(server.url, timeout=0.5), Words):
            chunks.append(text)
            await asyncio.sleep(0.7)
            looked.set()
    assert chunks == ["one", "two"]


async def test_each_line_renews_the_time_and_comments_do_too() -> None:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head())
        for _ in range(10):
            await asyncio.sleep(0.1)
            await peer.send(chunk(b"# alive\n"))
        await peer.send(chunk(b"one\n.\n"), END)

    async with RawServer(script) as server:
        assert await ask(server.url, timeout=0.5) == ["one"]


# Redirects


def redirecting(status: int, location: str) -> Script:
    return answering(whole(status, b"", f"location: {location}"))


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("location", ["/v2/chat?a=b", "{url}/v2/chat?a=b"])
async def test_a_redirect_to_the_same_origin_is_followed_with_the_body(status: int, location: str) -> None:
    async def script(peer: Peer, asked: Asked) -> object:
        return await redirecting(status, location.format(url=server.url))(peer, asked)

    async with RawServer(script, good) as server:
        assert await ask(server.url) == ["hello"]
    assert server.asked[1].first_line == "POST /v2/chat?a=b HTTP/1.1"
    assert server.asked[1].body == b'{"prompt": "hello"}'
    assert server.asked[1].header("authorization") == f"Bearer {KEY}"


async def test_a_redirect_is_followed_on_a_connection_of_its_own() -> None:
    """Servers close one that was kept alive without saying so."""
    async with RawServer(redirecting(307, "/v2"), good) as server:
        assert await ask(server.url) == ["hello"]
    assert [asked.connection for asked in server.asked] == [0, 1]


async def test_five_redirects_are_followed_and_no_more() -> None:
    async with RawServer(*[redirecting(307, "/again")] * 5, good) as server:
        assert await ask(server.url) == ["hello"]
    async with RawServer(redirecting(307, "/again")) as server:
        error = await fail(server.url, ProviderError)
    assert len(server.asked) == 6
    assert error.status == 307
    assert "answered 307: one redirect after the other" in str(error)


async def test_another_origin_sees_nothing() -> None:
    async with RawServer(good) as other, RawServer(redirecting(307, other.url)) as server:
        error = await fail(server.url, ProviderError)
    assert f"a redirect to 127.0.0.1:{other.port}, which is not followed" in str(error)
    assert not other.peers


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304])
async def test_other_redirects_are_errors(status: int) -> None:
    async with RawServer(redirecting(status, "/v2")) as server:
        assert (await fail(server.url, ProviderError)).status == status
    assert len(server.asked) == 1


# Answers that come early


@contextmanager
def early_server(*, reset: bool) -> Iterator[str]:
    """A server in a thread that answers 413 as soon as it has read a little, and reads no more."""

    def serve() -> None:
        peer, _ = listening.accept()
        peer.recv(2000)
        peer.sendall(whole(413, b"too large by far", "connection: close"))
        if reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            peer.shutdown(socket.SHUT_WR)
            over.wait(10)
        peer.close()

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        over.set()
        thread.join()


@pytest.mark.parametrize("reset", [False, True])
async def test_an_answer_while_the_body_is_still_being_sent_is_read(reset: bool) -> None:
    with early_server(reset=reset) as url:
        error = await fail(url, ProviderError, body=bytes(20_000_000))
    assert error.status == 413
    assert "too large by far" in str(error)


def test_an_answer_before_the_body_was_sent_leaves_no_connection() -> None:
    async def early(peer: Peer, asked: Asked) -> None:
        await peer.send(whole(413, b"too large"))
        await peer.gone()

    async def work() -> None:
        async with RawServer(early, early=True) as server:
            await fail(server.url, ProviderError, body=bytes(50_000_000))
            await asyncio.wait_for(server.dropped(), 10)
        assert server.peers[0].rest < 50_000_000

    with shared() as run:
        run(work())


async def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 80_000
    async with RawServer(good) as server:
        assert await ask(server.url, body=body) == ["hello"]
    assert server.asked[0].body == body


# Stop, at any moment


async def stop(url: str, reached: Awaitable[object], **changes: Any) -> None:
    """Start a request, and stop it when it has got so far."""
    task = asyncio.create_task(ask(url, **changes))
    await asyncio.wait_for(reached, 10)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


STAGES: dict[str, list[bytes]] = {
    "before an answer": [],
    "within its head": [b"HTTP/1.1 200 OK\r\nServer: x\r\n"],
    "before the body": [head()],
    "within the reply": [head(), chunk(b"one\n")],
    "within a line": [head(), chunk(b"one\ntw")],
    "within an error": [head(500), chunk(b"half an err")],
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("place", ["here", "on a loop of ours"])
def test_a_stop_drops_the_connection(stage: str, place: str) -> None:
    async def work() -> None:
        reached = asyncio.Event()

        async def script(peer: Peer, asked: Asked) -> None:
            await peer.send(*STAGES[stage])
            reached.set()
            await peer.gone()

        async with RawServer(script) as server:
            await stop(server.url, reached.wait())
            await asyncio.wait_for(server.dropped(), 10)

    if place == "here":
        asyncio.run(work())
    else:
        with shared() as run:
            run(work())


async def test_a_stop_while_the_body_is_being_sent_drops_the_connection() -> None:
    reached = asyncio.Event()

    async def script(peer: Peer, asked: Asked) -> None:
        reached.set()
        await stopped.wait()  # reads nothing meanwhile, so that unsent data stays with the client
        await peer.gone()

    stopped = asyncio.Event()
    async with RawServer(script, early=True) as server:
        await stop(server.url, reached.wait(), body=bytes(50_000_000))
        stopped.set()
        await asyncio.wait_for(server.dropped(), 10)
    assert server.peers[0].rest < 50_000_000
    assert len(asyncio.all_tasks()) == 1


async def test_a_stop_while_connecting_drops_the_connection() -> None:
    """A TLS handshake that the other side never answers."""
    dropped, reached = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await Peer(0, reader, writer).gone()
        dropped.set()

    async with SocketServer(silent) as server:
        await stop(f"https://127.0.0.1:{server.port}", reached.wait())
        await asyncio.wait_for(dropped.wait(), 10)


async def test_a_stop_between_retries_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BASE_DELAY", 50.0)
    async with RawServer(answering(whole(500, b""))) as server:
        chunks = http.stream(lambda: request(server.url), Words)
        assert isinstance(await anext(chunks), Notice)
        waiting = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert len(server.asked) == 1


async def test_closing_the_generator_drops_the_connection() -> None:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head(), chunk(b"one\n"))
        await peer.gone()

    async with RawServer(script) as server:
        chunks = http.stream(lambda: request(server.url), Words)
        assert await anext(chunks) == "one"
        await chunks.aclose()
        await asyncio.wait_for(server.dropped(), 10)
    assert len(asyncio.all_tasks()) == 1


# Proxies


async def test_a_proxy_gets_the_whole_url(monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(good) as proxy:
        assert await ask("http://api.acme.example", proxy=f"http://me:p%40ss@127.0.0.1:{proxy.port}") == ["hello"]
    assert proxy.asked[0].first_line == "POST http://api.acme.example/chat HTTP/1.1"
    assert proxy.asked[0].header("proxy-authorization") == "Basic bWU6cEBzcw=="


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_the_proxy_of_the_environment_is_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(good) as server, RawServer(good) as proxy:
        monkeypatch.setenv(name, proxy.url)
        assert await ask("http://api.acme.example") == ["hello"]
        await ask(server.url)  # this machine is not behind it
        assert (len(proxy.asked), len(server.asked)) == (1, 1)
        monkeypatch.setenv("NO_PROXY", "api.acme.invalid")
        await fail("http://api.acme.invalid", ConnectionFailed)
        assert len(proxy.asked) == 1


async def test_a_proxy_sees_no_headers_of_a_secure_request() -> None:
    async def refusing(peer: Peer, asked: Asked) -> None:
        await peer.send(whole(403, b"", "x-echo: " + KEY))

    async with RawServer(refusing) as proxy:
        error = await fail("https://api.acme.example", ConnectionFailed, proxy=f"http://me:secret@{proxy.url[7:]}")
    assert proxy.asked[0].first_line == "CONNECT api.acme.example:443 HTTP/1.1"
    sent = {name.lower() for name, _ in proxy.asked[0].headers}
    assert "proxy-authorization" in sent
    assert not sent & {"authorization", "x-one"}
    assert str(error) == (
        f"acme (api.acme.example:443 through the proxy 127.0.0.1:{proxy.port}) could not be reached: "
        "the proxy answered 403 (Forbidden). Check the proxy."
    )
    assert error.status == 403


async def test_a_proxy_that_wants_a_password_says_so() -> None:
    async with RawServer(answering(whole(407, b"who are you"))) as proxy:
        secure = await fail("https://api.acme.example", ConnectionFailed, proxy=proxy.url)
        plain = await fail("http://api.acme.example", ProviderError, proxy=proxy.url)
    for error in (secure, plain):
        assert error.status == 407
        assert f"through the proxy 127.0.0.1:{proxy.port}" in str(error)
        assert "Give the user and password for the proxy in its URL." in str(error)


async def test_a_tunnel_that_is_overloaded_is_tried_again() -> None:
    async with RawServer(answering(whole(503, b""))) as proxy:
        with pytest.raises(ConnectionFailed):
            await ask("https://api.acme.example", proxy=proxy.url)
    assert len(proxy.asked) == 3


async def test_a_proxy_that_is_down_is_named_without_its_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        for url in ("http://api.acme.example", "https://api.acme.example"):
            error = await fail(url, ConnectionFailed, proxy=f"http://me:secret@127.0.0.1:{port}")
            assert f"through the proxy 127.0.0.1:{port})" in str(error)
            assert "the proxy takes no connection" in str(error)
            assert "secret" not in str(error)


async def test_an_error_through_a_proxy_names_it() -> None:
    async with RawServer(answering(whole(401, b"no"))) as proxy:
        error = await fail("http://api.acme.example", AuthenticationError, proxy=proxy.url)
    assert f"acme (api.acme.example through the proxy 127.0.0.1:{proxy.port}) answered 401" in str(error)


async def test_a_proxy_whose_name_nobody_knows() -> None:
    error = await fail("https://api.acme.example", ConnectionFailed, proxy="http://me:secret@nowhere.invalid:3128")
    assert str(error) == (
        "acme (api.acme.example:443 through the proxy nowhere.invalid:3128) could not be reached: "
        "no such proxy is known. Check the proxy and the network."
    )


async def test_something_that_is_no_proxy_is_a_usage_problem() -> None:
    error = await fail("http://api.acme.example", UsageProblem, proxy="ftp://me:secret@host")
    assert "secret" not in str(error)


async def test_a_socks_proxy_that_looks_names_up() -> None:
    pytest.importorskip("aiohttp_socks")
    async with SocksServer() as proxy, RawServer(good) as server:
        url = f"http://api.acme.example:{server.port}"
        assert await ask(url, proxy=f"socks5h://me:p%40ss@127.0.0.1:{proxy.port}") == ["hello"]
    assert proxy.heard == [b"me", b"p@ss", b"api.acme.example"]
    assert server.asked[0].first_line == "POST /chat HTTP/1.1"


async def test_a_socks_proxy_that_is_given_addresses() -> None:
    pytest.importorskip("aiohttp_socks")
    async with SocksServer() as proxy, RawServer(good) as server:
        url = f"http://localhost:{server.port}"
        assert await ask(url, proxy=f"socks5://127.0.0.1:{proxy.port}") == ["hello"]
    assert proxy.heard == [bytes((127, 0, 0, 1))]


async def test_a_name_that_nobody_knows_behind_a_socks_proxy() -> None:
    pytest.importorskip("aiohttp_socks")
    async with SocksServer() as proxy:
        error = await fail("http://nowhere.invalid", ConnectionFailed, proxy=f"socks5://127.0.0.1:{proxy.port}")
    assert "no such host is known" in str(error)


async def test_a_socks_proxy_that_refuses() -> None:
    pytest.importorskip("aiohttp_socks")
    async with SocksServer(refusal=2) as proxy:
        url = f"socks5h://me:secret@127.0.0.1:{proxy.port}"
        error = await fail("http://api.acme.example", ConnectionFailed, proxy=url)
    assert f"(api.acme.example:80 through the proxy 127.0.0.1:{proxy.port}) could not be reached: " in str(error)
    assert proxy.heard == [b"me", b"secret", b"api.acme.example"]
    assert "secret" not in str(error)


async def test_a_socks_proxy_that_is_down_is_tried_again() -> None:
    pytest.importorskip("aiohttp_socks")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        proxy = f"socks5h://me:secret@127.0.0.1:{port}"
        chunks, error = await outcome("http://api.acme.example", proxy=proxy)
    assert chunks == [Notice("could not connect, retrying in 1 s")] * 2
    assert isinstance(error, ConnectionFailed)
    assert f"through the proxy 127.0.0.1:{port}) could not be reached: the proxy takes no connection." in str(error)
    assert "secret" not in str(error)


async def test_without_its_package_a_socks_proxy_asks_for_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp_socks", None)
    error = await fail("http://api.acme.example", UsageProblem, proxy="socks5://127.0.0.1:1080")
    assert "pip install aiohttp-socks" in str(error)


# TLS


SECURE = """
import asyncio, json, ssl, sys
from raw_server import RawServer, chunk, head, tunnel
from test_http import good, outcome, request, Words
from nbchat.providers import http

async def holding(peer, asked):
    await peer.send(head(), chunk(b"one\\n"))
    await peer.gone()

async def main(folder):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
    async with RawServer(good, context=context) as server, RawServer(tunnel) as proxy:
        print(await outcome(server.url))
        print(await outcome(server.url, proxy=proxy.url))
        print(server.asked[1].headers == server.asked[0].headers, proxy.asked[0].first_line.split()[0])
        print([name for name, _ in proxy.asked[0].headers if name in ("Authorization", "X-One")])
    async with RawServer(holding, context=context) as server:
        chunks = http.stream(lambda: request(server.url), Words)
        print(await anext(chunks))
        await chunks.aclose()
        await asyncio.wait_for(server.dropped(), 10)

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate that its own key has signed, for loopback."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_a_secure_server_is_asked_and_dropped_also_through_a_proxy(certificate: Path) -> None:
    """In a process of its own, since trust is read when aiohttp is imported."""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SECURE, certificate],
        env={
            **os.environ,
            "SSL_CERT_FILE": str(certificate / "cert.pem"),
            "PYTHONPATH": f"{here}{os.pathsep}{here.parent}",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["(['hello'], None)", "(['hello'], None)", "True CONNECT", "[]", "one"]


async def test_a_certificate_that_is_not_trusted_is_named(certificate: Path) -> None:
    pytest.importorskip("aiohttp_socks")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    async with RawServer(good, context=context) as server:
        error = await fail(server.url, ConnectionFailed)
        assert f"acme (127.0.0.1:{server.port}) has a certificate that is not trusted here" in str(error)
        assert "SSL_CERT_FILE" in str(error)
        async with SocksServer() as proxy:
            error = await fail(server.url, ConnectionFailed, proxy=f"socks5://127.0.0.1:{proxy.port}")
        assert "has a certificate that is not trusted here" in str(error)


async def test_a_server_that_speaks_no_tls() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole(400, b"this is plain HTTP"))
        await writer.drain()

    async with SocketServer(plain) as server:
        error = await fail(f"https://127.0.0.1:{server.port}", ConnectionFailed)
    assert "made no secure connection. Check the base URL: its host, its port, http:// or https://." in str(error)


# Small documents


async def test_a_small_document_is_fetched() -> None:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(whole(200, json.dumps({"data": [1, "ü"]}).encode(), "content-type: text/plain"))

    async with RawServer(script) as server:
        document = await http.get_json(f"{server.url}/models", headers={"Authorization": f"Bearer {KEY}"}, timeout=5)
    assert document == {"data": [1, "ü"]}
    assert server.asked[0].first_line == "GET /models HTTP/1.1"
    assert [name for name, _ in server.asked[0].headers] == ["Host", "Authorization"]


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (whole(200, b"<html>"), "something that is not JSON"),
        (whole(200, b""), "something that is not JSON"),
        (whole(200, b"[" * 100_000), "something that is not JSON"),
        (whole(404, b'{"detail": "Not Found"}'), "answered 404: Not Found"),
        (whole(302, b"", "location: http://elsewhere.example/"), "a redirect to elsewhere.example"),
        (whole(401, b"no such key: " + KEY.encode()), "[hidden]"),
        (head(length=50) + b"half", "without an answer"),
        (b"", "without an answer"),
        (b"220 smtp ready\r\n", "not HTTP"),
    ],
)
async def test_a_small_document_that_is_not_to_be_had(response: bytes, words: str) -> None:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(response)

    async with RawServer(script) as server:
        with pytest.raises(ProviderError) as caught:
            await http.get_json(f"{server.url}/models", headers={"Authorization": f"Bearer {KEY}"}, timeout=5)
    assert words in str(caught.value)
    assert KEY not in str(caught.value)


async def test_a_small_document_has_its_time() -> None:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(head())
        for _ in range(1000):
            await peer.send(chunk(b" "))
            await asyncio.sleep(0.05)

    async with RawServer(script) as server:
        with pytest.raises(ConnectionFailed, match=r"gave no whole answer within 0\.3 s"):
            await http.get_json(server.url, timeout=0.3)
