"""Foreign failures of the engine side become the node's errors here, by one table."""

from __future__ import annotations

import errno

from kuzu_node.core.messages import Failed
from kuzu_node.engine.process import describe_status
from kuzu_node.errors import (
    Conflict,
    Forbidden,
    Internal,
    NodeError,
    OutOfSpace,
    QueryTimeout,
    RequestRefused,
    StatementFailed,
    Unavailable,
)

_CLASSES: dict[str, type[NodeError]] = {
    "memory_exceeded": OutOfSpace,
    "disk_full": OutOfSpace,
    "conflict": Conflict,
    "constraint": Conflict,
    "read_only": Forbidden,
    "interrupted": QueryTimeout,
    "too_large": RequestRefused,
    "unstorable": Conflict,
}
# What has no code of its own in the HTTP contract.
_CODES = {"interrupted": "query_timeout", "no_transaction": "runtime", "unstorable": "constraint"}


def statement_error(failed: Failed) -> NodeError:
    """The error for what the worker said; `committed` as it said."""
    kind = _CLASSES.get(failed.code, StatementFailed)
    return kind(
        failed.detail,
        code=_CODES.get(failed.code, failed.code),
        committed=failed.committed,
        is_statement=True,
        statement=failed.statement,
        line=failed.line,
        column=failed.column,
    )


def worker_lost(status: int, *, committed: bool | None) -> Unavailable:
    """The worker ended under a statement."""
    detail = (
        f"the database's worker ended with {describe_status(status)} while this statement ran; it is starting again"
    )
    return Unavailable(detail, code="database_restarting", committed=committed, is_statement=True, retry_after=1)


def pool_exhausted(detail: str, *, committed: bool = False) -> Unavailable:
    return Unavailable(detail, code="pool_exhausted", committed=committed, is_statement=True, retry_after=1)


def disk_error(what: str, error: OSError, *, is_statement: bool = False) -> NodeError:
    """Something that the disk has refused; nothing of it is done."""
    detail, committed = f"{what}: {error.strerror}", False if is_statement else None
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutOfSpace(detail, code="disk_full", committed=committed, is_statement=is_statement)
    return Internal(detail, committed=committed, is_statement=is_statement)
