"""The options of a `%%chat` or `%chat` line: one table that is parsed, completed and shown as help.

A cell's line is options and perhaps a model: the prompt stands below it. A line magic's line is options, then
the prompt byte for byte; so options are taken from its start only as long as they look like options.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

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
        raise ValueError("a name for a variable")
    return name


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ValueError("a whole number, one or more")
    return int(text)


def _amount(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError("a number, zero or more")
    return number


OPTIONS = (
    Option("-m", "--model", ("MODEL",), "who answers, from here on: google-gemini, ollama/llama3.2, an alias"),
    Option("-p", "--provider", ("NAME",), "through which provider or service"),
    Option("-s", "--system", ("TEXT",), "system prompt"),
    Option("-t", "--temperature", ("NUMBER",), "sampling temperature", _amount),
    Option("", "--max-tokens", ("NUMBER",), "longest reply", _count),
    Option("-o", "--option", ("KEY", "VALUE"), "anything else that the provider takes"),
    Option("", "--base-url", ("URL",), "an OpenAI-compatible server, with -m NAME"),
    Option("", "--proxy", ("URL",), "send the request through a proxy"),
    Option("", "--timeout", ("SECONDS",), "give up after so long a silence", _amount),
    Option("-n", "--new", (), "forget the conversation first"),
    Option("", "--edit", ("TURN",), "in the place of a turn, as `%chat edit N` writes it"),
    Option("", "--no-history", (), "neither send nor keep the conversation"),
    Option("", "--into", ("NAME",), "also put the reply's text into a variable", _variable),
    Option("", "--no-stream", (), "show the reply when it is whole"),
    Option("", "--raw", (), "show the text as it is, no markdown"),
    Option("", "--show-prompt", (), "show what would be sent; send nothing"),
    Option("-h", "--help", (), "this page"),
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
_FOR_PROVIDER = ("temperature", "max_tokens", "proxy", "timeout")
_SEE_HELP = "`%chat help` shows the options."
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
    edit: str = ""
    """How the id of the turn begins in whose place the prompt goes."""
    into: str = ""
    stream: bool = True
    raw: bool = False
    show_prompt: bool = False
    help: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    """For the provider: temperature, max_tokens, proxy, timeout, and what `-o` gave."""

    @property
    def sending(self) -> dict[str, Any]:
        """The arguments of `Chat.send` beside the prompt."""
        names = ("model", "provider", "base_url", "system", "history", "new")
        return {name: getattr(self, name) for name in names} | self.options


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
    return replace(found, model=words[0]) if words else found


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
    return replace(found, prompt=rest, explicit=explicit)


def _parse(tokens: list[str]) -> tuple[Line, list[str]]:
    """The line, without its prompt, and the words that belong to no option."""
    values: dict[str, Any] = {}
    words = []
    left = iter(tokens)
    for token in left:
        name, written = _named(token)
        if not name:
            words.append(token)
            continue
        option = _BY_NAME[name]
        taken = [*written, *itertools.islice(left, max(0, len(option.takes) - len(written)))]
        if len(taken) != len(option.takes):
            raise UsageProblem(f"{name} needs {' '.join(option.takes) or 'no value'}. {_SEE_HELP}")
        _take(values, option, taken)
    return _line(values), words


def _named(token: str) -> tuple[str, list[str]]:
    """The option that a token names, and the value written into it (`--model=x`, `-mx`); no name for a word."""
    if not _LOOKS_LIKE_OPTION.match(token):
        return "", []
    name, equals, value = token.partition("=")
    if name in _BY_NAME:
        return name, [value] if equals else []
    if token[:2] in _BY_NAME and _BY_NAME[token[:2]].takes:
        return token[:2], [token[2:]]
    raise UsageProblem(f"There is no option {name}.{did_you_mean(name, _BY_NAME)} {_SEE_HELP}")


def _take(values: dict[str, Any], option: Option, taken: list[str]) -> None:
    name = option.long[2:].replace("-", "_")
    if name == "option":
        key, value = taken
        if key in _NOT_BY_O:
            raise UsageProblem(f"-o {key} is not for the provider: write --{_NOT_BY_O[key]}.")
        values.setdefault("options", {})[key] = _json_or_text(value)
        return
    try:
        values[name] = option.convert(*taken) if taken else True
    except ValueError as problem:
        raise UsageProblem(f"{option.long} takes {problem}, not {taken[0]!r}. {_SEE_HELP}") from None


def _line(values: dict[str, Any]) -> Line:
    for_provider = {name: values.pop(name) for name in _FOR_PROVIDER if name in values}
    values["options"] = for_provider | values.get("options", {})
    values["history"] = not values.pop("no_history", False)
    values["stream"] = not values.pop("no_stream", False)
    return Line(**values)


def _arity(token: str) -> int:
    """How many values follow an option; those written into it (`--model=x`, `-mx`) are not counted."""
    option = _BY_NAME.get(token)
    return len(option.takes) if option else 0


def _unquoted(token: str) -> str:
    """A token without its quotation marks, which may stand around all of it or behind `--model=`."""
    name, value = re.fullmatch(r"(-[\w-]+=?)?(.*)", token, re.DOTALL).groups(default="")  # type: ignore[union-attr]  # matches
    if not value.startswith(('"', "'")):
        return token
    try:
        return name + "".join(shlex.split(value))
    except ValueError:
        raise UsageProblem(f"A quotation mark is not closed: {token}") from None


def _json_or_text(value: str) -> Any:
    """`-o seed 7` gives the number 7, `-o stop '["a"]'` a list, `-o style brief` a string."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def complete(
    typed: list[str],
    *,
    models: list[str],
    providers: list[str],
    commands: list[str],
    sections: list[str],
    conversations: list[str],
) -> list[str]:
    """What may come next on a line of which `typed`, the magic's name included, stands before the cursor."""
    magic, last = typed[0], typed[-1]
    if last in ("-m", "--model"):
        return models
    if last in ("-p", "--provider"):
        return providers
    named = {"retry": models, "help": sections, "panel": ["--sidecar"]}
    named |= dict.fromkeys(("switch", "rename", "delete"), conversations)
    if len(typed) == 2 and last in named:
        return named[last]
    if (option := _BY_NAME.get(last)) and option.takes:
        return []
    first = [] if len(typed) > 1 else models if magic.startswith("%%") else commands
    return first + [option.long for option in OPTIONS]


def help_lines() -> list[str]:
    """The table as aligned lines of help."""
    rows = [(", ".join(option.names) + "".join(f" {name}" for name in option.takes), option.help) for option in OPTIONS]
    width = max(len(left) for left, _ in rows)
    return [f"  {left:<{width}}  {right}" for left, right in rows]
