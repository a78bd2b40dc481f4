"""The provider of GPROChat: the conversation as one signed prompt, answered by plain text."""

from __future__ import annotations

import hashlib
import json
import os
import time
from functools import partial
from typing import Any, ClassVar

from nbchat.errors import UsageProblem
from nbchat.messages import Messages, clean, text_of
from nbchat.providers.base import (
    SILENCE,
    AsyncGeneratorProvider,
    AsyncResult,
    ProviderModelMixin,
    Request,
    require_messages,
)
from nbchat.providers.streams import RawText

KEY_VARIABLE = "NBCHAT_GPROCHAT_KEY"
PUBLIC_KEY = "2BC120D4-BB36-1B60-26DE-DB630472A3D8"
"""With which the service's own page signs; everybody's browser has it."""


class GPROChat(AsyncGeneratorProvider, ProviderModelMixin):
    """Gemini behind the page of GPROChat; a system message is part of its prompt."""

    url = "https://gprochat.com"
    api_endpoint = "https://gprochat.com/api/generate"
    working = False
    supports_stream = True
    supports_message_history = True
    supports_system_message = False
    default_model = "gemini-1.5-pro"
    secret_key: ClassVar[str] = ""
    """The key to sign with; if empty, the variable `NBCHAT_GPROCHAT_KEY`, and then the public one."""

    @staticmethod
    def generate_signature(timestamp: int, message: str) -> str:
        """The signature of a request: SHA-256, in hex, of `{timestamp}:{message}:{key}`.

        Args:
            timestamp: When, in milliseconds; the request must carry the same.
            message: The prompt as it is sent.
        """
        return _signature(timestamp, message, _key(GPROChat))

    @classmethod
    def create_async_generator(
        cls, model: str, messages: Messages, proxy: str | None = None, **kwargs: Any
    ) -> AsyncResult:
        """Start a reply.

        Args:
            model: Any name, or empty; the service is not told.
            messages: The conversation, oldest first; blank messages are left out.
            proxy: URL of a proxy for this request.
            **kwargs: `timeout`, in seconds of silence; others are passed over.

        Raises:
            UsageProblem: Before any request, if there is no message.
            ProviderError: While iterating, if the service fails.
        """
        prompt = fold(messages)
        prepare = partial(_request, cls, cls.get_model(model), prompt, proxy, kwargs.get("timeout") or SILENCE)
        from nbchat.providers.http import stream  # here, since it brings aiohttp

        return AsyncResult(stream(prepare, RawText))


def fold(messages: Messages) -> str:
    """The conversation as the one prompt that the service takes.

    Raises:
        UsageProblem: If there is no message, or only blank ones.
    """
    require_messages(messages)
    said = [(message["role"].capitalize(), text_of(message)) for message in messages]
    lines = [f"{role}: {text}" for role, text in said if text.strip()]
    if not lines:
        raise UsageProblem("There is no message to send: every message is blank.")
    return said[0][1] if len(messages) == 1 else "\n".join([*lines, "Assistant:"])


def _request(provider: type[GPROChat], model: str, prompt: str, proxy: str | None, timeout: float) -> Request:
    """A request signed now, as its time stamp grows old."""
    now = int(time.time() * 1000)
    key = _key(provider)
    body = {
        "messages": [{"role": "user", "parts": [{"text": prompt}]}],
        "time": now,
        "pass": None,
        "sign": _signature(now, prompt, key),
    }
    return Request(
        provider=provider.__name__,
        url=provider.api_endpoint,
        headers={
            "accept": "*/*",
            "origin": "https://gprochat.com",
            "referer": "https://gprochat.com/",
            "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/129.0.0.0 Safari/537.36",
            "content-type": "text/plain;charset=UTF-8",
        },
        body=json.dumps(body, ensure_ascii=False).encode(),
        proxy=proxy,
        timeout=timeout,
        secrets=(key,),
        model=model,
    )


def _key(provider: type[GPROChat]) -> str:
    return provider.secret_key or os.environ.get(KEY_VARIABLE) or PUBLIC_KEY


def _signature(timestamp: int, message: str, key: str) -> str:
    return hashlib.sha256(f"{timestamp}:{clean(message)}:{key}".encode()).hexdigest()
