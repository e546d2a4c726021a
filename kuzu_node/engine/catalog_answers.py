"""From what a worker reports to the values that the engine side hands out."""

from __future__ import annotations

from typing import Any

from kuzu_node.engine.values import LoadResult, Property, Skipped, Table


def tables(value: Any) -> tuple[Table, ...]:
    """From `RunSchema`."""
    return tuple(
        Table(
            id=one["id"],
            name=one["name"],
            type=one["type"],
            comment=one["comment"],
            properties=tuple(
                Property(name=name, type=kind, primary_key=primary) for name, kind, primary in one["properties"]
            ),
            connections=tuple((source, target) for source, target in one["connections"]),
        )
        for one in value
    )


def load_result(value: Any, execution_time_ms: float) -> LoadResult:
    """From `RunLoad`."""
    return LoadResult(
        rows_processed=value["rows_processed"],
        rows_inserted=value["rows_inserted"],
        rows_skipped=value["rows_skipped"],
        skipped=tuple(
            Skipped(reason=reason, count=count, examples=tuple(examples))
            for reason, count, examples in value["skipped"]
        ),
        execution_time_ms=execution_time_ms,
    )
