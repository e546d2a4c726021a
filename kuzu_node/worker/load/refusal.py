"""Why a file is not loaded: what the node answers before the engine has been asked."""

from __future__ import annotations

# A refusal quotes values and names of the file, which may be of any length, and is told for several rows.
LONGEST_TEXT = 2000


def bounded(text: str) -> str:
    """With its length, where it is too long to be told."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}.. ({len(text)} characters)"


class Refused(Exception):
    """The file does not fit the table. `code` is one of the HTTP contract."""

    def __init__(self, detail: str, code: str = "invalid") -> None:
        super().__init__(bounded(detail))
        self.code = code


class BulkNeeded(Refused):
    """The rows are too many, or of a kind, for logged statements: the node sets the file aside and orders a COPY."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "bulk_needed")
