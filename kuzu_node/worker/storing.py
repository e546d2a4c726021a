"""CHECKPOINT, and the COMMIT that checkpoints, with what keeps the engine from ruining columns by them.

The node has set the files aside: whatever is raised here but Unstorable sends it back to those.
"""

from __future__ import annotations

from pathlib import Path

import kuzu

from kuzu_node.worker import engine, relationships
from kuzu_node.worker.facts import Facts
from kuzu_node.worker.faults import Scrambled
from kuzu_node.worker.lists import keep_lists, put_back, refuse_lost_lists
from kuzu_node.worker.seeds import dig_up, sow

# Stands beside the database from a checkpoint that scrambled relationships to the next that works.
FAILED = "checkpoint.failed"


class Storing:
    """The checkpoints of one process."""

    def __init__(self, facts: Facts, folder: str) -> None:
        self._facts = facts
        self._failed = Path(folder, FAILED)

    def checkpoint(self, connection: kuzu.Connection) -> None:
        """Raises Unstorable before anything is written, Scrambled or another RuntimeError."""
        refuse_lost_lists(connection, self._facts.nested)
        self._store(connection, connection, [])

    def commit(self, transaction: kuzu.Connection, connection: kuzu.Connection) -> None:
        """COMMIT of an open bulk statement, and CHECKPOINT, which is the proof that the rows are durable."""
        # Of the schema as the transaction has changed it.
        self._facts.refresh(transaction)
        refuse_lost_lists(transaction, self._facts.nested)
        self._store(transaction, connection, ["COMMIT"])

    def _store(self, writer: kuzu.Connection, connection: kuzu.Connection, texts: list[str]) -> None:
        related = relationships.protect(writer, self._facts, careful=self._failed.exists())
        seeds = sow(writer, connection, self._facts.nested, changed=self._facts.updated or self._facts.deleted)
        # What has been sown is an update too, but of rows that are new.
        lists = keep_lists(writer, _with_new_rows(writer)) if self._facts.updated else []
        for text in texts:
            engine.run(writer, text).close()
        engine.run(connection, "CHECKPOINT").close()
        try:
            relationships.verify(connection, related)
        except Scrambled:
            # The files that were set aside come back, and the next process has to know.
            self._failed.touch()
            raise
        if lists or seeds:
            put_back(connection, lists)
            dig_up(connection, seeds)
            engine.run(connection, "CHECKPOINT").close()
        self._failed.unlink(missing_ok=True)
        self._facts.stored()


def _with_new_rows(connection: kuzu.Connection) -> list[str]:
    """Node tables in which rows have been made since the last checkpoint: only there one does harm to the others."""
    found = []
    for _, name, kind, *_ in engine.rows(connection, "CALL show_tables() RETURN *"):
        text = f"CALL storage_info({engine.text_literal(name)}) WHERE residency = 'IN_MEMORY' AND num_values > 0"
        if kind == "NODE" and engine.rows(connection, f"{text} RETURN count(*)") != [[0]]:
            found.append(name)
    return found
