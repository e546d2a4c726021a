"""One value of a file as the plain Python value that Arrow takes for a column type. Raises ValueError with the reason.

Text is read as the answers of the node write it: ISO 8601, base64, exact digits.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import decimal
import re
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from kuzu_node.worker.load.types import INTEGERS, TIMESTAMPS, ColumnType

_INTEGER = re.compile(r"^\s*[+-]?\d+\s*$", re.ASCII)
_DECIMAL = re.compile(r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?\s*$", re.ASCII)
_MOMENT = re.compile(
    r"^\s*([+-]?\d{1,6})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9})\d*)?)?)?\s*(?:(Z|UTC)|([+-])(\d{2}):?(\d{2})?)?\s*$",
    re.ASCII,
)
_ISO_INTERVAL = re.compile(
    r"^\s*([+-])?P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)W)?(?:(-?\d+)D)?"
    r"(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?)(\d+)(?:\.(\d{1,9})\d*)?S)?)?\s*$",
    re.ASCII,
)
_SPOKEN_INTERVAL = re.compile(
    r"^\s*((?:[+-]?\d+\s*[a-z]+\s*)*)(?:(-?)(\d+):(\d{2}):(\d{2})(?:\.(\d{1,9})\d*)?)?\s*$", re.ASCII | re.IGNORECASE
)
_AMOUNT = re.compile(r"([+-]?\d+)\s*([a-z]+)", re.ASCII | re.IGNORECASE)
_TRUE, _FALSE = frozenset({"true", "t", "1"}), frozenset({"false", "f", "0"})
_SECOND = 1_000_000_000
_DAY = 86_400
_UNITS = {"s": _SECOND, "ms": 1_000_000, "us": 1000, "ns": 1}
# months, days, nanoseconds of one unit, by the names that the engine knows
_SPANS = {
    "year": (12, 0, 0), "yr": (12, 0, 0), "y": (12, 0, 0),
    "month": (1, 0, 0), "mon": (1, 0, 0),
    "week": (0, 7, 0), "w": (0, 7, 0),
    "day": (0, 1, 0), "d": (0, 1, 0), "dayofmonth": (0, 1, 0),
    "hour": (0, 0, 3600 * _SECOND), "hr": (0, 0, 3600 * _SECOND), "h": (0, 0, 3600 * _SECOND),
    "minute": (0, 0, 60 * _SECOND), "min": (0, 0, 60 * _SECOND), "m": (0, 0, 60 * _SECOND),
    "second": (0, 0, _SECOND), "sec": (0, 0, _SECOND), "s": (0, 0, _SECOND),
    "millisecond": (0, 0, 1_000_000), "msec": (0, 0, 1_000_000), "ms": (0, 0, 1_000_000),
    "microsecond": (0, 0, 1000), "usec": (0, 0, 1000), "us": (0, 0, 1000),
}  # fmt: skip
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_INT128 = 1 << 127


def integer(value: Any, column: ColumnType) -> int:
    found = _whole(value)
    kind = INTEGERS[column.kind]
    bits = kind.bit_width
    low, high = (0, 1 << bits) if str(kind).startswith("u") else (-(1 << bits - 1), 1 << bits - 1)
    if not low <= found < high:
        raise ValueError(f"{found} is not within the range of {column.text}")
    return found


def int128(value: Any, column: ColumnType) -> str:
    found = _whole(value)
    if not -_INT128 <= found < _INT128:
        raise ValueError(f"{found} is not within the range of INT128")
    return str(found)


def real(value: Any, column: ColumnType) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal | str):
        raise ValueError(f"{_shown(value)} is not a number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{_shown(value)} is not a number that fits {column.text}") from None


def boolean(value: Any, column: ColumnType) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(f"{_shown(value)} is neither true nor false")


def text(value: Any, column: ColumnType) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, int | float | decimal.Decimal):
        return str(value)
    raise ValueError(f"{_shown(value)} is not text")


def blob(value: Any, column: ColumnType) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(_string(value), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{_shown(value)} is not base64") from None


def unique_id(value: Any, column: ColumnType) -> str:
    try:
        found = uuid.UUID(bytes=value) if isinstance(value, bytes) else uuid.UUID(_string(value).strip())
    except ValueError:
        raise ValueError(f"{_shown(value)} is not a UUID") from None
    return str(found)


def json_text(value: Any, column: ColumnType) -> str:
    if not isinstance(value, str):
        return msgspec.json.Encoder(decimal_format="number").encode(value).decode()
    try:
        msgspec.json.decode(value)
    except ValueError:
        raise ValueError(f"{_shown(value)} is not JSON text") from None
    return value


def fixed(value: Any, column: ColumnType) -> decimal.Decimal:
    """Rounds to the column's scale as the engine does, half away from zero."""
    if isinstance(value, float):
        value = repr(value)
    if isinstance(value, str) and not _DECIMAL.match(value):
        raise ValueError(f"{_shown(value)} is not a decimal number")
    if isinstance(value, bool) or not isinstance(value, str | int | decimal.Decimal):
        raise ValueError(f"{_shown(value)} is not a decimal number")
    context = decimal.Context(prec=80, rounding=decimal.ROUND_HALF_UP)
    try:
        found = decimal.Decimal(value).quantize(decimal.Decimal(1).scaleb(-column.scale), context=context)
    except decimal.InvalidOperation:
        raise ValueError(f"{_shown(value)} is not within the range of {column.text}") from None
    if found.copy_abs() >= decimal.Decimal(10) ** (column.precision - column.scale):
        raise ValueError(f"{_shown(value)} is not within the range of {column.text}")
    return found


