"""The engine's Connection of one lane, with what it has to be told between requests."""

from __future__ import annotations

from typing import Any

import kuzu

from kuzu_node.worker import engine
from kuzu_node.worker.facts import Facts
from kuzu_node.worker.outcomes import FAILURES

# `execute` with parameters leaks about 36 KB a call until its Connection closes.
PARAMETERISED_CALLS = 200


class LaneConnection:
    """Used by one thread at a time. `connection` is another object after `renew`."""

    def __init__(self, database: kuzu.Database, threads: int, facts: Facts) -> None:
        self.connection = engine.connect(database, threads)
        self._database = database
        self._threads = threads
        self._facts = facts
        self._parameterised = 0
        self._timeout_ms = 0

    def execute(self, text: str, parameters: dict[str, Any]) -> kuzu.QueryResult:
        if parameters:
            self._parameterised += 1
        self._facts.observe(text)
        return engine.run(self.connection, text, parameters)

    def set_timeout(self, milliseconds: int) -> None:
        """0 for none."""
        if milliseconds != self._timeout_ms:
            self.connection.set_query_timeout(milliseconds)
            self._timeout_ms = milliseconds

    def begin(self, *, read_only: bool = False) -> None:
        engine.run(self.connection, "BEGIN TRANSACTION READ ONLY" if read_only else "BEGIN TRANSACTION").close()

    def roll_back(self) -> None:
        """Also where the engine has ended the transaction already, as it does at a binder or runtime error."""
        try:
            engine.run(self.connection, "ROLLBACK").close()
        except RuntimeError:
            return

    @property
    def has_leaked(self) -> bool:
        return self._parameterised >= PARAMETERISED_CALLS

    def renew(self) -> bool:
        """Whether there is a fresh Connection; the old one stays where there is no memory for it just now."""
        try:
            fresh = engine.connect(self._database, self._threads)
        except FAILURES:
            return False
        stale, self.connection = self.connection, fresh
        stale.close()
        self._parameterised = self._timeout_ms = 0
        return True
