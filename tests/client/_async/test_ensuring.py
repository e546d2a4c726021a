"""Databases that another client makes at the same moment."""

from __future__ import annotations

import pytest

from kuzu_client._async.client import AsyncKuzuClient
from kuzu_client.errors import KuzuAPIError
from tests.client.calls import QUICK
from tests.client.scripted import answers, problem, resets_after_reading, scripted

pytestmark = pytest.mark.anyio


async def test_a_database_that_another_one_makes_meanwhile_is_there() -> None:
    with scripted(problem(404, "unknown_database"), problem(409, "exists")) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            await client.ensure_database_exists("g")
    assert [request.method for request in server.received] == ["GET", "POST"]


async def test_a_database_that_was_made_before_the_answer_was_lost_is_there() -> None:
    with scripted(problem(404, "unknown_database"), resets_after_reading, problem(409, "exists")) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            await client.ensure_database_exists("g")
    assert [request.method for request in server.received] == ["GET", "POST", "POST"]


@pytest.mark.parametrize(("status", "code"), [(409, "conflict"), (507, "node_full"), (401, "invalid_key")])
async def test_any_other_refusal_is_raised(status: int, code: str) -> None:
    with scripted(problem(404, "unknown_database"), problem(status, code)) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            with pytest.raises(KuzuAPIError) as caught:
                await client.ensure_database_exists("g")
    assert (caught.value.status_code, caught.value.code) == (status, code)


async def test_whether_a_database_exists_is_not_guessed_from_other_errors() -> None:
    with scripted(answers({"graph_id": "g"}), problem(404, "unknown_database"), problem(403, "forbidden")) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            assert await client.database_exists("g")
            assert not await client.database_exists("g")
            with pytest.raises(KuzuAPIError):
                await client.database_exists("g")


async def test_a_database_is_asked_for_once_when_the_answer_is_lost() -> None:
    with scripted(resets_after_reading, answers({"status": "success"}, 201)) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            with pytest.raises(KuzuAPIError) as caught:
                await client.create_database("g")
    assert (caught.value.committed, len(server.received)) == (None, 1)
