from __future__ import annotations

from kuzu_node.engine.usage import Latencies, Usage


def test_percentiles_are_by_nearest_rank() -> None:
    latencies = Latencies()
    for value in range(100, 0, -1):
        latencies.add(float(value))
    assert latencies.percentiles(0.5, 0.95, 0.99, 1.0) == (50.0, 95.0, 99.0, 100.0)


def test_one_query_is_every_percentile_and_none_is_zero() -> None:
    latencies = Latencies()
    assert latencies.percentiles(0.5, 0.99) == (0.0, 0.0)
    latencies.add(7.0)
    assert latencies.percentiles(0.01, 0.5, 0.99) == (7.0, 7.0, 7.0)


def test_only_the_last_queries_count() -> None:
    latencies = Latencies()
    for _ in range(5000):
        latencies.add(1000.0)
    for _ in range(2048):
        latencies.add(1.0)
    assert latencies.percentiles(1.0) == (1.0,)


def test_a_database_is_accessed_when_it_is_first_used() -> None:
    usage = Usage(Latencies())
    assert usage.last_accessed is None
    usage.count(2.0)
    assert usage.queries == 1
    assert usage.last_accessed is not None
