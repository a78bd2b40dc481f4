"""What goes out: one clean HTML element, made of text in one spelling of line ends."""

from __future__ import annotations

import re

from nbchat.rendering.clean import clean
from nbchat.rendering.code import escape
from nbchat.rendering.looks import PLAIN, PLAIN_PART, ROOT

LIMIT = 100_000
"""How many characters a reply may have to be shown as markdown; a longer one is shown as plain text."""

NEWLINE = re.compile(r"\r\n?|\n")
_SURROGATE = re.compile("[\ud800-\udfff]")

_OPEN = f'<div class="nbchat-reply mathjax_ignore tex2jax_ignore" style="{ROOT}">'
_CLOSE = "</div>\n"


def tidy(text: str) -> str:
    """The text with line ends as markdown knows them, and without what cannot be sent."""
    return _SURROGATE.sub("\ufffd", NEWLINE.sub("\n", text))


def page(body: str) -> str:
    """One element of what is in `body` and may go out; nothing for nothing."""
    return f"{_OPEN}{clean(body)}{_CLOSE}" if body else ""


_LONG_TEXT = re.compile(r".{20000}[^\n]{0,20000}\n?|.+", re.DOTALL)


def plain(text: str) -> str:
    """A text as it is; a long one in parts, of which a page lays out those in sight."""
    parts = _LONG_TEXT.findall(tidy(text))
    style = PLAIN if len(parts) == 1 else PLAIN_PART
    return "".join(f'<pre style="{style}"><code>{escape(part)}</code></pre>\n' for part in parts)


def too_long() -> str:
    """The word about a text past `LIMIT`."""
    return f"<p>This reply has more than {LIMIT:,} characters; they are shown as plain text.</p>\n"
