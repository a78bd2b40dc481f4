"""The turns of one conversation, in the order in which they were first sent.

A turn that a notebook's cell asked for belongs to that cell: running the cell again puts a new version in its place.
Without a cell (a console, nbclient, a `Chat` of one's own) turns are appended. Every change is kept in a log, and can
be undone. In one kernel this is the truth; a `Record`, where there is one, keeps it for the next.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from datetime import datetime, timedelta

from nbchat.history.changes import Change, Move, Record
from nbchat.history.garbage import no_collection
from nbchat.history.onview import OnView, by_place
from nbchat.history.sums import After, Sum, digest_of_system
from nbchat.history.turn import LIVE, ON_VIEW, Cell, Standing, Turn, digest_of, new_id
from nbchat.history.watchers import Watchers

_STEP = 1e-6
"""Seconds between the places of two turns that would have the same."""
_INSTANT = timedelta(microseconds=1)


class History(OnView):
    """The turns of one conversation that are on view, oldest first: a sequence.

    Args:
        system: Tells the conversation's system prompt.
    """

    def __init__(self, system: Callable[[], str] = str) -> None:
        super().__init__()
        self._system = system
        self._session = ""
        self._missing: frozenset[str] = frozenset()
        self._versions: dict[str, list[Turn]] = {}
        self._cells: dict[str, dict[int, Turn]] = defaultdict(dict)
        self._orphans: list[Turn] = []
        self._adoptable: dict[str, Turn] | None = None
        self._changes: list[Change] = []
        self._sums: dict[str, Sum] = {}
        self._record: Record | None = None
        self._watchers = Watchers()
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        from nbchat.history.table import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from nbchat.history.table import as_html

        return as_html(self)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call a bound method after each change, on whichever thread it is made, as long as its object lives.

        It must return at once. Gives what ends that.
        """
        return self._watchers.add(changed)

    @property
    def last_change(self) -> Change | None:
        """What `undo` would take back."""
        return self._changes[-1] if self._changes else None

    def settle(self, session: str, missing: frozenset[str] = frozenset()) -> None:
        """Say in which life of the cells' ids this is, and which cells the notebook does not hold any more.

        Args:
            session: Ids count together with it; empty where they count for ever.
            missing: The cells' ids.
        """
        with self._lock:
            if (session, missing) != (self._session, self._missing):
                self._session, self._missing = session, missing
                self._index()

    def versions(self, turn: Turn) -> list[Turn]:
        """All versions of a turn but those that were taken back, oldest first."""
        return [version for version in self._versions.get(turn.id, []) if version.standing != "gone"]

    def of_cell(self, cell: Cell | None, prompt: str, instead_of: Turn | None = None) -> Turn | None:
        """The turn in whose place this send of this cell goes.

        That is the one which it made when the cell ran before. Where that is not known it is `instead_of`; else one
        with the same prompt whose own cell is no more (a cell that was split, or pasted from elsewhere), or whose
        cell's id does not count any more.
        """
        own = self._cells.get(cell.id, {}).get(cell.ordinal) if cell else None
        return own or instead_of or (self._orphan(digest_of(prompt)) if cell else None)

    def add(self, turn: Turn, instead_of: Turn | None = None) -> Turn | None:
        """Append a turn, or put it in the place of the one its cell made before, or of another; which is returned."""
        with self._lock:
            self.refresh()
            old = self.of_cell(turn.cell, turn.prompt, instead_of)
            turn.session = self._session
            if old is None or old not in self:
                turn.place = max(turn.place, self._turns[-1].place + _STEP if self._turns else 0)
                self._change("send", [(turn, "current")], new=[turn])
                return None
            if turn.cell is None:
                turn.cell, turn.session = old.cell, old.session
            self._put_in_place(turn, old)
            return old

    def replace(self, old: Turn, new: Turn) -> None:
        """Put a new version in the place of another (a retry)."""
        with self._lock:
            new.session = old.session
            self._put_in_place(new, old)

    def restore(self, version: Turn) -> Turn:
        """Let an earlier version of a turn be the current one again; the one that was is returned."""
        with self._lock:
            now = next(turn for turn in self._versions[version.id] if turn.standing in ON_VIEW)
            version.cell, version.session = now.cell, now.session
            self._change("version", [(now, "earlier"), (version, now.standing)])
            return now

    def drop(self, turns: Iterable[Turn], kind: str = "drop") -> None:
        """Take turns out of the conversation."""
        with self._lock:
            self._change(kind, [(turn, "gone") for turn in turns])

    def drop_beyond(self, cell: str, count: int) -> list[Turn]:
        """Take out what a cell had sent beyond its first `count` prompts when it ran before; the turns."""
        with self._lock:
            beyond = [turn for ordinal, turn in sorted(self._cells.get(cell, {}).items()) if ordinal >= count]
            if beyond:
                self.drop(beyond, "shorter")
            return beyond

    def hide(self, turns: Iterable[Turn]) -> None:
        """Keep turns on view, and send them no more."""
        with self._lock:
            self._change("hide", [(turn, "hidden") for turn in turns])

    def unhide(self, turns: Iterable[Turn]) -> None:
        """Send turns again that were hidden, or whose cell was deleted."""
        with self._lock:
            self._change("unhide", [(turn, "current") for turn in turns])

    def note_deleted(self, cells: Iterable[str]) -> None:
        """The page says that these cells were deleted: their turns are sent no more until they run again."""
        with self._lock:
            turns = [turn for cell in cells for turn in self._cells.get(cell, {}).values()]
            turns = [turn for turn in turns if turn.standing == "current"]
            for turn in turns:
                turn.standing = "deleted"
            if turns:
                self._index()
                self._write(turns)

    def reset(self) -> int:
        """Forget all turns, and say how many; `undo` brings them back."""
        with self._lock:
            count = len(self._turns)
            if count:
                self.drop(self._turns, "reset")
            return count

    def extend(self, turns: Iterable[Turn]) -> int:
        """Append turns from elsewhere, in their order, and say how many; those that are known already are left out."""
        with self._lock:
            new = [turn for turn in turns if not self._stands(turn)]
            place = self._turns[-1].place if self._turns else 0
            taken = set(self._versions)
            for turn in new:
                turn.is_foreign = True
                turn.id = new_id() if turn.id in taken else turn.id
                taken.add(turn.id)
                turn.session = self._session
                place = turn.place = max(turn.place, place + _STEP)
            if new:
                shown = [(turn, turn.standing if turn.standing in ON_VIEW else "current") for turn in new]
                self._change("import", shown, new=new)
            return len(new)

    def log(self, kind: str) -> None:
        """Keep a change that concerns no turn."""
        self._change(kind, [])

    def undo(self) -> Change | None:
        """Take back the last change; None if there is none."""
        with self._lock:
            self.refresh()
            if not self._changes:
                return None
            while self._changes:
                change = self._changes.pop()
                turns = self._take_back(change)
                self._index()
                self._write(turns)
                if self._record:
                    self._record.unlog(change)
                if turns or not change.moves:
                    return change
            return None

    def _take_back(self, change: Change) -> list[Turn]:
        """Let the versions stand where they stood before a change, as far as that can be; which these are."""
        turns = []
        for move in reversed(change.moves):
            turn = self._known(move.id, move.started)
            if turn is None or not _is_still(turn, move.after):
                continue
            others = [other for other in self._versions[move.id] if other is not turn and other.standing in ON_VIEW]
            if move.before in ON_VIEW and others:  # a newer version has come from elsewhere
                continue
            turn.standing = move.before
            turns.append(turn)
        return turns

    def turns_of(self, change: Change) -> list[Turn]:
        """The versions that a change concerns."""
        known = [self._known(move.id, move.started) for move in change.moves]
        return [turn for turn in known if turn is not None]

    def ended(self, turn: Turn) -> None:
        """A turn's reply has ended: from here on it is sent with later prompts."""
        with self._lock:
            self._forget_sum(turn)

    def keep(self, *turns: Turn) -> None:
        """Keep turns as they are now."""
        self._write(turns)
        self._watchers.tell()

    def note_system(self) -> None:
        """The conversation has another system prompt: other turns may be stale."""
        self._watchers.tell()

    def sendable(self, turn: Turn | None) -> int:
        """How many of the turns before `turn` (of all for None) later prompts are sent with."""
        with self._lock:
            return self._sum("", self._end(turn)).sent

    def after(self, turn: Turn, *, first: str = "", system: str | None = None) -> str:
        """What `turn` is sent after now, for its `after`.

        Args:
            turn: The turn.
            first: Id of the oldest turn that is sent with it; empty if all are.
            system: The conversation's system prompt; None if it is sent with one of its own, or that is not known.
        """
        with self._lock:
            return str(After.of(self._sum(first, self._end(turn)).digest, system, first))

    def stale(self, after: Turn | None = None) -> list[Turn]:
        """The stale turns, of those behind `after` if that is given."""
        with self._lock:
            begin = self.number(after) if after else 0
            sent = [(end, turn) for end, turn in enumerate(self._turns[begin:], begin) if turn.after is not None]
            system = digest_of_system(self._system()) if sent else ""
            return [turn for end, turn in sent if turn.sent_later and self._has_changed(turn, end, system)]

    def _has_changed(self, turn: Turn, end: int, system: str) -> bool:
        """Whether what stands before this turn, which is the one at `end`, is not what it was sent after."""
        then = After.read(turn.after or "")
        return then.system not in ("", system) or then.turns != self._sum(then.first, end).digest

    def _sum(self, first: str, end: int) -> Sum:
        """The sum of the turns from that id on, from all if it is empty, to this place; of none if it is not there."""
        begin = self._place_of(first, end) if first else 0
        found = self._sums.get(first)
        if found is None or found.begin != begin or found.end > end:
            found = self._sums[first] = Sum(begin)
        found.add(self._turns[found.end : end])
        return found

    def _place_of(self, id: str, end: int) -> int:
        """Where the turn with this id stands, if it does before this place; else that."""
        shown = (turn for turn in self._versions.get(id, []) if turn.standing in ON_VIEW)
        number = next((self.number(turn) for turn in shown), 0)
        return number - 1 if 0 < number <= end else end

    def _end(self, turn: Turn | None) -> int:
        """How many turns stand before this one; all for None, or if it has no place here."""
        number = self.number(turn) if turn else 0
        return number - 1 if number else len(self._turns)

    def refresh(self) -> None:
        """See what another kernel has written into this conversation."""
        with self._lock:
            if self._record and self._record.is_behind():
                with no_collection():
                    self._take(*self._record.read())

    def open(self, record: Record | None) -> None:
        """Take in what a record has, and keep everything in it from now on."""
        with self._lock:
            mine = [turn for versions in self._versions.values() for turn in versions]
            changes = list(self._changes)
            self._record = record
            if record is None:
                return
            with no_collection():
                turns, logged = record.read()
                self._take(turns, logged)
            if mine or changes:
                self._bring_along(record, mine, changes)

    def _bring_along(self, record: Record, mine: list[Turn], changes: list[Change]) -> None:
        """Keep what there was before the record was there to hear of it."""
        with self._lock:
            known = {(change.kind, *change.moves) for change in self._changes}
            changes = [change for change in changes if (change.kind, *change.moves) not in known]
            record.write(mine)
            for change in changes:
                self._changes.append(change)
                for move in change.moves:
                    if turn := self._known(move.id, move.started):
                        turn.standing = move.after
                record.log(change)
            self._index()
            record.write([turn for change in changes for turn in self.turns_of(change)])

    def merge(self, carried: Sequence[Turn]) -> int:
        """Take in the turns that a saved notebook carries, in its order: those that are not known, or newer than known.

        Says how many it took; those cannot be undone.
        """
        with self._lock:
            ended = [twin for turn in carried if (twin := self._ended_by(turn))]
            news = [turn for turn in carried if self._is_news(turn)]
            place = 0.0
            for turn in carried:
                known = self._versions.get(turn.id)
                place = turn.place = known[0].place if known else max(turn.place, place + _STEP)
            for turn in news:
                for version in self._versions.setdefault(turn.id, []):
                    version.standing = "earlier" if version.standing in ON_VIEW else version.standing
                self._versions[turn.id].append(turn)
            if news or ended:
                self._index()
                self._write([*ended, *(version for turn in news for version in self._versions[turn.id])])
            return len(news)

    def take_as_fresh(self, turns: Iterable[Turn]) -> None:
        """Take turns of which it is not known as sent after those that stand before them now."""
        with self._lock:
            for turn in turns:
                if turn in self and turn.after is None:
                    turn.after = self.after(turn)
                    self._write([turn])

    def copy_of(self, other: History) -> None:
        """Have the turns of another history, with their versions, if it has none; what is under way is left out."""
        with self._lock:
            for id, versions in list(other._versions.items()):  # another thread may be adding to them
                copies = [copy(turn) for turn in versions if turn.standing != "gone" and not turn.is_live]
                if copies:
                    self._versions[id] = copies
            self._index()
            self._write([turn for versions in self._versions.values() for turn in versions])

    def knows(self, stamps: Iterable[tuple[str, str]]) -> bool:
        """Whether all versions of turns with these stamps are known."""
        return all(self._knows(stamp) for stamp in stamps)

    def _knows(self, stamp: tuple[str, str]) -> bool:
        versions = self._versions.get(stamp[0], ())
        return any(version.stamp == stamp and not version.never_ended for version in versions)

    def _ended_by(self, turn: Turn) -> Turn | None:
        """The version known here that never ended, of which this one tells the end."""
        twins = (version for version in self._versions.get(turn.id, ()) if version.stamp == turn.stamp)
        twin = next((version for version in twins if version.never_ended), None)
        if twin is not None and len(turn.text) >= len(twin.text):
            twin.end_as(turn)
            return twin
        return None

    def _is_news(self, turn: Turn) -> bool:
        return all(version.started < turn.started for version in self._versions.get(turn.id, []))

    def _put_in_place(self, new: Turn, old: Turn) -> None:
        new.id, new.place = old.id, old.place
        new.started = max(new.started, old.started + _INSTANT)
        self._change("again", [(old, "earlier"), (new, "hidden" if old.standing == "hidden" else "current")], new=[new])

    def _change(self, kind: str, wanted: Iterable[tuple[Turn, Standing]], new: Iterable[Turn] = ()) -> None:
        """Give versions of turns another standing, as one change; `new` ones are taken in."""
        for turn in new:
            turn.standing = "gone"
            self._versions.setdefault(turn.id, []).append(turn)
        wanted = [(turn, standing) for turn, standing in wanted if turn.standing != standing]
        moves = [Move(turn.id, turn.started, turn.standing, standing) for turn, standing in wanted]
        for turn, standing in wanted:
            turn.standing = standing
        if not moves and not kind.startswith("delete "):
            return
        change = Change(kind, moves)
        self._changes.append(change)
        if len(wanted) == 1 and kind == "send":
            self._append(wanted[0][0])
        elif wanted:
            self._index()
        self._write([turn for turn, _ in wanted])
        if self._record:
            self._record.log(change)
        self._watchers.tell()

    def _forget_sum(self, turn: Turn) -> None:
        """A turn has changed: what was summed up with it does not hold any more."""
        if number := self.number(turn):
            self._sums = {first: each for first, each in self._sums.items() if each.end < number}

    def _append(self, turn: Turn) -> None:
        self._turns.append(turn)
        if turn.cell:
            self._cells[turn.cell.id][turn.cell.ordinal] = turn

    def _index(self) -> None:
        """Find out anew what is on view, and which cell made what."""
        shown = [turn for versions in self._versions.values() for turn in versions if turn.standing in ON_VIEW]
        self._turns = sorted(shown, key=by_place)
        self._cells, self._orphans, self._adoptable = defaultdict(dict), [], None
        known, missing, cells = ("", self._session), self._missing, self._cells
        for turn in self._turns:
            if cell := turn.cell:
                id, ordinal = cell
                if is_known := turn.session in known:
                    cells[id][ordinal] = turn
                if not is_known or turn.standing == "deleted" or id in missing:
                    self._orphans.append(turn)
        self._sums = {}
        self._watchers.tell()

    def _orphan(self, asked: str) -> Turn | None:
        """The first turn with this prompt whose cell is no more, or cannot be told any more."""
        if self._adoptable is None:
            if unread := [turn for turn in self._orphans if not turn.is_read]:
                unread[0].note_asked_with(unread)
            self._adoptable = {turn.asked: turn for turn in reversed(self._orphans)}
        return self._adoptable.get(asked)

    def _stands(self, turn: Turn) -> bool:
        """Whether this version is known, and was not taken back."""
        known = self._known(turn.id, turn.started)
        return known is not None and known.standing != "gone"

    def _known(self, id: str, started: datetime) -> Turn | None:
        return next((turn for turn in self._versions.get(id, []) if turn.started == started), None)

    def _write(self, turns: Iterable[Turn]) -> None:
        if self._record:
            self._record.write(turns)

    def _take(self, turns: list[Turn], changes: list[Change]) -> None:
        """Take in what the record has; what is under way here stays as it is."""
        several = set()
        known = self._versions
        for turn in turns:
            if turn.status in LIVE:  # its kernel is gone; or it is not, and will write how it ended
                turn.status, turn.cut, turn.never_ended = "stopped", True, True
            id = turn.id
            if id in known:
                several.add(id)
                self._take_version(turn)
            else:
                known[id] = [turn]
        shown = [[turn for turn in self._versions[id] if turn.standing in ON_VIEW] for id in several]
        older = [turn for versions in shown for turn in sorted(versions, key=_age)[:-1]]
        for turn in older:  # two kernels ran one cell at the same time
            turn.standing = "earlier"
        self._write(older)
        self._changes = changes
        self._index()

    def _take_version(self, turn: Turn) -> None:
        known = self._known(turn.id, turn.started)
        if known is None:
            self._versions[turn.id].append(turn)
        elif known.was_read:
            known.renew(turn)
        else:  # it was sent from here: nobody else knows more about its reply
            known.standing = turn.standing


def _is_still(turn: Turn, standing: Standing) -> bool:
    """Whether it stands where a change put it; that its cell was deleted since is no change that could be undone."""
    return turn.standing == standing or (turn.standing == "deleted" and standing == "current")


def _age(turn: Turn) -> datetime:
    return turn.started
