"""CHECKPOINT, and the COMMIT that checkpoints, with what keeps the engine from ruining columns by them.

The node has set the files aside: whatever is raised here but Unstorable sends it back to those.
"""

from __future__ import annotations

import kuzu

from kuzu_node.worker import engine
from kuzu_node.worker.dictionaries import Dictionaries, verify
from kuzu_node.worker.facts import Facts
from kuzu_node.worker.lists import keep_lists, put_back, refuse_lost_lists
from kuzu_node.worker.relationships import keep_relationships
from kuzu_node.worker.unstorable import refuse_unstorable


class Storing:
    """The checkpoints of one process."""

    def __init__(self, facts: Facts, *, careful: bool = True) -> None:
        self._facts = facts
        self._dictionaries = Dictionaries(careful=careful)
        self._checkpointed = False

    def checkpoint(self, connection: kuzu.Connection) -> None:
        """Raises Unstorable before anything is written, Scrambled or another RuntimeError."""
        if not self._checkpointed:
            # One that such a value has failed has ended its worker: this one tells what to do about it.
            refuse_unstorable(connection)
        refuse_lost_lists(connection)
        self._store(connection, connection, [])
        self._checkpointed = True

    def commit(self, transaction: kuzu.Connection, connection: kuzu.Connection) -> None:
        """COMMIT of an open bulk statement, and CHECKPOINT, which is the proof that the rows are durable."""
        refuse_lost_lists(transaction)
        self._store(transaction, connection, ["COMMIT"])

    def _store(self, writer: kuzu.Connection, connection: kuzu.Connection, texts: list[str]) -> None:
        if self._facts.deleted:
            keep_relationships(writer)
        strings = self._dictionaries.protect(writer)
        lists = keep_lists(writer) if self._facts.updated else []
        for text in texts:
            engine.run(writer, text).close()
        engine.run(connection, "CHECKPOINT").close()
        verify(connection, strings)
        if lists:
            put_back(connection, lists)
            engine.run(connection, "CHECKPOINT").close()
        self._facts.updated = self._facts.deleted = False
