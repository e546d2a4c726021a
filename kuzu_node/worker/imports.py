"""What a worker must not import, though it may be installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

# The engine's Python binding, and pyarrow, look for these whenever they meet a Python object and import what they find:
# pandas takes longer than everything else a worker does, numpy a quarter of the rest and threads of its own, and none
# can be read once the sandbox is closed.
ABSENT = frozenset({"pandas", "polars", "numpy"})

# Imported by the engine's package for those who want it, and with it asyncio, ssl and logging.
_ASYNC_CONNECTION = "kuzu.async_connection"


class Finder:
    """Finds what the path holds, except for what is to be absent."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] in ABSENT:
            return None
        return PathFinder.find_spec(name, path, target)


def hide_absent() -> None:
    """To be called before the engine is imported."""
    sys.meta_path = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
    stand_in = ModuleType(_ASYNC_CONNECTION)
    stand_in.__dict__["AsyncConnection"] = None
    sys.modules[_ASYNC_CONNECTION] = stand_in
