"""`guide`, the embedded provider: nbchat's manual, searched for what the user asks.

It needs no network, no model and no key, so a newcomer's first cell always works. It is no language model and
says so; it names the section it answered from, and the line to type next. `%chat help` reads its sections too.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
import re
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from nbchat.messages import Chunk, Finish, Messages, text_of
from nbchat.providers.base import AsyncGeneratorProvider, AsyncResult, ProviderModelMixin, require_messages
from nbchat.providers.services import SERVICES, Service

_SURE = 0.5
"""The share of a question's words, by weight, that a passage must hold to count as its answer."""

_LONGEST_QUESTION = 1000
"""Characters of a prompt that are searched for; what is longer is no question."""

_GREETINGS = frozenset(
    re.findall(r"\w+", "hi hello hey hallo hola bonjour ciao moin servus salut привет здравствуй здравствуйте")
)

_EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about all also an and any anything are as at be been but by can cannot chat could did do
        does doesn don each else every explain find first for from get give go good got had has have
        help here hey how i if in is isn it its just know like ll look make may maybe me my nbchat need
        no notebook now of ok on one only or other our out off over own please possible question quite re s should so
        some something t tell than thank thanks that the their them then there these they thing things
        this those to too try up us use used using ve very want was way we well were what when where
        which while who whom why will with won work works working would write you your
        """,
    )
)
"""Words that say nothing about what a question is after; for those that are asked of a chat tool, too."""

_NOT_SEARCHED = _EMPTY_WORDS | _GREETINGS

_SAME = (
    "afresh fresh beginning new anew scratch restart",
    "alias nickname shortcut shorthand",
    "change switch",
    "company corporate firewall office vpn tor",
    "config configuration setting preference default configure customize",
    "context window",
    "cut truncate truncated incomplete half",
    "error exception failure fail failed problem traceback crash broken",
    "forget clear delete erase remove wipe reset",
    "guide assistant bot ai artificial intelligence chatbot human person robot",
    "headless nbconvert papermill nbclient ci pipeline automate automation batch batchwise",
    "history conversation past previous earlier memory remember log recall",
    "install update upgrade pip download",
    "interrupt stop abort cancel halt kill quit terminate",
    "key apikey credential secret password authentication authenticate authorization login signin",
    "language english russian german french spanish chinese",
    "local offline ollama lmstudio llamacpp llama machine laptop computer selfhosted localhost",
    "long length short limit maximum max exceeded",
    "markdown html format formatting render",
    "model llm gpt",
    "openai chatgpt",
    "anthropic claude",
    "xai grok",
    "option parameter flag argument",
    "parallel simultaneous simultaneously concurrent concurrently",
    "privacy private confidential safe secure security leak share telemetry tracking gdpr",
    "proxy socks socks5",
    "python script programmatically program",
    "rate quota 429 throttle busy overloaded",
    "reply answer response output result",
    "retry regenerate repeat resend",
    "save store keep persist",
    "send sent transmit transfer",
    "silence silent hang stuck slow freeze frozen timeout forever unresponsive",
    "system role persona instruction character",
    "temperature random randomness creative creativity deterministic reproducible vary",
    "undo revert",
    "url address endpoint",
    "variable env environ environment",
    "without disable",
)
"""Words that the search takes for one another."""


@dataclass(frozen=True)
class Passage:
    """A piece of the manual that answers one question."""

    section: str
    """The name to type: `%chat help SECTION`."""
    title: str
    text: str


class Guide(AsyncGeneratorProvider, ProviderModelMixin):
    """Answers "how do I …" questions about nbchat from its manual, and says that it is not a language model."""

    name = "guide"
    supports_message_history = False
    supports_system_message = False
    default_model = "guide"
    models = ("guide",)
    pause: ClassVar[float] = 0.02
    """Seconds between two pieces, so that a newcomer sees a reply stream; less where the reply is long."""

    @classmethod
    def create_async_generator(
        cls, model: str, messages: Messages, proxy: str | None = None, **kwargs: Any
    ) -> AsyncResult:
        """Answer the last message from the manual; nothing else of the arguments counts.

        Raises:
            UsageProblem: If there is no message, or the model is not `guide`.
        """
        require_messages(messages)
        cls.get_model(model)
        return AsyncResult(_reply(answer(text_of(messages[-1])), cls.pause))


async def _reply(text: str, pause: float) -> AsyncGenerator[Chunk, None]:
    pieces = re.findall(r"\s*(?:\S+\s*){1,3}", text)
    for piece in pieces:
        yield piece
        await asyncio.sleep(min(pause, 1 / len(pieces)))
    yield Finish("stop")


def answer(question: str) -> str:
    """What the guide says to a question, as markdown."""
    found = find(question)
    if found:
        return "\n\n".join([_from_manual(found), "---", f"{_WHAT_IT_IS} {next_step()}"])
    words = _words(question)
    greeted = not words or words[0] in _GREETINGS or set(words) <= _EMPTY_WORDS
    opening = "Hello." if greeted else "nbchat's manual has no answer to that, and I know nothing else."
    return "\n\n".join([f"{opening} {_WHAT_IT_IS} {_WHAT_IT_CAN}", next_step(), _topics()])


_WHAT_IT_IS = "*I am `guide`: a search in nbchat's manual, not a language model.*"
_WHAT_IT_CAN = 'I answer questions in English on how to use nbchat, such as "How do I stop a reply?".'


def _from_manual(found: list[Passage]) -> str:
    best = found[0]
    source = f"From nbchat's manual: `%chat help {best.section}`"
    others = list(dict.fromkeys(passage.section for passage in found[1:] if passage.section != best.section))
    also = f"; see also {' and '.join(f'`%chat help {name}`' for name in others)}" if others else ""
    return f"**{best.title}**\n\n{best.text}\n\n{source}{also}."


def _topics() -> str:
    return f"The manual's sections, for `%chat help NAME`: {', '.join(sections())}."


def next_step() -> str:
    """How to reach a language model from here: which keys are set (their names only), and the line to type."""
    ready = [(variable_that_is_set(service), service) for service in SERVICES.values() if not service.local]
    lines = [f"- `{name}` is set: `%%chat --model {row.name}/{row.example}`" for name, row in ready if name]
    if lines:
        return "To ask a language model, start a cell with a line like this:\n\n" + "\n".join(lines)
    return (
        "To ask a language model: no service's key is set here; `%chat help keys` tells how to set one, "
        "and `%chat models` also looks for local servers."
    )


def variable_that_is_set(service: Service) -> str:
    """The name of the environment variable that holds the service's key now; empty if none does."""
    variables = (service.key_variable, *service.more_variables)
    return next((name for name in variables if os.environ.get(name, "").strip()), "")


