"""The errors that the node's own code raises; `http/errors.py` turns a code into a status.

NodeError
├── RequestRefused    bad_request, too_large, path_too_long, headers_too_large, unsupported_media_type,
│                     not_acceptable, method_not_allowed, unknown_route, empty_query
├── InvalidBody       invalid, with the paths of what is wrong
├── Unauthorized      missing_key, invalid_key
├── Forbidden         forbidden, forbidden_statement, read_only, blocked
├── NotFound          unknown_database, unknown_task
├── Conflict          exists, conflict, task_ended, transaction_aborted
├── StatementFailed   syntax, binder, catalog, parameter, runtime, constraint
├── QueryTimeout      query_timeout, cancelled
├── RateLimited       rate_limited
├── Unavailable       pool_exhausted, admission, queue_full, draining, database_restarting,
│                     database_failed, statement_quarantined, transaction_preempted
├── OutOfSpace        node_full, memory_exceeded, disk_full
└── Internal          internal
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Fault:
    """One wrong place in a request: a JSON path such as `parameters.rows[3].id`, and what is wrong there."""

    path: str
    message: str


class NodeError(Exception):
    """`code` is one of the codes of the HTTP contract; `detail` is for the person who reads the answer.

    `committed` says whether the statement's effects are durable: None when nobody knows, or when no
    statement was involved (`is_statement` false), in which case the answer leaves the key out.
    """

    default_code = "internal"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        committed: bool | None = None,
        is_statement: bool = False,
        retry_after: float | None = None,
        line: int | None = None,
        column: int | None = None,
        statement: int | None = None,
        faults: tuple[Fault, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.code = code or self.default_code
        self.detail = detail
        self.committed = committed
        self.is_statement = is_statement
        self.retry_after = retry_after
        self.line = line
        self.column = column
        self.statement = statement
        self.faults = faults


class RequestRefused(NodeError):
    default_code = "bad_request"


class InvalidBody(NodeError):
    default_code = "invalid"


class Unauthorized(NodeError):
    default_code = "missing_key"


class Forbidden(NodeError):
    default_code = "forbidden"


class NotFound(NodeError):
    default_code = "unknown_database"


class Conflict(NodeError):
    default_code = "conflict"


class StatementFailed(NodeError):
    default_code = "runtime"


class QueryTimeout(NodeError):
    default_code = "query_timeout"


class RateLimited(NodeError):
    default_code = "rate_limited"


class Unavailable(NodeError):
    default_code = "database_restarting"


class OutOfSpace(NodeError):
    default_code = "node_full"


class Internal(NodeError):
    default_code = "internal"
