"""Names that go into a Cypher text or a path: checked, and quoted so that they cannot say anything else."""

from __future__ import annotations

from urllib.parse import quote


def quoted(name: str) -> str:
    """A label or property in backticks. Raises ValueError for what no table or column can be called.

    The engine takes the outer backticks off and has no escape for inner ones.
    """
    if not name or not name.isprintable() or "`" in name:
        raise ValueError(f"{name!r} is no name of a table or column")
    return f"`{name}`"


def segment(name: str) -> str:
    """`name` as one part of a path. Raises ValueError for those that would lead to another path."""
    if name in ("", ".", ".."):
        raise ValueError(f"{name!r} is no name of a database, table or task")
    return quote(name, safe="")
