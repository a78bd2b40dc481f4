"""The steps from bytes to chunks, each fed with its input cut at every place."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import pytest

from cutting import assert_decodes, cuts, decode
from nbchat.messages import Chunk, Reasoning
from nbchat.providers.streams import (
    LONGEST_LINE,
    Event,
    Events,
    LineDecoder,
    Lines,
    Page,
    Surrogates,
    Text,
    Thinking,
    WrongBody,
    read_json,
)

PAGE = "answered with an HTML page"


def text_of(pieces: list[bytes]) -> str:
    text = Text()
    return "".join(text.decode(piece) for piece in pieces) + text.flush()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("naïve Привет 日本 😀 e\u0301".encode(), "naïve Привет 日本 😀 e\u0301"),
        (b"\xef\xbb\xbfafter a mark", "after a mark"),
        ("inside \ufeff stays".encode(), "inside \ufeff stays"),
        (b"\xef\xbb\xbf\xef\xbb\xbftwo marks", "\ufefftwo marks"),
        (b"bad \xff\xfe bytes", "bad \ufffd\ufffd bytes"),
        (b"half \xe2\x82", "half \ufffd"),
        (b"\xef\xbb", "\ufffd"),
        (b"half \xf0\x9f\x98 then text", "half \ufffd then text"),
        (b"encoded surrogate \xed\xa0\xbd", "encoded surrogate \ufffd\ufffd\ufffd"),
        (b"", ""),
    ],
)
def test_text_is_the_same_at_every_cut(body: bytes, expected: str) -> None:
    for pieces in cuts(body):
        assert text_of(pieces) == expected, pieces


def lines_of(pieces: list[str]) -> tuple[list[str], str, int]:
    lines = Lines()
    whole = [line for piece in pieces for line in lines.decode(piece)]
    return whole, lines.flush(), lines.count


@pytest.mark.parametrize(
    ("text", "whole", "half"),
    [
        ("a\nb\n", ["a", "b"], ""),
        ("a\r\nb\r\n", ["a", "b"], ""),
        ("a\rb\r", ["a", "b"], ""),
        ("a\r\rb\n\nc", ["a", "", "b", ""], "c"),
        ("a\n\r\nb", ["a", ""], "b"),
        ("a\r\n\rb", ["a", ""], "b"),
        ("\n", [""], ""),
        ("\r\n", [""], ""),
        ("no end", [], "no end"),
        ("", [], ""),
        (
            "kept\u2028in\u2029one\x85line\x0b\x0c\x1c\x1d\x1e\n",
            ["kept\u2028in\u2029one\x85line\x0b\x0c\x1c\x1d\x1e"],
            "",
        ),
    ],
)
def test_lines_end_at_lf_cr_and_crlf_only(text: str, whole: list[str], half: str) -> None:
    for pieces in cuts(text.encode("utf-32-le")):  # cut between characters: whole ones of four bytes
        if all(len(piece) % 4 == 0 for piece in pieces):
            assert lines_of([piece.decode("utf-32-le") for piece in pieces]) == (whole, half, len(whole))


def test_a_cr_ends_its_line_at_once() -> None:
    lines = Lines()
    assert list(lines.decode("data\r")) == ["data"]
    assert list(lines.decode("\n")) == []
    assert list(lines.decode("\n")) == [""]


@pytest.mark.parametrize(("size", "piece"), [(10_000_000, 10_000_000), (10_000_000, 1000), (1_000_000, 1)])
def test_a_long_line_costs_no_more_than_its_length(size: int, piece: int) -> None:
    lines = Lines()
    for _ in range(size // piece):
        assert not list(lines.decode("x" * piece))
    [line] = lines.decode("\n")
    assert line == "x" * size


def test_a_line_without_end_is_given_up() -> None:
    lines, piece = Lines(), "x" * (LONGEST_LINE // 10)
    for _ in range(10):
        list(lines.decode(piece))
    with pytest.raises(WrongBody) as caught:
        list(lines.decode("x"))
    assert caught.value.reason == "sent a line without end"
    assert caught.value.excerpt.startswith("xxx")
    assert len(caught.value.excerpt) <= 2000


def events_of(text: str) -> list[Event]:
    events, lines = Events(), Lines()
    found = [events.decode(line) for line in [*lines.decode(text), lines.flush()]]
    return [event for event in [*found, events.flush()] if event]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("data: a\n\ndata: b\n\n", [Event("", "a"), Event("", "b")]),
        ("data:a\n\n", [Event("", "a")]),
        ("data:  two spaces\n\n", [Event("", " two spaces")]),
        ("data: a\ndata: b\n\n", [Event("", "a\nb")]),
        ("data\ndata\n\n", [Event("", "\n")]),
        ("data: no blank line at the end", [Event("", "no blank line at the end")]),
        (": ping 12:00\n\n:\n\ndata: a\n: between\ndata: b\n\n", [Event("", "a\nb")]),
        ("event: error\ndata: x\n\ndata: y\n\n", [Event("error", "x"), Event("", "y")]),
        ("event: ping\n\ndata: y\n\n", [Event("", "y")]),
        ("id: 7\nretry: 100\nunknown: x\ndata: a:b\n\n", [Event("", "a:b")]),
        ('error: {"code": 500}\n\n', [Event("error", '{"code": 500}')]),
        ("data: a\r\n\r\ndata: b\r\rdata: c\n\n", [Event("", "a"), Event("", "b"), Event("", "c")]),
        ("data: one\u2028event\x85still\n\n", [Event("", "one\u2028event\x85still")]),
        ("\n\n\n", []),
        ("", []),
    ],
)
def test_events(text: str, events: list[Event]) -> None:
    assert events_of(text) == events


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["\ud83d", "\ude00"], "😀"),
        (["a\ud83d", "\ude00b"], "a😀b"),
        (["\ud83d", "x"], "\ufffdx"),
        (["\ud83d", "\ud83d", "\ude00"], "\ufffd😀"),
        (["\ude00x"], "\ufffdx"),
        (["x\ud83d"], "x\ufffd"),
        (["\ud83d", "", "\ude00"], "😀"),
        (["\ud83d\ude00 whole"], "😀 whole"),
        (["plain"], "plain"),
    ],
)
def test_surrogates_are_joined_or_replaced(pieces: list[str], expected: str) -> None:
    surrogates = Surrogates()
    text = "".join(surrogates.decode(piece) for piece in pieces) + surrogates.flush()
    assert text == expected
    assert text.encode()


class JustThinking(LineDecoder):
    """`Thinking` behind the interface that `decode` drives; line ends count as text."""

    def __init__(self) -> None:
        super().__init__()
        self._thinking = Thinking()

    def decode(self, data: bytes) -> Iterator[Chunk]:
        return self._thinking.decode(data.decode("latin-1"))

    def flush(self) -> Iterator[Chunk]:
        return self._thinking.flush()

    def _line(self, line: str) -> Iterator[Chunk]:
        raise AssertionError("there are no lines here")

    def _end(self) -> Iterator[Chunk]:
        raise AssertionError("and no end of them")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>hm</think>yes", [Reasoning("hm"), "yes"]),
        ("\n <think>\nhm\n</think>\n\nyes ", [Reasoning("\nhm\n"), "yes "]),
        ("<think></think>yes", ["yes"]),
        ("<think>a</thin k></think>b", [Reasoning("a</thin k>"), "b"]),
        ("<think>a</</think>b", [Reasoning("a</"), "b"]),
        ("<think>never ends </thi", [Reasoning("never ends </thi")]),
        ("<think>no text</think>\n", [Reasoning("no text")]),
        ("  plain text", ["  plain text"]),
        ("<thinking>is another mark", ["<thinking>is another mark"]),
        ("<thi", ["<thi"]),
        ("later <think>stays</think>", ["later <think>stays</think>"]),
        ("<think>a</think>b <think>c</think>", [Reasoning("a"), "b <think>c</think>"]),
        ("\n\n", ["\n\n"]),
        ("", []),
    ],
)
def test_thinking_is_taken_out_of_the_text(text: str, expected: list[Chunk]) -> None:
    assert_decodes(JustThinking, text.encode(), expected)


def test_thinking_waits_no_longer_than_needed() -> None:
    thinking = Thinking()
    assert list(thinking.decode("<thi")) == []
    assert list(thinking.decode("s is text")) == ["<this is text"]
    assert list(thinking.decode("<")) == ["<"]


def test_endless_blanks_are_not_held_back() -> None:
    thinking = Thinking()
    assert "".join(str(chunk) for _ in range(300) for chunk in thinking.decode("\n")) == "\n" * 300


def read_page(pieces: Iterable[str]) -> None:
    page = Page()
    for piece in pieces:
        page.decode(piece)
    page.flush()


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<html><head><title>502 Bad Gateway</title></head></html>", "502 Bad Gateway"),
        ('<TITLE lang="en">\n  A &amp;\n B </TITLE>', "A & B"),
        ("<html><body>nothing</body></html>", ""),
    ],
)
def test_a_page_is_told_by_its_title(page: str, title: str) -> None:
    assert Page.title(page) == title
    with pytest.raises(WrongBody) as caught:
        read_page(page)
    assert (caught.value.reason, caught.value.excerpt) == (PAGE, title)


def test_an_endless_page_is_read_only_so_far() -> None:
    with pytest.raises(WrongBody):
        read_page(itertools.repeat("<p>more and more</p>"))


class Shouting(LineDecoder):
    """Gives each line in capitals; `STOP` ends it."""

    def _line(self, line: str) -> Iterator[Chunk]:
        self.done = line == "STOP"
        if line and not self.done:
            yield line.upper()

    def _end(self) -> Iterator[Chunk]:
        yield "!"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"a\nb\n", ["AB!"]),
        (b"a\r\nb", ["AB!"]),
        (b"a\nSTOP\nnever\nread", ["A!"]),
        (b"a\nSTOP", ["A!"]),
        (b"", ["!"]),
        (b"\n\n <html>\n<title>No\nlines</title>\n", [("wrong", PAGE, "No lines")]),
        (b"<p>no title", [("wrong", PAGE, "")]),
        (b"a\n<html>", ["A<HTML>!"]),
    ],
)
def test_a_line_decoder(body: bytes, expected: list[Chunk]) -> None:
    assert_decodes(Shouting, body, expected)


def test_whole_lines_are_signs_of_life_and_half_ones_are_not() -> None:
    decoder = Shouting()
    for data, signs in [(b"half", 0), (b" more", 0), (b"\n", 1), (b"\n", 2), (b": a\n: b\r\n", 4)]:
        list(decoder.decode(data))
        assert decoder.signs == signs


def test_what_stands_before_an_error_comes_out_first() -> None:
    class Failing(Shouting):
        def _line(self, line: str) -> Iterator[Chunk]:
            if line == "x":
                raise WrongBody("sent an x", line)
            yield line

    assert decode(Failing(), [b"a\nb\nx\nc\n"]) == ["ab", ("wrong", "sent an x", "x")]


def test_an_excerpt_can_be_encoded_and_is_as_it_was_sent() -> None:
    """It is cut to what is shown when it holds no secret any more."""
    assert WrongBody("is wrong", "a\n\n b \ud83d" + "x" * 5000).excerpt == "a\n\n b \ufffd" + "x" * 1993


@pytest.mark.parametrize("text", ["", "{", "nope", "[" * 200_000, '{"a":' * 200_000, "1" * 5000])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_json(text)
