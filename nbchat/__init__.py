"""Chat with language models inside a notebook.

`%load_ext nbchat`, then `%%chat` cells stream the model's reply under the cell. `nbchat.Chat` is the same
conversation from Python, and `nbchat.current()` the one of this notebook. Importing needs no kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbchat.chat import Chat, Reply, current
from nbchat.errors import NbchatError, ProviderError, ReplyInterrupted, UsageProblem
from nbchat.notebook import shell as _running_shell
from nbchat.providers.registry import register

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"

__all__ = [
    "Chat",
    "NbchatError",
    "ProviderError",
    "Reply",
    "ReplyInterrupted",
    "UsageProblem",
    "current",
    "load_ipython_extension",
    "register",
    "unload_ipython_extension",
]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What `%load_ext nbchat` calls."""
    from nbchat import magics

    magics.load(shell)
    _let_replies_show_themselves()


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What `%unload_ext nbchat` calls."""
    from nbchat import magics

    magics.unload(shell)


def _show(reply: Reply) -> None:
    from nbchat import display

    display.show_live(reply)


def _let_replies_show_themselves() -> None:
    """A `Reply` as a cell's last expression is shown live; with or without the extension loaded."""
    running: Any = _running_shell()
    if running is not None and running.display_formatter is not None:
        running.display_formatter.ipython_display_formatter.for_type(Reply, _show)


_let_replies_show_themselves()
