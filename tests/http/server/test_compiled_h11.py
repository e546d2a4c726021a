"""The compiled fork of h11 understands every byte as h11 does, so that installing it changes nothing but the speed."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

compiled: Any = pytest.importorskip("h11_mypyc", reason="h11-mypyc is an option")

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1",
        b"POST /a?b=c HTTP/1.1",
        b"HEAD * HTTP/1.0",
        b"PRI * HTTP/2.0",
        b"GET http://x/ HTTP/1.1",
        b"Host: x",
        b"host:y",
        b"Content-Length: 3",
        b"Content-Length: 3, 3",
        b"Content-Length: +3",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Connection: close",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Expect: 100-continue",
        b" folded",
        b"bad header",
        b"x: \xff",
        b"x: a\x00b",
        b"3",
        b"0",
        b"3;extension",
        b"abc",
        b"",
    ]
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])
TEXT = st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=12).map(b"".join)
ANSWERS = st.sampled_from([[], [("content-length", "4")], [("connection", "close")], [("transfer-encoding", "gzip")]])


def talk(library: Any, pieces: list[bytes], headers: list[tuple[str, str]]) -> list[Any]:
    """Everything a server sees and sends when these bytes arrive, as plain values."""
    connection = library.Connection(library.SERVER, max_incomplete_event_size=200)
    seen: list[Any] = []
    try:
        for piece in pieces:
            connection.receive_data(piece)
            while (event := connection.next_event()) not in (library.NEED_DATA, library.PAUSED):
                seen.append(plain(event))
                if type(event) is library.ConnectionClosed:
                    break
            seen.append((connection.our_state.__name__, connection.their_state.__name__, connection.trailing_data))
            seen.append(connection.they_are_waiting_for_100_continue)
        seen.append(connection.send(library.Response(status_code=200, headers=headers)))
        seen.append(connection.send(library.Data(data=b"body")))
        seen.append(connection.send(library.EndOfMessage()))
        connection.start_next_cycle()
    except (library.RemoteProtocolError, library.LocalProtocolError) as error:
        seen.append((type(error).__name__, error.error_status_hint))
    return seen


def plain(event: Any) -> Any:
    names = ("method", "target", "http_version", "data", "chunk_start", "chunk_end")
    return type(event).__name__, [getattr(event, name, None) for name in names], list(getattr(event, "headers", ()))


@given(text=TEXT, cut=st.integers(0, 200), headers=ANSWERS)
@example(text=POST + b"Content-Length: 3\r\n\r\nabc", cut=20, headers=[])
@example(text=POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", cut=70, headers=[])
def test_both_see_and_send_the_same(text: bytes, cut: int, headers: list[tuple[str, str]]) -> None:
    pieces = [piece for piece in (text[:cut], text[cut:]) if piece]
    assert talk(compiled, pieces, headers) == talk(h11, pieces, headers)
