"""Staged files read in parts of a few megabytes, each already in the form that the table's columns take."""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import pyarrow as pa
import pyarrow.csv as arrow_csv
from pyarrow import parquet

from kuzu_node.core.messages import RunLoad
from kuzu_node.worker.load.ndjson import NdjsonSource
from kuzu_node.worker.load.part import BadRow, Part
from kuzu_node.worker.load.refusal import Refused
from kuzu_node.worker.load.table import LoadPlan, Target
from kuzu_node.worker.load.types import INTEGERS
from kuzu_node.worker.load.values import convert

# What is read and converted at once; some times this much is in memory while it happens.
PART_BYTES = 4 << 20
PARQUET_ROWS = 8192
"""Rows of a Parquet file decoded at once: 8192 rows of a 2 KB embedding are 16 MB."""


class Source(Protocol):
    """`match` may differ from what was asked: a CSV without a header has no names."""

    match: str

    def names(self, target: Target) -> list[str]:
        """The columns of the file, in its order."""

    def parts(self, plan: LoadPlan) -> Iterator[Part]:
        """The rows, in the plan's order of fields."""


@contextmanager
def open_source(order: RunLoad) -> Iterator[Source]:
    """Raises Refused for a file that cannot be opened as what it is said to be."""
    match order.format:
        case "parquet":
            with parquet.ParquetFile(order.path, pre_buffer=False, buffer_size=1 << 20) as file:
                yield ParquetSource(file, order.match)
        case "arrow":
            with pa.OSFile(order.path) as raw:
                yield ArrowSource(raw, order.match)
        case "csv":
            yield CsvSource(order)
        case "ndjson":
            with open(order.path, "rb") as lines:
                yield NdjsonSource(lines, order.match)
        case _:
            raise Refused(f"files of the format {order.format} cannot be loaded")


class ParquetSource:
    def __init__(self, file: parquet.ParquetFile, match: str) -> None:
        self.file = file
        self.match = match

    def names(self, target: Target) -> list[str]:
        return list(self.file.schema_arrow.names)

    def parts(self, plan: LoadPlan) -> Iterator[Part]:
        first = 0
        for batch in self.file.iter_batches(batch_size=PARQUET_ROWS, use_threads=False):
            yield _converted(batch, plan, _counter(first))
            first += len(batch)


class ArrowSource:
    """An IPC stream, or the file format that wraps one."""

    def __init__(self, raw: pa.NativeFile, match: str) -> None:
        self.match = match
        if raw.read(6) == b"ARROW1":
            file = pa.ipc.open_file(raw)
            self._schema, self._batches = file.schema, (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            raw.seek(0)
            stream = pa.ipc.open_stream(raw)
            self._schema, self._batches = stream.schema, iter(stream)

    def names(self, target: Target) -> list[str]:
        return list(self._schema.names)

    def parts(self, plan: LoadPlan) -> Iterator[Part]:
        first = 0
        for batch in self._batches:
            step = max(1, len(batch) * PART_BYTES // max(batch.nbytes, PART_BYTES))
            for start in range(0, len(batch), step):
                yield _converted(batch.slice(start, step), plan, _counter(first + start))
            first += len(batch)


class CsvSource:
    """All cells are read as text; unquoted empty ones are null."""

    def __init__(self, order: RunLoad) -> None:
        if len(order.delimiter) != 1 or order.delimiter in '"\r\n' or ord(order.delimiter) > 127:
            raise Refused("the delimiter is one ASCII character")
        self._order = order
        self.match = order.match if order.header else "position"
        self._names = self._first_row()
        self._malformed: list[int] = []

    def names(self, target: Target) -> list[str]:
        return self._names if self._order.header else [f"column {index + 1}" for index in range(len(self._names))]

    def parts(self, plan: LoadPlan) -> Iterator[Part]:
        order = self._order
        keys = self._names if order.header else [f"f{index}" for index in range(len(self._names))]
        reader = arrow_csv.open_csv(
            order.path,
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=PART_BYTES, autogenerate_column_names=not order.header
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=order.delimiter, newlines_in_values=True, invalid_row_handler=self._invalid_row
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(keys, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        seen = 0
        reported = 0
        for batch in reader:
            number = self._counter(seen)
            seen += len(batch)
            part = _converted(batch, plan, number)
            part.malformed.extend(self._malformed[reported:])
            reported = len(self._malformed)
            yield part
        if reported < len(self._malformed):
            yield Part([], 0, [], _counter(seen), self._malformed[reported:])

    def _first_row(self) -> list[str]:
        try:
            with open(self._order.path, encoding="utf-8-sig", newline="") as file:
                rows = csv.reader(file, delimiter=self._order.delimiter)
                return next(row for row in rows if row)
        except StopIteration:
            raise Refused("the file is empty") from None
        except (UnicodeDecodeError, csv.Error) as error:
            raise Refused(f"the file is not CSV in UTF-8: {error}") from None

    def _invalid_row(self, row: arrow_csv.InvalidRow) -> str:
        if not self._order.ignore_errors:
            return "error"
        # Numbered from 1, the header line being one of them.
        self._malformed.append(row.number - (1 if self._order.header else 0))
        return "skip"

    def _counter(self, seen: int) -> Callable[[int], int]:
        """Rows are numbered as they stand in the file, so malformed ones before them count."""

        def number(index: int) -> int:
            row = seen + index + 1
            while True:
                shifted = seen + index + 1 + bisect_right(self._malformed, row)
                if shifted == row:
                    return row
                row = shifted

        return number


def _counter(first: int) -> Callable[[int], int]:
    return lambda index: first + index + 1


def _converted(batch: pa.RecordBatch, plan: LoadPlan, number: Callable[[int], int]) -> Part:
    arrays: list[pa.Array] = []
    bad: list[BadRow] = []
    for field in plan.fields:
        array, wrong = convert(batch.column(field.source), field.type)
        arrays.append(array)
        bad.extend(BadRow(index, field.name, reason) for index, reason in wrong)
    return Part(arrays, len(batch), bad, number, [])


# What the engine's reader of Parquet turns into each kind of column without loss.
_SAME: dict[str, set[str] | frozenset[str]] = {
    "BOOL": {"bool"},
    "STRING": {"string", "large_string"},
    "BLOB": {"binary", "large_binary"},
    "DATE": {"date32[day]"},
    "DOUBLE": {"double", "float"},
    "FLOAT": {"float"},
    **dict.fromkeys(
        ("TIMESTAMP", "TIMESTAMP_TZ"), frozenset({"timestamp[us]", "timestamp[ms]", "timestamp[us, tz=UTC]"})
    ),
    **dict.fromkeys(INTEGERS, frozenset(str(kind) for kind in INTEGERS.values())),
}
_CODECS = {"UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD"}
_ENCODINGS = {"PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY", "BIT_PACKED"}


def read_by_engine(file: parquet.ParquetFile, plan: LoadPlan) -> bool:
    """Whether COPY may read the file itself: flat columns of the table's own types in plain encodings."""
    schema, metadata = file.schema_arrow, file.metadata
    for field in plan.fields:
        if str(schema.field(field.source).type) not in _SAME.get(field.type.kind, ()) or "`" in field.name:
            return False
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(index)
            if chunk.compression not in _CODECS or not _ENCODINGS.issuperset(chunk.encodings):
                return False
    return True
