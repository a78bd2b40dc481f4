"""Makes the README's pictures: a reply that streams in JupyterLab, how it looks in a dark theme, and the panel beside
the cells. Run by hand:

    .venv/bin/pip install pillow && .venv/bin/python scripts/pictures.py

after `scripts/test`, which installs the browser. A loopback server stands in for the service, with replies of our own.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "guard")]

from PIL import Image  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

from browsers import find_chromium  # noqa: E402 - the tests' own tools, from their folder
from isolation import isolated_environment  # noqa: E402
from labs import Lab, LabServer  # noqa: E402

REPLY = r"""## Mean or median?

The **mean** moves with every outlier; the *median* does not. For sorted values and odd $n$:

$$\tilde x = x_{(n+1)/2}$$

| estimator | stands outliers | time |
|-----------|:---------------:|-----:|
| mean      | no              | $O(n)$ |
| median    | yes             | $O(n \log n)$ |

```python
def median(values: list[float]) -> float:
    ordered = sorted(values)  # a copy
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
```

Use the median for incomes, house prices and waiting times.
"""
SHORT = """The **median** is the value in the middle:

```python
from statistics import median

median([1, 3, 3, 8, 940])  # 3
```

| of these five | |
|---------------|-----:|
| mean          | 191 |
| median        | 3   |
"""
SHORTER = "With `10**6` in the place of `940` it is still **3**. Half of the values may go astray before it does."
STAND_IN = """
from nbchat.providers import FlowGpt
from nbchat.testing import FlowGptServer

server = FlowGptServer().start()
for reply in {replies!r}:
    server.reply(*[piece for at in range(0, len(reply), 9) for piece in (0.06, reply[at : at + 9])])
FlowGpt.api_endpoint = server.endpoint
"""
CELLS = ["%load_ext nbchat", "%%chat --model google-gemini\nMean or median? With a formula, a table and the code."]
PANEL_CELLS = ["%load_ext nbchat", "%%chat --model google-gemini\nWhat is a median? With code.", "%chat panel"]
SIZE = {"width": 860, "height": 710}
PANEL_SIZE = {"width": 960, "height": 700}
COLOURS = 64
BESIDE = """async () => {
    const notebook = jupyterapp.shell.currentWidget;
    const before = new Set(jupyterapp.shell.widgets("main"));
    await jupyterapp.commands.execute("notebook:create-output-view");
    const view = [...jupyterapp.shell.widgets("main")].find((widget) => !before.has(widget));
    jupyterapp.shell.add(view, "main", {ref: notebook.id, mode: "split-right"});
    jupyterapp.shell.activateById(notebook.id);
    notebook.content.activeCellIndex = 1;
}"""


def open_notebook(lab: Lab, name: str, cells: Sequence[str], *replies: str) -> None:
    """Open the cells, load the extension, and let the stand-in answer with these, one after the other."""
    lab.open(cells, name)
    lab.command("application:toggle-left-area")
    lab.run(0)
    kernel = lab.page.evaluate_handle("jupyterapp.shell.currentWidget.sessionContext.session.kernel")
    code = STAND_IN.format(replies=replies)
    kernel.evaluate("(kernel, code) => kernel.requestExecute({code, silent: true}).done", code)


def shoot(page: Page) -> Image.Image:
    """The notebook as it looks now, without the rest of JupyterLab."""
    box = page.locator(".jp-Notebook").first.bounding_box()
    assert box
    return shoot_part(page, box["x"], box["y"], box["x"] + box["width"] - 2, box["y"] + box["height"] - 8)


def shoot_part(page: Page, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """What is to be seen within these bounds."""
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")


def record(lab: Lab) -> list[tuple[float, Image.Image]]:
    """Run the chat cell; a picture and its time, again and again until it has ended."""
    frames = [(time.monotonic(), shoot(lab.page))]
    lab.run(1, wait=False)
    while not lab.page.evaluate("window.commandDone"):
        frames.append((time.monotonic(), shoot(lab.page)))
    lab.page.wait_for_timeout(500)
    return [*frames, (time.monotonic(), shoot(lab.page))]


def save_film(frames: list[tuple[float, Image.Image]], file: Path) -> None:
    """Write what was recorded as an animated picture that stands still for a while at its end."""
    times = [taken for taken, _ in frames]
    lasted = [max(60, round(1000 * (after - before))) for before, after in pairwise(times)]
    images = [image.quantize(COLOURS, dither=Image.Dither.NONE) for _, image in frames]
    images[0].save(file, save_all=True, append_images=images[1:], duration=[*lasted, 4000], loop=0, optimize=True)


def save_still(image: Image.Image, name: str) -> None:
    """Write a picture in few colours."""
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(ROOT / "pictures" / name, optimize=True)


def stream_and_darken(lab: Lab) -> None:
    """A reply below its cell: while it streams, and in a dark theme."""
    open_notebook(lab, "chat.ipynb", CELLS, REPLY)
    save_film(record(lab), ROOT / "pictures" / "streaming.gif")
    lab.page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    lab.page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
    lab.page.wait_for_timeout(1000)  # for the fonts and colours of the theme
    save_still(shoot(lab.page), "dark.png")
    lab.page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
    lab.page.wait_for_function("document.body.dataset.jpThemeLight === 'true'")


def show_panel(lab: Lab) -> None:
    """The panel beside a cell: with that cell's turn, and one of its own, which is asked in it."""
    lab.page.set_viewport_size(PANEL_SIZE)
    open_notebook(lab, "median.ipynb", PANEL_CELLS, SHORT, SHORTER)
    lab.run(1)
    lab.run(2)
    lab.page.evaluate(BESIDE)
    composer = lab.page.get_by_role("textbox", name="Message").last
    composer.fill("And if one value is wrong?")
    composer.press("Enter")
    lab.page.get_by_text("may go astray").last.wait_for()
    lab.page.get_by_text("Replying").last.wait_for(state="hidden")
    lab.page.wait_for_timeout(1000)
    box = lab.page.locator(".jp-LinkedOutputView .nbchat-panel").bounding_box()
    assert box
    dock = lab.page.locator("#jp-main-dock-panel").bounding_box()
    assert dock
    right, bottom = box["x"] + box["width"] + 4, box["y"] + box["height"] + 4
    save_still(shoot_part(lab.page, dock["x"] + 6, dock["y"] + 6, right, bottom), "panel.png")


def main() -> None:
    """Make the pictures."""
    home = Path(tempfile.mkdtemp())
    root = home / "notebooks"
    root.mkdir()
    server = LabServer(root, isolated_environment(os.environ, home))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), chromium_sandbox=False)
        lab = Lab(server, browser.new_page(viewport=SIZE), root)
        stream_and_darken(lab)
        show_panel(lab)
        browser.close()
    server.close()


if __name__ == "__main__":
    main()
