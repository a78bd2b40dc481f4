"""Conversations on disk: what is kept, by several processes at once, and what happens when the file cannot be used."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from copy import copy
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nbchat.history import Cell, Change, History, Move, Turn, context
from nbchat.messages import Notice, Usage
from nbchat.store import database, schema
from nbchat.store.record import Record
from nbchat.store.store import Store
from nbchat.store.writer import Writing

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes, forks and signals of POSIX")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.db"


@pytest.fixture
def open_store(file: Path) -> Iterator[Callable[..., Store]]:
    """A function that opens the file as another process does; all are closed in the end."""
    stores: list[Store] = []

    def opened(path: Path = file) -> Store:
        stores.append(Store(path))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


def conversation(store: Store, name: str = "main") -> Record:
    """A conversation of the one notebook that the test has."""
    known = store.notebooks()
    return store.conversation(known[0].id if known else store.add_notebook("/a.ipynb", 1, 2), name)


def turn(prompt: str, text: str = "", **known: Any) -> Turn:
    return Turn(prompt, "m", "p", **{"status": "done", "chunks": [text] if text else [], **known})


def texts(record: Record) -> list[tuple[str, str]]:
    return [(each.prompt, each.text) for each in record.read()[0]]


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread or process does."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process, with `store`, `record` and `turn` as the tests have them."""
    start = """
        import sys, time
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from test_store import conversation, texts, turn
        from nbchat.store.store import Store
        store = Store(Path(sys.argv[2]))
    """
    script = textwrap.dedent(start) + textwrap.dedent(code)
    command = [sys.executable, "-c", script, str(Path(__file__).parent), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> str:
    """What a process has printed; it must have ended well."""
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    return out


def sound(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as db:
        return bool(db.execute("PRAGMA integrity_check").fetchone() == ("ok",))


# What is kept


def test_all_of_a_turn_comes_back(store: Store, open_store: Callable[[], Store]) -> None:
    kept = Turn(
        "prompt\0 \ud83d\ude00 \ud800", "model", "provider", Cell("cell", 2), id="ab" * 16, place=12.5,
        standing="hidden", status="stopped", error="broken", cut=True, unseen=True, usage=Usage(3, None),
        seconds=1.25, after="cd", started=datetime(2025, 11, 20, 12, 0, 0, 7, tzinfo=UTC), session="life",
        is_source=True, is_guess=True,
        system="Be brief.", base_url="http://127.0.0.1/v1", options={"seed": 7, "raw": True}, left_out=4,
        notices=[Notice("waited", lasting=True)], chunks=["te", "xt\udc00"], thoughts=["hm", "m"],
    )  # fmt: skip
    record = conversation(store)
    record.write([kept])
    assert store.flush()
    (found,) = conversation(open_store()).read()[0]
    assert not found.is_read
    found.note_asked_with([found])
    assert (found.digest, found.asked) == (kept.digest, kept.asked)
    assert not found.is_read
    different = {each.name for each in fields(Turn) if getattr(found, each.name) != getattr(kept, each.name)}
    assert different == {"prompt", "chunks", "thoughts", "_joined"}
    assert (found.prompt, found.text, found.reasoning) == ("prompt\0 😀 �", "text�", "hmm")


def test_each_attribute_that_is_read_later_can_be_the_first_one_asked_for(store: Store) -> None:
    record = conversation(store)
    record.write([turn("q", "a", seconds=2.0, error="e", system="s", usage=Usage(1, 2), notices=[Notice("n", True)])])
    names = {each.name: getattr(next(iter(record._written)), each.name) for each in fields(Turn) if each.name[0] != "_"}
    for name, value in names.items():
        assert getattr(record.read()[0][0], name) == value


def test_turns_come_in_the_order_of_their_places_and_versions_by_time(store: Store) -> None:
    now = datetime(2025, 1, 1, tzinfo=UTC)
    first = turn("1", place=1.0, started=now)
    again = turn("1 again", id=first.id, place=1.0, started=now + timedelta(microseconds=1))
    record = conversation(store)
    record.write([turn("2", place=2.0, started=now - timedelta(days=1)), again, first])
    assert [each.prompt for each in record.read()[0]] == ["1", "1 again", "2"]


def test_a_later_state_of_a_turn_overwrites_the_earlier_one(store: Store) -> None:
    record, changing = conversation(store), turn("q", status="queued")
    record.write([changing])
    changing.status, changing.chunks = "done", ["a"]
    record.write([changing])
    (found,) = record.read()[0]
    assert (found.status, found.text) == ("done", "a")


def test_a_text_that_grows_is_kept_while_it_grows(store: Store, open_store: Callable[[], Store]) -> None:
    record, growing = conversation(store), turn("q", status="streaming")
    record.write([growing])
    other = conversation(open_store())
    for text in ("so", "so far", "so far so good"):
        growing.chunks.append(text[len(growing.text) :])
        until(lambda text=text: texts(other) == [("q", text)])
    growing.status = "stopped"
    record.write([growing])
    assert store.flush()
    assert other.read()[0][0].status == "stopped"


def test_what_has_ended_is_not_looked_at_any_more(store: Store) -> None:
    record, growing = conversation(store), turn("q", status="streaming")
    record.write([growing])
    growing.status = "done"
    record.write([growing])
    assert store.flush()
    assert not store._writer._growing


def test_changes_are_numbered_kept_and_forgotten(store: Store, open_store: Callable[[], Store]) -> None:
    record, moment = conversation(store), datetime.now(UTC)
    changes = [Change(kind, [Move("a" * 32, moment, "gone", "current")]) for kind in ("send", "drop", "hide")]
    for change in changes:
        record.log(change)
    record.unlog(changes[1])
    other = conversation(open_store())
    assert store.flush()
    found = other.read()[1]
    assert [(each.kind, each.moves, each.number) for each in found] == [
        ("send", changes[0].moves, 1),
        ("hide", changes[2].moves, 3),
    ]


def test_a_number_in_the_log_is_never_used_again(store: Store, open_store: Callable[[], Store]) -> None:
    record, other_store = conversation(store), open_store()
    undone, new = Change("send", []), Change("drop", [])
    record.log(undone)
    assert store.flush()
    other = conversation(other_store)
    (seen,) = other.read()[1]
    record.unlog(undone)
    record.log(new)
    assert store.flush()
    other.unlog(seen)
    assert other_store.flush()
    assert [each.kind for each in record.read()[1]] == ["drop"]


def test_the_log_keeps_the_last_five_hundred_changes(store: Store) -> None:
    record = conversation(store)
    for number in range(502):
        record.log(Change(str(number), []))
    kinds = [each.kind for each in record.read()[1]]
    assert (len(kinds), kinds[0], kinds[-1]) == (500, "2", "501")


def test_the_system_prompt_is_kept_with_the_conversation(store: Store, open_store: Callable[[], Store]) -> None:
    record = conversation(store)
    assert record.system is None
    record.set_system("Be brief.")
    assert store.flush()
    other = conversation(open_store())
    other.read()
    assert other.system == "Be brief."


def test_a_turn_that_was_not_read_can_change_and_keeps_its_texts(store: Store, open_store: Callable[[], Store]) -> None:
    conversation(store).write([turn("q", "a", error="e")])
    assert store.flush()
    other_store = open_store()
    other = conversation(other_store)
    (unread,) = other.read()[0]
    unread.standing = "hidden"
    other.write([unread])
    assert other_store.flush()
    assert not unread.is_read
    (found,) = conversation(store).read()[0]
    assert (found.standing, found.prompt, found.text, found.error) == ("hidden", "q", "a", "e")


def test_a_copy_in_another_conversation_has_the_texts_that_were_never_read(store: Store) -> None:
    conversation(store).write([turn("q", "a", seconds=3.0)])
    (unread,) = conversation(store).read()[0]
    conversation(store, "fork").write([copy(unread)])
    (found,) = conversation(store, "fork").read()[0]
    assert (found.prompt, found.text, found.seconds) == ("q", "a", 3.0)
    assert store.notebooks()[0].size == 4
    assert texts(conversation(store)) == [("q", "a")]


def test_a_copy_is_read_where_it_came_from_until_it_is_on_disk(store: Store, file: Path) -> None:
    conversation(store).write([turn("q", "a")])
    copied = copy(conversation(store).read()[0][0])
    fork = conversation(store, "fork")
    assert store.flush()
    db = database.Database(file).connect(1, create=False)
    assert db is not None
    with closing(db), schema.transaction(db):
        fork.save(Writing(db), copied)
        assert fork.said([copied]) == {copied: ("q", "a")}
        assert copied.text == "a"


def test_of_a_turn_that_is_sent_only_the_current_version_is_read(store: Store) -> None:
    old, new = turn("q", "a", standing="earlier"), turn("q", "b")
    conversation(store).write([old, new])
    read = conversation(store).read()[0]
    assert conversation(store).said(read) == {read[1]: ("q", "b")}
    assert [each.text for each in read] == ["a", "b"]


def test_texts_of_many_turns_are_read_at_once(store: Store) -> None:
    record = conversation(store)
    record.write(turn(f"q{number}", "a" * number, place=float(number)) for number in range(50))
    found = record.read()[0]
    record.load(found)
    assert all(each.is_read for each in found)
    assert [each.text for each in found] == ["a" * number for number in range(50)]


def test_what_cannot_be_written_does_not_hold_up_the_rest(store: Store) -> None:
    record = conversation(store)
    record.write([turn("1", place=1.0), turn("2", place=2.0, options={"odd": object()}), turn("3", place=3.0)])
    assert store.flush()
    assert [each.prompt for each in conversation(store).read()[0]] == ["1", "3"]
    assert "could not be kept" in store.news()


def test_nothing_but_what_belongs_to_the_turn_gets_into_the_file(store: Store, file: Path) -> None:
    secret = "CANARY"
    kept = turn("q", "a", notices=[Notice(secret)])
    kept.api_key = secret  # type: ignore[attr-defined]
    record = conversation(store)
    record.write([kept])
    record.set_system("s")
    record.log(Change("send", [Move(kept.id, kept.started, "gone", "current")]))
    assert store.flush()
    assert all(secret.encode() not in path.read_bytes() for path in file.parent.iterdir())
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT rest, prompt, text, reasoning FROM details").fetchall() == [("", "q", "a", "")]


# Notebooks and their conversations


def test_a_store_that_is_not_used_makes_no_file(store: Store, file: Path) -> None:
    assert (store.notebooks(), store.names(7), store.cells(7), store.prompts(7, 3)) == ([], [], set(), [])
    assert store.current(7) == "main"
    assert store.flush()
    assert not file.parent.exists()


def test_notebooks_are_listed_with_what_they_hold(store: Store) -> None:
    used = datetime(2025, 11, 20, tzinfo=UTC)
    empty, full = store.add_notebook("/b.ipynb", 1, 3), store.add_notebook("/ä.ipynb", 1, 4)
    first = turn("prompt", "täxt", place=1.0, started=used)
    again = turn("prompt", "text", id=first.id, place=1.0, started=used + timedelta(hours=1))
    store.conversation(full, "main").write([first, again])
    store.conversation(full, "other").write([turn("q", "a", place=2.0, started=used)])
    newest, oldest = store.notebooks()
    assert (oldest.id, oldest.path, oldest.used, oldest.turns, oldest.size) == (empty, "/b.ipynb", 0.0, 0, 0)
    assert (newest.id, newest.path, newest.device, newest.inode) == (full, "/ä.ipynb", 1, 4)
    assert newest.used == (used + timedelta(hours=1)).timestamp()
    assert (newest.turns, newest.conversations, newest.size) == (2, 2, 6 + 5 + 6 + 4 + 1 + 1)


def test_a_notebook_moves(store: Store, open_store: Callable[[], Store]) -> None:
    notebook = store.add_notebook("/a.ipynb", 1, 2)
    store.move_notebook(notebook, "", 0, 0)
    assert [(each.path, each.inode) for each in store.notebooks()] == [("", 0)]
    store.move_notebook(notebook, "/b.ipynb", 5, 6)
    assert store.flush()
    assert [(each.path, each.device, each.inode) for each in open_store().notebooks()] == [("/b.ipynb", 5, 6)]


def test_two_processes_that_add_the_same_notebook_have_one(store: Store, open_store: Callable[[], Store]) -> None:
    first, second = store, open_store()
    ids = {first.add_notebook("/a.ipynb", 1, 2), second.add_notebook("/a.ipynb", 1, 2)}
    assert len(ids) == len(first.notebooks()) == 1
    one, other = (each.conversation(ids.copy().pop(), "main") for each in (first, second))
    one.write([turn("1", place=1.0)])
    other.write([turn("2", place=2.0)])
    assert first.flush()
    assert second.flush()
    assert [each.prompt for each in one.read()[0]] == ["1", "2"]


def test_cells_and_prompts_are_those_of_all_conversations(store: Store) -> None:
    now = datetime(2025, 1, 1, tzinfo=UTC)
    notebook = store.add_notebook("/a.ipynb", 1, 2)
    sent = [turn(str(n), cell=Cell(f"c{n // 2}", n % 2), started=now + timedelta(seconds=n)) for n in range(4)]
    store.conversation(notebook, "main").write(sent[:3])
    store.conversation(notebook, "other").write([*sent[3:], turn("none", started=now)])
    assert store.cells(notebook) == {"c0", "c1"}
    assert store.prompts(notebook, 3) == ["3", "2", "1"]


def test_conversations_are_named_renamed_deleted_and_restored(store: Store) -> None:
    notebook = store.add_notebook("/a.ipynb", 1, 2)
    for name in ("main", "first", "second"):
        store.conversation(notebook, name).write([turn(name)])
    store.rename(notebook, "first", "1")
    assert store.names(notebook) == ["main", "1", "second"]
    store.delete(notebook, "second")
    assert store.names(notebook) == ["main", "1"]
    assert texts(store.conversation(notebook, "second")) == []
    store.restore(notebook, "second")  # its name is taken
    store.rename(notebook, "second", "third")
    store.restore(notebook, "second")
    assert texts(store.conversation(notebook, "second")) == [("second", "")]
    assert texts(store.conversation(notebook, "1")) == [("first", "")]


def test_a_name_that_is_taken_is_not_given_again(store: Store) -> None:
    notebook = store.add_notebook("/a.ipynb", 1, 2)
    for name in ("a", "b"):
        store.conversation(notebook, name).write([turn(name)])
    store.rename(notebook, "a", "b")
    assert store.names(notebook) == ["a", "b"]
    assert store.news() == ""


def test_a_record_goes_on_under_its_conversations_new_name(store: Store, open_store: Callable[[], Store]) -> None:
    notebook = store.add_notebook("/a.ipynb", 1, 2)
    record = store.conversation(notebook, "old")
    store.rename(notebook, "old", "new")
    record.write([turn("q")])
    assert store.flush()
    other = open_store()
    assert other.names(notebook) == ["new"]
    assert texts(other.conversation(notebook, "new")) == [("q", "")]


def test_the_current_conversation_is_main_until_it_is_another(store: Store, open_store: Callable[[], Store]) -> None:
    notebook = store.add_notebook("/a.ipynb", 1, 2)
    assert store.current(notebook) == "main"
    store.set_current(notebook, "other")
    assert store.flush()
    assert open_store().current(notebook) == "other"
    store.conversation(notebook, "other")
    store.rename(notebook, "other", "renamed")
    assert store.current(notebook) == "renamed"


def test_what_is_forgotten_leaves_no_trace_in_the_files(store: Store, file: Path) -> None:
    kept, gone = store.add_notebook("/kept.ipynb", 1, 2), store.add_notebook("/gone.ipynb", 1, 3)
    store.conversation(kept, "main").write([turn("to be kept", "x" * 20_000)])
    growing = turn("WIPED prompt", status="streaming")
    record = store.conversation(gone, "main")
    record.set_system("WIPED system")
    for number in range(20):
        growing.chunks.append(f"WIPED {number} " * 100)
        record.write([growing])
        assert store.flush()
    growing.status = "done"
    record.write([growing])
    record.log(Change("WIPED", []))
    assert store.flush()
    assert any(b"WIPED" in path.read_bytes() for path in file.parent.iterdir())
    store.forget([gone])
    assert store.flush()
    assert all(b"WIPED" not in path.read_bytes() for path in file.parent.iterdir())
    assert [each.path for each in store.notebooks()] == ["/kept.ipynb"]
    assert sound(file)


def test_a_conversation_goes_on_after_its_notebook_was_forgotten(store: Store, open_store: Callable[[], Store]) -> None:
    record, old = conversation(store), turn("old", place=1.0)
    record.write([old])
    other = open_store()
    other.forget([each.id for each in other.notebooks()])
    assert other.notebooks() == []
    record.write([turn("new", place=2.0)])
    assert store.flush()
    assert texts(conversation(open_store())) == [("new", "")]


# Several processes


def test_a_record_is_behind_when_another_process_has_written(store: Store, open_store: Callable[[], Store]) -> None:
    one, other_store = conversation(store), open_store()
    one.write([turn("1", place=1.0)])
    one.read()
    other = conversation(other_store)
    other.read()
    assert not one.is_behind()
    assert not other.is_behind()
    one.write([turn("2", place=2.0)])
    assert store.flush()
    assert not one.is_behind()
    assert other.is_behind()
    other.write([turn("3", place=3.0)])
    assert other_store.flush()
    assert other.is_behind()  # it has not read the 2 yet
    assert one.is_behind()
    assert [each.prompt for each in other.read()[0]] == ["1", "2", "3"]
    assert not other.is_behind()


def test_another_conversation_of_the_file_leaves_none_behind(store: Store, open_store: Callable[[], Store]) -> None:
    record, other = conversation(store), open_store()
    record.write([turn("1")])
    record.read()
    conversation(other, "other").write([turn("q")])
    assert other.flush()
    assert not record.is_behind()


def test_a_record_is_never_behind_its_own_writing(store: Store) -> None:
    record = conversation(store)
    record.write([turn("0")])
    record.read()
    for number in range(200):
        record.write([turn(str(number))])
        assert not record.is_behind()


def test_what_two_processes_change_of_one_turn_is_kept_from_both(store: Store, open_store: Callable[[], Store]) -> None:
    record, growing = conversation(store), turn("q", status="streaming")
    record.write([growing])
    assert store.flush()
    other_store = open_store()
    other = conversation(other_store)
    (seen,) = other.read()[0]
    growing.chunks.append("all of it")
    growing.status = "done"
    record.write([growing])
    assert store.flush()
    seen.standing = "hidden"
    other.write([seen])
    assert other_store.flush()
    (found,) = conversation(open_store()).read()[0]
    assert (found.status, found.standing, found.text) == ("done", "hidden", "all of it")


def test_one_version_from_two_processes_is_one_turn(store: Store, open_store: Callable[[], Store]) -> None:
    rebuilt = turn("q", "a")
    conversation(store).write([rebuilt])
    assert store.flush()
    other_store = open_store()
    conversation(other_store).write([turn("q", "a", id=rebuilt.id, started=rebuilt.started, place=rebuilt.place)])
    assert other_store.flush()
    assert texts(conversation(store)) == [("q", "a")]


def test_eight_processes_write_into_one_conversation_and_nothing_is_lost(store: Store, file: Path) -> None:
    conversation(store)
    assert store.flush()
    code = """
        from nbchat.history import Change
        record = conversation(store)
        for number in range(25):
            record.write([turn(f"{sys.argv[3]}/{number}", "text " * number)])
            record.log(Change(sys.argv[3], []))
            store.flush(60)
        print(repr(store.news()))
    """
    processes = [python(code, file, number) for number in range(8)]
    assert [ended(process) for process in processes] == ["''\n"] * 8
    turns, changes = conversation(store).read()
    assert sorted(each.prompt for each in turns) == sorted(f"{a}/{b}" for a in range(8) for b in range(25))
    assert [each.number for each in changes] == list(range(1, 201))
    assert all(each.text == "text " * int(each.prompt.split("/")[1]) for each in turns)
    assert sound(file)


@pytest.mark.slow
def test_twenty_processes_open_a_file_that_is_not_there_yet(file: Path, open_store: Callable[[], Store]) -> None:
    code = """
        sys.stdin.readline()
        conversation(store).write([turn(sys.argv[3])])
        print(store.flush(60), repr(store.news()))
    """
    processes = [python(code, file, number) for number in range(20)]
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    assert [ended(process) for process in processes] == ["True ''\n"] * 20
    assert sorted(prompt for prompt, _ in texts(conversation(open_store()))) == sorted(map(str, range(20)))
    assert len(open_store().notebooks()) == 1


@posix
@pytest.mark.slow
def test_a_process_that_is_killed_loses_the_last_second_at_most(file: Path, open_store: Callable[[], Store]) -> None:
    code = """
        growing = turn(sys.argv[3], status="streaming")
        conversation(store).write([growing])
        count = 0
        while True:
            growing.chunks.append("x")
            count += 1
            conversation(store, "other").write([turn("y" * 3000)])
            print(time.time(), count, flush=True)
            time.sleep(0.01)
    """
    chance = random.Random(4)
    for number in range(8):
        process = python(code, file, number)
        assert process.stdout
        first = process.stdout.readline()
        time.sleep(chance.uniform(0, 2.5))
        process.kill()
        killed = time.time()
        lines = [first, *process.communicate()[0].splitlines(keepends=True)]
        written = [line.split() for line in lines if line.endswith("\n")]
        certain = max((int(count) for when, count in written if float(when) < killed - 1), default=0)
        kept = dict(texts(conversation(open_store())))
        assert len(kept.get(str(number), "")) >= certain
        assert sound(file)
    assert not list(file.parent.glob("*corrupt*"))


def test_writing_waits_for_a_program_that_has_locked_the_file(store: Store, file: Path) -> None:
    record = conversation(store)
    record.write([turn("1", place=1.0)])
    assert store.flush()
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        record.write([turn("2", place=2.0)])
        assert not store.flush(0.1)
        assert [each.prompt for each in record.read()[0]] == ["1", "2"]  # the second from memory
        db.execute("ROLLBACK")
    assert store.flush(30)
    assert store.news() == ""
    assert [each.prompt for each in conversation(store).read()[0]] == ["1", "2"]


def test_a_reader_does_not_wait_for_ever(
    store: Store, open_store: Callable[[], Store], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbchat.store.reader._PATIENCE", 0.1)
    conversation(store).write([turn("q")])
    assert store.flush()
    store.close()
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("BEGIN EXCLUSIVE")
        other = open_store()
        assert other.notebooks() == []
        assert "locked" in other.news()
        db.execute("ROLLBACK")
    assert len(other.notebooks()) == 1


@posix
def test_a_forked_child_leaves_the_parents_work_to_the_parent(store: Store, open_store: Callable[[], Store]) -> None:
    record = conversation(store)
    for number in range(20):  # the parent is somewhere else in its work each time
        record.write([turn(f"parent {number}", place=number * 2.0)])
        record.log(Change("parent", []))
        time.sleep(number / 5000)
        child = os.fork()
        if not child:
            try:
                record.write([turn(f"child {number}", place=number * 2.0 + 1)])
                os._exit(0 if store.flush(20) else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
    assert store.flush()
    turns, changes = conversation(open_store()).read()
    assert [each.prompt for each in turns] == [f"{who} {number}" for number in range(20) for who in ("parent", "child")]
    assert len(changes) == 20


@posix
def test_a_forked_child_whose_parent_was_too_busy_chats_in_memory(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = conversation(store)
    record.write([turn("parent")])
    assert store.flush()
    monkeypatch.setattr("nbchat.store.store._PATIENCE", 0.1)
    with store._writer.at_work:
        child = os.fork()
    if not child:
        try:
            record.write([turn("child")])
            is_told = not store.flush() and "forked" in store.news() and len(record.read()[0]) == 2
            os._exit(0 if is_told else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert texts(record) == [("parent", "")]


def test_what_is_put_last_is_on_disk_when_python_ends(file: Path, open_store: Callable[[], Store]) -> None:
    ended(python("conversation(store).write([turn('the last', 'words')])", file))
    assert os.listdir(file.parent) == ["history.db"]
    assert texts(conversation(open_store())) == [("the last", "words")]


# The file: its rights, its place, its faults


@posix
@pytest.mark.parametrize("umask", [0o000, 0o277])
def test_only_the_user_can_read_what_is_kept(file: Path, open_store: Callable[[], Store], umask: int) -> None:
    before = os.umask(umask)
    try:
        store = open_store()
        conversation(store).write([turn("q")])
        assert store.flush()
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()}
    assert modes == dict.fromkeys(["history.db", "history.db-wal", "history.db-shm"], 0o600)
    assert file.parent.stat().st_mode & 0o777 == 0o700


@posix
def test_rights_that_were_given_are_taken_back(store: Store, file: Path, open_store: Callable[[], Store]) -> None:
    conversation(store).write([turn("q")])
    assert store.flush()
    file.chmod(0o644)
    file.parent.chmod(0o755)
    assert texts(conversation(open_store())) == [("q", "")]
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@posix
def test_a_directory_that_holds_other_things_keeps_its_rights(file: Path, open_store: Callable[[], Store]) -> None:
    file.parent.mkdir(mode=0o755)
    file.parent.chmod(0o755)
    (file.parent / "notes.txt").touch(0o644)
    store = open_store()
    conversation(store).write([turn("q")])
    assert store.flush()
    assert file.parent.stat().st_mode & 0o777 == 0o755
    assert (file.parent / "notes.txt").stat().st_mode & 0o777 == 0o644


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda _: random.Random(1).randbytes(50_000),
    "a text": lambda _: b"Hello, I am no database." * 10,
    "a wrong header": lambda whole: b"SQLite format 2\0" + whole[16:],
    "truncated": lambda whole: whole[: len(whole) // 2],
    "truncated within the header": lambda whole: whole[:50],
    "a broken table": lambda whole: whole[:100] + b"\xff" * 200 + whole[300:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_moved_aside_and_another_one_begun(
    damage: str, file: Path, open_store: Callable[[], Store]
) -> None:
    store = open_store()
    conversation(store).write([turn("old", "x" * 50_000)])
    assert store.flush()
    store.close()
    broken = DAMAGES[damage](file.read_bytes())
    file.write_bytes(broken)
    store = open_store()
    assert store.notebooks() == []
    record = conversation(store)
    record.write([turn("new")])
    assert store.flush()
    assert texts(conversation(open_store())) == [("new", "")]
    (aside,) = file.parent.glob("history.db.corrupt-*")
    assert aside.read_bytes() == broken
    news = store.news()
    assert aside.name in news
    assert news.count(".") == 3
    assert store.news() == ""


def test_damage_found_later_costs_nothing_that_is_in_memory(file: Path, open_store: Callable[[], Store]) -> None:
    store = open_store()
    record, old = conversation(store), [turn(str(number), "x" * 9000, place=float(number)) for number in range(20)]
    record.set_system("Be brief.")
    record.write(old)
    record.log(Change("send", []))
    assert store.flush()
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = bytearray(file.read_bytes())
    whole[8192:] = b"\xff" * (len(whole) - 8192)
    with file.open("r+b") as broken:
        broken.write(whole)
    store._reader.disconnect()  # another kernel has nothing of it in its cache
    record.read()
    record.write([turn("new", place=99.0)])
    assert store.flush(30)
    (aside,) = (path for path in file.parent.glob("history.db.corrupt-*") if path.name[-1].isdigit())
    assert aside.name in store.news()
    other = conversation(open_store())
    turns, changes = other.read()
    assert [each.prompt for each in turns] == [*map(str, range(20)), "new"]
    assert turns[3].text == "x" * 9000
    assert ([each.kind for each in changes], other.system) == (["send"], "Be brief.")


def test_a_file_that_is_deleted_is_made_anew_with_what_is_in_memory(
    store: Store, file: Path, open_store: Callable[[], Store]
) -> None:
    record = conversation(store)
    record.write([turn("old", place=1.0)])
    assert store.flush()
    file.unlink()  # but not what SQLite has beside it
    record.write([turn("new", place=2.0)])
    assert store.flush()
    assert texts(conversation(open_store())) == [("old", ""), ("new", "")]
    assert sound(file)


@posix
def test_what_was_never_read_is_saved_from_a_file_that_is_deleted(file: Path, open_store: Callable[[], Store]) -> None:
    first = open_store()
    conversation(first).write(turn(str(number), "a", place=float(number)) for number in range(5))
    first.close()
    store = open_store()
    record = conversation(store)
    turns, _ = record.read()
    file.unlink()
    assert turns[0].text == "a"
    record.write([turn("new", "a", place=9.0)])
    assert store.flush()
    assert texts(conversation(open_store())) == [(each, "a") for each in ["0", "1", "2", "3", "4", "new"]]


def test_what_was_written_here_outlives_the_file_after_it_was_read_again(
    store: Store, file: Path, open_store: Callable[[], Store]
) -> None:
    record = conversation(store)
    record.write([turn("q", "a")])
    record.read()
    store._reader.disconnect()  # as if there were nothing to save it from
    file.unlink()
    record.write([turn("new", place=time.time() + 1)])
    assert store.flush()
    assert texts(conversation(open_store())) == [("q", "a"), ("new", "")]


def test_a_file_that_is_deleted_is_empty_for_who_only_reads(store: Store, file: Path) -> None:
    conversation(store).write([turn("old")])
    assert store.flush()
    for path in file.parent.iterdir():
        path.unlink()
    assert store.names(7) == []
    assert not file.exists()


@pytest.mark.parametrize("is_ours", [True, False], ids=["newer", "foreign"])
def test_a_file_that_is_not_for_this_version_is_left_alone(
    is_ours: bool, file: Path, open_store: Callable[[], Store]
) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE precious (text)")
        if is_ours:
            db.execute(f"PRAGMA application_id = {schema.APPLICATION}")
            db.execute("PRAGMA user_version = 999")
        db.commit()
    before = file.read_bytes()
    store = open_store()
    record = conversation(store)
    record.write([turn("q")])
    record.log(Change("send", []))
    assert not store.flush()
    assert [each.prompt for each in record.read()[0]] == ["q"]
    news = store.news()
    assert ("newer version" if is_ours else "another program") in news
    assert news.count("left alone") == 1
    store.close()
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == ["history.db"]


def test_a_file_that_a_newer_version_takes_over_meanwhile_is_left_alone(store: Store, file: Path) -> None:
    record = conversation(store)
    record.write([turn("1", place=1.0)])
    assert store.flush()
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 999")
    record.write([turn("2", place=2.0)])
    assert not store.flush()
    assert "newer version" in store.news()
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT count(*) FROM turns").fetchone() == (1,)
    assert [each.prompt for each in record.read()[0]] == ["1", "2"]


def test_a_path_that_is_a_directory_is_left_alone(file: Path, open_store: Callable[[], Store]) -> None:
    file.mkdir(parents=True)
    file.chmod(0o755)
    store = open_store()
    record = conversation(store)
    record.write([turn("q")])
    assert not store.flush()
    assert "is not a file" in store.news()
    assert file.stat().st_mode & 0o777 == 0o755


def test_a_file_in_the_place_of_the_directory_is_said_once(tmp_path: Path, open_store: Callable[..., Store]) -> None:
    (tmp_path / "file").touch()
    store = open_store(tmp_path / "file" / "history.db")
    record = conversation(store)
    record.write([turn("q")])
    assert not store.flush()
    assert texts(record) == [("q", "")]
    assert store.news().count("cannot be used") == 1
    assert not store.flush()
    assert store.news() == ""


@posix
def test_a_home_that_cannot_be_written_leaves_conversations_in_memory(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o555)
    code = """
        import os
        if not os.getuid():
            os.chdir("/")
            os.setresuid(65534, 65534, 65534)  # root may write anywhere
        record = conversation(store)
        record.write([turn("q", "a")])
        print(store.flush(), texts(record), store.news(), repr(store.news()))
    """
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    out = ended(python(code, home / "data" / "history.db"))
    assert out.startswith("False [('q', 'a')] ")
    assert "Permission denied" in out
    assert out.endswith(" ''\n")


class Small(database.Connection):
    """A connection to a disk with room for a few pages."""

    pages = 30

    def __init__(self, *arguments: Any, **known: Any) -> None:
        super().__init__(*arguments, **known)
        self.execute(f"PRAGMA max_page_count = {self.pages}")


def test_a_full_disk_is_said_once_and_written_when_there_is_room(
    store: Store, open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "Connection", Small)
    record = conversation(store)
    record.write([turn("1", place=1.0)])
    assert store.flush()
    for number in range(2, 5):
        record.write([turn(str(number), "x" * 200_000, place=float(number))])
        assert not store.flush()
        assert [each.prompt for each in record.read()[0]] == [str(each) for each in range(1, number + 1)]
    assert store.news().startswith("The disk is full")
    assert store.news() == ""
    monkeypatch.setattr(Small, "pages", 10_000)
    assert store.flush()
    assert [len(text) for _, text in texts(conversation(open_store()))] == [0, 200_000, 200_000, 200_000]


@posix
def test_a_limit_on_file_sizes_is_survived(file: Path, open_store: Callable[[], Store]) -> None:
    code = """
        import resource
        record = conversation(store)
        record.write([turn("1", place=1.0)])
        assert store.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
        record.write([turn("2", "x" * 500_000, place=2.0)])
        assert not store.flush()
        assert [each.prompt for each in record.read()[0]] == ["1", "2"]
        assert store.news() and not store.news()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert store.flush(), store.news()
    """
    ended(python(code, file))
    assert [len(text) for _, text in texts(conversation(open_store()))] == [0, 500_000]
    assert sound(file)


@posix
def test_a_file_system_without_shared_memory_does_without_the_log(
    open_store: Callable[[], Store], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda name, *rest, **known: connect(f"{name}&vfs=unix-dotfile", *rest, **known)
    )
    store = open_store()
    conversation(store).write([turn("q", "a")])
    assert store.flush()
    assert texts(conversation(store)) == [("q", "a")]
    assert store.news() == ""
    assert not file.with_name("history.db-wal").exists()


# Versions of the tables

NEXT = (("ALTER TABLE notebooks ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'", "CREATE TABLE shades (name TEXT)"),)


@pytest.fixture
def filled(file: Path, open_store: Callable[[], Store]) -> Path:
    """A file of this version, with rows."""
    store = open_store()
    record = conversation(store)
    record.write([turn("q", "a")])
    record.log(Change("send", []))
    assert store.flush()
    store.close()
    return file


def state(file: Path) -> tuple[int, list[str]]:
    with closing(sqlite3.connect(file)) as db:
        columns = [name for _, name, *_ in db.execute("PRAGMA table_info(notebooks)")]
        return db.execute("PRAGMA user_version").fetchone()[0], columns


def test_a_file_of_an_earlier_version_becomes_one_of_this_with_its_rows(
    filled: Path, open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS + NEXT)
    store = open_store()
    assert texts(conversation(store)) == [("q", "a")]
    number, columns = state(filled)
    assert (number, columns[-1]) == (len(schema.MIGRATIONS), "colour")
    conversation(store).write([turn("2", place=time.time() + 1)])
    assert store.flush()
    assert store.news() == ""


@pytest.mark.parametrize("done", range(len(schema.MIGRATIONS) + 1))
def test_every_version_there_was_can_be_brought_to_this_one(done: int, file: Path) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        for statements in schema.MIGRATIONS[:done]:
            for statement in statements:
                db.execute(statement)
        if done:
            db.execute(f"PRAGMA application_id = {schema.APPLICATION}")
            db.execute(f"PRAGMA user_version = {done}")
        schema.migrate(db)
        assert schema.version(db) == len(schema.MIGRATIONS)


def test_a_file_of_the_first_version_gets_the_sizes_of_what_is_sent(
    file: Path, open_store: Callable[[], Store]
) -> None:
    store = open_store()
    sent = turn("qu\u00e9?", "\u2713 yes")
    sent.thoughts.append("hm" * 50)
    conversation(store).write([sent])
    assert store.flush()
    store.close()
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("ALTER TABLE turns DROP COLUMN sent")
        db.execute("PRAGMA user_version = 1")
    (read,), _ = conversation(open_store()).read()
    assert (read.size, read.is_read) == (len("qu\u00e9?\u2713 yes".encode()) + 100, False)


def test_a_migration_that_is_interrupted_leaves_the_old_version_whole(
    filled: Path, open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(filled)
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (*NEXT[0], "CREATE TABLE shades (twice)")))
        store = open_store()
        record = conversation(store)
        record.write([turn("new", place=time.time() + 1)])
        assert not store.flush()
        assert store.news()
        store.close()
    assert state(filled) == before
    assert texts(conversation(open_store())) == [("q", "a")]


def test_two_processes_migrate_one_file_at_the_same_time(filled: Path, open_store: Callable[[], Store]) -> None:
    code = """
        import json
        from nbchat.store import schema
        schema.MIGRATIONS += tuple(map(tuple, json.loads(sys.argv[3])))
        sys.stdin.readline()
        print(texts(conversation(store)), repr(store.news()))
    """
    processes = [python(code, filled, json.dumps(NEXT)) for _ in range(4)]
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    assert [ended(process) for process in processes] == ["[('q', 'a')] ''\n"] * 4
    assert state(filled)[0] == len(schema.MIGRATIONS) + 1
    assert sound(filled)


def test_a_supposed_end_is_not_written_over_the_real_one(store: Store, open_store: Callable[[], Store]) -> None:
    record, growing = conversation(store), turn("q", status="streaming")
    growing.chunks = ["half "]
    record.write([growing])
    assert store.flush()
    other_store = open_store()
    other = History()
    other.open(conversation(other_store))
    assert (other[0].status, other[0].cut, other[0].text) == ("stopped", True, "half ")
    growing.chunks.append("whole")
    growing.status = "done"
    record.write([growing])
    assert store.flush()
    other.hide([other[0]])
    assert other_store.flush()
    other.refresh()
    assert (other[0].standing, other[0].status, other[0].cut, other[0].text) == ("hidden", "done", False, "half whole")
    (back,) = conversation(open_store()).read()[0]
    assert (back.standing, back.status, back.cut, back.text) == ("hidden", "done", False, "half whole")


def test_the_size_of_a_reply_that_another_process_writes_is_that_of_what_is_read_of_it(
    store: Store, open_store: Callable[[], Store]
) -> None:
    record, growing = conversation(store), turn("q", status="streaming")
    record.write([growing])
    assert store.flush()
    other_store = open_store()
    other = History()
    other.open(conversation(other_store))
    growing.chunks.append("half ")
    record.write([growing])
    assert store.flush()
    assert (context(other, "now").tokens, other[0].size) == (4 + len("half q") // 4 + 8, len("half q"))
    growing.chunks.append("whole")
    growing.status = "done"
    record.write([growing])
    assert store.flush()
    other.hide([other[0]])  # of which only that is written, and no size that is only supposed
    assert other_store.flush()
    assert conversation(open_store()).read()[0][0].size == len("half wholeq")
