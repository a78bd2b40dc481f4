"""The options of a `%%chat` or `%chat` line: one table that is parsed, completed and shown as help.

A cell's line is options and perhaps a model: the prompt stands below it. A line magic's line is options, then
the prompt byte for byte; so options are taken from its start only as long as they look like options.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from nbchat.errors import UsageProblem, did_you_mean


@dataclass(frozen=True)
class Option:
    """One row of the table: its names, what it takes, and a word of help."""

    short: str
    long: str
    takes: tuple[str, ...]
    help: str
    convert: Callable[[str], Any] = str

    @property
    def names(self) -> list[str]:
        """The names it goes by."""
        return [name for name in (self.short, self.long) if name]


def _variable(name: str) -> str:
    if not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{name!r} is no name for a variable")
    return name


OPTIONS = (
    Option("-m", "--model", ("MODEL",), "who answers, from here on: google-gemini, ollama/llama3.2, an alias"),
    Option("-p", "--provider", ("NAME",), "through which provider or service"),
    Option("-s", "--system", ("TEXT",), "system prompt"),
    Option("-t", "--temperature", ("T",), "sampling temperature", float),
    Option("", "--max-tokens", ("N",), "longest reply", int),
    Option("-o", "--option", ("KEY", "VALUE"), "anything else that the provider takes"),
    Option("", "--base-url", ("URL",), "an OpenAI-compatible server, with -m NAME"),
    Option("", "--proxy", ("URL",), "send the request through a proxy"),
    Option("", "--timeout", ("S",), "give up after S seconds of silence", float),
    Option("-n", "--new", (), "forget the conversation first"),
    Option("", "--no-history", (), "neither send nor keep the conversation"),
    Option("", "--into", ("NAME",), "also put the reply's text into a variable", _variable),
    Option("", "--no-stream", (), "show the reply when it is whole"),
    Option("", "--raw", (), "show the text as it is, no markdown"),
    Option("", "--show-prompt", (), "show what would be sent; send nothing"),
)

_BY_NAME = {name: option for option in OPTIONS for name in option.names}
_NOT_BY_O = {
    "model": "model MODEL",
    "provider": "provider NAME",
    "base_url": "base-url URL",
    "system": "system TEXT",
    "history": "no-history",
    "prompt": "show-prompt",
    "messages": "show-prompt",
}
_TOKEN = re.compile(r"""\s*((?:"(?:\\.|[^"\\])*"|'[^']*'|[^\s"'])+|["'].*)""", re.DOTALL)
_LOOKS_LIKE_OPTION = re.compile(r"-[A-Za-z]|--[A-Za-z]")


@dataclass(frozen=True)
class Line:
    """What a line says: the model, how to send, how to show, and (line magic) the prompt."""

    prompt: str = ""
    explicit: bool = False
    """The prompt cannot be a subcommand: it followed an option, or `--`."""
    model: str | None = None
    provider: str | None = None
    base_url: str | None = None
    system: str | None = None
    new: bool = False
    history: bool = True
    into: str = ""
    stream: bool = True
    raw: bool = False
    show_prompt: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    """For the provider: temperature, max_tokens, proxy, timeout, and what `-o` gave."""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        raise UsageProblem(f"{message[:1].upper()}{message[1:]}. `%chat help` shows the options.")


def _parser() -> _Parser:
    parser = _Parser(prog="%%chat", add_help=False, allow_abbrev=False)
    for option in OPTIONS:
        if not option.takes:
            parser.add_argument(*option.names, action="store_true")
        elif len(option.takes) == 1:
            parser.add_argument(*option.names, type=option.convert)
        else:
            parser.add_argument(*option.names, nargs=len(option.takes), action="append", default=[])
    parser.add_argument("words", nargs="*")
    return parser


def parse_header(header: str) -> Line:
    """Parse what stands behind `%%chat`.

    Raises:
        UsageProblem: In one line, with the nearest option if one was misspelt.
    """
    if header.rstrip().endswith("\\"):
        raise UsageProblem("A %%chat line cannot go on below with a backslash: write all options on the one line.")
    tokens = [_unquoted(token) for token in _TOKEN.findall(header)]
    found, words = _parse(tokens)
    if len(words) > 1 or (words and found.model):
        raise UsageProblem(
            f"{words[-1]!r} is one word too many: a %%chat line takes one model and options, and the prompt stands "
            "below it (or all on one line: `%chat …`)."
        )
    return found if not words else _with_model(found, words[0])


def parse_line(line: str) -> Line:
    """Parse what stands behind `%chat`: options, then the prompt, of which not a byte is changed.

    Raises:
        UsageProblem: In one line, with the nearest option if one was misspelt.
    """
    tokens, at = [], 0
    while (match := _TOKEN.match(line, at)) and _LOOKS_LIKE_OPTION.match(match[1]):
        for _ in range(1 + _arity(match[1])):
            if match := _TOKEN.match(line, at):
                tokens.append(_unquoted(match[1]))
                at = match.end()
    rest = line[at:].lstrip()
    explicit = bool(tokens)
    if rest == "--" or rest.startswith("-- "):
        rest, explicit = rest[3:], True
    found, _ = _parse(tokens)
    return Line(**(vars(found) | {"prompt": rest, "explicit": explicit}))


def _parse(tokens: list[str]) -> tuple[Line, list[str]]:
    for token in tokens:
        name = token.partition("=")[0]
        if token.startswith("--") and name not in _BY_NAME:
            raise UsageProblem(
                f"There is no option {name}.{did_you_mean(name, _BY_NAME)} `%chat help` shows the options."
            )
    values = vars(_parser().parse_args(tokens))
    options = {name: values[name] for name in ("temperature", "max_tokens", "proxy", "timeout")}
    for key, value in values["option"]:
        if key in _NOT_BY_O:
            raise UsageProblem(f"-o {key} is not for the provider: write --{_NOT_BY_O[key]}.")
        options[key] = _json_or_text(value)
    line = Line(
        model=values["model"],
        provider=values["provider"],
        base_url=values["base_url"],
        system=values["system"],
        new=values["new"],
        history=not values["no_history"],
        into=values["into"] or "",
        stream=not values["no_stream"],
        raw=values["raw"],
        show_prompt=values["show_prompt"],
        options={name: value for name, value in options.items() if value is not None},
    )
    return line, values["words"]


def _with_model(line: Line, model: str) -> Line:
    return Line(**(vars(line) | {"model": model}))


def _arity(token: str) -> int:
    """How many values follow an option; those written into it (`--model=x`, `-mx`) are not counted."""
    option = _BY_NAME.get(token)
    return len(option.takes) if option else 0


def _unquoted(token: str) -> str:
    try:
        return "".join(shlex.split(token)) if token[:1] in "\"'" or '"' in token or "'" in token else token
    except ValueError:
        raise UsageProblem(f"A quotation mark is not closed: {token}") from None


def _json_or_text(value: str) -> Any:
    """`-o seed 7` gives the number 7, `-o stop '["a"]'` a list, `-o style brief` a string."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def complete(
    typed: list[str], *, models: list[str], providers: list[str], commands: list[str], sections: list[str]
) -> list[str]:
    """What may come next on a line of which `typed`, the magic's name included, stands before the cursor."""
    magic, last = typed[0], typed[-1]
    if last in ("-m", "--model"):
        return models
    if last in ("-p", "--provider"):
        return providers
    if len(typed) == 2 and last in ("retry", "help"):
        return models if last == "retry" else sections
    if (option := _BY_NAME.get(last)) and option.takes:
        return []
    first = [] if len(typed) > 1 else models if magic.startswith("%%") else commands
    return first + [option.long for option in OPTIONS]


def help_lines() -> list[str]:
    """The table as aligned lines of help."""
    rows = [(", ".join(option.names) + "".join(f" {name}" for name in option.takes), option.help) for option in OPTIONS]
    width = max(len(left) for left, _ in rows)
    return [f"  {left:<{width}}  {right}" for left, right in rows]
