"""What a long conversation costs: its first `%%chat`, a further prompt, and the building of one request.

    python benchmarks/history.py [ROUNDS [TURNS]...]      (without: 7 10 1000 10000 100000)

Conversations of turns of 2 kB, from a hundred cells of a notebook, are put into stores. Then kernels are started for
that notebook, in turn for the long conversation and for an empty one. One cell loads the extension and registers a
provider; what is measured begins with the request of the first `%%chat`: the time until the provider is asked, until
the first display, until the cell ends, and the kernel's processor time; once with as many of the newest turns as fit in
8,000 tokens, and once with all that fit in a million. Printed are the ratios to the empty conversation, and for the
first and the last the milliseconds that the long one adds: at most 50 are promised for 10,000 turns. Medians; the least
in brackets.

Then, in the same kernel, from a cell that has not run: how long `Chat.send` takes, and `Chat.preview`, which builds a
request; as ratios to those of a `Chat` that has only the last 20 turns, so that both send the same.

The machine should be at rest. The files are in its cache, as they were just written.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import nbformat

from nbchat.history import After, Cell, History, Turn
from nbchat.history.sums import Sum
from nbchat.store.notebooks import locate
from nbchat.store.store import Store

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from isolation import isolated_environment
from kernels import Kernel

CELLS = 100
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}  # else JupyterLab asks for one
LOGGED = 1000
"""How many changes can be undone: as many as a store keeps."""
PROMPT, REPLY = "What is to be done next? " * 20, "First this, then that. And so on, to the end. " * 33
SETUP = """
%load_ext nbchat
%config NbChat.max_context = {tokens}
import copy, statistics, time, nbchat

class Echo:
    asked = []

    @classmethod
    async def create_async_generator(cls, model, messages, proxy=None):
        cls.asked.append(time.time())
        yield "Done."

nbchat.register(Echo)

def timed(chat, do):
    times = []
    for _ in range(41):
        start = time.perf_counter()
        reply = do(chat)
        times.append(time.perf_counter() - start)
        getattr(reply, "result", float)()
    return statistics.median(times)

def ratio(do):
    long, short = nbchat.current(), nbchat.Chat("echo")
    short.history.extend(copy.copy(turn) for turn in long.history[-20:])
    return timed(long, do) / timed(short, do)
"""
FIRST = "%%chat echo\nWhat is to be done next?"
SEND = "lambda chat: chat.send('And then?')"
PREVIEW = "lambda chat: chat.preview('And then?')"


class First(NamedTuple):
    """Milliseconds from the request of a kernel's first `%%chat` to what came of it."""

    asked: float
    shown: float
    ended: float
    worked: float
    """Processor time of the kernel, whatever else the machine had to do."""


def talk(home: Path, notebook: Path, turns: int) -> None:
    """Write a notebook, and a conversation of so many turns from its cells to the store in this home."""
    cells = [nbformat.v4.new_code_cell("ask()", id=f"cell-{number}") for number in range(CELLS)]
    notebook.write_text(nbformat.writes(nbformat.v4.new_notebook(metadata=KERNEL, cells=cells, nbformat_minor=5)))
    store = Store(home / "jupyter" / "nbchat" / "history.db")
    history = History()
    history.open(store.conversation(store.add_notebook(*locate(notebook).stored), "main"))
    talked = [_turn(number, turns - number) for number in range(turns)]
    before = Sum(0)
    for turn in talked:
        turn.after = str(After.of(before.digest, "", ""))
        before.take([turn])
    for turn in talked[:LOGGED]:
        history.add(turn)
    history.merge(talked[LOGGED:])
    if not store.flush(600):
        sys.exit(f"The store could not be written. {store.news()}")
    store.close()