def date(value: Any, column: ColumnType) -> int:
    """Days since 1970; the time of day, if there is one, is left out."""
    days = _moment(value)[0] // _DAY
    if not -(1 << 31) <= days < 1 << 31:
        raise ValueError(f"{_shown(value)} is not within the range of DATE")
    return days


def timestamp(value: Any, column: ColumnType) -> int:
    """Units of the column's type since 1970 in UTC; finer digits are cut off."""
    seconds, nanoseconds = _moment(value)
    found = (seconds * _SECOND + nanoseconds) // _UNITS[TIMESTAMPS[column.kind].unit]
    if not -(1 << 63) <= found < 1 << 63:
        raise ValueError(f"{_shown(value)} is not within the range of {column.text}")
    return found


def interval(value: Any, column: ColumnType) -> tuple[int, int, int]:
    """Months, days, nanoseconds."""
    if isinstance(value, dt.timedelta):
        return 0, value.days, (value.seconds * 1_000_000 + value.microseconds) * 1000
    if isinstance(value, tuple):
        return value[0], value[1], value[2]
    months, days, nanoseconds = _interval(_string(value))
    if max(abs(months), abs(days)) >= 1 << 31 or abs(nanoseconds) >= 1 << 63:
        raise ValueError(f"{_shown(value)} is not within the range of INTERVAL")
    return months, days, nanoseconds


def _interval(value: str) -> tuple[int, int, int]:
    if iso := _ISO_INTERVAL.match(value):
        if not any(iso.groups()[1:]):
            raise ValueError(f"{_shown(value)} is not an interval")
        years, months, weeks, days, hours, minutes = (int(iso[group] or 0) for group in range(2, 8))
        rest = _nanoseconds(iso[9], iso[10]) * (-1 if iso[8] else 1)
        found = (years * 12 + months, weeks * 7 + days, (hours * 3600 + minutes * 60) * _SECOND + rest)
        return (-found[0], -found[1], -found[2]) if iso[1] == "-" else found
    spoken = _SPOKEN_INTERVAL.match(value)
    if not spoken or not (spoken[1] or spoken[3]):
        raise ValueError(f"{_shown(value)} is not an interval")
    clock = (int(spoken[3] or 0) * 3600 + int(spoken[4] or 0) * 60) * _SECOND + _nanoseconds(spoken[5], spoken[6])
    found = (0, 0, -clock if spoken[2] else clock)
    for amount, unit in _AMOUNT.findall(spoken[1]):
        name = unit.lower()
        span = _SPANS.get(name) or _SPANS.get(name.removesuffix("s"))
        if span is None:
            raise ValueError(f"{_shown(value)} is not an interval: {unit} is no unit")
        found = (found[0] + int(amount) * span[0], found[1] + int(amount) * span[1], found[2] + int(amount) * span[2])
    return found


def _nanoseconds(seconds: str | None, fraction: str | None) -> int:
    return int(seconds or 0) * _SECOND + int((fraction or "").ljust(9, "0"))


def _moment(value: Any) -> tuple[int, int]:
    """Seconds since 1970 in UTC and nanoseconds."""
    if isinstance(value, dt.date):
        value = value.isoformat()
    found = _MOMENT.match(_string(value))
    if not found:
        raise ValueError(f"{_shown(value)} is not a date or time of ISO 8601")
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    hour, minute, second = int(found[4] or 0), int(found[5] or 0), int(found[6] or 0)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not (1 <= month <= 12 and 1 <= day <= _MONTH_DAYS[month - 1] + (leap and month == 2)):
        raise ValueError(f"{_shown(value)} is not a day of the calendar")
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"{_shown(value)} is not a time of day")
    seconds = _days(year, month, day) * _DAY + hour * 3600 + minute * 60 + second
    if found[9]:
        offset = int(found[10]) * 3600 + int(found[11] or 0) * 60
        seconds += offset if found[9] == "-" else -offset
    return seconds, int((found[7] or "").ljust(9, "0"))


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the proleptic Gregorian calendar, for years beyond those of `datetime`.

    http://howardhinnant.github.io/date_algorithms.html#days_from_civil
    """
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is not an integer")
    if isinstance(value, int):
        return value
    if isinstance(value, float | decimal.Decimal) and -_INT128 <= value < _INT128 and value == int(value):
        return int(value)
    if isinstance(value, str) and _INTEGER.match(value) and len(value) < 100:
        return int(value)
    raise ValueError(f"{_shown(value)} is not an integer")


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is not text")
    return value


def _shown(value: Any) -> str:
    """The value as the reader of the answer knows it, cut short."""
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


Leaf = Callable[[Any, ColumnType], Any]
LEAVES: dict[str, Leaf] = {
    **dict.fromkeys(INTEGERS, integer),
    **dict.fromkeys(TIMESTAMPS, timestamp),
    "INT128": int128,
    "FLOAT": real,
    "DOUBLE": real,
    "BOOL": boolean,
    "STRING": text,
    "BLOB": blob,
    "UUID": unique_id,
    "JSON": json_text,
    "DECIMAL": fixed,
    "DATE": date,
    "INTERVAL": interval,
}
