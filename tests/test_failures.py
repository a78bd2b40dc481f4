"""Whatever servers say of an error becomes the right class, in few words, without a secret."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from nbchat.errors import (
    AuthenticationError,
    ConnectionFailed,
    ContextLengthError,
    ModelNotFoundError,
    ProviderError,
    RateLimitError,
    ReplyCutOff,
)
from nbchat.providers.base import Request
from nbchat.providers.failures import (
    HIDDEN,
    LONGEST_WORDS,
    RETRIED,
    RULES,
    Failures,
    Words,
    in_words,
    kind_of,
    read_body,
    read_words,
    redact,
    seconds_to_wait,
)
from nbchat.providers.streams import WrongBody

KEY = "correct-horse-battery"
YEAR = 365 * 24 * 3600.0
REQUEST = Request(
    provider="acme",
    url="https://api.acme.example/v1/chat",
    headers={},
    body=b"",
    secrets=(KEY,),
    key_variable="ACME_API_KEY",
    model="big-1",
)


def answered(status: int, payload: Any, **headers: str) -> ProviderError:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Failures(REQUEST).status(status, body, headers)[0]


# Redaction


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abc_DEF-123456",
        "key sk-abcd********wxyz is wrong",
        "gsk_0123456789abcdef",
        "xai-0123456789abcdef",
        "hf_0123456789abcdef",
        "AIzaSyA0123456789abcdefghijklmnop",
        "{'authorization': 'Bearer 0123456789abcdef'}",
        "BEARER abcdefghijk1",
        "Basic YWxhZGRpbjpvcGVu",
        "key sk-...abcd is wrong",
        "key sk-abcdefghijklmnopqrstuvwxyz",
        "Proxy-Authorization: Basic dXNlcjpwYXNz0123456789abcdef",
        "at https://user:0123456789abcdef@host/path",
        "at postgres://0123456789abcdef@host/path",
    ],
)
def test_what_looks_like_a_key_is_hidden(text: str) -> None:
    hidden = redact(text)
    assert HIDDEN in hidden
    assert not any(part in hidden for part in ("0123456789", "abcd", "abc_DEF", "abcdefghijk", "SyA0", "YWxh"))


@pytest.mark.parametrize(
    "text",
    [
        "You need Bearer authentication, with a Bearer token.",
        "Basic scheme is not supported",
        "see https://docs.example/keys@2",
        "the task-force asked for a desk-1234",
        "mail me@example.org",
        "risk-averse",
        "No module named 'sk-learn'; install hf_transfer, set pk-values",
        "Basic information about the Bearer of this",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert redact(text) == text


def test_known_secrets_are_hidden_in_every_form() -> None:
    secret = "p@ss/word+with spaces"
    text = f"a {secret} b p%40ss%2Fword%2Bwith%20spaces c"
    assert redact(text, [secret]) == f"a {HIDDEN} b {HIDDEN} c"


@pytest.mark.parametrize(
    "shown", ["abc/def-ghi", "ABC/DEF-GHI", r"abc\/def-ghi", "abc/def\n  -ghi", "abc%2fdef-ghi", r"abc\\/def-ghi"]
)
def test_a_secret_is_known_however_a_server_writes_it(shown: str) -> None:
    assert redact(f"key {shown} is bad", ["abc/def-ghi"]) == f"key {HIDDEN} is bad"


def test_a_secret_that_a_cut_has_left_in_part_is_hidden() -> None:
    for size in range(6, len(KEY) + 1):
        assert redact(f"bad key {KEY[:size]}", [KEY]) == f"bad key {HIDDEN}"
    assert redact("that is correct", [KEY]) == f"that is {HIDDEN}"
    assert redact("what is corr", [KEY]) == "what is corr"


def test_of_two_secrets_one_in_the_other_nothing_is_left() -> None:
    assert redact("abcdefgh", ["abcd", "abcdefgh"]) == HIDDEN


def test_empty_and_tiny_secrets_hide_nothing() -> None:
    assert redact("banana", ["", "a", "na"]) == "banana"


# What servers say


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, Words("m", "c", "t")),
        ({"error": {"message": "m", "type": None, "code": None}}, Words("m")),
        ({"error": {"message": "m", "code": 502}}, Words("m", "502")),
        ({"error": {"message": "m", "type": "None", "param": "None", "code": "400"}}, Words("m", "400")),
        ({"error": "m"}, Words("m")),
        ({"error": "a_code", "message": "m"}, Words("m", "a_code")),
        ({"error": "a_code", "error_description": "m"}, Words("m", "a_code")),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, Words("m", "", "overloaded_error")),
        (
            [{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}],
            Words("m", "400", "INVALID_ARGUMENT"),
        ),
        ({"detail": "m"}, Words("m")),
        (
            {"detail": [{"loc": ["body", "messages"], "msg": "m", "type": "missing"}]},
            Words("m (body.messages)", "", "missing"),
        ),
        ({"detail": {"error": {"message": "m"}}}, Words("m")),
        ({"message": "m"}, Words("m")),
        ({"errors": [{"message": "m", "code": 7003}]}, Words("m", "7003")),
        ({"object": "error", "message": "m", "code": 40303}, Words("m", "40303")),
        ({"error": {}}, Words()),
        ({"error": None, "message": 5}, Words("5")),
        ({}, Words()),
        ([], Words()),
        (None, Words()),
        (7, Words()),
        ("m", Words("m")),
    ],
)
def test_words_are_found_in_every_shape(payload: Any, words: Words) -> None:
    assert read_words(payload) == words
    if payload is not None:
        in_body = read_body(b"\xef\xbb\xbf \n" + json.dumps(payload).encode() + b"\n")
        assert in_body == (words if words.message or payload != 7 else Words("7"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", ""),
        (b"upstream connect error", "upstream connect error"),
        (b'{"success": false, "reason": "nope"}', '{"success": false, "reason": "nope"}'),
        (b'{"error": {"code": "c"}}', '{"error": {"code": "c"}}'),
        (b'{"error": {}}', ""),
        (b"null", ""),
        (b"\xff\xfe bad", "\ufffd\ufffd bad"),
        (b'{"error": {"message": "half of', '{"error": {"message": "half of'),
        (b'"\\ud83d"', "\ufffd"),
        (b"[" * 100_000, "[" * 100_000),
        (b"<!DOCTYPE html><html><head><title>502 Bad\n Gateway</title>", "a web page titled '502 Bad Gateway'"),
        (b"<html><body>nothing</body></html>", "a web page"),
    ],
)
def test_words_of_bodies_that_are_no_json(body: bytes, message: str) -> None:
    assert read_body(body).message.encode().decode() == message


# Which error


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (401, Words("anything"), AuthenticationError),
        (401, Words("the model does not exist", "model_not_found"), AuthenticationError),
        (403, Words("Project has no access to model", "model_not_found"), AuthenticationError),
        (400, Words("API key not valid. Please pass a valid API key."), AuthenticationError),
        (None, Words("no", "invalid_api_key"), AuthenticationError),
        (429, Words("prompt is too long"), RateLimitError),
        (None, Words("Rate limit reached for requests", "rate_limit_exceeded"), RateLimitError),
        (None, Words("Too many requests"), RateLimitError),
        (400, Words("m", "400", "exceed_context_size_error"), ContextLengthError),
        (400, Words("m", "context_length_exceeded"), ContextLengthError),
        (400, Words("This model's maximum context length is 8192 tokens."), ContextLengthError),
        (400, Words("prompt is too long: 210000 tokens > 200000 maximum"), ContextLengthError),
        (500, Words("the request exceeds the available context size"), ContextLengthError),
        (None, Words("input length exceeds the context window"), ContextLengthError),
        (404, Words("m", "model_not_found"), ModelNotFoundError),
        (404, Words('model "llama9" not found, try pulling it first'), ModelNotFoundError),
        (404, Words("The model `x` does not exist."), ModelNotFoundError),
        (404, Words("models/x is not found for API version v1beta"), ModelNotFoundError),
        (404, Words("model: x", "", "not_found_error"), ModelNotFoundError),
        (400, Words("foo/bar is not a valid model ID"), ModelNotFoundError),
        (400, Words("Model Not Exist"), ModelNotFoundError),
        (400, Words("Invalid model: x"), ModelNotFoundError),
        (404, Words("Not Found"), ProviderError),
        (400, Words("Unsupported parameter: 'max_tokens' is not supported with this model."), ProviderError),
        (400, Words("Invalid model parameter: top_k"), ProviderError),
        (502, Words("model not found"), ProviderError),
        (529, Words("Overloaded", "", "overloaded_error"), ProviderError),
        (503, Words("rate limit"), ProviderError),
        (None, Words("it broke"), ProviderError),
        (None, Words(), ProviderError),
    ],
)
def test_status_comes_before_code_and_code_before_words(
    status: int | None, words: Words, kind: type[ProviderError]
) -> None:
    assert kind_of(status, words) is kind


def test_the_order_of_the_rules() -> None:
    """Several can fit one message, such as "the model's context length …": the first one counts."""
    assert [rule.error for rule in RULES] == [
        AuthenticationError,
        RateLimitError,
        ContextLengthError,
        ModelNotFoundError,
    ]


def test_an_error_inside_a_body_may_carry_its_status() -> None:
    failures = Failures(REQUEST)
    limited = failures.event({"message": "slow down", "code": 429})
    assert type(limited) is RateLimitError
    assert limited.status == 429
    assert type(failures.event({"message": "no", "code": "401"})) is AuthenticationError
    assert str(failures.event("it broke")) == "acme (api.acme.example) reported an error: it broke."
    assert "(overloaded_error): Overloaded" in str(
        failures.event({"message": "Overloaded", "type": "overloaded_error"})
    )
    assert "does not say which" in str(failures.event({}))


# When to try again


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_statuses_that_are_tried_again(status: int) -> None:
    error, reason = Failures(REQUEST).status(status, b"", {})
    assert reason == RETRIED[status]
    assert "gain" in error.advice


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 418, 422, 501, 505, 599])
def test_statuses_that_are_not(status: int) -> None:
    assert Failures(REQUEST).status(status, b"", {})[1] == ""


def test_a_quota_that_is_used_up_is_not_tried_again() -> None:
    body = b'{"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}}'
    error, reason = Failures(REQUEST).status(429, body, {})
    assert type(error) is RateLimitError
    assert reason == ""
    assert "billing" in error.advice


def test_too_long_a_prompt_is_not_tried_again_whatever_the_status() -> None:
    error, reason = Failures(REQUEST).status(500, b"the request exceeds the available context size", {})
    assert type(error) is ContextLengthError
    assert reason == ""


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("4", 4.0),
        (" 0.5 ", 0.5),
        ("0", 0.0),
        ("3600", 3600.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-4", None),
        ("nan", None),
        ("1e9", None),
        ("9" * 11, YEAR),
        ("9" * 400, YEAR),
        ("Fri, 31 Dec 9999 23:59:59 GMT", YEAR),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(header) == seconds


def test_retry_after_as_a_date_is_the_time_until_then() -> None:
    wait = seconds_to_wait(formatdate(time.time() + 120, usegmt=True))
    assert wait == pytest.approx(120, abs=30)


def test_when_to_come_back() -> None:
    assert in_words(0.2) == "in 1 s"
    assert in_words(61) == "in 61 s"
    assert in_words(600).startswith("in 10 min, at ")
    assert in_words(7200).startswith("in 2 h, at ")
    assert in_words(172_800).startswith("in 48 h, at ")
    assert in_words(YEAR) == "in 365 days"
    error = answered(429, {"error": "slow down"}, **{"retry-after": "600"})
    assert error.retry_after == 600
    assert "Come back in 10 min, at" in str(error)


# The sentences


def test_the_key_is_named_by_its_variable() -> None:
    assert str(answered(401, {"error": "no"})).endswith("answered 401: no. Set ACME_API_KEY to a key that may do this.")
    nameless = Failures(Request(provider="acme", url="http://a.example", headers={}, body=b""))
    assert str(nameless.status(401, b"", {})[0]).endswith("If it takes keys, give one that may do this.")


def test_a_page_that_forbids_is_a_gateways_and_asks_for_no_key() -> None:
    error = answered(403, b"<!DOCTYPE html><title>Just a moment...</title>")
    assert type(error) is ProviderError
    assert "titled 'Just a moment...'. Something in front of the service" in str(error)


def test_a_server_without_a_name_is_in_no_list_of_models() -> None:
    request = Request(provider="127.0.0.1:8080", url="http://127.0.0.1:8080/v1", headers={}, body=b"")
    error, _ = Failures(request).status(404, b'{"error": "model not found"}', {})
    assert str(error) == "127.0.0.1:8080 answered 404: model not found. Choose another model."
    assert "`%chat models` lists some." in str(answered(404, {"error": "model not found"}))


def test_a_path_that_is_not_there_points_at_the_base_url() -> None:
    assert str(answered(404, {"detail": "Not Found"})) == (
        "acme (api.acme.example) answered 404: Not Found. Check the base URL."
    )


def test_an_answer_without_words_has_those_of_its_status() -> None:
    assert str(answered(503, b"")) == "acme (api.acme.example) answered 503: Service Unavailable. Try again later."
    assert str(answered(599, b"")) == "acme (api.acme.example) answered 599: without a word."


def test_a_redirect_names_the_host_only() -> None:
    error = answered(302, b"", location="https://me:secret@sso.example/login?token=secret")
    assert "a redirect to sso.example, which is not followed" in str(error)
    assert "answered 301: Moved Permanently. Check" in str(answered(301, b""))
    assert "answered 304: Not Modified. Check" in str(answered(304, b"", location="/elsewhere"))
    assert "another page" in str(answered(301, b"", location="/elsewhere"))


def test_a_redirect_to_a_host_that_holds_the_key_does_not_show_it() -> None:
    error = answered(307, b"", location=f"https://{'a' * 50}.{KEY}.example/")
    assert KEY[:8] not in str(error)


def test_an_error_keeps_the_words_of_the_server_without_the_key() -> None:
    error = answered(400, {"error": {"message": f"bad key {KEY} " + "x" * 5000}})
    assert error.status == 400
    assert error.said.startswith(f"bad key {HIDDEN} xxx")
    assert len(error.said) == LONGEST_WORDS
    assert len(str(error)) <= 300


def test_a_key_at_the_place_of_the_cut_is_not_shown_in_part() -> None:
    for before in range(150, 300):
        error = answered(400, "x" * before + KEY)
        assert KEY[:6] not in str(error)
    assert KEY[:6] not in answered(400, "x" * (LONGEST_WORDS - 6) + KEY).said


def test_no_sentence_is_longer_than_300_characters() -> None:
    long = Request(
        provider="p" * 100,
        url=f"https://{'h' * 200}.example/",
        headers={},
        body=b"",
        key_variable="K" * 100,
        timeout=123456.789,
    )
    failures = Failures(long, f"http://me:secret@{'q' * 200}.example:3128")
    errors = [
        *(failures.status(status, b"w" * 5000, {"retry-after": "99999"})[0] for status in range(300, 600)),
        *(failures.status(status, b"w" * 5000, {"location": f"http://{'l' * 900}/"})[0] for status in range(300, 600)),
        *(failures.proxy_status(status)[0] for status in range(400, 600)),
        failures.event({"message": "w" * 5000, "code": "c" * 5000}),
        failures.wrong_body(WrongBody("r" * 500, "w" * 5000), begun=False),
        failures.cut_off("c" * 500),
        failures.unreadable("u" * 500),
        failures.silence(),
        failures.connection("c" * 500, "Try again later."),
        failures.refused_connection(),
        failures.unknown_host(),
    ]
    assert max(len(str(error)) for error in errors) <= 300
    assert all("through the proxy qqq" in str(error) for error in errors)
    assert not any("secret" in str(error) for error in errors)


def test_a_proxy_is_named_without_its_password_whoever_repeats_that() -> None:
    failures = Failures(REQUEST, "http://me:s%40cret-word@proxy.example:3128")
    error = failures.status(502, b"s%40cret-word, s@cret-word or bWU6c0BjcmV0LXdvcmQ= at http://me:s@proxy", {})[0]
    assert str(error) == (
        "acme (api.acme.example through the proxy proxy.example:3128) answered 502: "
        f"{HIDDEN}, {HIDDEN} or {HIDDEN} at http://{HIDDEN}@proxy. Try again later."
    )
    assert "user and password" in str(failures.proxy_status(407)[0])
    assert failures.proxy_status(503)[1] == RETRIED[503]


def test_a_local_server_that_is_not_there_may_not_run() -> None:
    local = Request(provider="ollama", url="http://localhost:11434/v1", headers={}, body=b"")
    assert "Is the server running?" in str(Failures(local).refused_connection())
    assert "Check the base URL." in str(Failures(REQUEST).refused_connection())


def test_the_classes_of_what_has_no_status() -> None:
    failures = Failures(REQUEST)
    assert type(failures.silence()) is ConnectionFailed
    assert "sent nothing for 120 s" in str(failures.silence())
    assert "--timeout" in str(failures.silence())
    assert type(failures.connection("closed", "")) is ConnectionFailed
    assert type(failures.cut_off("ended")) is ReplyCutOff
    assert type(failures.unreadable("sent noise")) is ProviderError
    page = failures.wrong_body(WrongBody("answered with an HTML page", f"Sign in {KEY}"), begun=False)
    assert type(page) is ProviderError
    assert str(page) == (f"acme (api.acme.example) answered with an HTML page: 'Sign in {HIDDEN}'. Check the base URL.")


def test_a_host_that_is_its_own_name_is_said_once() -> None:
    request = Request(provider="127.0.0.1:8080", url="http://127.0.0.1:8080/v1", headers={}, body=b"")
    assert str(Failures(request).connection("broke", "")) == "127.0.0.1:8080 broke."
