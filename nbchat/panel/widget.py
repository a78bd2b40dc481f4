"""The widget: its state, and the messages between the kernel and the page.

The state is computed when somebody asks for it (a page that opens the widget, or is loaded anew), and never pushed:
what changes goes out as numbered frames, which the page folds into its copy. All of that happens on one thread of its
own, for all panels, so a cell that blocks the kernel blocks no panel.

ipykernel may call `_receive` on another thread than the cells' (a subshell), while a cell runs.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import anywidget
from traitlets import Dict, Int, List, Unicode

from nbchat.chat import Chat
from nbchat.config import settings
from nbchat.errors import UsageProblem
from nbchat.loop import SharedWorker
from nbchat.messages import clean
from nbchat.notebook import apart_from_cells, cell_id, is_headless, page_session, publisher
from nbchat.panel import actions
from nbchat.panel.entry import Json
from nbchat.panel.outputs import outputs
from nbchat.panel.transcript import Transcript, Update
from nbchat.providers import registry

HEIGHT = 420
"""In pixels."""

_FRAME, _FRAME_LATER, _LATER = 0.1, 0.25, 20
"""Seconds between two frames at least, at first and after a reply has taken so long."""
_BYTES_A_SECOND, _SLOWEST, _ENVELOPE = 10_000, 0.25, 900
"""About what a reply may send to the page, unless that takes longer than so many seconds for a frame; and what a
message takes beside its content."""
_REST = 2
"""A frame that took t seconds to make is followed by at least t × _REST seconds without one: cells want to run, too."""
_PULSE = 2
"""Seconds without a message, while a reply is under way, after which the page is told that the kernel is there."""
_MIND_CHANGED = 0.05
"""Seconds in which a prompt that has waited for a cell may still be withdrawn by the message behind it."""
_REMEMBERED = 100
"""How many of the page's messages are known again."""

_SETTINGS = ["model", "aliases", "system", "panel_sends"]
"""The settings that what the panel shows depends on."""

_worker = SharedWorker("nbchat-panel").get


