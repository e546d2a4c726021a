"""ISO 8601 text of dates, timestamps and intervals, for whole Arrow arrays and for Python's values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable

import pyarrow as pa
import pyarrow.compute as pc

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAY = 86_400
# Outside of the years 0000 to 9999 pyarrow's text has another width, and from 32768 on it is wrong.
_FIRST_DAY, _LAST_DAY = -719_528, 2_932_896
_MICROSECOND = dt.timedelta(microseconds=1)


def date_text(array: pa.Array) -> pa.Array:
    """Texts of a date32 array, null where it is null."""
    days = array.view(pa.int32())
    if _within(days, _FIRST_DAY, _LAST_DAY):
        return pc.cast(array, pa.string())
    return _each(days, civil_date)


def timestamp_text(array: pa.Array) -> pa.Array:
    """Texts of a timestamp array of any unit, with `Z` where it has a zone (which is then UTC)."""
    unit, zone = array.type.unit, "" if array.type.tz is None else "Z"
    counts = array.view(pa.int64())
    scale = _PER_SECOND[unit]
    if not _within(counts, _FIRST_DAY * _DAY * scale, ((_LAST_DAY + 1) * _DAY * scale) - 1):
        return _each(counts, timestamp_writer(array.type))
    text = pc.cast(counts.view(pa.timestamp(unit)), pa.string())
    text = pc.binary_replace_slice(text, 10, 11, "T")
    if unit != "s":
        text = pc.ascii_rtrim(pc.ascii_rtrim(text, "0"), ".")
    return pc.binary_join_element_wise(text, zone, "") if zone else text


def timestamp_writer(kind: pa.TimestampType) -> Callable[[int], str]:
    """What writes one count of a timestamp type's units."""
    scale, zone = _PER_SECOND[kind.unit], "" if kind.tz is None else "Z"
    return lambda count: civil_timestamp(count, scale) + zone


def interval_text(array: pa.Array) -> pa.Array:
    """Texts of a duration array. Intervals are rare enough for a loop."""
    microseconds = array.view(pa.int64())
    return _each(microseconds, duration)


def civil_date(days: int) -> str:
    """The date `days` after 1970-01-01 in the proleptic Gregorian calendar, whatever the year.

    Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    return f"{'-' if year < 0 else ''}{abs(year):04}-{month:02}-{day:02}"


def civil_timestamp(count: int, per_second: int) -> str:
    """The moment `count` units after 1970-01-01T00:00:00, without a zone and without needless digits."""
    seconds, fraction = divmod(count, per_second)
    days, second = divmod(seconds, _DAY)
    text = f"{civil_date(days)}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return text + _fraction(fraction, per_second)


def duration(microseconds: int) -> str:
    """`P1DT2H3M4.5S`, parts that are zero left out. The engine hands months out as 30 days each."""
    sign = "-" if microseconds < 0 else ""
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    days, second = divmod(seconds, _DAY)
    date = f"{days}D" if days else ""
    time = "".join([f"{count}{unit}" for count, unit in ((second // 3600, "H"), (second // 60 % 60, "M")) if count])
    if second % 60 or fraction or not (date or time):
        time += f"{second % 60}{_fraction(fraction, 1_000_000)}S"
    return f"{sign}P{date}{'T' if time else ''}{time}"


def python_text(value: dt.date | dt.timedelta) -> str:
    """The same texts for what the engine hands out with rows."""
    if isinstance(value, dt.timedelta):
        return duration(value // _MICROSECOND)
    if not isinstance(value, dt.datetime):
        return value.isoformat()
    text = value.replace(tzinfo=None).isoformat()
    if value.microsecond:
        text = text.rstrip("0")
    return text if value.tzinfo is None else text + "Z"


def _fraction(count: int, per_second: int) -> str:
    digits = len(str(per_second)) - 1
    return f".{count:0{digits}}".rstrip("0") if count else ""


def _within(counts: pa.Array, first: int, last: int) -> bool:
    bounds = pc.min_max(counts)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    return low is None or (first <= low and high <= last)


def _each(counts: pa.Array, write: Callable[[int], str]) -> pa.Array:
    values: Iterable[int | None] = counts.to_pylist()
    return pa.array([None if count is None else write(count) for count in values], pa.string())
