"""Which providers there are, which of them a name means, and what can be used here.

Known are nbchat's own providers, one for each row of `SERVICES`, those that installed packages announce as entry
points of the group `nbchat.providers`, and those that the user registers. Nothing here picks a provider unasked,
and nothing goes to the network but `local_models`, which asks this machine only.

The module owns one `Registry`; its methods are the module's functions.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from nbchat.errors import NbchatError, UnknownModel, UnknownProvider, UsageProblem, did_you_mean, shorten
from nbchat.providers.base import Provider, provider_name
from nbchat.providers.flowgpt import FlowGpt
from nbchat.providers.gprochat import GPROChat
from nbchat.providers.guide import Guide, variable_that_is_set
from nbchat.providers.openai_compatible import OpenAICompatible
from nbchat.providers.services import SERVICES, Service

ENTRY_POINTS = "nbchat.providers"
"""The group under which packages announce their providers."""

_LISTED = "`%chat models` lists what can be used."

P = TypeVar("P")


@dataclass(frozen=True)
class Choice:
    """What a model's or a provider's name means: whom to ask, and for which model."""

    provider: Provider
    name: str
    """The provider's name."""
    model: str
    """What to pass to the provider as the model; empty for one that has no default either."""
    base_url: str = ""
    """The address that was named for it, without what may be secret."""


@dataclass(frozen=True)
class Offer:
    """One line of the list of what can be used here."""

    name: str
    models: tuple[str, ...]
    """The models that it is known to have; empty where only the service knows."""
    ready: bool
    why: str
    """Why it is ready, or what it lacks; may be empty."""
    local: bool = False


class _Named(NamedTuple):
    name: str
    provider: Any


