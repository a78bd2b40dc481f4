"""How a reply looks beyond what its host does: fixed inline styles, and no others.

They are inline because a `<style>` element is dropped where a notebook is not trusted, and is shown as text
where one was converted to markdown. Each is a whole value that `clean.py` lists. JupyterLab's own sanitizer lets
all of it through when a notebook is opened again, except what is said below. No colour is named but a grey
that shines through, so they suit light and dark themes.
"""

from __future__ import annotations

ROOT = "margin:0;overflow-wrap:break-word"
"""Long words and addresses are broken; no gap between a piece that was sealed and the next."""

_APART = "margin:0 0 1em"
_HEADING = "margin:0 0 0.5em;padding:0.5em 0 0;font-weight:bold"
BLOCKS = {
    "h3": f"{_HEADING};font-size:1.3em",
    "h4": f"{_HEADING};font-size:1.15em",
    "h5": f"{_HEADING};font-size:1em",
    "h6": f"{_HEADING};font-size:0.9em",
    **dict.fromkeys(("p", "ul", "ol", "hr"), _APART),
    "blockquote": "margin:0 2em 1em",
}
"""Margins are below only: those of two pieces that are sealed one by one do not collapse, so that the blocks would
move when the whole is shown in their place. Headings are below the notebook's own in size, and still not to be taken
for paragraphs, as JupyterLab's lowest are."""
GOES_ON = {"p": "margin:0", "ul": "margin:0", "ol": "margin:0", "blockquote": "margin:0 2em"}
"""Blocks that go on in a piece below."""

NO_CONTENTS = "tocSkip"
"""By this class JupyterLab leaves a heading out of the notebook's table of contents, and does not number it."""

_BAR = "rgba(128,128,128,0.4)"
_SHADE = "background:rgba(128,128,128,0.08)"
_BLOCK = {
    (False, False): "margin:0 0 1em;padding:0.5em 0.75em",
    (False, True): "margin:0;padding:0.5em 0.75em 0",
    (True, True): "margin:0;padding:0 0.75em",
    (True, False): "margin:0 0 1em;padding:0 0.75em 0.5em",
}
CODE_BLOCK = {goes_on: f"{style};{_SHADE}" for goes_on, style in _BLOCK.items()}
"""Around code, by whether it goes on from a piece above, and whether it goes on in a piece below."""
_PRE = "margin:0;padding:0;border:0;background:none;overflow-x:auto"
PRE = {below: _PRE + ";scrollbar-width:none" * below for below in (False, True)}
"""By whether the code goes on below: a scroll bar would tear it apart. (JupyterLab drops that again.)"""
PLAIN = "margin:0;padding:0;border:0;background:none;white-space:pre-wrap"
"""Text that is shown as it is; its pieces follow each other."""
PLAIN_PART = f"{PLAIN};content-visibility:auto;contain-intrinsic-size:auto 6000px"
"""One of many: laying out a megabyte keeps the page busy for a third of a second."""
CODE = "padding:0;background:none;white-space:pre"
"""Long lines scroll within the block; JupyterLab would break them anywhere."""
LABEL = "display:block;font-size:0.85em;opacity:0.7;user-select:none;-webkit-user-select:none"
"""The language of code: not selected with the code (but where JupyterLab drops that)."""

TABLE = "margin:0"
SCROLLED = {False: "margin:0 0 1em;overflow-x:auto", True: "margin:0;overflow-x:auto"}
"""Around a table, by whether it goes on below: a wide one scrolls, and its scroll bar is right below it."""
DISPLAY = "margin:0 0 0.5em;overflow-x:auto;overflow-y:hidden"
"""Around a formula on lines of its own, which has margins of MathJax's; without the last a bar stands beside each."""
TASK = "list-style-type:none"
"""A task has a box for its bullet."""

CAPTION = "margin:0;opacity:0.7"
"""A caption stands back; this leaves a contrast of more than 4.5 to 1 in the themes there are."""
REASONING = f"margin:0 0 1em;padding:0 0 0 0.75em;border-left:3px solid {_BAR};font-size:0.9em"
"""Set back without being paler: a theme's colours of code have no contrast to spare."""
UNFOLDED = "padding:0.5em 0 0"
SUMMARY = "display:list-item;cursor:pointer"
"""What opens it, and its triangle, which some hosts' style sheets take away."""