def _source(name: str) -> str:
    """A file of the page, without indents and lines of comment: it is in each widget's state."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return re.sub(r"(?m)^\s*(?://.*)?", "", text)


class Panel(anywidget.AnyWidget):
    """A conversation as a chat beside the cells.

    Args:
        chat: The conversation; None for the notebook's current one, whichever that is.
        height: How high it is at first, in pixels.
    """

    # Not the files themselves: their class would tell each panel of changes in them, and so keep it for ever.
    _esm = _source("panel.js")
    _css = _source("panel.css")

    # Computed when somebody asks; what stands under these names, perhaps from a page, is never looked at.
    _turns: List[Any] = List().tag(sync=True, to_json=lambda _, panel: panel._turns_for_the_page())
    _head = Dict().tag(sync=True, to_json=lambda _, panel: panel._transcript.snapshot()[1])
    _seq = Int().tag(sync=True, to_json=lambda _, panel: panel._sent if panel._has_page else -1)
    _sends = Unicode().tag(sync=True)
    models = List(Unicode()).tag(sync=True)
    height = Int(HEIGHT).tag(sync=True)

    def __init__(self, chat: Chat | None = None, *, height: int = HEIGHT) -> None:
        self._lock = threading.RLock()  # so that frames leave in the order of their numbers, and states between them
        self.is_closed = False
        self._has_page = bool(cell_id())
        """Else the state may go into the notebook at once (Colab; a box with the panel, under nbclient): no turns
        then. A page that is there asks for them."""
        self._sent = 0
        self._last, self._size = 0.0, 0  # of the last frame: when it left, and its bytes
        self._wants_whole = False
        self._known: deque[str] = deque(maxlen=_REMEMBERED)
        self._withdrawn: deque[str] = deque(maxlen=_REMEMBERED)
        self._begun: deque[str] = deque(maxlen=_REMEMBERED)
        self._wake = asyncio.Event()
        self._order = asyncio.Lock()  # of what the page asks for
        self._worker = _worker()
        self._transcript = Transcript(chat, self._look)
        self._transcript.changes()  # the page gets them with the state
        self._settings = settings()
        self._ticker = self._worker.submit(self._tick())  # before there is a comm, which may be closed at once
        super().__init__(height=height, **self._from_settings())
        self.on_msg(self._receive)
        self._settings.observe(self._take_settings, _SETTINGS)
        self._look()

    @property
    def chat(self) -> Chat | None:
        """The conversation that it was made for; None if it follows the notebook's current one."""
        return None if self._transcript.is_notebooks_own else self._transcript.chat

    @property
    def model_id(self) -> str:
        """The comm's; it is opened for whoever asks, such as a box that holds the panel."""
        self._connect()
        found: str = super().model_id
        return found

    def open(self) -> None:
        """Open the comm; not in a run without a page, whose file would hold all of the widget."""
        if not is_headless():
            self._connect()

    def close(self) -> None:
        """End the panel, in the kernel and on the page."""
        if self.is_closed:
            return
        self.is_closed = True
        self._ticker.cancel()
        self._transcript.close()
        self._settings.unobserve(self._take_settings, _SETTINGS)
        if self.comm is not None:
            layout = self.layout  # a widget, too
            super().close()
            layout.close()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """What a page is told that opens the widget: the turns, the head and the number of the last frame, all of one
        moment."""
        with self._lock:
            state: dict[str, Any] = super().get_state(key, drop_defaults)
            return state

    def _ipython_display_(self) -> None:
        self.open()  # perhaps it was made where no page was
        for data in outputs("" if self.comm is None else self.model_id):
            publisher().publish(data)

    def _connect(self) -> None:
        if self.comm is None and not self.is_closed:
            super().open()
            _answer_on_the_subshell_that_was_asked(self.comm)

    def _turns_for_the_page(self) -> list[Json]:
        return self._transcript.snapshot()[0] if self._has_page else []

    def _look(self) -> None:
        """Have a look at the conversation soon; from any thread."""
        self._worker.call(self._wake.set)

    def _from_settings(self) -> dict[str, Any]:
        return {"models": self._known_models(), "_sends": self._settings.panel_sends}

    def _known_models(self) -> list[str]:
        return [clean(model) for model in registry.known_models(self._settings.aliases)]

    def _take_settings(self, _: object = None) -> None:
        for name, value in self._from_settings().items():
            setattr(self, name, value)
        self._transcript.note()

    async def _tick(self) -> None:
        """Send frames as long as there is something to tell, and wait for that without a timer."""
        with apart_from_cells():
            while True:
                await self._wake.wait()
                self._wake.clear()
                started = time.monotonic()
                if self._draw():
                    self._wake.set()
                await asyncio.sleep(_pause(self._transcript.seconds, time.monotonic() - started, self._size))

    def _draw(self) -> bool:
        """Send what is new; true if more may come without anybody's saying so."""
        with self._lock:
            try:
                self._tell(self._transcript.changes())
            except Exception:  # whatever a reply holds, the panel goes on with the next change
                self.log.exception("nbchat's panel could not show what is new")
                self._sent += 1  # a number that the page misses: it asks for the whole
                return False
            return self._transcript.is_live

    def _tell(self, update: Update) -> None:
        if update.head:  # something was done: perhaps a provider was registered, or a local server found
            self.models = self._known_models()
        if update.is_large or self._wants_whole:
            self._wants_whole = False
            turns, head = self._transcript.snapshot()
            self._send_next({"op": "snapshot", "turns": turns, "head": head})
        elif update.changes or update.head or self._is_pulse_due():
            head = {"head": update.head} if update.head else {}
            self._size = len(json.dumps([update.changes, head]))
            self._send_next({"op": "frames", "changes": update.changes, **head})

    def _is_pulse_due(self) -> bool:
        return self._transcript.is_live and time.monotonic() - self._last >= _PULSE

    def _send_next(self, message: dict[str, Any]) -> None:
        self._sent += 1
        self._last = time.monotonic()
        self.send(message | {"seq": self._sent})

    def _receive(self, _: object, content: object, buffers: object) -> None:
        """Take a message of the page, and say at once that it has come."""
        try:
            request = actions.read(content)
        except UsageProblem as problem:
            self._answer("ack", actions.nonce_of(content), str(problem))
            return
        if request.op == "sync":
            self._has_page = self._wants_whole = True
            self._look()
            return
        self._answer("ack", request.nonce)
        if request.nonce not in self._known:
            self._known.append(request.nonce)
            if request.op == "withdraw":
                self._withdrawn.append(request.values["of"])
            self._worker.submit(self._carry_out(request, page_session(), time.monotonic() + _MIND_CHANGED))

    async def _carry_out(self, request: actions.Request, page: str, earliest: float) -> None:
        """Do what the page asks for, after what it asked for before; then tell it how that went."""
        with apart_from_cells(page):
            async with self._order:
                if request.op == "send":
                    await asyncio.sleep(max(0, earliest - time.monotonic()))
                self._draw()  # a cell may have gone to another conversation
                outcome = self._act(request)
                self._draw()  # so that the page has the turn before it hears that the prompt was sent
            self._answer("done", request.nonce, *outcome)

    def _act(self, request: actions.Request) -> actions.Outcome:
        if request.op == "withdraw":
            is_late = request.values["of"] in self._begun
            return actions.Outcome("It was sent already: Stop ends the reply." if is_late else "")
        if request.nonce in self._withdrawn:
            return actions.Outcome()
        self._begun.append(request.nonce)
        return actions.carry_out(request, self._transcript)

    def _answer(self, op: str, nonce: str, error: str = "", prompt: str = "") -> None:
        more = {"error": error, "prompt": prompt}
        self.send({"op": op, "nonce": nonce} | {name: text for name, text in more.items() if text})


def _pause(seconds: float, took: float, size: int) -> float:
    """How long to wait for the next frame.

    Args:
        seconds: How long the reply has been under way.
        took: How many seconds this frame took to make.
        size: How many bytes its content had.
    """
    sending = min((size + _ENVELOPE) / _BYTES_A_SECOND, _SLOWEST)
    return max(_FRAME if seconds < _LATER else _FRAME_LATER, sending, took * _REST)


def _answer_on_the_subshell_that_was_asked(comm: Any) -> None:
    """Let the page's messages go where the page sends them.

    JupyterLab sends those of widgets to a subshell, which is free while a cell runs. ipykernel 7.4 sends them on to
    the shell under which the kernel last sent on this comm: for a frame that left while a cell ran, that is the cell's,
    where Stop would wait for the cell.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default
