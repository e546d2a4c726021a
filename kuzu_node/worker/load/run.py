"""Rows of a staged file into one table, in the transaction that the lane has begun."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import kuzu
import pyarrow as pa
from pyarrow import parquet

from kuzu_node.core.loading import LOGGED_BYTES, LOGGED_NODES, LOGGED_RELATIONSHIPS
from kuzu_node.core.messages import RunLoad
from kuzu_node.worker import engine
from kuzu_node.worker.load import statements
from kuzu_node.worker.load.ndjson import NdjsonSource
from kuzu_node.worker.load.refusal import BulkNeeded, Refused
from kuzu_node.worker.load.report import SkipReport
from kuzu_node.worker.load.sources import ParquetSource, Source, open_source, read_by_engine
from kuzu_node.worker.load.table import LoadPlan, describe, plan
from kuzu_node.worker.load.types import AS_TEXT, FLOATS, INTEGERS

# Rows handed to one COPY from memory. Relationships that are more are written to a file first: each further COPY into
# their table rewrites what the one before has written, 4.2 s instead of 2.2 for 3M rows in parts of 250 000.
SEGMENT_BYTES = 32 << 20
_SPOOL_ROWS = 1 << 17
# Kinds that survive the engine's reader of Parquet, those that travel as text included.
_SPOOLED = frozenset({"BOOL", "STRING", "BLOB", "DATE", "TIMESTAMP", "TIMESTAMP_TZ", *INTEGERS, *FLOATS, *AS_TEXT})


def load_rows(connection: kuzu.Connection, order: RunLoad) -> dict[str, Any]:
    """`rows_processed, rows_inserted, rows_skipped, skipped[[reason, count, examples]]`.

    Raises Refused (BulkNeeded for a logged order that has to be a COPY) and the engine's RuntimeError; the
    transaction is then to be rolled back.
    """
    if order.logged and order.ignore_errors:
        raise BulkNeeded("rows can be left out by a COPY only")
    target = describe(connection, order.table)
    report = SkipReport()
    try:
        with open_source(order) as source:
            if isinstance(source, NdjsonSource) and source.empty:
                return _outcome(0, 0, report)
            chosen = plan(target, source.names(target), source.match)
            if order.logged:
                return _log(connection, source, chosen, report)
            return _copy(connection, source, chosen, order, report)
    except MemoryError as error:
        raise Refused(f"a part of the file does not fit the memory: {error}", "memory_exceeded") from error
    except OSError as error:
        if error.errno is None:
            # What Arrow says of damaged files has no number of the system's.
            raise Refused(f"the file cannot be read as {order.format}: {error}") from error
        raise RuntimeError(f"IO exception: {error}") from error
    except pa.ArrowException as error:
        raise Refused(f"the file cannot be read as {order.format}: {error}") from error


def _copy(
    connection: kuzu.Connection, source: Source, chosen: LoadPlan, order: RunLoad, report: SkipReport
) -> dict[str, Any]:
    if order.ignore_errors:
        engine.run(connection, "CALL clear_warnings()").close()
    if isinstance(source, ParquetSource) and read_by_engine(source.file, chosen):
        rows = source.file.metadata.num_rows
        inserted = statements.copy_file(connection, chosen, order.path, order.ignore_errors)
        report.add_warnings(connection, rows - inserted)
        return _outcome(rows, inserted, report)
    segments = _segments(source, chosen, SEGMENT_BYTES, order.ignore_errors, report)
    started = list(islice(segments, 2))
    inserted = 0
    if chosen.pair and len(started) > 1 and all(field.type.kind in _SPOOLED for field in chosen.fields):
        spool = f"{order.path}.spool"
        rows = _spool(spool, _drained(started, segments))
        inserted = statements.copy_spooled(connection, chosen, spool, order.ignore_errors)
        report.add_warnings(connection, rows - inserted)
        return _outcome(inserted + report.skipped, inserted, report)
    for segment in _drained(started, segments):
        added = statements.copy_rows(connection, chosen, segment, order.ignore_errors)
        report.add_warnings(connection, len(segment) - added)
        inserted += added
    return _outcome(inserted + report.skipped, inserted, report)


def _drained(started: list[pa.Table], rest: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Those and then the rest, none of them kept."""
    while started:
        yield started.pop(0)
    yield from rest


def _spool(path: str, segments: Iterator[pa.Table]) -> int:
    """The segments in one Parquet file beside the staged one, in whose folder it goes away; the number of rows."""
    first = next(segments)
    rows = len(first)
    with parquet.ParquetWriter(path, first.schema, compression="none", use_dictionary=False) as writer:
        writer.write_table(first, row_group_size=_SPOOL_ROWS)
        del first
        for segment in segments:
            writer.write_table(segment, row_group_size=_SPOOL_ROWS)
            rows += len(segment)
    return rows


def _log(connection: kuzu.Connection, source: Source, chosen: LoadPlan, report: SkipReport) -> dict[str, Any]:
    limit = LOGGED_RELATIONSHIPS if chosen.pair else LOGGED_NODES
    segments = []
    rows = 0
    for segment in _segments(source, chosen, LOGGED_BYTES, False, report):
        segments.append(segment)
        rows += len(segment)
        if rows > limit or len(segments) > 1:
            raise BulkNeeded(f"more than {limit} rows or {LOGGED_BYTES} bytes")
    for segment in segments:
        statements.log_rows(connection, chosen, segment)
    return _outcome(rows, rows, report)


def _segments(
    source: Source, chosen: LoadPlan, most: int, ignore_errors: bool, report: SkipReport
) -> Iterator[pa.Table]:
    """Converted rows in tables of about `most` bytes, their columns named c0, c1, .. in the plan's order."""
    names = [f"c{index}" for index in range(len(chosen.fields))]
    waiting: list[pa.RecordBatch] = []
    size = 0
    for part in source.parts(chosen):
        for number in part.malformed:
            report.add("malformed row", f"row {number}")
        if not part.rows:
            continue
        batch = pa.RecordBatch.from_arrays(part.arrays, names=names)
        if part.bad:
            bad = {row.at: row for row in reversed(part.bad)}
            if not ignore_errors:
                _refuse(part.number(min(bad)), bad[min(bad)].column, bad[min(bad)].reason)
            for index in sorted(bad):
                reason = f"unfit value in {bad[index].column}" if bad[index].column else "malformed row"
                report.add(reason, f"row {part.number(index)}: {bad[index].reason}")
            batch = batch.filter(pa.array([index not in bad for index in range(part.rows)]))
        waiting.append(batch)
        size += batch.nbytes
        if size >= most:
            yield pa.Table.from_batches(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _refuse(row: int, column: str, reason: str) -> None:
    where = f"row {row}, column {column}: " if column else f"row {row} "
    raise Refused(where + reason, "runtime")


def _outcome(processed: int, inserted: int, report: SkipReport) -> dict[str, Any]:
    return {
        "rows_processed": processed,
        "rows_inserted": inserted,
        "rows_skipped": report.skipped,
        "skipped": report.listed(),
    }
