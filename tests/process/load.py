"""Many clients that write and read at once, and what they may find afterwards."""

from __future__ import annotations

import itertools
import signal
from collections import Counter
from typing import Any

import attrs
import trio

from tests.process.client import ConnectionLost, NodeClient, Reply, connected
from tests.process.nodes import NodeProcess

BATCH = 5
# Enough rows for a COPY with a checkpoint behind it.
BULK = 20_000
STEP = 100_000
STREAM = "UNWIND range(0, 999) AS a UNWIND range(0, 99) AS b RETURN a * 100 + b AS x, a AS y, 'abcdefgh' AS z"


@attrs.define(eq=False)
class Load:
    """What writers have been told is there: keys of single rows, first keys of those that went in together."""

    singles: set[int] = attrs.field(factory=set)
    batches: set[int] = attrs.field(factory=set)
    uploads: set[int] = attrs.field(factory=set)
    bulks: set[int] = attrs.field(factory=set)
    refused: set[str] = attrs.field(factory=set)
    _done: Counter[Any] = attrs.field(factory=Counter)
    _keys: itertools.count[int] = attrs.field(factory=lambda: itertools.count(0, STEP))

    async def put_on(self, node: NodeProcess, number: signal.Signals) -> None:
        """The load, the signal in the middle of it, and on to the moment when nobody gets a connection any more."""
        kinds = {self.write_single: 6, self.write_batch: 2, self.upload: 1, self.upload_many: 1, self.stream: 2}
        self._done.clear()
        enough = trio.Event()
        async with trio.open_nursery() as nursery:
            for kind, count in kinds.items():
                for _ in range(count):
                    nursery.start_soon(self.run_client, node, kind, enough)
            await enough.wait()
            node.send(number)

    async def run_client(self, node: NodeProcess, kind: Any, enough: trio.Event) -> None:
        """One client after the other until the node takes no more."""
        while True:
            try:
                async with connected(node) as client:
                    while True:
                        await kind(client, next(self._keys))
                        self._done[kind] += 1
                        if all(self._done[each] for each in (self.upload_many, self.stream)):
                            enough.set()
            except ConnectionLost:
                continue
            except OSError:
                return

    async def write_single(self, client: NodeClient, key: int) -> None:
        if self._accepted(await client.query("CREATE (:P {id: $id, s: 'single'})", id=key)):
            self.singles.add(key)

    async def write_batch(self, client: NodeClient, key: int) -> None:
        rows = [{"id": key + number} for number in range(BATCH)]
        statement = {"cypher": "CREATE (:P {id: $id, s: 'batch'})", "parameter_sets": rows}
        if self._accepted(await client.transaction(statement)):
            self.batches.add(key)

    async def upload(self, client: NodeClient, key: int) -> None:
        body = "".join(f"{key + number},upload\n" for number in range(BATCH))
        if self._accepted(await client.load("P", f"id,s\n{body}".encode())):
            self.uploads.add(key)

    async def upload_many(self, client: NodeClient, key: int) -> None:
        body = "".join([f"{key + number},bulk {key}\n" for number in range(BULK)])
        if self._accepted(await client.load("P", f"id,s\n{body}".encode())):
            self.bulks.add(key)

    async def stream(self, client: NodeClient, _: int) -> None:
        await client.start_query(STREAM, accept="application/jsonl")
        await client.head()
        while await client.receive():
            pass

    def _accepted(self, reply: Reply) -> bool:
        if reply.status == 503:
            self.refused.add(reply.json["code"])
            assert reply.json["committed"] is False
        else:
            assert reply.status == 200, reply
        return reply.status == 200


async def check_nothing_lost(load: Load, node: NodeProcess) -> None:
    """All that was acknowledged is there, and nothing half."""
    async with connected(node) as client:
        found: dict[str, set[int]] = {"single": set(), "batch": set(), "upload": set()}
        for key, kind in await client.rows("MATCH (p:P) WHERE NOT p.s STARTS WITH 'bulk' RETURN p.id, p.s"):
            found[kind].add(key)
        assert load.singles <= found["single"]
        for kind, acknowledged in (("batch", load.batches), ("upload", load.uploads)):
            first = {key - key % STEP for key in found[kind]}
            assert acknowledged <= first
            assert found[kind] == {key + number for key in first for number in range(BATCH)}
        bulks = dict(await client.rows("MATCH (p:P) WHERE p.s STARTS WITH 'bulk' RETURN p.s, count(*)"))
        assert {f"bulk {key}" for key in load.bulks} <= set(bulks)
        assert set(bulks.values()) <= {BULK}
        for key in (*load.bulks, *list(load.singles)[:10], *list(load.batches)[:10]):
            assert await client.value("MATCH (p:P {id: $id}) RETURN count(*)", id=key) == 1
        states = (await client.call("GET", "/status/databases")).json
        assert [(one["graph_id"], one["state"]) for one in states["databases"]] == [("g", "ready")]
