"""What the lanes of a worker have to know of its schema, read at the opening and after each change of it."""

from __future__ import annotations

import re

import kuzu

from kuzu_node.core.messages import KeyTypes
from kuzu_node.worker import engine
from kuzu_node.worker.encode import is_unsound

_UPDATE = re.compile(r"\b(SET|MERGE)\b", re.IGNORECASE)
_DELETE = re.compile(r"\bDELETE\b", re.IGNORECASE)
# Literals count as well.
_MOST_WORDS = 20_000


class Facts:
    """`unsound`: some table has a property whose type the encoders must not fetch as Arrow.

    `updated`, `deleted`: stored rows may have been changed, or rows deleted, since the last checkpoint, as by what the
    log gave back.
    """

    def __init__(self) -> None:
        self.unsound = False
        # Tables with a column of which `lists` has to ask whether it can be stored; committed schema only.
        self.nested: list[str] = []
        self.updated = True
        self.deleted = True
        # In the texts of updates since the last checkpoint; None when nobody knows.
        self._words: set[str] | None = None

    def observe(self, text: str) -> None:
        """A statement is going to run. In doubt it changes and deletes rows."""
        self.deleted = self.deleted or _DELETE.search(text) is not None
        if _UPDATE.search(text):
            self.updated = True
            if self._words is not None:
                self._words.update(_words(text))
                if len(self._words) > _MOST_WORDS:
                    self._words = None

    def names(self, name: str) -> bool:
        """Whether an update since the last checkpoint may have named it."""
        return self._words is None or self._words.issuperset(_words(name))

    def stored(self) -> None:
        """A checkpoint has worked."""
        self.updated = self.deleted = False
        self._words = set()

    def refresh(self, connection: kuzu.Connection) -> KeyTypes:
        """Reads the schema; for each node table its primary key and that key's type."""
        keys: KeyTypes = {}
        unsound, nested = False, []
        for _, name, kind, *_ in engine.rows(connection, "CALL show_tables() RETURN *"):
            columns = engine.rows(connection, f"CALL table_info({engine.text_literal(name)}) RETURN *")
            for _, column, column_type, _, primary in (row[:5] for row in columns):
                unsound = unsound or is_unsound(column_type)
                if has_nested_lists(column_type) and name not in nested:
                    nested.append(name)
                if kind == "NODE" and primary:
                    keys[name] = (column, column_type)
        self.unsound, self.nested = unsound, nested
        return keys


def _words(text: str) -> list[str]:
    """Those of a name are in each text that has the name, however it is quoted."""
    return re.findall(r"\w+", text.lower())


def has_nested_lists(column_type: str) -> bool:
    """Whether a list of STRUCTs or of lists, or a MAP, may be somewhere in the type."""
    return "MAP(" in column_type or ")[" in column_type or "][" in column_type
