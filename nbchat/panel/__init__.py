"""`nbchat.panel()`: the notebook's conversation as a chat, beside the cells.

The page (`panel.js`) holds a copy of what `transcript.py` knows, which `widget.py` keeps up to date; what the page asks
for is carried out by `actions.py`; `outputs.py` is what a cell's output, and so the file, has of it. The module can be
called, since it stands under the name of its function.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from nbchat.errors import UsageProblem
from nbchat.notebook import in_kernel, is_headless

if TYPE_CHECKING:
    from nbchat.chat import Chat
    from nbchat.panel.widget import Panel

__all__ = ["panel", "show"]

_LOWEST, _HIGHEST = 200, 4_000
"""Of the height, in pixels."""

_panels: WeakSet[Panel] = WeakSet()


def panel(chat: Chat | None = None, *, height: int | None = None) -> Panel:
    """Show a conversation as a chat, in a widget; again for the same conversation, it is another view of the same one.

    Args:
        chat: The conversation; without it the notebook's own, the one of its `%%chat` cells: whichever is current.
        height: How high it is, in pixels; 420 if it is not said.

    Raises:
        UsageProblem: Where no widgets are, as in a terminal; or if that is no conversation.
    """
    from nbchat.chat import Chat
    from nbchat.conversations import current

    if not in_kernel():
        raise UsageProblem(
            "The panel needs a notebook that shows widgets, such as JupyterLab's or Notebook's. "
            "Here `%chat` and `nbchat.Chat` do the same."
        )
    if not (height is None or (type(height) is int and _LOWEST <= height <= _HIGHEST)):
        raise UsageProblem(f"The height of a panel is a number of pixels, from {_LOWEST} to {_HIGHEST:,}.")
    if not isinstance(chat, Chat | None):
        raise UsageProblem(f"A panel shows an `nbchat.Chat`, not {type(chat).__name__}.")
    wanted = None if chat is current() else chat
    for found in _panels:
        if found.chat is wanted and not found.is_closed:
            found.height = height or found.height
            return found
    made: Panel = _widget().Panel(wanted, **({"height": height} if height else {}))
    _panels.add(made)
    return made


def show(*, in_sidecar: bool = False) -> None:
    """Put the notebook's panel out, below the cell or beside the notebook.

    Raises:
        UsageProblem: Where it cannot be shown.
    """
    found = panel()
    if not in_sidecar or is_headless():  # a sidecar is a widget, too, of which a file would tell
        found._ipython_display_()
        return
    try:
        sidecar = import_module("sidecar").Sidecar(title="nbchat")
    except ModuleNotFoundError as missing:
        if missing.name != "sidecar":
            raise
        raise UsageProblem(
            "A panel beside the notebook needs the package sidecar: `%pip install sidecar`, then load the page anew. "
            "Without it: `%chat panel`, and right click left of the output, “Create New View for Cell Output”."
        ) from None
    with sidecar:
        found._ipython_display_()


def _widget() -> Any:
    try:
        return import_module("nbchat.panel.widget")
    except ModuleNotFoundError as missing:
        if missing.name != "anywidget":
            raise
        raise UsageProblem("The panel needs the package anywidget: `%pip install anywidget`.") from None


class _Callable(ModuleType):
    """Importing a package puts its module under the package's name: this one may be called as the function is."""

    def __call__(self, chat: Chat | None = None, *, height: int | None = None) -> Panel:
        return panel(chat, height=height)


sys.modules[__name__].__class__ = _Callable
