"""The panel's kernel half, without a browser: what the page is told, and what becomes of what it asks for."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import weakref
from ast import literal_eval
from collections.abc import Callable, Iterator
from copy import copy
from datetime import datetime
from inspect import signature
from itertools import count
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient

import front_end
import nbchat
from folding import WAIT, Page
from kernels import CellFailed, Kernel
from nbchat import Chat, UsageProblem, notebook
from nbchat.config import settings as nbchat_settings
from nbchat.conversations import conversations
from nbchat.errors import ProviderError
from nbchat.history import Turn
from nbchat.messages import Notice, Reasoning, Usage
from nbchat.panel import entry, widget
from nbchat.panel.outputs import outputs
from nbchat.panel.transcript import Transcript
from nbchat.panel.widget import Panel
from nbchat.testing import Gate, ScriptedProvider
from shells import RaisingShell

WIDGET = "application/vnd.jupyter.widget-view+json"
SENTENCE = "nbchat's panel: run this cell to see the conversation"
SECRET = "sk-proj-Zz93kfQm2LbX07vRtYw5"
Open = Callable[..., Page]


@pytest.fixture
def open_page() -> Iterator[Open]:
    """A function that makes a panel, for a Chat or for the notebook's own conversation, and gives its page."""
    panels = []

    def opened(chat: Chat | None = None) -> Page:
        panels.append(Panel(chat))
        panels[-1]._has_page = True  # as where the front end tells which cell runs
        return Page(panels[-1])

    yield opened
    for panel in panels:
        panel.close()


def scripted(*replies: Any) -> Chat:
    return Chat(provider=ScriptedProvider(*replies))


def gated(*pieces: Any) -> tuple[list[Any], list[Gate]]:
    """A script that waits at a gate before each piece and before its end, and the gates."""
    gates = [Gate() for _ in range(len(pieces) + 1)]
    script = [part for gate, piece in zip(gates, pieces, strict=False) for part in (gate, piece)]
    return [*script, gates[-1]], gates


def with_turns(number: int, text: str = "some text") -> Chat:
    """A conversation that has gone on for long."""
    chat = scripted()
    turns = [Turn(f"prompt {n}", "m", "p", status="done", place=float(n)) for n in range(1, number + 1)]
    for turn in turns:
        turn.chunks.append(text)
    chat.history.merge(turns)
    return chat


# What the page is told


def test_a_prompt_of_the_page_streams_to_it_and_ends_with_its_text(open_page: Open) -> None:
    script, gates = gated("# One\n\n", "two\n\n", Reasoning("hm"), "three", Usage(3, 5))
    page = open_page(scripted(script))
    nonce = page.post("send", text="count", model="")
    page.until(lambda: page.turns)
    turn = page.turns[0]
    assert (turn["prompt"], turn["number"], turn["cell"], turn["text"]) == ("count", 1, None, None)
    for gate in gates[:-1]:
        gate.open()
    page.until(lambda: page.turns[0]["reasoning"] == "hm" and "three" in page.turns[0]["tail"])
    assert "<h3" in page.turns[0]["blocks"][0]
    assert page.turns[0]["status"] == "streaming"
    gates[-1].open()
    page.settle()
    turn = page.turns[0]
    assert (turn["status"], turn["text"], turn["tail"]) == ("done", "# One\n\ntwo\n\nthree", "")
    assert (turn["tokens"], turn["prompt_tokens"]) == (5, 3)
    assert [message["op"] for message in page.messages if message.get("nonce") == nonce] == ["ack", "done"]
    assert "error" not in page.answers("done", nonce)[0]


def test_finished_blocks_are_told_once(open_page: Open) -> None:
    script, gates = gated(*(f"Paragraph {n}\n\n" for n in range(10)))
    page = open_page(scripted(script))
    page.post("send", text="x", model="")
    for gate in gates:
        assert gate.wait_reached()
        page.panel._draw()
        gate.open()
    page.settle()
    changes = [change for frame in page.frames for change in frame["changes"]]
    sealed = "".join(block for change in changes for block in change.get("add", {}).get("blocks", []))
    assert [sealed.count(f"Paragraph {n}<") for n in range(10)] == [1] * 10


def test_a_long_reply_that_comes_at_once_is_told_in_blocks_that_a_page_can_paint_one_by_one(open_page: Open) -> None:
    text = "\n\n".join(f"Paragraph {n} with *some* words." for n in range(1500))
    page = open_page(scripted(text))
    page.ask("send", text="x", model="")
    page.settle()
    assert len(page.turns[0]["blocks"]) > 10
    assert max(map(len, page.turns[0]["blocks"])) < 40_000
    assert page.turns[0]["text"] == text


def test_a_turn_that_is_read_shows_the_same_words_as_one_that_was_watched(open_page: Open) -> None:
    chat = scripted("Some *words*\n\n```python\nx = 1\n```\n")
    page = open_page(chat)
    page.ask("send", text="x", model="")
    page.settle()
    assert "".join(open_page(chat).turns[0]["blocks"]) == "".join(page.turns[0]["blocks"])


def test_six_kilobytes_of_reply_cost_less_than_two_hundred(open_page: Open) -> None:
    """Of a model that writes 350 characters a second; the time is reckoned, not waited for."""
    text = "".join(f"Sentence {n} of a paragraph{'.' if n % 5 else '.' + chr(10) * 2} " for n in range(210))[:6000]
    script, gates = gated(*(text[at : at + 12] for at in range(0, 6000, 12)))
    page = open_page(scripted(script))
    page.ask("send", text="x", model="")
    page.panel._ticker.cancel()  # which goes by real time
    seconds = 0.0
    for number, gate in enumerate(gates):
        assert gate.wait_reached()
        if number * 12 / 350 >= seconds:
            page.panel._draw()
            seconds += widget._pause(seconds, 0, page.panel._size)
        gate.open()
    page.until(lambda: page.panel._draw() is False)
    assert page.turns[0]["text"] == text
    assert len(page.frames) > 80
    assert sum(message["size"] for message in page.messages) < 200_000


def test_the_pace_of_frames() -> None:
    assert widget._pause(1, 0, 0) == 0.1
    assert widget._pause(21, 0, 0) == 0.25
    assert widget._pause(1, 0, 1_000) == 0.19
    assert widget._pause(1, 0, 1_000_000) == 0.25
    assert widget._pause(1, 1, 0) == 2


