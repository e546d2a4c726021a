"""Whether rows go in as logged statements or by a COPY, for which the whole file has to be set aside. Pure.

The numbers are those of `python -m bench.rows_in` on two cores.
"""

from __future__ import annotations

# Nodes go in logged at 3 to 13 us a row, a COPY and its checkpoint take 20 to 1000 ms: they meet at 30 000 to 100 000.
LOGGED_NODES = 30_000
# Each relationship is a statement of 0.5 to 2 ms; they meet at 100 to 300, in files of 1 GB at 1000.
LOGGED_RELATIONSHIPS = 200
# Decoded rows: they stay in the buffer pool until a checkpoint, which is due when the log passes 16 MB.
LOGGED_BYTES = 16 << 20

_LARGEST_BODY = 4 << 20
_LOGGED_SECONDS_PER_BYTE = 1e-7
_COPY_SECONDS = 0.1
_ASIDE_BYTES_PER_SECOND = 1e9


def as_logged(body_bytes: int, file_bytes: int, reflink: bool) -> bool:
    """A first guess by sizes in bytes; the worker, which sees the rows, may still ask for a COPY."""
    aside = 0.0 if reflink else file_bytes / _ASIDE_BYTES_PER_SECOND
    return body_bytes <= min(_LARGEST_BODY, (_COPY_SECONDS + aside) / _LOGGED_SECONDS_PER_BYTE)
