"""Any sequence of what users do to a conversation, against a model that is as simple as can be.

The model knows of each version what was sent and what came, where each stands, and for each change that can be undone
where all stood before it and after. All else (order, numbers, messages, staleness) it works out anew each time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from nbchat import notebook
from nbchat.chat import Chat
from nbchat.config import NbChat
from nbchat.conversations import Conversations
from nbchat.errors import ReplyCutOff, UsageProblem
from nbchat.history import Cell, Change, History, Turn
from nbchat.history.turn import ON_VIEW
from nbchat.messages import Message, Messages
from nbchat.providers import registry
from nbchat.reply import Reply
from nbchat.testing import Gate, ScriptedProvider

CELLS = ("a", "b", "c", "d", "e")
CUT_MARK = "\n\n[The reply was cut off here.]"
BOUNDED = settings(
    max_examples=100,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # shrinking takes minutes
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


# The world in which a conversation goes on


class Kernel:
    """As much of a kernel as is read: the request under way."""

    def __init__(self) -> None:
        self.request: dict[str, Any] = {}
        self._executions = count(1)

    def runs(self, cell: str, page: str = "page") -> None:
        """A cell begins to run; without an id it is somebody who tells none."""
        self.request = {
            "header": {"msg_id": f"execution-{next(self._executions)}", "session": page},
            "metadata": {"cellId": cell} if cell else {},
        }

    def get_parent(self, channel: str) -> dict[str, Any]:
        assert channel == "shell"
        return self.request


class Shell:
    def __init__(self) -> None:
        self.kernel = Kernel()


class Script:
    """A provider that answers as it was last told, once for each answer that it was given."""

    def __init__(self) -> None:
        self.answers: list[list[Any]] = []
        self.provider = ScriptedProvider(lambda _: self.answers.pop(0))


class World:
    """One notebook file, one store, the provider, and the request that is being executed."""

    def __init__(self, folder: Path, *, ids_last: bool, kept: bool = True) -> None:
        self.file = folder / "notebook.ipynb"
        cells = [{"cell_type": "code", "id": id_, "metadata": {}, "outputs": [], "source": []} for id_ in CELLS]
        whole = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5 if ids_last else 4}
        self.file.write_text(json.dumps(whole), encoding="utf-8")
        self.script = Script()
        self.shell = Shell()
        NbChat.instance().history = str(folder / "history.db") if kept else "memory"
        NbChat.instance().model = "scripted"

    @property
    def kernel(self) -> Kernel:
        return self.shell.kernel


@pytest.fixture
def enter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[World], None]]:
    """A function that makes this process seem to be in such a world."""

    def enter(world: World) -> None:
        monkeypatch.setattr(notebook, "shell", lambda: world.shell)
        monkeypatch.setenv("JPY_SESSION_NAME", str(world.file))
        registry.register(world.script.provider, "scripted")

    yield enter
    registry.unregister("scripted")


class Seat:
    """One kernel of the notebook: its conversations, and the life of its cells' ids."""

    def __init__(self, world: World, life: str) -> None:
        self.world = world
        self.life = life
        self.open()

    def open(self) -> None:
        self.conversations = Conversations()
        self.runs("a")
        self.conversations.current()

    def runs(self, cell: str) -> None:
        self.world.kernel.runs(cell, page=f"page-{self.life}")

    @property
    def chat(self) -> Chat:
        return self.conversations.current()

    def flush(self) -> None:
        if store := self.conversations.store():
            assert store.flush(10)


# The model


Said = tuple[str, str, bool]
"""Prompt, text, and whether it was cut."""


@dataclass(eq=False)
class Version:
    turn: int
    prompt: str
    text: str
    status: str
    cut: bool = False
    cell: Cell | None = None
    life: str = ""
    after: tuple[str, list[Said]] | None = None
    """The system prompt that it was sent with, and what of the conversation."""
    key: tuple[str, Any] = ("", None)
    """Id and time of the real one."""

    @property
    def said(self) -> Said:
        return self.prompt, self.text, self.cut

    @property
    def counts(self) -> bool:
        return bool(self.text) and (self.status == "done" or self.cut)


Standings = dict[Version, str]