def test_a_failed_reply_tells_its_error_and_keeps_what_came(open_page: Open) -> None:
    page = open_page(scripted(["half", ProviderError("answered 500", provider="scripted")]))
    page.ask("send", text="x", model="")
    page.settle()
    turn = page.turns[0]
    assert (turn["status"], turn["text"]) == ("failed", "half")
    assert turn["error"] == "scripted answered 500."


def test_notices_are_told_while_they_hold_and_notes_for_good(open_page: Open) -> None:
    script, gates = gated(Notice("busy, again in 4 s"), Notice("a model was replaced", lasting=True), "text")
    page = open_page(scripted(script))
    page.post("send", text="x", model="")
    gates[0].open()
    page.until(lambda: page.turns and page.turns[0]["notice"] == "busy, again in 4 s")
    for gate in gates:
        gate.open()
    page.settle()
    assert page.turns[0]["notice"] == ""
    assert page.turns[0]["notes"] == ["a model was replaced"]


def test_what_is_said_at_the_very_end_of_a_reply_is_told_too(open_page: Open) -> None:
    """That later turns are stale is found out after the reply's status has changed."""
    chat = scripted("one", "two", "another")
    page = open_page(chat)
    page.ask("send", text="a", model="")
    page.ask("send", text="b", model="")
    page.settle()
    page.ask("retry", id=page.turns[0]["id"], model="")
    page.until(lambda: page.turns[0]["notes"] and page.turns[1]["stale"])
    page.settle()
    assert page.turns[0]["notes"] == ["1 later turn is now stale (%chat retry --stale)"]
    assert page.turns[0]["versions"] == 2


def test_a_note_that_comes_after_the_end_was_seen_is_told() -> None:
    transcript = Transcript(chat := scripted("text"))
    chat.send("x").result()
    transcript.changes()
    chat.history[0].notices.append(Notice("a word", lasting=True))
    chat.history.keep(chat.history[0])
    assert transcript.changes().changes == [{"id": chat.history[0].id, "set": {"notes": ["a word"]}}]


def test_while_a_reply_is_silent_the_page_hears_that_the_kernel_is_there(open_page: Open) -> None:
    gate = Gate()
    page = open_page(scripted(["text", gate]))
    page.post("send", text="x", model="")
    page.until(lambda: any(frame.get("changes") == [] and "head" not in frame for frame in page.frames))
    gate.open()
    page.settle()


def test_an_idle_panel_does_nothing_while_another_streams(open_page: Open) -> None:
    idle = open_page(scripted("text"))
    idle.ask("send", text="x", model="")
    idle.settle()
    looks = count()
    changes = idle.panel._transcript.changes

    def counted() -> Any:
        next(looks)
        return changes()

    script, gates = gated(*"abcdef")
    other = open_page(scripted(script))
    other.post("send", text="x", model="")
    other.until(lambda: other.turns)
    idle.panel._transcript.changes = counted  # type: ignore[method-assign]  # to count the looks at it
    for gate, letter in zip(gates, "abcdef", strict=False):
        gate.open()
        other.until(lambda letter=letter: f"{letter}</p>" in other.turns[0]["tail"])
    gates[-1].open()
    other.settle()
    assert next(looks) == 0


def test_halves_of_characters_harm_nothing(open_page: Open) -> None:
    pieces = ["\ud83d", "\ude00 \udc00", Reasoning("\ud800"), Notice("\ud800", lasting=True), ProviderError("\udfff")]
    page = open_page(scripted(pieces))
    page.ask("send", text="a \ud83d\ude00 \ud800", model="")
    page.settle()
    turn = page.turns[0]
    assert (turn["prompt"], turn["text"], turn["reasoning"]) == ("a 😀 \ufffd", "😀 \ufffd", "\ufffd")


@pytest.mark.parametrize("tokens", [float("nan"), "many", -1, 10**400])
def test_a_strange_number_of_tokens_is_not_told(open_page: Open, tokens: Any) -> None:
    page = open_page(scripted(["text", Usage(tokens, tokens)]))
    page.ask("send", text="x", model="")
    page.settle()
    assert (page.turns[0]["tokens"], page.turns[0]["prompt_tokens"]) == (None, None)


def test_raw_html_of_a_reply_is_text(open_page: Open) -> None:
    page = open_page(scripted("<script>alert(1)</script> <img src=x onerror=alert(1)>"))
    page.ask("send", text="<b>x</b>", model="")
    page.settle()
    assert "<script" not in "".join(page.turns[0]["blocks"])
    assert "<img" not in "".join(page.turns[0]["blocks"])
    assert page.turns[0]["prompt"] == "<b>x</b>"


