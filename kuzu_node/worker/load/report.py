"""Which rows were left out, why, and how many: the `skipped` of an answer."""

from __future__ import annotations

import re

import kuzu

from kuzu_node.worker import engine
from kuzu_node.worker.load.refusal import bounded

# As many examples of one reason as help to find the fault in the file.
EXAMPLES = 5
# What the engine says of a row is a reason of its own where no pattern knows it.
REASONS = 100

_REASONS = (
    (re.compile(r"^Found duplicated primary key value (.*), which violates", re.DOTALL), "duplicate primary key"),
    (re.compile(r"^Found NULL, which violates the non-null constraint"), "null key"),
    (re.compile(r"^Unable to find primary key value (.*)\.$", re.DOTALL), "missing end"),
)
_OTHER = "other reasons"
_UNKNOWN = "reason not kept by the engine"


class SkipReport:
    """Counts by reason, with examples."""

    def __init__(self) -> None:
        self._reasons: dict[str, tuple[int, list[str]]] = {}

    @property
    def skipped(self) -> int:
        return sum(count for count, _ in self._reasons.values())

    def add(self, reason: str, example: str | None, count: int = 1) -> None:
        reason = bounded(reason)
        if reason not in self._reasons and len(self._reasons) >= REASONS:
            reason = _OTHER
        known, examples = self._reasons.get(reason, (0, []))
        if example is not None and len(examples) < EXAMPLES:
            examples.append(bounded(example))
        self._reasons[reason] = (known + count, examples)

    def add_warnings(self, connection: kuzu.Connection, skipped: int) -> None:
        """What the engine kept of the `skipped` rows of the last COPY; it keeps 8192 warnings at most."""
        kept = 0
        if skipped:
            for row in engine.rows(connection, "CALL show_warnings() RETURN *")[:skipped]:
                reason, example = _classified(row[1])
                self.add(reason, example)
                kept += 1
            engine.run(connection, "CALL clear_warnings()").close()
        if skipped > kept:
            self.add(_UNKNOWN, None, skipped - kept)

    def listed(self) -> list[list[object]]:
        """`[reason, count, examples]`, the most frequent first."""
        ordered = sorted(self._reasons.items(), key=lambda item: -item[1][0])
        return [[reason, count, list(examples)] for reason, (count, examples) in ordered]


def _classified(message: str) -> tuple[str, str | None]:
    for pattern, reason in _REASONS:
        if found := pattern.match(message):
            return reason, found[1] if found.groups() else None
    return message, message
