"""This notebook's conversations: found when the first cell asks, opened, switched, forked.

Where the notebook is known, they are in the store, and in the notebook itself; else in memory alone. Which it is, is
found out at the first request that tells its cell, and what was sent before then is taken along.
"""

from __future__ import annotations

import atexit
import re
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from nbchat import notebook
from nbchat.chat import Chat
from nbchat.config import settings
from nbchat.errors import UsageProblem, did_you_mean
from nbchat.history import Change, Turn, Watchers

if TYPE_CHECKING:
    from nbchat.saved.notebook import SavedNotebook
    from nbchat.store.store import Store

MAIN = "main"
"""Name of the conversation that every notebook has."""

_KERNEL = uuid4().hex[:12]


class Conversations:
    """The named conversations of the notebook that this kernel runs; one is current."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._store: Store | None = None
        self._begin()

    def _begin(self) -> None:
        """Nothing has been asked, and nothing is known of the notebook."""
        self._name = MAIN
        self._chats: dict[str, Chat] = {}
        self._cells = notebook.SendCounter()
        self.file: Path | None = None
        """Where conversations are kept, once that was asked for."""
        self._notebook = 0
        """The notebook's number in the store; 0 as long as it is not known."""
        self._document: Path | None = None
        self._saved: SavedNotebook | None = None
        self._missing: dict[str, frozenset[str]] = {}
        self._carried: list[str] = []
        """Names of the conversations that are taken from the saved notebook."""
        self._kept_in: str | None = None
        """The setting that the store was opened with."""
        self._deleted: dict[str, Chat] = {}
        self._is_forgotten = False
        """What the saved notebook carries is not wanted back, either."""
        self._keeps = False
        """The cell that runs is about the conversation."""
        self._watchers = Watchers()
        self._vanished, self._silent = notebook.cells.tell(self)
        """Cells that were deleted, and those that sent nothing and ended well, before the conversations were opened."""

    def current(self) -> Chat:
        """This notebook's conversation: the one of its `%%chat` cells."""
        with self._lock:
            self._find()
            chat = self._chat(self._name)
            for cell in self._silent:
                _drop_beyond(chat, cell, 0)
            self._silent = set()
            chat.history.refresh()
            return chat

    def shown(self) -> Chat:
        """The current conversation as far as it is known: for a look at it, without a search for the notebook."""
        with self._lock:
            return self._chat(self._name)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call a bound method when there is another current conversation, or their names are others; what ends that.

        It must return at once. It is forgotten together with its object.
        """
        return self._watchers.add(changed)

    def switch(self, name: str) -> Chat:
        """Let another conversation be the current one; a new name begins it."""
        with self._lock:
            self._find()
            self._name = name
            if self._store:
                self._store.set_current(self._notebook, name)
            chat = self._chat(name)
            self._watchers.tell()
            return chat

    def fork(self, name: str) -> Chat:
        """Begin a conversation with the turns of this one, and let it be the current one.

        Raises:
            UsageProblem: If there is one of that name.
        """
        with self._lock:
            source = self.current()
            if name in self.names():
                raise UsageProblem(f"There is a conversation {name!r} already: `%chat switch {name}` goes there.")
            forked = self.switch(name)
            forked.go_on_as(source)
            return forked

    def names(self) -> list[str]:
        """The names of all conversations, oldest first."""
        with self._lock:
            stored = self._store.names(self._notebook) if self._store else []
            return list(dict.fromkeys([MAIN, *stored, *self._carried, *self._chats]))

    def rename(self, old: str, new: str) -> None:
        """Give a conversation another name.

        Raises:
            UsageProblem: If there is none of the old name, or one of the new, or it is `main`.
        """
        with self._lock:
            self._require(old)
            if old == MAIN:
                raise UsageProblem("Every notebook has its conversation `main`; `%chat fork NAME` takes it elsewhere.")
            if new in self.names():
                raise UsageProblem(f"There is a conversation {new!r} already.")
            chat = self._chat(old)
            if self._store:
                self._store.rename(self._notebook, old, new)
            del self._chats[old]
            self._leave_out(old)
            chat.name = new
            self._chats[new] = chat
            if self._name == old:
                self._name = new
            self._watchers.tell()

    def delete(self, name: str) -> None:
        """Forget a conversation; if it is the current one, `main` is from then on. `restore` brings it back.

        Raises:
            UsageProblem: If there is none of that name, or it is `main`.
        """
        with self._lock:
            self._require(name)
            if name == MAIN:
                raise UsageProblem("Every notebook has its conversation `main`; `%chat reset` empties it.")
            chat = self._chat(name)
            chat.stop()
            if self._store:
                self._store.delete(self._notebook, name)
            self._deleted[name] = self._chats.pop(name)
            self._leave_out(name)
            if self._name == name:
                self.switch(MAIN)
            self.current().history.log(f"delete {name}")
            self._watchers.tell()

    def undo(self, chat: Chat) -> Change | None:
        """Take back the last change of a conversation, be it that another was deleted; None if there was none.

        Raises:
            UsageProblem: If a conversation cannot come back, since there is another of its name now.
        """
        change = chat.undo()
        if change and change.kind.startswith("delete "):
            try:
                self.restore(change.kind.removeprefix("delete "))
            except UsageProblem:
                chat.history.log(change.kind)  # it can be tried again
                raise
        return change

    def restore(self, name: str) -> None:
        """Bring a deleted conversation back.

        Raises:
            UsageProblem: If there is another of that name now.
        """
        with self._lock:
            if name in self.names():
                raise UsageProblem(f"There is another conversation {name!r} now: rename it first (`%chat rename`).")
            if self._store:
                self._store.restore(self._notebook, name)
            if chat := self._deleted.pop(name, None):
                self._chats[name] = chat
            self._watchers.tell()

    def store(self) -> Store | None:
        """Where conversations are kept; None if they are in memory only."""
        with self._lock:
            where = settings().history
            if where != self._kept_in:
                self._leave_store()
                self._kept_in = where
                self.file = _store_file(where)
                if self.file:
                    from nbchat.store.store import Store

                    self._store = Store(self.file)
                    atexit.unregister(self._follow)
                    atexit.register(self._follow)  # and so before the store is closed
            return self._store

    def cell_begins(self, deleted: set[str]) -> None:
        """A cell begins to run; the page says that others were deleted, so what they sent is sent no more."""
        self._keeps = False
        self._vanished |= deleted
        for chat in self._chats.values() if deleted else ():
            chat.history.note_deleted(deleted)

    def cell_ends(self, cell: str) -> None:
        """A cell has ended well: what it sent when it ran before, and does not any more, is dropped."""
        self._vanished.discard(cell)
        sends = self._cells.sends()
        if (sends or not self._keeps) and (chat := self._chats.get(self._name)):
            _drop_beyond(chat, cell, sends)

    def keep_turns(self) -> None:
        """The cell that runs is about the conversation (a subcommand): what it sent before stays."""
        self._keeps = True

    def named(self, name: str) -> Chat:
        """The conversation of that name."""
        with self._lock:
            return self._chat(name)

    def take_in(self, title: str, turns: list[Turn], system: str | None) -> str:
        """Make a conversation of turns from elsewhere; its name, which is made of the title."""
        with self._lock:
            name = _name_of(title, set(self.names()))
            chat = self._chat(name)
            chat.system = system
            _mark_foreign(turns)
            chat.history.merge(turns)
            self._watchers.tell()
            return name

    def forget(self, notebooks: Iterable[int]) -> None:
        """Delete what is stored of notebooks; of this one also what is in memory."""
        with self._lock:
            notebooks = set(notebooks)
            if self._notebook in notebooks:
                for chat in self._chats.values():
                    chat.stop()
                    chat.keep_in(None)
                self._chats.clear()
                self._notebook, self._saved, self._name = 0, None, MAIN
                self._is_forgotten = True
            if self._store:
                self._store.forget(notebooks)
            self._watchers.tell()

    def restart(self) -> None:
        """Begin anew, as a kernel does that has just started."""
        self._leave_store()
        notebook.cells.forget()
        self._begin()

    def _find(self) -> None:
        """Find out which notebook this is, and open its conversations, if that has not been done."""
        from nbchat.document import document

        if self._document is None and (file := document()):
            self._document = file
            self._open(file)
        elif self._document and self.store() and not self._notebook:
            self._open(self._document)
        if self._document:
            self._follow()
            self._settle()

    def _follow(self) -> None:
        """If the notebook has another name now, let what is stored of it go along.

        The next kernel could find out only by the cells of its turns, and those of the panel have none.
        """
        if self._store and self._notebook and self._document and not self._document.exists():
            from nbchat.store import notebooks

            self._document = notebooks.renamed(self._store, self._notebook, self._document) or self._document

    def _open(self, file: Path) -> None:
        from nbchat.saved import notebook as saved_notebook
        from nbchat.store import notebooks

        self._saved = saved_notebook.read(file)
        is_read = self._saved and settings().embed is not False and not self._is_forgotten
        carried = list(self._saved.versions) if self._saved and is_read else []
        self._carried = carried
        if store := self.store():
            self._notebook = notebooks.find(store, file, self._saved, notebook.cell_id())
            if stored := store.names(self._notebook):  # what is not among them was deleted, or has another name now
                self._carried = [name for name in carried if name in stored]
            if self._name == MAIN:
                self._name = store.current(self._notebook)
        for name, chat in self._chats.items():
            self._fill(name, chat)

    def _fill(self, name: str, chat: Chat) -> None:
        """Let a conversation have what is kept of it, in the store and in the notebook."""
        if self._saved:
            self._settle()
        before = {turn.id for turn in chat.history}
        if self._store and self._notebook:
            chat.keep_in(self._store.conversation(self._notebook, name))
        if self._saved and name in self._carried and not chat.history.knows(self._saved.versions[name]):
            carried = self._saved.conversations.get(name, [])
            own = self._store.asked([turn.id for turn in carried]) if self._store else set()
            _mark_foreign([turn for turn in carried if (turn.id, turn.model, turn.provider) not in own])
            chat.history.merge(carried)
            chat.history.take_as_fresh(carried)
        old = [turn for turn in chat.history if turn.id not in before]
        if old:
            chat.tell(_continues(old))
        if self._saved:
            self._missing[name] = _missing(chat.history, self._saved)
            self._settle()
        chat.history.note_deleted(self._vanished)

    def _chat(self, name: str) -> Chat:
        if name not in self._chats:
            chat = Chat()
            chat.name = name
            chat._cells = self._cells
            chat._storage_news = self._news
            self._chats[name] = chat
            self._fill(name, chat)
        return self._chats[name]

    def _news(self) -> str:
        return self._store.news() if self._store else ""

    def _settle(self) -> None:
        """Say which cells' ids count, and which cells are no more."""
        from nbchat.store.notebooks import is_lasting

        if not (cell := notebook.cell_id()):  # a thread or a widget asks: that says nothing about cells
            return
        saved = self._saved
        lasting = saved is not None and saved.ids_last and is_lasting(cell)
        life = "" if lasting else f"{_KERNEL}/{notebook.page_session()}"
        for chat in self._chats.values():
            chat.history.settle(life, self._missing.get(chat.name, frozenset()) if lasting else frozenset())

    def _leave_store(self) -> None:
        for chat in self._chats.values():
            chat.keep_in(None)
        if self._store:
            self._store.close()
        self._store, self._notebook = None, 0

    def _leave_out(self, name: str) -> None:
        self._carried = [other for other in self._carried if other != name]

    def _require(self, name: str) -> None:
        names = self.names()
        if name not in names:
            raise UsageProblem(f"There is no conversation {name!r}.{did_you_mean(name, names)} `%chat list` shows all.")