def test_no_message_holds_a_secret(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    failing = ScriptedProvider(RuntimeError(f"key {SECRET} refused"), "fine")
    chat = Chat(provider=failing, proxy=f"http://user:{SECRET}@127.0.0.1:1", api_token=SECRET)
    page = open_page(chat)
    page.ask("send", text="x", model="")
    page.ask("send", text="y", model="")
    page.settle()
    assert "error" in page.ask("send", text="z", model=f"no-such-model-{SECRET}")
    page.settle()
    told = json.dumps([page.messages, page.panel.get_state()])
    assert page.turns[0]["status"] == "failed"
    assert SECRET not in told


# Long histories


def test_only_the_newest_turns_are_shown_the_rest_on_demand(open_page: Open) -> None:
    page = open_page(with_turns(500))
    page.settle()
    assert [turn["number"] for turn in page.turns] == list(range(301, 501))
    assert page.head["earlier"] == 300
    page.ask("earlier")
    page.until(lambda: len(page.turns) == 400)
    page.settle()
    assert [turn["number"] for turn in page.turns] == list(range(101, 501))
    assert page.head["earlier"] == 100


def test_a_long_history_opens_with_its_newest_turns_and_takes_in_the_others_bit_by_bit() -> None:
    transcript = Transcript(with_turns(300))
    sizes = []
    while transcript.is_live:
        update = transcript.changes()
        assert not update.is_large
        sizes.append(len(update.changes))
        assert transcript.snapshot()[0][-1]["number"] == 300
    assert sizes == [20] * 10


def test_long_replies_are_taken_in_one_by_one() -> None:
    transcript = Transcript(with_turns(4, "word " * 15_000))
    assert [len(transcript.changes().changes) for _ in range(4)] == [1, 1, 1, 1]
    assert not transcript.is_live


def test_a_look_at_ten_thousand_turns_costs_no_more_than_at_two_hundred() -> None:
    def steps(number: int) -> int:
        """How many functions are called by a tick."""
        gate = Gate()
        chat = with_turns(number)
        transcript = Transcript(chat)
        reply = chat.send("x", provider=ScriptedProvider(["text", gate]))
        assert gate.wait_reached()
        while transcript._is_behind:
            transcript.changes()
        calls = count()
        sys.setprofile(lambda *_: next(calls))
        try:
            transcript.changes()
        finally:
            sys.setprofile(None)
        gate.open()
        reply.result()
        return next(calls)

    assert steps(10_000) == steps(200)


def test_a_change_in_a_long_history_tells_only_what_has_changed(open_page: Open) -> None:
    chat = with_turns(10_000)
    page = open_page(chat)
    page.settle()
    seen = len(page.frames)
    chat.history.hide([chat.history[-5]])
    page.until(lambda: page.turns[-5]["standing"] == "hidden")
    page.settle()
    assert sum(frame["size"] for frame in page.frames[seen:]) < 5_000


def test_many_turns_that_go_at_once_are_told_as_a_whole(open_page: Open) -> None:
    chat = with_turns(30)
    page = open_page(chat)
    page.settle()
    chat.reset()
    page.until(lambda: not page.turns)
    assert page.frames[-1]["op"] == "snapshot"
    page.ask("undo")
    page.until(lambda: len(page.turns) == 30)
    page.settle()


def test_a_reply_whose_end_comes_from_elsewhere_is_told_anew(open_page: Open) -> None:
    """A turn that was under way when its kernel died, and the notebook that knows how it ended."""
    chat = with_turns(1)
    page = open_page(chat)
    page.settle()
    twin = copy(chat.history[0])
    twin.chunks = ["some text, and its end"]
    chat.history[0].never_ended = True
    chat.history.merge([twin])
    page.until(lambda: page.turns[0]["text"] == "some text, and its end")
    page.settle()
    assert "and its end" in "".join(page.turns[0]["blocks"])


def test_turns_that_change_places_change_them_on_the_page(open_page: Open) -> None:
    chat = with_turns(3)
    page = open_page(chat)
    page.settle()
    first, _, last = chat.history
    first.place, last.place = last.place, first.place
    chat.history.settle("as another kernel may have it")
    page.until(lambda: page.prompts == ["prompt 3", "prompt 2", "prompt 1"])
    page.settle()
    assert [turn["number"] for turn in page.turns] == [1, 2, 3]


# What the page asks for


def test_edit_keeps_the_place_and_the_cell_of_the_turn(open_page: Open) -> None:
    chat = scripted("one", "two", "edited")
    page = open_page(chat)
    page.ask("send", text="a", model="")
    page.ask("send", text="b", model="")
    page.settle()
    chat.history[0].cell, chat.history[0].execution = notebook_cell("cell-1"), 7
    page.ask("edit", id=chat.history[0].id, text="A")
    page.settle()
    assert page.prompts == ["A", "b"]
    assert page.turns[0]["text"] == "edited"
    assert chat.history[0].cell == notebook_cell("cell-1")
    assert page.turns[0]["cell"] == 7
    assert page.turns[1]["stale"]


def notebook_cell(id: str) -> Any:
    from nbchat.history import Cell

    return Cell(id, 0)


def test_an_edited_prompt_goes_by_the_proxy_and_with_all_options_of_its_turn(open_page: Open) -> None:
    provider = ScriptedProvider("one", "two")
    chat = Chat(provider=provider)
    page = open_page(chat)
    chat.send("a", proxy="http://127.0.0.1:9", stop="X", temperature=0.3).result(WAIT)
    page.settle()
    page.ask("edit", id=page.turns[0]["id"], text="b")
    page.settle()
    assert page.prompts == ["b"]
    assert provider.calls[1].options == provider.calls[0].options
    assert provider.calls[1].options["proxy"] == "http://127.0.0.1:9"


def test_a_prompt_goes_to_the_conversation_that_a_cell_has_just_switched_to(open_page: Open) -> None:
    page = open_page()
    for name in ("one", "two", "three"):
        page.ask("new")  # so that the next look would be a while away
        conversations.switch(name)
        page.ask("send", text=f"to {name}", model="")
        assert [turn.prompt for turn in conversations.named(name).history] == [f"to {name}"]


def test_what_is_shown_stays_while_many_turns_are_taken_in(open_page: Open) -> None:
    chat = with_turns(100)
    page = open_page(chat)
    page.settle()
    seen = len(page.frames)
    chat.history.extend(with_turns(45).history[:])
    page.settle()
    changes = [change for frame in page.frames[seen:] for change in frame["changes"]]
    assert not [change for change in changes if "gone" in change]
    assert [turn["number"] for turn in page.turns] == list(range(1, 146))


def test_a_reply_that_cannot_be_rendered_is_shown_as_it_is_and_the_others_as_ever(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Live(entry.rendering.Live):
        def finish(self, text: str) -> str:
            if "bad" in text:
                raise RuntimeError(text)
            return super().finish(text)

    monkeypatch.setattr(entry.rendering, "Live", Live)
    page = open_page(scripted("good *one*", "bad *two*", "good *three*"))
    for prompt in "abc":
        page.ask("send", text=prompt, model="")
    page.settle()
    first, second, third = ("".join(turn["blocks"]) for turn in page.turns)
    assert "<em>one</em>" in first
    assert "bad *two*" in second
    assert page.turns[1]["notes"] == ["it could not be rendered, and is shown as it is"]
    assert "<em>three</em>" in third
    assert [turn["status"] for turn in page.turns] == ["done"] * 3


def test_another_default_of_the_system_prompt_shows_what_is_stale(open_page: Open) -> None:
    page = open_page(scripted("one", "two"))
    page.ask("send", text="a", model="")
    page.settle()
    assert not page.turns[0]["stale"]
    nbchat_settings().system = "Be brief."
    page.until(lambda: page.turns[0]["stale"])


@pytest.mark.parametrize("height", [0, -5, 10**9, 420.5, "big", True])
def test_a_height_is_a_number_of_pixels(pretended_kernel: front_end.Kernel, height: Any) -> None:
    with pytest.raises(UsageProblem, match="from 200 to 4,000"):
        nbchat.panel(height=height)


def test_the_function_tells_its_arguments(pretended_kernel: front_end.Kernel) -> None:
    assert list(signature(nbchat.panel).parameters) == ["chat", "height"]


def test_an_edited_prompt_keeps_the_system_prompt_and_options_of_its_turn(open_page: Open) -> None:
    provider = ScriptedProvider()
    chat = Chat(provider=provider)
    page = open_page(chat)
    chat.send("a", system="Be brief.", temperature=0.5).result()
    page.settle()
    page.ask("edit", id=page.turns[0]["id"], text="b")
    page.settle()
    assert provider.calls[1].messages[0] == {"role": "system", "content": "Be brief."}
    assert provider.calls[1].options["temperature"] == 0.5


def test_delete_takes_exactly_one_and_undo_brings_it_back(open_page: Open) -> None:
    page = open_page(with_turns(3))
    page.settle()
    page.ask("delete", id=page.turns[1]["id"])
    page.settle()
    assert page.prompts == ["prompt 1", "prompt 3"]
    assert [turn["number"] for turn in page.turns] == [1, 2]
    assert page.head["undo"] == "the deletion of “prompt 2”"
    page.ask("undo")
    page.settle()
    assert page.prompts == ["prompt 1", "prompt 2", "prompt 3"]


def test_an_undone_prompt_goes_back_to_where_the_user_types(open_page: Open) -> None:
    page = open_page(scripted())
    page.ask("send", text="hello", model="")
    page.settle()
    assert page.ask("undo")["prompt"] == "hello"
    page.settle()
    assert page.turns == []
    assert page.ask("undo")["error"] == "There is nothing to undo."


def test_hide_and_unhide(open_page: Open) -> None:
    page = open_page(with_turns(1))
    page.settle()
    page.ask("hide", id=page.turns[0]["id"])
    assert page.turns[0]["standing"] == "hidden"
    page.ask("unhide", id=page.turns[0]["id"])
    assert page.turns[0]["standing"] == "current"


def test_stop_of_one_reply_and_of_all(open_page: Open) -> None:
    gates = [Gate(), Gate(), Gate()]
    page = open_page(scripted(*(["text", gate] for gate in gates)))
    for prompt in "abc":
        page.ask("send", text=prompt, model="")
    page.until(lambda: len(page.turns) == 3)
    assert [turn["status"] for turn in page.turns[1:]] == ["queued", "queued"]
    page.ask("stop", id=page.turns[1]["id"])
    page.until(lambda: page.turns[1]["status"] == "stopped")
    assert page.turns[2]["status"] == "queued"
    page.ask("stop", id="")
    page.settle()
    assert [turn["status"] for turn in page.turns] == ["stopped"] * 3


def test_stop_that_comes_right_behind_the_prompt_stops_it(open_page: Open) -> None:
    page = open_page(scripted(["text", Gate()]))
    page.post("send", text="x", model="")
    page.ask("stop", id="")
    page.settle()
    assert [turn["status"] for turn in page.turns] == ["stopped"]


def test_a_prompt_that_is_withdrawn_while_the_kernel_is_blocked_is_not_sent(open_page: Open) -> None:
    """When the kernel comes back, it gets both messages one after the other."""
    provider = ScriptedProvider()
    page = open_page(Chat(provider=provider))
    sent = page.post("send", text="never mind", model="")
    assert "error" not in page.ask("withdraw", of=sent)
    assert page.answers("ack", sent)
    page.settle()
    assert (provider.calls, page.turns) == ([], [])


def test_a_prompt_that_was_sent_cannot_be_withdrawn(open_page: Open) -> None:
    page = open_page(scripted())
    sent = page.post("send", text="x", model="")
    page.until(lambda: page.answers("done", sent))
    assert page.ask("withdraw", of=sent)["error"] == "It was sent already: Stop ends the reply."


def test_a_message_that_comes_twice_is_acknowledged_twice_and_carried_out_once(open_page: Open) -> None:
    page = open_page(scripted())
    for _ in range(3):
        page.panel._handle_custom_msg({"op": "send", "nonce": "same", "text": "x", "model": ""}, [])
    page.ask("stop", id="")
    page.settle()
    assert len(page.answers("ack", "same")) == 3
    assert len(page.answers("done", "same")) == 1
    assert page.prompts == ["x"]


def test_a_prompt_that_cannot_be_sent_is_answered_with_one_sentence(open_page: Open) -> None:
    page = open_page(scripted())
    assert page.ask("send", text=" \n", model="")["error"] == "There is nothing to send: the prompt is empty."
    assert "no-such-model" in page.ask("send", text="x", model="no-such-model")["error"]
    assert page.ask("retry", id="none", model="")["error"] == "That turn is not here any more."
    assert page.turns == []


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "send",
        {},
        {"op": None, "nonce": "n"},
        {"op": ["send"], "nonce": "n"},
        {"op": "__class__", "nonce": "n"},
        {"op": "send", "nonce": 1, "text": "x", "model": ""},
        {"op": "send", "nonce": float("nan"), "text": "x"},
        {"op": "send", "nonce": "n" * 10_000, "text": "x"},
        {"op": "send", "nonce": "n", "text": None, "model": ""},
        {"op": "send", "nonce": "n", "text": {"a": 1}},
        {"op": "send", "nonce": "n", "text": "x", "model": float("nan")},
        {"op": "send", "nonce": "n", "text": "x" * 10_000_001},
        {"op": "stop", "nonce": "n", "id": "x" * 1_001},
        {"op": "switch", "nonce": "n", "name": 5},
    ],
)
def test_garbage_is_acknowledged_with_an_error_and_harms_nothing(open_page: Open, content: Any) -> None:
    page = open_page(scripted())
    page.panel._handle_custom_msg(content, [])
    (answer,) = page.messages
    assert answer["op"] == "ack"
    assert answer["error"]
    assert answer["size"] < 2_000
    page.ask("send", text="x", model="")
    page.settle()
    assert page.prompts == ["x"]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@given(JSON)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_json_comes_is_answered(content: Any) -> None:
    panel = Panel(scripted())
    page = Page(panel)
    for message in (content, {"op": "undo", "nonce": content}, {"op": "send", "nonce": "n", "text": content}):
        panel._handle_custom_msg(message, [])
    assert [message["op"] for message in page.messages if message["op"] == "ack"] == ["ack"] * 3
    panel.close()


