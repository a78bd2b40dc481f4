"""The subcommands of `%chat`, one function each.

Each takes the conversation and its words, and returns what to print, or what starts the reply to show. A line is a
subcommand only if all of it parses: a function that cannot take its words raises `NoMatch`, and the line is a
prompt (`%chat list primes`). The first line of a docstring is the subcommand's line of help.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable
from functools import partial
from importlib import metadata
from typing import NamedTuple

from nbchat.chat import Chat
from nbchat.config import settings
from nbchat.errors import UnknownModel, UsageProblem, did_you_mean, shorten
from nbchat.loop import shared
from nbchat.options import help_lines
from nbchat.providers import guide, registry
from nbchat.providers.services import SERVICES
from nbchat.reply import Reply


class Again(NamedTuple):
    """A turn to be shown once more."""

    prompt: str
    reply: Reply
    raw: bool


Result = str | Callable[[], Reply] | Again
"""What to print, what starts the reply to show, or a turn to show."""

_EXAMPLES = """\
  %%chat google-gemini              the prompt stands below, on as many lines as it takes
  %%chat -m ollama/llama3.2 -t 0    a model on this machine
  %chat What is a p-value?          one line; the same conversation
  nbchat.current().send("…")        from Python"""


class Page(str):
    """Markdown, to be rendered where that can be done."""


class NoMatch(Exception):
    """The words are not arguments of this subcommand."""


def help_(chat: Chat, words: list[str]) -> Result:
    """help [SECTION]: this page, or a section of the manual"""
    if not words:
        return _overview()
    sections = guide.sections()
    if len(words) > 1:
        raise NoMatch
    if section := sections.get(words[0].casefold()):
        return Page(section)
    raise _slip(f"The manual has no section {words[0]!r}.", words[0], sections)


def _overview() -> str:
    commands = [inspect.getdoc(command) or "" for command in COMMANDS.values()]
    rows = [doc.partition("\n")[0].partition(": ") for doc in commands]
    return "\n".join(
        [
            f"{_version()}: chat with language models in cells. `%%chat [MODEL] [options]`, prompt below.",
            "",
            _EXAMPLES,
            "",
            *help_lines(),
            "",
            *(f"  %chat {usage:<22} {text}" for usage, _, text in rows),
            "",
            *textwrap.wrap(f"Sections of the manual: {', '.join(guide.sections())}.", 100, subsequent_indent="  "),
        ]
    )


def models(chat: Chat, words: list[str]) -> Result:
    """models: what can be used here, local servers included"""
    _none(words)
    running = shared().run(registry.local_models())
    offers = registry.offers()
    lines = [f"This conversation's model: {chat.model}", ""]
    for offer in offers:
        if offer.name in running or not offer.local:
            lines += _offer_lines(offer)
    if silent := [offer.name for offer in offers if offer.local and offer.name not in running]:
        lines.append(f"· no answer on this machine from {', '.join(silent)}")
    if aliases := settings().aliases:
        lines += ["", *(f"{name} = {model}" for name, model in aliases.items())]
    return "\n".join(lines)


def _offer_lines(offer: registry.Offer) -> list[str]:
    service = SERVICES.get(offer.name)
    before = f"{offer.name}/" if service else ""
    names = ", ".join(before + name for name in offer.models) or (service and f"{before}{service.example}, …") or ""
    head = f"{'✓' if offer.ready else '·'} {offer.name:<11} "
    text = "  ".join(part for part in (offer.why, names) if part)
    indent = " " * len(head)
    lines = textwrap.wrap(text, 110, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
    return lines or [head.rstrip()]


def history(chat: Chat, words: list[str]) -> Result:
    """history [N]: the turns so far, or the last N"""
    match words:
        case []:
            return chat.history.listing()
        case [number] | ["-n", number] if number.isdecimal():
            return chat.history.listing(int(number))
        case ["-n"]:
            raise UsageProblem("%chat history -n needs a number.")
    raise NoMatch


def show(chat: Chat, words: list[str]) -> Result:
    """show N [--raw]: a turn, by its number in the history, with its whole reply"""
    if not words or not words[0].isdecimal() or words[1:] not in ([], ["--raw"]):
        raise NoMatch
    number = int(words[0])
    if not 0 < number <= len(chat.history):
        raise UsageProblem(f"There is no turn {number}: this conversation has {_count(len(chat.history))}.")
    turn = chat.history[number - 1]
    return Again(turn.prompt, chat.reply_of(turn), len(words) > 1)


def undo(chat: Chat, words: list[str]) -> Result:
    """undo: take back the last turn, or a reset"""
    _none(words)
    turns = chat.undo()
    if not turns:
        return "There is nothing to undo."
    if turns[0] in list(chat.history):
        return f"What was there before the reset is back: {_count(len(turns))}."
    return f"Turn {len(chat.history) + 1} is taken back: {shorten(turns[0].prompt, 60)!r}. Run its cell to ask again."


def retry(chat: Chat, words: list[str]) -> Result:
    """retry [MODEL]: ask the last prompt again; the new reply takes the old one's place"""
    if len(words) > 1:
        raise NoMatch
    try:
        registry.resolve(*words, aliases=settings().aliases)
    except UnknownModel:
        if not words[0].isalpha():  # a model's name
            raise
        raise _slip(f"There is no model {words[0]!r}.", words[0], registry.known_models(settings().aliases)) from None
    return partial(chat.retry, *words)


