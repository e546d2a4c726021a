"""Queries on a real node, in every form in which an answer comes."""

from __future__ import annotations

import json

import pytest

from kuzu_client._async.client import AsyncKuzuClient
from kuzu_client.errors import KuzuAPIError, KuzuClientError, KuzuSyntaxError

pytestmark = pytest.mark.anyio

MANY = "UNWIND range(1, 25000) AS x RETURN x, 'text ' + CAST(x AS STRING) AS s"
# The engine divides by zero behind the first chunks.
FAILS_LATE = "MATCH (b:Big) RETURN b.text AS t, 1 / (19000 - b.id) AS x"


async def test_a_query_answers_a_mapping_of_columns_and_rows(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url) as client:
        result = await client.query("MATCH (p:P {id: $id}) RETURN p.name AS name", graph, {"id": 2})
        assert (result.columns, result["data"], result.row_count) == (["name"], [{"name": "Grace"}], 1)
        assert result.database == graph


async def test_a_client_has_a_database_of_its_own_for_calls_that_name_none(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        assert await client.execute_query("MATCH (p:P) RETURN p.id AS id ORDER BY id") == [{"id": 1}, {"id": 2}]
        assert await client.execute_single("MATCH (p:P {id: $id}) RETURN p.name AS n", {"id": 1}) == {"n": "Ada"}
        assert await client.execute_single("MATCH (p:P {id: 3}) RETURN p.name AS n") is None
    async with AsyncKuzuClient(url) as client:
        await client.ensure_database_exists("sec")
        assert (await client.query("RETURN 1 AS one")).database == "sec"


async def test_a_client_counts_what_it_does(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        for _ in range(3):
            await client.query("RETURN 1", read_only=True)
        with pytest.raises(KuzuSyntaxError):
            await client.query("RETRN 1", read_only=True)
        counted = client.statistics()
        assert (counted.operations["query"].count, counted.operations["query"].errors) == (4, 1)
        assert (counted.retries, counted.breaker_trips) == (0, 0)
        assert (counted.connections_opened, counted.connections_reused) == (1, 3)


async def test_nodes_exist_by_their_values(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        await client.query("CREATE (:P {id: 3})")
        assert await client.node_exists("P")
        assert await client.node_exists("P", {"id": 1, "name": "Ada"})
        assert not await client.node_exists("P", {"id": 1, "name": "Grace"})
        assert await client.node_exists("P", {"name": None})
        assert not await client.node_exists("Big")


async def test_ddl_and_a_schema_change_what_get_schema_tells(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        await client.execute_ddl("CREATE NODE TABLE New(id INT64, PRIMARY KEY(id))")
        change = await client.install_schema(
            graph, custom_ddl="ALTER TABLE New ADD s STRING; COMMENT ON TABLE P IS 'x'"
        )
        assert (change.success, change.statements_executed) == (True, 2)
        tables = {table.name: table for table in await client.get_schema()}
        assert [column["name"] for column in tables["New"].properties] == ["id", "s"]
        assert tables["KNOWS"].connections == [{"from": "P", "to": "P"}]
        again = [await client.install_schema(graph, extensions=["ledger"]) for _ in range(2)]
        assert [change.success for change in again] == [True, True]


async def test_a_streamed_query_gives_chunks_and_ends_by_itself(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph, max_connections=1) as client:
        chunks = [chunk async for chunk in await client.query(MANY, streaming=True)]
        assert len(chunks) > 1
        assert [chunk.chunk_index for chunk in chunks] == list(range(len(chunks)))
        assert [chunk.is_last_chunk for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        assert (chunks[0].columns, chunks[-1].total_rows_sent) == (["x", "s"], 25000)
        async with await client.query(MANY, streaming=True) as result:
            assert sum([len(chunk.data) async for chunk in result]) == 25000


async def test_rows_and_lines_are_those_of_the_chunks(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        async with client.rows(MANY) as rows:
            found = [row async for row in rows]
        assert found == [{"x": x, "s": f"text {x}"} for x in range(1, 25001)]
        async with client.stream(MANY) as stream:
            lines = [line async for line in stream.lines()]
        assert [row for line in lines for row in json.loads(line)["data"]] == found


async def test_lines_end_at_line_feeds_alone(url: str, graph: str) -> None:
    text = "a\u2028b\u2029c\u0085d\re\nf"
    async with (
        AsyncKuzuClient(url, graph_id=graph) as client,
        client.rows("RETURN $s AS s", parameters={"s": text}) as rows,
    ):
        assert [row async for row in rows] == [{"s": text}]


async def test_a_stream_that_is_left_frees_the_client_for_others(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph, max_connections=1) as client:
        for _ in range(3):
            async with client.stream(MANY) as stream:
                async for chunk in stream:
                    assert chunk.chunk_index == 0
                    break
            assert (await client.query("RETURN 1 AS one")).data == [{"one": 1}]


async def test_an_iteration_that_is_left_is_closed_by_hand(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph, max_connections=1) as client:
        result = await client.query(MANY, streaming=True)
        async for _ in result:
            break
        await result.aclose()
        assert (await client.query("RETURN 1 AS one")).row_count == 1
        with pytest.raises(RuntimeError, match="closed"):
            await result.__anext__()


async def test_a_fault_of_the_text_tells_its_place(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        with pytest.raises(KuzuSyntaxError, match="Parser exception") as caught:
            await client.query("RETURN 1 AS\n  one two")
        assert (caught.value.code, caught.value.status_code, caught.value.committed) == ("syntax", 400, False)
        assert caught.value.line == 2
        chunks = await client.query("MATCH (n:Nobody) RETURN n", streaming=True)
        with pytest.raises(KuzuSyntaxError, match="Nobody") as caught:
            await chunks.__anext__()
        assert caught.value.code in ("binder", "catalog")


async def test_other_refusals_have_their_class_and_code(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        with pytest.raises(KuzuClientError) as refused:
            await client.query("CREATE (:P {id: 9})", read_only=True)
        assert (refused.value.status_code, refused.value.code) == (403, "read_only")
        with pytest.raises(KuzuAPIError) as twice:
            await client.query("CREATE (:P {id: 1})")
        assert (type(twice.value), twice.value.code, twice.value.committed) == (KuzuAPIError, "constraint", False)
        with pytest.raises(KuzuClientError) as unknown:
            await client.query("RETURN 1", "no_such_graph")
        assert (unknown.value.status_code, unknown.value.code) == (404, "unknown_database")


async def test_an_error_in_the_midst_of_a_stream_is_raised_there(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        rows = "id,text\n" + "".join(f"{n},{'x' * 50}\n" for n in range(20000))
        await client.upload_rows(graph, "Big", rows.encode(), format="csv")
        chunks = await client.query(FAILS_LATE, streaming=True)
        with pytest.raises(KuzuClientError, match="Divide by zero") as caught:
            async for _ in chunks:
                pass
        assert (caught.value.code, caught.value.committed) == ("runtime", False)
        assert (await client.query("RETURN 1 AS one")).row_count == 1


async def test_a_transaction_commits_as_a_whole_or_not_at_all(url: str, graph: str) -> None:
    async with AsyncKuzuClient(url, graph_id=graph) as client:
        result = await client.transaction(
            [
                ("CREATE (:P {id: $id})", {"id": 10}),
                {"cypher": "CREATE (:P {id: $id})", "parameter_sets": [{"id": 11}, {"id": 12}]},
                "MATCH (p:P) RETURN count(*) AS n",
            ]
        )
        assert result.results[-1]["data"] == [{"n": 5}]
        with pytest.raises(KuzuAPIError) as caught:
            await client.transaction([("CREATE (:P {id: $id})", {"id": 13}), ("CREATE (:P {id: $id})", {"id": 10})])
        assert (caught.value.code, caught.value.committed) == ("constraint", False)
        assert caught.value.response_data["statement"] == 1
        assert not await client.node_exists("P", {"id": 13})
