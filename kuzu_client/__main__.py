"""`python -m kuzu_client` is `kuzu-client`."""

from __future__ import annotations

import sys

from kuzu_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
