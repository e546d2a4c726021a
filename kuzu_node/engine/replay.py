"""What the engine's log does not give back as it was. Pure; such a write is checkpointed before it is acknowledged.

Replaying a DETACH DELETE of two connected nodes removes one more relationship from the index of incoming ones. With a
full-text index, a replayed SET leaves the index as it was, and a DELETE of what the log has set or created is fatal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from kuzu_node.core.screen.lexer import tokens_of
from kuzu_node.errors import Forbidden

_ALWAYS = re.compile(r"\bDETACH\b", re.IGNORECASE)
_WITH_TEXT_INDEX = re.compile(r"\b(DETACH|DELETE|SET|MERGE)\b", re.IGNORECASE)

_RUINOUS = re.compile(r"\bDROP_VECTOR_INDEX\b", re.IGNORECASE)


def is_untrue(texts: Iterable[str], *, text_indexed: bool) -> bool:
    """Whether one of the writing statements may come back from the log as something else. In doubt it may."""
    words = _WITH_TEXT_INDEX if text_indexed else _ALWAYS
    return any(words.search(text) for text in texts)


def refuse_ruinous(text: str) -> None:
    """Once its vector index is dropped and the file opened again, each write to the table ends the process."""
    if _RUINOUS.search(text):
        detail = "the engine cannot drop a vector index without ruining its table: copy the rows into another table"
        raise Forbidden(detail, code="forbidden_statement", committed=False, is_statement=True)


def altered_table(text: str) -> str:
    """The table of an ALTER TABLE, as `same_name` spells it."""
    tokens = tokens_of(text)
    name = tokens[tokens.index("TABLE") + 1]
    return same_name(name[1:-1].replace("``", "`") if name.startswith("`") else name)


def same_name(name: str) -> str:
    """The engine's names differ by more than the case of ASCII letters."""
    return name.encode().upper().decode()
