"""The endpoints of the contract as calls, and whether each may be sent again when its outcome is unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from kuzu_client._core.calls import Body, Call, Replay
from kuzu_client._core.encoding import json_body, parameters
from kuzu_client._core.identifiers import quoted, segment

NDJSON: Final = "application/x-ndjson"
ARROW: Final = "application/vnd.apache.arrow.stream"
EVENTS: Final = "text/event-stream"
# A statement's time limit is the node's to keep: its answer says what has committed, the client's own clock cannot.
ANSWER_SECONDS: Final = 5.0
# The node refuses the key where it cannot keep its promise. A match in a string or comment costs only a retry.
_WITHOUT_KEY: Final = re.compile(r"(create|drop)_(fts|vector)_index", re.IGNORECASE)

Statement = str | tuple[str, Mapping[str, Any]] | Mapping[str, Any]


def node(operation: str, path: str) -> Call:
    return Call(operation=operation, method="GET", path=path)


def query(
    cypher: str,
    graph_id: str,
    given: Mapping[str, Any] | None = None,
    *,
    timeout: float | None = None,
    read_only: bool = False,
    accept: str | None = None,
) -> Call:
    """`accept` asks for another form than one JSON object; such an answer is a stream."""
    return Call(
        operation="query",
        method="POST",
        path=f"/databases/{segment(graph_id)}/query",
        accept=accept,
        body=json_body(
            cypher=cypher, parameters=parameters(given) or None, timeout=timeout, read_only=read_only or None
        ),
        timeout=_with_answer(timeout),
        replay=_replay([cypher], read_only=read_only),
    )


def transaction(
    statements: Iterable[Statement], graph_id: str, *, timeout: float | None = None, read_only: bool = False
) -> Call:
    wanted = [_statement(statement) for statement in statements]
    return Call(
        operation="transaction",
        method="POST",
        path=f"/databases/{segment(graph_id)}/transaction",
        body=json_body(statements=wanted, timeout=timeout, read_only=read_only or None),
        timeout=_with_answer(timeout),
        replay=_replay([statement["cypher"] for statement in wanted], read_only=read_only),
    )


def node_exists(label: str, filters: Mapping[str, Any] | None, graph_id: str) -> Call:
    conditions, values = [], {}
    for index, (name, value) in enumerate((filters or {}).items()):
        if value is None:
            conditions.append(f"n.{quoted(name)} IS NULL")
        else:
            conditions.append(f"n.{quoted(name)} = $p{index}")
            values[f"p{index}"] = value
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return query(f"MATCH (n:{quoted(label)}){where} RETURN 1 AS found LIMIT 1", graph_id, values, read_only=True)


def create_database(
    graph_id: str,
    schema_type: str,
    *,
    repository_name: str | None = None,
    custom_schema_ddl: str | None = None,
    is_subgraph: bool = False,
    replay: Replay = Replay.NEVER,
) -> Call:
    """A second one would be told that the database exists, which only some callers take for success."""
    return Call(
        operation="create_database",
        method="POST",
        path="/databases",
        body=json_body(
            graph_id=graph_id,
            schema_type=schema_type,
            repository_name=repository_name,
            custom_schema_ddl=custom_schema_ddl,
            is_subgraph=is_subgraph,
        ),
        replay=replay,
    )


def database(operation: str, graph_id: str, part: str = "") -> Call:
    """GET of a database or of what belongs to it; `part` begins with `/`."""
    return Call(operation=operation, method="GET", path=f"/databases/{segment(graph_id)}{part}")


def delete_database(graph_id: str) -> Call:
    """Not repeated: behind an unknown outcome the name may be another database's."""
    path = f"/databases/{segment(graph_id)}"
    return Call(operation="delete_database", method="DELETE", path=path, replay=Replay.NEVER)


def install_schema(
    graph_id: str, base_schema: str, extensions: Iterable[str] | None = None, custom_ddl: str | None = None
) -> Call:
    """Built-in schemas may be installed again and again, a text may not. Raises ValueError when both are asked for."""
    if custom_ddl is None:
        body = json_body(type="custom", metadata={"base_schema": base_schema, "extensions": list(extensions or ())})
    elif extensions:
        raise ValueError("extensions belong to the built-in schemas; custom_ddl is installed by itself")
    else:
        body = json_body(type="ddl", ddl=custom_ddl)
    return Call(
        operation="install_schema",
        method="POST",
        path=f"/databases/{segment(graph_id)}/schema",
        body=body,
        replay=Replay.SAFE if custom_ddl is None else Replay.KEYED,
    )


