"""The provider of GPROChat: the conversation as one signed prompt, answered by plain text."""

from __future__ import annotations

import hashlib
import os
import time
from functools import partial
from typing import Any, ClassVar

from nbchat.errors import UsageProblem
from nbchat.messages import Messages, clean, text_of
from nbchat.providers.base import (
    AsyncGeneratorProvider,
    AsyncResult,
    ProviderModelMixin,
    Request,
    encode,
    require_messages,
    silence_limit,
)
from nbchat.providers.plaintext import RawText

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

        The key is that of `GPROChat`; the requests of a subclass with a `secret_key` of its own are signed with that.

        Args:
            timestamp: When, in milliseconds; the request must carry the same.
            message: The prompt as it is sent.
        """
        return _signature(timestamp, message, GPROChat)

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
            UsageProblem: Before any request, if the messages or the options cannot be sent.
            ProviderError: While iterating, if the service fails.
        """
        prompt = fold(messages)
        prepare = partial(_request, cls, cls.get_model(model), prompt, proxy, silence_limit(kwargs.get("timeout")))
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
    body = {
        "messages": [{"role": "user", "parts": [{"text": prompt}]}],
        "time": now,
        "pass": None,
        "sign": _sign(provider, now, prompt),
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
        body=encode(body),
        proxy=proxy,
        timeout=timeout,
        secrets=(_key(provider),),
        model=model,
    )


def _sign(provider: type[GPROChat], timestamp: int, prompt: str) -> str:
    if provider.generate_signature is not GPROChat.generate_signature:  # a subclass has its own way
        return provider.generate_signature(timestamp, prompt)
    return _signature(timestamp, prompt, provider)


def _signature(timestamp: int, prompt: str, provider: type[GPROChat]) -> str:
    return hashlib.sha256(f"{timestamp}:{clean(prompt)}:{_key(provider)}".encode()).hexdigest()


def _key(provider: type[GPROChat]) -> str:
    return provider.secret_key or os.environ.get(KEY_VARIABLE) or PUBLIC_KEY
