"""What the panel costs: bytes of a reply, opening a long conversation, and tasks of the page. Run by hand; needs the
tests' browser:

    python benchmarks/panel.py [ROUNDS]      (without: 5)

1. Bytes on the kernel's IOPub socket for a reply of 6,000 characters at 400 a second, in the panel and by `%%chat`. At
   most 200,000 are promised.
2. The first `%chat panel` of a kernel in JupyterLab, for stored conversations of 0, 200 and 10,000 turns of 2 kB: the
   time until the newest turn is painted, and until all are that the panel shows, as ratios to the empty panel; medians.
   And the longest task of the page.
3. The longest task of the page, and the sum of all over 50 ms, for a reply of 99,000 characters at 20,000 a second: in
   the panel, with 200 turns above it; by `%%chat`; at once as `Markdown`, which JupyterLab renders by itself; and when
   the panel is opened with that reply in it. In the panel at most 100 ms are promised.

Tasks are measured in the processor time that they took.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "guard")]

from display import WAYS, Bench, reply  # noqa: E402
from history import talk  # noqa: E402
from page import CHAT, SETUP  # noqa: E402
from playwright.sync_api import Page  # noqa: E402

from browsers import find_chromium  # noqa: E402 - the tests' own tools, from their folder
from isolation import isolated_environment  # noqa: E402
from labs import Lab, LabServer, browser  # noqa: E402

SIZES = (0, 200, 10_000)
SHOWN = 200
"""How many turns the panel shows at first."""
SMALL, LONG = (6_000, 400), (99_000, 20_000)
"""Characters of a reply, and how many come in a second; one of more than 100,000 would be shown as plain text."""
IN_PANEL = "await chat.send('hello')\nawait asyncio.sleep(1)  # for the last frame"
OPEN = """([cell, turns]) => new Promise(done => {
    const output = document.querySelectorAll(".jp-Notebook .jp-Cell")[cell];
    const start = performance.now();
    let newest;
    jupyterapp.commands.execute("notebook:run-cell");
    const look = () => {
        const count = output.querySelectorAll(".nbchat-panel article:has(.nbchat-blocks > *)").length;
        const now = performance.now() - start;
        if (count || (!turns && output.querySelector(".nbchat-empty:not([hidden])"))) newest ??= now;
        if (newest && count >= turns) done([newest, now]);
        else requestAnimationFrame(look);
    };
    look();
})"""

# Asked in the page: the browser's own tools look through all of it, again and again, which takes longer than the panel.
ENDED = """() => new Promise(done => {
    const last = () => [...document.querySelectorAll(".nbchat-panel article")].at(-1);
    const before = last();
    const look = () => last() !== before && last().dataset.status === "done" ? done() : setTimeout(look, 100);
    look();
})"""


class Opened(NamedTuple):
    """Milliseconds from the request of a cell to what it shows."""

    newest: float
    every: float


def measure_bytes() -> None:
    """Print what the same reply sends in the panel, and below a cell."""
    characters, pace = SMALL
    bench = Bench()
    bench.run(f"TEXT, PACE = {reply(characters)!r}, {pace}; chat = nbchat.Chat(provider=Paced)")
    bench.run("panel = nbchat.panel(chat)")
    print(f"{characters:,} characters at {pace:,} a second: messages, bytes, bytes a character")
    for way, code in {"panel": IN_PANEL, "%%chat": WAYS["nbchat"]}.items():
        messages, size = bench.run(code)
        print(f"  {way:10} {messages.total():6} {size:9,} {size / characters:8.1f}", flush=True)
    bench.close()


def tasks_of(page: Page, do: Callable[[], object]) -> list[float]:
    """The milliseconds of the processor of each task that the page has while something is done, and a second longer."""
    chromium = page.context.browser
    assert chromium
    chromium.start_tracing(page=page, categories=["-*", "toplevel"])
    do()
    page.wait_for_timeout(1000)
    events = json.loads(chromium.stop_tracing())["traceEvents"]
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
    tasks = [event for event in events if event["name"] == "ThreadControllerImpl::RunTask" and "tdur" in event]
    return [task["tdur"] / 1000 for task in tasks if names[task["pid"], task["tid"]] == "CrRendererMain"]


class Talk:
    """A notebook with a conversation of so many turns, open in JupyterLab."""

    def __init__(self, lab: Lab, turns: int) -> None:
        self._lab = lab
        self._shown = min(turns, SHOWN)
        lab.open(name=f"{turns}.ipynb")
        self._load = lab.add("%load_ext nbchat")
        self._panel = self._write("%chat panel")

    def measure_opening(self, rounds: int) -> tuple[Opened, float]:
        """The medians of some openings, each in a new kernel; and the longest task of one more."""
        found = []
        for _ in range(rounds):
            self._start_afresh()
            found.append(self._show())
        return Opened(*map(statistics.median, zip(*found, strict=True))), self._longest_of_opening()

    def measure_reply(self) -> None:
        """Print how busy a long reply keeps the page, in the panel and otherwise."""
        characters, pace = LONG
        print(f"{characters:,} characters at {pace:,} a second: longest task, all over 50 ms (ms)")
        self._start_afresh()
        self._show()
        for code in (SETUP, f"TEXT, PACE = {reply(characters)!r}, {pace}; None"):
            self._lab.add(code)
        self._write_in_panel()
        self._print("panel", self._send)
        for way, code in {"%%chat": CHAT, "Markdown": "display(Markdown(TEXT))"}.items():
            cell = self._write(code)
            self._print(way, lambda cell=cell: self._lab.run(cell))
            self._lab.command("notebook:clear-cell-output")
        print(f"  {'panel, opened':16} {self._longest_of_opening():8.0f}", flush=True)

    def _write(self, code: str) -> int:
        """Append a cell that is still to be run; its index."""
        cell = self._lab.add("None")
        self._lab.write(cell, code)
        return cell

    def _start_afresh(self) -> None:
        self._lab.restart()
        self._lab.run(self._load)
        self._lab.select(self._panel)
        self._lab.command("notebook:clear-cell-output")

    def _show(self) -> Opened:
        """Show the panel, as the first thing in a new kernel."""
        return Opened(*self._lab.page.evaluate(OPEN, [self._panel, self._shown]))

    def _longest_of_opening(self) -> float:
        self._start_afresh()
        return max(tasks_of(self._lab.page, self._show))

    def _write_in_panel(self) -> None:
        self._lab.select(self._panel)
        self._lab.page.locator(".nbchat-composer input").fill("paced")
        self._lab.page.locator(".nbchat-composer textarea").fill("hello")

    def _send(self) -> None:
        self._lab.page.keyboard.press("Enter")
        self._lab.page.evaluate(ENDED)

    def _print(self, way: str, do: Callable[[], object]) -> None:
        tasks = tasks_of(self._lab.page, do)
        print(f"  {way:16} {max(tasks):8.0f} {sum(task for task in tasks if task > 50):8.0f}", flush=True)


@contextmanager
def lab_with_talks() -> Iterator[Lab]:
    """A JupyterLab with a notebook for each size."""
    with tempfile.TemporaryDirectory() as directory, browser(find_chromium() or "") as chromium:
        home = Path(directory)
        root = home / "notebooks"
        root.mkdir()
        for turns in SIZES:
            talk(home, root / f"{turns}.ipynb", turns)
        server = LabServer(root, isolated_environment(os.environ, home))
        try:
            yield Lab(server, chromium.new_page(viewport={"width": 1280, "height": 900}), root)
        finally:
            server.close()


def main(rounds: int) -> None:
    """Measure and print."""
    measure_bytes()
    print("The first panel of a kernel: newest turn, all turns (ratios to the empty panel), longest task (ms)")
    with lab_with_talks() as lab:
        empty, longest = Talk(lab, 0).measure_opening(rounds)
        print(f"  {0:10} {1:8.2f} {1:8.2f} {longest:8.0f}", flush=True)
        for turns in SIZES[1:]:
            found, longest = Talk(lab, turns).measure_opening(rounds)
            ratios = [time / beside for time, beside in zip(found, empty, strict=True)]
            print(f"  {turns:10,} {ratios[0]:8.2f} {ratios[1]:8.2f} {longest:8.0f}", flush=True)
        Talk(lab, SHOWN).measure_reply()


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 5)
