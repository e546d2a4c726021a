"""The only place that reads the engine's messages: each becomes a code of the HTTP contract, once."""

from __future__ import annotations

import re
from typing import NamedTuple

INTERRUPTED = "interrupted"
DISK_FULL = "disk_full"
NO_TRANSACTION = "no_transaction"
UNSTORABLE = "unstorable"


class Failure(NamedTuple):
    """`line` and `column` count from 1 in the text that the engine was given."""

    code: str
    line: int | None
    column: int | None


# In this order: the first pattern that is found decides. Messages repeat names and values of the caller, so those that
# are known by how they begin come first, and words are looked for only where the engine itself puts them.
_CODES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), code)
    for pattern, code in (
        (r"^Interrupted\.?$", INTERRUPTED),
        (r"^No active transaction", NO_TRANSACTION),
        (r"^Unstorable value: ", UNSTORABLE),
        (r"^Parameter .* not found|^Parameter exception", "parameter"),
        (r"^Parser exception", "syntax"),
        (r"^Binder exception", "binder"),
        (r"^Catalog exception", "catalog"),
        (r"^(Conversion|Overflow) exception", "runtime"),
        (r"^(Runtime|Copy) exception: (Found duplicated primary key|Found NULL, which violates)", "constraint"),
        (r"^Runtime exception: Node\(nodeOffset: \d+\) has (connected edges|more than one neighbour)", "constraint"),
        (r"^(Runtime|Copy) exception: Unable to find primary key value", "constraint"),
        (r"^Cannot start a new write transaction", "conflict"),
        (r"Can ?not execute (a )?write .*read-only|read-only mode", "read_only"),
        (r"No space left on device|disk is full|^IO exception: Cannot write to file", DISK_FULL),
        (r"^Buffer manager exception|bad_alloc|Cannot allocate memory|out of memory|^MemoryError", "memory_exceeded"),
    )
)
_POSITION = re.compile(r"\(line: (\d+), offset: (\d+)\)")


# Of a file that a statement names, which no statement may: the database's own have a name that is known.
_NOT_OPENED = re.compile(
    r"IO exception: (Cannot open|Failed to open|No file found|Cannot find|Cannot read|Directory)", re.I
)
_OWN_FILES = "graph.kuzu"


def is_of_files(message: str) -> bool:
    """Whether a file of the database could not be written or synced, for want of space or otherwise."""
    if _NOT_OPENED.match(message) and _OWN_FILES not in message:
        return False
    return message.startswith("IO exception: ") or classify(message).code == DISK_FULL


def classify(message: str) -> Failure:
    """Code and position of an engine message; what nothing matches is `runtime`."""
    position = _POSITION.search(message)
    line, column = (int(position[1]), int(position[2]) + 1) if position else (None, None)
    for pattern, code in _CODES:
        if pattern.search(message):
            return Failure(code, line, column)
    return Failure("runtime", line, column)
