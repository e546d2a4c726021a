"""The only place that knows status codes: turns the code of a domain error into a problem document (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from kuzu_node.errors import Fault, NodeError
from kuzu_node.http.response import Header, Response

PROBLEM_TYPE: Final = b"application/problem+json"
DEFAULT_RETRY_AFTER: Final = 1

STATUS: Final[dict[str, tuple[int, str]]] = {
    "syntax": (400, "Syntax error"),
    "binder": (400, "Binder error"),
    "catalog": (400, "Catalog error"),
    "parameter": (400, "Wrong parameter"),
    "runtime": (400, "Runtime error"),
    "empty_query": (400, "Empty query"),
    "bad_request": (400, "Bad request"),
    "missing_key": (401, "Key missing"),
    "invalid_key": (401, "Key invalid"),
    "read_only": (403, "Read only"),
    "forbidden_statement": (403, "Statement not allowed"),
    "forbidden": (403, "Forbidden"),
    "blocked": (403, "Blocked"),
    "unknown_database": (404, "Unknown database"),
    "unknown_task": (404, "Unknown task"),
    "unknown_route": (404, "Unknown route"),
    "method_not_allowed": (405, "Method not allowed"),
    "not_acceptable": (406, "Not acceptable"),
    "query_timeout": (408, "Query timeout"),
    "exists": (409, "Already exists"),
    "constraint": (409, "Constraint violated"),
    "conflict": (409, "Conflict"),
    "task_ended": (409, "Task has ended"),
    "transaction_aborted": (409, "Transaction aborted"),
    "too_large": (413, "Request too large"),
    "path_too_long": (414, "Path too long"),
    "unsupported_media_type": (415, "Unsupported media type"),
    "invalid": (422, "Invalid request"),
    "rate_limited": (429, "Rate limited"),
    "headers_too_large": (431, "Headers too large"),
    "cancelled": (499, "Cancelled"),
    "internal": (500, "Internal error"),
    "pool_exhausted": (503, "Connection pool exhausted"),
    "admission": (503, "Node overloaded"),
    "queue_full": (503, "Queue full"),
    "draining": (503, "Node draining"),
    "database_restarting": (503, "Database restarting"),
    "database_failed": (503, "Database failed"),
    "statement_quarantined": (503, "Statement quarantined"),
    "transaction_preempted": (503, "Transaction ended by the node"),
    "node_full": (507, "Node full"),
    "memory_exceeded": (507, "Memory exceeded"),
    "disk_full": (507, "Disk full"),
}


def problem(error: NodeError, request_id: str, more: Mapping[str, Any] | None = None) -> Response:
    """The answer that tells about `error`, with the members of `more`."""
    document = {
        "type": f"urn:kuzu-node:error:{error.code}",
        **members(error),
        "request_id": request_id,
        **(more or {}),
    }
    status: int = document["status"]
    headers: tuple[Header, ...] = ()
    if "retry_after" in document:
        headers = ((b"retry-after", b"%d" % document["retry_after"]),)
    elif status == 401:
        headers = ((b"www-authenticate", b'Bearer realm="kuzu-node"'),)
    return Response(status, msgspec.json.encode(document), PROBLEM_TYPE, headers)


def members(error: NodeError) -> dict[str, Any]:
    """What every account of `error` says, in an answer or in a message of a session."""
    status, title = STATUS[error.code]
    document: dict[str, Any] = {"title": title, "status": status, "detail": error.detail, "code": error.code}
    # A 422 has a place to point at in any case: the body as a whole, where nobody knows better.
    faults = error.faults or ((Fault("$", error.detail),) if status == 422 else ())
    if faults:
        document["errors"] = [{"path": fault.path, "message": fault.message} for fault in faults]
    for name in ("line", "column", "statement"):
        value = getattr(error, name)
        if value is not None:
            document[name] = value
    if status in (429, 503):
        document["retry_after"] = max(1, math.ceil(error.retry_after or DEFAULT_RETRY_AFTER))
    return document


def title_of(error: NodeError) -> str:
    """The title of the error's code, for the last line of a broken stream."""
    return STATUS[error.code][1]
