"""What showing a reply costs: messages, bytes and processor time of `%%chat` beside what one would write by hand.

    python benchmarks/display.py [CHARACTERS A_SECOND]...      (without: 14000 1600 57000 1600 6000 400)

A kernel is sent the same reply, in the same pieces at the same pace, to be shown in three ways: by nbchat; by
`update_display(Markdown(text))` for each piece; by `print` for each piece. Bytes are those on the kernel's IOPub
socket. Issued promises, per character of the text: at most 40 bytes at 1,600 characters a second however long the
reply, and at most 10 % of a core at 400.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass

import zmq
from jupyter_client.manager import KernelManager, start_new_kernel
from libraries import SECTION

PIECE = 5
"""Characters in a piece, about a token."""
SETUP = """
%load_ext nbchat
import asyncio, time, nbchat
from IPython.display import Markdown, display

async def pieces(text, pace):
    start = time.monotonic()
    for at in range(0, len(text), {piece}):
        await asyncio.sleep(max(0, start + at / pace - time.monotonic()))
        yield text[at : at + {piece}]

class Paced:
    @staticmethod
    async def create_async_generator(model, messages, proxy=None):
        async for piece in pieces(TEXT, PACE):
            yield piece

nbchat.register(Paced)
class Nothing:
    @staticmethod
    async def create_async_generator(model, messages, proxy=None):
        yield "**warm** `up`"
nbchat.register(Nothing)
"""
WAYS = {
    "nbchat": "%%chat -p paced --no-history\nhello",
    "update_display": """
text, shown = "", display(Markdown(""), display_id=True)
async for piece in pieces(TEXT, PACE):
    text += piece
    shown.update(Markdown(text))
""",
    "print": "async for piece in pieces(TEXT, PACE):\n    print(piece, end='', flush=True)",
}
SHOWS = ("display_data", "update_display_data", "stream")


@dataclass
class Cost:
    """What one way of showing took."""

    messages: Counter[str]
    size: int
    seconds: float
    processor: float

    def row(self, way: str, characters: int) -> str:
        frames = sum(self.messages[kind] for kind in SHOWS)
        return (
            f"{way:16} {frames:8} {frames / self.seconds:8.1f} {self.size / characters:12.1f} "
            f"{100 * self.processor / self.seconds:10.1f}"
        )


class Bench:
    """A kernel, and an ear at its IOPub socket."""

    def __init__(self) -> None:
        self._manager: KernelManager
        self._manager, self._client = start_new_kernel()
        self._ear = zmq.Context.instance().socket(zmq.SUB)
        self._ear.setsockopt(zmq.RCVHWM, 0)
        self._ear.connect(self._manager._make_url("iopub"))
        self._ear.subscribe(b"")
        self.run(SETUP.format(piece=PIECE))
        self.run("%%chat -p nothing --no-history\nwarm up")

    def measure(self, code: str) -> Cost:
        """Run a cell and count what it sends."""
        before = self._clock()
        messages, size = self.run(code)
        after = self._clock()
        return Cost(messages, size, after[0] - before[0], after[1] - before[1])

    def run(self, code: str) -> tuple[Counter[str], int]:
        """Run a cell to its end: the kinds of messages it sent, and their bytes."""
        request, kinds, size = self._client.execute(code), Counter[str](), 0
        while True:
            parts = self._ear.recv_multipart()
            message = self._client.session.deserialize(self._client.session.feed_identities(parts, copy=True)[1])
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != request and kind != "comm_msg":  # which is of no cell
                continue
            if kind == "error":
                sys.exit("\n".join(content["traceback"]))
            kinds[kind] += 1
            size += sum(map(len, parts))
            if kind == "status" and content["execution_state"] == "idle":
                return kinds, size

    def _clock(self) -> tuple[float, float]:
        """The kernel's clock, and its processor time."""
        expressions = {"now": "(time.monotonic(), time.process_time())"}
        request = self._client.execute("", user_expressions=expressions, store_history=False)
        while (reply := self._client.get_shell_msg(timeout=60))["parent_header"].get("msg_id") != request:
            pass
        now, processor = reply["content"]["user_expressions"]["now"]["data"]["text/plain"].strip("()").split(",")
        return float(now), float(processor)

    def close(self) -> None:
        """End the kernel."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


def reply(characters: int) -> str:
    """A reply of that length."""
    sections = range(1, characters // len(SECTION) + 2)
    return "".join(SECTION.replace("N", str(number)) for number in sections)[:characters]


def main(pairs: list[int]) -> None:
    """Measure and print."""
    bench = Bench()
    for characters, pace in zip(pairs[::2], pairs[1::2], strict=True):
        print(f"\n{characters:,} characters at {pace:,} a second")
        print(f"{'':16} {'messages':>8} {'a second':>8} {'bytes/char.':>12} {'% of core':>10}", flush=True)
        bench.run(f"TEXT, PACE = {reply(characters)!r}, {pace}")
        for way, code in WAYS.items():
            print(bench.measure(code).row(way, characters), flush=True)
    bench.close()


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [14_000, 1_600, 57_000, 1_600, 6_000, 400])
