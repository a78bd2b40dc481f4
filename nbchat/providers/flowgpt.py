"""The provider of FlowGPT: signed JSON requests, answered by JSON lines."""

from __future__ import annotations

import hashlib
import secrets
import string
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar

from nbchat.messages import Chunk, Messages, text_of
from nbchat.providers.base import (
    AsyncGeneratorProvider,
    AsyncResult,
    ProviderModelMixin,
    Request,
    encode,
    require_messages,
    silence_limit,
)
from nbchat.providers.streams import CutOff, ErrorEvent, LineDecoder, Surrogates, WrongBody, read_json

GREETING = "Hello, how can I help you today?"
"""What the assistant has said before the first message, by the service's own page."""

INSTRUCTIONS = "You are helpful assistant. Follow the user's instructions carefully."
"""The system text of a conversation that has none."""

AUTHORIZATION = "Bearer null"
"""What somebody who is not signed in sends; it is part of the signature."""


class FlowGpt(AsyncGeneratorProvider, ProviderModelMixin):
    """Models of several makers behind the anonymous chat of FlowGPT."""

    url = "https://flowgpt.com/chat"
    api_endpoint = "https://prod-backend-k8s.flowgpt.com/v3/chat-anonymous"
    working = False
    supports_stream = True
    supports_message_history = True
    supports_system_message = True
    default_model = "gpt-3.5-turbo"
    models: ClassVar[Sequence[str]] = [
        "gpt-3.5-turbo",
        "gpt-3.5-long",
        "gpt-4-turbo",
        "google-gemini",
        "claude-instant",
        "claude-v1",
        "claude-v2",
        "llama2-13b",
        "mythalion-13b",
        "pygmalion-13b",
        "chronos-hermes-13b",
        "Mixtral-8x7B",
        "Dolphin-2.6-8x7B",
    ]
    model_aliases: ClassVar[Mapping[str, str]] = {"gemini": "google-gemini", "gemini-pro": "google-gemini"}

    @classmethod
    def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        temperature: float | None = 0.7,
        **kwargs: Any,
    ) -> AsyncResult:
        """Start a reply.

        Args:
            model: One of `models`, an alias, or empty for the default.
            messages: The conversation, oldest first; the last one is the question.
            proxy: URL of a proxy for this request.
            temperature: How freely the model words its reply; 0 is sent as 0.
            **kwargs: `timeout`, in seconds of silence; others are passed over.

        Raises:
            UsageProblem: Before any request, if the model, the messages or the options cannot be sent.
            ProviderError: While iterating, if the service fails.
        """
        require_messages(messages)
        model = cls.get_model(model)
        body = _body(model, messages, 0.7 if temperature is None else temperature)
        prepare = partial(_request, cls, model, body, proxy, silence_limit(kwargs.get("timeout")))
        from nbchat.providers.http import stream  # here, since it brings aiohttp

        return AsyncResult(stream(prepare, EventLines))


def _body(model: str, messages: Messages, temperature: float) -> bytes:
    said = [{"role": message["role"], "content": text_of(message)} for message in messages[:-1]]
    system = "\n".join(text_of(message) for message in messages if message["role"] == "system")
    body = {
        "model": model,
        "nsfw": False,
        "question": text_of(messages[-1]),
        "history": [
            {"role": "assistant", "content": GREETING},
            *(message for message in said if message["role"] != "system"),
        ],
        "system": system or INSTRUCTIONS,
        "temperature": temperature,
        "promptId": f"model-{model}",
        "documentIds": [],
        "chatFileDocumentIds": [],
        "generateImage": False,
        "generateAudio": False,
    }
    return encode(body)


def _request(provider: type[FlowGpt], model: str, body: bytes, proxy: str | None, timeout: float) -> Request:
    """A request signed now: a nonce serves once, and a time stamp grows old."""
    return Request(
        provider=provider.__name__,
        url=provider.api_endpoint,
        headers=_headers(),
        body=body,
        proxy=proxy,
        timeout=timeout,
        model=model,
    )


def _headers() -> dict[str, str]:
    timestamp = str(int(time.time()))
    nonce = _random(32, "0123456789abcdef")
    return {
        "User-Agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:122.0) Gecko/20100101 Firefox/122.0",
        "Accept": "*/*",
        "Accept-Language": "en-US;q=0.7,en;q=0.3",
        "Accept-Encoding": "gzip, deflate, br" if _can_read_brotli() else "gzip, deflate",
        "Referer": "https://flowgpt.com/",
        "Content-Type": "application/json",
        "Authorization": AUTHORIZATION,
        "Origin": "https://flowgpt.com",
        "Connection": "keep-alive",
        "Sec-Fetch-Dest": "empty",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Site": "same-site",
        "TE": "trailers",
        "x-flow-device-id": "f-" + _random(19, string.ascii_lowercase + string.digits),
        "x-nonce": nonce,
        "x-signature": signature(timestamp, nonce, AUTHORIZATION),
        "x-timestamp": timestamp,
    }


def signature(timestamp: str, nonce: str, authorization: str) -> str:
    """How the service's own page signs a request."""
    return hashlib.md5(f"{timestamp}-{nonce}-{authorization}".encode(), usedforsecurity=False).hexdigest()


def _random(length: int, characters: str) -> str:
    return "".join(secrets.choice(characters) for _ in range(length))


def _can_read_brotli() -> bool:
    return any(find_spec(module) for module in ("brotlicffi", "brotli"))


class EventLines(LineDecoder):
    """JSON lines: objects whose `event` is `text` carry the reply in `data`, `error` ends it."""

    def __init__(self) -> None:
        super().__init__()
        self._surrogates = Surrogates()
        self._came = False

    def _line(self, line: str) -> Iterator[Chunk]:
        if not line.strip():
            return
        try:
            event = read_json(line)
        except ValueError:
            raise WrongBody("sent a line that is not JSON", line) from None
        if not isinstance(event, dict):
            raise WrongBody("sent a line that is no event", line)
        if event.get("event") == "error" or event.get("error"):
            raise ErrorEvent(event.get("error") or event.get("data") or event)
        data = event.get("data")
        if event.get("event") == "text" and isinstance(data, str) and data:
            self._came = True
            if text := self._surrogates.decode(data):
                yield text

    def _half_line(self, line: str) -> Iterator[Chunk]:
        try:
            yield from super()._half_line(line)
        except WrongBody as problem:
            if not line.lstrip().startswith("{"):
                raise
            raise CutOff("ended in the middle of a line") from problem

    def _end(self) -> Iterator[Chunk]:
        if not self._came:
            raise WrongBody("sent a reply without text" if self.opening else "sent an empty reply", self.opening)
        if text := self._surrogates.flush():
            yield text
