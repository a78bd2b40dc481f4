"""What the loopback servers have in common: starting, stopping, scripted answers, and checks of requests."""

from __future__ import annotations

import contextlib
import json
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from aiohttp import web

from nbchat.loop import Worker
from nbchat.testing.script import Course, Outcome, Piece, waited

Server = TypeVar("Server", bound="LoopbackServer")

_TRANSPORT = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}
"""Headers that HTTP itself needs."""


@dataclass
class Received(Course):
    """One request that a server got."""

    headers: Mapping[str, str]
    """By name, in any case."""
    raw_headers: Sequence[tuple[str, str]]
    """As they came over the wire."""
    data: bytes
    body: Any = None
    """The data as JSON, or None."""
    refused: str = ""
    """Why it was refused, if it was."""


@dataclass
class Answer:
    """What a server is to say to one request."""

    pieces: Sequence[Piece]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """What came is not what the real service takes."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def require(condition: object, reason: str, status: int = 400) -> None:
    """Raise `Refused` with that status and reason unless the condition holds."""
    if not condition:
        raise Refused(status, reason)


class LoopbackServer(ABC):
    """A server on 127.0.0.1 that speaks a provider's wire format; base of the three below.

    Use it with `async with` on the running loop, or anywhere else with `with` (or `start` and `stop`), on a
    thread of its own.

    Args:
        pace: Seconds between two words of the reply that it gives when none is scripted.
    """

    path: ClassVar[str]
    content_type: ClassVar[str]
    has_error_events: ClassVar[bool] = True

    def __init__(self, *, pace: float = 0) -> None:
        self.requests: list[Received] = []
        self._pace = pace
        self._answers: deque[Answer] = deque()
        self._runner: web.AppRunner | None = None
        self._worker: Worker | None = None
        self._port = 0

    @property
    def endpoint(self) -> str:
        """Where requests go: what a provider's `api_endpoint` has to be."""
        return f"http://127.0.0.1:{self._port}{self.path}"

    @property
    def url(self) -> str:
        """The address as a user would configure it."""
        return self.endpoint

    def reply(self, *pieces: Piece, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Script the answer to the next request that has none yet.

        Args:
            *pieces: What it is made of (see `nbchat.testing`). With an error status: the words of the error, or
                bytes for its whole body.
            status: The HTTP status.
            headers: Further response headers, such as `Retry-After`.
        """
        self._answers.append(Answer(pieces, status, headers or {}))

    @contextlib.contextmanager
    def pointing(self: Server, provider: Any) -> Iterator[Server]:
        """Point a provider at this server for a while. To leave it there, set its `api_endpoint`.

        Args:
            provider: A class, or an instance; one whose `create_async_generator` is a class method reads the
                class's address, so that it is the class that is pointed.
        """
        reader = getattr(provider.create_async_generator, "__self__", provider)
        inherited = "api_endpoint" not in vars(reader)
        before = reader.api_endpoint
        reader.api_endpoint = self.endpoint
        try:
            yield self
        finally:
            if inherited:
                del reader.api_endpoint
            else:
                reader.api_endpoint = before

    def start(self: Server) -> Server:
        """Start on a thread of its own."""
        self._worker = Worker(f"nbchat {type(self).__name__}")
        self._worker.run(self._start())
        return self

    def stop(self) -> None:
        """End what `start` began; replies under way are cut."""
        if self._worker:
            self._worker.run(self._stop())
            self._worker.stop()
            self._worker = None

    def __enter__(self: Server) -> Server:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    async def __aenter__(self: Server) -> Server:
        await self._start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stop()

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**30)
        app.add_routes([web.post(self.path, self._answer), *self._more_routes()])
        # Cancelled handlers are how a test sees that a client has dropped its request.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        received = Received(request.headers, _decoded(request.raw_headers), data, _json_or_none(data))
        self.requests.append(received)
        outcome: Outcome = "dropped"  # unless it gets further
        try:
            response, outcome = await self._respond(request, received)
        finally:
            received.end(outcome)
        return response

    async def _respond(self, request: web.Request, received: Received) -> tuple[web.StreamResponse, Outcome]:
        try:
            self._check(received)
        except Refused as refused:
            received.refused = str(refused)
            return self._error(received.refused, refused.status), "failed"
        answer = self._answers.popleft() if self._answers else Answer(self._paced(self._default(received.body)))
        if answer.status >= 300:
            return self._failure(answer), "failed"
        response = web.StreamResponse(
            status=answer.status, headers={"Content-Type": self.content_type, **answer.headers}
        )
        await response.prepare(request)
        return response, await self._play(request, response, received, answer.pieces)

    async def _play(
        self, request: web.Request, response: web.StreamResponse, received: Received, pieces: Sequence[Piece]
    ) -> Outcome:
        for piece in pieces:
            if isinstance(piece, ConnectionError) or (isinstance(piece, BaseException) and not self.has_error_events):
                _close(request)
                return "failed"
            if not await waited(piece):
                await response.write(piece if isinstance(piece, bytes) else self._frame(piece))
        if not any(isinstance(piece, bytes | BaseException) for piece in pieces):
            await response.write(self._end(received, pieces))
        return "done"

    def _paced(self, text: str) -> list[Piece]:
        words = re.split(r"(?<= )", text)
        return [piece for word in words for piece in (word, self._pace)]

    def _failure(self, answer: Answer) -> web.Response:
        raw = b"".join(piece for piece in answer.pieces if isinstance(piece, bytes))
        if raw:
            return web.Response(body=raw, status=answer.status, headers=answer.headers)
        return self._error("".join(map(str, answer.pieces)), answer.status, answer.headers)

    def _error(self, reason: str, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
        return web.json_response({"error": {"message": reason}}, status=status, headers=headers)

    def _more_routes(self) -> Sequence[web.RouteDef]:
        return ()

    @abstractmethod
    def _check(self, received: Received) -> None:
        """Raise `Refused` for what the real service would not take."""

    @abstractmethod
    def _default(self, body: Any) -> str:
        """The reply to a request for which none is scripted."""

    @abstractmethod
    def _frame(self, piece: Any) -> bytes:
        """A piece in the wire format."""

    def _end(self, received: Received, pieces: Sequence[Piece]) -> bytes:
        """What the wire format has at the end of a reply."""
        return b""


def check_headers(headers: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Refuse other headers than these, whose values are regular expressions; what HTTP itself needs may be there."""
    unknown = {name.lower() for name in headers} - _TRANSPORT - expected.keys()
    require(not unknown, f"there are unknown headers {sorted(unknown)}")
    for name, pattern in expected.items():
        require(re.fullmatch(pattern, headers.get(name, "")), f"the header {name} is {headers.get(name)!r}")


def check_body(body: Any, expected: Mapping[str, Any], *, exact: bool = True) -> None:
    """Refuse what is no JSON object with these keys, whose values are types; other keys only if `exact`."""
    require(isinstance(body, dict), "the body is no JSON object")
    lacking, unknown = sorted(expected.keys() - body.keys()), sorted(body.keys() - expected.keys())
    require(not lacking, f"the body lacks the keys {lacking}")
    require(not (exact and unknown), f"the body has unknown keys {unknown}")
    for name, kind in expected.items():
        right = isinstance(body[name], kind) and (kind is bool or not isinstance(body[name], bool))
        require(right, f"{name} is {body[name]!r}")


def check_messages(messages: Sequence[Any], roles: Sequence[str]) -> None:
    """Refuse what is no message, or from nobody who may have said something here."""
    for message in messages:
        whole = isinstance(message, dict) and isinstance(message.get("content"), str | list)
        require(whole and message.get("role") in roles, f"{message!r} is no message")


def _decoded(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _json_or_none(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _close(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()
