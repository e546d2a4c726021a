"""The statements that put rows into a table: one COPY, or ordinary ones that the log keeps.

Tables of Arrow are named by a variable: the engine looks through the frames of its caller for it. Given as a
parameter they would never be freed, for `execute` leaks its parameters until the Connection closes.
"""

from __future__ import annotations

import re

import kuzu
import pyarrow as pa

from kuzu_node.worker import engine
from kuzu_node.worker.load.refusal import BulkNeeded, Refused
from kuzu_node.worker.load.table import LoadPlan, PlannedField, TargetColumn, TargetEnd, quoted
from kuzu_node.worker.load.types import AS_TEXT, FLOATS, INTEGERS, NESTED, holds

_TAKEN = frozenset({"from", "to"})
_FILLED_WRONGLY = frozenset({*INTEGERS, *FLOATS, "DECIMAL", "INT128", "UUID"}) - {"SERIAL"}
_NULL_KEY = "Copy exception: Found NULL, which violates the non-null constraint of the primary key column."
# Arrow's moments with a zone are a TIMESTAMP to the engine.
_CAST = AS_TEXT | {"TIMESTAMP_TZ"}
_COPIED = re.compile(r"^(\d+) tuples? ha")


def copy_file(connection: kuzu.Connection, plan: LoadPlan, path: str, ignore_errors: bool) -> int:
    """Rows that the engine has copied from a Parquet file."""
    values = [quoted(field.name) for field in plan.fields]
    return _copied(connection.execute(_copy_text(plan, _file(path), values, ignore_errors)))


def copy_rows(connection: kuzu.Connection, plan: LoadPlan, staged_rows: pa.Table, ignore_errors: bool) -> int:
    """Rows that the engine has copied from the table."""
    if not staged_rows.num_rows:
        return 0
    values = [_value(index, field) for index, field in enumerate(plan.fields)]
    return _copied(connection.execute(_copy_text(plan, "staged_rows", values, ignore_errors)))


def copy_spooled(connection: kuzu.Connection, plan: LoadPlan, path: str, ignore_errors: bool) -> int:
    """Rows that the engine has copied from a Parquet file of ours, whose columns are c0, c1, .. as in `copy_rows`."""
    values = [_value(index, field) for index, field in enumerate(plan.fields)]
    return _copied(connection.execute(_copy_text(plan, _file(path), values, ignore_errors)))


def log_rows(connection: kuzu.Connection, plan: LoadPlan, staged_rows: pa.Table) -> None:
    """All rows by ordinary statements. Raises BulkNeeded where those are no good."""
    for field in plan.fields:
        if field.type.kind in NESTED and holds(field.type, _CAST):
            # CREATE casts what stands under a null as well, and fails on it.
            raise BulkNeeded(f"values of type {field.type.text} are cast by a COPY only")
    if plan.pair is not None:
        _log_relationships(connection, plan, plan.pair, staged_rows)
        return
    text = f"LOAD FROM staged_rows CREATE (:{quoted(plan.table.name)} {_properties(plan)})"
    _close(connection.execute(text))


def _log_relationships(
    connection: kuzu.Connection, plan: LoadPlan, pair: tuple[TargetEnd, TargetEnd], table: pa.Table
) -> None:
    """A statement for each row: only a key that is a literal of its own type is looked up in the index."""
    properties = _properties(plan)
    keys = [_keys(table.column(index), plan.fields[index]) for index in range(2)]
    for index, (source, target) in enumerate(zip(*keys, strict=True)):
        staged_rows = table.slice(index, 1)
        ends = f"MATCH (a:{_node(pair[0], source)}), (b:{_node(pair[1], target)})"
        load = "LOAD FROM staged_rows " if staged_rows.num_columns > 2 else ""
        result = connection.execute(f"{load}{ends} CREATE (a)-[:{quoted(plan.table.name)} {properties}]->(b) RETURN 1")
        assert isinstance(result, kuzu.QueryResult)
        created = result.get_num_tuples()
        result.close()
        if created != 1:
            _refuse_missing(connection, pair, (source, target), [table.column(end)[index].as_py() for end in range(2)])


def _refuse_missing(
    connection: kuzu.Connection, pair: tuple[TargetEnd, TargetEnd], keys: tuple[str, str], shown: list[object]
) -> None:
    """In the words in which a COPY says it."""
    for end, key, value in zip(pair, keys, shown, strict=True):
        if value is None:
            raise RuntimeError(_NULL_KEY)
        if not engine.rows(connection, f"MATCH (a:{_node(end, key)}) RETURN 1"):
            raise RuntimeError(f"Copy exception: Unable to find primary key value {value}.")
    raise RuntimeError(f"Copy exception: {len(shown)} ends match more than one node.")