@dataclass
class Model:
    """One conversation; turns are numbered in the order of their first run."""

    standing: Standings = field(default_factory=dict)
    changes: list[tuple[str, Standings, Standings]] = field(default_factory=list)
    system: str = ""

    def view(self) -> list[Version]:
        shown = [version for version, standing in self.standing.items() if standing in ON_VIEW]
        return sorted(shown, key=lambda version: version.turn)

    def versions(self, of: Version) -> list[Version]:
        kept = [each for each, standing in self.standing.items() if each.turn == of.turn and standing != "gone"]
        return sorted(kept, key=lambda version: version.key[1])

    def sent(self, before: Version | None = None) -> list[Version]:
        """What is sent with a prompt in the place of this one."""
        place = before.turn if before else 1 << 60
        sent = [version for version in self.view() if version.counts and self.standing[version] == "current"]
        return [version for version in sent if version.turn < place]

    def said(self, before: Version | None = None) -> list[Said]:
        return [version.said for version in self.sent(before)]

    def messages(self, before: Version | None = None) -> list[Message]:
        messages = [Message(role="system", content=self.system)] if self.system else []
        for prompt, text, cut in self.said(before):
            messages.append(Message(role="user", content=prompt))
            messages.append(Message(role="assistant", content=text + CUT_MARK * cut))
        return messages

    def is_stale(self, version: Version) -> bool:
        now = self.system, self.said(version)
        return version.after is not None and version in self.sent() and now != version.after

    def of_cell(self, cell: Cell | None, prompt: str, life: str) -> Version | None:
        if cell is None:
            return None
        of_cells = [version for version in self.view() if version.cell]
        own = [version for version in of_cells if version.cell == cell and version.life == life]
        orphans = [
            version
            for version in of_cells
            if version.prompt == prompt and (version.life != life or self.standing[version] == "deleted")
        ]
        return next(iter(own + orphans), None)

    def change(self, kind: str, standings: Standings) -> None:
        """Something that can be undone, if it changes anything."""
        standings = {version: at for version, at in standings.items() if self.standing.get(version) != at}
        if not standings and not kind.startswith("delete "):
            return
        after = self.standing | standings
        self.changes.append((kind, self.standing, after))
        self.standing = after

    def put(self, new: Version, old: Version | None) -> None:
        if old is None:
            new.turn = 1 + max((version.turn for version in self.standing), default=0)
            self.change("send", {new: "current"})
        else:
            new.turn = old.turn
            hidden = self.standing[old] == "hidden"
            self.change("again", {old: "earlier", new: "hidden" if hidden else "current"})

    def drop(self, versions: list[Version], kind: str = "drop") -> None:
        self.change(kind, dict.fromkeys(versions, "gone"))

    def drop_beyond(self, cell: str, count: int, life: str) -> None:
        own = [version for version in self.view() if version.cell and (version.cell.id, version.life) == (cell, life)]
        if beyond := [version for version in own if version.cell and version.cell.ordinal >= count]:
            self.drop(beyond, "shorter")

    def note_deleted(self, cells: set[str], life: str) -> None:
        """It cannot be undone, and outlives an undo of what was before it."""
        for version in self.view():
            is_meant = version.cell and version.cell.id in cells and version.life == life
            if is_meant and self.standing[version] == "current":
                self.standing = self.standing | {version: "deleted"}

    def undo(self) -> str | None:
        if not self.changes:
            return None
        kind, before, after = self.changes.pop()
        changed = {version for version in after if before.get(version, "gone") != after[version]}
        self.standing = self.standing | {version: before.get(version, "gone") for version in changed}
        return kind


# What users do


class Send(NamedTuple):
    prompt: str
    outcome: str


FAILING = ("cut", "failed", "broken")
OUTCOMES = ("same", "same", "new", "new", "cut", "stopped", "failed", "broken", "empty")
PROMPTS = ("p", "q", "r")
sends = st.builds(Send, st.sampled_from(PROMPTS), st.sampled_from(OUTCOMES))
executions = st.lists(sends, max_size=3)
cells = st.sampled_from(CELLS)
which = st.integers(0, 30)
names = st.sampled_from(["x", "y"])


