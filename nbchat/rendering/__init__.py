"""Markdown text → safe HTML, block by block.

A reply is not to be trusted, and the output of a cell is: what it holds runs in the page. So nothing is
sent but what this module made. Raw HTML in a reply is text (markdown-it), code is coloured by classes
(pygments), and `nh3` takes away every tag, attribute, class and address that is not on the short lists in `clean.py`.

- `render` gives the final form of a reply.
- `Live` gives the frames of one that is still coming: finished blocks once, the open tail anew each time.

All HTML comes in `<div class="nbchat-reply …">`. There are no styles but the fixed ones of `looks.py`; colours are
the host's (JupyterLab colours `.highlight` by its theme). MathJax is told to keep its hands off
all of it but our own formulas, so that "It costs $5 and $10" stays as it is: a formula goes out as `\\(…\\)` or
`\\[…\\]`, and one that could run, style or define something goes out as code.

This package imports nothing else of nbchat, and is slow to import: import it when there is something to show.
"""

from __future__ import annotations

from nbchat.rendering.asides import caption, last_lines, quote, reasoning
from nbchat.rendering.code import Env
from nbchat.rendering.live import Frame, Live
from nbchat.rendering.markdown import parse, to_html
from nbchat.rendering.pages import LIMIT, page, plain, tidy, too_long

__all__ = ["LIMIT", "Frame", "Live", "as_it_is", "caption", "last_lines", "quote", "reasoning", "render"]


def as_it_is(text: str) -> str:
    """A text without any markup, as one safe HTML element."""
    return page(plain(text))


def render(text: str) -> str:
    """Render a whole reply; a text of more than `LIMIT` characters as it is, in a `<pre>`.

    Returns:
        One safe HTML element; an empty string for a text without content.
    """
    if len(text) > LIMIT:
        return page(too_long() + plain(text))
    env: Env = {}
    return page(to_html(parse(tidy(text), env), env))
