"""A reply on a terminal's screen, as markdown while it streams.

What is finished is printed once, for good, so that it scrolls and can be selected as anything else. Below it
stands the block that is still open, drawn over for each frame, and a line that tells what is waited for.
"""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.segment import SegmentLines

from nbchat.display.captions import Progress, caption
from nbchat.display.look import Look
from nbchat.display.pacing import Pace
from nbchat.display.typeset import Typesetter
from nbchat.display.wrapping import Line, beginning
from nbchat.notebook import shell
from nbchat.reply import Reply

_ROWS_OF_REASONING = 3
_UP, _ERASE = "\r\x1b[{}A", "\x1b[J"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


def console() -> Console | None:
    """The terminal that standard output is, if it can do what is needed here."""
    plain = str(getattr(shell(), "colors", "")).casefold() == "nocolor"
    found = Console(file=sys.stdout, no_color=plain or None, force_jupyter=False)
    able = found.is_interactive and not found.is_dumb_terminal and not found.legacy_windows
    return found if able and found.encoding.startswith("utf") else None


class ScreenView:
    """One reply in a terminal.

    Args:
        look: How the reply is shown.
        console: Where.
    """

    def __init__(self, look: Look, console: Console) -> None:
        from nbchat import rendering  # with its parsers, so not before the first reply

        self._rendering = rendering
        self._look = look
        self._console = console
        self._set = Typesetter(console)
        self._bottom = Bottom(console)
        self._live = rendering.Live()
        self._pace = Pace()
        self._progress = Progress()
        self._printed = 0  # characters of the text that are finished, and printed
        self._has_begun = False
        self._is_bare = True  # nothing of the reply is to be seen
        self._drawn: object = None

    def draw(self, reply: Reply) -> None:
        """Draw a frame if there is anything new and it is time."""
        if not self._pace.is_due():
            return
        text = reply.text if self._look.stream else ""
        if self._drawn != (len(text), self._line(reply), self._console.size):
            started = time.monotonic()
            self._pace.count(started, self._draw_frame(reply, text))

    def end(self, reply: Reply) -> None:
        """Print the rest and the caption, and let nothing stand that is not for good."""
        text = reply.text
        if self._live.sealed == self._printed:
            rest = self._live.finish(text)
        else:  # an interrupt came between the two
            rest = self._rendering.render(text[self._printed :])
        below = self._set.aside(caption(reply))
        self._bottom.draw([*self._above(reply), *self._set.lines(rest), *below], [])

    def _draw_frame(self, reply: Reply, text: str) -> int:
        sealed, tail = self._live.update(text)
        above = self._above(reply) if text else []
        self._is_bare = not (tail or self._live.sealed)
        line = self._line(reply)
        below = self._set.lines(tail) + (self._set.aside(line, rows=1) if line else [])
        size = self._bottom.draw(above + self._set.lines(sealed), below)
        self._printed = self._live.sealed
        self._has_begun = self._has_begun or bool(text)
        self._drawn = len(text), line, self._console.size
        return size

    def _line(self, reply: Reply) -> str:
        """What is waited for, if nothing else is there to look at."""
        return self._progress.line(reply) if self._is_bare or self._progress.is_quiet(reply) else ""

    def _above(self, reply: Reply) -> list[Line]:
        """What stands above the text: a prompt that is not there yet, and what the model thought, cut short."""
        if self._has_begun:
            return []
        lines = self._set.lines(self._rendering.quote(self._look.prompt))
        if thought := " ".join(reply.reasoning.split()):
            told = f"Reasoning, {len(reply.reasoning):,} characters: {thought}"
            lines += [*self._set.aside(told, _ROWS_OF_REASONING), []]
        return lines


class Bottom:
    """The lines at the bottom of what has been printed, which are drawn over.

    Nothing is changed that has to be put back: the cursor stays to be seen, on the empty line below, where a
    terminal writes its `^C`. So however a reply ends, the terminal is as it was.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows = 0

    def draw(self, above: list[Line], below: list[Line]) -> int:
        """Print lines for good where the bottom was, and draw the new one below; gives the characters sent.

        A bottom that is higher than the screen is cut to its last lines, one that is wider at the margin: it is
        drawn over by going up so many rows, and some terminal may still take a character for wider.
        """
        width, height = self._console.size
        shown = [beginning(line, width) for line in below[-max(height - 1, 1) :]]
        parts = [self._erasure(), self._encoded(above)]
        if shown:
            parts += [_NO_WRAP, self._encoded(shown), _WRAP]
        output = "".join(parts)
        self._console.file.write(output)  # at once, so that nothing flickers
        self._console.file.flush()
        self._rows = len(shown)
        return len(output)

    def _erasure(self) -> str:
        return _UP.format(self._rows) + _ERASE if self._rows else ""

    def _encoded(self, lines: list[Line]) -> str:
        with self._console.capture() as captured:
            self._console.print(SegmentLines(lines, new_lines=True), end="", crop=False)
        return captured.get()
