"""The provider of every server that speaks OpenAI's chat completions.

An instance is one server. Those known by name are rows of `nbchat.providers.services`; what comes back is read
by `nbchat.providers.completions`.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

from nbchat.errors import AuthenticationError, ProviderError, UnknownProvider, UsageProblem, did_you_mean
from nbchat.messages import Chunk, Messages, Notice
from nbchat.providers.base import AsyncResult, Request, encode, is_secret, require_messages, silence_limit
from nbchat.providers.completions import ChatCompletions
from nbchat.providers.services import SERVICES, Service

__all__ = ["SERVICES", "OpenAICompatible", "Service"]

_CHAT = "/chat/completions"

_KEY_LIKE = re.compile(r"[\w-]{20,}")
"""One long word: rather a key in the wrong place than a server's name, and not to be shown or looked up."""


class OpenAICompatible:
    """One server that speaks OpenAI's chat completions.

    Args:
        base_url: As its documentation gives it, mostly ending in `/v1`. A user and password in it are sent,
            and shown nowhere.
        api_key: The key; without it, the environment variable `key_variable` is read at each request.
        key_variable: The variable's name; if it is given, a key is required.
        name: The name to show; the host by default.

    Raises:
        UsageProblem: If `base_url` is no web address.
    """

    working = True
    supports_stream = True
    supports_message_history = True
    supports_system_message = True
    default_model = ""
    models: Sequence[str] = ()
    """None: the server knows them; `list_models` asks it."""

    def __init__(self, base_url: str, api_key: str | None = None, *, key_variable: str = "", name: str = "") -> None:
        parts = _parse(base_url)
        self._login = parts.netloc.rpartition("@")[0]
        self._parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        self._api_key = api_key
        self.name = name or self._parts.netloc
        self.url = self.base_url = urlunsplit(self._parts._replace(query=""))
        self.api_endpoint = self._address(_CHAT)
        self.service = Service(self.name, self.base_url, key_variable, local=not key_variable)

    @classmethod
    def from_service(cls, name: str, api_key: str | None = None) -> OpenAICompatible:
        """The provider of one of the `SERVICES`.

        Raises:
            UnknownProvider: If there is none of that name.
        """
        service = SERVICES.get(name.casefold())
        if service is None:
            raise UnknownProvider(f"No service is called {name!r}.{did_you_mean(name, SERVICES)}")
        provider = cls(service.base_url, api_key, name=service.name)
        provider.service = service
        return provider

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r}, name={self.name!r})"

    def get_model(self, model: str | None = None) -> str:
        """The model to ask for.

        Raises:
            UsageProblem: If none is named, as only the server knows its models.
        """
        if not model:
            raise UsageProblem(f"{self.name} has no default model: name the one to ask.")
        return model

    def create_async_generator(
        self,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        *,
        timeout: float | None = None,
        **options: Any,
    ) -> AsyncResult:
        """Start a reply.

        Args:
            model: The model's name at this server.
            messages: The conversation, oldest first.
            proxy: URL of a proxy for this request.
            timeout: Seconds of silence after which the reply is given up; 120 by default.
            **options: What else the server takes (`temperature`, `max_tokens`, …); what is None is left out.

        Raises:
            UsageProblem: Before any request, if the model, the messages or the options cannot be sent.
            AuthenticationError: Before any request, if a key is needed and there is none.
            ProviderError: While iterating, if the server fails.
        """
        require_messages(messages)
        if "api_key" in options:  # as an option it would travel in the body, where servers log it
            raise UsageProblem("A key is no option of a request: give it to OpenAICompatible(…, api_key=…).")
        body = {
            "model": self.get_model(model),
            "messages": list(messages),
            "stream_options": {"include_usage": True},
            **{name: value for name, value in options.items() if value is not None},
            "stream": True,  # whatever was asked for: without it a server goes on generating after a disconnect
        }
        request = Request(
            provider=self.name,
            url=self.api_endpoint,
            headers={**self._headers(), "Content-Type": "application/json"},
            body=encode(body),
            proxy=proxy,
            timeout=silence_limit(timeout),
            secrets=(*self._secrets(), *(str(value) for name, value in options.items() if is_secret(name))),
            key_variable=self.service.key_variable,
            model=body["model"],
        )
        return AsyncResult(_Asking(request, body))

    async def list_models(self, within: float = 10) -> list[str]:
        """Ask the server which models it has.

        Args:
            within: Seconds that the whole answer may take.

        Raises:
            ProviderError: If the server does not answer, or with something else.
        """
        from nbchat.providers.http import get_json  # here, since it brings aiohttp

        names = _model_names(await get_json(self._address("/models"), headers=self._headers(), timeout=within))
        if names is None:
            what = "answered with something that is no list of models"
            raise ProviderError(what, provider=self.name, advice="Check the base URL.")
        return names

    def _address(self, path: str) -> str:
        return urlunsplit(self._parts._replace(path=self._parts.path + path))

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "text/event-stream, application/json", "User-Agent": "nbchat"}
        key = self._key()
        if not (key.isascii() and key.isprintable()):
            raise AuthenticationError(
                "has a key with characters that no key has", provider=self.name, advice="Copy the key once more."
            )
        if key:
            headers["Authorization"] = f"Bearer {key}"
        elif self._login:
            headers["Authorization"] = f"Basic {_basic(self._login)}"
        elif not self.service.local:
            raise _missing_key(self.service)
        return headers

    def _key(self) -> str:
        return (self._api_key or "").strip() or self.service.key()

    def _secrets(self) -> tuple[str, ...]:
        password = unquote(self._login.partition(":")[2])
        in_query = [value for _, value in parse_qsl(self._parts.query)]
        return tuple(filter(None, [self._key(), self._login, password, _basic(self._login), *in_query]))


