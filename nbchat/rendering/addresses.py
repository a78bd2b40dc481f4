"""Addresses that stand in the text without any marks, as GitHub knows them: of the web, and of mail."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

_END = r"\s<>\"`|\\^{}“”‘’«»\u3000-\u9fff\uac00-\ud7af\uff00-\uffef"
_BARE = re.compile(rf"://[A-Za-z0-9\[][^{_END}]*")
_SCHEME = re.compile(r"(?<![A-Za-z0-9])https?\Z", re.IGNORECASE)
_NO_SCHEME = re.compile(
    rf"(?<![\w.+/@:-])(?:(www\.(?:[a-z0-9-]+\.)*[a-z0-9-]+(?:[/?#:][^{_END}]*)?)"
    r"|[\w.+-]+@(?:[a-z0-9-]+\.)+[a-z]+(?![\w@/-]))",
    re.IGNORECASE | re.ASCII,
)


def bare_address(state: StateInline, silent: bool) -> bool:
    """`http://…` or `https://…`, without the punctuation after it."""
    found = _BARE.match(state.src, state.pos, state.posMax)
    if silent or not found or state.linkLevel:
        return False
    scheme = _SCHEME.search(state.pending, max(0, len(state.pending) - 6))
    if not scheme:
        return False
    rest = _without_punctuation(found[0])
    state.pending = state.pending[: scheme.start()]
    address = scheme[0] + rest
    state.push("link_open", "a", 1).attrs = {"href": state.md.normalizeLink(address)}
    state.push("text", "", 0).content = address
    state.push("link_close", "a", -1)
    state.pos += len(rest)
    return True


def with_links(text: Token) -> Iterator[Token]:
    """Words, with a link for each `www.…` and each address of mail among them."""
    position = 0
    for found in _NO_SCHEME.finditer(text.content):
        address = _without_punctuation(found[0])
        yield Token("text", "", 0, content=text.content[position : found.start()])
        yield Token("link_open", "a", 1, attrs={"href": ("http://" if found[1] else "mailto:") + address})
        yield Token("text", "", 0, content=address)
        yield Token("link_close", "a", -1)
        position = found.start() + len(address)
    yield Token("text", "", 0, content=text.content[position:]) if position else text


def _without_punctuation(address: str) -> str:
    while True:
        kept = address.rstrip("?!.,:;*_~'")
        for opening, closing in ("()", "[]"):
            if kept.endswith(closing) and kept.count(closing) > kept.count(opening):
                kept = kept[:-1]
        if kept == address:
            return kept
        address = kept