# The manual


@functools.cache
def _manual() -> tuple[tuple[str, str], ...]:
    """(name, text) of each section, in the manual's order."""
    from importlib.resources import files  # here, since it would slow down `import nbchat`

    text = (files("nbchat") / "manual.md").read_text("utf-8")
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    return tuple((part[3 : part.index(":")], part.strip()) for part in parts)


def sections() -> dict[str, str]:
    """The manual: each section's markdown by its name, in order."""
    return dict(_manual())


# The search: BM25 over the manual's passages


class _Indexed(NamedTuple):
    passage: Passage
    title: set[str]
    body: Counter[str]

    def holds(self, term: str) -> bool:
        return term in self.body or term in self.title


@functools.cache
def _index() -> tuple[_Indexed, ...]:
    return tuple(
        _indexed(name, *passage.split("\n", 1))
        for name, text in _manual()
        for passage in re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    )


def _indexed(section: str, title: str, text: str) -> _Indexed:
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)  # examples hold words of any topic
    body = Counter(_terms(f"{section} {prose}"))
    return _Indexed(Passage(section, title, text.strip()), set(_terms(title)), body)


def find(query: str) -> list[Passage]:
    """The passages that answer a question, the best first; none if none is near enough.

    Args:
        query: A question or some words, in English.
    """
    terms = list(dict.fromkeys(_terms(query[:_LONGEST_QUESTION])))  # in order: sums of floats depend on it
    ranked = sorted(((_score(entry, terms), entry) for entry in _index()), key=lambda pair: -pair[0])
    best, entry = ranked[0]
    if not terms or _coverage(entry, terms) < _SURE:
        return []
    return [other.passage for score, other in ranked[:3] if score > 0.6 * best]


def _score(entry: _Indexed, terms: Iterable[str]) -> float:
    """How well a passage fits: by the rare words, by those in a short title, and by how often they come."""
    in_title = 2 / math.sqrt(len(entry.title) or 1)
    scale = 0.6 + 0.6 * entry.body.total() / _mean_length()
    return sum(_rarity(term) * (n / (n + scale) + in_title * (term in entry.title)) for term, n in _hits(entry, terms))


def _hits(entry: _Indexed, terms: Iterable[str]) -> list[tuple[str, int]]:
    return [(term, entry.body[term]) for term in terms if entry.holds(term)]


def _coverage(entry: _Indexed, terms: Iterable[str]) -> float:
    return sum(_rarity(term) for term, _ in _hits(entry, terms)) / sum(map(_rarity, terms))


@functools.cache
def _mean_length() -> float:
    return sum(entry.body.total() for entry in _index()) / len(_index())


@functools.cache
def _rarities() -> dict[str, float]:
    seen = Counter(term for entry in _index() for term in entry.title | set(entry.body))
    return {term: math.log(1 + (len(_index()) - n + 0.5) / (n + 0.5)) for term, n in seen.items()}


def _rarity(term: str) -> float:
    return _rarities().get(term, math.log(2 * len(_index()) + 2))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _terms(text: str) -> list[str]:
    """The words of a text that say something, each as the search knows it."""
    stems = [_stem(word) for word in _words(text) if len(word) > 1 and word not in _NOT_SEARCHED]
    return [_canonical().get(stem, stem) for stem in stems]


@functools.cache
def _canonical() -> dict[str, str]:
    return {_stem(word): _stem(group.split()[0]) for group in _SAME for word in group.split()}


def _stem(word: str) -> str:
    """A word without its English ending, near enough to find "stopped" and "retries" by "stop" and "retry"."""
    stem = re.sub(r"(?:(?<=\w{3})(?:ings?|ed|es|(?<![aius])s|e)|(?<=\w{4})ers?)$", "", word)
    stem = re.sub(r"([bdgmnprt])\1$", r"\1", stem)
    return re.sub(r"(?<=\w\w[^aeiou])y$", "i", stem)
