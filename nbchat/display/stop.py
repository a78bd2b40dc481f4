"""The Stop button below a reply that is under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

_TOOLTIP = "End this reply and keep what has come"
HIDDEN_WHEN_DEAD = (
    "<style>.jp-OutputArea:has(.nbchat-reply) .jp-OutputArea-output.lm-Panel:not(:has(*)),"
    f'.jupyter-widgets-disconnected[title="{_TOOLTIP}"]{{display:none}}</style>'
)
"""A page that was saved while a reply came, and is opened again, has no button any more; JupyterLab would say so.
A page whose kernel was started again still has one, which does nothing."""


class StopButton:
    """A button that stands in a display of its own, until that display becomes something else's.

    Args:
        publish: The publisher's method for the cell that the button stands in.
        stop: What a click does.
    """

    def __init__(self, publish: Callable[..., None], stop: Callable[[], None]) -> None:
        # Slow to import, and nobody needs it before the first reply streams. It has no types.
        import ipywidgets  # type: ignore[import-untyped]

        self._publish = publish
        self._button = ipywidgets.Button(
            description="Stop",
            tooltip=_TOOLTIP,
            layout={"width": "auto", "margin": "4px 0"},
        )
        self._button.on_click(lambda _: stop())
        self.display_id = ""

    def show(self) -> None:
        """Show the button in a new display, below all others."""
        self.display_id = uuid4().hex
        view = {"version_major": 2, "version_minor": 0, "model_id": self._button.model_id}
        self._publish(
            {"application/vnd.jupyter.widget-view+json": view, "text/plain": ""},
            metadata={"nbchat": {"part": "stop"}},
            transient={"display_id": self.display_id},
            update=False,
        )

    def close(self) -> None:
        """Take the widget and its parts away, in the kernel and in the page."""
        parts: list[Any] = [self._button, self._button.style, self._button.layout]
        for part in parts:
            part.close()
