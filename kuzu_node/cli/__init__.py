"""The command line: `kuzu-node serve`, `kuzu-node check`, and `python -m kuzu_node`, which serves."""

from __future__ import annotations

from kuzu_node.cli.commands import main

__all__ = ["main"]