def _name_of(title: str, taken: set[str]) -> str:
    """A name made of a title, which nobody has."""
    name = re.sub(r"[^\w.-]+", "-", title).strip("-_.")[:50] or "imported"
    return next(each for number in count(1) if (each := f"{name}-{number}" if number > 1 else name) not in taken)


def _mark_foreign(turns: Iterable[Turn]) -> None:
    for turn in turns:
        turn.is_foreign = True


def _drop_beyond(chat: Chat, cell: str, sends: int) -> None:
    if dropped := chat.history.drop_beyond(cell, sends):
        chat.tell(f"{_count(dropped)} that a cell does not send any more dropped (%chat undo)")


def _missing(turns: Iterable[Turn], saved: SavedNotebook) -> frozenset[str]:
    """Ids of cells that turns know and the notebook does not hold, though it was saved since."""
    cells = {turn.cell.id: turn for turn in turns if turn.cell}
    return frozenset(
        id for id, turn in cells.items() if id not in saved.cells and turn.started.timestamp() < saved.modified
    )


def _store_file(where: str) -> Path | None:
    """Where the store is, by the setting; None for memory."""
    if where == "memory":
        return None
    if where:
        return Path(where).expanduser()
    try:
        from jupyter_core.paths import jupyter_data_dir
    except ImportError:  # no Jupyter, no notebooks
        return None
    return Path(jupyter_data_dir(), "nbchat", "history.db")


def _count(turns: list[Turn]) -> str:
    return f"{len(turns):,} turn{'s' * (len(turns) != 1)}"


def _continues(turns: list[Turn]) -> str:
    """What is said of a conversation that goes on; and whom it asked, if that is known from a file only."""
    last = turns[-1]
    words = f"continues {_count(turns)} from {_day(last.started)} · %chat reset starts afresh"
    who = last.model or last.provider
    return f"{words} · they asked {who}: name it to go on with it" if last.is_foreign and who else words


def _day(moment: datetime) -> str:
    local, today = moment.astimezone(), datetime.now().astimezone()
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b}" if local.year == today.year else f"{local.day} {local:%b %Y}"


conversations = Conversations()
"""The one of this process."""

current = conversations.current
