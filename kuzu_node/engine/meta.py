"""`meta.json`: what a database was created as. A folder without it is no database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import attrs

from kuzu_node.engine.files import write_durably

FORMAT = 1


class BadMeta(Exception):
    """The file cannot be read as what it should be."""


@attrs.frozen(kw_only=True)
class Meta:
    graph_id: str
    created_at: str
    schema_type: str
    engine_version: str
    storage_version: int
    repository_name: str | None = None
    is_subgraph: bool = False
    tenant_tier: str = "standard"
    format: int = FORMAT


def read_meta(path: Path) -> Meta:
    """Raises FileNotFoundError, BadMeta."""
    try:
        return Meta(**json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise BadMeta(f"{path} is not a database's meta.json: {error}") from error


def write_meta(path: Path, meta: Meta) -> None:
    write_durably(path, json.dumps(attrs.asdict(meta), indent=1).encode())


def iso_time(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