class Conversing(RuleBasedStateMachine):
    """Users in one or two kernels of a notebook, each going on when the other's work is done."""

    enter: Callable[[World], None]

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.numbers = count(1)
        self.seats: list[Seat] = []
        self.at: list[str] = []
        """Which conversation each seat is in."""
        self.models = {"main": Model()}
        self.deleted: dict[str, list[Model]] = {}
        self.opened: list[set[str]] = []
        """Which conversations each seat has in memory."""
        self.last = "main"
        """The conversation that was last switched to."""
        self.asked: list[Messages] = []
        self.pending: list[Reply] = []
        self.exported: list[Turn] = []

    @initialize(
        seats=st.integers(0, 2),
        ids_last=st.booleans(),
        sources=st.dictionaries(cells, st.lists(sends, min_size=1, max_size=2), min_size=2, max_size=4),
    )
    def begin(self, seats: int, ids_last: bool, sources: dict[str, list[Send]]) -> None:
        """One kernel that keeps all in memory, or so many that have one store; all cells have run once."""
        self.is_kept = seats > 0
        self.world = World(Path(self.folder.name), ids_last=ids_last, kept=self.is_kept)
        self.ids_last = ids_last
        self.enter(self.world)
        for _ in range(max(1, seats)):
            self.seats.append(Seat(self.world, self.new_life()))
            self.at.append("main")
            self.opened.append({"main"})
        self.sit_down(0)
        for cell, execution in sources.items():
            self.run(cell, execution, is_awaited=True)

    def teardown(self) -> None:
        try:
            if self.seats and sys.exc_info()[0] is None:
                self.run_all_and_undo_everything()
        finally:
            for seat in self.seats:
                seat.conversations.restart()
            self.folder.cleanup()

    def run_all_and_undo_everything(self) -> None:
        """Show at the end whose turns are whose, and that there is a way back through every earlier state."""
        for cell in CELLS:
            self.run(cell, [Send("p", "same")], is_awaited=True)
            check(self.chat, self.model)
        self.undo_everything()

    def new_life(self) -> str:
        return "" if self.ids_last else str(next(self.numbers))

    def sit_down(self, number: int) -> None:
        """Go on in this kernel."""
        self.seat = self.seats[number % len(self.seats)]
        self.seat.runs("")
        self.chat.history.refresh()

    @property
    def chat(self) -> Chat:
        return self.seat.chat

    @property
    def number(self) -> int:
        return self.seats.index(self.seat)

    @property
    def model(self) -> Model:
        return self.models[self.at[self.number]]

    def turn(self, version: Version) -> Turn:
        return next(turn for turn in self.chat.history if turn.key == version.key)

    def chosen(self, number: int) -> Version:
        view = self.model.view()
        return view[number % len(view)]

    # Prompts

    def answer(self, version: Version, outcome: str) -> Gate | None:
        """Write the next answer, and what the model has to know of it; a gate where it is to be stopped."""
        text = version.prompt.upper() if outcome == "same" else f"{outcome} {next(self.numbers)}"
        gate = Gate() if outcome == "stopped" else None
        endings: dict[str, list[Any]] = {
            "cut": [text, ReplyCutOff("cut", provider="scripted")],
            "stopped": [text, gate],
            "failed": [RuntimeError("failed")],
            "broken": [text, RuntimeError("failed")],
            "empty": [],
        }
        self.world.script.answers.append(endings.get(outcome, [text]))
        went_on = bool(version.text)
        version.text += "" if outcome in ("failed", "empty") else text
        version.cut = outcome in ("cut", "stopped") or (went_on and outcome in ("failed", "broken"))
        version.status = {"stopped": "stopped"}.get(outcome, "failed" if outcome in FAILING else "done")
        return gate

    def starts(self, version: Version, outcome: str, start: Callable[[], Reply]) -> Reply:
        """Ask for a version that has its place in the model by now."""
        messages = [*self.model.messages(version), Message(role="user", content=version.prompt)]
        if version.text:
            messages.append(Message(role="assistant", content=version.text))
        version.after = self.model.system, self.model.said(version)
        self.asked.append(messages)
        gate = self.answer(version, outcome)
        reply = start()
        version.key = reply.turn.key
        self.pending.append(reply)
        if gate:
            assert gate.wait_reached()
            self.chat.history.stale()  # as the panel asks while it streams
        return reply

    def wait(self) -> None:
        """All that is under way ends; all of it was asked for with the right messages."""
        for reply in self.pending:
            assert reply.wait(10)
        calls = self.world.script.provider.calls
        assert [call.messages[: len(asked)] for call, asked in zip(calls, self.asked, strict=True)] == self.asked
        calls.clear()
        self.asked.clear()
        self.pending.clear()

    def place_for(self, cell: Cell | None, prompt: str, instead_of: Version | None) -> Version | None:
        """In whose place a prompt goes: its cell's own, else the one that is named, else one that fits."""
        found = self.model.of_cell(cell, prompt, self.seat.life)
        is_own = found is not None and (found.cell, found.life) == (cell, self.seat.life)
        return found if is_own or instead_of is None else instead_of

    def send(self, cell: Cell | None, send: Send, instead_of: Version | None = None, **more: Any) -> Reply:
        turn = self.turn(instead_of) if instead_of else None
        if more and self.model.view():
            self.model.drop(self.model.view(), "reset")
        old = self.place_for(cell, send.prompt, instead_of)
        if old and any(reply.turn.place > self.turn(old).place for reply in self.pending):
            self.wait()  # its reply would change what those are sent after
        new = Version(0, send.prompt, "", "queued", cell=cell, life=self.seat.life)
        if old and cell is None:
            new.cell, new.life = old.cell, old.life
        self.model.put(new, old)
        return self.starts(new, send.outcome, lambda: self.chat.send(send.prompt, instead_of=turn, **more))

    def run(self, cell: str, execution: list[Send], is_awaited: bool) -> None:
        """A cell runs, and ends well."""
        self.seat.runs(cell)
        for ordinal, send in enumerate(execution):
            reply = self.send(Cell(cell, ordinal), send)
            if send.outcome == "stopped":
                reply.stop()
            if is_awaited or send.outcome == "stopped":
                self.wait()
        self.wait()
        self.seat.conversations.cell_ends(cell)
        self.model.drop_beyond(cell, len(execution), self.seat.life)

    @rule(cell=cells, execution=executions, is_awaited=st.booleans())
    def run_cell(self, cell: str, execution: list[Send], is_awaited: bool) -> None:
        self.run(cell, execution, is_awaited)

    @rule(send=sends)
    def send_without_cell(self, send: Send) -> None:
        self.seat.runs("")
        reply = self.send(None, send)
        if send.outcome == "stopped":
            reply.stop()
        self.wait()

    @rule(cell=cells)
    def send_afresh(self, cell: str) -> None:
        self.seat.runs(cell)
        self.send(Cell(cell, 0), Send("p", "same"), new=True)
        self.wait()

    @precondition(lambda self: self.model.view())
    @rule(number=which, cell=st.sampled_from(["", *CELLS]), prompt=st.sampled_from(PROMPTS))
    def edit(self, number: int, cell: str, prompt: str) -> None:
        self.seat.runs(cell)
        old, place = self.chosen(number), Cell(cell, 0) if cell else None
        if self.place_for(place, prompt, old) is not old or not self.nobody_is_asked(self.turn(old)):
            self.send(place, Send(prompt, "new"), instead_of=old)
        self.wait()

    def again(self, old: Version, outcome: str, start: Callable[[], Reply], begun: str = "") -> None:
        new = Version(0, old.prompt, begun, "queued", cell=old.cell, life=old.life)
        self.model.put(new, old)
        reply = self.starts(new, outcome, start)
        if outcome == "stopped":
            reply.stop()
        self.wait()

    @precondition(lambda self: self.model.view())
    @rule(number=which, outcome=st.sampled_from(OUTCOMES))
    def retry(self, number: int, outcome: str) -> None:
        old = self.chosen(number)
        turn = self.turn(old)
        if not self.nobody_is_asked(turn):
            self.again(old, outcome, lambda: self.chat.retry(turn=turn))

    def nobody_is_asked(self, turn: Turn) -> bool:
        """Whether a turn came with a file, and nobody else was asked from here: then it must be said who is."""
        if not turn.is_foreign or not all(each.is_foreign for each in self.chat.history) or self.chat._last:
            return False
        with pytest.raises(UsageProblem, match="came with a file"):
            self.chat.retry(turn=turn)
        return True

    @precondition(lambda self: any(version.cut for version in self.model.view()[-1:]))
    @rule(outcome=st.sampled_from(OUTCOMES))
    def go_on(self, outcome: str) -> None:
        old = self.model.view()[-1]
        if not self.nobody_is_asked(self.turn(old)):
            self.again(old, outcome, self.chat.go_on, begun=old.text)

    @precondition(lambda self: any(map(self.model.is_stale, self.model.view())))
    @rule()
    def retry_all_stale(self) -> None:
        stale = [version for version in self.model.view() if self.model.is_stale(version)]
        assert [turn.key for turn in self.chat.history.stale()] == [version.key for version in stale]
        for version in stale:
            turn = self.turn(version)
            self.again(version, "same", lambda turn=turn: self.chat.retry(turn=turn))  # type: ignore[misc]

    @rule(cell=cells, how=st.sampled_from(["undo", "drop", "reset", "run", "retry"]))
    def act_on_a_reply_under_way(self, cell: str, how: str) -> None:
        self.seat.runs(cell)
        reply = self.send(Cell(cell, 0), Send("p", "stopped"))
        version = next(each for each in self.model.view() if each.key == reply.turn.key)
        if how == "undo":
            self.take_back()
        elif how == "drop":
            self.model.drop([version])
            self.chat.drop(reply.turn)
        elif how == "reset":
            self.model.drop(self.model.view(), "reset")
            self.chat.reset()
        elif how == "run":
            self.run(cell, [Send("q", "same")], is_awaited=True)
        else:
            self.again(version, "same", lambda: self.chat.retry(turn=reply.turn))
        self.wait()

    # Everything else

    @rule(number=which, more=which)
    @precondition(lambda self: self.model.view())
    def hide(self, number: int, more: int) -> None:
        chosen = list(dict.fromkeys([self.chosen(number), self.chosen(more)]))
        self.chat.history.hide([self.turn(version) for version in chosen])
        self.model.change("hide", dict.fromkeys(chosen, "hidden"))

    @rule(number=which)
    @precondition(lambda self: self.model.view())
    def unhide(self, number: int) -> None:
        chosen = self.chosen(number)
        self.chat.history.unhide([self.turn(chosen)])
        self.model.change("unhide", {chosen: "current"})

    @rule(number=which, more=which)
    @precondition(lambda self: self.model.view())
    def drop(self, number: int, more: int) -> None:
        chosen = list(dict.fromkeys([self.chosen(number), self.chosen(more)]))
        self.chat.drop(*map(self.turn, chosen))
        self.model.drop(chosen)

    @rule(number=which, wanted=which)
    @precondition(lambda self: self.model.view())
    def restore_a_version(self, number: int, wanted: int) -> None:
        now = self.chosen(number)
        others = [version for version in self.model.versions(now) if version is not now]
        if not others:
            return
        version = others[wanted % len(others)]
        history = self.chat.history
        real = next(each for each in history.versions(self.turn(now)) if each.key == version.key)
        assert history.restore(real).key == now.key
        version.cell, version.life = now.cell, now.life  # the turn stays with the cell that ran last
        self.model.change("version", {now: "earlier"} | {version: self.model.standing[now]})

    @rule()
    def reset(self) -> None:
        assert self.chat.reset() == len(self.model.view())
        if self.model.view():
            self.model.drop(self.model.view(), "reset")

    @rule(times=st.integers(1, 3))
    def undo(self, times: int) -> None:
        for _ in range(times):
            self.take_back()

    def undo_everything(self) -> None:
        while self.model.changes:
            self.take_back()
            check(self.chat, self.model)
        assert self.chat.undo() is None

    def take_back(self) -> None:
        change = self.chat.undo()
        kind = self.model.undo()
        assert (change and change.kind) == kind
        name = kind.removeprefix("delete ") if kind and kind.startswith("delete ") else ""
        if name and name not in self.models:
            self.seat.conversations.restore(name)
            self.models[name] = self.deleted[name].pop()

    @rule(gone=st.sets(cells, min_size=1, max_size=2))
    def delete_cells(self, gone: set[str]) -> None:
        self.seat.conversations.cell_begins(gone)
        for name, model in self.models.items():
            if name in self.opened[self.number]:
                model.note_deleted(gone, self.seat.life)

    @rule(texts=st.lists(st.sampled_from(["i", "j", ""]), max_size=3), in_future=st.booleans(), twins=st.booleans())
    def import_turns(self, texts: list[str], in_future: bool, twins: bool) -> None:
        """Turns from elsewhere; a file may claim any time, and say the same id twice."""
        turns = [
            Turn("imported", "scripted", "scripted", status="done", chunks=[text] if text else []) for text in texts
        ]
        for number, turn in enumerate(turns):
            turn.place += 1e6 if in_future else -1e6
            turn.started += timedelta(microseconds=number)
            turn.id = turns[0].id if twins else turn.id
            turn.standing = "hidden" if number == 1 else "current"
        self.take_in(turns)

    @rule()
    def export(self) -> None:
        """As a file has it: without cells, and without what it was sent after."""
        self.exported = []
        for turn in self.chat.history:
            told = Turn(turn.prompt, turn.model, turn.provider, id=turn.id, started=turn.started, cut=turn.cut)
            told.status, told.standing = turn.status, "current" if turn.standing == "current" else "hidden"
            told.chunks.append(turn.text)
            self.exported.append(told)

    @precondition(lambda self: self.exported)
    @rule()
    def import_what_was_exported(self) -> None:
        self.take_in([copy(turn) for turn in self.exported])

    def take_in(self, turns: list[Turn]) -> None:
        """Import turns; those that are here are left out."""
        here = {version.key for version, standing in self.model.standing.items() if standing != "gone"}
        new = [turn for turn in turns if turn.key not in here]
        standings = ["hidden" if turn.standing != "current" else "current" for turn in new]
        numbers = count(1 + max((version.turn for version in self.model.standing), default=0))
        versions = [Version(next(numbers), turn.prompt, turn.text, turn.status, turn.cut) for turn in new]
        before = len(self.chat.history)
        assert self.chat.history.extend(turns) == len(new)
        for turn, version in zip(self.chat.history[before:], versions, strict=True):
            version.key = turn.key
        if new:
            self.model.change("import", dict(zip(versions, standings, strict=True)))

    # Conversations

    def go_to(self, name: str) -> None:
        self.at[self.number] = self.last = name
        self.opened[self.number].add(name)

    @rule(system=st.sampled_from(["", "Be brief.", "Be long."]))
    def instruct(self, system: str) -> None:
        self.chat.system = self.model.system = system

    @rule(name=st.sampled_from(["main", "x", "y"]))
    def switch(self, name: str) -> None:
        self.models.setdefault(name, Model())
        self.seat.conversations.switch(name)
        self.go_to(name)

    @rule(name=names)
    def fork(self, name: str) -> None:
        if name in self.models:
            with pytest.raises(UsageProblem, match="already"):
                self.seat.conversations.fork(name)
            return
        kept = {copy(version): at for version, at in self.model.standing.items() if at != "gone"}
        self.models[name] = Model(kept, system=self.model.system)
        self.seat.conversations.fork(name)
        self.go_to(name)

    @precondition(lambda self: len(self.seats) == 1 and len(self.models) > 1)
    @rule(name=names)
    def delete(self, name: str) -> None:
        if name not in self.models:
            return
        self.seat.conversations.delete(name)
        self.deleted.setdefault(name, []).append(self.models.pop(name))
        self.opened[self.number].discard(name)
        if self.at[self.number] == name:
            self.go_to("main")
        self.model.change(f"delete {name}", {})

    @precondition(lambda self: len(self.seats) == 1 and len(self.models) == 2)
    @rule()
    def rename(self) -> None:
        old = next(name for name in self.models if name != "main")
        new = {"x": "y", "y": "x"}[old]
        self.seat.conversations.rename(old, new)
        self.models[new] = self.models.pop(old)
        self.opened[self.number] = {new if name == old else name for name in self.opened[self.number]}
        self.at[self.number] = new if self.at[self.number] == old else self.at[self.number]
        self.last = new if self.last == old else self.last

    # Kernels

    @precondition(lambda self: self.is_kept)
    @rule()
    def restart(self) -> None:
        self.seat.conversations.restart()
        self.seat.life = self.new_life()
        self.seat.open()
        self.at[self.number] = self.last
        self.opened[self.number] = {self.last}

    @precondition(lambda self: len(self.seats) > 1)
    @rule()
    def go_to_the_other_kernel(self) -> None:
        self.sit_down(self.number + 1)

    # What always holds

    @invariant()
    def each_kernel_has_what_the_model_says(self) -> None:
        for seat in self.seats:
            seat.flush()
        for seat, name in zip(self.seats, self.at, strict=True):
            seat.runs("a")
            seat.chat.history.refresh()
            check(seat.chat, self.models[name])
        self.seat.runs("")


