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
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

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
        self.rest = 0

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
        """Return once the client has dropped the connection; `rest` is how many bytes came until then."""
        try:
            while data := await self.reader.read(65536):
                self.rest += len(data)
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


class SocketServer:
    """A server of any protocol, for `async with SocketServer(serve) as server`.

    Args:
        serve: What to do with a connection, which is closed when this ends.
        context: A TLS context.
    """

    def __init__(
        self,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.port = 0
        self._serve = serve
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._run(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client may go at any time
        finally:
            await close(writer)


class RawServer(SocketServer):
    """A server of HTTP, for `async with RawServer(script, …) as server`.

    Args:
        scripts: What to do with each request; the last one is for all further requests.
        context: A TLS context, for a server of https.
        early: Run a script when the head has come, before the body is read.

    Attributes:
        asked: The requests so far.
        peers: The connections so far.
    """

    def __init__(self, *scripts: Script, context: ssl.SSLContext | None = None, early: bool = False) -> None:
        super().__init__(self._follow, context)
        self.asked: list[Asked] = []
        self.peers: list[Peer] = []
        self._scripts = scripts
        self._early = early

    async def dropped(self) -> None:
        """Return once the client has dropped its last connection, for which the script must wait (`gone`)."""
        await self.peers[-1].is_gone.wait()

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(len(self.peers), reader, writer)
        self.peers.append(peer)
        while asked := await peer.head():
            if not self._early:
                await peer.body(asked)
            script = self._scripts[min(len(self.asked), len(self._scripts) - 1)]
            self.asked.append(asked)
            if await script(peer, asked) is not KEEP:
                break


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and take note of how it ended: asyncio complains of a reset that nobody has asked about."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Connect a client with a server on loopback, as a proxy does, until one of them goes."""

    async def relay(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()

    back, there = await asyncio.open_connection("127.0.0.1", port)
    ways = [asyncio.create_task(relay(reader, there)), asyncio.create_task(relay(back, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        await close(there)


async def tunnel(peer: Peer, asked: Asked) -> None:
    """A script that does what a proxy does with CONNECT."""
    await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await join(peer.reader, peer.writer, int(asked.first_line.split()[1].rpartition(":")[2]))


class SocksServer(SocketServer):
    """A SOCKS5 proxy for any user, which connects to loopback only.

    Args:
        refusal: The number of the refusal that every connection gets; 0 for none.

    Attributes:
        heard: The user, the password and the host that it was told, as far as it was.
    """

    def __init__(self, refusal: int = 0) -> None:
        super().__init__(self._negotiate)
        self.heard: list[bytes] = []
        self._refusal = refusal

    async def _negotiate(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def counted() -> bytes:
            return await reader.readexactly((await reader.readexactly(1))[0])

        await reader.readexactly(1)
        wants_login = b"\2" in await counted()
        writer.write(b"\5\2" if wants_login else b"\5\0")
        if wants_login:
            await reader.readexactly(1)
            self.heard += [await counted(), await counted()]
            writer.write(b"\1\0")
        kind = (await reader.readexactly(4))[3]
        self.heard.append(await reader.readexactly(4) if kind == 1 else await counted())
        port = int.from_bytes(await reader.readexactly(2), "big")
        writer.write(bytes((5, self._refusal, 0, 1, 0, 0, 0, 0, 0, 0)))
        if not self._refusal:
            await join(reader, writer, port)
