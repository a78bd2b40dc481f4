"""What a model's or provider's name means, what is registered, and what is said to be usable here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from nbchat.errors import UnknownModel, UnknownProvider, UsageProblem
from nbchat.providers import FlowGpt, GPROChat, OpenAICompatible, registry
from nbchat.providers.guide import Guide
from nbchat.providers.registry import Choice, Registry
from nbchat.providers.services import SERVICES
from raw_server import Asked, Peer, RawServer, whole

KEY = "sk-canary-0123456789"


def provider(class_name: str, /, *models: str, **attributes: Any) -> type:
    """A provider that somebody else wrote."""

    async def create_async_generator(model: str, messages: Any, proxy: Any = None, **kwargs: Any) -> AsyncIterator[str]:
        yield model

    method = staticmethod(create_async_generator)
    return type(class_name, (), {"models": list(models), "create_async_generator": method, **attributes})


@pytest.fixture
def known() -> Registry:
    return Registry()


def meant(choice: Choice) -> tuple[str, str]:
    return choice.name, choice.model


# What a model's name means


def test_nothing_at_all_means_guide(known: Registry) -> None:
    assert known.resolve() == Choice(Guide, "guide", "guide")  # type: ignore[arg-type]  # a class is one, too
    assert meant(known.resolve("", "")) == ("guide", "guide")
    assert meant(known.resolve("  ")) == ("guide", "guide")


@pytest.mark.parametrize(
    ("written", "name", "model"),
    [
        ("guide", "guide", "guide"),
        ("Guide", "guide", "guide"),
        ("openai/gpt-5-mini", "openai", "gpt-5-mini"),
        ("OpenAI/gpt-5-mini", "openai", "gpt-5-mini"),
        ("openrouter/meta-llama/llama-3", "openrouter", "meta-llama/llama-3"),
        ("ollama/llama3.2:1b", "ollama", "llama3.2:1b"),
        (" ollama/llama3.2 ", "ollama", "llama3.2"),
        ("google-gemini", "FlowGpt", "google-gemini"),
        ("gemini-pro", "FlowGpt", "gemini-pro"),
        ("Google-Gemini", "FlowGpt", "google-gemini"),
        ("mixtral-8x7b", "FlowGpt", "Mixtral-8x7B"),
        ("gemini-1.5-pro", "GPROChat", "gemini-1.5-pro"),
        ("FlowGpt", "FlowGpt", "gpt-3.5-turbo"),
        ("flowgpt/", "FlowGpt", "gpt-3.5-turbo"),
        ("gprochat", "GPROChat", "gemini-1.5-pro"),
        ("flowgpt/gpt-4-turbo", "FlowGpt", "gpt-4-turbo"),
        ("flowgpt/GPT-4-Turbo", "FlowGpt", "gpt-4-turbo"),
    ],
)
def test_a_models_name_says_whom_to_ask(known: Registry, written: str, name: str, model: str) -> None:
    assert meant(known.resolve(written)) == (name, model)


def test_a_service_comes_before_a_model_alias_of_the_same_name(known: Registry) -> None:
    with pytest.raises(UnknownModel, match=r"write gemini/MODEL.* FlowGpt has a model of that name: FlowGpt/gemini"):
        known.resolve("gemini")
    assert meant(known.resolve("FlowGpt/gemini")) == ("FlowGpt", "gemini")
    assert meant(known.resolve("gemini", aliases={"gemini": "flowgpt/gemini"})) == ("FlowGpt", "gemini")


@pytest.mark.parametrize("words", [("openai",), ("openai/",), ("OPENAI",), (None, "openai"), ("", "OpenAI")])
def test_a_service_without_a_model_says_how_to_name_one(known: Registry, words: tuple[str, ...]) -> None:
    with pytest.raises(UnknownModel, match=r"Which model of openai\? .* write openai/MODEL, such as openai/gpt-5-mini"):
        known.resolve(*words)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("gogle-gemini", "Did you mean google-gemini"),
        ("gpt-5-mini", "openai/gpt-5-mini"),
        ("flowgtp", "Did you mean FlowGpt"),
        ("opneai", "Did you mean openai"),
        ("opneai/gpt-5-mini", "No provider or service is called 'opneai'. Did you mean openai"),
        ("fst", "Did you mean fast"),
        ("zzzzzz", "No model or provider is called 'zzzzzz'. A service's model is written SERVICE/MODEL"),
        ("zzzzzz/m", "No provider or service is called 'zzzzzz'."),
        ("/models/llama.gguf", "No model or provider is called '/models/llama.gguf'."),
        ("/", "No model or provider is called '/'."),
        ("long" * 100, "No model or provider is called 'longlong"),
        ("long" * 100 + "/m", "No provider or service is called 'longlong"),
    ],
)
def test_an_unknown_model_names_the_nearest(known: Registry, written: str, said: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        known.resolve(written, aliases={"fast": "openai/gpt-5-mini"})
    assert said in str(caught.value)
    assert "`%chat models` lists what can be used." in str(caught.value)
    assert len(str(caught.value)) <= 300


# A provider that is named, or passed


def test_a_named_provider_gets_the_model_as_it_is_written(known: Registry) -> None:
    assert meant(known.resolve("openai/gpt-oss-20b", "groq")) == ("groq", "openai/gpt-oss-20b")
    assert meant(known.resolve("groq/x", "Groq")) == ("groq", "groq/x")
    assert meant(known.resolve("nobody-knows", "FLOWGPT")) == ("FlowGpt", "nobody-knows")
    assert meant(known.resolve(provider="gprochat")) == ("GPROChat", "gemini-1.5-pro")


def test_a_provider_goes_by_its_own_name_or_its_classs(known: Registry) -> None:
    known.register(provider("EchoProvider", "echo-1", name="echo"))
    assert meant(known.resolve("echo-1", "Echo")) == ("echo", "echo-1")
    assert meant(known.resolve("m", "echoprovider")) == ("echo", "m")
    with pytest.raises(UnknownProvider):
        known.resolve("m", "OpenAICompatible")  # that is the class of all services


@pytest.mark.parametrize("blank", [" ", "\t"])
def test_a_blank_name_is_no_provider(known: Registry, blank: str) -> None:
    with pytest.raises(UnknownProvider):
        known.resolve("m", blank)


def test_an_unknown_provider_names_the_nearest(known: Registry) -> None:
    with pytest.raises(UnknownProvider, match=r"'openia'\. Did you mean openai") as caught:
        known.resolve("m", "openia")
    assert "`%chat models` lists" in str(caught.value)


def test_a_provider_object_is_used_as_it_is(known: Registry) -> None:
    with_default, without = provider("One", default_model="one-1"), provider("Two")
    assert known.resolve(provider=with_default) == Choice(with_default, "One", "one-1")  # type: ignore[arg-type]
    assert known.resolve("m", without()).model == "m"
    assert known.resolve(provider=without).model == ""
    assert "One" not in known.known_providers()


def test_a_class_whose_method_needs_an_instance_gets_one(known: Registry) -> None:
    class Counting:
        async def create_async_generator(self, model: str, messages: Any, **kwargs: Any) -> AsyncIterator[str]:
            yield model

    class Picky(Counting):
        def __init__(self, key: str) -> None:
            self.key = key

    assert isinstance(known.resolve(provider=Counting).provider, Counting)  # type: ignore[arg-type]
    assert known.register(Counting) is Counting
    assert isinstance(known.resolve("counting").provider, Counting)
    with pytest.raises(UsageProblem, match="Picky needs arguments: pass an instance"):
        known.register(Picky)
    assert known.resolve(provider=Picky("k")).name == "Picky"


def test_what_is_no_provider_is_told_what_it_lacks(known: Registry) -> None:
    for wrong in (object, object(), "echo"):
        with pytest.raises(UsageProblem, match=r"no provider: it has no method create_async_generator\(model"):
            known.register(wrong)
    with pytest.raises(UsageProblem, match="create_async_generator"):
        known.resolve(provider=object())  # type: ignore[arg-type]  # that is the point


# A server at an address, and keys


def test_a_base_url_takes_the_model_as_it_is_written(known: Registry) -> None:
    choice = known.resolve("meta/x", base_url="http://127.0.0.1:8080/v1")
    assert isinstance(choice.provider, OpenAICompatible)
    assert meant(choice) == ("127.0.0.1:8080", "meta/x")
    assert meant(known.resolve("google-gemini", base_url="http://127.0.0.1:8080/v1")) == (
        "127.0.0.1:8080",
        "google-gemini",
    )


@pytest.mark.parametrize("plain", [None, "", "openaicompatible", "OpenAICompatible", OpenAICompatible])
def test_a_base_url_alone_takes_no_services_key(known: Registry, monkeypatch: pytest.MonkeyPatch, plain: Any) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = known.resolve("m", plain, base_url="http://127.0.0.1:8080/v1").provider
    assert isinstance(server, OpenAICompatible)
    assert server.service.key() == ""


def test_a_service_lends_a_base_url_its_name_and_key(known: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    choice = known.resolve("m", "Gemini", base_url="http://127.0.0.1:8080/v1")
    assert isinstance(choice.provider, OpenAICompatible)
    assert meant(choice) == ("gemini", "m")
    assert choice.provider.service.key() == KEY
    assert choice.provider.api_endpoint.startswith("http://127.0.0.1:8080/v1/")
    assert SERVICES["gemini"].base_url.startswith("https://generativelanguage.")


@pytest.mark.parametrize("other", ["FlowGpt", "guide", GPROChat])
def test_a_base_url_is_for_openai_compatible_services(known: Registry, other: Any) -> None:
    with pytest.raises(UsageProblem, match=r"A base URL is for OpenAI-compatible services; .* is none"):
        known.resolve("m", other, base_url="http://127.0.0.1:8080/v1")


def test_a_base_url_needs_a_model(known: Registry) -> None:
    with pytest.raises(UnknownModel, match=r"Which model of 127.0.0.1:8080\? .* -m MODEL"):
        known.resolve(base_url="http://127.0.0.1:8080/v1")


async def test_a_key_that_is_passed_goes_to_the_service_and_nowhere_else(
    known: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(peer: Peer, asked: Asked) -> None:
        await peer.send(whole(401, b"{}"))

    async with RawServer(refuse) as server:
        monkeypatch.setitem(SERVICES, "openai", replace(SERVICES["openai"], base_url=f"{server.url}/v1"))  # type: ignore[arg-type]
        for choice in (known.resolve("openai/m", api_key=KEY), known.resolve("m", base_url=server.url, api_key=KEY)):
            assert isinstance(choice.provider, OpenAICompatible)
            with pytest.raises(Exception, match="401"):
                await choice.provider.list_models()
            assert server.asked[-1].header("authorization") == f"Bearer {KEY}"
            assert KEY not in repr(choice)
    for other in ("guide", "google-gemini"):
        with pytest.raises(UsageProblem, match="api_key is for services") as caught:
            known.resolve(other, api_key=KEY)
        assert KEY not in str(caught.value)
    mine = OpenAICompatible("http://127.0.0.1:8080/v1", name="openai")
    with pytest.raises(UsageProblem, match="api_key is for services"):
        known.resolve("m", mine, api_key=KEY)


# Aliases


@pytest.mark.parametrize(
    ("written", "through", "name", "model"),
    [
        ("fast", None, "openai", "gpt-5-mini"),
        ("FAST", None, "openai", "gpt-5-mini"),
        ("quick", None, "openai", "gpt-5-mini"),
        ("guide", None, "FlowGpt", "gpt-4-turbo"),
        ("fast", "openai", "openai", "gpt-5-mini"),
        ("fast", "openrouter", "openrouter", "openai/gpt-5-mini"),
        ("small", "ollama", "ollama", "llama3.2"),
    ],
)
def test_an_alias_comes_before_everything_else(
    known: Registry, written: str, through: str | None, name: str, model: str
) -> None:
    aliases = {"fast": "openai/gpt-5-mini", "quick": "Fast", "guide": "flowgpt/gpt-4-turbo", "small": "llama3.2"}
    assert meant(known.resolve(written, through, aliases=aliases)) == (name, model)


def test_an_alias_counts_at_an_address_as_well(known: Registry) -> None:
    assert (
        known.resolve("small", base_url="http://127.0.0.1:1/v1", aliases={"small": "Qwen/Qwen3"}).model == "Qwen/Qwen3"
    )


def test_an_alias_of_exactly_this_case_comes_first(known: Registry) -> None:
    assert known.resolve("A", aliases={"A": "ollama/upper", "a": "ollama/lower"}).model == "upper"


@pytest.mark.parametrize("aliases", [{"a": "b", "b": "a"}, {"a": "A"}])
def test_aliases_in_a_circle_come_to_an_end(known: Registry, aliases: dict[str, str]) -> None:
    with pytest.raises(UnknownModel, match=r"The short name '[aA]' leads back to itself: .*`%chat alias") as caught:
        known.resolve("a", aliases=aliases)
    assert "Did you mean" not in str(caught.value)
    assert meant(known.resolve("guide", aliases={"guide": "Guide"})) == ("guide", "guide")


# Registering


def test_a_registered_provider_is_known_until_it_is_taken_out(known: Registry) -> None:
    echo = provider("Echo", "echo-1")
    assert known.register(echo) is echo
    assert known.resolve("echo-1") == Choice(echo, "Echo", "echo-1")  # type: ignore[arg-type]
    assert known.resolve("Echo/x").model == "x"
    known.unregister("ECHO")
    with pytest.raises(UnknownModel):
        known.resolve("echo-1")
    with pytest.raises(UnknownProvider, match="No provider was registered as 'Echo'"):
        known.unregister("Echo")


def test_register_decorates_a_class(known: Registry) -> None:
    @known.register
    class Echo:
        name = "echo"
        default_model = "echo-1"

        @classmethod
        async def create_async_generator(cls, model: str, messages: Any, **kwargs: Any) -> AsyncIterator[str]:
            yield model

    assert known.resolve("echo") == Choice(Echo, "echo", "echo-1")  # type: ignore[arg-type]


def test_a_name_in_use_is_replaced(known: Registry) -> None:
    old, new = provider("Echo", "echo-1"), provider("Echo", "echo-1")
    known.register(old)
    known.register(new, "ECHO")
    assert known.resolve("echo-1").provider is new
    assert [name for name in known.known_providers() if name.casefold() == "echo"] == ["ECHO"]


def test_a_registered_name_hides_one_of_ours_until_it_is_taken_out(known: Registry) -> None:
    mine = provider("Mine", default_model="m")
    known.register(mine, "OpenAI")
    assert known.resolve("openai/gpt-5-mini").provider is mine
    assert known.known_providers().count("openai") == 0
    known.unregister("openai")
    assert isinstance(known.resolve("openai/gpt-5-mini").provider, OpenAICompatible)


@pytest.mark.parametrize("name", ["a/b", "two words", " ", "tab\t"])
def test_a_name_that_cannot_be_typed_is_refused(known: Registry, name: str) -> None:
    with pytest.raises(UsageProblem, match="one word without a slash"):
        known.register(provider("Echo"), name)


def test_of_two_providers_with_a_model_the_later_registered_wins(known: Registry) -> None:
    first, second = provider("First", "shared"), provider("Second", "shared")
    known.register(first)
    known.register(second)
    assert known.resolve("shared").provider is second
    known.register(first)
    assert known.resolve("shared").provider is first


def test_a_working_provider_comes_before_one_that_is_not(known: Registry) -> None:
    assert known.resolve("google-gemini").provider is FlowGpt
    broken = provider("Broken", "google-gemini", working=False)
    known.register(broken)
    assert known.resolve("google-gemini").provider is broken  # of two that do not work, the registered one
    working = provider("Working", "GOOGLE-GEMINI")
    known.register(working)
    known.register(broken)
    assert meant(known.resolve("google-gemini")) == ("Working", "GOOGLE-GEMINI")
    assert known.resolve("FlowGpt/google-gemini").provider is FlowGpt
    assert known.resolve("google-gemini", "broken").provider is broken


def test_the_exact_spelling_of_a_model_comes_before_another(known: Registry) -> None:
    exact, other = provider("Exact", "m-1"), provider("Other", "M-1")
    known.register(exact)
    known.register(other)
    assert known.resolve("m-1").provider is exact
    assert known.resolve("M-1").provider is other


def test_models_may_be_listed_in_many_ways(known: Registry) -> None:
    known.register(provider("Table", models={"t-1": {}, "t-2": {}}, model_aliases={"t": "t-1"}, default_model="t-0"))
    known.register(provider("Odd", models="m", model_aliases=None, default_model=None))
    for model in ("t-0", "t-1", "t-2", "t"):
        assert meant(known.resolve(model)) == ("Table", model)
    assert meant(known.resolve("odd")) == ("Odd", "")
    with pytest.raises(UnknownModel):
        known.resolve("m")  # the letters of a string are not its models


def test_a_model_with_a_slash_may_be_listed(known: Registry) -> None:
    known.register(provider("Hub", "meta-llama/llama-3"))
    assert meant(known.resolve("meta-llama/llama-3")) == ("Hub", "meta-llama/llama-3")


def test_the_modules_functions_share_one_registry() -> None:
    echo = registry.register(provider("EchoOfTheModule", "echo-of-the-module"))
    try:
        assert registry.resolve("echo-of-the-module").provider is echo
        assert "EchoOfTheModule" in registry.known_providers()
        assert "echo-of-the-module" in registry.known_models()
        assert "EchoOfTheModule" in [offer.name for offer in registry.offers()]
    finally:
        registry.unregister("EchoOfTheModule")


# Entry points


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with three providers under our group; one of them cannot be imported, one is none."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plugin_good.py").write_text(
        "class Plugged:\n"
        "    models = ['plug-1', 'gpt-4-turbo']\n"
        "    @classmethod\n"
        "    async def create_async_generator(cls, model, messages, **kwargs):\n"
        "        yield model\n"
    )
    (tmp_path / "plugin_bad.py").write_text("import a_library_that_is_not_there\n")
    info = tmp_path / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[nbchat.providers]\nplugged = plugin_good:Plugged\nbad = plugin_bad:Bad\nnone = plugin_good:__name__\n"
    )
    return tmp_path


def test_entry_points_are_known_and_a_broken_one_is_told(plugins: Path, known: Registry) -> None:
    assert meant(known.resolve("plug-1")) == ("plugged", "plug-1")
    assert meant(known.resolve("x", "PLUGGED")) == ("plugged", "x")
    offers = {offer.name: offer for offer in known.offers()}
    assert offers["plugged"].ready
    assert offers["bad"].why.startswith("cannot be loaded: ModuleNotFoundError: No module named 'a_library")
    assert "create_async_generator" in offers["none"].why
    assert not offers["bad"].ready
    with pytest.raises(UnknownProvider):
        known.resolve("x", "bad")


def test_an_entry_point_comes_after_what_is_registered_and_before_ours(plugins: Path, known: Registry) -> None:
    assert known.resolve("gpt-4-turbo").name == "plugged"
    known.register(provider("Mine", "gpt-4-turbo"))
    assert known.resolve("gpt-4-turbo").name == "Mine"


def test_entry_points_are_loaded_at_the_first_look_and_once(known: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    def entry_points(group: str) -> list[EntryPoint]:
        loads.append(group)
        return []

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    known.register(provider("Echo"))
    assert loads == []
    known.resolve("echo")
    known.offers()
    assert loads == ["nbchat.providers"]


# What is known, for completion


def test_known_models_can_all_be_resolved(known: Registry) -> None:
    known.register(provider("Echo", "echo-1"))
    aliases = {"fast": "openai/gpt-5-mini"}
    models = known.known_models(aliases)
    assert models[:3] == ["fast", "Echo", "echo-1"]
    assert {"guide", "google-gemini", "gemini-1.5-pro", "openai/gpt-5-mini", "ollama/llama3.2"} <= set(models)
    assert len(models) == len(set(models))
    for model in models:
        known.resolve(model, aliases=aliases)


def test_known_providers_are_all_of_them(known: Registry) -> None:
    assert set(known.known_providers()) == {"guide", "FlowGpt", "GPROChat", *SERVICES}


# What can be used here


def test_offers_say_what_is_ready_and_what_the_rest_lacks(known: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    monkeypatch.setenv("MISTRAL_API_KEY", "  ")
    offers = {offer.name: offer for offer in known.offers()}
    assert (offers["guide"].ready, offers["guide"].models) == (True, ("guide",))
    assert (offers["groq"].ready, offers["groq"].why) == (True, "GROQ_API_KEY is set")
    assert (offers["gemini"].ready, offers["gemini"].why) == (True, "GOOGLE_API_KEY is set")
    assert (offers["openai"].ready, offers["openai"].why) == (False, "set OPENAI_API_KEY")
    assert (offers["mistral"].ready, offers["mistral"].why) == (False, "set MISTRAL_API_KEY")
    assert (offers["FlowGpt"].ready, offers["FlowGpt"].why) == (False, "last known not to answer")
    assert "google-gemini" in offers["FlowGpt"].models
    assert (offers["ollama"].ready, offers["ollama"].local) == (False, True)
    assert offers["ollama"].why == "not looked for yet at 127.0.0.1:11434"
    assert [name for name, offer in offers.items() if offer.local] == ["ollama", "lmstudio", "llamacpp", "vllm"]
    assert KEY not in repr(offers)


LOCAL = ["ollama", "lmstudio", "llamacpp", "vllm"]


def point(monkeypatch: pytest.MonkeyPatch, **urls: str) -> None:
    """Let the local services stand at these addresses, and the others where nobody answers."""
    for name in LOCAL:
        service = replace(SERVICES[name], base_url=f"{urls.get(name, 'http://127.0.0.1:1')}/v1")
        monkeypatch.setitem(SERVICES, name, service)  # type: ignore[arg-type]  # a mapping to all but tests


def answering(body: bytes, status: int = 200) -> Any:
    async def script(peer: Peer, asked: Asked) -> None:
        await peer.send(whole(status, body, "content-type: application/json"))

    return script


async def hang(peer: Peer, asked: Asked) -> None:
    await peer.gone()


async def test_local_services_are_asked_for_their_models(monkeypatch: pytest.MonkeyPatch) -> None:
    models = answering(b'{"object": "list", "data": [{"id": "llama3.2"}, {"id": "qwen3:4b"}]}')
    none_yet = answering(b'{"object": "list", "data": null}')
    async with RawServer(models) as ollama, RawServer(none_yet) as vllm:
        point(monkeypatch, ollama=ollama.url, vllm=vllm.url)
        known = Registry()
        assert await known.local_models() == {"ollama": ["llama3.2", "qwen3:4b"], "vllm": []}
        assert ollama.asked[0].first_line == "GET /v1/models HTTP/1.1"
    offers = {offer.name: offer for offer in known.offers()}
    assert (offers["ollama"].ready, offers["ollama"].models) == (True, ("llama3.2", "qwen3:4b"))
    assert offers["ollama"].why == f"answers at 127.0.0.1:{ollama.port}"
    assert (offers["vllm"].ready, offers["vllm"].why[-21:]) == (False, ", but has no model yet"[-21:])
    assert offers["lmstudio"].why == "no answer at 127.0.0.1:1"
    assert "ollama/qwen3:4b" in known.known_models()


async def test_a_local_service_with_one_model_needs_no_more_than_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    one = answering(b'{"data": [{"id": "the-one.gguf"}]}')
    two = answering(b'{"data": [{"id": "a"}, {"id": "b"}]}')
    async with RawServer(one) as llamacpp, RawServer(two) as ollama:
        point(monkeypatch, llamacpp=llamacpp.url, ollama=ollama.url)
        known = Registry()
        with pytest.raises(UnknownModel):
            known.resolve("llamacpp")
        await known.local_models()
    assert meant(known.resolve("llamacpp")) == ("llamacpp", "the-one.gguf")
    assert meant(known.resolve(provider="llamacpp")) == ("llamacpp", "the-one.gguf")
    with pytest.raises(UnknownModel, match="ollama/MODEL"):
        known.resolve("ollama")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html><title>JupyterHub</title></html>", 200),
        (b"", 200),
        (b'{"status": "ok"}', 200),
        (b'["llama"]', 200),
        (b'"llama"', 200),
        (b'{"data": "llama"}', 200),
        (b'{"data": ["llama"]}', 200),
        (b'{"data": [{"name": "llama"}]}', 200),
        (b'{"data": [{"id": 7}]}', 200),
        (b'{"data": [{"id": "llama"}]}', 404),
        (b'{"data": [{"id"', 200),
    ],
)
async def test_a_server_of_another_kind_is_not_listed(
    monkeypatch: pytest.MonkeyPatch, body: bytes, status: int
) -> None:
    right = answering(b'{"data": [{"id": "right"}]}')
    async with RawServer(answering(body, status)) as other, RawServer(right) as ollama:
        point(monkeypatch, llamacpp=other.url, ollama=ollama.url)
        assert await Registry().local_models() == {"ollama": ["right"]}
        assert len(other.asked) >= 1


async def test_a_server_that_hangs_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(hang) as silent, RawServer(answering(b'{"data": [{"id": "m"}]}')) as ollama:
        point(monkeypatch, ollama=ollama.url, lmstudio=silent.url, llamacpp=silent.url, vllm=silent.url)
        known = Registry()
        found = await asyncio.wait_for(known.local_models(within=0.2), 30)
        assert found == {"ollama": ["m"]}
        await silent.dropped()  # the request that hung is dropped, not left behind


async def test_all_local_services_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = asyncio.Barrier(len(LOCAL))

    async def answer_when_all_have_asked(peer: Peer, asked: Asked) -> None:
        await waiting.wait()
        await peer.send(whole(200, b'{"data": [{"id": "m"}]}'))

    async with RawServer(answer_when_all_have_asked) as server:
        point(monkeypatch, **dict.fromkeys(LOCAL, server.url))
        assert await Registry().local_models(within=30) == {name: ["m"] for name in LOCAL}


async def test_a_local_services_own_key_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_API_TOKEN", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-other-work-0123456789")
    async with RawServer(answering(b'{"data": [{"id": "m"}]}')) as server:
        point(monkeypatch, lmstudio=server.url, ollama=server.url)
        known = Registry()
        await known.local_models()
        assert {asked.header("authorization") for asked in server.asked} == {f"Bearer {KEY}", None}
    assert KEY not in repr(known.offers())


async def test_a_look_replaces_what_the_one_before_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(answering(b'{"data": [{"id": "m"}]}')) as server:
        point(monkeypatch, ollama=server.url)
        known = Registry()
        await known.local_models()
    assert await known.local_models() == {}
    assert "ollama/m" not in known.known_models()


async def test_a_hidden_local_service_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(answering(b'{"data": [{"id": "m"}]}')) as server:
        point(monkeypatch, ollama=server.url)
        known = Registry()
        known.register(provider("Mine"), "ollama")
        assert await known.local_models() == {}
        assert server.asked == []