def check(chat: Chat, model: Model) -> None:
    """The conversation is as the model says."""
    history, view = chat.history, model.view()
    assert [seen(turn) for turn in history] == [told(model, version) for version in view]
    assert [history.number(turn) for turn in history] == list(range(1, len(view) + 1))
    assert len({turn.id for turn in history}) == len(view), "two versions of one turn are on view"
    placed = [(turn.cell, turn.session) for turn in history if turn.cell]
    assert len(set(placed)) == len(placed), "two turns of one send of a cell are on view"
    assert chat.messages == model.messages()
    stale = history.stale()
    assert [turn in stale for turn in history] == [model.is_stale(version) for version in view]
    for turn, version in zip(history, view, strict=True):
        assert [each.key for each in history.versions(turn)] == [each.key for each in model.versions(version)]
        assert history.sendable(turn) == len(model.sent(version))
    anew = History()
    anew.merge([copy(turn) for turn in history])
    assert [history.after(turn) for turn in history] == [anew.after(turn) for turn in anew]
    assert history.sendable(None) == anew.sendable(None)


def seen(turn: Turn) -> tuple[Any, ...]:
    return turn.key, turn.standing, turn.prompt, turn.text, turn.status, turn.cut, turn.cell


def told(model: Model, version: Version) -> tuple[Any, ...]:
    standing = model.standing[version]
    return version.key, standing, version.prompt, version.text, version.status, version.cut, version.cell


