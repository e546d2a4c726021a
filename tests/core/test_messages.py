"""What a worker with a damaged memory may say: an error that names the message, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuzu_node.core import messages
from kuzu_node.core.frames import FrameError
from kuzu_node.core.messages import Executed, Failed, Hello

DECODERS = (
    messages.decode_executed,
    messages.decode_ended,
    messages.decode_failed,
    messages.decode_hello,
    messages.decode_assigned,
    messages.decode_committed,
    messages.decode_number,
    messages.decode_nothing,
)
# An Executed up to its last field, which takes any value.
ANY = messages.encode(Executed([], 1, 0.0))[:-1]


@given(st.binary(max_size=200))
def test_garbage_is_a_frame_error_to_each_decoder(garbage: bytes) -> None:
    for decode in DECODERS:
        try:
            decode(garbage)
        except FrameError:
            continue
        # Short garbage may well be a number, alone or in an array, or nothing; several fields it is not by chance.
        assert decode in (messages.decode_number, messages.decode_ended, messages.decode_nothing)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        messages.encode(Hello("0.11.3", 1, 1, True)),
        b"\x96\xdd\xff\xff\xff\xff",
        ANY + b"\x91" * 100_000,
        ANY + b"\xdf\xff\xff\xff\xff",
        ANY + b"\xa2\xff\xfe",
        ANY + b"\xc0\xc0",
    ],
    ids=["empty", "another message", "a long list", "a deep one", "a long map", "no UTF-8", "more than one"],
)
def test_what_is_no_answer_of_the_engine_says_so(payload: bytes) -> None:
    with pytest.raises(FrameError, match=r"^no Executed: "):
        messages.decode_executed(payload)


def test_messages_come_back_as_they_were() -> None:
    failed = Failed("runtime", "why", None, 3)
    assert messages.decode_failed(messages.encode(failed)) == failed
    executed = Executed(["a"], 1, 0.5, value={"rows": [1, None]})
    assert messages.decode_executed(messages.encode(executed)) == executed
    messages.decode_nothing(messages.encode(None))
