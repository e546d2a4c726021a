"""Many orders at once: they are answered as if each had been asked alone, whatever was run together."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import trio

from kuzu_node.engine import several
from kuzu_node.engine.sessions import Session
from kuzu_node.http.session import orders
from tests.http.session.sockets import FOREVER, Client, running

pytestmark = pytest.mark.trio
READS = 200


async def all_answers(client: Client, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sent together, heard one after the other; rows of long answers are put together."""
    numbers: list[int] = []

    async def send() -> None:
        numbers.extend([await client.say("query", **order) for order in asked])

    answers: list[dict[str, Any]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        rows: list[Any] = []
        while len(answers) < len(asked):
            message = await client.hear()
            if message["type"] == "rows":
                rows += message["rows"]
            elif message["type"] != "columns":
                answers.append(message | ({"rows": rows} if rows else {}))
                rows = []
    assert [answer["id"] for answer in answers] == numbers
    return answers


def some_order(choose: random.Random, number: int) -> tuple[dict[str, Any], Any]:
    """And what is to be heard: rows, the code of an error, or the number of rows that there were until then."""
    kind = choose.choice(["read"] * 12 + ["write", "write", "count", "wrong", "empty", "long", "failing", "timed"])
    match kind:
        case "write":
            return {"cypher": f"CREATE (:P {{id: {number}}})"}, []
        case "count":
            return {"cypher": "MATCH (p:P) RETURN count(*) AS n"}, None
        case "wrong":
            return {"cypher": "RETURN nothing"}, "binder"
        case "empty":
            return {"cypher": " "}, "empty_query"
        case "long":
            return {"cypher": "UNWIND range(1, 3000) AS x RETURN x"}, [{"x": x} for x in range(1, 3001)]
        case "failing":
            return {"cypher": "RETURN cast('x' AS INT64)"}, "runtime"
        case "timed":
            return {"cypher": f"RETURN {number} AS n", "timeout": 5}, [{"n": number}]
    return {"cypher": "RETURN $n AS n, $s AS s", "parameters": {"n": number, "s": "é"}}, [{"n": number, "s": "é"}]


@pytest.mark.parametrize("seed", range(4))
async def test_a_mixture_of_orders_is_answered_as_one_by_one(tmp_path: Path, seed: int) -> None:
    choose = random.Random(seed)
    wanted = [some_order(choose, number) for number in range(200)]
    async with running(tmp_path) as node, node.client() as client:
        answers = await all_answers(client, [order for order, _ in wanted])
    written = 0
    for answer, (order, expected) in zip(answers, wanted, strict=True):
        if isinstance(expected, str):
            assert (answer["type"], answer["code"]) == ("error", expected), order
        elif expected is None:
            assert answer["rows"] == [{"n": written}]
        else:
            assert answer.get("rows", []) == expected, order
        written += order["cypher"].startswith("CREATE")


async def test_short_reads_that_wait_for_each_other_are_run_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    really = Session.query_several

    def counting(session: Session, queries: Any) -> Any:
        asked.append(len(queries))
        return really(session, queries)

    monkeypatch.setattr(Session, "query_several", counting)
    # On a busy machine no read may be quick.
    monkeypatch.setattr(orders, "QUICK_MS", 10_000.0)
    monkeypatch.setattr(several, "LONGEST_MS", 10_000)
    monkeypatch.setattr(several, "BUDGET_MS", 10_000.0)
    async with running(tmp_path) as node, node.client() as client:
        # All of them have come before the first of them has its turn.
        first = await client.say("query", cypher=FOREVER)
        numbers = [await client.say("query", cypher=f"RETURN {number} AS n") for number in range(READS)]
        cancel = await client.say("cancel", target=first)
        assert {(await client.hear())["id"], (await client.hear())["id"]} == {first, cancel}
        for number, order in enumerate(numbers):
            answer = await client.hear()
            assert (answer["id"], answer["rows"]) == (order, [{"n": number}])
    # The first of all runs alone, behind one that was not quick.
    assert sum(asked) >= READS - 1


async def test_a_long_statement_among_short_ones_can_be_cancelled(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        before = [await client.say("query", cypher=f"RETURN {number} AS n") for number in range(20)]
        long = await client.say("query", cypher=FOREVER)
        behind = [await client.say("query", cypher=f"RETURN {number} AS n") for number in range(20)]
        for order in before:
            assert (await client.hear())["id"] == order
        cancel = await client.say("cancel", target=long)
        heard = {message["id"]: message for message in [await client.hear(), await client.hear()]}
        assert heard[cancel]["type"] == "done"
        assert heard[long]["code"] == "cancelled"
        for order in behind:
            answer = await client.hear()
            assert (answer["id"], answer["type"]) == (order, "result")


async def test_orders_that_are_cancelled_while_they_wait_are_not_run(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        long = await client.say("query", cypher=FOREVER)
        waiting = [await client.say("query", cypher=f"RETURN {number} AS n") for number in range(10)]
        for order in (*waiting[::2], long):
            cancel = await client.say("cancel", target=order)
            assert (await client.hear())["id"] == cancel
        assert (await client.hear())["id"] == long
        for number, order in enumerate(waiting):
            answer = await client.hear()
            assert answer["id"] == order
            assert answer["type"] == ("result" if number % 2 else "error")


async def test_a_worker_that_dies_of_one_order_costs_no_other_its_answer(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        deadly = "RETURN json_structure(concat(repeat('[', 100000), repeat(']', 100000)))"
        texts = [*[f"RETURN {number} AS n" for number in range(10)], deadly, "RETURN 10 AS n"]
        answers = await all_answers(client, [{"cypher": text} for text in texts])
        assert [answer["type"] for answer in answers[:10]] == ["result"] * 10
        assert (answers[10]["type"], answers[10]["committed"]) == ("error", False)
        assert answers[11]["type"] == "result"


async def test_one_that_nothing_stops_has_the_time_that_it_would_have_alone(tmp_path: Path) -> None:
    deaf = "RETURN size(range(1, 1500000)) AS n"
    async with running(tmp_path, KUZU_KILL_GRACE="0.1") as node, node.client() as client:
        await client.query("RETURN 1 AS n")
        answers = await all_answers(client, [{"cypher": text} for text in ("RETURN 0 AS n", deaf, "RETURN 2 AS n")])
        assert [answer["rows"] for answer in answers] == [[{"n": 0}], [{"n": 1500000}], [{"n": 2}]]
        assert node.node.databases.get("g").info().restarts == 0
