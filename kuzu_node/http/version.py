"""The version that the node tells its clients."""

from __future__ import annotations

from importlib import metadata
from typing import Final

DISTRIBUTION: Final = "kuzu-node"


def read_version() -> str:
    """The installed version; a source tree that was never installed has none."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "0"


VERSION: Final = read_version()
