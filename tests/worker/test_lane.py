"""A lane on its socket, in this process: what it answers, what it interrupts, and what it leaves behind."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import kuzu
import pytest

from kuzu_node.core.frames import FrameKind
from kuzu_node.core.messages import (
    Begin,
    End,
    Executed,
    Failed,
    Renew,
    Run,
    RunBulk,
    RunQuery,
    RunSchema,
    RunTransaction,
    decode_executed,
    decode_failed,
    encode,
)
from kuzu_node.worker import engine
from kuzu_node.worker.channel import Channel
from kuzu_node.worker.connection import PARAMETERISED_CALLS
from kuzu_node.worker.delivery import LONGEST_DATA
from kuzu_node.worker.facts import Facts
from kuzu_node.worker.lane import Lane

ENDLESS = (
    "UNWIND range(1, 100000) AS a UNWIND range(1, 1000) AS b UNWIND range(1, 1000) AS c RETURN sum((a + b * c) % 7)"
)


@attrs.define
class Result:
    """All that came for one request: the kinds of its frames, and what they carried."""

    kinds: list[FrameKind]
    body: bytes
    rows: int
    executed: Executed | None = None
    failed: Failed | None = None


@attrs.define(eq=False)
class Driven:
    """A lane and the node's end of its socket."""

    lane: Lane
    channel: Channel
    database: kuzu.Database
    next_id: int = 0

    def start(self, order: Run) -> int:
        self.next_id += 1
        self.channel.send(FrameKind.RUN, self.next_id, encode(order))
        return self.next_id

    def finish(self, request_id: int) -> Result:
        result = Result([], b"", 0)
        while True:
            frame = self.channel.receive()
            assert frame.request_id == request_id
            result.kinds.append(frame.kind)
            if frame.kind is FrameKind.ERROR:
                result.failed = decode_failed(frame.payload)
                return result
            if frame.kind is FrameKind.EXECUTED:
                result.executed = decode_executed(frame.payload)
            elif frame.kind is FrameKind.DATA:
                result.body += frame.payload
                result.rows += frame.rows
            elif frame.kind is FrameKind.RESULT:
                length = int.from_bytes(frame.payload[:4], "little")
                result.executed = decode_executed(frame.payload[4 : 4 + length])
                result.body = frame.payload[4 + length :]
                return result
            else:
                return result

    def run(self, order: Run) -> Result:
        return self.finish(self.start(order))

    def query(self, *texts: str, form: str = "jsonl", timeout_ms: int = 0, **parameters: object) -> Result:
        return self.run(query(*texts, form=form, timeout_ms=timeout_ms, **parameters))

    def interrupt_until_found(self, request_id: int) -> None:
        while not self.lane.interrupt(request_id):
            pass


def query(*texts: str, form: str = "jsonl", timeout_ms: int = 0, **parameters: object) -> RunQuery:
    writes = [text.startswith(("CREATE", "MATCH (d")) for text in texts]
    return RunQuery(list(texts), writes, parameters, form, 1000, "g", timeout_ms)


def transaction(*texts: str, read_only: bool = False) -> RunTransaction:
    return RunTransaction([[(text, {})] for text in texts], read_only, "g", 0)


@pytest.fixture
def driven(tmp_path: Path) -> Iterator[Driven]:
    database = kuzu.Database(
        str(tmp_path / "graph.kuzu"), buffer_pool_size=128 << 20, max_db_size=1 << 30, auto_checkpoint=False
    )
    ours, theirs = socket.socketpair()
    lane = Lane(Channel(theirs), database, Facts(), threads=1, max_threads=2)
    lane.start()
    driven = Driven(lane, Channel(ours), database)
    assert driven.query("CREATE NODE TABLE P(id INT64, s STRING, PRIMARY KEY(id))").failed is None
    yield driven
    ours.close()
    lane.join(10)
    assert not lane.is_alive()
    theirs.close()
    lane.connection.close()
    database.close()


def count(driven: Driven) -> int:
    body = driven.query("MATCH (p:P) RETURN count(*) AS n").body
    return int(body.removeprefix(b'{"n":').split(b"}")[0])


