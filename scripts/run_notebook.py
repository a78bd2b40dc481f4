"""Run a notebook from top to bottom and print its output while it comes; the notebook's file stays as it is.

    python scripts/run_notebook.py NOTEBOOK

A display that is updated prints what is new in its text, so a reply is read in the terminal as it
streams. Ends with status 1 and the error's one line when a cell fails.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

WIDGET = "application/vnd.jupyter.widget-view+json"


def growth(shown: str, now: str) -> str | None:
    """What `now` has beyond `shown`, white space aside; empty if it has less, None if it is another text."""
    at = 0
    for character in "".join(shown.split()):
        at = _skip_space(now, at)
        if at == len(now):
            return ""
        if now[at] != character:
            return None
        at += 1
    return now[_skip_space(now, at, len(shown) - len(shown.rstrip())) :]


def _skip_space(text: str, at: int, most: int = sys.maxsize) -> int:
    end = at
    while end < len(text) and text[end].isspace() and end - at < most:
        end += 1
    return end


class CellOutput:
    """One cell's output on a terminal, which can only be appended to."""

    def __init__(self) -> None:
        self._displays: dict[str, str] = {}
        self._shown = ""
        self._to_clear = False
        self._at_line_start = True

    def clear(self) -> None:
        """Forget the displays at the next one; what is printed stays."""
        self._to_clear = True

    def stream(self, text: str) -> None:
        """Print text that no later message changes."""
        if self._displays:
            self.fresh_line()
            self._displays, self._shown = {}, ""
        self._put(text)

    def show(self, display_id: str, text: str) -> None:
        """Print what a new or an updated display adds to what the displays show together."""
        if self._to_clear:
            self._displays, self._to_clear = {}, False
        elif not self._displays:
            self.fresh_line()
        self._displays[display_id] = text
        now = "\n".join(self._displays.values())
        new = growth(self._shown, now)
        if new is None:
            self.fresh_line()
            new = now
        if new:
            self._put(new)
            self._shown = now

    def fresh_line(self) -> None:
        """Go to the start of a line."""
        if not self._at_line_start:
            self._put("\n")

    def _put(self, text: str) -> None:
        print(text, end="", flush=True)
        self._at_line_start = text.endswith("\n") if text else self._at_line_start


class PrintingClient(NotebookClient):
    """A notebook client that prints each message of a cell's output when it arrives."""

    def __init__(self, notebook: Any, **options: Any) -> None:
        super().__init__(notebook, **options)
        self._output = CellOutput()
        self.on_cell_execute = self._announce

    async def async_start_new_kernel_client(self, **options: Any) -> Any:
        # nbclient's own handler stops the kernel under the cell and then reports its death: Ctrl+C is none.
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        return await super().async_start_new_kernel_client(**options)

    def _announce(self, cell: Any, cell_index: int) -> None:
        self._output = CellOutput()
        lines = cell.source.strip().splitlines() or [""]
        print(f"\n[{cell_index + 1}] {lines[0]}{' …' if len(lines) > 1 else ''}", flush=True)

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        self._print(msg["msg_type"], msg["content"], msg["header"]["msg_id"])
        return super().process_message(msg, cell, cell_index)

    def _print(self, kind: str, content: dict[str, Any], message_id: str) -> None:
        if kind == "stream":
            self._output.stream(content["text"])
        elif kind == "clear_output":
            self._output.clear()
        elif kind in ("display_data", "update_display_data", "execute_result"):
            data = content["data"]
            if "text/plain" in data and WIDGET not in data:
                display_id = (content.get("transient") or {}).get("display_id")
                self._output.show(display_id or message_id, data["text/plain"])
        elif kind == "error":
            self._output.fresh_line()
            why = content["evalue"].strip().splitlines() or [""]
            print(f"{content['ename']}: {why[0]}".removesuffix(": "), file=sys.stderr, flush=True)
        elif kind == "status" and content["execution_state"] == "idle":
            self._output.fresh_line()


def main(path: Path) -> int:
    """Run the notebook; gives the status for the shell."""
    client = PrintingClient(
        nbformat.read(path, as_version=4),
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],  # the kernel's own words are not for who reads the replies
        shutdown_kernel="immediate",  # a graceful end prints a page when Ctrl+C comes first
    )
    try:
        client.execute()
    except CellExecutionError:
        return 1  # its line is printed
    except DeadKernelError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