def test_a_state_that_a_page_sends_is_not_taken(open_page: Open) -> None:
    page = open_page(with_turns(1))
    page.settle()
    before = page.panel.get_state(["_turns", "_head", "_seq"])
    page.panel.set_state({"_turns": [{"id": "forged"}], "_head": {"model": "forged"}, "_seq": 99})
    assert page.panel.get_state(["_turns", "_head", "_seq"]) == before


def test_a_message_is_taken_at_once_though_the_conversation_is_busy(open_page: Open) -> None:
    page = open_page(scripted())
    with page.panel._transcript.chat.history._lock, page.panel._lock:
        receiver = threading.Thread(target=page.post, args=["send"], kwargs={"text": "x", "model": ""})
        receiver.start()
        receiver.join(WAIT)
        assert not receiver.is_alive()
        assert [message["op"] for message in page.messages] == ["ack"]
    page.until(lambda: page.prompts == ["x"])


def test_a_state_is_not_read_in_the_middle_of_a_frame(open_page: Open) -> None:
    """Else a page could get the turns of before it, and the number of after it."""
    panel = open_page(scripted()).panel
    reader = threading.Thread(target=panel.get_state)
    with panel._lock:
        reader.start()
        reader.join(0.3)
        assert reader.is_alive()
    reader.join(WAIT)
    assert not reader.is_alive()