class Registry:
    """The providers by their names, in any case.

    Where two have the same name or the same model, those that were registered come first (the latest before the
    earlier), then those of entry points, then nbchat's own. A provider that was last known not to answer
    (`working = False`) is found by its name, and by a model that no working provider has.
    """

    def __init__(self) -> None:
        own: list[Any] = [Guide, *map(OpenAICompatible.from_service, SERVICES), FlowGpt, GPROChat]
        self._own = [_Named(provider_name(provider), provider) for provider in own]
        self._registered: dict[str, _Named] = {}
        self._running: dict[str, list[str]] | None = None
        """The local services' models at the last look; None before the first."""

    def register(self, provider: P, name: str | None = None) -> P:
        """Make a provider known by a name for this session; also a decorator for classes.

        A name in use is replaced, so that a cell that defines and registers a provider can be run again.

        Args:
            provider: Any class or instance with a `create_async_generator`.
            name: Its name; by default the attribute `name`, else the class's name.

        Returns:
            The provider as it was passed.

        Raises:
            UsageProblem: If it has no such method, or the name cannot be typed as one.
        """
        usable = _usable(provider)
        name = name or provider_name(usable)
        if "/" in name or name.split() != [name]:
            raise UsageProblem(f"A provider cannot be called {name!r}: its name is one word without a slash.")
        self._registered.pop(name.casefold(), None)  # so that the latest stands last
        self._registered[name.casefold()] = _Named(name, usable)
        return provider

    def unregister(self, name: str) -> None:
        """Forget a registered provider; another of that name, which it hid, is back.

        Raises:
            UnknownProvider: If none was registered by that name.
        """
        if self._registered.pop(name.casefold(), None) is None:
            near = did_you_mean(name, (named.name for named in self._registered.values()))
            raise UnknownProvider(f"No provider was registered as {name!r}.{near}")

    def known_providers(self) -> list[str]:
        """The names of all providers and services, the preferred ones first."""
        return [named.name for named in self._all()]

    def known_models(self, aliases: Mapping[str, str] | None = None) -> list[str]:
        """All words that can be written as a model here, as far as they are known; services by an example.

        Args:
            aliases: The user's short names of models; they come first.
        """
        words = list(aliases or ())
        for named in self._all():
            if service := self._service(named):
                words += [f"{named.name}/{model}" for model in (*self._models_running(named), service.example)]
            else:
                words += [named.name, *_models_of(named.provider)]
        return [word for word in dict.fromkeys(words) if word not in SERVICES or word in (aliases or ())]

    def resolve(
        self,
        model: str | None = None,
        provider: str | Provider | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> Choice:
        """Say whom to ask, and for which model.

        Args:
            model: An alias; `PROVIDER/MODEL`, split at the first slash, where a service is a provider, too; the name
                of a provider, for its default model; or a model that a provider lists. With `provider` or `base_url`,
                that one's model as it is written. Without all three, `guide` is meant.
            provider: The name of a provider, or a provider.
            base_url: Address of an OpenAI-compatible server; a service that is named as `provider` lends its key.
            api_key: Key for that server, or for the service.
            aliases: The user's short names of models; they come before every other meaning.

        Raises:
            UnknownProvider: If no provider has that name.
            UnknownModel: If nothing is called so, or a service is named without a model.
            UsageProblem: If the arguments do not go together.
        """
        written = (model or "").strip()
        wanted = _unaliased(written, aliases or {})
        if base_url:
            named = self._at_address(base_url, provider, api_key)
            return replace(self._choice(named, wanted), base_url=named.provider.base_url)
        if not provider:
            named, wanted = self._by_model(wanted, aliases or {})
        elif not isinstance(provider, str):
            named = _Named(provider_name(provider), _usable(provider))
        else:
            named = self._by_name(provider)
            if wanted != written and self._get(wanted.partition("/")[0]) is named:
                wanted = wanted.partition("/")[2]  # the alias names the provider as well
        running = self._models_running(named)
        if not wanted and len(running) == 1:
            wanted = running[0]
        return self._choice(self._with_key(named, api_key), wanted)

    def offers(self) -> list[Offer]:
        """What can be used here, and what the rest lacks; local services as `local_models` last found them."""
        broken = [Offer(name, (), False, f"cannot be loaded: {why}") for name, why in self._installed[1].items()]
        return [*map(self._offer, self._all()), *broken]

    async def local_models(self, within: float = 0.5) -> dict[str, list[str]]:
        """Ask the local services, all at once, for their models.

        Args:
            within: Seconds after which one that has not answered counts as not there.

        Returns:
            The models of each service that answered as such a service does; none where it has no model yet.
        """
        import nbchat.providers.http  # noqa: F401 - before the clock starts, as it takes a while to load aiohttp

        local = [named for named in self._all() if (service := self._service(named)) and service.local]
        listings = await asyncio.gather(*(_listing(named.provider, within) for named in local))
        found = zip(local, listings, strict=True)
        self._running = {named.name: models for named, models in found if models is not None}
        return dict(self._running)

    @functools.cached_property
    def _installed(self) -> tuple[list[_Named], dict[str, str]]:
        """The entry points' providers, and why others could not be loaded."""
        from importlib.metadata import entry_points  # here, since it would slow down `import nbchat`

        loaded, broken = [], {}
        for point in entry_points(group=ENTRY_POINTS):
            try:
                loaded.append(_Named(point.name, _usable(point.load())))
            except Exception as error:  # a stranger's package may fail in any way, and must not take others along
                broken[point.name] = shorten(f"{type(error).__name__}: {error}", 120)
        return loaded, broken

    def _all(self) -> Iterator[_Named]:
        """Every provider, the preferred ones first; one that is hidden by another's name is left out."""
        seen = set()
        for named in (*reversed(self._registered.values()), *self._installed[0], *self._own):
            if named.name.casefold() not in seen:
                seen.add(named.name.casefold())
                yield named

    def _get(self, name: str) -> _Named | None:
        """The provider of that name, else the one whose class is called so."""
        if not name:  # as in "/models/x.gguf": a service's class, which has no name here, must not be meant
            return None
        folded = name.casefold()
        everyone = list(self._all())
        by_name = (named for named in everyone if named.name.casefold() == folded)
        by_class = (named for named in everyone if _class_name(named.provider).casefold() == folded)
        return next(by_name, None) or next(by_class, None)

    def _by_name(self, name: str) -> _Named:
        if named := self._get(name.strip()):
            return named
        near = did_you_mean(name, self.known_providers())
        raise UnknownProvider(f"No provider or service is called {_quoted(name)}.{near} {_LISTED}")

    def _by_model(self, wanted: str, aliases: Mapping[str, str]) -> tuple[_Named, str]:
        """Whom a word means that was written as the model, and the model that is left of it."""
        head, _, rest = (wanted or Guide.name).partition("/")
        if (named := self._get(head)) and (rest or wanted in ("", head, f"{head}/")):
            return named, rest
        if named := self._having(wanted):
            return named, wanted
        raise UnknownModel(self._nothing_called(wanted, aliases))

    def _having(self, model: str) -> _Named | None:
        """The provider that has a model: rather one that works, then one that spells it so, then a preferred one."""
        having = [named for named in self._all() if _spelled(named.provider, model)]
        return max(
            having, key=lambda named: (_works(named.provider), model in _models_of(named.provider)), default=None
        )

    def _nothing_called(self, wanted: str, aliases: Mapping[str, str]) -> str:
        if wanted.casefold() in _meanings(aliases):  # it is still one after all that it stands for
            again = "give it another meaning with `%chat alias NAME=MODEL`."
            return f"The short name {_quoted(wanted)} leads back to itself: {again}"
        head, slash, _ = wanted.partition("/")
        if head and slash:
            what = f"No provider or service is called {_quoted(head)}.{did_you_mean(head, self.known_providers())}"
        else:
            known = [*self.known_models(aliases), *self.known_providers()]
            what = f"No model or provider is called {_quoted(wanted)}.{did_you_mean(wanted, known)}"
        return f"{what} A service's model is written SERVICE/MODEL; {_LISTED}"

    def _at_address(self, base_url: str, provider: str | Provider | None, api_key: str | None) -> _Named:
        """The server at an address; under the name and with the key of a service, if one is named."""
        called = provider if isinstance(provider, str) else provider_name(provider) if provider else ""
        plain = not called or called.casefold() == OpenAICompatible.__name__.casefold()
        service = self._service(self._by_name(provider)) if isinstance(provider, str) and not plain else None
        if not plain and not service:
            raise UsageProblem(
                f"A base URL is for OpenAI-compatible services; {called} is none. Leave one of them out."
            )
        server = OpenAICompatible(base_url, api_key, name=service.name if service else "")
        if service:
            server.service = replace(service, base_url=server.base_url)
        return _Named(server.name, server)

    def _with_key(self, named: _Named, api_key: str | None) -> _Named:
        if not api_key:
            return named
        if not self._service(named):
            raise UsageProblem(f"api_key is for services that take a key, and {named.name} is none. Leave it out.")
        return named._replace(provider=OpenAICompatible.from_service(named.name, api_key))

    def _choice(self, named: _Named, wanted: str) -> Choice:
        """The choice of this provider and model; without a model, its default.

        Raises:
            UnknownModel: If only the server knows its models, and none is named.
        """
        name, provider = named
        model = _spelled(provider, wanted) or wanted or getattr(provider, "default_model", "") or ""
        if not model and isinstance(provider, OpenAICompatible):
            example = provider.service.example
            how = f"write {name}/MODEL, such as {name}/{example}" if example else "add its name with -m MODEL"
            other = self._having(name)
            also = f" {other.name} has a model of that name: {other.name}/{name}." if other else ""
            raise UnknownModel(f"Which model of {name}? It has no default: {how}.{also}")
        return Choice(provider, name, model)

    def _service(self, named: _Named) -> Service | None:
        """The row of the table that one of nbchat's own providers stands for."""
        return SERVICES.get(named.name) if any(named is own for own in self._own) else None

    def _models_running(self, named: _Named) -> Sequence[str]:
        return (self._running or {}).get(named.name, ()) if self._service(named) else ()

    def _offer(self, named: _Named) -> Offer:
        name, provider = named
        service = self._service(named)
        if service is None:
            why = "" if _works(provider) else "last known not to answer"
            return Offer(name, _models_of(provider), _works(provider), why)
        if service.local:
            return self._local_offer(named)
        variable = variable_that_is_set(service)
        why = f"{variable} is set" if variable else f"set {service.key_variable}"
        return Offer(name, (), bool(variable), why)

    def _local_offer(self, named: _Named) -> Offer:
        host = urlsplit(named.provider.base_url).netloc
        models = tuple(self._models_running(named))
        if self._running is None:
            why = f"not looked for yet at {host}"
        elif named.name not in self._running:
            why = f"no answer at {host}"
        else:
            why = f"answers at {host}" + ("" if models else ", but has no model yet")
        return Offer(named.name, models, bool(models), why, local=True)


def _usable(provider: Any) -> Any:
    """The provider, once it is sure to be one; a class whose method needs an instance gives one."""
    if not callable(getattr(provider, "create_async_generator", None)):
        method = "create_async_generator(model, messages, proxy=None, **kwargs)"
        raise UsageProblem(f"{provider_name(provider)} is no provider: it has no method {method}.")
    if not isinstance(provider, type) or not _needs_instance(provider):
        return provider
    try:
        return provider()
    except TypeError as error:
        raise UsageProblem(f"{provider.__name__} needs arguments: pass an instance of it. ({error})") from error


def _needs_instance(provider: type) -> bool:
    method = inspect.getattr_static(provider, "create_async_generator")
    return inspect.isfunction(method) and next(iter(inspect.signature(method).parameters), "") == "self"


def _class_name(provider: Any) -> str:
    """The name of a provider's class; none for a service, as one class serves them all."""
    if isinstance(provider, OpenAICompatible):
        return ""
    return provider.__name__ if isinstance(provider, type) else type(provider).__name__


def _works(provider: Any) -> bool:
    return bool(getattr(provider, "working", True))


def _models_of(provider: Any) -> tuple[str, ...]:
    """All names by which a provider's models can be asked for; none if it takes any."""
    listed = [getattr(provider, attribute, None) for attribute in ("models", "model_aliases")]
    listings = [names for names in listed if isinstance(names, Iterable) and not isinstance(names, str)]
    every = [*(name for names in listings for name in names), getattr(provider, "default_model", "")]
    return tuple(dict.fromkeys(name for name in every if isinstance(name, str) and name))


def _spelled(provider: Any, model: str) -> str:
    """A provider's model as it spells it, when the user may not have; empty if it lists none of that name."""
    models = _models_of(provider)
    same = (name for name in models if name.casefold() == model.casefold())
    return model if model in models else next(same, "")


def _unaliased(model: str, aliases: Mapping[str, str]) -> str:
    """What an alias stands for, also where it stands for another alias; any other model as it is."""
    folded = _meanings(aliases)
    seen: set[str] = set()
    while (key := model.casefold()) in folded and key not in seen:
        seen.add(key)
        model = aliases.get(model, folded[key])
    return model


def _meanings(aliases: Mapping[str, str]) -> dict[str, str]:
    return {name.casefold(): meaning for name, meaning in aliases.items()}


def _quoted(name: str) -> str:
    """A name that somebody typed, cut short enough for a message."""
    return repr(shorten(name, 60))


async def _listing(provider: OpenAICompatible, within: float) -> list[str] | None:
    """The models that a server lists; None if it does not answer in time, or not as such a server does."""
    try:
        async with asyncio.timeout(within):
            return await provider.list_models(within)
    except (TimeoutError, NbchatError):
        return None


_registry = Registry()

register = _registry.register
unregister = _registry.unregister
resolve = _registry.resolve
known_models = _registry.known_models
known_providers = _registry.known_providers
offers = _registry.offers
local_models = _registry.local_models
