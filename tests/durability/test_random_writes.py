"""Random writes, checkpoints, kills and reopenings, held against a model of two tables and their relationships."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from kuzu_node.engine.database import Database
from kuzu_node.engine.process import WorkerDied
from kuzu_node.errors import StatementFailed
from kuzu_node.node import open_node
from tests.durability.driving import checkpoint, config, create, kill_worker, run

pytestmark = pytest.mark.trio
COLUMNS = {
    "s": "STRING",
    "l": "INT64[]",
    "t": "STRING[]",
    "c": "STRUCT(a STRING, l INT64[])",
    "m": "MAP(STRING, INT64)",
    "n": "INT64[][]",
    "b": "INT8",
}
TYPES = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
SCHEMA = (f"CREATE NODE TABLE P(id INT64, {TYPES}, PRIMARY KEY(id))", "CREATE REL TABLE K(FROM P TO P, n INT64)")
NODES = "MATCH (p:P) WHERE p.id < 1000 RETURN p.id, {}"
EDGES = "MATCH (a:P)-[k:K]->(b:P) HINT {} RETURN a.id, b.id, k.n ORDER BY a.id, b.id, k.n"


class Model:
    """What must be there. The keys from 1000 are only there for relationships, and spread them over regions."""

    def __init__(self, seed: int) -> None:
        self._choose = random.Random(seed)
        self._rows: dict[int, dict[str, Any]] = {}
        self._edges: list[list[int]] = []
        self._made = 0

    async def step(self, database: Database) -> None:
        steps = [
            self._create,
            self._set,
            self._set,
            self._set,
            self._delete,
            self._relate,
            self._relate,
            self._unrelate,
        ]
        for _ in range(self._choose.randint(1, 4)):
            text = self._choose.choice([*steps, self._copy, self._merge, self._set_edge])()
            try:
                await run(database, text)
            except StatementFailed as error:
                # Its checkpoint was found out to have ruined something, and everything was put back.
                if not text.startswith("COPY") or "has scrambled" not in error.detail:
                    raise
                await run(database, text)

    async def compare(self, database: Database) -> None:
        asked = NODES.format(", ".join(f"p.{name}" for name in COLUMNS))
        found = {key: dict(zip(COLUMNS, values, strict=True)) for key, *values in await run(database, asked)}
        assert found == self._rows
        for order in ("(a JOIN k) JOIN b", "a JOIN (k JOIN b)"):
            assert await run(database, EDGES.format(order)) == sorted(self._edges)

    def _value(self, kind: str) -> Any:
        word = "".join(self._choose.choices("abc", k=self._choose.choice([1, 30])))
        numbers = [self._choose.randrange(90) for _ in range(self._choose.choice([0, 1, 3]))]
        values = {
            "STRING": word,
            "INT64[]": numbers,
            "STRING[]": [word] * len(numbers),
            "INT8": numbers[0] if numbers else -128,
        }
        values |= {"MAP(STRING, INT64)": {word: len(word)} if numbers else {}, "INT64[][]": [numbers] * len(numbers)}
        return self._choose.choice([None, *[values.get(kind, {"a": word, "l": numbers})] * 4])

    def _create(self) -> str:
        self._made += 1
        self._rows[self._made] = dict.fromkeys(COLUMNS)
        given = {name: self._value(kind) for name, kind in COLUMNS.items() if self._choose.random() < 0.5}
        self._rows[self._made] |= given
        return (
            f"CREATE (:P {{id: {self._made}{''.join(f', {name}: {_literal(name, given[name])}' for name in given)}}})"
        )

    def _copy(self) -> str:
        self._made += 2
        for key in (self._made - 1, self._made):
            self._rows[key] = {**dict.fromkeys(COLUMNS), "l": [key, 7]}
        return f"COPY P(id, l) FROM (UNWIND range({self._made - 1}, {self._made}) AS x RETURN x, [x, 7])"

    def _set(self) -> str:
        key, name = self._choose.choice([*self._rows, 0]), self._choose.choice(list(COLUMNS))
        value = self._value(COLUMNS[name])
        if key in self._rows:
            self._rows[key][name] = value
        return f"MATCH (p:P {{id: {key}}}) SET p.{name} = {_literal(name, value)}"

    def _merge(self) -> str:
        key = self._choose.choice([*self._rows, self._made + 1])
        self._made = max(self._made, key)
        self._rows[key] = {**self._rows.get(key, dict.fromkeys(COLUMNS)), "s": "merged"}
        return f"MERGE (p:P {{id: {key}}}) ON MATCH SET p.s = 'merged' ON CREATE SET p.s = 'merged'"

    def _delete(self) -> str:
        key = self._choose.choice([*self._rows, 0])
        self._rows.pop(key, None)
        return f"MATCH (p:P {{id: {key}}}) DELETE p"

    def _relate(self) -> str:
        one, other, number = (self._choose.randrange(1000, 9000) for _ in range(3))
        self._edges.append([one, other, number])
        return f"MATCH (a:P {{id: {one}}}), (b:P {{id: {other}}}) CREATE (a)-[:K {{n: {number}}}]->(b)"

    def _unrelate(self) -> str:
        one = self._edges.pop(self._choose.randrange(len(self._edges)))[0] if self._edges else 0
        self._edges = [edge for edge in self._edges if edge[0] != one]
        return f"MATCH (a:P {{id: {one}}})-[k:K]->() DELETE k"

    def _set_edge(self) -> str:
        one = self._choose.choice([*self._edges, [0]])[0]
        self._edges = [[source, target, 5 if source == one else number] for source, target, number in self._edges]
        return f"MATCH (a:P {{id: {one}}})-[k:K]->() SET k.n = 5"


def _literal(name: str, value: Any) -> str:
    if name == "m" and value is not None:
        return f"CAST(map({list(value)}, {list(value.values())}) AS {COLUMNS[name]})"
    if isinstance(value, dict):
        return f"{{a: '{value['a']}', l: CAST({value['l']} AS INT64[])}}"
    return f"CAST(NULL AS {COLUMNS[name]})" if value is None else f"CAST({value!r} AS {COLUMNS[name]})"


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_writes_survive_checkpoints_kills_and_closes(tmp_path: Path, seed: int) -> None:
    model, choose = Model(seed), random.Random(-seed)
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "random", *SCHEMA)
        await run(database, "UNWIND range(1000, 9000) AS x CREATE (:P {id: x})")
    for _ in range(4):
        async with open_node(config(tmp_path)) as node:
            database = node.databases.get("random")
            for _ in range(10):
                await model.step(database)
                if choose.random() < 0.2:
                    await kill_worker(database)
                if choose.random() < 0.7:
                    try:
                        await checkpoint(database)
                    except WorkerDied:
                        # It has found out what it would have ruined; the next one knows.
                        await checkpoint(database)
                await model.compare(database)