def _node(end: TargetEnd, key: str) -> str:
    return f"{quoted(end.table)} {{{quoted(end.key)}: {key}}}"


def _keys(column: pa.ChunkedArray, field: PlannedField) -> list[str]:
    kind = field.type.kind
    if kind == "STRING":
        return ["NULL" if key is None else engine.text_literal(key) for key in column.to_pylist()]
    if kind == "UUID":
        return ["NULL" if key is None else f"UUID('{key}')" for key in column.to_pylist()]
    if kind not in INTEGERS or kind == "SERIAL":
        raise BulkNeeded(f"keys of type {field.type.text} are not looked up by single statements")
    keys = ["NULL" if key is None else f"({key})" for key in column.to_pylist()]
    return keys if kind == "INT64" else [f"CAST({key} AS {kind})" for key in keys]


def _copy_text(plan: LoadPlan, source: str, values: list[str], ignore_errors: bool) -> str:
    given = [field.column for field in plan.fields if field.column is not None]
    filled = [(column, value) for column in plan.table.columns if column not in given and (value := _default(column))]
    if plan.pair is not None and (taken := [column.name for column in given if column.name.lower() in _TAKEN]):
        raise Refused(f"a COPY cannot fill properties called {', '.join(taken)}: it puts the keys of the ends there")
    if not given and not filled and plan.table.columns:
        if plan.pair is None:
            raise Refused(f"the file has no columns for {plan.table.name}")
        # The engine has no way to say "no column": one is given what it would have given itself.
        filled = [(plan.table.columns[0], plan.table.columns[0].default)]
    names = [quoted(column.name) for column in [*given, *(column for column, _ in filled)]]
    values = [*values, *(value for _, value in filled)]
    options = ["ignore_errors=true"] if ignore_errors else []
    if plan.pair is not None and len(plan.table.pairs) > 1:
        options += [
            f"{side}={engine.text_literal(end.table)}" for side, end in zip(("from", "to"), plan.pair, strict=True)
        ]
    listed = f"({', '.join(names)})" if names else ""
    text = f"COPY {quoted(plan.table.name)}{listed} FROM (LOAD FROM {source} RETURN {', '.join(values)})"
    return f"{text} ({', '.join(options)})" if options else text


def _default(column: TargetColumn) -> str:
    """What a COPY has to give for a column that the file lacks, or "" where the engine fills it rightly itself.

    It does not where the default is cast to the column's type (`FLOAT DEFAULT 1.5`) or is a random UUID: then some
    rows get the value and the others 0.
    """
    kind = column.type_text.partition("(")[0]
    if column.default == "NULL" or kind not in _FILLED_WRONGLY:
        return ""
    if "nextval" in column.default:
        if kind == "INT64":
            return ""
        raise Refused(f"the file needs the column {column.name}: its default does not fill columns of type {kind}")
    return f"cast({column.default}, {engine.text_literal(column.type_text)})"


def _properties(plan: LoadPlan) -> str:
    pairs = [
        f"{quoted(field.column.name)}: {_value(index, field)}"
        for index, field in enumerate(plan.fields)
        if field.column is not None
    ]
    return "{" + ", ".join(pairs) + "}" if pairs else ""


def _value(index: int, field: PlannedField) -> str:
    """The expression for a column of staged rows."""
    if field.type.kind == "JSON":
        # The engine evaluates the cast for nulls as well, and it refuses them.
        return f"CASE WHEN c{index} IS NULL THEN NULL ELSE cast(coalesce(c{index}, 'null'), 'JSON') END"
    return f"cast(c{index}, {engine.text_literal(field.type.text)})" if holds(field.type, _CAST) else f"c{index}"


def _file(path: str) -> str:
    """Named as Parquet, or the engine goes by what follows the last dot."""
    return f"{engine.text_literal(path)} (file_format='parquet')"


def _copied(result: kuzu.QueryResult | list[kuzu.QueryResult]) -> int:
    assert isinstance(result, kuzu.QueryResult)
    try:
        row = result.get_next()
        message = str(row[0]) if isinstance(row, list) else ""
    finally:
        result.close()
    found = _COPIED.match(message)
    if not found:
        raise RuntimeError(f"Runtime exception: COPY answered {message!r}")
    return int(found[1])


def _close(result: kuzu.QueryResult | list[kuzu.QueryResult]) -> None:
    assert isinstance(result, kuzu.QueryResult)
    result.close()
