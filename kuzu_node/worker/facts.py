"""What the lanes of a worker have to know of its schema, read at the opening and after each change of it."""

from __future__ import annotations

import kuzu

from kuzu_node.core.messages import KeyTypes
from kuzu_node.worker import engine


class Facts:
    """`unions`: some table has a UNION property, which the encoders must not fetch as Arrow."""

    def __init__(self) -> None:
        self.unions = False

    def refresh(self, connection: kuzu.Connection) -> KeyTypes:
        """Reads the schema; for each node table its primary key and that key's type."""
        keys: KeyTypes = {}
        unions = False
        for _, name, kind, *_ in engine.rows(connection, "CALL show_tables() RETURN *"):
            columns = engine.rows(connection, f"CALL table_info({engine.text_literal(name)}) RETURN *")
            for _, column, column_type, _, primary in (row[:5] for row in columns):
                unions = unions or "UNION(" in column_type
                if kind == "NODE" and primary:
                    keys[name] = (column, column_type)
        self.unions = unions
        return keys
