"""The request bodies of the contract. `structure.Bodies` reads them, `openapi` describes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

from kuzu_node.http.structure import WrongValue

# What a transaction runs is prepared beside the loop and handed over on it; the engine takes seconds for so many.
MOST_RUNS: Final = 20_000
GRAPH_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def above_zero(_: Any, field: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not value > 0:
        raise WrongValue(field.name, "must be above 0")


def _not_empty(_: Any, field: attrs.Attribute[Any], value: tuple[Any, ...]) -> None:
    if not value:
        raise WrongValue(field.name, "must not be empty")


def _few_runs(_: Any, field: attrs.Attribute[Any], value: tuple[StatementBody, ...]) -> None:
    _not_empty(_, field, value)
    runs = sum(max(1, len(one.parameter_sets or ())) for one in value)
    if runs > MOST_RUNS:
        raise WrongValue(
            field.name,
            f"run {runs} times with their parameter_sets, more than {MOST_RUNS}: UNWIND a list of rows in one "
            "statement, or PUT /databases/{id}/tables/{table}/rows",
        )


def _graph_name(_: Any, field: attrs.Attribute[Any], value: str) -> None:
    if GRAPH_NAME.fullmatch(value) is None:
        raise WrongValue(field.name, "must be 1 to 64 letters, digits, _ and -")


@attrs.frozen(kw_only=True)
class QueryBody:
    """`timeout` is seconds, at most the node's own limit."""

    cypher: str
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    timeout: float | None = attrs.field(default=None, validator=above_zero)
    read_only: bool = False


@attrs.frozen(kw_only=True)
class StatementBody:
    """One statement of a transaction, run once with `parameters` or once for each of `parameter_sets`."""

    cypher: str
    parameters: Mapping[str, Any] | None = None
    parameter_sets: tuple[Mapping[str, Any], ...] | None = attrs.field(default=None)

    @parameter_sets.validator
    def _excludes_parameters(self, field: attrs.Attribute[Any], value: object) -> None:
        if value is not None and self.parameters is not None:
            raise WrongValue(field.name, "excludes parameters")


@attrs.frozen(kw_only=True)
class TransactionBody:
    """Statements that commit together or not at all."""

    statements: tuple[StatementBody, ...] = attrs.field(validator=_few_runs)
    timeout: float | None = attrs.field(default=None, validator=above_zero)
    read_only: bool = False


@attrs.frozen(kw_only=True)
class CreateDatabaseBody:
    """`repository_name` is needed for shared, `custom_schema_ddl` is for custom."""

    graph_id: str = attrs.field(validator=_graph_name)
    schema_type: Literal["entity", "shared", "custom"] = "entity"
    repository_name: str | None = None
    custom_schema_ddl: str | None = None
    is_subgraph: bool = False
    tenant_tier: str = "standard"


@attrs.frozen(kw_only=True)
class SchemaMetadata:
    """Built-in schemas; both names of the extension mean the same."""

    base_schema: Literal["base"] = "base"
    extensions: tuple[Literal["roboledger", "ledger"], ...] = ()


@attrs.frozen(kw_only=True)
class SchemaBody:
    """Either `ddl`, or for `custom` the `metadata` of built-in schemas."""

    type: Literal["custom", "ddl"]
    ddl: str | None = None
    metadata: SchemaMetadata | None = None
    allow_drop: bool = False

    def __attrs_post_init__(self) -> None:
        if (self.ddl is None) == (self.metadata is None):
            raise WrongValue("ddl", "or metadata is required, and only one of them")
        if self.type == "ddl" and self.ddl is None:
            raise WrongValue("ddl", "is required")
