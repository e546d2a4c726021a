"""What a script learns from the exit code. The table of docs/client-cli.md."""

from __future__ import annotations

import enum

from kuzu_client.errors import KuzuAPIError, KuzuTimeoutError, KuzuTransientError


class Exit(enum.IntEnum):
    """128 and a signal's number for those that ended it, as shells have them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    NOT_FOUND = 4
    TIMED_OUT = 5
    REFUSED = 6
    INTERRUPTED = 130
    BROKEN_PIPE = 141


BY_STATUS = {
    401: Exit.REFUSED,
    403: Exit.REFUSED,
    404: Exit.NOT_FOUND,
    408: Exit.TIMED_OUT,
    429: Exit.UNAVAILABLE,
    504: Exit.UNAVAILABLE,
}


def of(error: KuzuAPIError) -> Exit:
    if isinstance(error, KuzuTimeoutError):
        return Exit.TIMED_OUT
    if isinstance(error, KuzuTransientError):
        return Exit.UNAVAILABLE
    return BY_STATUS.get(error.status_code or 0, Exit.FAILED)
