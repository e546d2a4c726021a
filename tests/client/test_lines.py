from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuzu_client._core.lines import LineCutter
from kuzu_client.errors import KuzuServerError


def cut(pieces: list[bytes]) -> list[bytes]:
    cutter = LineCutter()
    return [line for piece in pieces for line in cutter.feed(piece)] + cutter.finish()


@given(st.lists(st.lists(st.sampled_from([b"a", b"bc", b"\n", "\u2028".encode(), b"\r", b"\x0b"])).map(b"".join)))
def test_lines_are_those_of_the_whole_text_wherever_it_is_cut(pieces: list[bytes]) -> None:
    whole = b"".join(pieces).split(b"\n")
    assert cut(pieces) == (whole if whole[-1] else whole[:-1])


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\r", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_only_line_feeds_end_lines(mark: str) -> None:
    text = f'{{"a": "x{mark}y"}}\n'.encode()
    assert cut([text]) == [text[:-1]]


def test_a_line_without_an_end_comes_last() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"a\nb") == [b"a"]
    assert cutter.feed(b"c") == []
    assert cutter.finish() == [b"bc"]
    assert cutter.finish() == []


@pytest.mark.parametrize("pieces", [[b"123456\n"], [b"1234", b"56"], [b"1\n123", b"456\n"]])
def test_a_line_beyond_the_limit_is_refused_before_it_is_whole(pieces: list[bytes]) -> None:
    cutter = LineCutter(limit=5)
    for piece in pieces[:-1]:
        cutter.feed(piece)
    with pytest.raises(KuzuServerError, match="longer than 5 bytes"):
        cutter.feed(pieces[-1])


def test_lines_up_to_the_limit_are_taken() -> None:
    cutter = LineCutter(limit=5)
    assert [*cutter.feed(b"123"), *cutter.feed(b"45\n1"), *cutter.feed(b"2345\n")] == [b"12345", b"12345"]


def test_a_long_line_in_small_pieces_is_copied_once() -> None:
    """64 MiB in 4 KiB pieces: joining anew for each piece would copy half a terabyte."""
    piece = b"x" * 4096
    cutter = LineCutter()
    begin = time.monotonic()
    for _ in range(16384):
        assert cutter.feed(piece) == []
    assert len(cutter.feed(b"\n")[0]) == 16384 * 4096
    assert time.monotonic() - begin < 10
