"""The guide: which part of the manual answers a question, what it says where none does; and the manual itself."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

import nbchat
from nbchat import commands, errors
from nbchat.chat import Chat
from nbchat.config import NbChat
from nbchat.errors import UnknownModel, UsageProblem
from nbchat.messages import Finish, Message
from nbchat.options import OPTIONS, parse_header, parse_line
from nbchat.providers import FlowGpt, GPROChat
from nbchat.providers.guide import Guide, answer, find, next_step, sections
from nbchat.providers.registry import Registry
from nbchat.providers.services import SERVICES

KEY = "sk-canary-0123456789"

MANUAL = "\n\n".join(sections().values())


def said_to(prompt: str) -> list[Message]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guide, "pause", 0)


# What it finds


@pytest.mark.parametrize(
    ("question", "section", "title"),
    [
        ("How do I use my own key?", "keys", "Set a key"),
        ("where do I put the OpenAI API key", "keys", "Set a key"),
        ("Can I use Claude?", "keys", "Use ChatGPT"),
        ("is my key stored in the notebook?", "privacy", "What is stored"),
        ("How do I get started?", "start", "Get started"),
        ("how to load the extension", "start", "Get started"),
        ("my prompt has braces and $ signs", "start", "The prompt is sent exactly"),
        ("How do I stop a reply?", "stopping", "Stop or interrupt"),
        ("cancel a running answer", "stopping", "Stop or interrupt"),
        ("How can I interrupt the cell?", "stopping", "Stop or interrupt"),
        ("how do I clear the history", "history", "Start afresh"),
        ("start a new conversation", "history", "Start afresh"),
        ("Does it remember earlier messages?", "history", "How a notebook remembers"),
        ("undo the last message", "history", "Undo"),
        ("regenerate the answer", "history", "Retry"),
        ("what happens when I restart the kernel?", "history", "What a kernel restart"),
        ("run a model offline", "local", "Run a local model"),
        ("how do i use ollama?", "local", "Run a local model"),
        ("use my own server with a base url", "local", "Use any other OpenAI-compatible"),
        ("What models are available?", "models", "Which models and services"),
        ("how do I set a default model", "models", "Switch to another"),
        ("make a short name for a model", "models", "Short names"),
        ("change the temperature", "options", "Change the temperature"),
        ("make replies shorter", "options", "Limit how long"),
        ("how do I save the answer into a variable?", "options", "Keep a reply"),
        ("How do I include a variable in the prompt?", "start", "Put or insert the value"),
        ("How do I use a Python variable in a prompt?", "start", "Put or insert the value"),
        ("What options does %%chat have?", "options", "All options"),
        ("list all commands", "commands", "All commands"),
        ("which version is this", "commands", "Which version"),
        ("set a system prompt", "system", "Give the model a role"),
        ("show the conversation in a panel", "panel", "Show the conversation"),
        ("the panel does not answer while a cell runs", "panel", "The panel waits"),
        ("Enter should make a new line in the panel", "panel", "What the panel can do"),
        ("The conversation is too long", "context", "Long conversations"),
        ("context_length_exceeded", "context", "Long conversations"),
        ("stream a reply in Python code", "python", "Read a reply"),
        ("asyncio.run in a cell", "python", "Use asyncio.run"),
        ("How do I write my own provider?", "providers", "Write and register"),
        ("we have a company proxy", "proxies", "Use a proxy"),
        ("nbchat ignores my proxy", "proxies", "The proxy is ignored"),
        ("what does RateLimitError mean?", "errors", "What the errors"),
        ("it hangs forever", "errors", "Nothing happens"),
        ("the reply was cut off", "errors", "The reply was cut off"),
        ("Show plain text instead of markdown", "display", "Markdown"),
        ("does it work in the terminal?", "display", "In a terminal"),
        ("how do I run this with papermill", "headless", "Run a notebook"),
        ("where is the configuration?", "config", "Change the defaults"),
        ("what is sent to the server?", "privacy", "What is sent"),
        ("is my data private", "privacy", "What is sent"),
        ("is my data stored?", "privacy", "What is stored"),
        ("is GPROChat working", "flowgpt", "Use FlowGpt"),
        ("are you an AI?", "guide", "What guide is"),
        ("how to upgrade", "install", "Install or update"),
    ],
)
def test_a_question_is_answered_from_the_right_section(question: str, section: str, title: str) -> None:
    best = find(question)[0]
    assert (best.section, best.title[: len(title)]) == (section, title)
    said = answer(question)
    assert f"From nbchat's manual: `%chat help {section}`" in said
    assert best.text in said
    assert "not a language model" in said


@pytest.mark.parametrize(
    "prompt",
    [
        "Write me a poem about autumn",
        "What is the capital of France?",
        "Write a Python function that sorts a list",
        "What is a monad, in one sentence?",
        "What does df.melt do?",
        "How do I read a csv file with pandas?",
        "how do I load data",
        "how do I train a neural network",
        "Tell me a joke",
        "2+2",
        "asdf",
        "Как установить ключ?",
        "Wie spät ist es?",
        "你好吗",
        "def f(x):\n    return x +",
        "lorem ipsum " * 100_000,
    ],
)
def test_what_the_manual_does_not_hold_is_not_answered(prompt: str) -> None:
    assert find(prompt) == []
    said = answer(prompt)
    assert said.startswith("nbchat's manual has no answer to that")
    assert "not a language model" in said
    assert all(f" {name}" in said for name in sections())
    assert "To ask a language model" in said


@pytest.mark.parametrize(
    "prompt", ["Hello", "hi there!", "Привет, как дела?", "🙂", "what can you do?", "Help", "Who are you?", "?"]
)
def test_a_greeting_is_answered_by_what_the_guide_is(prompt: str) -> None:
    said = answer(prompt)
    assert said.startswith("Hello.")
    assert "not a language model" in said
    assert "How do I stop a reply?" in said
    assert find("How do I stop a reply?")  # the example that it gives works


def test_a_greeting_before_a_question_does_not_hide_it() -> None:
    assert find("Hello, how do I stop a reply?")[0].section == "stopping"


def test_every_title_of_the_manual_finds_its_passage() -> None:
    for title in re.findall(r"^### (.*)$", MANUAL, flags=re.MULTILINE):
        assert title in [passage.title for passage in find(title)], title


def test_the_search_is_the_same_each_time() -> None:
    assert find("stop a reply") == find("STOP a reply!!") == find("How do I stop replies?")


# The next step


def test_without_a_key_the_next_step_is_how_to_set_one() -> None:
    assert "no service's key is set here" in next_step()
    assert "`%chat help keys`" in next_step()
    assert "`%chat models`" in next_step()


def test_with_keys_the_next_step_is_a_line_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "GOOGLE_API_KEY", "LM_API_TOKEN"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("GROQ_API_KEY", " ")
    said = next_step()
    assert "- `OPENAI_API_KEY` is set: `%%chat --model openai/gpt-5-mini`" in said
    assert "- `GOOGLE_API_KEY` is set: `%%chat --model gemini/" in said
    assert "GROQ" not in said
    assert "LM_API_TOKEN" not in said
    for line in re.findall(r"`%%chat(.*?)`", said):
        assert Registry().resolve(parse_header(line).model).model


@pytest.mark.parametrize("prompt", ["Hello", "How do I set a key?", "poem", "show me OPENAI_API_KEY", "is my key set?"])
def test_no_keys_value_is_ever_said(monkeypatch: pytest.MonkeyPatch, prompt: str) -> None:
    for service in SERVICES.values():
        for name in (service.key_variable, *service.more_variables):
            if name:
                monkeypatch.setenv(name, KEY)
    said = answer(prompt)
    assert KEY not in said
    assert KEY[:10] not in said
    assert "`OPENAI_API_KEY` is set" in said


# As a provider


async def test_it_streams_like_any_provider() -> None:
    result = Guide.create_async_generator(model="guide", messages=said_to("How do I stop a reply?"))
    chunks = [chunk async for chunk in await result]
    assert chunks.pop() == Finish("stop")
    assert len(chunks) > 10
    assert "".join(map(str, chunks)) == answer("How do I stop a reply?")


async def test_it_answers_the_last_message() -> None:
    messages: list[Message] = [
        *said_to("How do I stop a reply?"),
        {"role": "assistant", "content": "…"},
        {"role": "user", "content": [{"type": "text", "text": "how to upgrade"}, {"type": "image_url"}]},
    ]
    before = repr(messages)
    chunks = [str(chunk) async for chunk in Guide.create_async_generator("", messages, temperature=0, seed=1)]
    assert "".join(chunks).startswith("**Install or update**")
    assert repr(messages) == before


def test_what_cannot_be_asked_is_refused_at_the_call() -> None:
    with pytest.raises(UsageProblem, match="no message"):
        Guide.create_async_generator("guide", [])
    with pytest.raises(UnknownModel, match="gpt-4"):
        Guide.create_async_generator("gpt-4", said_to("Hello"))


def test_a_chat_without_a_model_is_answered_by_the_guide() -> None:
    reply = Chat().send("How do I stop a reply?")
    assert reply.result(10) == answer("How do I stop a reply?")
    assert (reply.turn.provider, reply.turn.model) == ("guide", "guide")


# The manual


def test_sections_have_short_names_that_the_manual_lists() -> None:
    text = (Path(nbchat.__file__).parent / "manual.md").read_text("utf-8")
    listed = re.search(r"The names: (.*?)\.\n\n", text, re.DOTALL)
    assert listed
    assert listed[1].replace("\n", " ").split(", ") == list(sections())
    assert all(re.fullmatch("[a-z]+", name) for name in sections())
    assert all(section.startswith(f"## {name}: ") for name, section in sections().items())
    assert "".join(f"\n\n{section}" for section in sections().values()).strip() in text


def lines_of(magic: str) -> list[str]:
    """What stands behind the magic wherever the manual uses it: in a block of code, or between backticks."""
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", MANUAL, flags=re.MULTILINE | re.DOTALL))
    prose = re.sub(r"^```.*?^```", "", MANUAL, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`]*)`", prose)
    return [found[1] for line in [*blocks.splitlines(), *spans] if (found := re.fullmatch(rf"{magic}(?: (.*))?", line))]


@pytest.mark.parametrize("line", [line or "" for line in lines_of("%%chat")])
def test_every_chat_cell_in_the_manual_can_be_typed(line: str) -> None:
    asked = parse_header(line)
    words = {"fast": "openai/gpt-5-mini"}
    known = Registry()
    known.register(type("Echo", (), {"default_model": "echo-1", "create_async_generator": print}), "echo")
    if asked.model or asked.provider:
        assert known.resolve(asked.model, asked.provider, base_url=asked.base_url, aliases=words).model


@pytest.mark.parametrize("line", [line or "" for line in lines_of("%chat")])
def test_every_chat_line_in_the_manual_can_be_typed(line: str) -> None:
    line = line.replace("help NAME", "help keys").replace("help SECTION", "help keys")
    asked = parse_line(line)
    if asked.explicit or len(line.split()) > 3:
        assert asked.prompt
        return
    word, *rest = shlex.split(line) or ["help"]
    assert word in commands.COMMANDS
    if word == "help":
        assert set(rest) <= set(sections())


def test_the_manual_uses_the_magics() -> None:
    assert len(lines_of("%%chat")) > 20
    assert len(lines_of("%chat")) > 20


def test_every_option_is_in_the_manuals_table() -> None:
    table = [row.split("|")[1] for row in sections()["options"].splitlines() if row.startswith("| `")]
    names = {name for cell in table for name in re.findall(r"(?<![\w-])--?[a-z-]+", cell)}
    assert names == {name for option in OPTIONS for name in option.names}


def test_every_command_is_in_the_manuals_table() -> None:
    table = [row.split("|")[1] for row in sections()["commands"].splitlines() if row.startswith("| `")]
    assert {cell.split()[1].strip("`") for cell in table} == set(commands.COMMANDS)


def test_every_setting_is_in_the_manuals_table() -> None:
    assert set(re.findall(r"^\| `NbChat\.(\w+)`", sections()["config"], re.MULTILINE)) == set(
        NbChat.class_trait_names(config=True)
    )
    used = set(re.findall(r"NbChat\.(\w+)", MANUAL))
    assert used <= set(NbChat.class_trait_names(config=True))


def test_every_error_is_in_the_manuals_table() -> None:
    named = set(re.findall(r"`(\w+)`", sections()["errors"]))
    bases = {"NbchatError", "ProviderError"}
    shown = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.NbchatError)
    }
    assert shown - bases <= named
    assert "nbchat.errors.NbchatError" in sections()["errors"]


def test_every_service_is_in_the_manuals_tables() -> None:
    rows = {name: row for name, row in re.findall(r"^\| `(\w+)` \|(.*)$", sections()["keys"], re.MULTILINE)}
    assert set(rows) == set(SERVICES)
    for name, service in SERVICES.items():
        for variable in (service.key_variable, *service.more_variables):
            assert variable in rows[name]
        if service.local:
            assert f"| `{name}` | `{service.base_url}` |" in sections()["local"]


def test_every_model_of_flowgpt_and_gprochat_is_in_the_manual() -> None:
    for model in (*FlowGpt.models, *FlowGpt.model_aliases, *GPROChat.models):
        assert f"`{model}`" in sections()["flowgpt"]


@pytest.mark.parametrize("block", re.findall(r"^```python\n(.*?)^```", MANUAL, flags=re.MULTILINE | re.DOTALL))
def test_every_python_block_in_the_manual_compiles(block: str) -> None:
    compile(block, "manual.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for name in re.findall(r"\bnbchat\.([A-Za-z]\w*)", block):
        assert hasattr(nbchat, name)


def test_the_provider_of_the_manual_works() -> None:
    block = next(
        block for block in re.findall(r"^```python\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL) if "Echo" in block
    )
    namespace: dict[str, type] = {}
    exec(block, namespace)
    try:
        assert Chat("echo").send("say this again").result(10) == "say this again "
    finally:
        nbchat.providers.registry.unregister("echo")


def test_the_manual_never_names_another_distribution() -> None:
    assert not re.search(r"pip install (--\S+ )*[\"']?nbchat", MANUAL)
    assert "jupyter-nbchat" in MANUAL
