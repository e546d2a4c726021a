"""Rows of a staged file into one table: called by a lane, inside the transaction that it has begun."""

from __future__ import annotations

from kuzu_node.worker.load.refusal import BulkNeeded, Refused
from kuzu_node.worker.load.run import load_rows

__all__ = ["BulkNeeded", "Refused", "load_rows"]
