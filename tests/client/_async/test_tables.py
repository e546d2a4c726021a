"""Results as Arrow, pandas and polars."""

from __future__ import annotations

import sys

import pyarrow as pa
import pytest

from kuzu_client._async.client import AsyncKuzuClient
from kuzu_client.errors import KuzuSyntaxError

pytestmark = pytest.mark.anyio

MANY = "UNWIND range(1, 25000) AS x RETURN x, 'text ' + CAST(x AS STRING) AS s"


async def test_a_result_is_a_table_or_batches_as_they_come(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        table = await client.query_arrow(MANY)
        assert (table.num_rows, table.column("x").to_pylist()[-1], table.schema.field("x").type) == (
            25000,
            25000,
            pa.int64(),
        )
        async with await client.query_arrow(MANY, batches=True) as stream:
            assert await stream.schema() == table.schema
            batches = [batch async for batch in stream]
        assert pa.Table.from_batches(batches).equals(table)
        async with client.stream_arrow(MANY) as stream:
            first = await stream.__anext__()
            rest = await stream.read_all()
        assert first.num_rows + rest.num_rows == 25000


async def test_a_result_without_rows_is_a_table_with_columns(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        table = await client.query_arrow("MATCH (p:P {id: -1}) RETURN p.id AS id, p.name AS name")
        assert (table.num_rows, table.column_names) == (0, ["id", "name"])
        batches = [batch async for batch in client.stream_arrow("MATCH (p:P {id: -1}) RETURN p.id AS id")]
        assert sum(batch.num_rows for batch in batches) == 0


async def test_an_error_before_the_first_batch_is_the_same_as_in_any_form(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        with pytest.raises(KuzuSyntaxError):
            await client.query_arrow("RETRN 1")


async def test_a_result_is_a_frame_of_pandas(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        frame = await client.query_df("MATCH (p:P) RETURN p.id AS id, p.name AS name ORDER BY id")
        assert frame.to_dict("records") == [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}]


async def test_a_result_is_a_frame_of_polars(url: str, graph: str) -> None:
    pytest.importorskip("polars")
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        frame = await client.query_polars("MATCH (p:P) RETURN p.id AS id, p.name AS name ORDER BY id")
        assert frame.to_dicts() == [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}]


@pytest.mark.parametrize(
    ("package", "method"), [("pyarrow", "query_arrow"), ("pandas", "query_df"), ("polars", "query_polars")]
)
async def test_a_package_that_is_missing_is_named_before_anything_is_sent(
    package: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None there is what the import system takes for a module that cannot be found.
    monkeypatch.setitem(sys.modules, package, None)
    async with AsyncKuzuClient("http://127.0.0.1:1") as client:
        with pytest.raises(ImportError, match=f"{method} needs the package {package}: pip install {package}"):
            await getattr(client, method)("RETURN 1")
