"""Which Chromium the browser tests drive: the machine's own, or the one that Playwright installed.

`python tests/browsers.py` prints its path, or ends with status 1 if there is none.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

# Playwright's own browsers live in the environment that it is installed in: tests change HOME.
os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", "0")

ON_THE_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ON_A_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"

MISSING = (
    "There is no Chromium for the browser tests. scripts/test installs one; by hand: "
    "`apt-get install chromium` on Debian, else `PLAYWRIGHT_BROWSERS_PATH=0 python -m playwright install chromium`."
)


def find_chromium() -> str | None:
    """The path of a Chromium or Chrome, if there is one."""
    for path in (*map(shutil.which, ON_THE_PATH), ON_A_MAC):
        if path and Path(path).exists():
            return path
    own = _playwrights_own()
    return own if Path(own).exists() else None


def _playwrights_own() -> str:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


if __name__ == "__main__":
    found = find_chromium()
    print(found or MISSING)
    sys.exit(found is None)
