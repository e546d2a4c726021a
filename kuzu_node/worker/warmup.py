"""What a spare does ahead of its first query: every import, one table through every encoder, one file of every format.

Modules that are only imported when they are first needed, codecs among them, cannot be read once the sandbox is closed.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from zoneinfo import ZoneInfo

import kuzu
import pyarrow as pa
import pyarrow.parquet

from kuzu_node.core.messages import RunLoad
from kuzu_node.worker import engine, load
from kuzu_node.worker.encode import FORMS, Envelope, encode

_TEXT = (
    "UNWIND range(1, 600) AS i RETURN i, cast(i AS STRING) AS s, i * 0.5 AS d, date('2024-01-01') AS day, "
    "timestamp('2024-01-01 00:00:00') AS at, [i] AS l, {a: i} AS m"
)
_TABLE = "CREATE NODE TABLE T(id INT64, s STRING, d DOUBLE, day DATE, at TIMESTAMP, n DECIMAL(9, 2), PRIMARY KEY(id))"
_ROW = {"id": 1, "s": "ä", "d": 0.5, "day": "2024-01-01", "at": "2024-01-01T00:00:00", "n": "1.25"}


def warm_up(base_path: Path) -> tuple[str, int]:
    """The engine's version and its storage version. Uses a folder of its own below `base_path` for a moment."""
    ZoneInfo("UTC")
    database = kuzu.Database(":memory:", buffer_pool_size=32 << 20, max_db_size=1 << 30, max_num_threads=1)
    connection = kuzu.Connection(database, num_threads=1)
    _encode_everything(connection)
    own = base_path / ".node"
    own.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=own, prefix="warm-up-") as folder:
        _load_everything(connection, Path(folder))
    connection.close()
    database.close()
    return str(kuzu.version), int(kuzu.Database.get_storage_version())


def _encode_everything(connection: kuzu.Connection) -> None:
    for form in FORMS:
        for text in ("RETURN 1 AS a, 'x' AS b", _TEXT):
            result = engine.run(connection, text)
            for _ in encode(result, form, Envelope("-", 0.0, 500)):
                pass
            result.close()


def _load_everything(connection: kuzu.Connection, folder: Path) -> None:
    """Each format by COPY and by single statements, and one in which rows may be left out."""
    engine.run(connection, _TABLE).close()
    for name, path in _files(folder).items():
        for logged, ignore_errors in ((False, name == "csv"), (True, False)):
            engine.run(connection, "BEGIN TRANSACTION").close()
            try:
                load.load_rows(
                    connection,
                    RunLoad(
                        "T", str(path), name, ignore_errors, match="name", header=True, delimiter=",", logged=logged
                    ),
                )
            finally:
                engine.run(connection, "ROLLBACK").close()


def _files(folder: Path) -> dict[str, Path]:
    paths = {name: folder / f"rows.{name}" for name in ("csv", "ndjson", "parquet", "arrow")}
    paths["csv"].write_text(",".join(_ROW) + "\n" + ",".join(map(str, _ROW.values())) + "\n", encoding="utf-8")
    paths["ndjson"].write_text(json.dumps(_ROW) + "\n", encoding="utf-8")
    table = pa.Table.from_pylist([{"id": 1, "s": "ä", "d": 0.5}])
    pyarrow.parquet.write_table(table, paths["parquet"])
    with pa.OSFile(str(paths["arrow"]), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return paths
