"""A database of a test's own, rows written in every format, and loads as a lane runs them."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import kuzu
import pyarrow as pa
from pyarrow import parquet

from kuzu_node.core.messages import Assign, RunLoad
from kuzu_node.worker import engine
from kuzu_node.worker.load import load_rows

FORMATS = ("parquet", "arrow", "csv", "ndjson")


@contextlib.contextmanager
def open_graph(directory: Path) -> Iterator[kuzu.Connection]:
    directory.mkdir(exist_ok=True)
    file = str(directory / "graph.kuzu")
    database = engine.open_database(Assign(str(directory), file, "", 128 << 20, 1 << 36, 0, 1, "off"))
    connection = kuzu.Connection(database, num_threads=1)
    connection.execute("CALL force_checkpoint_on_close=false")
    try:
        yield connection
    finally:
        connection.close()
        database.close()


def order(table: str, path: Path, **options: Any) -> RunLoad:
    """The format is the file's suffix."""
    settings: dict[str, Any] = {
        "format": path.suffix[1:],
        "ignore_errors": False,
        "match": "name",
        "header": True,
        "delimiter": ",",
        "logged": False,
    }
    return RunLoad(table, str(path), **(settings | options))


def load(connection: kuzu.Connection, table: str, path: Path, **options: Any) -> dict[str, Any]:
    """In a transaction of its own, as the lane does it."""
    connection.execute("BEGIN TRANSACTION")
    try:
        outcome = load_rows(connection, order(table, path, **options))
    except BaseException:
        with contextlib.suppress(RuntimeError):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return outcome


def rows(connection: kuzu.Connection, text: str) -> list[Any]:
    result = connection.execute(text)
    assert isinstance(result, kuzu.QueryResult)
    return result.get_all()


def write_table(path: Path, table: pa.Table) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    else:
        with pa.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table)
    return path


def write_csv(path: Path, names: Sequence[str], cells: Sequence[Sequence[str | None]], delimiter: str = ",") -> Path:
    """Nulls are empty, text is quoted."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerow(names)
        for row in cells:
            file.write(delimiter.join("" if cell is None else _quoted(cell) for cell in row) + "\r\n")
    return path


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def write_ndjson(path: Path, values: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in values), encoding="utf-8")
    return path
