"""What every test gets: no network beyond loopback, an empty home, no keys; and real shells, kernels and browsers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import front_end
from browsers import MISSING, find_chromium
from isolation import GUARD, isolated_environment
from kernels import Kernel
from nbchat import notebook
from nbchat.config import NbChat
from nbchat.conversations import conversations
from shells import RaisingShell, fresh_shell, unpatched_asyncio

sys.path.insert(0, str(GUARD))  # apart from the tests, for the processes that they start
import network_guard

if TYPE_CHECKING:  # playwright and JupyterLab are needed by browser tests only
    from playwright.sync_api import Browser

    from labs import Lab, LabServer

REAL_ENVIRONMENT = dict(os.environ)
network_guard.install()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever drives a browser is a browser test."""
    for item in items:
        if "chromium_path" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without keys, proxies and the user's files; the test fails if it reached out of loopback."""
    environment = isolated_environment(REAL_ENVIRONMENT, tmp_path_factory.mktemp("home"))
    for name in os.environ.keys() - environment.keys():
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    network_guard.attempts.clear()
    with unpatched_asyncio():
        yield
    assert not network_guard.attempts, f"reached out to {network_guard.attempts}"


@pytest.fixture(autouse=True)
def fresh_state() -> Iterator[None]:
    """The notebook's conversation and the settings belong to the process; each test gets its own."""
    yield
    conversations.restart()
    NbChat.clear_instance()


@pytest.fixture
def shell() -> Iterator[RaisingShell]:
    """A fresh IPython shell in this process, whose `run_cell` raises the cell's error."""
    with fresh_shell() as shell:
        yield shell


@pytest.fixture
def pretended_kernel(monkeypatch: pytest.MonkeyPatch) -> front_end.Kernel:
    """The kernel that this process seems to be."""
    running = front_end.Shell()
    monkeypatch.setattr(notebook, "shell", lambda: running)
    return running.kernel


@pytest.fixture
def start_kernel(tmp_path: Path) -> Iterator[Callable[..., Kernel]]:
    """A function that starts a kernel, with further environment variables as keyword arguments."""
    with ExitStack() as running:

        def start(**variables: str) -> Kernel:
            kernel = Kernel(dict(os.environ) | variables, tmp_path)
            running.callback(kernel.close)
            return kernel

        yield start


@pytest.fixture
def kernel(start_kernel: Callable[..., Kernel]) -> Kernel:
    """A fresh kernel in its own process, in an empty directory."""
    return start_kernel()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where a browser is. Without one a browser test fails in CI, and is skipped elsewhere, saying so."""
    path = find_chromium()
    if path is None:
        (pytest.fail if REAL_ENVIRONMENT.get("CI") else pytest.skip)(MISSING)
    return path


@pytest.fixture
def chromium(chromium_path: str) -> Iterator[Browser]:
    """A browser that finds no host but this machine."""
    from labs import browser

    # One Playwright a test: its loop stays "running" in this thread, and no async test could start after it.
    with browser(chromium_path) as found:
        yield found


@pytest.fixture(scope="session")
def lab_server(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """One JupyterLab for all browser tests, with a home of its own; none is started without a browser."""
    from labs import LabServer

    home = tmp_path_factory.mktemp("lab-home")
    root = home / "notebooks"
    root.mkdir()
    server = LabServer(root, isolated_environment(REAL_ENVIRONMENT, home))
    yield server
    server.close()


@pytest.fixture
def lab(lab_server: LabServer, chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A page of JupyterLab and an empty folder for its notebooks; a picture of a failure goes to test-results."""
    from labs import Lab

    directory = lab_server.root / request.node.name.replace("/", "-")
    directory.mkdir()
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    lab = Lab(lab_server, page, directory)
    failures = request.session.testsfailed
    yield lab
    if request.session.testsfailed > failures:
        page.screenshot(path=request.config.rootpath / "test-results" / f"{directory.name}.png")
    lab.close()
    lab_server.restore_settings()
