"""Code in colours: classes of pygments, and guards against code that is made to take long."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, MutableMapping
from functools import cache, lru_cache
from itertools import groupby
from time import thread_time
from typing import Any

from pygments.lexers import get_all_lexers, get_lexer_by_name  # type: ignore[import-untyped]  # it has no types
from pygments.token import STANDARD_TYPES  # type: ignore[import-untyped]  # likewise

from nbchat.rendering.looks import CODE, CODE_BLOCK, LABEL, PRE

_LONGEST_PART = 3_000
"""Code with more characters is coloured in parts: some lexers take a time that grows with the cube of it."""
_PATIENCE = 0.5
"""Seconds of processor time for colouring the code of one text; what then is left stays plain."""
CODE_CLASSES = set(STANDARD_TYPES.values()) - {"", "n", "w", "err", "esc", "x"}
"""Without those that say nothing, and without errors: code is written by halves while it streams."""

Env = MutableMapping[str, Any]

_LANGUAGE = re.compile(r"[\s{.]*([\w+#-]{1,30})(?![\w+#-])")
_ENDLESS = re.compile(r"[^\n]{2000}|\s{500}")
"""What no one reads in colours, and what some of the lexers take a quadratic time for."""
_NEW_START = re.compile(r"\n[ \t]*\n(?=\w)")


def code(text: str, env: Env, info: str = "", *, above: bool = False, below: bool = False) -> str:
    """A block of code, in the colours of the language that its fence names first, with that name above it.

    Args:
        text: The code, or a piece of it that ends where a line does.
        env: What the parser keeps of one text.
        info: What the fence says.
        above: Whether this goes on from a piece that is shown right above.
        below: Whether it goes on in a piece that is shown right below.
    """
    word = _LANGUAGE.match(info)
    language = _languages().get(word[1].lower()) if word else None
    body = _coloured(text, language, env) if language and not _ENDLESS.search(text) else escape(text)
    label = f'<span style="{LABEL}">{word[1]}</span>' if word and not above else ""
    opening = f'<div class="highlight" style="{CODE_BLOCK[above, below]}" dir="ltr">{label}<pre style="{PRE[below]}">'
    return f'{opening}<code style="{CODE}">{body}</code></pre></div>\n'


@cache
def _languages() -> dict[str, str]:
    """The names of languages; only pygments' own, since looking for others in the environment takes its time."""
    return {alias.lower(): alias for _, aliases, _, _ in get_all_lexers(plugins=False) for alias in aliases}


def _coloured(code: str, language: str, env: Env) -> str:
    """The code in colours, as far as there is patience: lexers are not made for code that means them harm."""
    done = []
    for part in _parts(code):
        started = thread_time()
        patient = env.setdefault("patience", _PATIENCE) > 0
        done.append(_spans(part, language) if patient else escape(part))
        env["patience"] -= thread_time() - started
    return "".join(done)


def _parts(code: str) -> Iterator[str]:
    """Pieces of long code that a lexer may take one by one: up to a line that starts anew, if there is one."""
    while len(code) > _LONGEST_PART:
        end = max((start.end() for start in _NEW_START.finditer(code, 0, _LONGEST_PART)), default=0)
        end = end or code.rfind("\n", 0, _LONGEST_PART) + 1 or _LONGEST_PART
        yield code[:end]
        code = code[end:]
    yield code


@lru_cache(maxsize=100)
def _spans(code: str, language: str) -> str:
    tokens = get_lexer_by_name(language, stripnl=False, ensurenl=False).get_tokens(code)
    spans = []
    for name, group in groupby(tokens, key=lambda token: _class_of(token[0])):
        text = escape("".join(text for _, text in group))
        tag = _tag(name)
        spans.append(f'<{tag} class="{name}">{text}</{tag}>' if name else text)
    return "".join(spans)


def _tag(name: str) -> str:
    """Keywords are bold and comments slanted, as JupyterLab has them, where no style sheet knows the classes, too."""
    if name[:1] == "k" or name in ("ow", "gs"):
        return "b"
    return "i" if name[:1] == "c" or name == "ge" else "span"


@cache
def _class_of(kind: Any) -> str:
    while kind not in STANDARD_TYPES:
        kind = kind.parent
    return STANDARD_TYPES[kind] if STANDARD_TYPES[kind] in CODE_CLASSES else ""


def escape(text: str) -> str:
    """Text as HTML, for between tags."""
    return html.escape(text, quote=False)
