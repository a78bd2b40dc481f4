"""Replies that are plain text, and what is none though it looks like it."""

from __future__ import annotations

import pytest

from cutting import assert_decodes
from nbchat.messages import Chunk
from nbchat.providers.plaintext import RawText

PAGE = "answered with an HTML page"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Just text.\r\nПривет\n\n".encode(), ["Just text.\r\nПривет\n\n"]),
        (b"  indented", ["  indented"]),
        (b"<b>markup</b> is text", ["<b>markup</b> is text"]),
        (b"<", ["<"]),
        (b"< html", ["< html"]),
        (b"\xef\xbb\xbftext", ["text"]),
        (b"half \xd0", ["half \ufffd"]),
        (b"", [("wrong", "sent an empty reply", "")]),
        (b" \n ", [("wrong", "sent an empty reply", "")]),
        (b"\n<!DOCTYPE html>\n<title>Parked</title>", [("wrong", PAGE, "Parked")]),
        (b"<HTML><TITLE>Off</TITLE>", [("wrong", PAGE, "Off")]),
        (b"<html>", [("wrong", PAGE, "")]),
    ],
)
def test_raw_text(body: bytes, expected: list[Chunk]) -> None:
    assert_decodes(RawText, body, expected)


def test_raw_text_is_not_held_back_and_each_character_is_a_sign() -> None:
    decoder = RawText()
    assert list(decoder.decode(b"Hi")) == ["Hi"]
    assert decoder.signs == 2
    assert list(decoder.decode("é".encode()[:1])) == []
    assert decoder.signs == 2
    assert list(decoder.decode("é".encode()[1:])) == ["é"]
    assert decoder.signs == 3
    assert not decoder.done


def labelled(media_type: str) -> RawText:
    decoder = RawText()
    decoder.media_type = media_type
    return decoder


@pytest.mark.parametrize(
    ("media_type", "body", "expected"),
    [
        ("text/html", b"\n<!-- cf --><html><title>Off</title>", [("wrong", PAGE, "Off")]),
        ("text/html", b'<?xml version="1.0"?><!DOCTYPE html><title>Off</title>', [("wrong", PAGE, "Off")]),
        ("text/html", b"<head><title>502</title>", [("wrong", PAGE, "502")]),
        ("text/html", b"What some servers call every text. <b>", ["What some servers call every text. <b>"]),
        (
            "text/plain",
            b"<!DOCTYPE html>\n<title>You asked for it</title>",
            ["<!DOCTYPE html>\n<title>You asked for it</title>"],
        ),
        ("text/plain", b'{"error": "as you asked"}', ['{"error": "as you asked"}']),
        ("text/plain", b"", [("wrong", "sent an empty reply", "")]),
        ("application/json", b' {"error": "no"}', [("error", "no")]),
        ("application/json", b'{"code": 401, "message": "no"}', [("error", {"code": 401, "message": "no"})]),
        ("application/json", b'{"answer": 42}', ['{"answer": 42}']),
        ("application/json", b'{"error": "no"', ['{"error": "no"']),
        ("application/json", b"Just text", ["Just text"]),
        ("application/json", b"<html><title>Off</title>", [("wrong", PAGE, "Off")]),
    ],
)
def test_the_label_says_what_is_no_reply(media_type: str, body: bytes, expected: list[Chunk]) -> None:
    assert_decodes(lambda: labelled(media_type), body, expected)
