"""`python -m kuzu_node` is `kuzu-node`; without a sub-command it serves."""

from __future__ import annotations

import sys

from kuzu_node.cli import main

if __name__ == "__main__":
    sys.exit(main())