def test_frames_come_from_the_panels_thread_in_the_order_of_their_numbers(open_page: Open) -> None:
    page = open_page(scripted(["a", 0.01] * 30))
    for prompt in "ab":
        page.ask("send", text=prompt, model="")
    page.settle()
    assert {frame["thread"] for frame in page.frames} == {"nbchat-panel"}
    numbers = [frame["seq"] for frame in page.frames]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_lost_frame_is_healed_by_the_whole(open_page: Open) -> None:
    chat = scripted(["a", 0.2, "b", 0.2, "c"])
    page = open_page(chat)
    page.loses = 1
    page.ask("send", text="x", model="")
    page.settle()
    assert page.turns[0]["text"] == "abc"
    assert "snapshot" in [frame["op"] for frame in page.frames]


def test_what_cannot_be_shown_does_not_end_the_panel(open_page: Open) -> None:
    """The turn that was taken in, and never told, comes with the whole."""
    page = open_page(scripted())
    transcript = page.panel._transcript
    with page.panel._lock:
        transcript._look_up = lambda: 1 / 0  # type: ignore[assignment, return-value, method-assign]
        transcript.chat.send("x").result()
        page.panel._draw()
        del transcript._look_up
    page.ask("send", text="y", model="")
    page.settle()
    assert page.prompts == ["x", "y"]


# The notebook's conversations


def test_the_notebooks_panel_follows_the_conversation(open_page: Open) -> None:
    nbchat.register(ScriptedProvider(name="echo"))
    page = open_page()
    conversations.current().send("first", model="echo").result()
    page.until(lambda: page.prompts == ["first"])
    assert (page.head["conversation"], page.head["mine"], page.head["model"]) == ("main", True, "scripted")
    conversations.switch("ideas")
    page.until(lambda: page.head["conversation"] == "ideas")
    assert (page.turns, page.head["conversations"]) == ([], ["main", "ideas"])
    conversations.rename("ideas", "plans")
    page.until(lambda: page.head["conversation"] == "plans")
    page.ask("switch", name="main")
    page.settle()
    assert page.prompts == ["first"]
    conversations.delete("plans")
    page.until(lambda: page.head["conversations"] == ["main"])
    assert page.head["undo"] == "the deletion of the conversation 'plans'"
    page.ask("undo")
    page.settle()
    assert page.head["conversations"] == ["main", "plans"]


def test_new_begins_a_conversation_with_a_free_name(open_page: Open) -> None:
    page = open_page()
    for name in ("chat-1", "chat-2"):
        page.ask("new")
        page.settle()
        assert page.head["conversation"] == conversations.shown().name == name
    assert page.ask("switch", name="none")["error"] == "There is no conversation 'none' any more."


def test_a_panel_of_a_chat_of_ones_own_switches_nowhere(open_page: Open) -> None:
    page = open_page(scripted())
    assert (page.head["mine"], page.head["conversations"]) == (False, [])
    for asked in ({"op": "new"}, {"op": "switch", "name": "main"}):
        assert "of its own" in page.ask(**asked)["error"]


def test_a_fork_shows_the_same_turns_and_goes_its_own_way(open_page: Open) -> None:
    nbchat.register(ScriptedProvider(name="echo"))
    chat = conversations.current()
    chat.send("first", model="echo").result()
    page = open_page()
    conversations.fork("other").send("second").result()
    page.until(lambda: page.prompts == ["first", "second"])
    page.ask("delete", id=page.turns[0]["id"])
    page.settle()
    assert [turn.prompt for turn in chat.history] == ["first"]


def test_the_settings_are_told_when_they_change(open_page: Open) -> None:
    page = open_page()
    assert (page.head["model"], page.panel._sends) == ("guide", "enter")
    nbchat_settings().model = "FlowGpt"
    nbchat_settings().panel_sends = "ctrl-enter"
    nbchat_settings().aliases = {"fast": "FlowGpt"}
    page.until(lambda: page.head["model"] == "FlowGpt")
    assert page.panel._sends == "ctrl-enter"
    assert "fast" in page.panel.models


# Cells


def test_a_turn_of_a_cell_appears_with_its_number(open_page: Open, shell: RaisingShell) -> None:
    shell.run_cell("%load_ext nbchat")
    nbchat.register(ScriptedProvider(["Hello ", "there"], name="echo"))
    page = open_page()
    shell.run_cell("%%chat echo\nHi", store_history=True)
    page.until(lambda: page.turns and page.turns[0]["text"] == "Hello there")
    assert (page.turns[0]["prompt"], page.turns[0]["cell"]) == ("Hi", conversations.shown().history[0].execution)
    shell.run_cell("%chat reset")
    page.until(lambda: not page.turns)


def test_what_the_panel_sends_belongs_to_no_cell_though_one_runs(
    open_page: Open, pretended_kernel: front_end.Kernel
) -> None:
    nbchat.register(ScriptedProvider(name="echo"))
    page = open_page()
    for execution in ("once", "again"):
        pretended_kernel.runs(execution, cell="cell-1")
        conversations.current().send("cell, first", model="echo").result()
        page.ask("send", text="panel", model="echo")
        page.settle()
        conversations.current().send("cell, second").result()
        page.until(lambda: len(page.turns) >= 3)
        conversations.cell_ends("cell-1")
        pretended_kernel.runs(f"after {execution}", cell="cell-2")
        turns = conversations.current().history
        assert [(turn.cell and tuple(turn.cell), turn.prompt) for turn in turns][:3] == [
            (("cell-1", 0), "cell, first"),
            (None, "panel"),
            (("cell-1", 1), "cell, second"),
        ]
    assert [turn.prompt for turn in turns] == ["cell, first", "panel", "cell, second", "panel"]


