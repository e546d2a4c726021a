"""Whether rows go in as logged statements or by a COPY, for which the whole file has to be set aside. Pure."""

from __future__ import annotations

LOGGED_NODES = 10_000
LOGGED_RELATIONSHIPS = 100


def as_logged(body_bytes: int, file_bytes: int, reflink: bool) -> bool:
    return body_bytes < 100_000
