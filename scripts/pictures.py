"""Makes the README's pictures: a reply that streams in JupyterLab, and how it looks in a dark theme. Run by hand:

    .venv/bin/pip install pillow && .venv/bin/python scripts/pictures.py

after `scripts/test`, which installs the browser. A loopback server stands in for the service, with a reply of our own.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
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
STAND_IN = f"""
from nbchat.providers import FlowGpt
from nbchat.testing import FlowGptServer

server = FlowGptServer().start()
reply = {REPLY!r}
server.reply(*[piece for at in range(0, len(reply), 9) for piece in (0.06, reply[at : at + 9])])
FlowGpt.api_endpoint = server.endpoint
"""
CELLS = ["%load_ext nbchat", "%%chat --model google-gemini\nMean or median? With a formula, a table and the code."]
SIZE = {"width": 860, "height": 710}
COLOURS = 64


def open_notebook(lab: Lab) -> None:
    """Open the cells, load the extension, and let the stand-in answer."""
    lab.open(CELLS, "chat.ipynb")
    lab.command("application:toggle-left-area")
    lab.run(0)
    kernel = lab.page.evaluate_handle("jupyterapp.shell.currentWidget.sessionContext.session.kernel")
    kernel.evaluate("(kernel, code) => kernel.requestExecute({code, silent: true}).done", STAND_IN)


def shoot(page: Page) -> Image.Image:
    """The notebook as it looks now, without the rest of JupyterLab."""
    box = page.locator(".jp-Notebook").first.bounding_box()
    assert box
    clip = {"x": box["x"], "y": box["y"], "width": box["width"] - 2, "height": box["height"] - 8}
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


def main() -> None:
    """Make the pictures."""
    home = Path(tempfile.mkdtemp())
    root = home / "notebooks"
    root.mkdir()
    server = LabServer(root, isolated_environment(os.environ, home))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), chromium_sandbox=False)
        lab = Lab(server, browser.new_page(viewport=SIZE), root)
        open_notebook(lab)
        save_film(record(lab), ROOT / "pictures" / "streaming.gif")
        lab.page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
        lab.page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
        lab.page.wait_for_timeout(1000)  # for the fonts and colours of the theme
        shoot(lab.page).quantize(COLOURS, dither=Image.Dither.NONE).save(ROOT / "pictures" / "dark.png", optimize=True)
        browser.close()
    server.close()


if __name__ == "__main__":
    main()
