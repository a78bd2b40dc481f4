"""A real kernel in its own process, driven through jupyter_client as a front end does it."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

Message = dict[str, Any]
WAIT = 30.0
"""Seconds until a test gives up on a kernel."""


class CellFailed(Exception):
    """A cell ended with an error; `execution` has all of it."""

    def __init__(self, execution: Execution) -> None:
        super().__init__("\n".join(execution.traceback))
        self.execution = execution


@dataclass
class Execution:
    """One request to run a cell, and what has come back for it."""

    request: str
    messages: list[Message] = field(default_factory=list)
    """What the kernel published on IOPub for this cell, in order."""
    reply: Message | None = None
    idle: bool = False

    def contents(self, *kinds: str) -> list[Message]:
        """The contents of the messages of these kinds, in order."""
        return [message["content"] for message in self.messages if message["msg_type"] in kinds]

    @property
    def stdout(self) -> str:
        return "".join(content["text"] for content in self.contents("stream") if content["name"] == "stdout")

    @property
    def stderr(self) -> str:
        return "".join(content["text"] for content in self.contents("stream") if content["name"] == "stderr")

    @property
    def data(self) -> list[dict[str, Any]]:
        """The mime bundles of all displays, results and updates, in order."""
        kinds = ("display_data", "update_display_data", "execute_result")
        return [content["data"] for content in self.contents(*kinds)]

    @property
    def error(self) -> str | None:
        """The name of the error that ended the cell, if one did."""
        return next((content["ename"] for content in self.contents("error")), None)

    @property
    def traceback(self) -> list[str]:
        return [line for content in self.contents("error") for line in content["traceback"]]


class Kernel:
    """A running kernel. Several cells may be under way: `start` them, then `wait` for each."""

    def __init__(self, env: Mapping[str, str], cwd: Path) -> None:
        self._manager = KernelManager(kernel_name="python3")
        # The kernel's own log would go to the terminal that runs the tests.
        self._manager.start_kernel(env=dict(env), cwd=str(cwd), extra_arguments=["--log-level=ERROR"])
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=2 * WAIT)
        self._executions: dict[str, Execution] = {}
        self.stray: list[Message] = []
        """What was published for no cell of this kernel."""

    def run(
        self,
        code: str,
        *,
        cell_id: str | None = None,
        deleted: Sequence[str] = (),
        check: bool = True,
        timeout: float = WAIT,
    ) -> Execution:
        """Run a cell to its end.

        Args:
            code: The cell's source.
            cell_id: The id that a front end with cell ids (JupyterLab) sends; None is a front end without (nbclient).
            deleted: Ids of cells that the front end says were deleted.
            check: Whether an error in the cell raises `CellFailed`.
            timeout: Seconds until the test fails.
        """
        execution = self.wait(self.start(code, cell_id=cell_id, deleted=deleted), timeout=timeout)
        while execution.reply and execution.reply["status"] == "aborted":  # it came too soon after a cell that failed
            execution = self.wait(self.start(code, cell_id=cell_id, deleted=deleted), timeout=timeout)
        if check and execution.error:
            raise CellFailed(execution)
        return execution

    def start(
        self, code: str, *, cell_id: str | None = None, deleted: Sequence[str] = (), stop_on_error: bool = True
    ) -> Execution:
        """Ask the kernel to run a cell, and return at once."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": stop_on_error,
        }
        metadata = {} if cell_id is None else {"cellId": cell_id, "deletedCells": [*deleted], "recordTiming": False}
        execution = Execution(self.send("execute_request", content, metadata))
        self._executions[execution.request] = execution
        return execution

    def send(self, kind: str, content: Message, metadata: Message | None = None) -> str:
        """Send any message on the shell channel, such as a widget's `comm_msg`; gives its id."""
        message = self._client.session.msg(kind, content, metadata=metadata)
        self._client.shell_channel.send(message)
        return message["header"]["msg_id"]

    @property
    def executions(self) -> list[Execution]:
        """All that were started, in order."""
        return list(self._executions.values())

    def published(self, *kinds: str) -> list[Message]:
        """The contents of the messages of these kinds, whichever cell they came under."""
        return [content for execution in self.executions for content in execution.contents(*kinds)]

    def reply_to(self, request: str) -> Message:
        """The content of the reply to what was sent."""
        while True:
            reply = self._client.get_shell_msg(timeout=WAIT)
            if reply["parent_header"].get("msg_id") == request:
                content: Message = reply["content"]
                return content

    def wait(
        self, execution: Execution, until: Callable[[Execution], Any] | None = None, timeout: float = WAIT
    ) -> Execution:
        """Wait until the cell has ended, or until `until(execution)` is true: it is asked after each message."""
        deadline = time.monotonic() + timeout
        while not (until(execution) if until else execution.idle):
            if until and execution.idle:
                raise AssertionError(f"The cell ended before that: {execution}")
            try:
                self._take(self._client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"Nothing more came from the kernel in {timeout} s: {execution}") from None
        while execution.idle and execution.reply is None:
            reply = self._client.get_shell_msg(timeout=max(0.0, deadline - time.monotonic()))
            if asked := self._executions.get(reply["parent_header"].get("msg_id", "")):
                asked.reply = reply["content"]
        return execution

    @contextmanager
    def reloaded(self) -> Iterator[None]:
        """Be another page from now on, one that was loaded just now; what was begun before goes on."""
        session, name = self._client.session, self._client.session.session
        session.session = f"{name}-reloaded"
        self.send("kernel_info_request", {})
        yield
        session.session = name

    def interrupt(self) -> None:
        """What the front end's ■ does."""
        self._manager.interrupt_kernel()

    def close(self) -> None:
        """End the process and free the sockets."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    def _take(self, message: Message) -> None:
        execution = self._executions.get(message["parent_header"].get("msg_id", ""))
        if execution is None:
            self.stray.append(message)
            return
        execution.messages.append(message)
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            execution.idle = True
