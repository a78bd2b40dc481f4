"""The saved notebook is enough: what outputs carry gives the conversation back, whatever was done to the file."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat import v4

from kernels import Kernel
from nbchat.history.turn import Cell, Turn
from nbchat.messages import Notice, Usage
from nbchat.saved.notebook import SavedNotebook, metadata, read
from nbchat.saved.written import prompt_in
from shells import RaisingShell

BEGIN = datetime(2025, 11, 19, 12, tzinfo=UTC)
Json = dict[str, Any]


def made(number: int, prompt: str = "", text: str = "", **known: Any) -> Turn:
    """A turn that was sent so many minutes after the beginning, from the source of its cell."""
    known = {
        "id": f"{number:032x}",
        "started": BEGIN + timedelta(minutes=number),
        "status": "done",
        "is_source": True,
        "seconds": 1.5,
        **known,
    }
    return Turn(prompt or f"prompt {number}", "m", "p", chunks=[text or f"reply {number}"], **known)


def shown(turn: Turn, after: Turn | str | None = "", conversation: str = "main", **told: Any) -> Json:
    """The output of a turn."""
    name = after.id if isinstance(after, Turn) else after or ""
    told = metadata(turn, conversation=conversation, after=name, embed=True) | told
    if after is None:
        del told["after"]
    return displayed(turn.text, told)


def displayed(text: str, told: Any) -> Json:
    data = {"text/plain": text, "text/html": f"<div>{text}</div>"}
    return dict(v4.new_output("display_data", data, metadata={"nbchat": told}))


def piece(turn: Turn, part: int | str, text: str, **told: Any) -> Json:
    return displayed(text, {"id": turn.id, "part": part, "status": "streaming"} | told)


def cell(source: str, *outputs: Json, id: str = "") -> Json:
    made = v4.new_code_cell(source, outputs=list(outputs))
    return dict(made) | ({"id": id} if id else {})


def asking(turn: Turn, *others: Json, after: Turn | str | None = "", id: str = "", **told: Any) -> Json:
    """A `%%chat` cell with the reply below it."""
    return cell(f"%%chat\n{turn.prompt}", shown(turn, after, **told), *others, id=id)


def save(path: Path, *cells: Json, minor: int = 5, **dumping: Any) -> Path:
    """A notebook file as nbformat writes it; if `dumping` says how, then as it is, even if it is not valid."""
    if minor < 5:
        for each in cells:
            del each["id"]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": minor}
    if dumping:
        path.write_text(json.dumps(notebook, **dumping), encoding="utf-8")
    else:
        nbformat.write(nbformat.from_dict(notebook), path)
    return path


def opened(path: Path) -> SavedNotebook:
    found = read(path)
    assert found is not None
    return found


def turns(path: Path, conversation: str = "main") -> list[Turn]:
    return opened(path).conversations.get(conversation, [])


def prompts(path: Path, conversation: str = "main") -> list[str]:
    return [turn.prompt for turn in turns(path, conversation)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "chat.ipynb"


# What is written


def test_an_output_tells_nothing_that_is_not_on_view() -> None:
    turn = made(1, "canary", is_source=False, system="canary", base_url="https://canary", options={"canary": 1})
    turn.error, turn.thoughts, turn.notices = "canary", ["canary"], [Notice("canary", lasting=True)]
    turn.cell, turn.after, turn.session = Cell("canary", 0), "canary", "canary"
    assert "canary" not in json.dumps(metadata(turn, conversation="main", after="", embed=True))


def test_of_a_prompt_that_is_the_source_an_output_tells_the_length_alone() -> None:
    turn = made(1, "canary", usage=Usage(3, None), cut=True)
    told = metadata(turn, conversation="side", after="0" * 32, embed="full")
    assert told == {
        "id": turn.id,
        "model": "m",
        "provider": "p",
        "status": "done",
        "time": "2025-11-19T12:01:00.000+00:00",
        "seconds": 1.5,
        "usage": {"prompt": 3, "completion": None},
        "conversation": "side",
        "after": "0" * 32,
        "cut": True,
        "prompt": {"source": 6},
    }


def test_a_prompt_that_was_put_together_goes_in_only_if_it_was_asked_for() -> None:
    turn = made(1, "canary", is_source=False)
    assert "prompt" not in metadata(turn, conversation="main", after="", embed=True)
    assert metadata(turn, conversation="main", after="", embed="full")["prompt"] == {"text": "canary"}


def test_turned_off_an_output_tells_no_conversation() -> None:
    told = metadata(made(1), conversation="main", after="", embed=False)
    assert set(told) == {"id", "model", "provider", "status", "time", "seconds"}


# One turn


def test_a_turn_comes_back_whole(file: Path) -> None:
    turn = made(3, "Hëllo,\n\n  you 👋 ", "Well,\r\nhello\n", usage=Usage(10, 20), seconds=12.3)
    save(file, asking(turn, id="abc"))
    (back,) = turns(file)
    same = ("id", "prompt", "text", "model", "provider", "status", "usage", "started", "seconds", "cut", "error")
    assert {name: getattr(back, name) for name in same} == {name: getattr(turn, name) for name in same}
    assert back.cell == Cell("abc", 0)
    assert back.after is None
    assert back.is_source
    assert not back.is_guess


@pytest.mark.parametrize(
    "dumping", [{"indent": None}, {"indent": 1, "ensure_ascii": False}, {"separators": (",", ":")}]
)
def test_it_does_not_matter_who_wrote_the_file(file: Path, dumping: Json) -> None:
    turn = made(1, "Grüße 👋")
    save(file, asking(turn, id="abc"), **dumping)
    found = opened(file)
    assert [back.prompt for back in found.conversations["main"]] == [turn.prompt]
    assert "abc" in found.cells
    assert found.turn_ids == {turn.id}
    assert found.versions == {"main": {turn.stamp}}


def test_line_ends_of_another_system_and_a_byte_order_mark_change_nothing(file: Path) -> None:
    turn = made(1, "two\nlines", "and\ntwo")
    save(file, asking(turn))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    (back,) = turns(file)
    assert (back.prompt, back.text, back.is_guess) == ("two\nlines", "and\ntwo", False)


@pytest.mark.parametrize(
    ("source", "prompt"),
    [
        ("%%chat\nhello", "hello"),
        ("%%nbchat\nhello", "hello"),
        ("\n\n%%chat -m x --raw\nhello\n\nyou\n\n", "hello\n\nyou\n"),
        ("%%chat\n  %%chat\n# hello ", "  %%chat\n# hello "),
        ("%%chat\r\nhello\r\nyou", "hello\r\nyou"),
        ("%%chat\r\nhello\r\nyou", "hello\nyou"),
        ("%chat hello  you ", "hello  you "),
        ("\n%chat hello\n\n", "hello"),
        ("%chat -- hello", "hello"),
        ("%chat --  hello", " hello"),
        ("%chat -m x -o a 'b c' --raw hello you", "hello you"),
        ("%chat - hello", "- hello"),
    ],
)
def test_the_prompt_is_found_in_the_source_byte_for_byte(source: str, prompt: str) -> None:
    assert prompt_in(source, len(prompt)) == prompt


@pytest.mark.parametrize(
    ("source", "prompt"),
    [
        ("%%chat\nhello, you", "hello"),
        ("%%chat\nhell", "hello"),
        ("%chat hello you", "you"),
        ("%chat -m x hello", "ello"),
        ("%chat hello\n1 + 1", "hello"),
        ("%%chatty\nhello", "hello"),
        ("%%time\n%%chat\nhello", "hello"),
        ("hello", "hello"),
        ("", "hello"),
        ("\n# only a comment", "hello"),
    ],
)
def test_a_source_that_is_not_what_was_sent_gives_no_prompt(source: str, prompt: str) -> None:
    assert prompt_in(source, len(prompt)) is None


SOURCES = [
    "%%chat -m echo\nhello",
    "\n\n%%chat -m echo\n>>> hello?\n\n",
    "%%nbchat echo --raw\n$x {x} %%chat\n  # no comment ",
    "%chat -m echo hello {x} you?  ",
    "\n%chat -m echo -o a 'b c' --temperature=1 -- -m hello\n\n",
    '%chat -m "echo" -t 1   hello',
    "%chat -- hello",
    "%chat hello \u2028 you",
]


@pytest.mark.parametrize("source", SOURCES)
def test_what_the_magics_send_is_found_in_the_source(shell: RaisingShell, source: str) -> None:
    shell.run_cell("%load_ext nbchat\nimport nbchat\nfrom nbchat.testing import ScriptedProvider")
    shell.run_cell("nbchat.register(ScriptedProvider(name='echo'))")
    shell.run_cell("%config NbChat.model = 'echo'")
    shell.run_cell(source)
    (turn,) = shell.user_ns["nbchat"].current().history
    assert prompt_in(source, len(turn.prompt)) == turn.prompt


def test_a_source_that_was_edited_since_gives_a_guess(file: Path) -> None:
    save(file, cell("%%chat\nhello, you", shown(made(1, "hello"))), cell("x = 1", shown(made(2, "bye"), made(1))))
    guessed = turns(file)
    assert [turn.prompt for turn in guessed] == ["hello, you", "x = 1"]
    assert all(turn.is_guess and not turn.is_source for turn in guessed)


def test_without_any_source_there_is_still_something_to_send(file: Path) -> None:
    save(file, cell(" \n", shown(made(1))))
    (turn,) = turns(file)
    assert turn.is_guess
    assert turn.prompt == "[The prompt is not in the notebook.]"


def test_a_prompt_that_was_put_in_is_no_guess(file: Path) -> None:
    turn = made(1, "filled in", is_source=False)
    told = metadata(turn, conversation="main", after="", embed="full")
    save(file, cell("for x in y: ...", displayed("reply", told)))
    (back,) = turns(file)
    assert (back.prompt, back.is_guess, back.is_source) == ("filled in", False, False)


def test_several_sends_of_a_cell_have_their_places(file: Path) -> None:
    one, two, three = made(1), made(2), made(3)
    outputs = [shown(one, ""), shown(two, one), v4.new_output("stream", text="between"), shown(three, two)]
    save(file, cell("loop", *outputs, id="abc"))
    assert [turn.cell for turn in turns(file)] == [Cell("abc", 0), Cell("abc", 1), Cell("abc", 2)]


def test_pieces_are_joined_in_their_order_and_the_button_is_none(file: Path) -> None:
    turn = made(1, "hello", "one two three")
    last = shown(turn, part=2)
    last["data"] = {"text/plain": "three"}
    outputs = [piece(turn, 1, "two "), piece(turn, 0, "one "), displayed("", {"part": "stop"}), last]
    outputs[1]["metadata"]["nbchat"]["time"] = last["metadata"]["nbchat"]["time"]
    save(file, cell("%%chat\nhello", *outputs))
    (back,) = turns(file)
    assert opened(file).versions == {"main": {turn.stamp}}
    assert (back.text, back.status, back.prompt, back.is_guess) == ("one two three", "done", "hello", False)


def test_a_reply_that_was_saved_while_it_came_was_cut(file: Path) -> None:
    turn = made(1, "hello", status="streaming")
    first = piece(turn, 0, "one ", **metadata(turn, conversation="side", after="", embed=True))
    save(file, cell("%%chat\nhello", first, piece(turn, 1, "two")))
    (back,) = turns(file, "side")
    assert (back.prompt, back.text, back.status, back.cut) == ("hello", "one two", "stopped", True)
    assert back.started == turn.started


def test_a_reply_that_was_saved_before_it_came_is_stopped_and_has_no_text(file: Path) -> None:
    save(
        file,
        cell("%%chat\nhello", displayed("", {"id": made(1).id, "conversation": "main", "part": 0, "status": "queued"})),
    )
    (back,) = turns(file)
    assert (back.text, back.status, back.cut, back.chunks) == ("", "stopped", False, [])


def test_a_turn_that_does_not_tell_its_time_is_older_than_anything_known_and_stands_where_it_is(file: Path) -> None:
    known, untold, later = made(1), made(2), made(3)
    untimed = piece(untold, 0, "text", conversation="main")
    save(file, asking(known), cell("%%chat\nx", untimed), asking(later, after=untold))
    found = turns(file)
    assert [turn.id for turn in found] == [known.id, untold.id, later.id]
    assert found[1].started < known.started
    assert found[0].place == pytest.approx(known.started.timestamp())
    assert (untold.id, "") in opened(file).versions["main"]


def test_a_reply_that_is_shown_as_text_alone_is_read_too(file: Path) -> None:
    output = shown(made(1, text="**raw**"))
    del output["data"]["text/html"]
    save(file, cell("%%chat --raw\nprompt 1", output))
    assert turns(file)[0].text == "**raw**"


def test_a_reply_that_failed_has_the_error_below_it(file: Path) -> None:
    error = v4.new_output("error", ename="RateLimitError", evalue="p answered 429.", traceback=["line"])
    save(file, asking(made(1, status="failed", cut=True), error))
    (turn,) = turns(file)
    assert (turn.status, turn.error, turn.cut) == ("failed", "p answered 429.", True)


def test_an_error_of_something_else_is_not_the_replys(file: Path) -> None:
    error = v4.new_output("error", ename="NameError", evalue="x", traceback=[])
    between = v4.new_output("stream", text="…")
    save(file, cell("code", shown(made(1)), error), cell("more", shown(made(2, status="failed")), between, error))
    assert [turn.error for turn in turns(file)] == ["", ""]


def test_an_output_that_names_no_conversation_gives_no_turn(file: Path) -> None:
    told = metadata(made(1), conversation="main", after="", embed=False)
    save(file, cell("%%chat\nprompt 1", displayed("reply", told)), asking(made(2)))
    assert [turn.prompt for turn in turns(file)] == ["prompt 2"]


# Order


def chain(count: int, conversation: str = "main", begin: int = 1) -> list[Json]:
    """Cells of turns that were sent one after the other."""
    made_ = [made(number) for number in range(begin, begin + count)]
    return [asking(turn, after=made_[at - 1] if at else "", conversation=conversation) for at, turn in enumerate(made_)]


def test_cells_that_were_moved_change_no_order(file: Path) -> None:
    cells = chain(5)
    save(file, *reversed(cells))
    assert prompts(file) == [f"prompt {number}" for number in range(1, 6)]


def test_a_turn_that_ran_again_later_keeps_its_place(file: Path) -> None:
    one, two, three = made(1), made(2), made(3)
    again = replace(one, started=BEGIN + timedelta(days=1))
    save(file, asking(three, after=two), asking(two, after=one), asking(again))
    found = turns(file)
    assert [turn.id for turn in found] == [one.id, two.id, three.id]
    assert found[0].place < found[1].place < found[2].place
    assert found[2].place == three.started.timestamp()


def test_of_two_turns_behind_one_the_branch_that_began_first_comes_first(file: Path) -> None:
    one, two, three, four = made(1), made(2), made(3), made(4)
    again = replace(two, started=BEGIN + timedelta(days=1))
    save(file, asking(four, after=one), asking(again, after=one), asking(three, after=two), asking(one))
    assert [turn.id for turn in turns(file)] == [one.id, two.id, three.id, four.id]


def test_a_turn_whose_cell_was_deleted_leaves_the_others_in_order(file: Path) -> None:
    cells = chain(5)
    del cells[2]
    save(file, *cells)
    assert prompts(file) == ["prompt 1", "prompt 2", "prompt 4", "prompt 5"]
    save(file, *reversed(cells))
    assert prompts(file) == ["prompt 1", "prompt 2", "prompt 4", "prompt 5"]


def test_a_turn_that_does_not_tell_what_it_came_after_stands_behind_the_one_above_it(file: Path) -> None:
    cells = chain(2)
    save(file, cells[0], asking(made(9), after=None), cells[1])
    assert prompts(file) == ["prompt 1", "prompt 2", "prompt 9"]
    save(file, *cells, asking(made(9), after=None), asking(made(3), after=None), asking(made(10), after=made(2)))
    assert prompts(file) == ["prompt 1", "prompt 2", "prompt 9", "prompt 3", "prompt 10"]


def test_cleared_outputs_leave_no_turns(file: Path) -> None:
    cells = chain(3)
    for each in cells:
        each["outputs"] = []
    save(file, *cells)
    found = opened(file)
    assert (found.conversations, found.turn_ids, found.versions) == ({}, frozenset(), {})
    assert found.holds("prompt 2")


def test_conversations_are_told_apart_by_their_names(file: Path) -> None:
    main, side = chain(2), chain(2, "side", 5)
    save(file, main[0], side[0], main[1], side[1])
    assert prompts(file) == ["prompt 1", "prompt 2"]
    assert prompts(file, "side") == ["prompt 5", "prompt 6"]
    assert opened(file).versions["side"] == {made(5).stamp, made(6).stamp}


def test_a_fork_begins_with_the_turns_that_it_was_forked_from(file: Path) -> None:
    fork = asking(made(7), after=made(2), conversation="fork")
    save(file, fork, asking(made(8), after=made(7), conversation="fork"), *chain(3))
    assert prompts(file) == ["prompt 1", "prompt 2", "prompt 3"]
    assert prompts(file, "fork") == ["prompt 1", "prompt 2", "prompt 7", "prompt 8"]
    found = opened(file).conversations
    assert not {id(turn) for turn in found["main"]} & {id(turn) for turn in found["fork"]}


@pytest.mark.parametrize("embed", [True, False, "full"])
def test_a_reply_that_belongs_to_no_conversation_of_the_notebook_is_no_turn(file: Path, embed: Any) -> None:
    own = metadata(made(1), conversation="", after="", embed=embed)
    assert not own.keys() & {"after", "prompt"}
    pieces = [displayed("one", own | {"part": 0}), piece(made(2), 1, "two"), displayed("", own | {"part": 2})]
    pieces[1]["metadata"]["nbchat"]["id"] = own["id"]
    save(file, cell("code", displayed("reply", own), shown(made(3)), id="a"), cell("code", *pieces, id="b"))
    assert [(turn.id, turn.cell) for turn in turns(file)] == [(made(3).id, ("a", 0))]
    assert opened(file).versions == {"main": {made(3).stamp}}


@pytest.mark.parametrize(
    ("links", "expected"),
    [([1], [1]), ([2, 1], [1, 2]), ([2, 3, 1], [1, 3, 2]), ([2, 3, 2, 1], [2, 1, 4, 3])],
)
def test_turns_that_claim_to_follow_each_other_are_all_there_once(
    file: Path, links: list[int], expected: list[int]
) -> None:
    save(file, *(asking(made(number), after=made(link)) for number, link in enumerate(links, 1)))
    assert prompts(file) == [f"prompt {number}" for number in expected]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[list[int]], list[list[int]]]:
    """The turns of some conversations, by numbers that grow with time, and how they are spread over cells."""
    count = draw(st.integers(1, 12))
    of = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    sent = [[number for number in range(count) if of[number] == name] for name in range(3)]
    order = draw(st.permutations(range(count)))
    cuts = sorted(draw(st.sets(st.integers(1, count), max_size=count)))
    cells = [list(order[begin:end]) for begin, end in zip([0, *cuts], [*cuts, count], strict=True)]
    return [turns for turns in sent if turns], cells


@given(conversations(), st.randoms(use_true_random=False))
def test_any_order_comes_back_from_cells_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, made_up: tuple[list[list[int]], list[list[int]]], chance: random.Random
) -> None:
    sent, cells = made_up
    file = tmp_path_factory.mktemp("any") / "chat.ipynb"
    before = {turn: [None, *turns][at] for turns in sent for at, turn in enumerate(turns)}
    name = {turn: f"name {number}" for number, turns in enumerate(sent) for turn in turns}
    later = {turn: timedelta(days=chance.choice([0, 0, 1, 2])) for turn in before}  # ran again, in place
    outputs = {}
    for turn, earlier in before.items():
        sent_turn = made(turn, started=BEGIN + timedelta(minutes=turn) + later[turn])
        outputs[turn] = shown(sent_turn, "" if earlier is None else made(earlier), name[turn])
    save(file, *(cell("loop", *(outputs[turn] for turn in members)) for members in cells))
    found = opened(file).conversations
    assert {key: [int(turn.id, 16) for turn in turns] for key, turns in found.items()} == {
        f"name {number}": turns for number, turns in enumerate(sent)
    }
    for back in found.values():
        places = [turn.place for turn in back]
        assert all(one < two for one, two in pairwise(places))
        assert all(turn.place <= turn.started.timestamp() for turn in back)


# Copies, and what was done to cells


def test_a_cell_that_was_copied_counts_once(file: Path) -> None:
    turn = made(1)
    save(file, asking(turn, id="a"), asking(turn, id="b"), asking(made(2), after=turn, id="c"))
    assert [(back.id, back.cell) for back in turns(file)] == [(turn.id, ("a", 0)), (made(2).id, ("c", 0))]


def test_of_a_copied_cell_that_ran_again_the_newest_counts(file: Path) -> None:
    turn = made(1)
    again = replace(turn, chunks=["newer"], started=BEGIN + timedelta(days=1))
    save(file, asking(turn, id="copy"), asking(again, id="own"))
    assert [(back.text, back.cell) for back in turns(file)] == [("newer", ("own", 0))]


def test_a_turn_that_is_shown_once_more_counts_as_none(file: Path) -> None:
    one, two = made(1), made(2)
    asks = cell("%chat show 1", shown(one, shown=True), shown(two, one), id="b")
    save(file, asks, asking(one, id="a"), cell("%chat show 9", shown(made(9), shown=True)))
    assert [(back.id, back.cell) for back in turns(file)] == [(one.id, ("a", 0)), (two.id, ("b", 0))]


def test_a_newer_reply_that_is_shown_in_another_cell_belongs_to_its_own(file: Path) -> None:
    turn = made(1, "hello")
    again = replace(turn, chunks=["newer"], started=BEGIN + timedelta(days=1))
    save(file, cell("%chat retry --stale", shown(again, shown=True), id="b"), asking(turn, id="a"))
    (back,) = turns(file)
    assert (back.prompt, back.text, back.cell, back.started) == ("hello", "newer", ("a", 0), again.started)


def test_two_cells_with_one_id_do_not_share_it(file: Path) -> None:
    save(file, asking(made(1), id="a"), asking(made(2), after=made(1), id="a"), indent=1)
    assert [turn.cell for turn in turns(file)] == [("a", 0), None]


def test_ids_of_cells_do_not_count_in_an_older_format(file: Path) -> None:
    save(file, *chain(2), minor=4)
    found = opened(file)
    assert not found.ids_last
    assert found.cells == frozenset()
    assert [turn.cell for turn in found.conversations["main"]] == [None, None]
    assert [turn.prompt for turn in found.conversations["main"]] == ["prompt 1", "prompt 2"]


def test_outputs_count_in_code_cells_only(file: Path) -> None:
    note = dict(v4.new_markdown_cell("see ![](attachment:x.png)", attachments={"x.png": {"image/png": "AAAA"}}))
    forged = note | {"id": "note", "outputs": [shown(made(9))]}
    save(file, note, forged, *chain(1), dict(v4.new_raw_cell("raw")), indent=1)
    found = opened(file)
    assert [turn.prompt for turn in found.conversations["main"]] == ["prompt 1"]
    assert "note" in found.cells


def test_a_prompt_is_looked_for_in_sources_and_not_in_outputs(file: Path) -> None:
    save(file, asking(made(1, "two\nlines", "a reply")), cell("x = 'é👋'"))
    found = opened(file)
    assert found.holds("two\nlines")
    assert found.holds("é👋")
    assert not found.holds("a reply")
    assert not found.holds("")


def test_when_it_was_saved_is_told(file: Path) -> None:
    save(file)
    os.utime(file, (1_000_000_000, 1_700_000_000))
    assert opened(file).modified == 1_700_000_000


def test_a_notebook_with_large_outputs_is_read(file: Path) -> None:
    image = v4.new_output("display_data", {"image/png": "A" * 30_000_000})
    save(file, cell("plot()", image), asking(made(1, text="long " * 100_000)))
    found = opened(file)
    assert found.versions == {"main": {made(1).stamp}}
    assert len(found.conversations["main"][0].text) == 500_000


# What is no notebook, and what is forged


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"\x00" * 100,
        b"[]",
        b"{",
        b'{"cells": []}',
        b'{"nbformat": "4"}',
        b'{"nbformat": 3, "worksheets": []}',
        b'["nbformat", {"nbformat": 4}]',
        '{"nbformat": 4}'.encode("utf-16"),
    ],
)
def test_what_is_no_notebook_is_none(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    assert read(file) is None


def test_a_file_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert [read(path) for path in (tmp_path, tmp_path / "missing", Path("\0"), fifo)] == [None] * 4


def test_a_file_that_is_too_large_is_none(file: Path) -> None:
    save(file, *chain(1))
    os.truncate(file, 500_000_001)
    assert read(file) is None


CHANGES: list[tuple[bytes, bytes]] = [
    (b'"cells"', b'"cells": 1, "sells"'),
    (b'"cells": [', b'"cells": [1, null, [], {}, {"cell_type": "code"}, {"cell_type": "code", "outputs": [1, {}]},'),
    (b'"outputs": [', b'"outputs": 1, "out": ['),
    (b'"metadata": {\n      "nbchat"', b'"metadata": {"nbchat": [1]}, "m": {\n      "nbchat"'),
    (b'"text/plain"', b'"text/plain": [1, {}], "x"'),
    (b'"source": [', b'"source": [1,'),
    (b'"cells": [', b"<<<<<<< HEAD\n"),
    (b'"cells": [', b'"cells": ' + b"[" * 100_000),
    (b'"seconds": ', b'"seconds": ' + b"9" * 10_000),
    (b"prompt", b"\xff\xfe"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_a_damaged_notebook_gives_what_is_left(file: Path, old: bytes, new: bytes) -> None:
    save(file, *chain(2))
    whole = file.read_bytes()
    assert old in whole
    file.write_bytes(whole.replace(old, new, 1))
    found = opened(file)
    assert sum(map(len, found.conversations.values())) <= 2
    assert len(found.turn_ids) <= 2
    assert not found.holds("no such prompt")


def test_bytes_that_are_no_text_harm_their_own_turn_only(file: Path) -> None:
    save(file, *chain(2))
    file.write_bytes(file.read_bytes().replace(b"reply 1", b"reply \xff"))
    assert [turn.text for turn in turns(file)] == ["reply \ufffd", "reply 2"]


WRONG: list[tuple[str, Any, str, Any]] = [
    ("model", ["x"], "model", ""),
    ("model", "a\nb\0c" + "x" * 1_000, "model", "a b c" + "x" * 195),
    ("provider", "\u202eevil\ud800", "provider", "evil\ufffd"),
    ("status", "weird", "status", "stopped"),
    ("status", ["done"], "status", "stopped"),
    ("seconds", "1", "seconds", 0.0),
    ("seconds", True, "seconds", 0.0),
    ("seconds", float("nan"), "seconds", 0.0),
    ("seconds", float("inf"), "seconds", 0.0),
    ("seconds", -1, "seconds", 0.0),
    ("seconds", 10**400, "seconds", 0.0),
    ("usage", [1], "usage", None),
    ("usage", {"prompt": True, "completion": "2"}, "usage", None),
    ("usage", {"prompt": -1, "completion": 2}, "usage", Usage(None, 2)),
    ("usage", {"prompt": 10**100, "completion": 0.5}, "usage", None),
    ("cut", "yes", "cut", False),
    ("prompt", "source", "is_guess", True),
    ("prompt", {"source": "8"}, "is_guess", True),
    ("prompt", {"source": -8}, "is_guess", True),
    ("prompt", {"text": ["x"]}, "is_guess", True),
    ("prompt", {"text": "lone \ud83d"}, "prompt", "lone \ufffd"),
    ("time", "2025-11-19", "started", datetime(2025, 11, 19, tzinfo=UTC)),
    ("time", "2025-11-19T12:00:00+02:00", "started", datetime(2025, 11, 19, 10, tzinfo=UTC)),
    ("base_url", "https://evil", "base_url", ""),
    ("system", "evil", "system", None),
    ("options", {"evil": 1}, "options", {}),
    ("standing", "hidden", "standing", "current"),
]


@pytest.mark.parametrize(("name", "value", "attribute", "expected"), WRONG)
def test_a_value_that_cannot_be_believed_is_left_out(
    file: Path, name: str, value: Any, attribute: str, expected: Any
) -> None:
    save(file, asking(made(1), **{name: value}), indent=1)
    (turn,) = turns(file)
    assert getattr(turn, attribute) == expected


@pytest.mark.parametrize(
    "time", ["", "soon", 12, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1999-01-01"]
)
def test_a_time_that_cannot_be_believed_is_untold(file: Path, time: Any) -> None:
    save(file, asking(made(1), time=time))
    (turn,) = turns(file)
    assert turn.started == datetime(2000, 1, 1, tzinfo=UTC)
    assert opened(file).versions == {"main": {(turn.id, "")}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (12, []),
        (["side"], []),
        (" \0\n", []),
        ("a\u202e\tb", ["a b"]),
        ("x" * 1_000, ["x" * 60]),
        ("👩‍👩‍👧 ünï", ["👩‍👩‍👧 ünï"]),
    ],
)
def test_names_of_conversations_are_made_harmless(file: Path, name: Any, expected: list[str]) -> None:
    save(file, asking(made(1), conversation=name))
    assert list(opened(file).conversations) == expected


@pytest.mark.parametrize("id", ["../../etc", "F" * 32, "x" * 100_000, "\ud800", "0" * 31])
def test_an_id_that_is_none_of_ours_becomes_one(file: Path, id: str) -> None:
    save(file, asking(made(1, id=id)), asking(made(2), after=id), indent=1)
    (one, two) = turns(file)
    assert one.id == blake2b(id.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    assert two.prompt == "prompt 2"
    assert opened(file).turn_ids == {one.id, two.id}


@pytest.mark.parametrize("id", [None, "", 1, ["x"]])
def test_an_output_without_an_id_is_no_turn(file: Path, id: Any) -> None:
    save(file, cell("%%chat\nprompt 1", displayed("reply", {**shown(made(1))["metadata"]["nbchat"], "id": id})))
    found = opened(file)
    assert (found.conversations, found.turn_ids) == ({}, frozenset())


@pytest.mark.parametrize("model", ['a{b"}', '"nbchat": {', "}}}{", '\\"'])
def test_braces_and_quotes_in_what_is_told_mislead_nobody(file: Path, model: str) -> None:
    save(file, asking(made(1), model=model), asking(made(2, '{"nbchat": {"id": "x"}}'), after=made(1)))
    found = opened(file)
    assert found.versions == {"main": {made(1).stamp, made(2).stamp}}
    assert found.conversations["main"][0].model == model


def test_metadata_of_another_shape_is_no_news_of_turns(file: Path) -> None:
    save(file, asking(made(1), deep={"a": {"b": {"c": 1}}}), cell("x", displayed("", "text")))
    found = opened(file)
    assert found.turn_ids == frozenset()  # not found without parsing; it was not written by us
    assert [turn.id for turn in found.conversations["main"]] == [made(1).id]


FORGED = [b'"nbchat":{\\"', b'"nbchat":{"a":{', b'"nbchat":{"a":{}', b'"id"   ', b'"nbchat"   ']


@pytest.mark.parametrize("again", FORGED)
def test_no_file_is_looked_at_for_ever(file: Path, again: bytes) -> None:
    file.write_bytes(b'{"x": ' + again * 200_000 + b'"nbformat": 4, "nbformat_minor": 5}')
    found = opened(file)
    assert found.conversations == {}
    assert not found.turn_ids


@pytest.mark.slow
def test_more_turns_than_a_notebook_has_are_left_out(file: Path) -> None:
    many = [{"metadata": {"nbchat": {"id": f"{number:032x}", "conversation": "main"}}} for number in range(100_010)]
    save(file, {"cell_type": "code", "source": "loop", "outputs": many}, indent=None)
    assert [turn.id for turn in turns(file)] == [f"{number:032x}" for number in range(100_000)]


@pytest.mark.slow
def test_forks_of_forks_cannot_fill_the_memory(file: Path) -> None:
    many = 2_000
    forks = [asking(made(many + number), after=made(many), conversation=f"fork {number}") for number in range(1, 200)]
    save(file, *chain(many), *forks, indent=None)
    found = opened(file).conversations
    assert sum(map(len, found.values())) == many + len(forks) + 100_000
    assert prompts(file, "fork 1") == [f"prompt {number}" for number in (*range(1, many + 1), many + 1)]


def test_a_long_conversation_in_one_cell_is_read(file: Path) -> None:
    many = [made(number, is_source=False) for number in range(1, 5_001)]
    outputs = [shown(turn, "" if at == 0 else many[at - 1]) for at, turn in enumerate(many)]
    save(file, {"cell_type": "code", "source": "loop", "outputs": outputs}, indent=1)
    assert [turn.id for turn in turns(file)] == [turn.id for turn in many]


# What a kernel puts out


def outputs_of(messages: Sequence[Json]) -> list[Json]:
    """What a page keeps of a cell's messages."""
    kept: list[Json] = []
    ids: list[str | None] = []
    clear = False
    for message in messages:
        kind, content = message["msg_type"], message["content"]
        name = (content.get("transient") or {}).get("display_id")
        if kind == "clear_output":
            clear = True
        elif kind == "update_display_data":
            kept[ids.index(name)] |= {"data": content["data"], "metadata": content["metadata"]}
        elif kind in ("display_data", "stream", "error"):
            if clear:
                kept, ids, clear = [], [], False
            kept.append(dict(v4.output_from_msg(nbformat.from_dict({**message, "header": {"msg_type": kind}}))))
            ids.append(name)
    return kept


