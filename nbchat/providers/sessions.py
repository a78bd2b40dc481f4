"""The sessions in which requests are sent: one that a loop of nbchat's shares, or one of a request's own; and proxies.

A session of aiohttp belongs to one loop, and holds the connections that are kept alive. None of ours reads the
environment or `~/.netrc`, keeps cookies, or has headers of its own: a proxy would see those.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp

from nbchat.errors import UsageProblem
from nbchat.providers.addresses import SOCKS, authority, check, proxy_for
from nbchat.providers.base import Request, shared_loop
from nbchat.providers.failures import Failures

CONNECTING = 10.0
"""Seconds for a connection to be made."""

_KEPT_ALIVE = 60.0
"""Seconds for which an idle connection is kept."""


class ProxyFailed(Exception):
    """A SOCKS proxy made no connection.

    Attributes:
        reason: Why; what a proxy refuses, in the library's words.
        down: Whether there is no such proxy at all.
    """

    def __init__(self, reason: str, *, down: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.down = down


class Route:
    """The way that one request takes: through a proxy or not, in a session of its own or not.

    Attributes:
        failures: Makes the errors of this request, which name the proxy.
        options: What to pass with the request, beside its URL, headers and body.

    Raises:
        UsageProblem: If the request's URL, the proxy's or a header is none that can be used.
    """

    def __init__(self, request: Request) -> None:
        check(request.url)
        _check_headers(request)
        proxy = proxy_for(request.url, request.proxy)
        self.failures = Failures(request, proxy)
        self._socks = proxy if proxy and urlsplit(proxy).scheme in SOCKS else None
        self.options: dict[str, Any] = {
            "proxy": None if self._socks else proxy,
            "allow_redirects": False,
            "skip_auto_headers": ("accept", "accept-encoding", "content-type", "user-agent"),
        }

    async def session(self, opened: AsyncExitStack, fresh: bool = False) -> aiohttp.ClientSession:
        """The session to use: the one that this loop shares, if it does and no fresh connection is asked for.

        Any other is closed with `opened`.
        """
        if self._socks:
            return await opened.enter_async_context(_BehindSocks(self._socks))
        if shared_loop.get() and not fresh:
            return _shared()
        return await opened.enter_async_context(_open())


def _open(connector: aiohttp.BaseConnector | None = None) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_note_reuse)
    return aiohttp.ClientSession(
        connector=connector or aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_ALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECTING, sock_connect=CONNECTING),
        auto_decompress=False,
        max_line_size=1 << 16,
        max_field_size=1 << 16,
        trace_configs=[trace],
    )


async def _note_reuse(_: object, context: Any, __: object) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.reused = True


_pools: dict[asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, asyncio.Task[None]]] = {}
"""The sessions of nbchat's own loops, each with the task that closes it when its loop ends."""


def _shared() -> aiohttp.ClientSession:
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        session = _open()
        _pools[loop] = session, loop.create_task(_close_at_end(session))
    return _pools[loop][0]


async def _close_at_end(session: aiohttp.ClientSession) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.create_future()
    finally:
        del _pools[loop]
        await session.close()


def _check_headers(request: Request) -> None:
    host = authority(request.url)
    for name, value in request.headers.items():
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", name + value):
            raise UsageProblem(f"The header {name!r} for {host} holds a line break or the like. Is it in the key?")
        if name.lower() == "authorization" and "@" in urlsplit(request.url).netloc:
            raise UsageProblem(f"The URL for {host} holds a user and password, but there is a key as well.")


class _BehindSocks:
    """A session behind a SOCKS proxy, which raises `ProxyFailed` where the proxy fails."""

    def __init__(self, proxy: str) -> None:
        try:
            self._socks = importlib.import_module("aiohttp_socks")
        except ImportError:
            raise UsageProblem("A SOCKS proxy needs one more package: pip install aiohttp-socks.") from None
        parts = urlsplit(proxy)
        connector = self._socks.ProxyConnector(
            host=parts.hostname,
            port=parts.port or 1080,
            proxy_type=self._socks.ProxyType[parts.scheme[:6].upper()],
            username=unquote(parts.username or "") or None,
            password=unquote(parts.password or "") or None,
            rdns=parts.scheme in ("socks4a", "socks5h"),  # the proxy looks the host's name up, not we
        )
        self._session = _open(connector)

    async def __aenter__(self) -> aiohttp.ClientSession:
        return self._session

    async def __aexit__(self, kind: object, problem: object, traceback: object) -> None:
        await self._session.close()
        socks = self._socks
        if isinstance(problem, socks.ProxyError | socks.ProxyConnectionError | socks.ProxyTimeoutError):
            down = isinstance(problem, socks.ProxyConnectionError)
            raise ProxyFailed("the proxy takes no connection" if down else str(problem), down=down) from None
