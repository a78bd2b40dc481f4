"""Subcommands about nbchat itself: help, models, settings."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from importlib import metadata

from nbchat.chat import Chat
from nbchat.commands.words import NoMatch, Page, Result, nothing_more, slip
from nbchat.config import settings
from nbchat.errors import UsageProblem, did_you_mean
from nbchat.loop import shared
from nbchat.options import help_lines
from nbchat.providers import guide, registry
from nbchat.providers.services import SERVICES

_EXAMPLES = """\
  %%chat google-gemini              the prompt stands below, on as many lines as it takes
  %%chat -m ollama/llama3.2 -t 0    a model on this machine
  %chat What is a p-value?          one line; the same conversation
  nbchat.current().send("…")        from Python"""


def help_(chat: Chat, words: list[str]) -> Result:
    """help [SECTION]: this page, or a section of the manual"""
    sections = guide.sections()
    if len(words) > 1:
        raise NoMatch
    if section := sections.get(words[0].casefold()):
        return Page(section)
    raise slip(f"The manual has no section {words[0]!r}.", words[0], sections)


def overview(usages: Iterable[str], others: Iterable[str]) -> str:
    """One screen of help.

    Args:
        usages: The first lines of the docstrings of subcommands that are shown with a word about each.
        others: The names of those that are not.
    """
    rows = [usage.partition(": ") for usage in usages]
    width = max(len(usage) for usage, _, _ in rows)
    more = f"Also: {', '.join(others)}; `%chat help commands` tells of them."
    return "\n".join(
        [
            f"{_version()}: chat with language models in cells. `%%chat [MODEL] [options]`, prompt below.",
            "",
            _EXAMPLES,
            "",
            *help_lines(),
            "",
            *(f"  %chat {usage:<{width}}  {text}" for usage, _, text in rows),
            *textwrap.wrap(more, 100, initial_indent="  ", subsequent_indent="  "),
            "",
            *textwrap.wrap(f"Sections of the manual: {', '.join(guide.sections())}.", 100, subsequent_indent="  "),
        ]
    )


def models(chat: Chat, words: list[str]) -> Result:
    """models: what can be used here, local servers included"""
    nothing_more(words)
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
    nothing_more(words)
    traits = settings().traits(config=True)
    width = max(map(len, traits))
    return "\n".join(
        f"NbChat.{name:<{width}} = {getattr(settings(), name)!r}  # {trait.help}" for name, trait in traits.items()
    )


def version(chat: Chat, words: list[str]) -> Result:
    """version: which nbchat this is"""
    nothing_more(words)
    return _version()


def _version() -> str:
    return f"nbchat {metadata.version('jupyter-nbchat')}"
