"""The built-in schemas: table and column names are part of the HTTP contract."""

from __future__ import annotations

from importlib import resources
from typing import Literal

SchemaName = Literal["base", "ledger"]

# Names by which POST /databases/{id}/schema asks for what goes on top of the base schema.
EXTENSIONS: dict[str, SchemaName] = {"ledger": "ledger", "roboledger": "ledger"}
# The one shared repository that holds filings and so needs the ledger's tables.
LEDGER_REPOSITORY = "sec"


def statements(name: SchemaName) -> tuple[str, ...]:
    """The statements of one schema file, in order, each without its semicolon. The files hold one a line."""
    text = (resources.files(__name__) / f"{name}.cypher").read_text(encoding="utf-8")
    return tuple(line.strip().removesuffix(";") for line in text.splitlines() if line.strip())


def entity_schema() -> tuple[str, ...]:
    return statements("base") + statements("ledger")


def shared_schema(repository_name: str) -> tuple[str, ...]:
    """What a shared repository is created with."""
    return entity_schema() if repository_name == LEDGER_REPOSITORY else statements("base")
