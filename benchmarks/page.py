"""How busy a reply keeps JupyterLab's page, beside what one would write by hand. Run by hand; needs the tests' browser:

    python benchmarks/page.py [CHARACTERS A_SECOND]...      (without: 14000 1600 200000 20000 1000000 200000)

For each reply: the longest task of the page in ms, and the sum of all tasks over 50 ms, while it streams and ends; then
how long after a click on Stop the cell has ended. Promised: with 1 MB no task over 200 ms, and Stop within 0.5 s. By
hand means `update_display(Markdown(text))` for each tenth of a second's text; only for the first of the replies, as
its time grows with the square of the length.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "guard")]

from display import reply  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

from browsers import find_chromium  # noqa: E402 - the tests' own tools, from their folder
from isolation import isolated_environment  # noqa: E402
from labs import Lab, LabServer  # noqa: E402

SETUP = """
%load_ext nbchat
import asyncio, time, nbchat
from IPython.display import Markdown, display

async def pieces(text, pace, every):
    size, start = max(1, round(pace * every)), time.monotonic()
    for at in range(0, len(text), size):
        await asyncio.sleep(max(0, start + at / pace - time.monotonic()))
        yield text[at : at + size]

class Paced:
    @staticmethod
    async def create_async_generator(model, messages, proxy=None):
        async for piece in pieces(TEXT, PACE, 0.005):
            yield piece

nbchat.register(Paced)
"""
BY_HAND = """
text, shown = "", display(Markdown(""), display_id=True)
async for piece in pieces(TEXT, PACE, 0.1):
    text += piece
    shown.update(Markdown(text))
"""
CHAT = "%%chat -p paced --no-history\nhello"
OBSERVE = """() => {
    window.tasks = [];
    const note = list => window.tasks.push(...list.getEntries().map(entry => entry.duration));
    new PerformanceObserver(note).observe({entryTypes: ["longtask"]});
}"""


def measure(lab: Lab, name: str, cell: int) -> None:
    """Run a cell and print what it cost the page."""
    lab.page.evaluate("window.tasks.length = 0")
    lab.run(cell)
    lab.page.wait_for_timeout(1000)
    tasks = lab.page.evaluate("window.tasks")
    print(f"  {name:16} {max(tasks, default=0):8.0f} {sum(tasks):8.0f}", flush=True)


def measure_stop(lab: Lab, cell: int, after: float) -> None:
    """Run a cell, click on Stop in mid-reply, and print how long the cell went on."""
    lab.run(cell, wait=False)
    stop = lab.output(cell).get_by_role("button", name="Stop", exact=True)
    lab.page.wait_for_timeout(1000 * after)
    start = time.perf_counter()
    stop.click()
    lab.wait()
    print(f"  Stop             {1000 * (time.perf_counter() - start):8.0f}", flush=True)


def main(lab: Lab, pairs: list[tuple[int, int]]) -> None:
    """Measure and print."""
    texts = [f"TEXT, PACE = {reply(characters)!r}, {pace}; None" for characters, pace in pairs]
    lab.open([SETUP, CHAT, BY_HAND, *texts])
    lab.run(0)
    lab.page.evaluate(OBSERVE)
    for number, (characters, pace) in enumerate(pairs):
        print(f"{characters:,} characters at {pace:,} a second: longest task, all long tasks (ms)")
        lab.run(3 + number)
        measure(lab, "nbchat", 1)
        if not number:
            measure(lab, "update_display", 2)
        measure_stop(lab, 1, 0.7 * characters / pace)


def with_lab(pairs: list[tuple[int, int]]) -> None:
    """Start JupyterLab and a browser for `main`."""
    home = Path(tempfile.mkdtemp())
    root = home / "notebooks"
    root.mkdir()
    server: Any = LabServer(root, isolated_environment(os.environ, home))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), chromium_sandbox=False)
        main(Lab(server, browser.new_page(viewport={"width": 1280, "height": 900}), root), pairs)
        browser.close()
    server.close()


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]] or [14_000, 1_600, 200_000, 20_000, 1_000_000, 200_000]
    with_lab(list(zip(numbers[::2], numbers[1::2], strict=True)))