def reset(chat: Chat, words: list[str]) -> Result:
    """reset: forget the conversation (`%chat undo` brings it back)"""
    _none(words)
    count = chat.reset()
    return f"{_count(count)} forgotten; `%chat undo` undoes it." if count else "There was nothing to forget."


def stop(chat: Chat, words: list[str]) -> Result:
    """stop: end the replies of this conversation, and keep what came"""
    _none(words)
    count = chat.stop()
    return (
        f"Stopped {count} {'replies' if count > 1 else 'reply'}."
        if count
        else "No reply of this conversation is under way."
    )


def alias(chat: Chat, words: list[str]) -> Result:
    """alias [NAME=MODEL]: a short name for a model; alone, the list; NAME= forgets one"""
    pairs = [word.partition("=") for word in words]
    known = dict(settings().aliases)
    if len(words) == 1 and words[0] in known:
        return f"{words[0]} = {known[words[0]]}"
    if not all(name and equals for name, equals, _ in pairs):
        raise NoMatch
    for name, _, model in pairs:
        if model:
            registry.resolve(model, aliases=known)
            known[name] = model
        elif known.pop(name, None) is None:
            raise UsageProblem(f"There is no alias {name!r}.{did_you_mean(name, known)}")
    settings().aliases = known
    return "\n".join(f"{name} = {model}" for name, model in known.items()) or "No aliases: `%chat alias fast=MODEL`."


def config(chat: Chat, words: list[str]) -> Result:
    """config: the settings; `%config NbChat.NAME = VALUE` sets one"""
    _none(words)
    traits = settings().traits(config=True)
    width = max(map(len, traits))
    return "\n".join(
        f"NbChat.{name:<{width}} = {getattr(settings(), name)!r}  # {trait.help}" for name, trait in traits.items()
    )


def version(chat: Chat, words: list[str]) -> Result:
    """version: which nbchat this is"""
    _none(words)
    return _version()


COMMANDS: dict[str, Callable[[Chat, list[str]], Result]] = {
    function.__name__.rstrip("_"): function
    for function in (help_, models, history, show, undo, retry, reset, stop, alias, config, version)
}


def run(chat: Chat, line: str) -> Result | None:
    """Carry out a line if it is a subcommand; None if it is a prompt.

    Raises:
        UsageProblem: For a single word that is none: it is not sent, as it is more likely a slip.
    """
    word, *words = line.split() or ["help"]
    if command := COMMANDS.get(word):
        try:
            return command(chat, words)
        except NoMatch:
            if not words:
                raise UsageProblem(f"%chat {word} needs more words: `%chat help` shows which.") from None
    elif not words:
        near = did_you_mean(word, COMMANDS)
        raise UsageProblem(f"There is no subcommand {word!r}.{near} To send it as a prompt: `%chat -- {word}`")
    return None


def _slip(what: str, word: str, known: Iterable[str]) -> Exception:
    """The problem to raise for a word that is near a known one; any other makes the line a prompt."""
    near = did_you_mean(word, known)
    return UsageProblem(f"{what}{near} To send the line as a prompt: `%chat -- …`") if near else NoMatch()


def _version() -> str:
    return f"nbchat {metadata.version('jupyter-nbchat')}"


def _none(words: list[str]) -> None:
    if words:
        raise NoMatch


def _count(turns: int) -> str:
    return f"{turns} turn{'s' * (turns != 1)}"