SETUP = """
%load_ext nbchat
import nbchat
from nbchat.testing import ScriptedProvider

nbchat.register(ScriptedProvider(name="echo"))
nbchat.register(ScriptedProvider([f"Paragraph {number}.\\n\\n" for number in range(500)], name="long"))
nbchat.register(ScriptedProvider([f"Paragraph {number}.\\n\\n" for number in range(500)] + [30], name="endless"))
%config NbChat.model = "echo"
"""


@pytest.mark.slow
def test_what_a_kernel_puts_out_gives_its_conversation_back(kernel: Kernel, file: Path) -> None:
    kernel.run(SETUP)
    sources = [
        "%%chat\nhello\n\nyou",
        "%%chat long\nmuch",
        "%chat -m echo -t 1 in one line",
        "%%chat --raw\n**raw**",
        "for x in 'ab':\n    get_ipython().run_line_magic('chat', f'-- say {x}')",
        "print('before')\n%chat -m long much, in code",
    ]
    cells = []
    for number, source in enumerate(sources):
        ran = kernel.run(source, cell_id=f"cell-{number}")
        cells.append(cell(source, *outputs_of(ran.messages), id=f"cell-{number}"))
    endless = kernel.start("%%chat endless\nstop here", cell_id="last")
    kernel.wait(endless, lambda ran: "Paragraph 499" in str(ran.data))
    cells.append(cell("%%chat endless\nstop here", *outputs_of(endless.messages), id="last"))
    kernel.interrupt()
    kernel.wait(endless)
    save(file, *cells)
    kernel.run("import json, sys\nhistory = list(nbchat.current().history)")
    told = "[[t.id, t.prompt, t.text, t.status, list(t.cell)] for t in history]"
    known = json.loads(kernel.run(f"print(json.dumps({told}))").stdout)
    back = [[turn.id, turn.prompt, turn.text, turn.status, list(turn.cell or [])] for turn in turns(file)]
    assert [turn.is_guess for turn in turns(file)] == [False] * 4 + [True] * 3 + [False]
    for asked in known[4:6]:
        asked[1] = sources[4]
    known[6][1] = sources[5]
    assert back[:-1] == known[:-1]
    assert known[-1][2].startswith(back[-1][2])
    assert back[-1][0] == known[-1][0]
