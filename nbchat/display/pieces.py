"""The displays that one reply takes up in a cell's output, one below the other, Stop last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from nbchat.display.stop import StopButton
from nbchat.notebook import publisher
from nbchat.traffic import CellOutput

Bundle = dict[str, str]


class Pieces:
    """At most one piece is open, the last one: it is drawn anew while the ones above it stay as they are.

    Args:
        own_cell: Whether the cell was run for this reply alone; what else is put out there is watched.
        at: A display that is the open piece from the start.
    """

    def __init__(self, *, own_cell: bool, at: str = "") -> None:
        self.closed = 0
        """How many pieces will not change any more."""
        self._publisher = publisher()  # this cell's: a later one's may be captured
        self._others = CellOutput() if own_cell else None
        self._open = at
        self._stop: StopButton | None = None

    @property
    def are_many(self) -> bool:
        """Whether the reply takes up more than one display."""
        return bool(self.closed or self._stop)

    @property
    def last(self) -> str:
        """The id of the open piece's display, or of the one that took the place of all; empty if neither is there."""
        return self._open

    @property
    def has_stop(self) -> bool:
        """Whether the Stop button is shown."""
        return self._stop is not None

    def draw(self, bundle: Bundle, metadata: dict[str, Any]) -> None:
        """Draw the open piece anew, or open one: in the place of the button, which moves down."""
        if self._open:
            self._publish(bundle, metadata, self._open, update=True)
        elif self._stop:
            self._open = self._stop.display_id
            self._publish(bundle, metadata, self._open, update=True)
            self._stop.show()
        else:
            self._open = uuid4().hex
            self._publish(bundle, metadata, self._open, update=False)

    def close(self) -> None:
        """Let the open piece be as it is; what is drawn next stands below it."""
        if self._open:
            self._open = ""
            self.closed += 1

    def offer_stop(self, stop: Callable[[], None]) -> None:
        """Show the Stop button below all pieces."""
        self._stop = StopButton(self._send, stop)
        self._stop.show()

    def replace(self, bundle: Bundle, metadata: dict[str, Any]) -> bool:
        """Draw one display in place of all pieces; false, and nothing done, where that would erase more."""
        if self._others is None or not self._others.is_ours_alone():
            return False
        self._publisher.clear_output(wait=True)
        self._open = uuid4().hex
        self._publish(bundle, metadata, self._open, update=False)
        self._drop_stop()
        return True

    def draw_in_place_of_stop(self, bundle: Bundle, metadata: dict[str, Any]) -> None:
        """Draw the last piece where the button was."""
        if self._stop:
            self._publish(bundle, metadata, self._stop.display_id, update=True)
        self._drop_stop()

    def _drop_stop(self) -> None:
        """Close the button when it is out of sight already: the page would draw its end, too."""
        if self._stop:
            self._stop.close()
            self._stop = None

    def _publish(self, bundle: Bundle, metadata: dict[str, Any], display_id: str, *, update: bool) -> None:
        self._send(bundle, metadata=metadata, transient={"display_id": display_id}, update=update)

    def _send(self, data: dict[str, Any], **options: Any) -> None:
        if self._others is None:
            self._publisher.publish(data, **options)
        else:
            with self._others.ours():
                self._publisher.publish(data, **options)
