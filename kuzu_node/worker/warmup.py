"""What a spare does ahead of its first query: every import, and one table through every encoder."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import kuzu
import pyarrow.parquet  # noqa: F401  imported for its effect: files are read by it after the sandbox has closed

from kuzu_node.worker.encode import FORMS, Envelope, encode

_TEXT = (
    "UNWIND range(1, 600) AS i RETURN i, cast(i AS STRING) AS s, i * 0.5 AS d, date('2024-01-01') AS day, "
    "timestamp('2024-01-01 00:00:00') AS at, [i] AS l, {a: i} AS m"
)


def warm_up() -> tuple[str, int]:
    """The engine's version and its storage version."""
    ZoneInfo("UTC")
    database = kuzu.Database(":memory:", buffer_pool_size=32 << 20, max_db_size=1 << 30, max_num_threads=1)
    connection = kuzu.Connection(database, num_threads=1)
    for form in FORMS:
        for text in ("RETURN 1 AS a, 'x' AS b", _TEXT):
            result = connection.execute(text)
            assert isinstance(result, kuzu.QueryResult)
            for _ in encode(result, form, Envelope("-", 0.0, 500)):
                pass
            result.close()
    connection.close()
    database.close()
    return str(kuzu.version), int(kuzu.Database.get_storage_version())
