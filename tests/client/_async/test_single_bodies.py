"""Uploads from what can be read a single time."""

from __future__ import annotations

import pyarrow as pa
import pytest

from kuzu_client._async.client import AsyncKuzuClient
from kuzu_client.errors import KuzuTransientError
from tests.client.calls import QUICK
from tests.client.scripted import answers, problem, refusing, scripted

pytestmark = pytest.mark.anyio

TABLE = pa.table({"id": list(range(100))})


async def test_a_refusal_is_raised_as_it_came_since_nothing_is_left_to_send() -> None:
    with scripted(problem(503, "queue_full", committed=False), answers({"status": "completed"})) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            with pytest.raises(KuzuTransientError, match="queue_full") as caught:
                await client.upload_rows("g", "P", TABLE.to_reader())
    assert (caught.value.code, caught.value.committed, len(server.received)) == ("queue_full", False, 1)


async def test_a_node_that_is_not_there_is_told_of() -> None:
    with refusing() as url:
        async with AsyncKuzuClient(url, **QUICK) as client:
            with pytest.raises(KuzuTransientError, match="could not connect"):
                await client.upload_rows("g", "P", TABLE.to_reader())


async def test_a_table_is_sent_again() -> None:
    with scripted(
        answers({"features": []}),
        problem(503, "queue_full", {"Retry-After": "0"}, committed=False),
        answers({"status": "completed"}),
    ) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            assert (await client.upload_rows("g", "P", TABLE)).status == "completed"
    _, first, second = server.received
    assert first.body == second.body
    assert first.target == "/databases/g/tables/P/rows"
