"""The subcommands: what each prints, and which lines are prompts instead."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import nbchat
from nbchat import Chat, UsageProblem
from nbchat.commands import COMMANDS, Page, Series, Table, run
from nbchat.config import settings
from nbchat.errors import ProviderError, UnknownModel
from nbchat.history.table import when
from nbchat.messages import Finish
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
    assert isinstance(result, str | Table)
    return result if isinstance(result, str) else result.text


def test_every_subcommand_is_in_the_help(chat: Chat) -> None:
    shown = said(chat, "help")
    for name in COMMANDS:
        assert re.search(rf"  %chat {name}\b|[ ,]{name}[,;]", shown), name
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
    assert shown.splitlines()[1].split()[2:] == ["scripted", *2 * ["first", "prompt"], "done"]
    assert "second prompt" in said(chat, "history -n 1")
    assert "first prompt" not in said(chat, "history -n 1")
    assert said(chat, "history 1") == said(chat, "history -n 1")
    with pytest.raises(UsageProblem, match="needs a number"):
        run(chat, "history -n")
    assert run(chat, "history of Rome") is None
    assert said(Chat(), "history") == "No turns yet."


def test_undo_takes_back_one_turn_after_the_other(chat: Chat) -> None:
    assert said(chat, "undo") == "Taken back: 'second prompt'. Run its cell to ask again."
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


@pytest.fixture
def notebook() -> Chat:
    """The notebook's conversation, with an echo, and two turns."""
    made = nbchat.current()
    provider = ScriptedProvider(name="fake")
    made.send("first prompt", provider=provider).result(10)
    made.send("second prompt").result(10)
    return made


def test_history_can_be_searched_and_had_as_data(chat: Chat) -> None:
    assert "first prompt" not in said(chat, "history --search SECOND")
    assert "second prompt" in said(chat, "history --search 'second prompt'")
    assert said(chat, "history --search nothing like it") == "No such turns."
    found = json.loads(said(chat, "history --json -n 1"))
    assert [(row["number"], row["prompt"], row["reply"]) for row in found] == [(2, "second prompt", "second prompt")]
    with pytest.raises(UsageProblem, match="needs a text"):
        run(chat, "history --search")


def test_versions_of_a_turn_are_listed_and_one_made_to_count(chat: Chat) -> None:
    chat.retry(turn=chat.history[0]).result(10)
    listed = said(chat, "versions 1").splitlines()
    assert [line.split()[0] for line in listed] == ["1", "*"]
    first, second = chat.history.versions(chat.history[0])
    assert said(chat, "versions 1 1") == "Turn 1 is its version 1 again; `%chat undo` undoes it."
    assert chat.history[0] is first
    assert "counts already" in said(chat, "versions 1 1")
    said(chat, "undo")
    assert chat.history[0] is second
    with pytest.raises(UsageProblem, match="has 2 versions"):
        run(chat, "versions 1 3")
    assert run(chat, "versions of Windows") is None


def test_turns_are_hidden_dropped_and_brought_back(chat: Chat) -> None:
    assert said(chat, "hide 1-2") == "Turns 1, 2: not sent any more; `%chat unhide 1-2` undoes it."
    assert chat.messages == []
    assert said(chat, "unhide 2") == "Turn 2: not hidden any more. Stale now: 1 turn (`%chat retry --stale`)."
    assert said(chat, "undo 2") == "Turn 2: hidden again.\nTurns 1, 2: not hidden any more."
    assert said(chat, "drop 1") == "Turn 1: dropped; `%chat undo` undoes it. Stale now: 1 turn (`%chat retry --stale`)."
    assert [turn.prompt for turn in chat.history] == ["second prompt"]
    assert said(chat, "undo") == "Turn 1: back again."
    with pytest.raises(UsageProblem, match="no turn 7"):
        run(chat, "drop 1 7")
    assert run(chat, "drop the idea") is None


def test_a_cut_reply_is_continued_in_place(chat: Chat) -> None:
    with pytest.raises(UsageProblem, match="nothing to continue"):
        run(chat, "continue")()  # type: ignore[operator,misc]  # it starts a reply
    provider = ScriptedProvider(["one ", 60], ["two"])
    reply = chat.send("count", provider=provider)
    next(iter(reply))
    reply.stop()
    reply.wait(10)
    start = run(chat, "continue")
    assert callable(start)
    assert start().result(10) == "one two"
    roles = [(message["role"], message["content"]) for message in provider.calls[-1].messages[-3:]]
    assert roles[:2] == [("user", "count"), ("assistant", "one ")]
    assert roles[2][0] == "user"
    assert [turn.text for turn in chat.history.versions(chat.history[-1])] == ["one ", "one two"]


def test_stale_turns_are_asked_again_in_order(chat: Chat) -> None:
    assert said(chat, "retry --stale") == "No turn is stale."
    chat.drop(chat.history[0])
    result = run(chat, "retry --stale")
    assert isinstance(result, Series)
    assert [turn.prompt for turn in result.turns] == ["second prompt"]
    result.start(result.turns[0]).result(10)
    assert said(chat, "retry --stale") == "No turn is stale."


def test_edit_puts_the_prompt_into_the_next_cell(chat: Chat, shell: Any) -> None:
    assert "next cell" in said(chat, "edit 1")
    assert shell.rl_next_input == f"%%chat --edit {chat.history[0].id[:8]}\nfirst prompt"
    assert run(chat, "edit this text") is None


