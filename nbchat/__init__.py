"""Chat with language models inside a notebook.

`%load_ext nbchat`, then `%%chat` cells stream the model's reply under the cell. `nbchat.Chat` is the same
conversation from Python, `nbchat.current()` the one of this notebook, and `nbchat.panel()` shows it as a chat.
Importing needs no kernel, and the parts are imported when they are first used, so that loading the extension costs a
kernel's start next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nbchat import notebook as _notebook
from nbchat.errors import NbchatError, ProviderError, ReplyInterrupted, UsageProblem

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbchat.chat import Chat
    from nbchat.conversations import current
    from nbchat.panel import panel
    from nbchat.providers.registry import register
    from nbchat.reply import Reply

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
    "panel",
    "register",
    "unload_ipython_extension",
]

_HOMES = {
    "Chat": "nbchat.chat",
    "Reply": "nbchat.reply",
    "current": "nbchat.conversations",
    "panel": "nbchat.panel",
    "register": "nbchat.providers.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What `%load_ext nbchat` calls."""
    from nbchat import magics

    magics.load(shell)
    _let_replies_show_themselves(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What `%unload_ext nbchat` calls."""
    from nbchat import magics

    magics.unload(shell)


def _show(reply: Reply) -> None:
    from nbchat import display

    try:
        display.show_live(reply)
    except NbchatError as error:
        # What a formatter raises IPython only prints, and the reply's repr after it; but the cell has failed.
        shell: Any = _notebook.shell()
        shell.showtraceback()
        shell.displayhook.exec_result.error_in_exec = error


def _let_replies_show_themselves(shell: InteractiveShell | None) -> None:
    """A `Reply` as a cell's last expression is shown live; with or without the extension loaded."""
    formatter: Any = shell and shell.display_formatter
    if formatter:
        formatter.ipython_display_formatter.for_type_by_name("nbchat.reply", "Reply", _show)
        formatter.ipython_display_formatter.enabled = True  # as it is everywhere but in terminals before IPython 8


_let_replies_show_themselves(_notebook.shell())