def rows(
    graph_id: str,
    table: str,
    body: Body,
    *,
    timeout: float,
    ignore_errors: bool = False,
    match: str = "name",
    header: bool = True,
    delimiter: str = ",",
    replay: Replay = Replay.KEYED,
) -> Call:
    """Options that are the node's defaults are not sent."""
    asked = {
        "ignore_errors": "true" if ignore_errors else "",
        "match": "" if match == "name" else match,
        "header": "" if header else "false",
        "delimiter": "" if delimiter == "," else delimiter,
    }
    return Call(
        operation="upload_rows",
        method="PUT",
        path=f"/databases/{segment(graph_id)}/tables/{segment(table)}/rows",
        query=tuple((name, value) for name, value in asked.items() if value),
        body=body,
        timeout=timeout,
        replay=replay,
    )


def start(operation: str, graph_id: str, part: str, *, timeout: float | None = None, **fields: Any) -> Call:
    """POST of what is not sent twice: a task, or a load that has no key."""
    return Call(
        operation=operation,
        method="POST",
        path=f"/databases/{segment(graph_id)}/{part}",
        body=json_body(**fields),
        timeout=timeout,
        replay=Replay.NEVER,
    )


def restore(graph_id: str, body: Body, *, timeout: float, replay: Replay = Replay.NEVER) -> Call:
    return Call(
        operation="restore_backup",
        method="POST",
        path=f"/databases/{segment(graph_id)}/restore",
        body=body,
        timeout=timeout,
        replay=replay,
    )


def download_backup(graph_id: str, *, timeout: float) -> Call:
    path = f"/databases/{segment(graph_id)}/backup-download"
    return Call(operation="download_backup", method="POST", path=path, timeout=timeout)


def archive(graph_id: str, *, timeout: float) -> Call:
    """Whatever form the node has chosen for it."""
    path = f"/databases/{segment(graph_id)}/backup"
    return Call(operation="export_database", method="GET", path=path, accept="*/*", timeout=timeout)


def task(operation: str, task_id: str, part: str) -> Call:
    return Call(operation=operation, method="GET", path=f"/tasks/{segment(task_id)}/{part}")


def monitor(task_id: str, last_event_id: str, *, timeout: float) -> Call:
    """Goes on behind `last_event_id`, unless that is empty. A stream that is silent for `timeout` has broken."""
    return Call(
        operation="monitor_task",
        method="GET",
        path=f"/tasks/{segment(task_id)}/monitor",
        headers=(("Last-Event-ID", last_event_id),) if last_event_id else (),
        accept=EVENTS,
        timeout=timeout,
    )


def list_tasks(status: str | None, limit: int) -> Call:
    asked = (("status", status), ("limit", str(limit)))
    wanted = tuple((name, value) for name, value in asked if value is not None)
    return Call(operation="list_tasks", method="GET", path="/tasks", query=wanted)


def cancel_task(task_id: str) -> Call:
    """Repeated where the outcome is unknown: a task that has ended by then says so."""
    return Call(operation="cancel_task", method="DELETE", path=f"/tasks/{segment(task_id)}")


def _statement(given: Statement) -> dict[str, Any]:
    """One entry of a transaction: a text, a pair of text and parameters, or a mapping as the contract has it."""
    if isinstance(given, str):
        return {"cypher": given}
    if isinstance(given, Mapping):
        wanted = dict(given)
    else:
        cypher, values = given
        wanted = {"cypher": cypher, "parameters": values}
    if wanted.get("parameters") is not None:
        wanted["parameters"] = parameters(wanted["parameters"])
    if wanted.get("parameter_sets") is not None:
        wanted["parameter_sets"] = [parameters(values) for values in wanted["parameter_sets"]]
    return wanted


def _replay(texts: list[str], *, read_only: bool) -> Replay:
    if read_only:
        return Replay.SAFE
    return Replay.NEVER if any(_WITHOUT_KEY.search(text) for text in texts) else Replay.KEYED


def _with_answer(timeout: float | None) -> float | None:
    return None if timeout is None else timeout + ANSWER_SECONDS