def test_a_small_answer_is_one_frame_and_a_long_one_several(driven: Driven) -> None:
    assert driven.query("RETURN 1 AS one").kinds == [FrameKind.RESULT]
    long = driven.query("UNWIND range(1, 100000) AS i RETURN i, 'abcdefgh' AS s")
    assert long.kinds[0] is FrameKind.EXECUTED
    assert set(long.kinds[1:-1]) == {FrameKind.DATA}
    assert long.kinds[-1] is FrameKind.END
    assert long.executed is not None
    assert long.rows == long.executed.row_count == long.body.count(b"\n") == 100_000


def test_a_row_longer_than_a_frame_comes_in_several(driven: Driven) -> None:
    size = 5 * LONGEST_DATA + 7
    result = driven.query(f"RETURN repeat('x', {size}) AS s")
    assert result.failed is None
    assert len(result.body) > size
    assert len(result.kinds) > size // LONGEST_DATA
    assert result.rows == 1
    assert driven.query("RETURN 1 AS one").body == b'{"one":1}\n'


def test_an_interrupt_names_its_request_and_hits_no_other(driven: Driven) -> None:
    for _ in range(10):
        request_id = driven.start(query(ENDLESS))
        driven.interrupt_until_found(request_id)
        while driven.lane.interrupt(request_id):
            time.thread_time()
        result = driven.finish(request_id)
        assert result.failed is not None
        assert (result.failed.code, result.failed.committed) == ("interrupted", False)
        assert not driven.lane.interrupt(request_id)
        after = driven.query("UNWIND range(1, 1000) AS a RETURN sum(a) AS s")
        assert after.failed is None


def test_a_request_that_has_ended_is_not_found_while_others_run(driven: Driven) -> None:
    stop = threading.Event()
    ended = driven.start(query("RETURN 1"))
    driven.finish(ended)

    def hammer() -> None:
        while not stop.is_set():
            driven.lane.interrupt(ended)

    thread = threading.Thread(target=hammer)
    thread.start()
    try:
        for _ in range(200):
            assert driven.query("UNWIND range(1, 100) AS a RETURN sum(a)").failed is None
    finally:
        stop.set()
        thread.join()


def test_interrupts_at_any_time_leave_no_transaction_open_and_no_doubt(driven: Driven) -> None:
    nobody = 1 << 40
    stop, wanted = threading.Event(), [nobody]

    def hammer() -> None:
        while not stop.is_set():
            driven.lane.interrupt(wanted[0])

    thread = threading.Thread(target=hammer)
    thread.start()
    committed = 0
    try:
        for number in range(150):
            order = transaction(*(f"CREATE (:P {{id: {number * 10 + i}}})" for i in range(3)))
            request_id = driven.start(order)
            wanted[0] = request_id if number % 2 else nobody
            result = driven.finish(request_id)
            wanted[0] = nobody
            if result.failed is None:
                committed += 1
            else:
                assert (result.failed.code, result.failed.committed) == ("interrupted", False)
            assert count(driven) == 3 * committed
    finally:
        stop.set()
        thread.join()
    assert committed >= 75


def test_a_cancelled_stream_ends_and_says_what_is_committed(driven: Driven) -> None:
    text = "CREATE (:P {id: 7}) WITH 1 AS one UNWIND range(1, 500000) AS i RETURN i, 'abcdefgh' AS s"
    for order, is_write in ((query(text), True), (query(text.removeprefix("CREATE (:P {id: 7}) ")), False)):
        request_id = driven.start(order)
        assert driven.channel.receive().kind is FrameKind.EXECUTED
        driven.interrupt_until_found(request_id)
        result = driven.finish(request_id)
        assert result.failed is not None
        assert (result.failed.code, result.failed.committed) == ("interrupted", is_write)
    assert count(driven) == 1


