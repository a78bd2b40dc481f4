"""As much of a shell in a kernel as nbchat reads: the request under way."""

from __future__ import annotations

from typing import Any


class Kernel:
    """As much of a kernel as is read: the request under way."""

    def __init__(self) -> None:
        self.request: dict[str, Any] | None = None

    def runs(self, execution: str, cell: Any = None) -> None:
        """A request to execute arrives, from a front end that sends the cell's id or does not."""
        metadata = {} if cell is None else {"cellId": cell}
        self.request = {"header": {"msg_id": execution}, "metadata": metadata}

    def get_parent(self, channel: str) -> Any:
        assert channel == "shell"
        return self.request


class Shell:
    def __init__(self) -> None:
        self.kernel = Kernel()
