"""What goes wrong with a request, put into the words and classes of `nbchat.errors`. No I/O, no HTTP library.

`read_words` finds what a server says in the body of an error, `kind_of` decides which error that is (the table
`RULES`), and `Failures` makes the errors of one request. Whatever a server or a library says goes through
`redact` first.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from nbchat.errors import (
    AuthenticationError,
    ConnectionFailed,
    ContextLengthError,
    ModelNotFoundError,
    ProviderError,
    RateLimitError,
    ReplyCutOff,
    shorten,
)
from nbchat.messages import clean
from nbchat.providers.addresses import SOCKS, authority, is_local
from nbchat.providers.base import Request
from nbchat.providers.streams import Page, WrongBody

LONGEST_WORDS = 2000
"""Characters of a server's own words that an error keeps in `said`."""

HIDDEN = "[hidden]"

_SHORTEST_SECRET = 4
"""Shorter values are no secrets, and hiding them would take letters out of words."""

_SHORTEST_START = 6
"""Less of a secret, at the end of a text, says nothing."""

_SECRET_LIKE = re.compile(
    r"""\b(?: (?:sk|pk|rk|gsk|xai|hf|ghp|pplx|csk)[-_]    # the usual marks of keys; in words there is no digit
                (?=[\w.-]*(?:[0-9*…]|\.\.)|[\w-]{20})[\w*.…-]{4,}
            | AIza[\w-]{20,}
            | (?:Bearer|Basic)\s+(?=[\w.~+/-]*(?:[0-9*=]|(?-i:[a-z][A-Z]))|[\w-]{20})[\w.~+/*=-]{6,} )""",
    re.VERBOSE | re.IGNORECASE,
)
_LOGIN_IN_URL = re.compile(r"\b([a-z][a-z0-9+.-]*://)[^/\s@\"'<>]+@", re.IGNORECASE)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets, without what looks like a key, and without logins in URLs.

    A secret is found in capitals, broken over lines, with backslashes in it, and cut by the end of the text.
    """
    known = {form for secret in secrets for form in (secret, quote(secret, safe="")) if len(secret) >= _SHORTEST_SECRET}
    for secret in sorted(known, key=len, reverse=True):
        text = re.sub(r"[\s\\]*".join(map(re.escape, secret)), HIDDEN, text, flags=re.IGNORECASE)
        text = _without_start(text, secret)
    return _SECRET_LIKE.sub(HIDDEN, _LOGIN_IN_URL.sub(rf"\1{HIDDEN}@", text))


def _without_start(text: str, secret: str) -> str:
    """The text without a part of the secret that its cut has left at its end."""
    end, start = text[-len(secret) :].lower(), secret.lower()
    length = next((size for size in range(len(end), _SHORTEST_START - 1, -1) if end.endswith(start[:size])), 0)
    return text[: len(text) - length] + HIDDEN if length else text


@dataclass(frozen=True)
class Words:
    """What a server says of an error: its message, and the code and type if it gives any."""

    message: str = ""
    code: str = ""
    type: str = ""

    @property
    def status(self) -> int | None:
        """The HTTP status that some servers give as the code of an error inside a body."""
        return int(self.code) if re.fullmatch("[45][0-9][0-9]", self.code) else None


def read_words(payload: Any) -> Words:
    """The words in a decoded JSON error of any shape that servers are known to send."""
    if isinstance(payload, str):
        return Words(clean(payload))
    if isinstance(payload, list):
        return next(filter(None, map(read_words, payload)), Words())
    if not isinstance(payload, dict):
        return Words()
    nested = next((payload[key] for key in ("error", "detail", "errors") if payload.get(key)), None)
    inner = read_words(nested)
    own = _first(payload, "message", "msg", "error_description", "title")
    if own and isinstance(place := payload.get("loc"), list):  # FastAPI: ["body", "seed"]
        own += f" ({'.'.join(map(str, place))})"
    if own and isinstance(nested, str):  # {"error": "a_code", "message": "The words"}
        inner = Words(own, nested)
    return Words(
        inner.message or own,
        inner.code or _first(payload, "code"),
        inner.type or _first(payload, "type", "status"),
    )


def _first(payload: dict[str, Any], *keys: str) -> str:
    values = (payload.get(key) for key in keys)
    words = (clean(str(value)) for value in values if isinstance(value, str | int))
    return next((word for word in words if word not in ("", "None")), "")


_PAGE = "web page"


def read_body(body: bytes) -> Words:
    """The words in the body of an error: JSON, a page (its title) or plain text."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff").strip()
    with suppress(ValueError, RecursionError):  # no JSON, or none that can be read
        payload = json.loads(text)
        words = read_words(payload)
        has_some = any(payload.values()) if isinstance(payload, dict) else payload
        return words if words.message or not has_some else replace(words, message=clean(text))
    if text.startswith("<"):
        title = Page.title(text)
        return Words(f"a web page titled {title!r}" if title else "a web page", type=_PAGE)
    return Words(text)


