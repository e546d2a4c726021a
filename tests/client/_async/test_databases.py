"""Databases and rows on a real node."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from kuzu_client._async.client import AsyncKuzuClient
from kuzu_client.errors import KuzuAPIError, KuzuClientError

pytestmark = pytest.mark.anyio

TABLE = pa.table({"id": list(range(100, 400)), "name": [f"n{n}" for n in range(100, 400)]})


async def test_the_node_tells_of_itself(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url) as client:
        assert (await client.health_check()).status in ("healthy", "degraded")
        info = await client.get_info()
        assert graph in info.databases
        assert (await client.get_metrics())["databases"]["count"] >= 1
        listed = await client.list_databases()
        assert graph in [database["graph_id"] for database in listed.databases]


async def test_a_database_is_made_looked_at_and_deleted(url: str, graph: str) -> None:
    name = f"{graph}_2"
    async with AsyncKuzuClient(url) as client:
        assert not await client.database_exists(name)
        created = await client.create_database(name)
        assert (created.graph_id, created.status) == (name, "success")
        with pytest.raises(KuzuAPIError) as twice:
            await client.create_database(name)
        assert (twice.value.status_code, twice.value.code) == (409, "exists")
        assert await client.database_exists(name)
        assert (await client.get_database(name)) == (await client.get_database_info(name))
        assert (await client.get_database_metrics(name)).node_count == 0
        assert "Entity" in [table.name for table in await client.get_schema(name)]
        await client.delete_database(name)
        with pytest.raises(KuzuClientError) as gone:
            await client.get_database(name)
        assert gone.value.code == "unknown_database"


async def test_a_database_is_ensured_once_and_again(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url) as client:
        for _ in range(2):
            await client.ensure_database_exists(graph)
        name = f"{graph}_3"
        await client.ensure_database_exists(name)
        assert await client.database_exists(name)
        await client.delete_database(name)


async def test_rows_come_from_files_of_every_format(url: str, graph: str, tmp_path: Path) -> None:
    parts = [TABLE.slice(start, 50) for start in range(0, 300, 50)]
    pyarrow.parquet.write_table(parts[0], tmp_path / "rows.parquet")
    with pyarrow.ipc.new_stream(tmp_path / "rows.arrows", TABLE.schema) as stream:
        stream.write_table(parts[1])
    with pyarrow.ipc.new_file(tmp_path / "rows.arrow", TABLE.schema) as file:
        file.write_table(parts[2])
    parts[3].to_pandas().to_csv(tmp_path / "rows.csv", index=False)
    parts[4].to_pandas().to_json(tmp_path / "rows.ndjson", orient="records", lines=True)
    parts[5].to_pandas().to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        for path in sorted(tmp_path.iterdir()):
            result = await client.upload_rows(graph, "P", path)
            assert (result.status, result.rows_inserted) == ("completed", 50), path
        rows = await client.execute_query("MATCH (p:P) WHERE p.id >= 100 RETURN p.id AS id, p.name AS name ORDER BY id")
        assert rows == TABLE.to_pylist()


async def test_rows_come_from_tables_readers_frames_and_bytes(url: str, graph: str) -> None:
    parts = [TABLE.slice(start, 60) for start in range(0, 300, 60)]
    told: list[tuple[int, int | None]] = []
    async with AsyncKuzuClient(url) as client:
        for data in (parts[0], parts[1].to_reader(20), parts[2].to_pandas(), parts[3].to_batches()[0]):
            result = await client.upload_rows(graph, "P", data, progress=lambda sent, total: told.append((sent, total)))
            assert result.rows_inserted == 60
        text = parts[4].to_pandas().to_csv(index=False, sep="\t", header=False).encode()
        await client.upload_rows(
            graph,
            "P",
            text,
            format="csv",
            match="position",
            header=False,
            delimiter="\t",
            progress=lambda sent, total: told.append((sent, total)),
        )
        assert told[-1] == (len(text), len(text))
        assert (await client.get_database_metrics(graph)).node_count == 302


async def test_relationships_come_by_their_keys(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        frame = pd.DataFrame({"from": [1], "to": [2], "since": [pd.Timestamp("2020-02-02").date()]})
        assert (await client.upload_rows(graph, "KNOWS", frame)).rows_inserted == 1
        row = await client.execute_single("MATCH (a:P)-[k:KNOWS]->(b:P) RETURN a.id AS a, k.since AS s, b.id AS b")
        assert row == {"a": 1, "s": "2020-02-02", "b": 2}


async def test_rows_that_do_not_fit_are_refused_or_skipped(url: str, graph: str) -> None:
    rows = b'{"id": 1, "name": "again"}\n{"id": 50, "name": "new"}\n'
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        with pytest.raises(KuzuAPIError) as caught:
            await client.upload_rows(graph, "P", rows, format="ndjson")
        assert caught.value.committed is False
        assert not await client.node_exists("P", {"id": 50})
        result = await client.upload_rows(graph, "P", rows, format="ndjson", ignore_errors=True)
        assert (result.rows_inserted, result.rows_skipped) == (1, 1)
        assert await client.node_exists("P", {"id": 50})
