"""One JSON object a line, read by msgspec: a block at once into typed rows, or line by line where that fails."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa

from kuzu_node.worker.load.part import BadRow, Part
from kuzu_node.worker.load.refusal import Refused
from kuzu_node.worker.load.table import LoadPlan, Target, listed
from kuzu_node.worker.load.types import AS_TEXT, FLOATS, INTEGERS, NESTED, ColumnType, arrow_type
from kuzu_node.worker.load.values import build, fast

BLOCK_BYTES = 2 << 20
LONGEST_LINE = 32 << 20
# Beyond that of a DOUBLE.
LARGEST_EXPONENT = 400

_TYPES: dict[str, Any] = {
    "BOOL": bool | None,
    "STRING": str | None,
    **dict.fromkeys(INTEGERS, int | None),
    **dict.fromkeys(FLOATS, float | None),
}


class NdjsonSource:
    """A missing key is null. Columns that only later rows name are known, unless the engine would fill them itself."""

    def __init__(self, file: BinaryIO, match: str) -> None:
        if match != "name":
            raise Refused("rows of NDJSON carry names: match=position is for the other formats")
        self.match = match
        self._blocks = _blocks(file)
        self._first = next(self._blocks, b"")
        self._named = False

    def names(self, target: Target) -> list[str]:
        found: dict[str, str] = {}
        for row in _objects(self._first):
            if isinstance(row, dict):
                for name in row:
                    found.setdefault(name.lower(), name)
        self._named = bool(found)
        for column in target.columns:
            name = column.name.replace("``", "`")
            if column.default == "NULL" and column.type_text != "SERIAL":
                found.setdefault(name.lower(), name)
        return list(found.values())

    @property
    def empty(self) -> bool:
        return not self._first.strip()

    def parts(self, plan: LoadPlan) -> Iterator[Part]:
        reader = _Reader(plan)
        seen = 0
        block: bytes | None = self._first
        while block is not None:
            part = reader.part(block, seen)
            seen += part.rows
            yield part
            block = next(self._blocks, None)


class _Reader:
    """Blocks into parts for one plan."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        fields = [(f"f{index}", _TYPES.get(field.type.kind, Any), None) for index, field in enumerate(plan.fields)]
        row = msgspec.defstruct(
            "Row",
            fields,
            rename={f"f{index}": field.name for index, field in enumerate(plan.fields)},
            forbid_unknown_fields=True,
            gc=False,
        )
        # A DECIMAL written as a number keeps its digits.
        self._decode = msgspec.json.Decoder(row, float_hook=_number).decode_lines
        self._indexes = {field.name.lower(): index for index, field in enumerate(plan.fields)}

    def part(self, block: bytes, seen: int) -> Part:
        number = lambda index: seen + index + 1  # noqa: E731  one line, used as a value
        typed = True
        try:
            rows = self._decode(block)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            typed = False
            columns, count, bad = self._line_by_line(block)
        else:
            count, bad = len(rows), []
            columns = [[getattr(row, f"f{i}") for row in rows] for i in range(len(self._indexes))]
        arrays = []
        for field, values in zip(self._plan.fields, columns, strict=True):
            array = _whole(values, field.type) if typed else None
            if array is None:
                array, wrong = build(values, field.type)
                bad.extend(BadRow(index, field.name, reason) for index, reason in wrong)
            arrays.append(array)
        return Part(arrays, count, bad, number, [])

    def _line_by_line(self, block: bytes) -> tuple[list[list[Any]], int, list[BadRow]]:
        columns: list[list[Any]] = [[] for _ in self._indexes]
        bad: list[BadRow] = []
        unknown: dict[str, None] = {}
        count = 0
        for row in _objects(block):
            values: list[Any] = [None] * len(columns)
            if isinstance(row, dict):
                for name, value in row.items():
                    index = self._indexes.get(name.lower())
                    if index is None:
                        unknown[name] = None
                    else:
                        values[index] = value
            else:
                bad.append(BadRow(count, "", row if isinstance(row, str) else "is not a JSON object"))
            for column, value in zip(columns, values, strict=True):
                column.append(value)
            count += 1
        if unknown:
            table = self._plan.table.name
            raise Refused(f"unknown columns: {listed(list(unknown))}; {table} and the first rows have none such")
        return columns, count, bad


def _number(digits: str) -> decimal.Decimal:
    """What no column holds becomes zero or infinite: to make an integer of 1e999999999 takes hours."""
    value = decimal.Decimal(digits)
    if abs(value.adjusted()) <= LARGEST_EXPONENT:
        return value
    return decimal.Decimal("Infinity").copy_sign(value) if value and value.adjusted() > 0 else decimal.Decimal(0)


def _whole(values: list[Any], column: ColumnType) -> pa.Array | None:
    """All at once by Arrow: values that are of the kind already, or text that it reads as such."""
    if column.kind in NESTED or column.kind in AS_TEXT:
        return None
    try:
        if column.kind in _TYPES:
            return pa.array(values, arrow_type(column))
        return fast(pa.array(values, pa.string()), column)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None


def _objects(block: bytes) -> Iterator[Any]:
    """The value of each line that is not blank; text that says what is wrong where there is none."""
    decode = msgspec.json.Decoder(float_hook=_number).decode
    for line in block.split(b"\n"):
        if line.strip():
            try:
                value = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                yield f"is not JSON: {error}"
            else:
                yield None if isinstance(value, str) else value


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines, some megabytes at once."""
    rest = b""
    while data := file.read(BLOCK_BYTES):
        cut = data.rfind(b"\n") + 1
        if not cut:
            rest += data
            if len(rest) > LONGEST_LINE:
                raise Refused(f"a line is longer than {LONGEST_LINE} bytes")
            continue
        yield rest + data[:cut]
        rest = data[cut:]
    if rest:
        yield rest
