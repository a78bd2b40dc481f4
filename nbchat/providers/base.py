"""What a provider is: the protocol, the two base classes of the documentation, and the result they return.

A provider turns (model, messages) into chunks. It is any class or instance with

    create_async_generator(model, messages, proxy=None, **kwargs) -> AsyncResult

`AsyncGeneratorProvider` and `ProviderModelMixin` are there to inherit from, and need not be: an
`async def` generator of strings under that name is enough. A provider keeps no state of a reply on itself.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from nbchat.errors import UnknownModel, UsageProblem, did_you_mean, shorten
from nbchat.messages import Chunk, Messages, Notice, clean

SILENCE = 120.0
"""Seconds without a sign of life after which a reply is given up, unless `timeout` says otherwise."""

shared_loop: ContextVar[bool] = ContextVar("shared_loop", default=False)
"""True in tasks on nbchat's own loop thread: requests made there share one pooled session."""


class Provider(Protocol):
    """What nbchat asks of a provider; a class or an instance, whoever wrote it."""

    def create_async_generator(self, model: str, messages: Messages, proxy: str | None = None, **kwargs: Any) -> Any:
        """Start a reply: an iterable of chunks, async or not, or a coroutine that gives one."""


class AsyncResult(AsyncIterator[Chunk]):
    """A reply as a provider returns it: iterate it with `async for`, or `await` it first and then iterate.

    Iterating gives text, and `Reasoning`, `Usage` and `Finish` values where the service sends them;
    `events()` also gives the notices of retries.
    """

    def __init__(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        self._chunks = chunks

    def __await__(self) -> Generator[None, None, AsyncResult]:
        return self
        yield  # a generator that ends at once: awaiting gives the result itself

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        while True:
            chunk = await self._chunks.__anext__()
            if not isinstance(chunk, Notice):
                return chunk

    def events(self) -> AsyncGenerator[Chunk, None]:
        """The same reply with its notices."""
        return self._chunks

    async def aclose(self) -> None:
        """End the reply early and drop its request."""
        await self._chunks.aclose()


class AsyncGeneratorProvider(ABC):
    """Base of providers that stream a reply; what it says of itself are class attributes."""

    url: ClassVar[str] = ""
    """The service's page, for people."""
    api_endpoint: ClassVar[str] = ""
    """Where requests go; tests and self-hosters point the class elsewhere (an instance's own would not count)."""
    working: ClassVar[bool] = True
    """Whether the service was last known to answer. One that was not is used only when it is asked for."""
    supports_stream: ClassVar[bool] = True
    supports_message_history: ClassVar[bool] = True
    supports_system_message: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def create_async_generator(
        cls, model: str, messages: Messages, proxy: str | None = None, **kwargs: Any
    ) -> AsyncResult:
        """Start a reply.

        Args:
            model: The model's name; empty for the provider's default.
            messages: The conversation, oldest first; never changed.
            proxy: URL of a proxy for this request.
            **kwargs: What else the provider takes; `timeout` is seconds of silence.

        Raises:
            UsageProblem: Before any request, if the model or the messages cannot be sent.
            ProviderError: While iterating, if the service fails.
        """


class ProviderModelMixin:
    """The models of a provider, and how the names that users write map to them."""

    default_model: ClassVar[str] = ""
    models: ClassVar[Sequence[str]] = ()
    """All models, or none if the provider takes any name."""
    model_aliases: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def get_model(cls, model: str | None = None) -> str:
        """The model to ask for: the default for an empty name, an alias resolved.

        Raises:
            UnknownModel: If the provider lists its models and this is none of them.
        """
        if not model:
            return cls.default_model
        name = cls.model_aliases.get(model, model)
        if cls.models and name not in cls.models:
            near = did_you_mean(model, [*cls.models, *cls.model_aliases])
            listed = f"Its models: {shorten(', '.join(cls.models), 100)}."
            raise UnknownModel(f"{cls.__name__} has no model {shorten(model, 60)!r}.{near} {listed}")
        return name


@dataclass(frozen=True)
class Request:
    """One HTTP request of a provider, ready to be sent; `repr` shows nothing secret."""

    provider: str
    """Who is asked, as the user knows it."""
    url: str = field(repr=False)
    """Its query may hold a key."""
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    proxy: str | None = field(default=None, repr=False)
    timeout: float = SILENCE
    """Seconds of silence."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values that no message may show."""
    key_variable: str = ""
    """The environment variable that holds the key, for the message of a 401."""
    model: str = ""


def encode(body: Mapping[str, Any]) -> bytes:
    """The body of a request as JSON, whatever half characters its text holds.

    Raises:
        UsageProblem: If it holds what JSON has no form for.
    """
    try:
        return clean(json.dumps(body, ensure_ascii=False, allow_nan=False)).encode()
    except (TypeError, ValueError) as problem:
        raise UsageProblem(f"The messages or options cannot be sent as JSON: {problem}.") from None


def silence_limit(timeout: Any) -> float:
    """The seconds of silence that the option `timeout` asks for; `SILENCE` for None and zero.

    Raises:
        UsageProblem: If it is no such number.
    """
    if timeout is None or timeout == 0:
        return SILENCE
    if not isinstance(timeout, int | float) or not timeout > 0:  # nan is not greater, either
        raise UsageProblem(f"timeout is a number of seconds, such as 30, not {shorten(repr(timeout), 40)}.")
    return timeout


def is_secret(option: str) -> bool:
    """Whether an option is called like something that must not be shown or kept."""
    return option.endswith(("key", "token", "secret", "password", "proxy"))


def require_messages(messages: Messages) -> None:
    """Raise a `UsageProblem` for an empty list of messages, or for what is none."""
    if not isinstance(messages, Sequence):
        raise UsageProblem(f"messages is a list of messages, not a value of type {type(messages).__name__}.")
    if not messages:
        raise UsageProblem("There is no message to send: messages is an empty list.")
    for message in messages:
        if not _is_message(message):
            shape = '{"role": "user", "content": "…"}'
            raise UsageProblem(f"A message looks like {shape}, not like {shorten(repr(message), 80)}.")


def _is_message(value: object) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("role"), str):
        return False
    content = value.get("content")
    return isinstance(content, str) or (isinstance(content, list | tuple) and all(map(_is_part, content)))


def _is_part(value: object) -> bool:
    return isinstance(value, Mapping) and (value.get("type") != "text" or isinstance(value.get("text"), str))


def provider_name(provider: Any) -> str:
    """The name under which a user knows a provider: its `name`, else its class's name."""
    name = getattr(provider, "name", None)
    if isinstance(name, str) and name:
        return name
    return provider.__name__ if isinstance(provider, type) else type(provider).__name__
