"""Staged files through a confined worker: what is imported late there cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from kuzu_node.engine.database import Database
from kuzu_node.engine.values import LoadRequest, LoadResult
from kuzu_node.errors import NodeError
from tests.engine.nodes import ask, create, opened

pytestmark = pytest.mark.trio

ROWS = [{"id": number, "s": f"ä{number}"} for number in range(1, 4)]
# Made here, since the first table imports what takes longer than the loop may stand still.
TABLE = pa.Table.from_pylist(ROWS)


def write(path: Path, kind: str) -> None:
    if kind == "csv":
        path.write_text("id,s\n" + "".join(f"{row['id']},{row['s']}\n" for row in ROWS), encoding="utf-8")
    elif kind == "ndjson":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    elif kind == "parquet":
        pyarrow.parquet.write_table(TABLE, path)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, TABLE.schema) as writer:
            writer.write_table(TABLE)


async def load(database: Database, kind: str, *, ignore_errors: bool) -> LoadResult:
    async with database.staging() as folder:
        path = folder / f"rows.{kind}"
        write(path, kind)
        return await database.load(LoadRequest(table="P", path=str(path), format=kind, ignore_errors=ignore_errors))


async def test_each_format_goes_in_by_either_way_in_a_confined_worker(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_SANDBOX="required") as node:
        for kind in ("csv", "ndjson", "parquet", "arrow"):
            database = await create(node, kind)
            first = await load(database, kind, ignore_errors=False)
            assert (first.rows_inserted, first.rows_skipped) == (3, 0)
            again = await load(database, kind, ignore_errors=True)
            assert (again.rows_processed, again.rows_inserted, again.rows_skipped) == (3, 0, 3)
            assert await ask(database, "MATCH (p:P) RETURN p.id AS id, p.s AS s ORDER BY id") == ROWS


async def test_a_file_that_cannot_be_read_is_an_answer_and_not_a_hang(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        for kind in ("csv", "ndjson", "parquet", "arrow"):
            with pytest.raises(NodeError) as caught:
                await database.load(LoadRequest(table="P", path=str(tmp_path / "g" / "gone"), format=kind))
            assert caught.value.committed is False
        assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 0}]
        assert database.info().restarts == 0
