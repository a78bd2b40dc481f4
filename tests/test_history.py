"""Turns in order: which cell they belong to, their versions, what is sent later and what fits, stale ones, undoing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf
from typing import Any

import pytest

from nbchat.history import Cell, History, Turn, context, messages_of, size_that_fits
from nbchat.history.sums import digest_of_turns


def turn(prompt: str, text: str = "", status: Any = "done", cell: Cell | None = None, cut: bool = False) -> Turn:
    return Turn(prompt, "m", "p", cell, status=status, chunks=[text] if text else [], cut=cut)


def sent(prompt: str, text: str = "reply", cell: Cell | None = None) -> Turn:
    return turn(prompt, text, cell=cell)


def history(*turns: Turn) -> History:
    made = History()
    for each in turns:
        add(made, each)
    return made


def add(made: History, new: Turn) -> Turn:
    """Add a turn as a conversation does, with what it was sent after."""
    made.add(new)
    new.after = made.after(new, system="")
    made.ended(new)
    return new


def prompts(made: History) -> list[str]:
    return prompts_of(made)


def prompts_of(turns: Iterable[Turn]) -> list[str]:
    return [each.prompt for each in turns]


def test_text_is_joined_from_the_chunks_that_came_so_far() -> None:
    growing = turn("q")
    assert growing.text == ""
    growing.chunks += ["a", "b"]
    assert growing.text == "ab"
    growing.chunks += ["c"]
    assert growing.text == "abc"
    assert growing.text is growing.text


class Texts:
    """Knows the texts of turns that were read without them."""

    def __init__(self) -> None:
        self.loaded: list[list[Turn]] = []
        self.told: list[list[Turn]] = []
        self.lost: set[str] = set()
        self.meanwhile: Callable[[], None] = lambda: None

    def said(self, turns: Any) -> dict[Turn, tuple[str, str]]:
        self.told.append(list(turns))
        self.meanwhile()
        there = [each for each in turns if each.id not in self.lost]
        return {each: (f"prompt of {each.id}", f"text of {each.id}") for each in there}

    def load(self, turns: Any) -> None:
        self.loaded.append(list(turns))
        for each in turns:
            each.read(f"prompt of {each.id}", f"text of {each.id}", "")


def unread(texts: Texts, id: str, place: float) -> Turn:
    made = turn("")
    for name in ("prompt", "chunks", "thoughts"):
        delattr(made, name)
    size = len(f"prompt of {id}text of {id}")
    vars(made).update(id=id, place=place, _digest=f"digest of {id}", _size=size, _texts=texts)
    return made


def test_a_turn_is_read_when_its_texts_are_asked_for() -> None:
    texts = Texts()
    stored = unread(texts, "a", 1)
    assert (stored.model, stored.sent_later, stored.is_read) == ("m", True, False)
    assert texts.loaded == []
    assert (stored.text, stored.prompt, stored.reasoning) == ("text of a", "prompt of a", "")
    assert texts.loaded == [[stored]]
    with pytest.raises(AttributeError):
        stored.no_such_thing  # type: ignore[attr-defined]  # noqa: B018


def test_what_is_sent_is_read_at_once_and_the_newest_are_kept() -> None:
    texts = Texts()
    turns = [unread(texts, str(number), number) for number in range(1_000)]
    turns[500].cut = True
    contents = [message["content"] for message in context(turns, "now").messages]
    assert contents[1000:1003] == ["prompt of 500", "text of 500\n\n[The reply was cut off here.]", "prompt of 501"]
    assert len(contents) == 2_001
    assert [texts.loaded, texts.told] == [[turns[800:]], [turns[:800]]]
    texts.loaded.clear()
    texts.told.clear()
    turns = [unread(texts, str(number), number) for number in range(1_000)]
    window = context(turns, "now", most_tokens=100, sendable=1_000)
    assert 0 < window.left_out < 1_000
    assert (texts.loaded, texts.told) == ([turns[window.left_out :]], []), "what is left out was read"


@pytest.mark.parametrize("most_tokens", [1_000_000, inf])
def test_another_thread_that_reads_a_turn_meanwhile_shifts_nothing(most_tokens: float) -> None:
    texts = Texts()
    turns = [unread(texts, str(number), number) for number in range(1_000)]
    texts.meanwhile = lambda: texts.load([turns[2], turns[30]])
    contents = [message["content"] for message in context(turns, "now", most_tokens=most_tokens).messages]
    assert contents[:-1:2] == [f"prompt of {number}" for number in range(1_000)]


@pytest.mark.parametrize(("standing", "now"), [("current", "hidden"), ("hidden", "current")])
def test_what_is_hidden_or_not_meanwhile_was_not_left_out_for_want_of_room(standing: Any, now: Any) -> None:
    texts = Texts()
    turns = [unread(texts, str(number), number) for number in range(500)]
    turns[3].standing = standing
    sendable = sum(each.sent_later for each in turns)

    def meanwhile() -> None:
        turns[3].standing = now

    texts.meanwhile = meanwhile
    window = context(turns, "now", sendable=sendable)
    assert (window.left_out, window.first) == (0, "")
    kept = [each for each in turns if f"prompt of {each.id}" in {each["content"] for each in window.messages}]
    assert window.sent == digest_of_turns(kept)


def test_turns_whose_texts_are_lost_are_left_out_and_said() -> None:
    texts = Texts()
    turns = [unread(texts, str(number), number) for number in range(5)]
    texts.lost = {"1"}
    vars(turns[1])["_blank"] = True
    window = context(turns, "now", sendable=5)
    assert (window.left_out, len(window.messages)) == (1, 9)


def test_what_cannot_be_read_so_simply_is_loaded() -> None:
    texts = Texts()
    turns = [unread(texts, str(number), number) for number in range(5)]
    texts.lost = {"2"}
    contents = [message["content"] for message in messages_of(turns)]
    assert contents[:6:2] == ["prompt of 0", "prompt of 1", "prompt of 2"]
    assert texts.loaded == [[turns[2]]]


def test_turns_without_a_cell_are_appended() -> None:
    assert prompts(history(turn("a"), turn("a"))) == ["a", "a"]


def test_a_history_is_a_sequence() -> None:
    a, b, c = turn("a"), turn("b"), turn("c")
    made = history(a, b, c)
    assert made[1:] == [b, c]
    assert made[-1] is c
    assert list(reversed(made)) == [c, b, a]
    assert made.index(b) == 1
    assert b in made
    assert turn("b") not in made
    assert "b" not in made
    assert [made.number(each) for each in (a, b, c, turn("d"))] == [1, 2, 3, 0]


def test_a_cell_that_is_run_again_replaces_its_turns_in_place() -> None:
    first, second, other = turn("1", cell=Cell("x", 0)), turn("2", cell=Cell("x", 1)), turn("3", cell=Cell("y", 0))
    made = history(first, second, other)
    assert made.add(turn("1 again", cell=Cell("x", 0))) is first
    assert made.add(turn("2 again", cell=Cell("x", 1))) is second
    assert prompts(made) == ["1 again", "2 again", "3"]


def test_the_old_reply_stays_as_a_version_and_can_be_the_current_one_again() -> None:
    made = history(sent("a"), sent("b", "old", Cell("x", 0)), sent("c"))
    add(made, sent("b", "new", Cell("x", 0)))
    old, new = made.versions(made[1])
    assert (old.text, new.text) == ("old", "new")
    assert old.id == new.id
    assert made.restore(old) is new
    assert [each.text for each in made] == ["reply", "old", "reply"]
    assert made.versions(old) == [old, new]
    made.undo()
    assert made[1] is new


def test_a_version_is_newer_than_the_one_before_whatever_the_clock_says() -> None:
    made = history(sent("a", cell=Cell("x", 0)))
    early = sent("a", cell=Cell("x", 0))
    early.started = datetime.now(UTC) - timedelta(hours=1)
    made.add(early)
    assert [each.started for each in made.versions(early)] == sorted(each.started for each in made.versions(early))


def test_what_a_shorter_run_does_not_send_any_more_is_dropped_and_comes_back() -> None:
    made = history(*(sent(str(number), cell=Cell("x", number)) for number in range(3)), sent("y", cell=Cell("y", 0)))
    assert [each.prompt for each in made.drop_beyond("x", 1)] == ["1", "2"]
    assert prompts(made) == ["0", "y"]
    assert made.drop_beyond("x", 1) == []
    made.undo()
    assert prompts(made) == ["0", "1", "2", "y"]


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


def test_every_change_is_undone_in_turn() -> None:
    a, b = sent("a"), sent("b", cell=Cell("x", 0))
    made = history(a)
    made.reset()
    add(made, b)
    add(made, sent("b", "other", Cell("x", 0)))
    made.hide([made[0]])
    made.drop([made[0]])
    kinds = []
    while change := made.undo():
        kinds.append((change.kind, [each.text for each in made]))
    assert kinds == [
        ("drop", ["other"]),
        ("hide", ["other"]),
        ("again", ["reply"]),
        ("send", []),
        ("reset", ["reply"]),
        ("send", []),
    ]


def test_a_reset_of_nothing_is_no_change() -> None:
    made = history(turn("a"))
    assert made.reset() == 1
    assert made.reset() == 0
    made.undo()
    assert prompts(made) == ["a"]


def test_a_hidden_turn_is_on_view_and_not_sent_also_when_its_cell_runs_again() -> None:
    made = history(sent("a", cell=Cell("x", 0)), sent("b"))
    made.hide([made[0]])
    assert prompts(made) == ["a", "b"]
    assert len(context(made, "now").messages) == 3
    add(made, sent("a", "new", Cell("x", 0)))
    assert made[0].standing == "hidden"
    made.unhide([made[0]])
    assert len(context(made, "now").messages) == 5


def test_the_turn_of_a_deleted_cell_is_hidden_until_the_cell_runs_again() -> None:
    made = history(sent("a", cell=Cell("x", 0)), sent("b", cell=Cell("y", 0)))
    made.note_deleted(["x", "unknown"])
    assert made[0].standing == "deleted"
    assert len(context(made, "now").messages) == 3
    add(made, sent("a", cell=Cell("x", 0)))
    assert [each.standing for each in made] == ["current", "current"]


def test_a_turn_is_stale_when_what_it_was_sent_after_has_changed() -> None:
    made = history(sent("a", cell=Cell("x", 0)), sent("b"), sent("c"))
    assert made.stale() == []
    add(made, sent("a", "other", Cell("x", 0)))
    assert [each.prompt for each in made.stale()] == ["b", "c"]
    assert [each.prompt for each in made.stale(made[1])] == ["c"]
    made.undo()
    assert made.stale() == []
    made.hide([made[1]])
    assert [each.prompt for each in made.stale()] == ["c"]


def test_a_turn_is_stale_when_the_system_prompt_has_changed() -> None:
    system = "Be brief."
    made = History(lambda: system)
    for each in (sent("a"), sent("b"), sent("c"), sent("d")):
        made.add(each)
        made.ended(each)
    made[0].after = None
    made[1].after = made.after(made[1])
    made[2].after = made.after(made[2], system="Be brief.")
    made[3].after = made.after(made[3], system="")
    assert prompts_of(made.stale()) == ["d"]
    system = ""
    assert prompts_of(made.stale()) == ["c"], "the first was sent alone, the second with a system prompt of its own"


def test_what_was_left_out_makes_nothing_stale() -> None:
    made = history(*(sent(each, cell=Cell(each, 0)) for each in "abcd"))
    c, d = made[2:]
    d.after = made.after(d, first=c.id, system="")
    c.after = made.after(c, first=c.id, system="")
    made.hide([made[0]])
    assert prompts_of(made.stale()) == ["b"]
    add(made, sent("c", "other", Cell("c", 0)))
    assert prompts_of(made.stale()) == ["b", "d"]
    made.undo()
    made.drop([made[2]])
    assert prompts_of(made.stale()) == ["b", "d"], "the oldest that was sent is no more"
    made.undo()
    made.undo()
    assert made.stale() == []


def test_a_reply_that_comes_out_the_same_makes_nothing_stale() -> None:
    made = history(sent("a", cell=Cell("x", 0)), sent("b"))
    add(made, sent("a", cell=Cell("x", 0)))
    assert made.stale() == []


def test_a_turn_that_was_sent_alone_is_never_stale() -> None:
    made = history(sent("a"), sent("b"))
    made[1].after = None
    made.drop([made[0]])
    assert made.stale() == []


def test_in_a_life_of_its_own_the_prompt_decides_and_how_often_it_came() -> None:
    made = History()
    made.settle("monday")
    for cell in ("u1", "u2", "u3"):
        add(made, sent("same" if cell != "u3" else "other", cell, Cell(cell, 0)))
    made.settle("tuesday")
    for cell in ("v1", "v2", "v3"):
        add(made, sent("same" if cell != "v3" else "other", cell, Cell(cell, 0)))
    assert [each.text for each in made] == ["v1", "v2", "v3"]
    add(made, sent("same", "new", Cell("v4", 0)))
    assert len(made) == 4


def test_a_new_cell_adopts_the_turn_of_one_that_is_no_more_but_not_of_its_twin() -> None:
    made = history(sent("a", "1", Cell("x", 0)), sent("b", "2", Cell("y", 0)))
    add(made, sent("a", "twin", Cell("x2", 0)))
    assert len(made) == 3
    made.note_deleted(["x"])
    add(made, sent("a", "adopted", Cell("z", 0)))
    assert [each.text for each in made] == ["adopted", "2", "twin"]
    made.settle("", frozenset(["y"]))
    add(made, sent("b", "adopted, too", Cell("w", 0)))
    assert [each.text for each in made] == ["adopted", "adopted, too", "twin"]


def test_a_turn_can_be_sent_in_the_place_of_any_other() -> None:
    made = history(sent("a", cell=Cell("x", 0)), sent("b"))
    made.add(sent("edited"), made[0])
    assert prompts(made) == ["edited", "b"]
    assert made[0].cell == Cell("x", 0)
    made.add(sent("its own", cell=Cell("x", 0)), made[1])
    assert prompts(made) == ["its own", "b"]


def test_turns_from_elsewhere_are_appended_once() -> None:
    made = history(sent("a"))
    others = [sent("b"), sent("c")]
    assert made.extend(others) == 2
    assert made.extend(others) == 0
    assert prompts(made) == ["a", "b", "c"]
    made.undo()
    assert prompts(made) == ["a"]


def carried(*prompts: str, like: History | None = None) -> list[Turn]:
    """Turns as a saved notebook carries them: those of a history, or of these prompts."""
    turns = [sent(prompt) for prompt in prompts]
    for new, old in zip(turns, like or [], strict=False):
        new.id, new.place, new.started = old.id, old.place, old.started
    return turns


def test_a_saved_notebook_gives_an_unknown_conversation_back() -> None:
    made = History()
    assert made.merge(carried("a", "b", "c")) == 3
    assert prompts(made) == ["a", "b", "c"]
    assert made.stale() == []
    assert made.undo() is None


def test_of_a_saved_notebook_only_what_is_newer_counts() -> None:
    made = history(sent("a"), sent("b"))
    same, newer, new = carried("a", "b, asked again elsewhere", "c", like=made)
    newer.started += timedelta(seconds=1)
    assert made.merge([same, newer, new]) == 2
    assert prompts(made) == ["a", "b, asked again elsewhere", "c"]
    assert len(made.versions(made[1])) == 2
    assert made.merge(carried("a", like=made)) == 0


def test_what_was_taken_back_does_not_come_back_by_the_saved_notebook() -> None:
    made = history(sent("a"))
    saved = carried("a", like=made)
    made.reset()
    assert made.merge(saved) == 0
    assert len(made) == 0


def test_a_history_shows_its_turns() -> None:
    made = history(sent("first\nline", "\n\n**one**\ntwo"), Turn("second", "", "a-provider"))
    made[0].execution = 5
    head, first, second = repr(made).splitlines()
    assert head.split() == ["cell", "time", "model", "prompt", "reply", "status"]
    assert first.split() == ["1", "[5]", *first.split()[2:3], "m", "first", "line", "**one**", "done"]
    assert second.split()[2:] == ["a-provider", "second", "queued"]
    assert repr(History()) == "No turns yet."


def test_a_history_as_html_shows_text_as_text() -> None:
    made = history(sent("<script>alert(1)</script>", "<b>"))
    made.hide([made[0]])
    shown = made._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "hidden" in shown


def test_of_a_long_history_the_last_turns_are_shown() -> None:
    made = history(*(sent(f"prompt {number}") for number in range(60)))
    assert "prompt 59" in repr(made)
    assert "prompt 9 " not in repr(made)
    assert "10 earlier turns" in repr(made)


@pytest.mark.parametrize(
    ("earlier", "is_sent"),
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
def test_done_turns_and_cut_ones_with_text_are_sent_later(earlier: Turn, is_sent: bool) -> None:
    messages, left_out, *_ = context([earlier], "now")
    assert [message["content"] for message in messages[:-1] if message["role"] == "user"] == ["q"] * is_sent
    assert messages[-1] == {"role": "user", "content": "now"}
    assert left_out == 0


def test_a_cut_reply_is_marked_as_cut_unless_that_is_turned_off() -> None:
    half = turn("q", "half", "stopped", cut=True)
    assert context([half], "now").messages[1]["content"] == "half\n\n[The reply was cut off here.]"
    assert context([half], "now", mark_cut=False).messages[1]["content"] == "half"


def test_the_system_prompt_stands_first_and_is_always_sent() -> None:
    messages, left_out, *_ = context([turn("q", "r")], "now", system="Be brief.", most_tokens=1)
    assert [message["role"] for message in messages] == ["system", "user"]
    assert left_out == 1


def test_the_newest_whole_turns_that_fit_are_sent() -> None:
    turns = [turn(f"question {n}", "x" * 400) for n in range(10)]
    messages, left_out, first, *_ = context(turns, "now", most_tokens=330)
    asked = [message["content"] for message in messages if message["role"] == "user"]
    assert asked == [f"question {n}" for n in range(left_out, 10)] + ["now"]
    assert 0 < left_out < 10
    assert first == turns[left_out].id
    assert context(turns, "now").left_out == 0
    assert context(turns, "now", most_tokens=100_000).left_out == 0


def test_each_message_takes_room_beside_its_text() -> None:
    turns = [turn("q", "r") for _ in range(1_000)]
    window = context(turns, "now", most_tokens=800)
    assert len(window.messages) < 200
    assert 400 < window.tokens <= 800


def test_the_size_of_a_turn_is_that_of_its_texts_at_the_end() -> None:
    growing = turn("q", "half", "streaming")
    assert growing.size == 5
    growing.chunks.append(" and half")
    growing.status = "done"
    assert growing.size == len("qhalf and half")
    supposed = turn("q", "half", "stopped", cut=True)
    assert supposed.size == 5
    supposed.never_ended = True
    supposed.end_as(growing)
    assert supposed.size == growing.size


def test_the_same_turn_comes_first_for_a_while() -> None:
    turns = [turn(f"question {n}", "x" * 400) for n in range(30)]
    firsts, first = [], ""
    for length in range(5, 30):
        first = context(turns[:length], "now", most_tokens=1_100, first=first).first
        firsts.append(first)
    changes = sum(a != b for a, b in pairwise(firsts))
    assert 0 < changes <= len(firsts) // 2


@pytest.mark.parametrize(
    ("refusal", "share"),
    [
        ("This model's maximum context length is 8192 tokens. However, your messages resulted in 16384 tokens.", 0.45),
        ("prompt is too long: 250,000 tokens > 200,000 maximum", 0.72),
        ("the request exceeds the available context size", 0.6),
        ("the request exceeds the available context size (4096 tokens)", 0.6),
        ("code 1000000: 2048", 0.6),
    ],
)
def test_a_refusal_tells_how_much_would_fit(refusal: str, share: float) -> None:
    assert size_that_fits(10_000, refusal) == pytest.approx(10_000 * share, rel=0.01)
