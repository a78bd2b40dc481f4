"""A server made of bare sockets, which misbehaves byte by byte as its scripts say.

A script is an `async def script(peer, asked)` that is run for one request, with the connection and what was
asked. When it returns, the connection is closed, unless it returns `KEEP`. Of several scripts the first request
gets the first, and so on; the last one answers all further requests.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

KEEP = "keep"
"""What a script returns so that the connection stays open for the next request."""

END = b"0\r\n\r\n"
"""The end of a chunked body."""


def head(status: int = 200, *headers: str, length: int | None = None) -> bytes:
    """A response's head. Its body is chunked unless `length` says how long it is (-1: until the connection ends)."""
    framing = ["transfer-encoding: chunked"] if length is None else [f"content-length: {length}"] if length >= 0 else []
    return "\r\n".join([f"HTTP/1.1 {status} Whatever", *headers, *framing, "", ""]).encode()


def whole(status: int, body: bytes, *headers: str) -> bytes:
    """A whole response, with its length."""
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
    """The client at the other end of one connection, as a script sees it."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.is_gone = asyncio.Event()

    async def send(self, *pieces: bytes) -> None:
        """Send the pieces, each in a packet of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0)  # lets a client on the same loop read this one first

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
        self.is_gone.set()

    async def head(self) -> Asked | None:
        """Read a request's head; None once the client has gone."""
        try:
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        return Asked(self.number, lines[0], headers)

    async def body(self, asked: Asked) -> None:
        """Read the request's body."""
        asked.body = await self.reader.readexactly(int(asked.header("content-length") or 0))


Script = Callable[[Peer, Asked], Awaitable[object]]


class RawServer:
    """The server, for `async with RawServer(script, …) as server`.

    Args:
        scripts: What to do with each request; the last one is for all further requests.
        context: A TLS context, for a server of https.
        early: Run a script when the head has come, before the body is read.

    Attributes:
        asked: The requests so far.
        peers: The connections so far.
    """

    def __init__(self, *scripts: Script, context: ssl.SSLContext | None = None, early: bool = False) -> None:
        self.asked: list[Asked] = []
        self.peers: list[Peer] = []
        self.port = 0
        self._scripts = scripts
        self._context = context
        self._early = early
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def dropped(self) -> None:
        """Return once the client has dropped its last connection, for which the script must wait (`gone`)."""
        await self.peers[-1].is_gone.wait()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(Peer(len(self.peers), reader, writer))
        task = asyncio.create_task(self._serve(self.peers[-1]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, peer: Peer) -> None:
        try:
            while asked := await peer.head():
                if not self._early:
                    await peer.body(asked)
                script = self._scripts[min(len(self.asked), len(self._scripts) - 1)]
                self.asked.append(asked)
                if await script(peer, asked) is not KEEP:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client may go at any time
        finally:
            peer.writer.close()