@dataclass(frozen=True)
class Rule:
    """How one class of error is recognised."""

    error: type[ProviderError]
    statuses: frozenset[int]
    codes: frozenset[str]
    words: re.Pattern[str]


def _rule(error: type[ProviderError], statuses: Iterable[int], codes: str, words: str) -> Rule:
    return Rule(error, frozenset(statuses), frozenset(codes.split()), re.compile(words, re.IGNORECASE))


RULES = (
    _rule(
        AuthenticationError,
        (401, 403),
        "invalid_api_key authentication_error permission_error permission_denied UNAUTHENTICATED PERMISSION_DENIED",
        r"api.?key not valid|(invalid|incorrect|missing|no) api.?key|unauthori[sz]ed",
    ),
    _rule(
        RateLimitError,
        (429,),
        "rate_limit_error rate_limit_exceeded rate_limited insufficient_quota RESOURCE_EXHAUSTED",
        r"rate.?limit|too many requests|quota (is )?exceeded|exceeded your .*quota",
    ),
    _rule(
        ContextLengthError,
        (),
        "exceed_context_size_error context_length_exceeded context_window_exceeded string_above_max_length",
        r"context (length|window|size)|prompt is too long|input is too long|too many (input )?tokens"
        r"|maximum (prompt|input|sequence) length|reduce the length",
    ),
    _rule(
        ModelNotFoundError,
        (),
        "model_not_found model_not_available unknown_model invalid_model",
        r"\bmodels?\b.{0,120}\b(not found|(does not|doesn't|not) exist|not available)|not a valid model|^model: "
        r"|(unknown|invalid|no such) model\b(?! (param|argument|option|setting|output))",
    ),
)
"""How errors are recognised, the first rule that fits: all statuses are tried first, then all codes, then all words.

Words count only where the status says no more than "bad request", since they may be anybody's.
"""

_VAGUE = frozenset((None, 400, 404, 413, 422, 500))


def kind_of(status: int | None, words: Words) -> type[ProviderError]:
    """Which error the server's status (None inside a body that began well) and its words mean."""
    said = {words.code, words.type}
    if status == 403 and words.type == _PAGE:  # a gateway's: the service itself would have sent JSON
        return ProviderError
    for rule in RULES:
        if status in rule.statuses:
            return rule.error
    for rule in RULES:
        if said & rule.codes:
            return rule.error
    for rule in RULES:
        if status in _VAGUE and rule.words.search(words.message):
            return rule.error
    return ProviderError


RETRIED = {
    408: "the server took too long",
    409: "the server was busy with something else",
    429: "rate limited",
    500: "the server failed",
    502: "the server failed",
    503: "the server is overloaded",
    504: "the server took too long",
    529: "the server is overloaded",
}
"""The statuses after which a request is sent again, and what the user is told meanwhile."""

