"""Chat completions as servers of all kinds send them, cut at every byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cutting import assert_decodes, decode
from nbchat.messages import Finish, Reasoning, Usage
from nbchat.providers.completions import ChatCompletions

DONE = b"data: [DONE]\n\n"
CUT = ("cut", "ended before the reply was complete")
NO_COMPLETION = "answered with something that is no chat completion"
STOP = Finish("stop")


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def choice(**fields: Any) -> bytes:
    return event({"choices": [{"index": 0, **fields}]})


def delta(content: Any, **fields: Any) -> bytes:
    return choice(delta={"content": content}, **fields)


def end(reason: str = "stop") -> bytes:
    return choice(delta={}, finish_reason=reason)


def good_streams() -> Iterator[tuple[str, bytes, list[Any]]]:
    yield "plain", delta("Hi") + delta(" there") + end() + DONE, ["Hi there", STOP]
    yield "role first", choice(delta={"role": "assistant", "content": ""}) + delta("a") + end(), ["a", STOP]
    yield "no [DONE]", delta("a") + end(), ["a", STOP]
    yield "no finish_reason", delta("a") + DONE, ["a"]
    yield "nothing after [DONE] counts", delta("a") + end() + DONE + delta("b") + b"<junk>", ["a", STOP]
    yield "no blank line at the end", delta("a") + end() + b"data: [DONE]", ["a", STOP]
    yield "no line end at the end", delta("a") + end().rstrip(), ["a", STOP]
    yield "no blank lines at all", (delta("a") + delta("b") + end() + DONE).replace(b"\n\n", b"\n"), ["ab", STOP]
    yield "crlf", (delta("a") + end() + DONE).replace(b"\n", b"\r\n"), ["a", STOP]
    yield "cr", (delta("a") + end() + DONE).replace(b"\n", b"\r"), ["a", STOP]
    yield "no space", (delta("a") + end() + DONE).replace(b"data: ", b"data:"), ["a", STOP]
    yield "bom", b"\xef\xbb\xbf" + delta("a") + end(), ["a", STOP]
    yield "comments", b": queued\n\n" + delta("a") + b":\n: ping 12\n" + end(), ["a", STOP]
    yield "other fields", b"id: 1\nretry: 5\nevent: message\n" + delta("a") + end(), ["a", STOP]
    yield (
        "pings",
        b'event: ping\ndata: {"type": "ping"}\n\nevent: ping\ndata: now\n\n' + delta("a") + end(),
        ["a", STOP],
    )
    yield "two data lines", b'data: {"choices": [{"delta":\ndata: {"content": "a"}}]}\n\n' + end(), ["a", STOP]
    yield "blank events", b"data:\n\n\n\ndata: \n\n" + delta("a") + end(), ["a", STOP]
    yield "unicode", event({"choices": [{"delta": {"content": "Привет 😀"}}]}) + DONE, ["Привет 😀"]
    yield "utf-8", 'data: {"choices":[{"delta":{"content":"日本\u2028\x85"}}]}\n\n'.encode() + DONE, ["日本\u2028\x85"]
    yield "invalid utf-8", b'data: {"choices":[{"delta":{"content":"a\xff"}}]}\n\n' + DONE, ["a\ufffd"]
    yield "a split pair", delta("\ud83d") + delta("\ude00") + end(), ["😀", STOP]
    yield "a lone half", delta("a\ud83d") + delta("b") + end(), ["a\ufffdb", STOP]
    yield "a last half", delta("a\ud83d") + end(), ["a\ufffd", STOP]
    yield "null content", delta(None) + delta("a") + delta("") + choice(delta={}) + end(), ["a", STOP]
    yield (
        "parts",
        delta([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, "c", 1, {}]) + end(),
        ["abc", STOP],
    )
    yield "a message", choice(message={"role": "assistant", "content": "a"}, finish_reason="stop"), ["a", STOP]
    yield "a repeated message", choice(delta={"content": "a"}, message={"content": "a"}) + end(), ["a", STOP]
    yield "a message after all", choice(delta={}, message={"content": "a"}) + DONE, ["a"]
    yield "a message beside null", choice(delta=None, message={"content": "a"}, finish_reason="stop"), ["a", STOP]
    yield "a message early", choice(delta={}, message={"content": "a"}) + end() + DONE, ["a", STOP]
    yield (
        "messages that grow",
        choice(delta={}, message={"content": "a"}) + choice(message={"content": "b"}),
        ["b", CUT],
    )
    yield "refused", choice(delta={"refusal": "I "}) + choice(delta={"refusal": "won't."}) + end(), ["I won't.", STOP]
    yield "refused in parts", delta([{"type": "refusal", "refusal": "No."}]) + end(), ["No.", STOP]
    yield "refused whole", choice(message={"content": None, "refusal": "No."}, finish_reason="stop"), ["No.", STOP]
    yield "empty choices", event({"choices": []}) + delta("a") + event({"id": 1}) + end(), ["a", STOP]
    yield "null choices", event({"choices": None}) + event(None) + delta("a") + end(), ["a", STOP]
    yield "no index", event({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}), ["a", STOP]
    yield (
        "several choices",
        event({"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "a"}}]})
        + event({"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]})
        + end(),
        ["a", STOP],
    )
    yield "text after the finish", delta("a") + end() + delta("b") + choice(message={"content": "c"}), ["a", STOP]
    yield "length", delta("a") + end("length") + DONE, ["a", Finish("length")]
    yield "filtered", delta("a") + end("content_filter"), ["a", Finish("content_filter")]
    yield "only a finish", end("tool_calls") + DONE, [Finish("tool_calls")]
    yield "finish in each", delta("a", finish_reason="stop") + delta("b", finish_reason="stop"), ["ab", STOP]
    yield "blank finish", delta("a", finish_reason="") + delta("b", finish_reason=None) + DONE, ["ab"]
    yield "odd fields", choice(delta="x") + choice(delta=None) + choice(delta={"content": {"a": 1}}) + DONE, []


def good_others() -> Iterator[tuple[str, bytes, list[Any]]]:
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    yield "usage after", delta("a") + end() + event({"choices": [], "usage": usage}) + DONE, ["a", Usage(3, 5), STOP]
    yield (
        "usage in each",
        event({"choices": [], "usage": {"prompt_tokens": 1}})
        + delta("a")
        + event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}),
        ["a", Usage(3, 5), STOP],
    )
    yield (
        "odd usage",
        delta("a")
        + event({"usage": {"x": 1}})
        + event({"usage": "7"})
        + event({"usage": {"prompt_tokens": "7", "completion_tokens": 2}})
        + end(),
        ["a", Usage(None, 2), STOP],
    )
    yield "half a usage", delta("a") + end() + b'data: {"usa', ["a", STOP]
    yield (
        "reasoning_content",
        choice(delta={"reasoning_content": "h"})
        + choice(delta={"reasoning_content": "m", "content": None})
        + delta("a")
        + end(),
        [Reasoning("hm"), "a", STOP],
    )
    yield (
        "reasoning",
        choice(delta={"reasoning": "hm", "content": ""}) + delta("a") + end(),
        [Reasoning("hm"), "a", STOP],
    )
    yield (
        "both at once",
        choice(delta={"reasoning_content": "hm", "reasoning": "hm", "content": "a"}) + end(),
        [Reasoning("hm"), "a", STOP],
    )
    yield (
        "split reasoning",
        choice(delta={"reasoning": "\ud83d"}) + choice(delta={"reasoning": "\ude00\ud83d"}) + delta("a") + end(),
        [Reasoning("😀\ufffd"), "a", STOP],
    )
    yield (
        "thinking parts",
        delta([{"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"text": "m"}, 1]}])
        + delta([{"type": "thinking", "thinking": "!"}, {"type": "text", "text": "a"}])
        + end(),
        [Reasoning("hm!"), "a", STOP],
    )
    yield "think", delta("<thi") + delta("nk>hm</th") + delta("ink>\n\na") + end(), [Reasoning("hm"), "a", STOP]
    completion = {"choices": [{"index": 0, "message": {"content": "a 😀\n"}, "finish_reason": "stop"}], "usage": usage}
    yield "whole json", json.dumps(completion).encode(), ["a 😀\n", Usage(3, 5), STOP]
    yield "printed json", json.dumps(completion, indent=1).encode() + b"\n", ["a 😀\n", Usage(3, 5), STOP]
    yield "late json", b"\n\r\n \n" + json.dumps({"choices": [{"message": {"content": "a"}}]}).encode(), ["a"]


def bad_bodies() -> Iterator[tuple[str, bytes, list[Any]]]:
    yield "empty", b"", [("wrong", "sent an empty reply", "")]
    yield "blank", b"\r\n\n  ", [("wrong", "sent an empty reply", "")]
    yield "a page", b"\n<!doctype html><title>Sign\nin</title>", [("wrong", "answered with an HTML page", "Sign in")]
    yield "text", b"upstream timed out", [("wrong", NO_COMPLETION, "upstream timed out")]
    yield "only [DONE]", DONE, [("wrong", NO_COMPLETION, "data: [DONE]")]
    yield "no choices", event({"choices": []}) + DONE, [("wrong", NO_COMPLETION, 'data: {"choices": []}')]
    yield "other json", b'{"models": []}', [("wrong", NO_COMPLETION, '{"models": []}')]
    yield "an array", b"[1, 2]", [("wrong", "sent JSON that is no chat completion", "[1, 2]")]
    yield "many jsons", b'{"a":1,"b":2}\n{"c":1}\n', [("wrong", "answered with broken JSON", '{"a":1,"b":2}\n{"c":1}')]
    yield "half a json", b'{"choices": [{"message": {"content": "a', [("cut", "ended in the middle of a JSON value")]
    yield (
        "an odd event",
        delta("a") + b"data: oops\n\n" + end(),
        ["a", ("wrong", "sent an event that is not JSON", "oops")],
    )
    yield "a text", delta("a") + b'data: "x"\n\n', ["a", ("wrong", "sent JSON that is no chat completion", '"x"')]
    yield "cut", delta("a"), ["a", CUT]
    yield "cut after a comment", b": queued\n\n", [CUT]
    yield "cut at once", b"dat", [CUT]
    yield "cut in an event", delta("a") + b'data: {"choices": [{"del', ["a", ("cut", "ended in the middle of an event")]
    yield "cut in [DONE]", delta("a") + b"data: [DO", ["a", ("cut", "ended in the middle of an event")]
    yield "cut in thought", delta("<think>hm"), [Reasoning("hm"), CUT]
    yield "cut in a pair", delta("a\ud83d"), ["a\ufffd", CUT]
    no = {"message": "no", "type": None, "code": 400}
    yield "error", delta("a") + event({"error": no}) + delta("b"), ["a", ("error", no)]
    yield "error beside", event({"error": no, "choices": [{"index": 0, "delta": {"content": "a"}}]}), [("error", no)]
    yield "error in a choice", choice(delta={"content": "a"}, error=no, finish_reason="error"), ["a", ("error", no)]
    yield "only a finish of error", delta("a") + end("error") + DONE, ["a", ("error", {})]
    yield "error text", delta("a") + event({"error": "no"}), ["a", ("error", "no")]
    yield "error event", b"event: error\ndata: no\ndata: more\n\n", [("error", "no\nmore")]
    yield "error event json", b'event: error\ndata: {"code": 7}\n\n', [("error", {"code": 7})]
    yield "error field", b'error: {"code": 500, "message": "no"}\n\n', [("error", {"code": 500, "message": "no"})]
    yield "error object", event({"object": "error", "message": "no"}), [("error", {"object": "error", "message": "no"})]
    yield "error cannot be encoded", event({"error": {"message": "\ud83d"}}), [("error", {"message": "\ufffd"})]
    yield "no error", event({"error": None, "choices": [{"delta": {"content": "a"}}]}) + DONE, ["a"]
    yield "json error", b'{"error": {"message": "no"}}', [("error", {"message": "no"})]
    yield "json error in a list", b'[{"error": {"message": "no"}}]', [("error", {"message": "no"})]
    yield "json detail", b'{"detail": "no"}', [("error", {"detail": "no"})]
    yield "json message", b'{"message": "no"}', [("error", {"message": "no"})]


def cases(*generators: Any) -> list[Any]:
    return [pytest.param(body, expected, id=name) for new in generators for name, body, expected in new()]


@pytest.mark.parametrize(("body", "expected"), cases(good_streams, good_others, bad_bodies))
def test_a_body_is_read_the_same_at_every_cut(body: bytes, expected: list[Any]) -> None:
    assert_decodes(ChatCompletions, body, expected)


def test_every_cut_stream_is_known_as_cut() -> None:
    """However early the body ends: what came is kept, and it never passes for the whole."""
    body = delta("Hel") + delta("lo") + end()
    for size in range(1, len(body)):
        *kept, last = decode(ChatCompletions(), [body[:size]])
        if last != STOP:  # all but the last bytes are needed to know that it has ended
            assert last[0] == "cut", body[:size]
            assert "Hello".startswith("".join(kept))
    assert decode(ChatCompletions(), [body[: -len(b"}]}\n\n") - 1]])[-1][0] == "cut"


def test_every_cut_json_is_known_as_cut() -> None:
    body = json.dumps(
        {"choices": [{"message": {"content": "é\n😀"}, "finish_reason": "stop"}], "x": [1.5, True]}
    ).encode()
    for size in range(1, len(body)):
        assert decode(ChatCompletions(), [body[:size]]) == [("cut", "ended in the middle of a JSON value")], body[:size]


def test_text_comes_out_as_soon_as_its_event_is_whole() -> None:
    decoder, body = ChatCompletions(), delta("Hi")
    assert list(decoder.decode(body[:-1])) == []
    assert list(decoder.decode(body[-1:])) == ["Hi"]
    assert decoder.signs == 2
    assert not decoder.done
    assert list(decoder.decode(DONE)) == []
    assert decoder.done


@pytest.mark.parametrize("before", [delta("a"), delta("a")[:-1]], ids=["a blank line", "none"])
def test_done_counts_as_soon_as_its_line_is_whole(before: bytes) -> None:
    decoder = ChatCompletions()
    chunks = list(decoder.decode(before + b"data: [DONE]"))
    assert not decoder.done
    chunks += decoder.decode(b"\n")
    assert chunks == ["a"]
    assert decoder.done


@pytest.mark.parametrize("piece", [1 << 20, 100])
def test_an_event_of_ten_megabytes(piece: int) -> None:
    body = delta("x" * 10_000_000) + end()
    assert decode(ChatCompletions(), [body[at : at + piece] for at in range(0, len(body), piece)]) == [
        "x" * 10_000_000,
        STOP,
    ]


def test_very_many_small_deltas() -> None:
    assert decode(ChatCompletions(), [delta("ab") * 50_000 + delta("\n") * 50_000 + end()]) == [
        "ab" * 50_000 + "\n" * 50_000,
        STOP,
    ]


def test_json_that_is_nested_too_deep_to_be_read_is_broken() -> None:
    assert decode(ChatCompletions(), [b"[" * 200_000]) == [("wrong", "answered with broken JSON", "[" * 2000)]
