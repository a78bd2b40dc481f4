"""Turns in order: which cell they belong to, which are sent later, what fits, and what can be undone."""

from __future__ import annotations

from typing import Any

import pytest

from nbchat.history import History, Turn, context
from nbchat.notebook import Cell


def turn(prompt: str, text: str = "", status: Any = "done", cell: Cell | None = None, cut: bool = False) -> Turn:
    return Turn(prompt, "m", "p", cell, status=status, chunks=[text] if text else [], cut=cut)


def history(*turns: Turn) -> History:
    made = History()
    for each in turns:
        made.add(each)
    return made


def test_text_is_joined_from_the_chunks_that_came_so_far() -> None:
    growing = turn("q")
    assert growing.text == ""
    growing.chunks += ["a", "b"]
    assert growing.text == "ab"
    growing.chunks += ["c"]
    assert growing.text == "abc"
    assert growing.text is growing.text


def test_turns_without_a_cell_are_appended() -> None:
    made = history(turn("a"), turn("a"))
    assert [each.prompt for each in made] == ["a", "a"]


def test_a_cell_that_is_run_again_replaces_its_turns_in_place() -> None:
    first, second, other = turn("1", cell=Cell("x", 0)), turn("2", cell=Cell("x", 1)), turn("3", cell=Cell("y", 0))
    made = history(first, second, other)
    assert made.add(turn("1 again", cell=Cell("x", 0))) is first
    assert made.add(turn("2 again", cell=Cell("x", 1))) is second
    assert [each.prompt for each in made] == ["1 again", "2 again", "3"]


def test_before_a_turn_stand_the_earlier_ones() -> None:
    a, b, c = turn("a"), turn("b"), turn("c")
    made = history(a, b)
    assert made.before(b) == [a]
    assert made.before(a) == []
    assert made.before(c) == made.before(None) == [a, b]


def test_a_retry_takes_the_place_of_its_turn() -> None:
    a, b, again = turn("a"), turn("b"), turn("a")
    made = history(a, b)
    made.replace(a, again)
    assert list(made) == [again, b]


def test_a_reset_can_be_undone_also_after_the_prompts_that_followed() -> None:
    a, b = turn("a"), turn("b")
    made = history(a)
    assert made.reset() == 1
    assert len(made) == 0
    assert made.undo() == [a]
    assert list(made) == [a]
    made.reset()
    made.add(b)
    assert made.undo() == [b]
    assert made.undo() == [a]
    assert made.undo() == [a]
    assert made.undo() == []


def test_a_history_shows_its_turns() -> None:
    made = history(turn("first", "one"), Turn("second", "", "a-provider"))
    assert repr(made).splitlines()[1:3] == ["     > first", "       one"]
    assert "a-provider  queued" in repr(made)
    assert made.listing(1).splitlines()[1] == "     > second"
    assert made.listing(0) == repr(History()) == "No turns yet."


def test_a_second_reset_does_not_lose_what_the_first_kept() -> None:
    a = turn("a")
    made = history(a)
    made.reset()
    made.reset()
    assert made.undo() == [a]


@pytest.mark.parametrize(
    ("earlier", "sent"),
    [
        (turn("q", "r"), True),
        (turn("q", "half", "stopped", cut=True), True),
        (turn("q", "half", "failed", cut=True), True),
        (turn("q", "text", "failed"), False),
        (turn("q", "", "done"), False),
        (turn("q", "", "stopped"), False),
        (turn("q", "so far", "streaming"), False),
        (turn("q", "", "queued"), False),
    ],
)
def test_done_turns_and_cut_ones_with_text_are_sent_later(earlier: Turn, sent: bool) -> None:
    messages, left_out = context([earlier], "now")
    assert [message["content"] for message in messages[:-1] if message["role"] == "user"] == ["q"] * sent
    assert messages[-1] == {"role": "user", "content": "now"}
    assert left_out == 0


def test_a_cut_reply_is_marked_as_cut() -> None:
    messages, _ = context([turn("q", "half", "stopped", cut=True)], "now")
    assert messages[1]["role"] == "assistant"
    assert messages[1]["content"] == "half\n\n[The reply was cut off here.]"


def test_the_system_prompt_stands_first_and_is_always_sent() -> None:
    messages, left_out = context([turn("q", "r")], "now", system="Be brief.", most_tokens=1)
    assert [message["role"] for message in messages] == ["system", "user"]
    assert left_out == 1


def test_the_newest_whole_turns_that_fit_are_sent() -> None:
    turns = [turn(f"question {n}", "x" * 400) for n in range(10)]
    messages, left_out = context(turns, "now", most_tokens=330)
    assert [message["content"] for message in messages if message["role"] == "user"] == [
        "question 8",
        "question 9",
        "now",
    ][-(len(messages) // 2 + 1) :]
    assert left_out == 10 - len(messages) // 2
    assert 0 < left_out < 10
    assert context(turns, "now", most_tokens=0)[1] == 0
