"""The kinds of statements, each with what must be there once it has been acknowledged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from kuzu_node.engine.database import Database
from kuzu_node.engine.values import LoadRequest, Transaction, TransactionStatement
from tests.durability.driving import checkpoint, run, value

SCHEMA = (
    "CREATE NODE TABLE P(id INT64, a INT64, s STRING, v FLOAT[3], z INT64, PRIMARY KEY(id))",
    "CREATE REL TABLE K(FROM P TO P, w INT64, m STRING, u INT64)",
    "CREATE NODE TABLE After(id INT64, PRIMARY KEY(id))",
)
ROWS = 300
_NODES = (
    f"UNWIND range(1, {ROWS}) AS x CREATE (:P {{id: x, a: x, s: concat('word', cast(x AS STRING)), "
    "v: [1.0, 2.0, cast(x AS FLOAT)], z: x})"
)
_RELATIONSHIPS = "MATCH (a:P), (b:P) WHERE b.id = a.id + 1 CREATE (a)-[:K {w: a.id, m: 'm', u: a.id}]->(b)"
_FTS = "CALL CREATE_FTS_INDEX('P', 'text', ['s'])"
_VECTOR = "CALL CREATE_VECTOR_INDEX('P', 'near', 'v')"
_NEAREST = "CALL QUERY_VECTOR_INDEX('P', 'near', [1.0, 2.0, 77.0], 1) RETURN node.id"


def _found(word: str) -> str:
    return f"CALL QUERY_FTS_INDEX('P', 'text', '{word}') RETURN node.id ORDER BY node.id"


@attrs.frozen
class Kind:
    """`expected` are queries and their rows. `touches`: the write that follows it goes to what it has made."""

    name: str
    work: tuple[str | Callable[[Database], Awaitable[None]], ...]
    expected: tuple[tuple[str, list[list[Any]]], ...]
    touches: str = "MATCH (p:P {id: 5}) SET p.z = 500"
    touched: tuple[str, list[list[Any]]] = ("MATCH (p:P {id: 5}) RETURN p.z", [[500]])


async def _load(database: Database) -> None:
    async with database.staging() as folder:
        path = folder / "rows.csv"
        path.write_text("id,a,s\n" + "".join(f"{number},1,loaded\n" for number in range(2000, 5000)))
        result = await database.load(LoadRequest(table="P", path=str(path), format="csv"))
        assert result.rows_inserted == 3000


async def _transaction(database: Database) -> None:
    await database.transaction(
        Transaction(
            statements=(
                TransactionStatement(cypher="CREATE (:P {id: $i, s: 't'})", parameter_sets=({"i": 1001}, {"i": 1002})),
                TransactionStatement(cypher="MATCH (a:P {id: 1001}), (b:P {id: 1002}) CREATE (a)-[:K {w: 7}]->(b)"),
                TransactionStatement(cypher="MATCH (p:P {id: 8}) SET p.s = 'in a transaction'"),
            )
        )
    )


KINDS = (
    Kind(
        "copy from a subquery",
        ("COPY P(id, a, s) FROM (UNWIND range(1000, 4000) AS x RETURN x, x + 1 AS a, 'copied')",),
        (("MATCH (p:P) WHERE p.s = 'copied' RETURN count(*)", [[3001]]),),
        "MATCH (p:P {id: 1500}) SET p.z = 1",
        ("MATCH (p:P {id: 1500}) RETURN p.z, p.s", [[1, "copied"]]),
    ),
    Kind(
        "rows loaded from a file",
        (_load,),
        (("MATCH (p:P) WHERE p.s = 'loaded' RETURN count(*)", [[3000]]),),
        "MATCH (p:P {id: 2500}) SET p.z = 1",
        ("MATCH (p:P {id: 2500}) RETURN p.z, p.s", [[1, "loaded"]]),
    ),
    Kind(
        "node table as",
        ("CREATE NODE TABLE Q AS MATCH (p:P) RETURN p.id AS id, p.s AS s",),
        (("MATCH (q:Q) RETURN count(*), max(q.id)", [[ROWS, ROWS]]),),
        "MATCH (q:Q {id: 9}) SET q.s = 'touched'",
        ("MATCH (q:Q {id: 9}) RETURN q.s", [["touched"]]),
    ),
    Kind(
        "relationship table as",
        ("CREATE REL TABLE R(FROM P TO P) AS MATCH (a:P)-[k:K]->(b:P) RETURN b.id, a.id, k.w AS w",),
        (("MATCH (:P)-[r:R]->(:P) RETURN count(*)", [[ROWS - 1]]),),
        "MATCH (:P {id: 10})-[r:R]->(:P) SET r.w = 0",
        ("MATCH (:P {id: 10})-[r:R]->(:P) RETURN r.w", [[0]]),
    ),
    Kind(
        "create, set, delete, merge",
        (
            "CREATE (:P {id: 900, s: 'new'})",
            "MATCH (p:P {id: 900}) SET p.s = 'set', p.a = 4",
            "MATCH (:P {id: 20})-[k:K]->(:P) DELETE k",
            "MATCH (:P)-[k:K]->(:P) WHERE k.w > 100 AND k.w < 120 SET k.u = 0, k.m = 'a longer text than fits inline'",
            "CREATE (:P {id: 901})",
            "MATCH (p:P {id: 901}) DELETE p",
            "MERGE (p:P {id: 30}) ON MATCH SET p.s = 'merged'",
            "MERGE (p:P {id: 902}) ON CREATE SET p.s = 'made'",
            "MATCH (a:P {id: 900}), (b:P {id: 902}) MERGE (a)-[k:K]->(b) ON CREATE SET k.w = 1",
        ),
        (
            (
                "MATCH (p:P) WHERE p.id >= 900 RETURN p.id, p.s, p.a ORDER BY p.id",
                [[900, "set", 4], [902, "made", None]],
            ),
            ("MATCH (:P)-[k:K]->(:P) WHERE k.u = 0 RETURN count(*)", [[19]]),
            ("MATCH (:P)-[k:K]->(:P) RETURN count(*)", [[ROWS - 1]]),
            ("MATCH (p:P {id: 30}) RETURN p.s", [["merged"]]),
        ),
    ),
    Kind(
        "detach delete",
        (
            "MATCH (p:P) WHERE p.id > 100 AND p.id < 150 DETACH DELETE p",
            "MATCH (p:P {id: 200}) DETACH DELETE p",
            "MATCH (p:P {id: 201}) DETACH DELETE p",
        ),
        (
            ("MATCH (p:P) RETURN count(*)", [[ROWS - 51]]),
            ("MATCH (:P)<-[k:K]-(:P) RETURN count(*)", [[ROWS - 1 - 53]]),
        ),
    ),
    Kind(
        "column added",
        ("ALTER TABLE P ADD n INT64 DEFAULT 3", "ALTER TABLE K ADD n STRING DEFAULT 'k'"),
        (
            ("MATCH (p:P) WHERE p.n = 3 RETURN count(*)", [[ROWS]]),
            ("MATCH (:P)-[k:K]->(:P) WHERE k.n = 'k' RETURN count(*)", [[ROWS - 1]]),
        ),
        "CREATE (:P {id: 950, n: 4})",
        ("MATCH (p:P {id: 950}) RETURN p.n", [[4]]),
    ),
    Kind(
        "middle column dropped from nodes",
        ("CREATE (:P {id: 960, a: 1, s: 'x', z: 2})", "ALTER TABLE P DROP a"),
        (("MATCH (p:P {id: 960}) RETURN p.s, p.z", [["x", 2]]),),
        "CREATE (:P {id: 961, s: 'y', z: 3})",
        ("MATCH (p:P {id: 961}) RETURN p.s, p.z", [["y", 3]]),
    ),
    Kind(
        "middle column dropped from relationships",
        ("MATCH (a:P {id: 1}), (b:P {id: 9}) CREATE (a)-[:K {w: 1, m: 'x', u: 2}]->(b)", "ALTER TABLE K DROP m"),
        (("MATCH (:P {id: 1})-[k:K]->(:P {id: 9}) RETURN k.w, k.u", [[1, 2]]),),
        "MATCH (a:P {id: 1}), (b:P {id: 10}) CREATE (a)-[:K {w: 3, u: 4}]->(b)",
        ("MATCH (:P {id: 1})-[k:K]->(:P {id: 10}) RETURN k.w, k.u", [[3, 4]]),
    ),
    Kind(
        "text index",
        (
            "CREATE (:P {id: 970, s: 'apple'})",
            _FTS,
            "CREATE (:P {id: 971, s: 'pear'})",
            "MATCH (p:P {id: 970}) SET p.s = 'plum'",
            "CREATE (:P {id: 972, s: 'cherry'})",
            "MATCH (p:P {id: 972}) DELETE p",
        ),
        ((_found("plum"), [[970]]), (_found("pear"), [[971]]), (_found("apple"), []), (_found("cherry"), [])),
        "CREATE (:P {id: 973, s: 'quince'})",
        (_found("quince"), [[973]]),
    ),
    Kind(
        "vector index",
        (
            "CREATE (:P {id: 970, s: 'apple', v: [5.0, 5.0, 5.0]})",
            _VECTOR,
            "CREATE (:P {id: 971, v: [6.0, 5.0, 5.0]})",
            "MATCH (p:P {id: 970}) DELETE p",
        ),
        ((_NEAREST, [[77]]),),
        "CREATE (:P {id: 973, v: [9.0, 1.0, 1.0]})",
        ("CALL QUERY_VECTOR_INDEX('P', 'near', [9.0, 1.0, 1.0], 1) RETURN node.id", [[973]]),
    ),
    Kind(
        "text index removed and a column dropped",
        (
            _FTS,
            "CREATE (:P {id: 972, s: 'cherry'})",
            "CALL DROP_FTS_INDEX('P', 'text')",
            "ALTER TABLE P DROP a",
            _FTS,
            "CREATE (:P {id: 974, s: 'lemon'})",
        ),
        (
            (_found("cherry"), [[972]]),
            (_found("lemon"), [[974]]),
            ("CALL show_indexes() RETURN index_name", [["text"]]),
        ),
    ),
    Kind(
        "tables and names",
        (
            "CREATE NODE TABLE X(id SERIAL, w STRING, PRIMARY KEY(id))",
            "CREATE (:X {w: 'one'})",
            "CREATE REL TABLE G(FROM P TO X, n INT64)",
            "MATCH (p:P {id: 1}), (x:X) CREATE (p)-[:G {n: 1}]->(x)",
            "CREATE NODE TABLE Gone(id INT64, PRIMARY KEY(id))",
            "UNWIND range(1, 500) AS x CREATE (:Gone {id: x})",
            "DROP TABLE Gone",
            "CREATE NODE TABLE Gone(id INT64, PRIMARY KEY(id))",
            "CREATE (:Gone {id: 3})",
            "ALTER TABLE X RENAME w TO word",
            "ALTER TABLE X RENAME TO Y",
            "COMMENT ON TABLE Y IS 'renamed'",
            "CREATE SEQUENCE numbers",
            "RETURN nextval('numbers')",
            "RETURN nextval('numbers')",
        ),
        (
            ("MATCH (p:P)-[g:G]->(y:Y) RETURN p.id, g.n, y.word", [[1, 1, "one"]]),
            ("MATCH (g:Gone) RETURN g.id", [[3]]),
            ("RETURN currval('numbers')", [[2]]),
        ),
        "CREATE (:Y {word: 'two'})",
        ("MATCH (y:Y) RETURN y.id, y.word ORDER BY y.id", [[0, "one"], [1, "two"]]),
    ),
    Kind(
        "transaction",
        (_transaction,),
        (
            ("MATCH (a:P {id: 1001})-[k:K]->(b:P) RETURN b.id, k.w", [[1002, 7]]),
            ("MATCH (p:P {id: 8}) RETURN p.s", [["in a transaction"]]),
        ),
    ),
)


async def fill(database: Database) -> None:
    """The rows that every kind begins with; the second half of them is in the log only."""
    await run(database, _NODES)
    await checkpoint(database)
    await run(database, _RELATIONSHIPS)


async def perform(database: Database, kind: Kind, *, write_after: bool) -> None:
    for step in kind.work:
        if isinstance(step, str):
            await run(database, step)
        else:
            await step(database)
    if write_after:
        await run(database, kind.touches)
        await run(database, "CREATE (:After {id: 1})")


async def verify(database: Database, kind: Kind, *, write_after: bool) -> None:
    """Everything acknowledged is there, the indexes agree with the scans, and work goes on."""
    await _compare(database, kind, write_after=write_after)
    await checkpoint(database)
    await _compare(database, kind, write_after=write_after)
    await run(database, "CREATE (:P {id: 7000, s: 'on'})")
    await run(database, "COPY P(id, s) FROM (UNWIND range(7001, 7100) AS x RETURN x, 'on')")
    assert await value(database, "MATCH (p:P) WHERE p.s = 'on' RETURN count(*)") == 101, kind.name


async def _compare(database: Database, kind: Kind, *, write_after: bool) -> None:
    checks = [*kind.expected]
    if write_after:
        checks += [kind.touched, ("MATCH (n:After) RETURN n.id", [[1]])]
    for query, rows in checks:
        assert await run(database, query) == rows, (kind.name, query)
    await look_up(database, "P", kind.name)
    await count_both_ways(database, kind.name)


async def look_up(database: Database, table: str, name: str, every: int = 13) -> None:
    """Each key that a scan finds, the index finds, once."""
    keys = [key for (key,) in await run(database, f"MATCH (n:{table}) RETURN n.id ORDER BY n.id")]
    assert len(set(keys)) == len(keys), name
    for key in [*keys[::every], *keys[-3:]]:
        assert await run(database, f"MATCH (n:{table} {{id: $key}}) RETURN n.id", key=key) == [[key]], (name, key)


async def count_both_ways(database: Database, name: str) -> None:
    for table in await database.schema():
        if table.type == "REL":
            there = await value(database, f"MATCH ()-[r:{table.name}]->() RETURN count(*)")
            back = await value(database, f"MATCH ()<-[r:{table.name}]-() RETURN count(*)")
            assert there == back, (name, table.name)
