"""`python -m kuzu_node.config` prints the page of settings; `--write-docs` writes it below the working directory."""

from __future__ import annotations

import sys

from kuzu_node.config.document import DOCUMENT, document


def main(arguments: list[str]) -> int:
    if arguments == ["--write-docs"]:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(document(), encoding="utf-8")
        return 0
    if arguments:
        sys.stderr.write("usage: python -m kuzu_node.config [--write-docs]\n")
        return 2
    sys.stdout.write(document())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
