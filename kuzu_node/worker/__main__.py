from __future__ import annotations

import sys

from kuzu_node.worker.main import main

main(sys.argv[1:])
