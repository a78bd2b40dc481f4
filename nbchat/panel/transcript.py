"""What the page knows of a conversation, and what has changed of it since it was last asked.

The history tells when there is something new in it; then the turns are compared, one by one. In between only those
that are under way are looked at. The newest turns are taken in first, and a few at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nbchat.chat import Chat
from nbchat.conversations import conversations
from nbchat.errors import shorten
from nbchat.history import Change, History, Turn, read_texts
from nbchat.messages import clean
from nbchat.panel.entry import Entry, Json

_SHOWN = 200
"""How many of the newest turns are shown; as many more each time that earlier ones are asked for."""
_AT_ONCE = 20
"""So many turns may be put into the page, or out of it, by one frame; where more are, it is told the whole."""
_TEXT_AT_ONCE = 40_000
"""After so many characters, the turns that have yet to be rendered wait for the next frame."""


class Update(NamedTuple):
    """What is new."""

    changes: list[Json]
    head: Json
    is_large: bool
    """So much that the whole is better told anew."""


class Transcript:
    """A conversation as the page has it.

    Args:
        chat: The conversation; None for the notebook's current one, whichever that is.
        changed: Called from any thread when there may be something new; it must return at once.
    """

    def __init__(self, chat: Chat | None = None, changed: Callable[[], None] = lambda: None) -> None:
        self._own = chat
        self._changed = changed
        self._is_behind = True
        self._entries: list[Entry] = []
        self._open: list[Entry] = []
        self._head: Json = {}
        self._stop_following: Callable[[], None] = conversations.watch(self.note) if chat is None else lambda: None
        self._stop_watching: Callable[[], None] = lambda: None
        self._go_to(chat or conversations.shown())

    @property
    def is_notebooks_own(self) -> bool:
        """Whether it follows the notebook's current conversation."""
        return self._own is None

    @property
    def is_live(self) -> bool:
        """Whether more may come without anybody's saying so."""
        return bool(self._open) or self._is_behind

    @property
    def seconds(self) -> float:
        """How long the reply has taken that has been under way for longest; 0 for none."""
        return max((entry.seconds for entry in self._open), default=0)

    def note(self) -> None:
        """There is something new in the history."""
        self._is_behind = True
        self._changed()

    def close(self) -> None:
        """Hear of nothing any more."""
        self._stop_following()
        self._stop_watching()

    def show_earlier(self) -> None:
        """Show more of the older turns."""
        self._most += _SHOWN
        self.note()

    def turn(self, id: str) -> Turn | None:
        """The turn with this id, if it is still there."""
        return next((turn for turn in reversed(self.chat.history[:]) if turn.id == id), None)

    def snapshot(self) -> tuple[list[Json], Json]:
        """The turns and the head as they were told so far."""
        return [entry.whole() for entry in self._entries], dict(self._head)

    def changes(self) -> Update:
        """What is new since the last call, which the page is going to be told."""
        if not self._is_behind:
            grown = [change for entry in self._open if (change := entry.advance())]
            self._open = [entry for entry in self._open if entry.is_open]
            return Update(grown, {}, False)
        self._is_behind = False  # before a look at anything: what comes meanwhile is seen by the next one
        if self.is_notebooks_own and self.chat is not (chat := conversations.shown()):
            self._go_to(chat)
        changes = self._compare()
        head = self._look_up()
        new = {name: value for name, value in head.items() if self._head.get(name) != value}
        self._head = head
        moved = sum("turn" in change or "gone" in change for change in changes)
        return Update(changes, new, moved > _AT_ONCE)

    def _go_to(self, chat: Chat) -> None:
        self.chat = chat
        self._most = _SHOWN
        self._stop_watching()
        self._stop_watching = chat.history.watch(self.note)

    def _compare(self) -> list[Json]:
        """Take in the turns as they stand now, and tell how that differs from before."""
        history = self.chat.history
        turns = history[:]
        known = {entry.turn.id: entry for entry in self._entries}
        shown = self._shown(turns, known)
        begin = max(0, len(turns) - self._most)
        stale = {turn.id for turn in history.stale(turns[begin - 1] if begin else None)}
        ids = {turn.id for _, turn in shown}
        order = [id for id in known if id in ids]
        changes: list[Json] = [{"id": id, "gone": True} for id in known if id not in ids]
        self._entries = [self._entry(turn, known.get(turn.id)) for _, turn in shown]
        for at, ((number, _), entry) in enumerate(zip(shown, self._entries, strict=True)):
            id, versions = entry.turn.id, len(history.versions(entry.turn))
            change = entry.advance(number=number, stale=id in stale, versions=versions)
            if entry is not known.get(id) or order[at] != id:
                change = {"id": id, "at": at, "turn": entry.whole()}
                order = [other for other in order if other != id]
                order.insert(at, id)
            changes += [change] if change else []
        self._open = [entry for entry in self._entries if entry.is_open]
        return changes

    def _entry(self, turn: Turn, known: Entry | None) -> Entry:
        if known is None or not known.shows(turn):
            return Entry(turn, self.chat.reply_of(turn))
        known.turn = turn  # a fork has copies
        return known

    def _shown(self, turns: Sequence[Turn], known: dict[str, Entry]) -> list[tuple[int, Turn]]:
        """What is shown now, with numbers: what the page has, and so much more of it that no frame takes long."""
        begin = max(0, len(turns) - self._most)
        had = {turn.id for turn in turns[begin:] if (entry := known.get(turn.id)) and entry.shows(turn)}
        new, size = set[str](), 0
        for end in range(len(turns), begin, -1):
            turn = turns[end - 1]
            if turn.id in had:
                continue
            if len(new) == _AT_ONCE or size > _TEXT_AT_ONCE:
                self._is_behind = True
                break
            if not turn.is_read:
                read_texts(turns[max(begin, end - _AT_ONCE) : end])
            new.add(turn.id)
            size += len(turn.text)
        wanted = had | new
        return [(number, turn) for number, turn in enumerate(turns[begin:], begin + 1) if turn.id in wanted]

    def _look_up(self) -> Json:
        """What stands above and below the turns."""
        names = conversations.names() if self.is_notebooks_own else []
        return {
            "conversation": clean(self.chat.name),
            "conversations": [clean(name) for name in names],
            "model": clean(self.chat.model),
            "undo": clean(_undo_words(self.chat.history)),
            "earlier": max(0, len(self.chat.history) - self._most),
            "mine": self.is_notebooks_own,
        }


_UNDO_WORDS = {
    "send": "the prompt {}",
    "again": "the new reply to {}",
    "version": "the other version of {}",
    "drop": "the deletion of {}",
    "shorter": "the loss of {}, which a cell did not send any more",
    "hide": "the hiding of {}",
    "unhide": "the showing of {}",
    "reset": "the reset of {}",
    "import": "the import of {}",
}


def _undo_words(history: History) -> str:
    """What `undo` would take back; empty if nothing."""
    change = history.last_change
    if change is None:
        return ""
    kind, _, name = change.kind.partition(" ")
    if name:
        return f"the deletion of the conversation {name!r}"
    count = len({move.id for move in change.moves})
    turns = history.turns_of(Change(kind, change.moves[-1:]))
    what = f"“{shorten(turns[0].prompt, 40)}”" if count == 1 and turns else f"{count:,} turns"
    return _UNDO_WORDS.get(kind, "the last change of {}").format(what)
