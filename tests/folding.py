"""The page's half of the panel in Python: it folds what the kernel sends as panel.js does, and compares."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from copy import deepcopy
from itertools import count
from typing import Any

from nbchat.panel.widget import Panel

Message = dict[str, Any]
ENVELOPE = 900
"""About how many bytes a message takes beside its content."""
WAIT = 30.0


class Page:
    """A page that shows a panel: what it knows, what it was sent, and what it asks for."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.messages: list[Message] = []
        self.wrong: list[str] = []
        """Where the folded state was not the panel's own."""
        self.loses = 0
        """So many of the next frames do not arrive."""
        self._nonces = count(1)
        with panel._lock:
            panel.send = self.take
            self.load()

    def load(self) -> None:
        """Read the state, as a page does that is loaded anew."""
        state = deepcopy(self.panel.get_state())
        self.turns, self.head, self.seq = state["_turns"], state["_head"], state["_seq"]
        self.gap = False

    def take(self, content: Message, buffers: object = None) -> None:
        """Take a message from the kernel; what cannot be sent fails here, as it does on the wire."""
        data = json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
        message = json.loads(data)
        if message["op"] in ("frames", "snapshot"):
            self._fold(message)
        self.messages.append(message | {"size": len(data) + ENVELOPE, "thread": threading.current_thread().name})

    def _fold(self, message: Message) -> None:
        if self.loses:
            self.loses -= 1
        elif message["op"] == "snapshot":
            self.gap, self.seq = False, message["seq"]
            self.turns, self.head = message["turns"], message["head"]
        elif message["seq"] > self.seq and not self.gap:
            self.gap = message["seq"] > self.seq + 1
            if self.gap:
                self.post("sync")
                return
            self.seq = message["seq"]
            for change in message["changes"]:
                self._change(change)
            self.head |= message.get("head", {})
        self._compare()

    def _change(self, change: Message) -> None:
        at = next((at for at, turn in enumerate(self.turns) if turn["id"] == change["id"]), None)
        if "turn" in change or "gone" in change:
            if at is not None:
                del self.turns[at]
            if "turn" in change:
                self.turns.insert(change["at"], change["turn"])
            return
        assert at is not None, f"a change of a turn that is not there: {change}"
        turn, add = self.turns[at], change.get("add", {})
        turn["blocks"] += add.get("blocks", [])
        turn["reasoning"] += add.get("reasoning", "")
        turn |= change.get("set", {})

    def _compare(self) -> None:
        state = self.panel.get_state(["_turns", "_head", "_seq"])  # the frame is sent under the same lock
        known = {"_turns": self.turns, "_head": self.head, "_seq": self.seq}
        if self.seq == state["_seq"] and known != json.loads(json.dumps(state)):
            self.wrong.append(f"frame {self.seq}: {known} is not {state}")

    def post(self, op: str, **fields: Any) -> str:
        """Send a message to the kernel; its nonce."""
        nonce = f"nonce-{next(self._nonces)}"
        named = {} if op == "sync" else {"nonce": nonce}
        self.panel._handle_custom_msg({"op": op, **named, **fields}, [])
        return nonce

    def ask(self, op: str, **fields: Any) -> Message:
        """Send a message, and wait until it is carried out; how that went."""
        nonce = self.post(op, **fields)
        self.until(lambda: self.answers("done", nonce))
        return self.answers("done", nonce)[0]

    def answers(self, op: str, nonce: str) -> list[Message]:
        return [message for message in self.messages if message["op"] == op and message["nonce"] == nonce]

    @property
    def frames(self) -> list[Message]:
        return [message for message in self.messages if message["op"] in ("frames", "snapshot")]

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until this is so."""
        end = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < end, f"not in {WAIT} s: {self.messages[-3:]}"
            time.sleep(0.005)

    def settle(self) -> None:
        """Wait until all has been told."""
        self.until(self._is_settled)
        assert not self.wrong, self.wrong[0]

    def _is_settled(self) -> bool:
        with self.panel._lock:
            return not (self.gap or self.panel._wants_whole or self.panel._transcript.is_live)

    @property
    def prompts(self) -> list[str]:
        return [turn["prompt"] for turn in self.turns]
