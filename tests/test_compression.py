"""Compressed bodies, cut at every byte."""

from __future__ import annotations

import gzip
import zlib

import pytest

from nbchat.providers.compression import Unreadable, decompressor

TEXT = "Grüße, wie geht es?\n".encode() * 20


def deflated(data: bytes, window: int) -> bytes:
    packer = zlib.compressobj(wbits=window)
    return packer.compress(data) + packer.flush()


BODIES = [
    pytest.param("", TEXT, id="none"),
    pytest.param("identity", TEXT, id="identity"),
    pytest.param("gzip", gzip.compress(TEXT), id="gzip"),
    pytest.param("X-GZIP ", gzip.compress(TEXT), id="x-gzip"),
    pytest.param("gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]), id="two gzip files"),
    pytest.param("gzip", gzip.compress(TEXT) + b"\0" * 20, id="padded gzip"),
    pytest.param("deflate", deflated(TEXT, 15), id="deflate"),
    pytest.param("deflate", deflated(TEXT, -15), id="raw deflate"),
]


def read(encoding: str, *pieces: bytes) -> bytes:
    steps = decompressor(encoding)
    text = b"".join(part for piece in pieces for part in steps.decode(piece))
    steps.flush()
    return text


@pytest.mark.parametrize(("encoding", "body"), BODIES)
def test_every_cut_gives_the_same_bytes(encoding: str, body: bytes) -> None:
    for cut in range(1, len(body)):
        assert read(encoding, body[:cut], body[cut:]) == TEXT, cut
    assert read(encoding, *(body[at : at + 1] for at in range(len(body)))) == TEXT


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
def test_an_empty_body_is_empty_in_every_encoding(encoding: str) -> None:
    assert read(encoding) == b""


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_each_end_that_comes_too_early_is_told(encoding: str) -> None:
    whole = gzip.compress(TEXT) if encoding == "gzip" else deflated(TEXT, 15)
    for end in range(1, len(whole)):
        with pytest.raises(Unreadable, match="ended in the middle"):
            read(encoding, whole[:end])


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"this is no gzip"),
        ("deflate", b"\xff\xff\xff\xff\xff"),
        ("gzip", gzip.compress(TEXT)[:-8] + b"12345678"),
        ("deflate", deflated(TEXT, 15)[:-4] + b"1234"),
    ],
    ids=["no gzip", "no deflate", "gzip with another sum", "deflate with another sum"],
)
def test_what_is_not_in_the_encoding_is_told(encoding: str, body: bytes) -> None:
    with pytest.raises(Unreadable, match="compression is broken"):
        read(encoding, body)


def test_what_stands_before_the_damage_is_given() -> None:
    packer = zlib.compressobj(wbits=31)
    sound = packer.compress(b"sound") + packer.flush(zlib.Z_SYNC_FLUSH)
    steps = decompressor("gzip")
    assert b"".join(steps.decode(sound)) == b"sound"
    with pytest.raises(Unreadable):
        list(steps.decode(b"\xff" * 20))


def test_a_small_body_does_not_fill_the_memory_at_once() -> None:
    zeros = 50_000_000
    sizes = [len(piece) for piece in decompressor("gzip").decode(gzip.compress(bytes(zeros)))]
    assert sum(sizes) == zeros
    assert max(sizes) <= 1 << 18


@pytest.mark.parametrize("encoding", ["zstd", "gzip, gzip", "a-name-that-is-longer-than-others"])
def test_other_encodings_are_refused_by_name(encoding: str) -> None:
    with pytest.raises(Unreadable, match=f"as '{encoding}', which cannot be read here"):
        decompressor(encoding)


def test_brotli_is_read_where_it_is_installed() -> None:
    brotli = pytest.importorskip("brotli")
    body = brotli.compress(TEXT)
    for cut in range(1, len(body)):
        assert read("br", body[:cut], body[cut:]) == TEXT
    with pytest.raises(Unreadable, match="ended in the middle"):
        read("br", body[:-1])
    with pytest.raises(Unreadable, match="compression is broken"):
        read("br", b"\xff" * 30)
