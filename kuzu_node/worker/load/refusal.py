"""Why a file is not loaded: what the node answers before the engine has been asked."""

from __future__ import annotations


class Refused(Exception):
    """The file does not fit the table. `code` is one of the HTTP contract."""

    def __init__(self, detail: str, code: str = "invalid") -> None:
        super().__init__(detail)
        self.code = code


class BulkNeeded(Refused):
    """The rows are too many, or of a kind, for logged statements: the node sets the file aside and orders a COPY."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "bulk_needed")
