"""A server made of bare sockets, which misbehaves byte by byte as its script says.

A script is an `async def script(peer, request)` that is run once per request, with the connection
and what was asked; when it returns, the connection is closed, unless it returns `KEEP`. With several
scripts the first request gets the first, and so on; the last one answers all further requests.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

KEEP = "keep"
"""What a script returns so that the connection stays open for the next request."""

END = b"0\r\n\r\n"
"""The end of a chunked body."""


def head(status: int = 200, *headers: str, length: int | None = None, reason: str = "Whatever") -> bytes:
    """A response's head; its body is chunked unless `length` says how long it is (-1: until the close)."""
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    lines = [f"HTTP/1.1 {status} {reason}", *headers, *([framing] if length != -1 else [])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def whole(status: int, body: bytes, *headers: str) -> bytes:
    """A whole response with its length."""
    return head(status, *headers, length=len(body)) + body


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass
class Asked:
    """One request as it came over the wire."""

    connection: int
    first_line: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Peer:
    """The client's end of one connection, as a script sees it."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send the pieces, each as a packet of its own as far as the system lets us."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0)

    def reset(self) -> None:
        """Drop the connection with a reset instead of an end."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Return once the client has dropped the connection."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass  # a reset is a drop too

    async def head(self, number: int) -> Asked | None:
        """Read a request's head; None once the client has gone."""
        try:
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        return Asked(number, lines[0], headers)

    async def body(self, asked: Asked) -> None:
        """Read the request's body."""
        asked.body = await self.reader.readexactly(int(asked.header("content-length") or 0))


Script = Callable[[Peer, Asked], Awaitable[object]]


@dataclass
class RawServer:
    """The server; use it as `async with RawServer(script, …) as server`.

    Args:
        scripts: What to do with each request; the last one is for all further requests.
        context: A TLS context, for a server of https.
        early: Run the script when the head has come, before the body is read.
    """

    scripts: tuple[Script, ...]
    context: ssl.SSLContext | None = None
    early: bool = False
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __init__(self, *scripts: Script, context: ssl.SSLContext | None = None, early: bool = False) -> None:
        self.scripts, self.context, self.early = scripts, context, early
        self.asked, self._tasks = [], set()
        self.drops: asyncio.Queue[int] = asyncio.Queue()

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self.context, limit=1 << 26)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def dropped(self) -> None:
        """Wait until a client has dropped a connection whose script waits for that."""
        await self.drops.get()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._serve(Peer(self.connections, reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, peer: Peer) -> None:
        try:
            while asked := await peer.head(peer.number):
                if not self.early:
                    await peer.body(asked)
                script = self.scripts[min(len(self.asked), len(self.scripts) - 1)]
                self.asked.append(asked)
                if await script(peer, asked) is not KEEP:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client may go at any time
        finally:
            peer.writer.close()
            self.drops.put_nowait(peer.number)
