"""The network: one POST per reply, whose answer is fed to a decoder piece by piece.

`stream` makes attempts until one of them has given a chunk. An attempt sends the request (`_answered`), reads the
answer (`_Answer`) and decodes it (`_Reading`). Whatever goes wrong ends up in `_explain`, the one place where the
exceptions of aiohttp and of the decoders become those of `nbchat.errors`. Connections and proxies are the business
of `sessions`, the words of the errors that of `failures`.

Time is limited by silence, not in total: a `Patience` runs down while a server is waited for, and is renewed by
each sign of life that the decoder sees.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from errno import ECONNREFUSED, ECONNRESET
from functools import cached_property
from socket import gaierror
from ssl import SSLCertVerificationError, SSLError
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpProcessingError, StreamWriter

from nbchat.errors import ProviderError
from nbchat.messages import Chunk, Notice
from nbchat.providers.addresses import redirected
from nbchat.providers.base import Request, shared_loop
from nbchat.providers.compression import Decompressor, Unreadable, decompressor
from nbchat.providers.failures import Failures
from nbchat.providers.patience import Patience, Silent
from nbchat.providers.sessions import CONNECTING, ProxyFailed, Route
from nbchat.providers.streams import CutOff, Decoder, ErrorEvent, WrongBody

RETRIES = 2
"""How often a request is sent again after a failure that may pass."""
BASE_DELAY = 1.0
"""Seconds before the first retry; each further one waits twice as long."""
LONGEST_DELAY = 60.0
"""Seconds; a server that asks for more is not waited for."""
REDIRECTS = 5
"""How many redirects are followed."""

_ERROR_SIZE, _ERROR_TIME = 1 << 16, 3.0
"""Bytes and seconds for the body of an error."""
_JSON_SIZE = 1 << 24
"""Bytes that `get_json` reads at most."""
_GLANCE = 0.5
"""Seconds between two looks at whether the connection that is read from still exists."""
_AFTERWORD = 2.0
"""Seconds for more to come after the end of the reply itself, such as a count of tokens."""
_LINGER = 0.1
"""Seconds for the end of a body to come after the end of the reply in it, so that its connection can serve again."""


async def stream(prepare: Callable[[], Request], decoder: Callable[[], Decoder]) -> AsyncGenerator[Chunk, None]:
    """Send a request and yield what its answer says, with a `Notice` before each retry.

    Args:
        prepare: Makes the request; called for each attempt, since a signature may serve only once.
        decoder: Makes the decoder of the answer's body; likewise.

    Raises:
        UsageProblem: The request cannot be sent as it stands.
        ProviderError: It failed; the subclass says how.
    """
    retries, fresh = 0, False
    while True:
        request = prepare()
        route = Route(request)
        begun = False
        try:
            async with AsyncExitStack() as opened:
                patience = Patience(request.timeout)
                reading = _Reading(await _answered(opened, request, route, patience, fresh), decoder(), patience)
                while not reading.is_over:
                    for chunk in await reading.more():
                        begun = True
                        yield chunk
                await reading.answer.settle()
            return
        except _PROBLEMS as problem:
            failed = _explain(problem, route.failures, begun)
        # Outside of the `except`, so that no error of ours carries one of aiohttp's, which hold headers.
        if failed.stale and not fresh:
            fresh = True
            continue
        wait = failed.error.retry_after
        delay = BASE_DELAY * 2**retries if wait is None else wait
        if begun or not failed.reason or retries == RETRIES or delay > LONGEST_DELAY:
            raise failed.error
        retries += 1
        yield Notice(f"{failed.reason}, retrying in {math.ceil(delay)} s")
        await asyncio.sleep(delay)


async def get_json(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float,  # noqa: ASYNC109 - its errors are ours, which `asyncio.timeout` around a call would lose
) -> Any:
    """Fetch a small JSON document, such as a list of models.

    Args:
        url: Where it is.
        headers: What else to send, such as a key; never shown.
        timeout: Seconds for all of it.

    Raises:
        UsageProblem: The URL is none.
        ProviderError: There is no such document to be had.
    """
    sent = dict(headers or {})
    private = [value for name, value in sent.items() if name.lower() not in ("accept", "user-agent")]
    secrets = tuple(part for value in private for part in (value, value.rpartition(" ")[2]))
    request = Request(provider="", url=url, headers=sent, body=b"", timeout=timeout, secrets=secrets)
    route = Route(request)
    try:
        return await Patience(timeout).wait(_get(request, route))
    except Silent:
        failed = _Failed(route.failures.connection(f"gave no whole answer within {timeout:g} s", _LATER))
    except _PROBLEMS as problem:
        failed = _explain(problem, route.failures, begun=False)
    raise failed.error


async def _get(request: Request, route: Route) -> Any:
    async with AsyncExitStack() as opened:
        session = await route.session(opened)
        asking = session.get(request.url, headers=request.headers, auto_decompress=True, **route.options)
        response = await opened.enter_async_context(asking)
        body = b""
        while len(body) < _JSON_SIZE and (data := await response.content.readany()):
            body += data
        if response.status != 200:
            raise _Failed(*route.failures.status(response.status, body[:_ERROR_SIZE], response.headers))
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise WrongBody("answered with something that is not JSON") from None


class _Reading:
    """Reads an answer and decodes it.

    Not a generator, and nothing below it is one: when a loop ends, asyncio closes all of those at once that are
    still open, and one that stands within another would be closed twice.
    """

    def __init__(self, answer: _Answer, decoder: Decoder, patience: Patience) -> None:
        self.answer = answer
        self.is_over = False
        self._decoder = decoder
        self._decoder.media_type = answer.media_type
        self._patience = patience
        self._afterword = Patience(_AFTERWORD)

    async def more(self) -> Iterator[Chunk]:
        """The chunks in what comes next, to be run to their end before this is asked again."""
        try:
            data = await self.answer.read(self._afterword if self._decoder.complete else self._patience)
        except (Silent, _Broken):
            if not self._decoder.complete:
                raise
            data = b""  # whatever the end looks like: nothing is missing
        return self._decoded(data)

    def _decoded(self, data: bytes) -> Iterator[Chunk]:
        signs = self._decoder.signs
        try:
            for piece in self.answer.decompressed(data):
                for chunk in self._decoder.decode(piece):
                    self._afterword.renew()  # what came before was not the end
                    yield chunk
        except Unreadable:
            if not self._decoder.complete:
                raise
            data = b""
        if self._decoder.signs > signs:
            self._patience.renew()
        if not data or self._decoder.done:
            self.is_over = True
            yield from self._decoder.flush()


async def _answered(opened: AsyncExitStack, request: Request, route: Route, patience: Patience, fresh: bool) -> _Answer:
    """A good answer to the request; redirects to the same origin have been followed."""
    url = request.url
    session = await route.session(opened, fresh)
    for _ in range(REDIRECTS + 1):
        answer = await _post(session, request, url, route, patience)
        opened.callback(answer.drop)
        if 200 <= answer.status < 300:
            return answer
        target = redirected(url, answer.headers.get("location", ""))
        if answer.status not in (307, 308) or not target:
            raise _Failed(*route.failures.status(answer.status, await answer.excerpt(), answer.headers))
        answer.drop(keep=False)  # it may be closed without a word, and then be used for the next request
        url = target
    raise _Failed(route.failures.circle(answer.status))


async def _post(
    session: aiohttp.ClientSession, request: Request, url: str, route: Route, patience: Patience
) -> _Answer:
    body = _Body(request.body)
    with ExitStack() as undo:
        undo.callback(body.drop)
        try:
            response = await patience.wait(
                session.post(url, data=body, headers=request.headers, trace_request_ctx=body, **route.options)
            )
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as problem:
            # `message` is text unless a part of an answer has come
            if body.reused and isinstance(getattr(problem, "message", ""), str):
                error = route.failures.connection("closed the connection without an answer", _LATER)
                raise _Failed(error, _LOST, stale=True) from None
            raise
        undo.pop_all()
    return _Answer(response, body)


class _Body(aiohttp.Payload):
    """The body of a request. It knows the connection on which it goes out, so that this can be dropped at once.

    aiohttp only closes a connection: one with unsent data, or with TLS, can outlive that for long.
    """

    _size: int
    _value: bytes

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._size = len(data)
        self.reused = False
        self.sent = False
        self._writer: StreamWriter | None = None
        self._transport: asyncio.Transport | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._writer = cast(StreamWriter, writer)
        self._transport = self._writer.transport
        # All at once: where a second write fails, asyncio would not read an answer that came early
        await writer.write(self._value)
        await writer.drain()
        self.sent = True

    @property
    def is_connected(self) -> bool:
        return self._writer is not None and self._writer.protocol.connected

    @property
    def was_reset(self) -> bool:
        """Whether the connection ended with an error."""
        protocol = cast(Any, self._writer).protocol
        return isinstance(protocol.exception(), OSError)

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Answer:
    """An answer whose head has come; its body is read piece by piece, and never for longer than is wanted."""

    def __init__(self, response: aiohttp.ClientResponse, body: _Body) -> None:
        self.status = response.status
        self.headers = response.headers
        self.media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._response = response
        self._content = response.content
        self._body = body
        self._is_broken = False

    async def read(self, patience: Patience) -> bytes:
        """The next bytes of the body, which may be compressed; none at its end."""
        while not self._is_broken:
            try:
                data = await patience.wait(self._content.readany(), _GLANCE)
            except Silent:
                if patience.is_over:
                    raise
                # aiohttp's parser may give up a connection without a word to who reads from it
                self._is_broken = not self._body.is_connected
            except (aiohttp.ClientError, HttpProcessingError, OSError, RuntimeError):
                self._is_broken = True
                if rescued := self._rescue():
                    return rescued
            else:
                self._is_broken = not data and self._ends_with_connection and self._body.was_reset
                if not self._is_broken:
                    return data
        raise _Broken

    def _rescue(self) -> bytes:
        """What had come before the connection broke: aiohttp gives the error first, and then no more."""
        self._content.set_exception(cast(BaseException, None))
        return self._content.read_nowait()

    @property
    def _ends_with_connection(self) -> bool:
        """Whether the body is as long as the connection lives: then aiohttp takes a reset for its end."""
        return not self.headers.keys() & {"Content-Length", "Transfer-Encoding"}

    def decompressed(self, data: bytes) -> Iterator[bytes]:
        """What these bytes of the body hold; none are its end."""
        if data:
            yield from self._decompressor.decode(data)
        else:
            self._decompressor.flush()

    @cached_property
    def _decompressor(self) -> Decompressor:
        return decompressor(self.headers.get("content-encoding", ""))

    async def excerpt(self) -> bytes:
        """The start of the body of an error: as much as comes whole in a short time."""
        patience = Patience(_ERROR_TIME)
        start = bytearray()
        with suppress(_Broken, Silent, Unreadable):
            while len(start) < _ERROR_SIZE and (data := await self.read(patience)):
                for piece in self.decompressed(data):
                    start += piece[:_ERROR_SIZE]
        return bytes(start[:_ERROR_SIZE])

    async def settle(self) -> None:
        """Wait a moment for the end of the body, if its connection may serve again."""
        patience = Patience(_LINGER)
        with suppress(_Broken, Silent):
            while shared_loop.get() and await self.read(patience):
                pass

    def drop(self, keep: bool = True) -> None:
        """End the request; its connection is kept, if at all, once both sides have said all that they had to."""
        if not (keep and self._content.is_eof() and self._body.sent):
            self._body.drop()
        self._response.close()


class _Broken(Exception):
    """The connection ended in the middle of the body."""


class _Failed(Exception):
    """What an attempt came to.

    Attributes:
        error: What to raise, if this was the last attempt.
        reason: What to tell the user when there is another; empty if there is none.
        stale: Whether a connection that had been kept alive turned out to be dead, before a byte had come.
    """

    def __init__(self, error: ProviderError, reason: str = "", *, stale: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.reason = reason
        self.stale = stale


_PROBLEMS = (
    aiohttp.ClientError,
    SSLError,
    *(_Failed, _Broken, ProxyFailed, Silent, Unreadable, ErrorEvent, CutOff, WrongBody),
)


def _explain(problem: Exception, failures: Failures, begun: bool) -> _Failed:
    """The error that a problem comes to; `begun` says whether a chunk had come before it."""
    match problem:
        case _Failed():
            return problem
        case ErrorEvent():
            return _Failed(failures.event(problem.payload))
        case WrongBody():
            return _Failed(failures.wrong_body(problem, begun))
        case CutOff():
            return _Failed(failures.cut_off(f"sent a reply that {problem.reason}"))
        case Unreadable():
            return _Failed(failures.cut_off(problem.reason) if begun else failures.unreadable(problem.reason))
        case Silent():
            return _Failed(failures.silence())
        case _Broken() if begun:
            return _Failed(failures.cut_off("closed the connection in the middle of the reply"))
    return _explain_connection(problem, failures)


_URL = "Check the base URL: its host, its port, http:// or https://."
_NETWORK = "Check the network and the base URL."
_AUTHORITIES = "The variable SSL_CERT_FILE may name further authorities."
_LATER = "Try again later."
_NOT_MADE, _LOST = "could not connect", "the connection broke"

_CONNECTIONS: tuple[tuple[type[Exception], str, str, str], ...] = (
    (_Broken, "closed the connection before the reply began", _LATER, _LOST),
    (SSLCertVerificationError, "has a certificate that is not trusted here", _AUTHORITIES, ""),
    (SSLError, "made no secure connection", _URL, ""),
    (aiohttp.ConnectionTimeoutError, f"took no connection within {CONNECTING:g} s", _NETWORK, ""),
    (aiohttp.ClientProxyConnectionError, "could not be reached: the proxy takes no connection", _LATER, _NOT_MADE),
    (aiohttp.ClientResponseError, "answered with something that is not HTTP", _URL, ""),
    (aiohttp.ClientConnectorError, "could not be reached", _NETWORK, ""),
    (aiohttp.InvalidURL, "has an address that cannot be used", _URL, ""),
    (aiohttp.ClientError, "closed the connection without an answer", _LATER, _LOST),
)
"""What each problem with a connection, or its cause, is called; what to do; what is said when it is tried again."""


def _explain_connection(problem: Exception, failures: Failures) -> _Failed:
    if isinstance(problem, aiohttp.ClientHttpProxyError):
        return _Failed(*failures.proxy_status(problem.status))
    if isinstance(problem, ProxyFailed):
        error = failures.connection(f"could not be reached: {problem.reason}", "Check the proxy.")
        return _Failed(error, _NOT_MADE if problem.down else "")
    if isinstance(problem, aiohttp.ClientConnectorDNSError) or isinstance(problem.__cause__, gaierror):
        return _Failed(failures.unknown_host())
    if type(problem) is aiohttp.ClientConnectorError and problem.errno in (ECONNREFUSED, ECONNRESET):
        return _Failed(failures.refused_connection(), _NOT_MADE)
    row = next(row for row in _CONNECTIONS if isinstance(problem, row[0]) or isinstance(problem.__cause__, row[0]))
    _, what, advice, reason = row
    return _Failed(failures.connection(what, advice), reason)
