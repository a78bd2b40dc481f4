"""Tab on a `%%chat` or `%chat` line: options, models, providers, subcommands, sections of the manual."""

from __future__ import annotations

import re
from typing import Any

from IPython.core import completer


class ChatCompleter:
    """The completions of one shell; put into it as a matcher, or as a hook where IPython has none (before 8.6)."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self.__qualname__ = type(self).__qualname__  # IPython asks each matcher for it
        self._ours = re.compile(rf"%%?({'|'.join(names)})\s")

    def install(self, shell: Any) -> None:
        """Let the shell ask here on our lines."""
        if hasattr(completer, "context_matcher"):
            completer.context_matcher(identifier="nbchat")(self)
            shell.Completer.custom_matchers.append(self)
            return
        for name in self._names:
            for prefix in ("%", "%%"):
                shell.set_hook("complete_command", lambda _, event: self._offers(event.line), str_key=prefix + name)

    def __call__(self, context: Any) -> Any:
        before = context.text_until_cursor.rpartition("\n")[2]
        if not self._ours.match(before):
            return {"completions": []}
        _, equals, word = re.split(r"\s", before)[-1].rpartition("=")
        found = self._offers(f"{before.removesuffix(word)[:-1]} {word}" if equals else before)
        found = [name for name in found if name.casefold().startswith(word.casefold())]
        return {
            "completions": [completer.SimpleCompletion(name, type="chat") for name in found],
            "matched_fragment": word,
            "ordered": True,
            "suppress": True,  # Python's names are not wanted here
        }

    def _offers(self, before: str) -> list[str]:
        """What may stand where the last word of `before` stands."""
        from nbchat.commands import COMMANDS  # with all the rest: not before somebody wants completions
        from nbchat.config import settings
        from nbchat.conversations import conversations
        from nbchat.options import complete
        from nbchat.providers import guide, registry

        return complete(
            re.split(r"\s+", before)[:-1],
            models=registry.known_models(settings().aliases),
            providers=registry.known_providers(),
            commands=list(COMMANDS),
            sections=list(guide.sections()),
            conversations=conversations.names(),
        )


def remove(shell: Any) -> None:
    """Undo `install`; hooks of an older IPython stay, and do nothing without the magics."""
    matchers = getattr(shell.Completer, "custom_matchers", [])
    matchers[:] = [matcher for matcher in matchers if not isinstance(matcher, ChatCompleter)]
