"""A reply where there is no notebook: text that grows, in a terminal, a pipe, a script; and where there is more.

In a terminal's IPython a reply is shown as markdown if rich is installed (the extra `terminal`). In a plain
`python`, in pipes and in files it is text: exactly as it is, but for what a terminal would obey.
"""

from __future__ import annotations

import sys

from nbchat.display.captions import left_out
from nbchat.display.controls import write
from nbchat.display.look import Look, View
from nbchat.notebook import shell
from nbchat.reply import Reply


def view(look: Look) -> View:
    """What suits standard output and what runs here: markdown on a screen, or text."""
    if shell() is None or look.raw or not sys.stdout.isatty():
        return TextView(look)
    try:
        from nbchat.display.screen import ScreenView, console  # slow to import, and rich may not be there
    except ImportError:
        return TextView(look)
    screen = console()
    return ScreenView(look, screen) if screen else TextView(look)


class TextView:
    """The text as it grows, on standard output."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._above = "".join(f"> {line}\n" for line in look.prompt.splitlines())
        self._shown = 0
        self._told = 0

    def draw(self, reply: Reply) -> None:
        """Print what is new; notices go to standard error."""
        if self._look.stream:
            self._print(reply)
        self._tell([notice.text for notice in reply.notices[self._told :]])
        self._told = len(reply.notices)

    def end(self, reply: Reply) -> None:
        """Print the rest, and end the line."""
        self._print(reply)
        sys.stdout.write("" if not self._shown or reply.text.endswith("\n") else "\n")
        self._tell([*(notice.text for notice in reply.notices[self._told :]), left_out(reply.turn)])

    def _print(self, reply: Reply) -> None:
        new = reply.turn.chunks[self._shown :]
        write(sys.stdout, self._above + "".join(new))
        self._above = ""
        self._shown += len(new)

    def _tell(self, words: list[str]) -> None:
        sys.stdout.flush()
        write(sys.stderr, "".join(f"({word})\n" for word in words if word))
