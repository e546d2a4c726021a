from __future__ import annotations

import attrs
import pytest

from kuzu_node.engine.values import State
from tests.http.exchange import call, served
from tests.http.fakes import FakeDatabase, FakeNode, FakeStatistics, node_config

pytestmark = pytest.mark.trio
SESSIONS = {"open": 3, "by_database": {"g1": 3}, "transactions_by_database": {"g1": 1}}


async def test_health_renders_the_snapshot() -> None:
    async with served() as (app, _):
        reply = await call(app, "GET", "/health")
        assert reply.json.pop("uptime_seconds") >= 0
        assert {key: value for key, value in reply.json.items() if key != "uptime_seconds"} == {
            "status": "healthy",
            "database_count": 1,
            "databases": ["g1"],
            "memory_usage_mb": 50.0,
            "memory_rss_mb": 50.0,
            "memory_vms_mb": 500.0,
            "memory_percent": 10.0,
        }


@pytest.mark.parametrize("statistics", [FakeStatistics(failed_databases=1), FakeStatistics(memory_percent=86.0)])
async def test_health_is_degraded_but_served(statistics: FakeStatistics) -> None:
    async with served(FakeNode(current=statistics)) as (app, _):
        reply = await call(app, "GET", "/health")
        assert (reply.status, reply.json["status"]) == (200, "degraded")


async def test_draining_refuses_work_and_can_be_undone() -> None:
    async with served(FakeNode(current=FakeStatistics(active_queries=2))) as (app, _):
        drained = await call(app, "POST", "/admin/drain")
        assert drained.json == {"status": "draining", "in_flight": {"queries": 2, "tasks": 0, "sessions": 3}}
        health = await call(app, "GET", "/health")
        assert (health.status, health.json["status"], health.headers[b"retry-after"]) == (503, "draining", b"5")
        for method, path in (("POST", "/databases/g1/query"), ("POST", "/databases"), ("DELETE", "/databases/g1")):
            refused = await call(app, method, path, {"cypher": "RETURN 1"})
            assert (refused.status, refused.json["code"], refused.headers[b"retry-after"]) == (503, "draining", b"5")
        assert (await call(app, "GET", "/databases/g1")).status == 200
        assert (await call(app, "DELETE", "/admin/drain")).json["status"] == "healthy"
        assert (await call(app, "POST", "/databases/g1/query", {"cypher": "RETURN 1"})).status == 200


async def test_status_and_info_tell_what_the_node_is() -> None:
    async with served() as (app, _):
        status = (await call(app, "GET", "/status")).json
        assert (status["node_type"], status["tier"], status["databases"], status["max_databases"]) == (
            "writer",
            "standard",
            1,
            10,
        )
        info = (await call(app, "GET", "/info")).json
        assert (info["node_id"], info["available_capacity"], info["active_connections"]) == ("node-1", 9, 2)
        assert info["features"] == ["streaming", "transactions", "rows", "arrow", "csv", "sessions"]
        assert info["configuration"]["query_limits"]["max_connections_per_db"] == 3
        assert "cpu_threshold" not in info["configuration"]["admission_control"]


async def test_a_node_without_a_limit_leaves_it_out() -> None:
    config = node_config()
    config = attrs.evolve(config, engine=attrs.evolve(config.engine, max_databases=None))
    async with served(FakeNode(config=config)) as (app, _):
        assert "max_databases" not in (await call(app, "GET", "/status")).json
        capacity = (await call(app, "GET", "/databases")).json["node_capacity"]
        assert capacity == {"current_databases": 1}


async def test_metrics_have_every_part_and_real_zeros() -> None:
    async with served() as (app, _):
        metrics = (await call(app, "GET", "/metrics")).json
        parts = ["timestamp", "system", "databases", "queries", "ingestion", "sessions", "admission_control", "cluster"]
        assert list(metrics) == parts
        assert metrics["system"]["volumes"]["data_volume"]["usage_percent"] == 0.25
        assert metrics["system"]["disk"]["usage_percent"] == 25.0
        assert metrics["ingestion"] == {"queue_depth": 0, "active_tasks": 0, "processing_rate": 0.0}
        assert metrics["sessions"] == SESSIONS
        assert metrics["queries"]["latency_ms"] == {"p50": 1.0, "p95": 2.0, "p99": 3.0}
        assert metrics["databases"]["databases"]["g1"]["size_bytes"] == 4096


async def test_failed_databases_are_told_with_their_cause_and_reopened() -> None:
    async with served() as (app, node):
        node.databases.databases["bad"] = FakeDatabase(graph_id="bad", state=State.FAILED)
        states = (await call(app, "GET", "/status/databases")).json
        assert (states["healthy_databases"], states["unhealthy_databases"]) == (1, 1)
        good, bad = states["databases"]
        assert (bad["state"], bad["last_error"], bad["last_accessed"]) == ("failed", "the file is damaged", None)
        assert "last_error" not in good
        reopened = await call(app, "POST", "/admin/databases/bad/reopen")
        assert reopened.json == {"status": "success", "graph_id": "bad", "state": "ready"}


async def test_connections_are_counted_by_database() -> None:
    async with served() as (app, _):
        assert (await call(app, "GET", "/admin/connections")).json == {
            "active_connections": 2,
            "by_database": {"g1": 2},
            "sessions": SESSIONS,
        }
