"""A lane: a thread, a Connection and a socket. It runs one request at a time and writes its result as frames."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import kuzu

from kuzu_node.core import frames
from kuzu_node.core.frames import FrameKind
from kuzu_node.core.messages import (
    Begin,
    End,
    Executed,
    Failed,
    Renew,
    RunBulk,
    RunLoad,
    RunQuery,
    RunSchema,
    RunSeveral,
    RunTransaction,
    decode_run,
    encode,
)
from kuzu_node.worker import engine, failures, load
from kuzu_node.worker.channel import Channel
from kuzu_node.worker.connection import LaneConnection
from kuzu_node.worker.delivery import Delivery
from kuzu_node.worker.encode import Envelope, columns, encode_values
from kuzu_node.worker.facts import Facts
from kuzu_node.worker.outcomes import FAILURES, Cancelled, StatementError, failed, too_large, whole_result
from kuzu_node.worker.several import Several
from kuzu_node.worker.under_way import UnderWay

LOST_LOG = 74


class Lane(threading.Thread):
    """`connection` may be used by the control thread while the lane waits in an open bulk statement."""

    def __init__(
        self, channel: Channel, database: kuzu.Database, facts: Facts, *, threads: int, max_threads: int
    ) -> None:
        super().__init__(name="lane", daemon=True)
        self._own = LaneConnection(database, threads, facts)
        self._under_way = UnderWay()
        self._channel = channel
        self._delivery = Delivery(channel, self._under_way.stop_if_cancelled)
        self._facts = facts
        self._threads = threads
        self._max_threads = max_threads
        # Of the request under way: whether what it wrote is durable, and whether it left a transaction open for Commit.
        self._committed = False
        self._open = False
        self._lost_log = False
        # Across requests: a session's transaction is open; a session has something that belongs to the Connection.
        self._held = False
        self._kept = False

    @property
    def connection(self) -> kuzu.Connection:
        return self._own.connection

    def run(self) -> None:
        try:
            while True:
                frame = self._channel.receive()
                self._under_way.begin(frame.request_id)
                self._serve(frame)
        except EOFError:
            # The node has closed this lane or is gone; the control thread ends the process then.
            return

    def interrupt(self, request_id: int) -> bool:
        """Whether the request is still under way here; if so it is interrupted (again)."""
        return self._under_way.interrupt(request_id, self._own)

    def _serve(self, frame: frames.Frame) -> None:
        request_id = frame.request_id
        self._committed = self._open = False
        try:
            last = self._run(request_id, frame.payload)
        except Cancelled:
            last = (FrameKind.ERROR, encode(Failed(failures.INTERRUPTED, "Interrupted.", self._committed)))
        except StatementError as error:
            last = (FrameKind.ERROR, encode(error.failed))
        except FAILURES as error:
            last = (FrameKind.ERROR, encode(failed(error, committed=self._committed)))
        self._under_way.end()
        self._channel.send(last[0], request_id, *last[1:])
        if self._lost_log:
            # What is in memory is no longer what the log will give back; a fresh process reads the log.
            os._exit(LOST_LOG)
        if self._own.has_leaked and not (self._open or self._held or self._kept):
            self._renew()

    def _run(self, request_id: int, payload: bytes) -> tuple[Any, ...]:
        order = decode_run(payload)
        if self._held and not (isinstance(order, End) or (isinstance(order, RunQuery) and order.held)):
            # Whoever had the transaction has gone without ending it: nothing else may be written into it.
            self._held = False
            self._own.roll_back()
        if isinstance(order, RunQuery):
            return self._query(request_id, order)
        if isinstance(order, RunSeveral):
            return Several(self._channel, request_id, unsound=self._facts.unsound).run(order, self._execute_one)
        if isinstance(order, RunTransaction):
            return self._transaction(request_id, order)
        if isinstance(order, RunBulk):
            return self._bulk(request_id, order)
        if isinstance(order, RunLoad):
            return self._load(order)
        if isinstance(order, RunSchema):
            return self._schema(order)
        return self._session(order)

    def _query(self, request_id: int, order: RunQuery) -> tuple[Any, ...]:
        self._own.set_timeout(order.timeout_ms)
        self._kept = self._kept or order.kept
        started = time.perf_counter()
        if order.held:
            result = self._execute_held(order)
        else:
            result = self._execute_all(order)
        execute_ms = (time.perf_counter() - started) * 1000
        types = self._facts.refresh(self.connection) if order.ddl else None
        return self._deliver(
            request_id, result, order, Executed(columns(result), result.get_num_tuples(), execute_ms, 0.0, types)
        )

    def _execute_one(self, order: RunQuery) -> kuzu.QueryResult:
        self._under_way.stop_if_cancelled()
        self._own.set_timeout(order.timeout_ms)
        return self._own.execute(order.texts[0], order.parameters)

    def _execute_all(self, order: RunQuery) -> kuzu.QueryResult:
        result: kuzu.QueryResult | None = None
        for index, text in enumerate(order.texts):
            if result is not None:
                result.close()
            self._under_way.stop_if_cancelled()
            try:
                result = self._own.execute(text, order.parameters)
            except FAILURES as error:
                statement = index if len(order.texts) > 1 else None
                failure = failed(error, committed=self._committed, statement=statement)
                if order.writes[index] and not order.held:
                    self._doubt(failure)
                raise StatementError(failure) from error
            self._committed = not order.held and (self._committed or order.writes[index])
        assert result is not None
        return result

    def _execute_held(self, order: RunQuery) -> kuzu.QueryResult:
        try:
            return self._execute_all(order)
        except BaseException:
            self._held = False
            self._own.roll_back()
            raise

    def _session(self, order: Begin | End | Renew) -> tuple[Any, ...]:
        """A session's transaction, and the end of what the session has had in the lane."""
        started, types = time.perf_counter(), None
        self._own.set_timeout(0)
        if isinstance(order, Renew):
            self._held = self._kept = False
            if not self._renew():
                raise StatementError(Failed("memory_exceeded", "no memory for a fresh Connection", False))
        elif isinstance(order, Begin):
            self._own.begin(read_only=order.read_only)
            self._held = True
        elif order.commit:
            self._held = False
            self._commit()
            self._committed = True
            types = self._facts.refresh(self.connection) if order.ddl else None
        else:
            self._held = False
            self._own.roll_back()
        return whole_result(Executed([], 0, (time.perf_counter() - started) * 1000, 0.0, types), b"")

    def _deliver(
        self, request_id: int, result: kuzu.QueryResult, order: RunQuery | RunBulk, executed: Executed
    ) -> tuple[Any, ...]:
        envelope = Envelope(order.database, round(executed.execute_ms, 3), order.chunk_size, self._facts.unsound)
        return self._delivery.send_rows(request_id, result, order.form, envelope, executed)

    def _transaction(self, request_id: int, order: RunTransaction) -> tuple[Any, ...]:
        self._own.set_timeout(order.timeout_ms)
        started = time.perf_counter()
        results: list[kuzu.QueryResult] = []
        try:
            self._own.begin(read_only=order.read_only)
            for index, runs in enumerate(order.statements):
                results.append(self._step(index, runs))
            encoding = time.perf_counter()
            body = self._body(results)
            encode_ms = (time.perf_counter() - encoding) * 1000
            self._commit()
            self._committed = not order.read_only
            execute_ms = (time.perf_counter() - started) * 1000 - encode_ms
            types = self._facts.refresh(self.connection) if order.ddl else None
            row_count = sum(result.get_num_tuples() for result in results)
        finally:
            for result in results:
                result.close()
        executed = Executed([], row_count, execute_ms, encode_ms, types)
        return self._delivery.send_body(request_id, body, executed)

    def _body(self, results: list[kuzu.QueryResult]) -> bytes:
        """Before the COMMIT: what is too long for the node to hold is refused while nothing of it has happened."""
        parts: list[bytes] = []
        try:
            for result in results:
                self._under_way.stop_if_cancelled()
                if too_large(results, sum(map(len, parts))) is None:
                    parts.append(b"{" + encode_values(result) + b"}")
            large = too_large(results, sum(map(len, parts)))
        except Cancelled:
            self._own.roll_back()
            raise
        except FAILURES as error:
            self._own.roll_back()
            raise StatementError(failed(error, committed=False)) from error
        if large is not None:
            self._own.roll_back()
            raise StatementError(large)
        return b"[" + b",".join(parts) + b"]"

    def _step(self, index: int, runs: list[tuple[str, dict[str, Any]]]) -> kuzu.QueryResult:
        result: kuzu.QueryResult | None = None
        try:
            for text, parameters in runs:
                if result is not None:
                    result.close()
                self._under_way.stop_if_cancelled()
                result = self._own.execute(text, parameters)
        except Cancelled:
            self._own.roll_back()
            raise
        except FAILURES as error:
            self._own.roll_back()
            raise StatementError(failed(error, committed=False, statement=index)) from error
        assert result is not None
        return result

    def _commit(self) -> None:
        """Not interrupted half-way, so that its outcome is known.

        A COMMIT that fails for another reason than that nothing was open may have changed indexes and caches already,
        and no ROLLBACK takes that back: the worker ends.
        """
        try:
            with self._under_way.uninterrupted():
                engine.run(self.connection, "COMMIT").close()
        except FAILURES as error:
            failure = failed(error, committed=None)
            if failure.code == failures.NO_TRANSACTION:
                failure.code, failure.committed = "runtime", False
            else:
                self._lost_log = True
            raise StatementError(failure) from error

    def _doubt(self, failure: Failed) -> None:
        """A log that could not be written ends in a part of a record, and later ones would stand behind it."""
        if failures.is_of_files(failure.detail):
            failure.committed = failure.committed or None
            self._lost_log = True

    def _bulk(self, request_id: int, order: RunBulk) -> tuple[Any, ...]:
        self._own.set_timeout(order.timeout_ms)
        self.connection.set_max_threads_for_exec(self._max_threads)
        started = time.perf_counter()
        try:
            if order.begin:
                self._own.begin()
            result = self._own.execute(order.text, order.parameters)
            execute_ms = (time.perf_counter() - started) * 1000
            executed = Executed(columns(result), result.get_num_tuples(), execute_ms)
            last = self._deliver(request_id, result, order, executed)
        except (*FAILURES, Cancelled) as error:
            if order.begin:
                self._own.roll_back()
            raise StatementError(failed(error, committed=False if order.begin else None)) from error
        finally:
            self.connection.set_max_threads_for_exec(self._threads)
        self._leave_open(order.begin)
        return last

    def _leave_open(self, is_open: bool) -> None:
        """The control thread's COMMIT or ROLLBACK follows on this connection, without the statement's time limit."""
        self._open = is_open
        self._own.set_timeout(0)

    def _load(self, order: RunLoad) -> tuple[Any, ...]:
        self._own.set_timeout(0)
        self.connection.set_max_threads_for_exec(self._max_threads)
        started = time.perf_counter()
        try:
            self._own.begin()
            outcome = load.load_rows(self.connection, order)
            if order.logged:
                self._commit()
                self._committed = True
        except load.Refused as error:
            self._own.roll_back()
            raise StatementError(Failed(error.code, str(error), False)) from error
        except FAILURES as error:
            self._own.roll_back()
            raise StatementError(failed(error, committed=False)) from error
        finally:
            self.connection.set_max_threads_for_exec(self._threads)
        self._leave_open(not order.logged)
        execute_ms = (time.perf_counter() - started) * 1000
        return whole_result(Executed([], outcome["rows_inserted"], execute_ms, 0.0, None, outcome), b"")

    def _schema(self, order: RunSchema) -> tuple[Any, ...]:
        self._own.set_timeout(0)
        value = engine.counts(self.connection) if order.counts else engine.schema(self.connection)
        return whole_result(Executed([], 0, 0.0, 0.0, None, value), b"")

    def _renew(self) -> bool:
        with self._under_way.lock:
            return self._own.renew()