def test_a_retry_from_the_panel_keeps_the_turn_in_its_cell(open_page: Open, pretended_kernel: front_end.Kernel) -> None:
    nbchat.register(ScriptedProvider(name="echo"))
    page = open_page()
    pretended_kernel.runs("an execution", cell="cell-1")
    conversations.current().send("asked", model="echo").result()
    page.until(lambda: page.turns)
    pretended_kernel.runs("another", cell="cell-2")
    page.ask("retry", id=page.turns[0]["id"], model="")
    page.ask("edit", id=page.turns[0]["id"], text="changed")
    page.settle()
    (turn,) = conversations.current().history
    assert turn.cell == ("cell-1", 0)
    assert page.turns[0]["versions"] == 3


def test_who_is_apart_from_cells_sees_none_but_the_page(pretended_kernel: front_end.Kernel) -> None:
    pretended_kernel.runs("an execution", cell="cell-1")
    with notebook.apart_from_cells("the page"):
        assert (notebook.cell_id(), notebook.execution(), notebook.source()) == ("", "", "")
        assert notebook.page_session() == "the page"
    assert notebook.cell_id() == "cell-1"


def test_what_is_sent_apart_from_cells_has_no_cells_number(shell: RaisingShell) -> None:
    shell.run_cell("1", store_history=True)
    assert notebook.execution_number() > 0
    with notebook.apart_from_cells():
        assert notebook.execution_number() == 0


# The widget


def test_the_same_conversation_has_the_same_panel(pretended_kernel: front_end.Kernel) -> None:
    chat = scripted()
    own, other = nbchat.panel(), nbchat.panel(chat, height=600)
    assert nbchat.panel() is nbchat.panel(nbchat.current()) is own
    assert nbchat.panel(chat, height=300) is other
    assert (other.height, own.height) == (300, 420)
    assert other is not own
    own.close()
    again = nbchat.panel()
    assert again is not own
    again.close()
    other.close()


def test_its_module_and_its_function_have_one_name(pretended_kernel: front_end.Kernel) -> None:
    import nbchat.panel as module
    from nbchat.panel import panel

    made = panel()
    assert nbchat.panel() is module() is made
    made.close()


def test_what_is_no_conversation_cannot_be_shown(pretended_kernel: front_end.Kernel) -> None:
    with pytest.raises(UsageProblem, match=r"`nbchat\.Chat`, not str"):
        nbchat.panel("openai/gpt-5-mini")  # type: ignore[arg-type]


def test_outside_a_notebook_it_says_where_it_works() -> None:
    with pytest.raises(UsageProblem, match="such as JupyterLab's or Notebook's"):
        nbchat.panel()


def test_without_anywidget_it_says_how_to_get_it(
    pretended_kernel: front_end.Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "nbchat.panel.widget")
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(UsageProblem, match=r"%pip install anywidget"):
        nbchat.panel()


def test_where_no_page_may_be_the_state_has_no_turns_until_one_asks() -> None:
    panel = Panel(with_turns(3))
    state = panel.get_state()
    assert (state["_turns"], state["_seq"]) == ([], -1)
    assert "prompt 1" not in json.dumps(state)
    panel._receive(panel, {"op": "sync"}, [])
    state = panel.get_state()
    assert [turn["prompt"] for turn in state["_turns"]] == ["prompt 1", "prompt 2", "prompt 3"]
    assert state["_seq"] >= 0
    panel.close()


def test_in_jupyterlab_a_sentence_stands_above_the_view_with_a_rule_that_shows_one_of_them(
    pretended_kernel: front_end.Kernel,
) -> None:
    pretended_kernel.runs("1", "cell-1")
    sentence, view = outputs("model-1")
    assert sentence["text/plain"].startswith(SENTENCE)
    assert sentence["text/html"].startswith("<style>.jp-OutputArea-child:has(")
    assert view == {WIDGET: {"version_major": 2, "version_minor": 0, "model_id": "model-1"}, "text/plain": ""}


@pytest.mark.parametrize("cell", [None, "vscode-notebook-cell:/home/u/a.ipynb#W0sZmlsZQ%3D%3D"])
def test_where_the_page_is_another_it_gets_one_output(pretended_kernel: front_end.Kernel, cell: str | None) -> None:
    pretended_kernel.runs("1", cell)
    (data,) = outputs("model-1")
    assert data[WIDGET]["model_id"] == "model-1"
    assert data["text/plain"].startswith(SENTENCE)
    assert data["text/html"].startswith(SENTENCE)


def test_a_hundred_panels_leave_nothing_behind() -> None:
    chat = with_turns(2)
    first = Panel(chat)
    threads = threading.active_count()
    gone = []
    for _ in range(100):
        panel = Panel(chat)
        gone += [weakref.ref(panel), weakref.ref(panel.layout), weakref.ref(panel.comm)]
        panel.close()
        panel.close()
    worker = first._worker
    first.close()
    del panel, first
    worker.run(_nothing())  # what was cancelled there has ended
    worker.run(_nothing())
    gc.collect()
    assert [found for each in gone if (found := each())] == []
    assert threading.active_count() <= threads
    assert not chat.history._watchers._methods
    assert not conversations._watchers._methods
    assert not nbchat_settings()._trait_notifiers.get("panel_sends", {}).get("change")


async def _nothing() -> None:
    pass


def test_a_closed_panel_hears_nothing_more(open_page: Open) -> None:
    chat = scripted()
    page = open_page(chat)
    page.panel.close()
    assert not chat.history._watchers._methods
    chat.send("x").result()
    page.panel._worker.run(_nothing())
    assert page.messages == []


