"""JupyterLab in a browser: the server's process, and the page as a person uses it."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect, sync_playwright

from network_guard import is_loopback

WAIT = 60.0
"""Seconds until a test gives up on JupyterLab."""

expect.set_options(timeout=WAIT * 1000)  # the default of 5 s is short on a busy machine

_IDLE = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"

SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none", "scrollPastEnd": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}

NOT_OURS = [
    # ipywidgets sends a message to the view of a button that was closed just then, where the machine is busy.
    "reading 'processLuminoMessage'",
    # The layout of ipywidgets 7, to the page's half of ipywidgets 8, which takes none.
    "Module @jupyter-widgets/base, version ^1.2.0 is not registered",
    # Notebook 7, with any notebook: as it starts, and as it saves.
    "reading 'schema'",
    "Command 'filebrowser:open-path' not registered.",
]


@contextmanager
def browser(path: str) -> Iterator[Browser]:
    """A browser that finds no host but this machine."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path,
            chromium_sandbox=False,
            args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"],
        )
        yield chromium
        chromium.close()


class LabServer:
    """A JupyterLab on a port of loopback, with its notebooks in `root`."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self.root = root
        self.token = secrets.token_hex(16)
        self._settings = Path(env["JUPYTER_CONFIG_DIR"], "lab/user-settings")
        self.restore_settings()
        self._log = (root.parent / "lab.log").open("w+")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={root}"),
                *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--IdentityProvider.token={self.token}"),
                *("--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True"),
                "--LabApp.extension_manager=readonly",
                *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
                "--ServerApp.terminals_enabled=False",
            ],
            env=dict(env),
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.url = self._wait(Path(env["JUPYTER_RUNTIME_DIR"], f"jpserver-{self._process.pid}.json"))

    def restore_settings(self) -> None:
        """Let a page that is loaded from now on have the settings that all tests have."""
        shutil.rmtree(self._settings, ignore_errors=True)
        for plugin, settings in SETTINGS.items():
            self.set(plugin, settings)

    def set(self, plugin: str, settings: Mapping[str, Any]) -> None:
        """Let a page that is loaded from now on have these settings of a plugin."""
        file = self._settings / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))

    def api(self, path: str, method: str = "GET") -> Any:
        """Ask the server's REST interface; the decoded answer."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.url}api/{path}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def close(self) -> None:
        """End the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(timeout=WAIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _wait(self, info: Path) -> str:
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                self.url = json.loads(info.read_text())["url"]
                self.api("status")
            except (OSError, ValueError):  # not written, half written, or not listening yet
                time.sleep(0.1)
            else:
                return self.url
        self._log.seek(0)
        raise AssertionError(f"JupyterLab did not start:\n{self._log.read()}")


class Lab:
    """One page of JupyterLab with one notebook."""

    def __init__(self, server: LabServer, page: Page, directory: Path) -> None:
        self.server = server
        self.page = page
        self.directory = directory
        """Where this test's notebooks are."""
        self.errors: list[str] = []
        """What the page wrote to its console as an error, and exceptions that nothing caught."""
        self.outside: list[str] = []
        """Addresses beyond loopback that the page asked for."""
        page.on("console", self._note_console)
        page.on("pageerror", self._note_exception)
        page.on("request", self._note_request)

    def open(self, cells: Sequence[str] = (), name: str = "test.ipynb", app: str = "lab/tree") -> None:
        """Write a notebook of these code cells, unless the file is there, open it, and wait for its kernel.

        Args:
            cells: Their sources.
            name: The file's.
            app: `notebooks` for Notebook 7.
        """
        file = self.directory / name
        if not file.exists():
            kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}  # else Lab asks for one
            code = [nbformat.v4.new_code_cell(cell) for cell in cells]
            nbformat.write(nbformat.v4.new_notebook(metadata=kernel, cells=code), file)
        path = file.relative_to(self.server.root).as_posix()
        self.page.goto(f"{self.server.url}{app}/{path}?token={self.server.token}&reset", timeout=WAIT * 1000)
        self._until(_IDLE)

    def cell(self, index: int) -> Locator:
        """The cell's element."""
        return self.page.locator(".jp-Notebook:visible .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """The element that holds the cell's outputs."""
        return self.cell(index).locator(".jp-OutputArea").first

    def command(self, name: str, *, wait: bool = True) -> None:
        """Execute one of JupyterLab's commands, such as `notebook:run-all-cells`; `wait` for it to be done."""
        self.page.evaluate(
            """name => {
                window.commandDone = false;
                jupyterapp.commands.execute(name).finally(() => { window.commandDone = true; });
            }""",
            name,
        )
        if wait:
            self.wait()

    def run(self, index: int, *, wait: bool = True) -> None:
        """Select the cell and run it."""
        self.page.evaluate("index => { jupyterapp.shell.currentWidget.content.activeCellIndex = index; }", index)
        self.command("notebook:run-cell", wait=wait)

    def add(self, source: str) -> int:
        """Append a code cell and run it; its index."""
        index: int = self._notebook("notebook.widgets.length")
        self.select(index - 1)
        self.command("notebook:insert-cell-below")
        self.write(index, source)
        self.run(index)
        return index

    def write(self, index: int, source: str) -> None:
        """Let this be the cell's source."""
        self._notebook("notebook.widgets[value[0]].model.sharedModel.setSource(value[1])", [index, source])

    def sources(self) -> list[str]:
        """The sources of all cells."""
        found: list[str] = self._notebook("notebook.widgets.map(cell => cell.model.sharedModel.getSource())")
        return found

    def text(self, index: int) -> str:
        """The cell's outputs as the text that goes with them."""
        outputs = self._notebook("notebook.widgets[value].model.outputs.toJSON()", index)
        texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
        return "".join(part for text in texts for part in text)

    def select(self, index: int, line: int | None = None) -> None:
        """Let this be the active cell, and the only one that is selected; with the cursor at the start of a line."""
        self._notebook("notebook.deselectAll(), notebook.activeCellIndex = value", index)
        if line is not None:
            self._notebook("notebook.activeCell.editor.setCursorPosition({line: value, column: 0})", line)

    def confirm(self, command: str, text: str | None = None) -> None:
        """Execute a command that asks back, and say yes, after filling in a text."""
        self.command(command, wait=False)
        dialog = self.page.locator(".jp-Dialog")
        if text is not None:
            dialog.locator("input").fill(text)
        dialog.locator(".jp-mod-accept").click()
        self.wait()

    def restart(self) -> None:
        """Restart the kernel."""
        self.confirm("notebook:restart-kernel")
        self._until(_IDLE)

    def run_all(self, *, wait: bool = True) -> None:
        """Run All Cells."""
        self.command("notebook:run-all-cells", wait=wait)

    def wait(self) -> None:
        """Wait until the command that was executed last is done: for a run, until its cells have ended."""
        self._until("window.commandDone")

    def save(self) -> Any:
        """Save the notebook; what is in the file then."""
        self.command("docmanager:save")
        path = self.page.evaluate("jupyterapp.shell.currentWidget.context.path")
        return nbformat.read(self.server.root / path, as_version=4)

    def close(self) -> None:
        """Stop the kernels that this page started."""
        for session in self.server.api("sessions"):
            self.server.api(f"sessions/{session['id']}", method="DELETE")

    def _notebook(self, expression: str, value: Any = None) -> Any:
        script = f"value => {{ const notebook = jupyterapp.shell.currentWidget.content; return {expression}; }}"
        return self.page.evaluate(script, value)

    def _until(self, expression: str) -> None:
        self.page.wait_for_function(f"() => {expression}", timeout=WAIT * 1000)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(message.text)

    def _note_exception(self, error: Exception) -> None:
        self._note(str(error))

    def _note(self, error: str) -> None:
        if not any(words in error for words in NOT_OURS):
            self.errors.append(error)

    def _note_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and not is_loopback(address.hostname):
            self.outside.append(request.url)


__all__ = ["Lab", "LabServer", "browser", "expect"]