@pytest.mark.timeout(500)  # a failure is made as short as it can be
def test_whatever_users_do_the_conversation_is_as_they_left_it(enter: Callable[[World], None]) -> None:
    class Here(Conversing):
        pass

    Here.enter = staticmethod(enter)
    run_state_machine_as_test(Here, settings=BOUNDED)


# Single things


@contextmanager
def a_notebook(enter: Callable[[World], None], *, ids_last: bool = True) -> Iterator[Callable[[], Seat]]:
    """A function that starts a kernel of a new notebook; in each of them the cells' ids have a life of their own."""
    lives = count(1)
    seats: list[Seat] = []
    with TemporaryDirectory() as folder:
        world = World(Path(folder), ids_last=ids_last)
        enter(world)

        def start() -> Seat:
            seats.append(Seat(world, "" if ids_last else str(next(lives))))
            return seats[-1]

        try:
            yield start
        finally:
            for seat in seats:
                seat.conversations.restart()


def run(seat: Seat, cell: str, *prompts: str) -> None:
    """A cell runs that sends these, and ends well."""
    seat.runs(cell)
    for prompt in prompts:
        seat.world.script.answers.append([prompt.upper()])
        assert seat.chat.send(prompt).wait(10)
    seat.conversations.cell_ends(cell)


