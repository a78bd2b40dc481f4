"""The network: one POST per reply, whose body is fed to a decoder piece by piece. The only user of aiohttp's client.

`stream` makes attempts until one has given a chunk. An attempt sends the request (`_answered`), reads the answer
(`_Answer`) and decodes it; whatever goes wrong in one ends up in `_explain`, the one place where the exceptions
of aiohttp and of the decoders become those of `nbchat.errors`. The words of the errors are in
`nbchat.providers.failures`, proxies and URLs in `addresses`, compressed bodies in `compression`.

Time is limited by silence, not in total: `_Patience` runs down while a server is waited for, and starts anew
with each sign of life that the decoder sees.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp
from aiohttp.http import HttpProcessingError, StreamWriter

from nbchat.errors import ProviderError, UsageProblem
from nbchat.messages import Chunk, Notice
from nbchat.providers.addresses import SOCKS, authority, check, proxy_for, same_origin
from nbchat.providers.base import Request, shared_loop
from nbchat.providers.compression import Unreadable, decompressor
from nbchat.providers.failures import Failures
from nbchat.providers.streams import CutOff, Decoder, ErrorEvent, WrongBody

RETRIES = 2
"""How often a request is sent again after a failure that may pass."""
BASE_DELAY = 1.0
"""Seconds before the first retry; each further one waits twice as long."""
LONGEST_DELAY = 60.0
"""Seconds; a server that wants more is not waited for."""
CONNECTING = 10.0
"""Seconds for a connection to be made."""
REDIRECTS = 5

_ERROR_SIZE, _ERROR_TIME = 1 << 16, 3.0
"""Bytes and seconds for the body of an error."""
_JSON_SIZE = 1 << 24
"""Bytes that `get_json` reads at most."""
_GLANCE = 0.5
"""Seconds between two looks at whether the connection that is read from is still there."""
_LINGER = 0.1
"""Seconds for the end of a body after the end of the reply in it, so that its connection can serve again."""
_KEPT_ALIVE = 60.0
"""Seconds for which an unused connection is kept."""

T = TypeVar("T")


async def stream(prepare: Callable[[], Request], decoder: Callable[[], Decoder]) -> AsyncGenerator[Chunk, None]:
    """Send a request and yield what its answer says; and a `Notice` before each retry.

    Args:
        prepare: Makes the request; called for each attempt, since a signature may serve only once.
        decoder: Makes the decoder of the answer's body; likewise.

    Raises:
        UsageProblem: The request cannot be sent as it stands.
        ProviderError: It was sent, or tried to, and failed; the subclass says how.
    """
    retries, fresh = 0, False
    while True:
        request = prepare()
        check(request.url)
        failures = Failures(request, proxy := proxy_for(request.url, request.proxy))
        begun = False
        try:
            async with aclosing(_attempt(request, proxy, decoder(), fresh)) as chunks:
                async for chunk in chunks:
                    begun = True
                    yield chunk
            return
        except _PROBLEMS as problem:
            failed = _explain(problem, failures, begun)
        # What follows stands outside of the `except`, so that no error of ours carries aiohttp's with it.
        if failed.stale and not fresh:
            fresh = True
            continue
        delay = BASE_DELAY * 2**retries if failed.error.retry_after is None else failed.error.retry_after
        if begun or not failed.reason or retries == RETRIES or delay > LONGEST_DELAY:
            raise failed.error
        retries += 1
        yield Notice(f"{failed.reason}, retrying in {math.ceil(delay)} s")
        await asyncio.sleep(delay)


async def get_json(url: str, *, headers: Mapping[str, str] | None = None, timeout: float) -> Any:
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
    secrets = tuple(part for value in sent.values() for part in (value, value.rpartition(" ")[2]))
    request = Request(provider="", url=url, headers=sent, body=b"", timeout=timeout, secrets=secrets)
    check(url)
    failures = Failures(request, proxy := proxy_for(url, None))
    try:
        return await _Patience(timeout).wait(_get(request, proxy))
    except _PROBLEMS as problem:
        failed = _explain(problem, failures, False)
    raise failed.error


async def _get(request: Request, proxy: str | None) -> Any:
    async with _session(proxy) as session:
        response = await session.get(request.url, headers=request.headers, **_options(proxy))
        with ExitStack() as undo:
            undo.callback(response.close)
            body = await response.content.readexactly(0)
            while len(body) < _JSON_SIZE and (data := await response.content.readany()):
                body += b"".join(decompressor(response.headers.get("content-encoding", "")).decode(data))
    if response.status != 200:
        raise _Refused(response.status, body)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise WrongBody("answered with something that is not JSON") from None


async def _attempt(
    request: Request, proxy: str | None, decoder: Decoder, fresh: bool
) -> AsyncGenerator[Chunk, None]:
    patience = _Patience(request.timeout)
    async with _answered(request, proxy, patience, fresh) as answer:
        data: bytes | None = None
        while data != b"" and not decoder.done:
            data = await answer.read(patience)
            signs = decoder.signs
            for piece in answer.decompress(data):
                for chunk in decoder.decode(piece):
                    yield chunk
            if decoder.signs > signs:
                patience.renew()
        for chunk in decoder.flush():
            yield chunk
        await answer.settle()


@asynccontextmanager
async def _answered(
    request: Request, proxy: str | None, patience: _Patience, fresh: bool
) -> AsyncIterator[_Answer]:
    """The answer to a request, if it is a good one; redirects to the same origin are followed."""
    url = request.url
    async with _session(proxy, fresh) as session:
        for _ in range(REDIRECTS + 1):
            answer = await _post(session, request, url, proxy, patience)
            with ExitStack() as undo:
                undo.callback(answer.drop)
                if 200 <= answer.status < 300:
                    yield answer
                    return
                target = urljoin(url, answer.header("location"))
                if answer.status not in (307, 308) or not same_origin(url, target):
                    raise _Refused(answer.status, await answer.excerpt(), answer.header("retry-after"), target)
                url = target
    raise _Refused(answer.status, b"", target=url)
