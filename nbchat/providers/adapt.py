"""Any provider, whoever wrote it, as one asynchronous stream of chunks.

`create_async_generator` may be an async generator, a plain one, a coroutine that gives either, or return a
string; what it yields may be strings, our own values, or objects of a library of its own (g4f's, say).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any

from nbchat.errors import ProviderError
from nbchat.messages import Chunk, Finish, Messages, Notice, Reasoning, Usage
from nbchat.providers.base import AsyncResult, provider_name
from nbchat.providers.streams import Surrogates


def is_ours(provider: Any) -> bool:
    """Whether nbchat brings the provider itself, and so knows that it never blocks its loop."""
    kind = provider if isinstance(provider, type) else type(provider)
    return kind.__module__.partition(".")[0] == __name__.partition(".")[0]


def options_of(provider: Any) -> set[str] | None:
    """The options that a provider takes by name; None if it takes any."""
    parameters = inspect.signature(provider.create_async_generator).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters} - {"self", "cls", "model", "messages"}


async def chunks(provider: Any, model: str, messages: Messages, options: dict[str, Any]) -> AsyncGenerator[Chunk, None]:
    """Ask a provider, and yield its reply as chunks whose text can be encoded."""
    source = _values(provider.create_async_generator(model, messages, **options))
    halves = Surrogates()
    try:
        async for value in source:
            chunk = _chunk(value, provider_name(provider))
            if not isinstance(chunk, str):
                yield chunk
            elif text := halves.decode(chunk):
                yield text
        if text := halves.flush():
            yield text
    finally:
        await source.aclose()


async def _values(result: Any) -> AsyncGenerator[object, None]:
    """What a provider's result gives, one by one; whatever it holds open is closed at the end."""
    if not isinstance(result, AsyncResult) and inspect.isawaitable(result):
        result = await result
    if isinstance(result, AsyncResult):
        result = result.events()
    try:
        if isinstance(result, str):
            yield result
        elif hasattr(result, "__aiter__"):
            async for value in result:
                yield value
        elif isinstance(result, Iterable) and not isinstance(result, bytes | Mapping):
            for value in result:
                yield value
        else:
            yield result  # it is said to be no text, as it would be within a reply
    finally:
        if close := getattr(result, "aclose", None):
            await close()
        elif close := getattr(result, "close", None):
            close()


def _chunk(value: Any, name: str) -> Chunk:
    """A value as a chunk. One of another library is known by its class's name (g4f's are); else it is skipped.

    Raises:
        ProviderError: If the value was surely meant to be text, and is not.
    """
    if isinstance(value, str | Reasoning | Usage | Finish | Notice):
        return value
    for kind in type(value).__mro__:
        if convert := _FOREIGN.get(kind.__name__):
            return convert(value)
    if value is None or isinstance(value, bytes | bool | int | float | Mapping):
        advice = "Its create_async_generator must yield strings."
        raise ProviderError(f"gave {type(value).__name__} where text belongs", provider=name, advice=advice)
    return ""


_FOREIGN: dict[str, Callable[[Any], Chunk]] = {
    "Reasoning": lambda value: Reasoning(str(value)),
    "Usage": lambda value: Usage(getattr(value, "prompt_tokens", None), getattr(value, "completion_tokens", None)),
    "FinishReason": lambda value: Finish(value.reason),
    "MediaResponse": str,  # markdown that shows a picture or a film
    "Sources": str,  # a list of links, as markdown
}
