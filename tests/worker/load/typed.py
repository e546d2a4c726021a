"""Random column types with random values, each as Arrow holds it and as an answer of the node writes it in JSON."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
from typing import Any, NamedTuple

import pyarrow as pa
from hypothesis import strategies as st

from kuzu_node.worker.load.types import arrow_type, parse_type


class Sample(NamedTuple):
    """`held` is what `pa.array` takes for the type, `written` its JSON value, `read` what a row of the engine holds."""

    held: Any
    written: Any
    read: Any


Samples = st.SearchStrategy[Sample | None]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  the engine's plain moments have no zone


def _same(value: Any) -> Sample:
    return Sample(value, value, value)


def integers(bits: int, signed: bool) -> Samples:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return st.integers(low, high).map(_same)


def _moment(unit: str, zone: str) -> Samples:
    per_second = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}[unit]
    # TIMESTAMP_NS ends in 2262.
    low, high = (-62_000_000_000, 253_000_000_000) if unit != "ns" else (-9_000_000_000, 9_000_000_000)

    def sample(value: int) -> Sample:
        seconds, fraction = divmod(value, per_second)
        moment = _EPOCH + dt.timedelta(seconds=seconds)
        digits = f".{fraction:0{len(str(per_second)) - 1}d}" if fraction else ""
        read = (moment + dt.timedelta(microseconds=fraction * 1_000_000 // per_second)).replace(
            tzinfo=dt.UTC if zone else None
        )
        return Sample(value, moment.isoformat() + digits + zone, read)

    return st.integers(low * per_second, high * per_second).map(sample)


def _interval(parts: tuple[int, int, int]) -> Sample:
    months, days, microseconds = parts
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    sign = "-" if microseconds < 0 else ""
    read = dt.timedelta(days=months * 30 + days, microseconds=microseconds)
    return Sample((months, days, microseconds * 1000), f"P{months}M{days}DT{sign}{seconds}.{rest:06d}S", read)


def _decimal(value: int, scale: int) -> Sample:
    number = decimal.Decimal(value).scaleb(-scale, decimal.Context(prec=60))
    return Sample(number, f"{number:f}", number)


LEAVES: dict[str, Samples] = {
    "BOOL": st.booleans().map(_same),
    **{f"INT{bits}": integers(bits, True) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": integers(bits, False) for bits in (8, 16, 32, 64)},
    "INT128": st.integers(-(1 << 127), (1 << 127) - 1).map(lambda value: Sample(str(value), str(value), value)),
    "FLOAT": st.floats(width=32, allow_nan=False, allow_infinity=False).map(_same),
    "DOUBLE": st.floats(allow_nan=False, allow_infinity=False).map(_same),
    "STRING": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")).map(_same),
    "DATE": st.dates().map(lambda value: Sample((value - _EPOCH.date()).days, value.isoformat(), value)),
    "TIMESTAMP": _moment("us", ""),
    "TIMESTAMP_MS": _moment("ms", ""),
    "TIMESTAMP_SEC": _moment("s", ""),
    "TIMESTAMP_NS": _moment("ns", ""),
    "TIMESTAMP_TZ": _moment("us", "Z"),
    "INTERVAL": st.tuples(st.integers(-5000, 5000), st.integers(-9999, 9999), st.integers(-(10**15), 10**15)).map(
        _interval
    ),
    "DECIMAL(5, 2)": st.integers(-99999, 99999).map(lambda value: _decimal(value, 2)),
    "DECIMAL(38, 10)": st.integers(-(10**38) + 1, 10**38 - 1).map(lambda value: _decimal(value, 10)),
    "UUID": st.uuids(allow_nil=True).map(lambda value: Sample(str(value), str(value), value)),
    "BLOB": st.binary(max_size=20).map(lambda value: Sample(value, base64.b64encode(value).decode(), value)),
}
# Types that may be the key of a MAP whose keys are written as the text of a JSON object.
_KEYS = ("STRING", "INT64", "DATE", "UUID")


class Typed(NamedTuple):
    text: str
    samples: Samples


def nested() -> st.SearchStrategy[Typed]:
    """Without those that rows of the engine do not hold exactly when they stand inside others."""
    unfit = ("TIMESTAMP_NS", "DECIMAL")
    leaves = st.sampled_from([Typed(text, samples) for text, samples in LEAVES.items() if not text.startswith(unfit)])
    return _nested(st.recursive(leaves, _nested, max_leaves=3))


def _nested(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    structs = st.lists(inner, min_size=1, max_size=3).map(_struct)
    maps = st.tuples(st.sampled_from(_KEYS), inner).map(lambda pair: _map(*pair))
    return st.one_of(inner.map(_list), inner.map(_fixed), structs, maps)


def _many(given: list[Sample | None]) -> Sample:
    return Sample(*[[part and part[index] for part in given] for index in range(3)])


def _list(inner: Typed) -> Typed:
    return Typed(f"{inner.text}[]", st.lists(_or_null(inner.samples), max_size=4).map(_many))


def _fixed(inner: Typed) -> Typed:
    return Typed(f"{inner.text}[2]", st.lists(_or_null(inner.samples), min_size=2, max_size=2).map(_many))


def _struct(fields: list[Typed]) -> Typed:
    text = ", ".join(f"f{index} {field.text}" for index, field in enumerate(fields))

    def sample(given: tuple[Sample | None, ...]) -> Sample:
        names = [f"f{index}" for index in range(len(given))]
        return Sample(*[dict(zip(names, part, strict=True)) for part in _many(list(given))])

    return Typed(f"STRUCT({text})", st.tuples(*[_or_null(field.samples) for field in fields]).map(sample))


def _map(key: str, inner: Typed) -> Typed:
    def sample(given: list[tuple[Sample, Sample | None]]) -> Sample:
        return Sample(
            [(name.held, value and value.held) for name, value in given],
            {str(name.written): value and value.written for name, value in given},
            {name.read: value and value.read for name, value in given},
        )

    keys: Any = LEAVES[key]
    pairs = st.lists(st.tuples(keys, _or_null(inner.samples)), max_size=3, unique_by=lambda pair: str(pair[0].written))
    return Typed(f"MAP({key}, {inner.text})", pairs.map(sample))


def _or_null(samples: Samples) -> Samples:
    return st.one_of(st.none(), samples)


def columns(kinds: st.SearchStrategy[Typed]) -> st.SearchStrategy[tuple[str, list[Sample | None]]]:
    """The type's text and up to five values."""
    return kinds.flatmap(
        lambda kind: st.tuples(st.just(kind.text), st.lists(_or_null(kind.samples), min_size=1, max_size=5))
    )


def cell(written: Any) -> str | None:
    """As CSV has it."""
    if written is None or isinstance(written, str):
        return written
    return json.dumps(written, ensure_ascii=False)


def array(text: str, samples: list[Sample | None]) -> pa.Array:
    return pa.array([sample and sample.held for sample in samples], arrow_type(parse_type(text)))
