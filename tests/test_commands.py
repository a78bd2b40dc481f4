"""The subcommands: what each prints, and which lines are prompts instead."""

from __future__ import annotations

import re

import pytest

import nbchat
from nbchat import Chat, UsageProblem
from nbchat.commands import COMMANDS, Page, run
from nbchat.config import settings
from nbchat.errors import UnknownModel
from nbchat.providers import OpenAICompatible, guide, registry
from nbchat.testing import OpenAIServer, ScriptedProvider


@pytest.fixture
def chat() -> Chat:
    """A conversation with an echo, and two turns."""
    made = Chat(provider=ScriptedProvider(name="fake"))
    made.send("first prompt").result(10)
    made.send("second prompt").result(10)
    return made


def said(chat: Chat, line: str) -> str:
    """What the subcommand prints."""
    result = run(chat, line)
    assert isinstance(result, str)
    return result


def test_every_subcommand_is_in_the_help_and_has_a_line_there(chat: Chat) -> None:
    shown = said(chat, "help")
    for name in COMMANDS:
        assert f"  %chat {name}" in shown
    assert said(chat, "") == shown


def test_help_prints_a_section_of_the_manual(chat: Chat) -> None:
    for name, text in guide.sections().items():
        assert said(chat, f"help {name}") == text
        assert isinstance(run(chat, f"help {name}"), Page)
    with pytest.raises(UsageProblem, match="Did you mean keys"):
        run(chat, "help kyes")
    assert run(chat, "help me") is None


def test_every_subcommand_that_the_manual_names_exists() -> None:
    text = " ".join(guide.sections().values())
    for name in COMMANDS:
        assert f"%chat {name}" in text, f"the manual does not tell of {name}"


def test_history_lists_the_turns(chat: Chat) -> None:
    shown = said(chat, "history")
    assert "  1  " in shown
    assert "> first prompt" in shown
    assert "second prompt" in said(chat, "history -n 1")
    assert "first prompt" not in said(chat, "history -n 1")
    assert said(chat, "history 1") == said(chat, "history -n 1")
    with pytest.raises(UsageProblem, match="needs a number"):
        run(chat, "history -n")
    assert run(chat, "history of Rome") is None
    assert said(Chat(), "history") == "No turns yet."


def test_undo_takes_back_one_turn_after_the_other(chat: Chat) -> None:
    assert said(chat, "undo") == "Turn 2 is taken back: 'second prompt'. Run its cell to ask again."
    assert [turn.prompt for turn in chat.history] == ["first prompt"]
    said(chat, "undo")
    assert said(chat, "undo") == "There is nothing to undo."


def test_reset_says_how_to_undo_it(chat: Chat) -> None:
    assert said(chat, "reset") == "2 turns forgotten; `%chat undo` undoes it."
    assert said(chat, "undo") == "What was there before the reset is back: 2 turns."
    assert len(chat.history) == 2
    said(chat, "reset")
    assert said(chat, "reset") == "There was nothing to forget."


def test_retry_gives_a_reply_in_place(chat: Chat) -> None:
    start = run(chat, "retry")
    assert callable(start)
    assert start().result(10) == "second prompt"
    assert len(chat.history) == 2
    with pytest.raises(UnknownModel):
        run(chat, "retry gpt-99")
    with pytest.raises(UsageProblem, match="Did you mean guide"):
        run(chat, "retry giude")
    assert run(chat, "retry please") is None


def test_stop_counts_what_it_stopped(chat: Chat) -> None:
    assert said(chat, "stop") == "No reply of this conversation is under way."
    chat.send("x", provider=ScriptedProvider(["one", 60]))
    assert said(chat, "stop") == "Stopped 1 reply."


def test_alias_makes_lists_and_forgets_short_names(chat: Chat) -> None:
    assert said(chat, "alias fast=openai/gpt-5-mini g=google-gemini") == "fast = openai/gpt-5-mini\ng = google-gemini"
    assert settings().aliases == {"fast": "openai/gpt-5-mini", "g": "google-gemini"}
    assert Chat("g").model == "google-gemini"
    assert said(chat, "alias g") == "g = google-gemini"
    assert said(chat, "alias fast=") == "g = google-gemini"
    assert "No aliases" in said(Chat(), "alias g=")
    with pytest.raises(UnknownModel):
        run(chat, "alias x=no-such-model")
    with pytest.raises(UsageProblem, match="no alias 'x'"):
        run(chat, "alias x=")
    assert run(chat, "alias of a king") is None


def test_config_lists_all_settings_with_their_help(chat: Chat) -> None:
    shown = said(chat, "config")
    for name in settings().trait_names(config=True):
        assert f"NbChat.{name}" in shown


def test_version(chat: Chat) -> None:
    assert said(chat, "version") == f"nbchat {nbchat.__version__}"


def test_models_tells_what_is_usable_and_which_keys_are_set(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "secret-value-of-the-key")
    shown = said(chat, "models")
    assert "✓ guide" in shown
    assert "✓ groq" in shown
    assert "secret-value" not in shown
    assert "OPENAI_API_KEY" in shown
    assert "google-gemini" in shown


def test_models_finds_a_local_server(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer(models=["tiny"]) as server:
        ollama = registry.resolve("ollama/x").provider
        monkeypatch.setattr(ollama, "_parts", OpenAICompatible(server.url)._parts)
        shown = said(chat, "models")
    assert re.search(r"✓ ollama +answers at .*ollama/tiny", shown)
    assert re.search(r"no answer on this machine from lmstudio", shown)


@pytest.mark.parametrize(
    "line", ["models of the world", "reset the counter", "undo that", "config my vim", "version 2"]
)
def test_more_words_make_it_a_prompt(chat: Chat, line: str) -> None:
    assert run(chat, line) is None


@pytest.mark.parametrize(
    ("word", "near"), [("histroy", "history"), ("modles", "models"), ("hello", "`%chat -- hello`")]
)
def test_one_unknown_word_is_not_sent(chat: Chat, word: str, near: str) -> None:
    with pytest.raises(UsageProblem, match=near):
        run(chat, word)