def test_loading_the_extension_does_not_import_the_panel() -> None:
    script = (
        "import sys, nbchat; from IPython.core.interactiveshell import InteractiveShell\n"
        "InteractiveShell.instance().run_line_magic('load_ext', 'nbchat'); nbchat.Chat\n"
        "print([name for name in ('anywidget', 'ipywidgets', 'nbchat.panel') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_routing_of_an_older_ipykernel_is_left_alone() -> None:
    class Comm:
        def _reply_subshell_for(self, data: object, default: str) -> str:
            return "the cell's"

    class Older:
        __slots__ = ()

    comm = Comm()
    widget._answer_on_the_subshell_that_was_asked(comm)
    widget._answer_on_the_subshell_that_was_asked(Older())
    assert comm._reply_subshell_for({}, "the page's") == "the page's"


# All of it, at random

TEXT = st.sampled_from(
    ["word ", "*em* ", "\n\n", "# h\n", "- item\n", "```py\nx = 1\n", "```\n", "$x^2$ ", "\ud83d", "<b>"]
)
PIECE = TEXT | TEXT.map(Reasoning) | st.just(Usage(1, 2)) | st.just(Notice("note", lasting=True))
REPLY = st.lists(PIECE, max_size=6)
INDEX = st.integers(0, 5)
STEP = st.one_of(
    st.tuples(st.sampled_from(["cell", "send"]), REPLY),
    st.tuples(st.sampled_from(["retry", "edit", "delete", "hide", "unhide", "stop"]), INDEX),
    st.tuples(st.sampled_from(["undo", "new", "reset", "draw", "lose", "load", "stop all"]), st.none()),
    st.tuples(st.sampled_from(["let", "switch"]), INDEX),
)


class Play:
    """A page, a conversation and a provider, moved step by step."""

    def __init__(self) -> None:
        self.gates: list[Gate] = []
        self.reply: list[Any] = []
        provider = ScriptedProvider(self._script, name="play")
        nbchat.register(provider)
        panel = Panel()
        panel._has_page = True
        self.page = Page(panel)

    def _script(self, messages: object) -> list[Any]:
        script, gates = gated(*self.reply)
        self.gates += gates
        return script

    def step(self, what: str, value: Any) -> None:
        page, chat = self.page, conversations.shown()
        at = page.turns[value % len(page.turns)]["id"] if isinstance(value, int) and page.turns else ""
        names = conversations.names()
        own = {
            "cell": lambda: chat.send("from a cell", model="play"),
            "send": lambda: page.ask("send", text="from the page", model="play"),
            "retry": lambda: page.ask("retry", id=at, model=""),
            "edit": lambda: page.ask("edit", id=at, text="edited"),
            "stop all": lambda: page.ask("stop", id=""),
            "switch": lambda: page.ask("switch", name=names[value % len(names)]),
            "undo": lambda: page.ask("undo"),
            "new": lambda: page.ask("new"),
            "reset": chat.reset,
            "let": lambda: self._let(value + 1),
            "draw": page.panel._draw,
            "lose": lambda: setattr(page, "loses", 1),
            "load": self._load,
        }
        self.reply = value if isinstance(value, list) else []
        own.get(what, lambda: page.ask(what, id=at))()

    def _let(self, number: int) -> None:
        for gate in self.gates[:number]:
            gate.open()
        del self.gates[:number]

    def _load(self) -> None:
        with self.page.panel._lock:
            self.page.load()

    def end(self) -> None:
        chat = conversations.shown()
        self.page.loses = 0
        for name in conversations.names():
            conversations.named(name).stop()
        self.page.until(lambda: not any(turn.is_live for turn in chat.history))
        self.page.post("sync")
        self.page.until(lambda: self.page.frames and self.page.frames[-1]["op"] == "snapshot")
        self.page.settle()


@given(st.lists(STEP, max_size=12))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_folded_messages_are_the_state_at_every_frame(steps: list[tuple[str, Any]]) -> None:
    conversations.restart()
    play = Play()
    try:
        for what, value in steps:
            play.step(what, value)
            assert not play.page.wrong, play.page.wrong[0]
        play.end()
        fresh = Transcript()
        while fresh.is_live:
            fresh.changes()
        assert [_facts(turn) for turn in play.page.turns] == [_facts(turn) for turn in fresh.snapshot()[0]]
        assert play.page.head == fresh.snapshot()[1]
    finally:
        play.page.panel.close()


def _facts(turn: dict[str, Any]) -> dict[str, Any]:
    """All but the HTML, which is cut in other places where it streamed."""
    return {name: value for name, value in turn.items() if name not in ("blocks", "tail")}


# In real kernels

SETUP = """
%load_ext nbchat
import nbchat, threading, time
from nbchat.testing import Gate, ScriptedProvider

gate = Gate()
nbchat.register(ScriptedProvider(name="echo"))
paragraphs = "\\n\\n".join(f"Paragraph {n}, which is long enough." for n in range(200))
nbchat.register(ScriptedProvider([paragraphs, 0.3, "end"], name="long"))
nbchat.register(ScriptedProvider(["begun", gate, "done"], name="gated"))
"""


class KernelsPage:
    """A page of a real kernel, as far as it shows a panel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        kernel.run(SETUP)
        shown = kernel.run("%chat panel", cell_id="panel-cell")
        opened = [content for content in shown.contents("comm_open") if "_turns" in content["data"]["state"]]
        self.comm = opened[0]["comm_id"]
        self.shown = shown.data
        self.nonces = count(1)

    def post(self, op: str, **fields: Any) -> None:
        content = {"op": op, "nonce": f"n{next(self.nonces)}", **fields}
        self.kernel.send("comm_msg", {"comm_id": self.comm, "data": {"method": "custom", "content": content}})

    def told(self) -> list[tuple[datetime, dict[str, Any]]]:
        """What the panel has sent so far, and when, under whichever request."""
        sent = [message for execution in self.kernel.executions for message in execution.messages] + self.kernel.stray
        ours = [message for message in sent if message["content"].get("comm_id") == self.comm]
        return [
            (message["header"]["date"], message["content"]["data"].get("content", {}))
            for message in ours
            if message["msg_type"] == "comm_msg"
        ]

    def turns(self) -> list[list[Any]]:
        """Cell, prompt and status of all turns, once no reply is under way."""
        code = "[[turn.cell and turn.cell.id, turn.prompt, turn.status] for turn in nbchat.current().history]"
        return literal_eval(self.kernel.run(code, cell_id="asking-cell").data[-1]["text/plain"])


@pytest.fixture
def page(kernel: Kernel) -> KernelsPage:
    return KernelsPage(kernel)


@pytest.mark.slow
def test_the_subcommand_shows_the_panel(page: KernelsPage) -> None:
    sentence, view = page.shown
    assert sentence["text/plain"].startswith(SENTENCE)
    assert view[WIDGET]["model_id"] == page.comm
    for show in "nbchat.panel(height=500)", "display(nbchat.panel())":
        again = page.kernel.run(show, cell_id="other-cell")
        assert again.data == [sentence, view]
    page.kernel.run("import sys; sys.modules['sidecar'] = None", cell_id="other-cell")  # as where it is not installed
    with pytest.raises(CellFailed, match="%pip install sidecar"):
        page.kernel.run("%chat panel --sidecar", cell_id="panel-cell")


HEADLESS = [
    "%chat panel",
    "nbchat.panel(height=500)",
    "%chat panel --sidecar",
    "own = nbchat.panel(nbchat.Chat('echo')); display(own); own.height = 300; assert own.chat",
    "%%chat echo\nhello",
    "assert nbchat.panel(own.chat) is own; own.close(); own.close(); assert nbchat.panel(own.chat) is not own",
    "own",
]


@pytest.mark.slow
def test_a_run_without_a_page_keeps_one_sentence_and_no_widget(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, *HEADLESS)]
    notebook: Any = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell in notebook.cells[1:5] + notebook.cells[7:]:
        (output,) = cell.outputs
        assert set(output.data) == {"text/plain", "text/html"}
        assert output.data["text/plain"].startswith(SENTENCE)
        assert output.data["text/html"].startswith(SENTENCE)
    assert notebook.cells[5].outputs[0].data["text/plain"].endswith("hello")
    assert "widgets" not in notebook.metadata
    assert len(nbformat.writes(notebook)) < 10_000


@pytest.mark.slow
def test_a_panel_that_was_made_without_a_page_lives_where_one_comes(kernel: Kernel) -> None:
    kernel.run(SETUP)
    assert not kernel.run("own = nbchat.panel(); own").contents("comm_open")
    shown = kernel.run("own", cell_id="cell-1")
    (opened, _) = reversed(shown.contents("comm_open"))
    assert shown.data[-1][WIDGET]["model_id"] == opened["comm_id"]


@pytest.mark.slow
def test_a_box_in_a_run_without_a_page_has_its_panel_without_turns(kernel: Kernel) -> None:
    kernel.run(SETUP)
    kernel.run("%%chat echo\nhello")
    shown = kernel.run("import ipywidgets; ipywidgets.VBox([nbchat.panel()])")
    states = {opened["comm_id"]: opened["data"]["state"] for opened in shown.contents("comm_open")}
    (turns,) = (state["_turns"] for state in states.values() if "_turns" in state)
    (children,) = (state["children"] for state in states.values() if "children" in state)
    assert turns == []
    assert [child.removeprefix("IPY_MODEL_") in states for child in children] == [True]


@pytest.mark.slow
def test_voila_which_runs_cells_as_nbclient_does_shows_the_panel(start_kernel: Callable[..., Kernel]) -> None:
    kernel = start_kernel(SERVER_SOFTWARE="voila/0.5.13")
    kernel.run(SETUP)
    shown = kernel.run("%chat panel")
    (data,) = shown.data
    assert data[WIDGET]["model_id"] in [opened["comm_id"] for opened in shown.contents("comm_open")]


@pytest.mark.slow
def test_a_panel_streams_while_a_cell_blocks_the_kernel(page: KernelsPage) -> None:
    page.post("send", text="hello", model="gated")
    blocking = page.kernel.start(
        "assert gate.wait_reached()\ngate.open()\n"
        "shown = nbchat.panel()\n"
        "while shown._transcript.is_live: time.sleep(0.01)\n"
        "with shown._lock: print('over')",  # what was seen has been sent, too
        cell_id="blocking-cell",
    )
    page.kernel.wait(blocking)
    over = next(message["header"]["date"] for message in blocking.messages if message["msg_type"] == "stream")
    ended = [date for date, content in page.told() if '"status": "done"' in json.dumps(content)]
    assert ended
    assert ended[0] < over


@pytest.mark.slow
def test_what_the_panel_sends_while_a_cell_runs_belongs_to_no_cell(page: KernelsPage) -> None:
    asking = (
        "nbchat.current().send('cell, first', model='echo').result()\n"
        "nbchat.panel()._handle_custom_msg({'op': 'send', 'nonce': 'x' + str(time.time()), 'text': 'panel'}, [])\n"
        "while nbchat.current().history[-1].prompt != 'panel': time.sleep(0.01)\n"
        "nbchat.current().send('cell, second').result();"
    )
    for _ in range(2):
        page.kernel.run(asking, cell_id="cell-1")
    told = page.turns()
    assert told == [
        ["cell-1", "cell, first", "done"],
        [None, "panel", "done"],
        ["cell-1", "cell, second", "done"],
        [None, "panel", "done"],
    ]


@pytest.mark.slow
def test_a_reply_that_the_panel_asks_for_again_shows_in_its_cell_too(page: KernelsPage) -> None:
    page.kernel.run("nbchat.register(ScriptedProvider('first reply', 'second reply', name='two'));")
    asked = page.kernel.run("%%chat two\ntell", cell_id="cell-1")
    page.post(
        "retry", id=page.kernel.run("nbchat.current().history[0].id", cell_id="cell-2").data[0]["text/plain"][1:-1]
    )
    page.kernel.run("while nbchat.current().history[0].text != 'second reply': time.sleep(0.01)", cell_id="cell-2")
    page.kernel.run("while any(thread.name == 'nbchat-display' for thread in threading.enumerate()): time.sleep(0.01)")
    shown = [content for content in page.kernel.published("display_data") if "text/html" in content["data"]]
    updates = [message["content"] for message in page.kernel.stray if message["msg_type"] == "update_display_data"]
    updates += page.kernel.published("update_display_data")
    places = {content["transient"]["display_id"] for content in asked.contents("display_data")}
    drawn = [update["data"]["text/plain"] for update in updates if update["transient"]["display_id"] in places]
    assert "second reply" in drawn
    assert not any("second reply" in content["data"]["text/plain"] for content in shown)


@pytest.mark.slow
def test_a_cells_pieces_are_replaced_by_the_whole_reply_though_a_panel_streams(page: KernelsPage) -> None:
    """Frames are no output of the cell that runs."""
    page.kernel.run("other = nbchat.Chat(provider=ScriptedProvider(['a', 0.02] * 200))")
    opened = page.kernel.run("watching = nbchat.panel(other); other.send('x');", cell_id="own-cell")
    page.comm = opened.contents("comm_open")[-1]["comm_id"]
    cell = page.kernel.run("%%chat long\ntell", cell_id="long-cell")
    begin, end = cell.messages[0]["header"]["date"], cell.messages[-1]["header"]["date"]
    assert [date for date, _ in page.told() if begin < date < end]
    assert [content["wait"] for content in cell.contents("clear_output")] == [True]