def on_view(seat: Seat) -> list[Turn]:
    """The turns, once the store has all."""
    seat.flush()
    seat.runs("a")
    seat.chat.history.refresh()
    return list(seat.chat.history)


def sent_by(seat: Seat) -> list[tuple[str, str]]:
    return [(turn.cell.id if turn.cell else "", turn.prompt) for turn in on_view(seat)]


def again(seat: Seat, start: Callable[[], Seat]) -> Seat:
    """The kernel is restarted."""
    seat.flush()
    seat.conversations.restart()
    return start()


@settings(BOUNDED, max_examples=20)
@given(
    sources=st.dictionaries(cells, st.lists(st.sampled_from(PROMPTS), max_size=3)),
    restarts=st.lists(st.booleans(), max_size=9),
    ids_last=st.booleans(),
)
def test_run_all_leaves_one_turn_for_each_send_of_each_cell(
    enter: Callable[[World], None], sources: dict[str, list[str]], restarts: list[bool], ids_last: bool
) -> None:
    with a_notebook(enter, ids_last=ids_last) as start:
        seat = start()
        ids: list[str] = []
        for is_restarted in (False, *restarts):
            seat = again(seat, start) if is_restarted else seat
            for cell, prompts in sources.items():
                run(seat, cell, *prompts)
            turns = on_view(seat)
            assert sent_by(seat) == [(cell, prompt) for cell, prompts in sources.items() for prompt in prompts]
            assert [turn.id for turn in turns] == (ids or [turn.id for turn in turns])
            assert not seat.chat.history.stale()
            ids = [turn.id for turn in turns]


Step = tuple[int, str]
steps = st.tuples(st.integers(0, 1), st.sampled_from(["send", "a", "b", "retry", "hide", "drop"]))


@settings(BOUNDED, max_examples=25)
@given(st.lists(steps, max_size=12))
def test_two_kernels_that_do_not_wait_for_each_other_lose_nothing(
    enter: Callable[[World], None], steps: list[Step]
) -> None:
    with a_notebook(enter) as start:
        seats = [start(), start()]
        asked, dropped = set(), set()
        for number, (who, what) in enumerate(steps):
            seat = seats[who]
            seat.world.script.answers.append([f"answer {number}"])
            seat.runs(what if what in CELLS else "")
            chat = seat.chat  # it looks for what the other kernel has written
            history = chat.history
            if what in ("send", *CELLS):
                reply = chat.send(f"prompt {number}")
            elif what == "retry" and history:
                reply = chat.retry(turn=history[0])
            else:
                seat.world.script.answers.pop()
                for turn in history[:1]:
                    history.hide([turn]) if what == "hide" else chat.drop(turn)
                    dropped |= {turn.id} if what == "drop" else set()
                continue
            assert reply.wait(10)
            asked.add((reply.turn.key, reply.turn.text))
        for seat in seats:
            seat.flush()
        both = [[seen(turn) for turn in on_view(seat)] for seat in seats]
        known = [
            {(each.key, each.text) for turn in on_view(seat) for each in seat.chat.history.versions(turn)}
            for seat in seats
        ]
        assert both[0] == both[1]
        assert {each for each in asked if each[0][0] not in dropped} <= known[0] == known[1]
        assert [seen(turn) for turn in on_view(again(seats[0], start))] == both[1]


