"""What the guards around a checkpoint raise, each for a fault of the engine that would lose something."""

from __future__ import annotations


class Unstorable(RuntimeError):
    """Raised before anything has been written."""


class Scrambled(RuntimeError):
    """A checkpoint has ruined a table: the files that were set aside are the good ones."""
