from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuzu_node.core.frames import (
    HEADER,
    HEADER_SIZE,
    MAX_PAYLOAD,
    Decoder,
    Frame,
    FrameError,
    FrameKind,
    pack,
    pack_header,
)

U32 = st.integers(0, 2**32 - 1)
FRAMES = st.builds(Frame, st.sampled_from(FrameKind), U32, st.binary(max_size=300), U32, st.integers(0, 255))


@given(FRAMES)
def test_a_frame_comes_back_as_it_was_sent(frame: Frame) -> None:
    assert Decoder().feed(pack(frame)) == [frame]


@given(st.lists(FRAMES, max_size=8), st.data())
def test_frames_come_back_in_order_however_the_bytes_are_split(frames: list[Frame], data: st.DataObject) -> None:
    wire = b"".join(pack(frame) for frame in frames)
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=12).map(sorted))
    decoder, found = Decoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += decoder.feed(wire[start:end])
    assert found == frames
    assert decoder.pending == 0


@given(st.lists(FRAMES, max_size=3))
def test_frames_come_back_byte_by_byte(frames: list[Frame]) -> None:
    decoder, found = Decoder(), []
    for byte in b"".join(pack(frame) for frame in frames):
        found += decoder.feed(bytes([byte]))
    assert found == frames


@given(st.lists(FRAMES, max_size=3), FRAMES, st.data())
def test_a_frame_that_has_begun_is_kept_until_it_ends(frames: list[Frame], last: Frame, data: st.DataObject) -> None:
    wire = pack(last)
    cut = data.draw(st.integers(0, len(wire) - 1))
    decoder = Decoder()
    assert decoder.feed(b"".join(pack(frame) for frame in frames) + wire[:cut]) == frames
    assert decoder.pending == cut
    assert decoder.feed(wire[cut:]) == [last]


def test_the_longest_payload_passes() -> None:
    payload = bytes(MAX_PAYLOAD)
    decoder = Decoder()
    assert decoder.feed(pack_header(FrameKind.DATA, 1, MAX_PAYLOAD, rows=3)) == []
    for start in range(0, MAX_PAYLOAD, MAX_PAYLOAD // 4):
        frames = decoder.feed(payload[start : start + MAX_PAYLOAD // 4])
    assert [(len(frame.payload), frame.rows) for frame in frames] == [(MAX_PAYLOAD, 3)]


def test_a_longer_payload_is_refused_on_both_sides() -> None:
    with pytest.raises(FrameError, match="longer than"):
        pack_header(FrameKind.DATA, 1, MAX_PAYLOAD + 1)
    with pytest.raises(FrameError, match="announces"):
        Decoder().feed(HEADER.pack(MAX_PAYLOAD + 1, 1, 0, FrameKind.DATA, 0, 0))


@given(st.integers(0, 255).filter(lambda kind: kind not in set(FrameKind)))
def test_an_unknown_kind_is_refused(kind: int) -> None:
    with pytest.raises(FrameError, match="unknown kind"):
        Decoder().feed(HEADER.pack(9, 1, 0, kind, 0, 0))


@given(st.integers(1, 2**16 - 1))
def test_a_header_that_does_not_end_in_zero_is_refused_before_its_payload_comes(zero: int) -> None:
    with pytest.raises(FrameError, match="instead of zero"):
        Decoder().feed(HEADER.pack(9, 1, 0, FrameKind.DATA, 0, zero))


@given(st.binary(max_size=400), st.integers(0, 1000))
def test_garbage_gives_frames_or_a_frame_error_and_holds_no_more_than_was_sent(garbage: bytes, longest: int) -> None:
    decoder = Decoder(longest)
    try:
        frames = decoder.feed(garbage)
    except FrameError:
        return
    assert all(len(frame.payload) <= longest for frame in frames)
    assert decoder.pending == len(garbage) - sum(HEADER_SIZE + len(frame.payload) for frame in frames)


def test_the_header_is_as_documented() -> None:
    assert (
        pack(Frame(FrameKind.DATA, 7, b"xy", 9, 1)) == bytes([2, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 3, 1, 0, 0]) + b"xy"
    )
    assert HEADER_SIZE == 16
