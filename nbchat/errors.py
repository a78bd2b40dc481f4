"""Everything that can go wrong, as one tree.

    NbchatError
    ├── UsageProblem             what was typed or passed cannot be done as it stands
    │   ├── UnknownProvider
    │   └── UnknownModel
    └── ProviderError            the provider was asked and failed (provider, status, retry_after)
        ├── AuthenticationError  no key, a wrong one, or one that may not do this
        ├── RateLimitError       too many requests, or the quota is used up
        ├── ModelNotFoundError   the service does not have that model
        ├── ContextLengthError   the messages are longer than the model can read
        ├── ConnectionFailed     no connection, a broken one, or a silent one (also a ConnectionError)
        └── ReplyCutOff          the reply ended in the middle; what came is kept

    ReplyInterrupted             the kernel's ■ or Ctrl+C ended a reply (a KeyboardInterrupt)

Each message is one sentence or two: what failed, why, and what to do next. In a notebook cell that is
all that shows (`_render_traceback_`), and the cell still fails; elsewhere they are ordinary exceptions.
"""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 300
"""How many characters a provider's error may have: more is not read in a notebook."""


class NbchatError(Exception):
    """Root of all errors that nbchat raises."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class UsageProblem(NbchatError, ValueError):
    """What was typed or passed cannot be done as it stands."""


class UnknownProvider(UsageProblem):
    """No provider has that name."""


class UnknownModel(UsageProblem):
    """No provider has that model."""


class ProviderError(NbchatError):
    """A provider was asked and failed.

    Args:
        what: What happened, in a sentence's start ("answered 500: overloaded").
        provider: Who was asked, as the user knows it, with the host where it helps.
        advice: What to do next, a whole sentence; never cut short.
        status: The HTTP status, where there was one.
        retry_after: Seconds after which the provider said to come back.
        said: The provider's own words, with secrets taken out.
    """

    def __init__(
        self,
        what: str,
        *,
        provider: str = "",
        advice: str = "",
        status: int | None = None,
        retry_after: float | None = None,
        said: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.provider = provider
        self.advice = advice
        self.status = status
        self.retry_after = retry_after
        self.said = said

    def __str__(self) -> str:
        who = f"{self.provider} " if self.provider else ""
        what = shorten(self.what, max(80, _LONGEST - len(who) - len(self.advice) - 2))
        sentence = f"{who}{what}"
        if not sentence.endswith((".", "!", "?", "…")):
            sentence += "."
        return f"{sentence} {self.advice}".rstrip()


class AuthenticationError(ProviderError):
    """There is no key, a wrong one, or one that may not do this."""


class RateLimitError(ProviderError):
    """Too many requests, or the quota is used up; `retry_after` says when to come back, if the service did."""


class ModelNotFoundError(ProviderError):
    """The service does not have that model."""


class ContextLengthError(ProviderError):
    """The messages are longer than the model can read."""


class ConnectionFailed(ProviderError, ConnectionError):
    """There is no connection, a broken one, or one on which nothing came for too long."""


class ReplyCutOff(ProviderError):
    """The reply ended in the middle; what came is kept in the turn."""


class ReplyInterrupted(KeyboardInterrupt):
    """A reply was ended by the kernel's interrupt or Ctrl+C; what came is kept.

    A `KeyboardInterrupt`, so that Run All stops there, shown as one line.
    """

    def __init__(self, kept: int) -> None:
        super().__init__(f"stopped by interrupt; {kept} characters kept")

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd")


def shorten(text: str, most: int) -> str:
    """Fold white space and cut the text to at most `most` characters, with an ellipsis; safe to show in a terminal."""
    folded = " ".join(text.split()).translate(_CONTROLS)
    return folded if len(folded) <= most else folded[: most - 1].rstrip() + "…"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that names the known words nearest to `word`, with a leading space; empty if none is near."""
    import difflib  # only for one who has slipped

    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=3, cutoff=0.7)
    return f" Did you mean {' or '.join(by_folded[name] for name in near)}?" if near else ""