def _missing_key(service: Service) -> AuthenticationError:
    variable = service.key_variable
    where = f"Get one at {service.key_page} and run" if service.key_page else "Run"
    return AuthenticationError(
        f"needs a key, and the variable {variable} is not set",
        provider=service.name,
        advice=f'{where} in a cell: import getpass, os; os.environ["{variable}"] = getpass.getpass()',
    )


def _parse(base_url: str) -> SplitResult:
    """Take apart what people write as a base URL."""
    address = base_url.strip()
    try:
        if "://" not in address:
            address = ("http://" if _is_near(urlsplit(f"//{address}").hostname or "") else "https://") + address
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and parts.port != 0 and _is_host(parts.hostname or "")
    except ValueError:  # a port that is no number, half an IPv6 address, a name too long for one
        usable = False
    if not usable or _KEY_LIKE.fullmatch(base_url.strip()):
        # Not quoted: it may hold a password, or be a key in the wrong place.
        raise UsageProblem("base_url is no web address: it looks like http://127.0.0.1:8080/v1.")
    path = parts.path.rstrip("/").removesuffix(_CHAT).rstrip("/")
    return parts._replace(path=path, fragment="")


def _is_host(name: str) -> bool:
    return bool(name.encode("idna")) and not re.search(r"\s", name)


def _is_near(host: str) -> bool:
    """Whether a host named without http:// or https:// is likely to speak plain HTTP."""
    try:
        ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(".local")
    return True


def _basic(login: str) -> str:
    return b64encode(unquote(login).encode()).decode()


def _model_names(answer: Any) -> list[str] | None:
    """The names in a list of models, or None if it is none."""
    if isinstance(answer, dict) and "data" in answer:
        answer = answer["data"] or []  # Ollama's is null while it has no model
    if not isinstance(answer, list):  # Together sends the bare list
        return None
    found = [row.get("id") for row in answer if isinstance(row, dict)]
    names = [name.removeprefix("models/") for name in found if isinstance(name, str)]
    return names if names or not answer else None


class _Asking(AsyncGenerator[Chunk, None]):
    """Asks, and once more in another way if the server says that it does not know a part of the request.

    Not an `async def` generator: when a loop ends, asyncio closes all of those at once that are still open, and
    one that stands within another would be closed twice.
    """

    def __init__(self, request: Request, body: dict[str, Any]) -> None:
        self._request = request
        self._body = body
        self._chunks = self._ask()
        self._started = False

    def _ask(self) -> AsyncGenerator[Chunk, None]:
        from nbchat.providers.http import stream  # here, since it brings aiohttp

        return stream(partial(replace, self._request, body=encode(self._body)), ChatCompletions)

    async def asend(self, value: None) -> Chunk:
        while True:
            try:
                chunk = await self._chunks.asend(value)
            except ProviderError as error:
                changed = None if self._started else _changed(self._request, self._body, error)
                if changed is None:
                    raise
                self._request, self._body = changed
            else:
                self._started = self._started or not isinstance(chunk, Notice)
                return chunk
            self._chunks = self._ask()

    async def athrow(self, *error: Any) -> Chunk:
        return await self._chunks.athrow(*error)

    async def aclose(self) -> None:
        await self._chunks.aclose()


def _changed(request: Request, body: dict[str, Any], error: ProviderError) -> tuple[Request, dict[str, Any]] | None:
    """The request without what the server refused, if that is known to help."""
    said = f"{error.said} {error.what}"
    if error.status in (400, 422):
        # FastAPI's servers name the field beside the words, where `said` does not have it.
        if "stream_options" in body and ("stream_options" in said or "inputs are not permitted" in said):
            return request, {name: value for name, value in body.items() if name != "stream_options"}
        if "max_tokens" in body and "max_completion_tokens" in said:
            names = {"max_tokens": "max_completion_tokens"}
            return request, {names.get(name, name): value for name, value in body.items()}
    parts = urlsplit(request.url)
    if error.status in (404, 405) and parts.path == _CHAT:  # a base URL without its /v1
        return replace(request, url=urlunsplit(parts._replace(path="/v1" + _CHAT))), body
    return None