def _turn(number: int, minutes: int) -> Turn:
    """A turn that began so many minutes ago."""
    started = datetime.now(UTC) - timedelta(minutes=minutes)
    cell = Cell(f"cell-{number % CELLS}", number // CELLS)
    prompt, place = f"{number}. {PROMPT}", started.timestamp()
    return Turn(prompt, "", "echo", cell, place=place, status="done", started=started, seconds=2, chunks=[REPLY])


class Stored:
    """A notebook with a conversation of so many turns, in a home of its own."""

    def __init__(self, home: Path, turns: int) -> None:
        home.mkdir()
        self.home, self._kernels = home, 0
        self.notebook = home / "talk.ipynb"
        talk(home, self.notebook, turns)

    def first(self, tokens: int) -> tuple[First, Kernel, str]:
        """Start a kernel and run its first `%%chat`; the kernel, and the id of a cell that has not run."""
        self._kernels += 1
        environment = isolated_environment(os.environ, self.home) | {"JPY_SESSION_NAME": str(self.notebook)}
        kernel = Kernel(environment, self.home)
        kernel.run(SETUP.format(tokens=tokens))
        worked = self._worked(kernel)
        begun = time.time()
        running = kernel.start(FIRST, cell_id=f"new-{self._kernels}")
        kernel.wait(running, lambda execution: bool(execution.data), timeout=600)
        shown = time.time()
        kernel.wait(running, timeout=600)
        ended = time.time()
        worked = self._worked(kernel) - worked
        asked = float(kernel.run("Echo.asked[0]").data[-1]["text/plain"])
        times = (asked - begun, shown - begun, ended - begun, worked)
        return First(*(1000 * seconds for seconds in times)), kernel, f"next-{self._kernels}"

    def _worked(self, kernel: Kernel) -> float:
        """The kernel's processor time so far."""
        return float(kernel.run("time.process_time()", cell_id="probe").data[-1]["text/plain"])


def measure(long: Stored, empty: Stored, tokens: int, rounds: int) -> str:
    """A row of the table."""
    of_long: list[First] = []
    of_empty: list[First] = []
    further: list[list[float]] = []
    for _ in range(rounds):
        for stored, found in ((empty, of_empty), (long, of_long)):
            times, kernel, cell = stored.first(tokens)
            found.append(times)
            if stored is long and tokens:
                shown = kernel.run(f"print(ratio({SEND}), ratio({PREVIEW}))", cell_id=cell, timeout=600).stdout
                further.append([float(number) for number in shown.split()])
            kernel.close()
    pairs = [Pair(*pair) for pair in zip(zip(*of_long, strict=True), zip(*of_empty, strict=True), strict=True)]
    columns = [f"{pair.ratio:9.2f}" for pair in pairs] + [pair.added for pair in (pairs[0], pairs[-1])]
    return " ".join([*columns, *(f"{statistics.median(each):7.2f}" for each in zip(*further, strict=True))])


class Pair(NamedTuple):
    """The same time of the long conversation and of the empty one, in all rounds."""

    of_long: tuple[float, ...]
    of_empty: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return statistics.median(self.of_long) / statistics.median(self.of_empty)

    @property
    def added(self) -> str:
        """Milliseconds: of the medians, and of the least."""
        more = statistics.median(self.of_long) - statistics.median(self.of_empty)
        return f"{more:8.0f} ({min(self.of_long) - min(self.of_empty):4.0f})"


def main(rounds: int, sizes: Sequence[int]) -> None:
    """Measure and print."""
    print(f"The first %%chat, beside that of an empty conversation; {rounds} kernels each")
    print(f"{'turns':>8} {'sent':>7} {'asked':>9} {'shown':>9} {'ended':>9} {'processor':>9}", end=" ")
    print(f"{'+ms asked':>15} {'+ms processor':>15} {'send':>7} {'preview':>7}", flush=True)
    for turns in sizes:
        with tempfile.TemporaryDirectory() as directory:
            long, empty = Stored(Path(directory, "long"), turns), Stored(Path(directory, "empty"), 0)
            for tokens in (8_000, 0):
                row = measure(long, empty, tokens, rounds)
                print(f"{turns:8,} {'newest' if tokens else 'all':>7} {row}", flush=True)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(given[0] if given else 7, given[1:] or [10, 1_000, 10_000, 100_000])
