"""A lane: a thread, a Connection and a socket. It runs one request at a time and writes its result as frames."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import kuzu

from kuzu_node.core import frames
from kuzu_node.core.frames import FrameKind
from kuzu_node.core.messages import (
    Ended,
    Executed,
    Failed,
    RunBulk,
    RunLoad,
    RunQuery,
    RunSchema,
    RunTransaction,
    decode_run,
    encode,
)
from kuzu_node.worker import engine, failures, load
from kuzu_node.worker.channel import Channel
from kuzu_node.worker.encode import Envelope, Piece, columns, encode_values
from kuzu_node.worker.encode import encode as encode_result
from kuzu_node.worker.facts import Facts

# `execute` with parameters leaks about 36 KB a call until its Connection closes.
PARAMETERISED_CALLS = 200
# A body up to this size travels in one frame with the news that the statement has run.
SINGLE_FRAME = 192 * 1024
SINGLE_FRAME_ROWS = 2000


class Cancelled(Exception):
    """The node no longer wants this request's result."""


class Lane(threading.Thread):
    """`connection` may be used by the control thread while the lane waits in an open bulk statement."""

    def __init__(
        self, channel: Channel, database: kuzu.Database, facts: Facts, *, threads: int, max_threads: int
    ) -> None:
        super().__init__(name="lane", daemon=True)
        self.connection = engine.connect(database, threads)
        self._channel = channel
        self._database = database
        self._facts = facts
        self._threads = threads
        self._max_threads = max_threads
        self._lock = threading.Lock()
        self._request_id = 0
        self._cancelled = False
        self._parameterised = 0
        self._timeout_ms = 0

    def run(self) -> None:
        try:
            while True:
                frame = self._channel.receive()
                with self._lock:
                    self._request_id, self._cancelled = frame.request_id, False
                self._serve(frame)
        except (EOFError, OSError):
            # The node has closed this lane or is gone; the control thread ends the process then.
            return

    def interrupt(self, request_id: int) -> bool:
        """Whether the request is still under way here; if so it is interrupted (again)."""
        with self._lock:
            if self._request_id != request_id:
                return False
            self._cancelled = True
            self.connection.interrupt()
            return True

    def _serve(self, frame: frames.Frame) -> None:
        request_id = frame.request_id
        try:
            last = self._run(request_id, frame.payload)
        except Cancelled:
            last = (FrameKind.ERROR, encode(Failed(failures.INTERRUPTED, "Interrupted.", None)))
        except StatementError as error:
            last = (FrameKind.ERROR, encode(error.failed))
        except (RuntimeError, ValueError, TypeError, OverflowError, UnicodeError) as error:
            last = (FrameKind.ERROR, encode(_failed(error, committed=False)))
        with self._lock:
            # From here on an interrupt that names this request finds nothing.
            self._request_id = 0
        self._channel.send(last[0], request_id, *last[1:])
        if self._parameterised >= PARAMETERISED_CALLS:
            self._renew_connection()

    def _run(self, request_id: int, payload: bytes) -> tuple[Any, ...]:
        order = decode_run(payload)
        if isinstance(order, RunQuery):
            return self._query(request_id, order)
        if isinstance(order, RunTransaction):
            return self._transaction(request_id, order)
        if isinstance(order, RunBulk):
            return self._bulk(request_id, order)
        if isinstance(order, RunLoad):
            return self._load(order)
        return self._schema(order)

    def _query(self, request_id: int, order: RunQuery) -> tuple[Any, ...]:
        self._set_timeout(order.timeout_ms)
        started = time.perf_counter()
        committed = False
        result: kuzu.QueryResult | None = None
        for index, text in enumerate(order.texts):
            if result is not None:
                result.close()
            try:
                result = self._execute(text, order.parameters)
            except RuntimeError as error:
                statement = index if len(order.texts) > 1 else None
                raise StatementError(_failed(error, committed=committed, statement=statement)) from error
            committed = committed or order.writes[index]
        assert result is not None
        execute_ms = (time.perf_counter() - started) * 1000
        types = self._facts.refresh(self.connection) if order.ddl else None
        return self._deliver(
            request_id, result, order, Executed(columns(result), result.get_num_tuples(), execute_ms, 0.0, types)
        )

    def _deliver(
        self, request_id: int, result: kuzu.QueryResult, order: RunQuery | RunBulk, executed: Executed
    ) -> tuple[Any, ...]:
        envelope = Envelope(order.database, round(executed.execute_ms, 3), order.chunk_size, self._facts.unions)
        started = time.perf_counter()
        try:
            pieces = encode_result(result, order.form, envelope)
            head: list[Piece] = []
            if executed.row_count <= SINGLE_FRAME_ROWS:
                size = 0
                for piece in pieces:
                    head.append(piece)
                    size += len(piece.body)
                    if size > SINGLE_FRAME:
                        break
                else:
                    executed.encode_ms = (time.perf_counter() - started) * 1000
                    return _result(executed, b"".join([piece.body for piece in head]))
            self._channel.send(FrameKind.EXECUTED, request_id, encode(executed))
            self._stream(request_id, head, pieces)
            return FrameKind.END, encode(Ended((time.perf_counter() - started) * 1000))
        finally:
            result.close()

    def _stream(self, request_id: int, head: list[Piece], pieces: Iterator[Piece]) -> None:
        for piece in head:
            self._send_piece(request_id, piece)
        for piece in pieces:
            self._send_piece(request_id, piece)

    def _send_piece(self, request_id: int, piece: Piece) -> None:
        if self._cancelled:
            raise Cancelled
        flags = frames.COMPLETE if piece.complete else 0
        self._channel.send(FrameKind.DATA, request_id, piece.body, rows=piece.rows, flags=flags)

    def _transaction(self, request_id: int, order: RunTransaction) -> tuple[Any, ...]:
        self._set_timeout(order.timeout_ms)
        started = time.perf_counter()
        results: list[kuzu.QueryResult] = []
        try:
            engine.run(
                self.connection, "BEGIN TRANSACTION READ ONLY" if order.read_only else "BEGIN TRANSACTION"
            ).close()
            for index, runs in enumerate(order.statements):
                results.append(self._step(index, runs))
            self._commit(order.read_only)
            execute_ms = (time.perf_counter() - started) * 1000
            types = self._facts.refresh(self.connection) if order.ddl else None
            started = time.perf_counter()
            row_count = sum(result.get_num_tuples() for result in results)
            body = b"[" + b",".join([b"{" + encode_values(result) + b"}" for result in results]) + b"]"
        finally:
            for result in results:
                result.close()
        executed = Executed([], row_count, execute_ms, (time.perf_counter() - started) * 1000, types)
        if len(body) <= SINGLE_FRAME:
            return _result(executed, body)
        self._channel.send(FrameKind.EXECUTED, request_id, encode(executed))
        for start in range(0, len(body), SINGLE_FRAME):
            self._send_piece(request_id, Piece(body[start : start + SINGLE_FRAME], 0, False))
        return FrameKind.END, encode(Ended(executed.encode_ms))

    def _step(self, index: int, runs: list[tuple[str, dict[str, Any]]]) -> kuzu.QueryResult:
        result: kuzu.QueryResult | None = None
        try:
            for text, parameters in runs:
                if result is not None:
                    result.close()
                if self._cancelled:
                    raise RuntimeError("Interrupted.")
                result = self._execute(text, parameters)
        except RuntimeError as error:
            self._roll_back()
            raise StatementError(_failed(error, committed=False, statement=index)) from error
        assert result is not None
        return result

    def _commit(self, read_only: bool) -> None:
        try:
            engine.run(self.connection, "COMMIT").close()
        except RuntimeError as error:
            raise StatementError(_failed(error, committed=False if read_only else None)) from error

    def _roll_back(self) -> None:
        try:
            engine.run(self.connection, "ROLLBACK").close()
        except RuntimeError:
            # A binder or runtime error has ended the transaction already.
            return

    def _bulk(self, request_id: int, order: RunBulk) -> tuple[Any, ...]:
        self._set_timeout(order.timeout_ms)
        self.connection.set_max_threads_for_exec(self._max_threads)
        started = time.perf_counter()
        try:
            if order.begin:
                engine.run(self.connection, "BEGIN TRANSACTION").close()
            result = self._execute(order.text, order.parameters)
        except RuntimeError as error:
            if order.begin:
                self._roll_back()
            raise StatementError(_failed(error, committed=False if order.begin else None)) from error
        finally:
            self.connection.set_max_threads_for_exec(self._threads)
        execute_ms = (time.perf_counter() - started) * 1000
        return self._deliver(request_id, result, order, Executed(columns(result), result.get_num_tuples(), execute_ms))

    def _load(self, order: RunLoad) -> tuple[Any, ...]:
        self._set_timeout(0)
        self.connection.set_max_threads_for_exec(self._max_threads)
        started = time.perf_counter()
        try:
            engine.run(self.connection, "BEGIN TRANSACTION").close()
            outcome = load.load_rows(self.connection, order)
            if order.logged:
                self._commit(read_only=False)
        except load.Refused as error:
            self._roll_back()
            raise StatementError(Failed(error.code, str(error), False)) from error
        except RuntimeError as error:
            self._roll_back()
            raise StatementError(_failed(error, committed=False)) from error
        finally:
            self.connection.set_max_threads_for_exec(self._threads)
        execute_ms = (time.perf_counter() - started) * 1000
        return _result(Executed([], outcome["rows_inserted"], execute_ms, 0.0, None, outcome), b"")

    def _schema(self, order: RunSchema) -> tuple[Any, ...]:
        value = engine.counts(self.connection) if order.counts else engine.schema(self.connection)
        return _result(Executed([], 0, 0.0, 0.0, None, value), b"")

    def _execute(self, text: str, parameters: dict[str, Any]) -> kuzu.QueryResult:
        if parameters:
            self._parameterised += 1
        return engine.run(self.connection, text, parameters)

    def _set_timeout(self, milliseconds: int) -> None:
        if milliseconds != self._timeout_ms:
            self.connection.set_query_timeout(milliseconds)
            self._timeout_ms = milliseconds

    def _renew_connection(self) -> None:
        fresh = engine.connect(self._database, self._threads)
        with self._lock:
            stale, self.connection = self.connection, fresh
        stale.close()
        self._parameterised = self._timeout_ms = 0


class StatementError(Exception):
    """A statement failed; `failed` is what the node is told."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.detail)
        self.failed = failed


def _result(executed: Executed, body: bytes) -> tuple[Any, ...]:
    """A RESULT frame: the length of the message, the message, the body."""
    message = encode(executed)
    return FrameKind.RESULT, len(message).to_bytes(4, "little"), message, body


def _failed(error: Exception, *, committed: bool | None, statement: int | None = None) -> Failed:
    detail = str(error)
    failure = failures.classify(detail)
    return Failed(failure.code, detail, committed, statement, failure.line, failure.column)