def test_edit_needs_somebody_who_can_make_a_cell(chat: Chat) -> None:
    with pytest.raises(UsageProblem, match="No cell can be made"):
        run(chat, "edit 1")


def test_the_system_prompt_of_a_conversation(chat: Chat) -> None:
    assert "has no system prompt" in said(chat, "system")
    assert said(chat, "system Be brief.").endswith("Stale now: 2 turns (`%chat retry --stale`).")
    assert chat.messages[0] == {"role": "system", "content": "Be brief."}
    assert said(chat, "system") == "Be brief."
    assert "There was none" not in said(chat, "system Be kind.")
    assert said(chat, "system --clear").endswith("Before: 'Be kind.'.")
    assert chat.system is None


def test_conversations_are_forked_switched_renamed_and_deleted(notebook: Chat) -> None:
    assert said(notebook, "list") == f"* main  2 turns, last at {when(notebook.history[-1].started)}: second prompt"
    assert "'main-2' now, with 2 turns" in said(notebook, "fork")
    fork = nbchat.current()
    assert fork is not notebook
    fork.send("third", provider=ScriptedProvider(name="fake")).result(10)
    assert (len(fork.history), len(notebook.history)) == (3, 2)
    assert "'main' now: 2 turns; `%chat switch main-2` goes back" in said(fork, "switch main")
    assert nbchat.current() is notebook
    assert "`%chat rename plans main-2` undoes it" in said(notebook, "rename main-2 plans")
    assert "'plans' with 3 turns is deleted" in said(notebook, "delete plans")
    assert "plans" not in said(notebook, "list")
    assert said(notebook, "undo") == "The conversation 'plans' is back."
    assert "3 turns" in said(notebook, "switch plans")
    assert "'empty' now: 0 turns" in said(notebook, "switch -n empty")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("switch mian", "Did you mean main"),
        ("switch ideas", "`%chat switch -n ideas` begins it"),
        ("switch -n main", "already"),
        ("switch -n ../x", "is no name"),
        ("fork main", "already"),
        ("delete main", "Every notebook has"),
        ("delete ideas", "no conversation 'ideas'"),
        ("rename ideas plans", "no conversation 'ideas'"),
    ],
)
def test_a_conversation_that_is_not_there_is_no_prompt(notebook: Chat, line: str, problem: str) -> None:
    with pytest.raises(UsageProblem, match=re.escape(problem)):
        run(notebook, line)
    assert len(notebook.history) == 2


def test_a_conversation_is_exported_and_imported(notebook: Chat, tmp_path: Path) -> None:
    notebook.system = "Be brief."
    file = tmp_path / "my talk.json"
    assert said(notebook, f"export {file}") == f"2 turns written to {file}."
    said(notebook, "switch -n other")
    other = nbchat.current()
    assert said(other, f"import {file}") == (
        "2 of 2 turns taken in; `%chat undo` undoes it. The file's system prompt is not taken over: 'Be brief.'"
    )
    assert [turn.prompt for turn in other.history] == ["first prompt", "second prompt"]
    assert other.system is None
    assert said(other, f"import {file}") == "Nothing taken in: 2 turns in the file, all here already."
    assert said(other, "undo") == "Taken back: 2 turns that were imported."
    assert run(other, "export the data to a table") is None


def test_what_is_stored_needs_a_store(notebook: Chat) -> None:
    settings().history = "memory"
    assert "in memory only" in said(notebook, "notebooks")
    with pytest.raises(UsageProblem, match="in memory only"):
        run(notebook, "forget x.ipynb")


def test_a_range_of_turns_has_two_ends_that_are_there(chat: Chat) -> None:
    with pytest.raises(UsageProblem, match="smaller one comes first"):
        run(chat, "drop 2-1")
    with pytest.raises(UsageProblem, match="no turn 1000000000"):
        run(chat, "drop 1-1000000000")
    assert len(chat.history) == 2


def test_an_option_that_is_none_makes_no_prompt(chat: Chat) -> None:
    with pytest.raises(UsageProblem, match=r"`%chat history \[N\]`"):
        run(chat, "history -n x")
    with pytest.raises(UsageProblem, match=r"`%chat drop N…`: take turns out"):
        run(chat, "drop")


def test_a_reply_that_reached_its_limit_can_be_continued() -> None:
    provider = ScriptedProvider(["one ", Finish("length")], ["two"])
    chat = Chat(provider=provider)
    assert chat.send("count").result(10) == "one "
    start = run(chat, "continue")
    assert callable(start)
    assert start().result(10) == "one two"


def test_a_turn_whose_retry_failed_is_asked_again_with_the_stale_ones() -> None:
    chat = Chat(provider=ScriptedProvider(["fine"], ["fine"], [ProviderError("is down")], ["again"]))
    chat.send("a").result(10)
    chat.send("b").result(10)
    with pytest.raises(ProviderError):
        chat.retry().result(10)
    result = run(chat, "retry --stale")
    assert isinstance(result, Series)
    assert [turn.prompt for turn in result.turns] == ["b"]


def test_a_turn_from_a_file_is_not_sent_again_to_whom_the_file_names(tmp_path: Path) -> None:
    chat = Chat()
    file = tmp_path / "talk.json"
    file.write_text('[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]')
    said(chat, f"import {file}")
    start = run(chat, "retry")
    assert callable(start)
    with pytest.raises(UsageProblem, match="came with a file"):
        start()
    assert [turn.text for turn in chat.history] == ["a"]