_USED_UP = frozenset(("insufficient_quota", "billing_hard_limit_reached", "billing_not_active"))


def retry_reason(error: ProviderError, words: Words) -> str:
    """What to tell the user when this refusal is tried again; empty if that would not help."""
    if type(error) not in (ProviderError, RateLimitError) or {words.code, words.type} & _USED_UP:
        return ""
    return RETRIED.get(error.status or 0, "")


_DAY = 86_400.0
_YEAR = 365 * _DAY


def seconds_to_wait(retry_after: str | None) -> float | None:
    """What a `Retry-After` header asks for: seconds, or the time left until an HTTP date; at most a year."""
    text = (retry_after or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return min(float(text), _YEAR)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - time.time()), _YEAR)
    except (ValueError, OverflowError):  # no date, or none that a clock can show
        return None


def in_words(seconds: float) -> str:
    """When to come back, as a user reads it."""
    if seconds <= 90:
        return f"in {max(1, round(seconds))} s"
    if seconds > 2 * _DAY:
        return f"in {round(seconds / _DAY)} days"
    at = time.strftime("%H:%M" if seconds < 72_000 else "%d %b, %H:%M", time.localtime(time.time() + seconds))
    return f"in {round(seconds / 60)} min, at {at}" if seconds < 7200 else f"in {round(seconds / 3600)} h, at {at}"


_LESS = "Send less, or start afresh (`%%chat --new`)."
_ADVICE = {
    402: "Check the account's balance.",
    404: "Check the base URL.",
    405: "Check the base URL.",
    407: "Give the user and password for the proxy in its URL.",
    413: _LESS,
}


