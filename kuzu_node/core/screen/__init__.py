"""The screen: the pure look at a Cypher text and its parameters before anything reaches the engine.

`Screen` is the entry; it limits, classifies, refuses what leaves the database, and rewrites parameters.
"""

from __future__ import annotations

from kuzu_node.core.screen.literals import literal
from kuzu_node.core.screen.model import KeyTypes, Kind, Limits, Screened, Statement
from kuzu_node.core.screen.screen import Screen, screen, split_ddl

__all__ = ["KeyTypes", "Kind", "Limits", "Screen", "Screened", "Statement", "literal", "screen", "split_ddl"]