def test_what_is_dropped_stays_dropped_though_two_kernels_had_run_it_at_the_same_time(
    enter: Callable[[World], None],
) -> None:
    with a_notebook(enter) as start:
        first, second = start(), start()
        run(first, "a", "p")
        first.flush()
        on_view(second)
        chats = [first.chat, second.chat]
        for number, chat in enumerate(chats):
            first.world.script.answers.append([f"answer {number}"])
            assert chat.retry().wait(10)
        for seat in (first, second):
            seat.flush()
        assert [turn.text for turn in on_view(first)] == [turn.text for turn in on_view(second)] == ["answer 1"]
        first.chat.reset()
        assert on_view(again(first, start)) == []


def test_a_turn_that_another_kernel_drops_while_its_reply_is_under_way_is_gone_in_both(
    enter: Callable[[World], None],
) -> None:
    with a_notebook(enter) as start:
        first, second = start(), start()
        gate = Gate()
        first.world.script.answers.append(["half", gate, " whole"])
        reply = first.chat.send("p")
        assert gate.wait_reached()
        first.flush()
        second.chat.history.refresh()
        second.chat.drop(*second.chat.history)
        second.flush()
        first.chat.history.refresh()
        gate.open()
        assert reply.wait(10)
        assert on_view(first) == []
        assert on_view(second) == []
        assert on_view(again(first, start)) == []


def test_what_was_sent_before_a_cell_told_the_notebook_is_taken_along(enter: Callable[[World], None]) -> None:
    with a_notebook(enter) as start:
        seat = start()
        run(seat, "a", "p")
        seat.flush()
        seat.conversations.restart()
        run(seat, "", "early")
        assert [turn.prompt for turn in seat.chat.history] == ["early"]
        run(seat, "b", "q")
        assert sent_by(seat) == [("a", "p"), ("", "early"), ("b", "q")]
        assert sent_by(again(seat, start)) == [("a", "p"), ("", "early"), ("b", "q")]
        seat = again(seat, start)
        undone = [change.kind for change in iter(seat.chat.undo, None)]
        assert undone == ["send", "send", "send"]


# Whose turn a cell's prompt is


def turn(prompt: str, cell: str = "", text: str = "text", **known: Any) -> Turn:
    return Turn(prompt, "m", "p", Cell(cell, 0) if cell else None, status="done", chunks=[text], **known)


def cells_of(history: History) -> list[tuple[str, str]]:
    return [(each.cell.id if each.cell else "", each.prompt) for each in history]


def test_where_ids_do_not_last_the_prompt_and_its_occurrence_tell_after_a_restart() -> None:
    history = History()
    history.settle("life/1")
    for cell, prompt in [("1", "p"), ("2", "q"), ("3", "p"), ("4", "p")]:
        history.add(turn(prompt, cell))
    ids = [each.id for each in history]
    history.settle("life/2")
    for cell, prompt in [("i", "p"), ("j", "q"), ("k", "p"), ("i", "p"), ("l", "p"), ("m", "p"), ("1", "new")]:
        history.add(turn(prompt, cell))
    assert cells_of(history) == [("i", "p"), ("j", "q"), ("k", "p"), ("l", "p"), ("m", "p"), ("1", "new")]
    assert [each.id for each in history][:4] == ids


def test_a_cell_that_was_split_or_pasted_takes_over_the_turn_of_one_that_is_no_more() -> None:
    history = History()
    for cell, prompt in [("a", "p"), ("b", "q"), ("c", "r")]:
        history.add(turn(prompt, cell))
    history.settle("", frozenset(["a", "c"]))
    history.add(turn("p", "new"))
    history.add(turn("other", "newer"))
    assert cells_of(history) == [("new", "p"), ("b", "q"), ("c", "r"), ("newer", "other")]
    history.note_deleted(["b"])
    history.add(turn("q", "pasted"))
    assert cells_of(history)[1] == ("pasted", "q")
    assert [each.standing for each in history] == ["current"] * 4


def test_a_duplicate_of_a_cell_that_is_still_there_has_a_turn_of_its_own() -> None:
    history = History()
    history.add(turn("p", "a"))
    history.add(turn("p", "duplicate"))
    history.add(turn("p", "a"))
    assert cells_of(history) == [("a", "p"), ("duplicate", "p")]


def test_a_cell_that_runs_again_after_another_took_its_turn_over_does_not_share_it() -> None:
    history = History()
    history.add(turn("p", "a"))
    history.note_deleted(["a"])
    history.add(turn("p", "pasted"))
    history.add(turn("p", "a"))
    history.restore(history.versions(history[0])[0])
    history.add(turn("q", "a"))
    history.add(turn("r", "pasted"))
    assert cells_of(history) == [("pasted", "r"), ("a", "q")]


def test_an_edit_without_a_cell_leaves_the_turn_to_its_cell() -> None:
    history = History()
    history.add(old := turn("p", "a"))
    history.settle("no cell tells")
    history.add(turn("edited", ""), instead_of=old)
    history.settle("")
    history.add(turn("p once more", "a"))
    assert cells_of(history) == [("a", "p once more")]


