"""Where the replies of turns are shown, so that a reply that comes anew can be drawn there."""

from __future__ import annotations

from nbchat.notebook import page_session


class Places:
    """The display of each turn's last reply, and the page that has it: another page cannot be told to change it."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}

    def note(self, turn: str, display: str) -> None:
        """The turn is shown in this display; in none that can be drawn anew if its id is empty."""
        self._known[turn] = display, page_session()

    def of(self, turn: str) -> str:
        """The id of the turn's display, empty if it has none in the page that asks now."""
        display, page = self._known.get(turn, ("", ""))
        return display if page and page == page_session() else ""


places = Places()