class Failures:
    """Makes the errors of one request: each names who was asked, and the proxy if one was in between."""

    def __init__(self, request: Request, proxy: str | None = None) -> None:
        self._request = request
        self._proxy = proxy
        self._secrets = (*request.secrets, *_proxy_secrets(proxy))

    def _who(self, with_port: bool = False) -> str:
        host = shorten(authority(self._request.url, with_port=with_port), 40)
        if self._proxy:
            host += f" through the proxy {shorten(authority(self._proxy, with_port=True), 40)}"
        name = self._request.provider
        return host if self._is_nameless else f"{shorten(name, 24)} ({host})"

    @property
    def _is_nameless(self) -> bool:
        """Whether it is a server that has no name but its host's."""
        return authority(self._request.url, with_port=True).startswith(self._request.provider)

    def _error(
        self, kind: type[ProviderError], what: str, advice: str = "", *, with_port: bool = False, **facts: Any
    ) -> ProviderError:
        return kind(redact(what, self._secrets), provider=self._who(with_port), advice=advice, **facts)

    def status(self, status: int, body: bytes, headers: Mapping[str, str]) -> tuple[ProviderError, str]:
        """The error for an answer with this status, and what to tell the user while it is tried again, if it is."""
        if 300 <= status < 400:
            return self._redirect(status, headers.get("location", "")), ""
        words = read_body(body)
        said = redact(words.message, self._secrets)[:LONGEST_WORDS]
        kind = kind_of(status, words)
        wait = seconds_to_wait(headers.get("retry-after"))
        advice = self._advice(kind, status, words, wait)
        what = f"answered {status}: {said or _phrase(status)}"
        error = self._error(kind, what, advice, status=status, retry_after=wait, said=said)
        return error, retry_reason(error, words)

    def _redirect(self, status: int, location: str) -> ProviderError:
        what = f"answered {status}: {_phrase(status)}"
        if location and status != 304:
            target = shorten(redact(authority(location), self._secrets), 60) or "another page"
            what = f"answered {status}: a redirect to {target}, which is not followed"
        return self._error(ProviderError, what, "Check the base URL.", status=status)

    def circle(self, status: int) -> ProviderError:
        """The error for redirects that have been followed, and go on."""
        what = f"answered {status}: one redirect after the other"
        return self._error(ProviderError, what, "Check the base URL.", status=status)

    def proxy_status(self, status: int) -> tuple[ProviderError, str]:
        """The same, for a proxy that answered this instead of making a connection."""
        what = f"could not be reached: the proxy answered {status} ({_phrase(status)})"
        advice = _ADVICE[407] if status == 407 else "Check the proxy."
        return self.connection(what, advice, status=status), RETRIED.get(status, "")

    def event(self, payload: Any) -> ProviderError:
        """The error that a server reported inside a body."""
        words = read_words(payload)
        said = redact(words.message, self._secrets)[:LONGEST_WORDS]
        code = f" ({words.code or words.type})" if words.code or words.type else ""
        kind = kind_of(words.status, words)
        advice = self._advice(kind, words.status, words, None)
        return self._error(
            kind, f"reported an error{code}: {said or 'it does not say which'}", advice, status=words.status, said=said
        )

    def _advice(self, kind: type[ProviderError], status: int | None, words: Words, wait: float | None) -> str:
        key = shorten(self._request.key_variable, 40)
        if kind is AuthenticationError:
            return f"Set {key} to a key that may do this." if key else "If it takes keys, give one that may do this."
        if status == 403 and words.type == _PAGE:
            return "Something in front of the service refused this: check the network, the proxy or the VPN."
        if kind is RateLimitError and {words.code, words.type} & _USED_UP:
            return "Check the plan and the billing of the account."
        if wait:
            return f"Come back {in_words(wait)}."
        if kind is ModelNotFoundError:
            return "Choose another model." if self._is_nameless else "Choose another model: `%chat models` lists some."
        if kind is ContextLengthError:
            return _LESS
        return _ADVICE.get(status or 0, "Try again later." if kind is RateLimitError or status in RETRIED else "")

    def wrong_body(self, problem: WrongBody, begun: bool) -> ProviderError:
        """A body that is no reply in the provider's format; `begun` if it began like one."""
        said = shorten(redact(problem.excerpt, self._secrets), 200)
        what = f"{problem.reason}: {said!r}" if said else problem.reason
        return self._error(ProviderError, what, "" if begun else "Check the base URL.", said=said)

    def cut_off(self, what: str) -> ProviderError:
        """A reply that ended in the middle."""
        return self._error(ReplyCutOff, what, "What came is kept; run it again for a whole reply.")

    def unreadable(self, what: str) -> ProviderError:
        """A body whose encoding cannot be undone."""
        return self._error(ProviderError, what)

    def silence(self) -> ProviderError:
        """Nothing came for as long as the request allows."""
        limit = self._request.timeout
        advice = "Give it longer with `--timeout SECONDS` (`timeout=` in Python)."
        return self._error(ConnectionFailed, f"sent nothing for {limit:g} s", advice, with_port=True)

    def refused_connection(self) -> ProviderError:
        """Nobody listens there."""
        local = is_local(self._request.url)
        return self.connection("refused the connection", "Is the server running?" if local else "Check the base URL.")

    def unknown_host(self) -> ProviderError:
        """Nobody has that name; behind a proxy, it is the proxy's that is looked up."""
        if self._proxy and not self._proxy.startswith(SOCKS):
            return self.connection("could not be reached: no such proxy is known", "Check the proxy and the network.")
        return self.connection("could not be found: no such host is known", "Check the network and the base URL.")

    def connection(self, what: str, advice: str, **facts: Any) -> ProviderError:
        """There is no connection, or it broke before anything came."""
        return self._error(ConnectionFailed, what, advice, with_port=True, **facts)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "without a word"


def _proxy_secrets(proxy: str | None) -> tuple[str, ...]:
    login = urlsplit(proxy or "").netloc.rpartition("@")[0]
    if not login:
        return ()
    password = login.partition(":")[2]
    return password, unquote(password), base64.b64encode(unquote(login).encode()).decode()
