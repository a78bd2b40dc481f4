"""The settings that `%config NbChat` shows and sets; each applies from the next prompt on."""

from __future__ import annotations

import os

from traitlets import Bool, Dict, Enum, Float, Int, TraitError, Unicode, validate
from traitlets.config import SingletonConfigurable


class NbChat(SingletonConfigurable):
    """Defaults of all conversations; what a cell or a `Chat` says itself comes first."""

    model = Unicode("", help="Model of a new conversation; empty: the variable NBCHAT_MODEL, else `guide`.").tag(
        config=True
    )
    system = Unicode("", help="System prompt of every conversation without its own.").tag(config=True)
    temperature = Float(None, allow_none=True, help="Sampling temperature; None: the provider's own.").tag(config=True)
    max_tokens = Int(None, allow_none=True, help="Longest reply in tokens; None: the provider's own.").tag(config=True)
    max_context = Int(
        0, help="Send only the newest turns that fit in about this many tokens; 0: in about a million."
    ).tag(config=True)
    mark_cut = Bool(True, help="Send a reply that was stopped or cut off with a mark that says so.").tag(config=True)
    history = Unicode(
        "", help='Where conversations are kept: empty: the Jupyter data directory; "memory": nowhere; or a path.'
    ).tag(config=True)
    embed = Enum(
        [True, False, "full"],
        True,
        help="Let replies' outputs tell their turns, so that the notebook alone gives the conversation back; "
        '"full": also prompts that do not stand in their cells.',
    ).tag(config=True)
    timeout = Float(None, allow_none=True, help="Seconds of silence after which a reply is given up; None: 120.").tag(
        config=True
    )
    aliases = Dict(
        key_trait=Unicode(), value_trait=Unicode(), help="Short names of models, as `%chat alias` makes them."
    ).tag(config=True)
    panel_sends = Enum(
        ["enter", "ctrl-enter"],
        "enter",
        help="What sends a message in the panel: Enter (Shift+Enter makes a line), or Ctrl+Enter (Enter makes one).",
    ).tag(config=True)
    nest_asyncio = Bool(True, help="Let asyncio.run(…) work in cells; read when the extension is loaded.").tag(
        config=True
    )

    @validate("temperature", "max_tokens", "max_context", "timeout")
    def _not_negative(self, proposal: dict[str, object]) -> object:
        value = proposal["value"]
        if isinstance(value, int | float) and value < 0:
            raise TraitError(f"{value} is less than zero.")
        return value

    def default_model(self) -> str:
        """The model of a conversation that has not used one yet."""
        return self.model or os.environ.get("NBCHAT_MODEL", "") or "guide"


def settings() -> NbChat:
    """The settings in force."""
    return NbChat.instance()