def test_an_edit_goes_in_the_place_that_it_names_though_another_turn_had_the_same_prompt() -> None:
    history = History()
    history.settle("life/1")
    for cell in ("1", "2"):
        history.add(turn("p", cell))
    history.settle("life/2")
    history.add(turn("p", "edit"), instead_of=history[1])
    assert cells_of(history) == [("1", "p"), ("edit", "p")]


# What undo and import do


def test_undo_of_a_turn_takes_it_back_though_its_cell_was_deleted_since() -> None:
    history = History()
    history.add(turn("p", "a"))
    history.note_deleted(["a"])
    history.undo()
    assert list(history) == []


def test_undo_of_a_rerun_leaves_one_version_though_the_cell_was_deleted_since() -> None:
    history = History()
    history.add(turn("p", "a", "first"))
    history.add(turn("p", "a", "second"))
    history.note_deleted(["a"])
    history.undo()
    assert [each.text for each in history] == ["first"]


def test_what_was_exported_and_forgotten_can_be_imported_again() -> None:
    history = History()
    history.add(turn("p"))
    exported = [copy(each) for each in history]
    history.reset()
    assert history.extend(exported) == 1
    assert [each.prompt for each in history] == ["p"]


def test_hidden_turns_stay_hidden_when_they_are_imported() -> None:
    history = History()
    history.extend([turn("p", standing="hidden")])
    assert [each.standing for each in history] == ["hidden"]


def test_turns_of_one_file_that_claim_the_same_id_are_turns_of_their_own() -> None:
    history = History()
    first = turn("p", id="1")
    history.extend([first, turn("q", id="1", started=first.started + timedelta(seconds=1))])
    assert len({each.id for each in history}) == len(history) == 2


# What a conversation may hold of elsewhere


def elsewhere() -> Turn:
    return Turn("asked elsewhere", "", "imported", status="done", chunks=["text"])


def test_a_conversation_that_was_imported_goes_on_with_the_settings_model() -> None:
    NbChat.instance().model = "guide"
    chat = Chat()
    chat.history.extend([elsewhere()])
    assert chat.send("hello").wait(10)
    assert chat.history[-1].provider == "guide"


def test_a_conversation_that_was_imported_goes_on_after_a_restart(enter: Callable[[World], None]) -> None:
    with a_notebook(enter) as start:
        seat = start()
        seat.chat.history.extend([elsewhere()])
        seat = again(seat, start)
        run(seat, "a", "p")
        assert sent_by(seat) == [("", "asked elsewhere"), ("a", "p")]


def test_another_model_may_answer_a_prompt_whose_own_cannot_be_asked_here() -> None:
    chat = Chat()
    chat.history.extend([elsewhere()])
    assert chat.retry("guide").wait(10)
    assert chat.history[-1].status == "done"


def test_a_reply_that_cannot_go_on_now_can_later() -> None:
    cut: list[Any] = ["half", ReplyCutOff("cut", provider="scripted")]
    chat = Chat(provider=ScriptedProvider(cut, RuntimeError("too many requests"), [" whole"]))
    assert chat.send("p").wait(10)
    assert chat.go_on().wait(10)
    assert [message["content"] for message in chat.messages] == ["p", "half" + CUT_MARK]
    assert chat.go_on().wait(10)
    assert chat.history[-1].text == "half whole"


def test_a_fork_does_not_invent_what_a_turn_was_sent_after(enter: Callable[[World], None]) -> None:
    with a_notebook(enter) as start:
        seat = start()
        run(seat, "a", "p")
        seat.chat.history.extend([elsewhere()])
        forked = seat.conversations.fork("x")
        forked.history.hide(forked.history[:1])
        assert forked.history.stale() == []


def test_a_conversation_that_is_deleted_while_it_is_current_is_gone(enter: Callable[[World], None]) -> None:
    with a_notebook(enter) as start:
        seat = start()
        seat.conversations.switch("x")
        seat.conversations.delete("x")
        assert seat.conversations.names() == ["main"]


class Kept:
    """A record that another kernel has written to; while it is read, something else happens."""

    system: str | None = None

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.meanwhile = meanwhile
        self.turns: dict[tuple[str, Any], Turn] = {}
        self.is_read = False

    def set_system(self, text: str | None) -> None:
        self.system = text

    def read(self) -> tuple[list[Turn], list[Change]]:
        turns = [copy(each) for each in self.turns.values()]
        if turns:
            self.meanwhile()
        self.is_read = bool(turns)
        return turns, []

    def is_behind(self) -> bool:
        return not self.is_read

    def write(self, turns: Iterable[Turn]) -> None:
        for each in turns:
            self.turns[each.key] = copy(each)
            self.turns[each.key].chunks = list(each.chunks)

    def log(self, change: Change) -> None:
        pass

    unlog = log


def test_a_reply_that_ends_while_the_record_is_read_is_not_taken_for_the_half_that_stood_there() -> None:
    gate = Gate()
    chat = Chat(provider=ScriptedProvider(["half", gate, " whole"]))

    def end() -> None:
        gate.open()
        while reply.status != "done":
            time.sleep(0.001)

    chat.keep_in(kept := Kept(end))
    reply = chat.send("p")
    assert gate.wait_reached()
    kept.write([reply.turn])
    chat.history.refresh()
    assert reply.wait(10)
    assert (reply.turn.status, reply.text, reply.turn.cut) == ("done", "half whole", False)