def test_a_failure_behind_a_committed_statement_says_so(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = driven.query("CREATE (:P {id: 1})", "RETURN 1 / 0").failed
    assert failed is not None
    assert (failed.committed, failed.statement) == (True, 1)

    def broken(*_: object) -> Iterator[object]:
        raise ValueError("the encoder has given up")

    monkeypatch.setattr("kuzu_node.worker.delivery.encode_result", broken)
    for text, committed in (("CREATE (:P {id: 2})", True), ("RETURN 1", False)):
        failed = driven.query(text).failed
        assert failed is not None
        assert (failed.detail, failed.committed) == ("the encoder has given up", committed)
    bulk = RunBulk("COPY P(id) FROM (UNWIND [5] AS i RETURN i)", {}, True, "jsonl", 1000, "g", 0)
    failed = driven.run(bulk).failed
    assert failed is not None
    assert failed.committed is False
    monkeypatch.undo()
    # Nothing is open: another connection can write, and the rows of the bulk statement are not there.
    other = kuzu.Connection(driven.database)
    other.execute("CREATE (:P {id: 3})")
    other.close()
    assert count(driven) == 3


def test_a_failing_transaction_leaves_nothing_behind(driven: Driven) -> None:
    failed = driven.run(transaction("CREATE (:P {id: 1})", "MATCH (q:Q) RETURN q")).failed
    assert failed is not None
    assert (failed.code, failed.committed, failed.statement) == ("binder", False, 1)
    assert count(driven) == 0
    strange = RunTransaction([[("CREATE (:P {id: $i})", {"i": 1 << 63})]], False, "g", 0)
    failed = driven.run(strange).failed
    assert failed is not None
    assert failed.committed is False
    assert driven.run(transaction("CREATE (:P {id: 1})")).failed is None
    assert count(driven) == 1


def test_connections_that_leak_are_renewed_but_not_under_an_open_bulk_statement(driven: Driven) -> None:
    first = driven.lane.connection
    for _ in range(PARAMETERISED_CALLS - 1):
        assert driven.query("RETURN $x AS x", x="y").failed is None
    text = "COPY P(id) FROM (UNWIND range(1, 10) AS i WITH i WHERE i > $x RETURN i)"
    bulk = RunBulk(text, {"x": 1.5}, True, "jsonl", 1000, "g", 0)
    result = driven.run(bulk)
    assert result.failed is None, result.failed
    # Its rows wait for the COMMIT that the control thread gives on this very connection.
    assert driven.lane.connection is first
    first.execute("COMMIT").close()  # type: ignore[union-attr]  # one statement, one result
    assert driven.query("MATCH (p:P) RETURN count(*) AS n").body == b'{"n":9}\n'
    while driven.lane.connection is first:
        assert driven.query("RETURN 1").failed is None
    assert driven.query("RETURN $x AS x", x="y").body == b'{"x":"y"}\n'


def test_what_is_not_of_an_open_transaction_is_never_written_into_it(driven: Driven) -> None:
    assert driven.run(Begin(False)).failed is None
    assert driven.query("CREATE (:P {id: 1})").failed is None
    # Had it gone into the transaction, this would take it back.
    assert driven.run(End(False)).failed is None
    assert count(driven) == 1


def test_a_lane_without_memory_for_a_fresh_connection_says_so(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise RuntimeError("Buffer manager exception: Unable to allocate memory!")

    with monkeypatch.context() as patched:
        patched.setattr(engine, "connect", no_memory)
        failed = driven.run(Renew()).failed
        assert failed is not None
        assert failed.code == "memory_exceeded"
    assert driven.run(Renew()).failed is None
    assert count(driven) == 0


def test_a_time_limit_holds_for_its_own_statement_only(driven: Driven) -> None:
    failed = driven.query(ENDLESS, timeout_ms=50).failed
    assert failed is not None
    assert failed.code == "interrupted"
    driven.query("RETURN 1", timeout_ms=1)
    assert driven.query("UNWIND range(1, 300) AS a UNWIND range(1, 300) AS b RETURN sum(a * b)").failed is None
    driven.query("RETURN 1", timeout_ms=1)
    assert driven.run(RunSchema(True)).failed is None


def test_what_does_not_fit_the_memory_is_an_error(driven: Driven) -> None:
    failed = driven.query("RETURN repeat('x', 200000000) AS s").failed
    assert failed is not None
    assert (failed.code, failed.committed) == ("memory_exceeded", False)
    assert driven.query("RETURN 1 AS one").body == b'{"one":1}\n'


def test_a_commit_that_finds_nothing_open_changes_nothing_and_leaves_the_lane_at_rest(driven: Driven) -> None:
    failed = driven.run(transaction("CREATE (:P {id: 1})", "ROLLBACK")).failed
    assert failed is not None
    assert (failed.code, failed.committed) == ("runtime", False)
    assert driven.run(transaction("CREATE (:P {id: 2})")).failed is None
    assert count(driven) == 1
