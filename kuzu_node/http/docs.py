"""The page that shows the description of the API. It is one file and fetches nothing but /openapi.json."""

from __future__ import annotations

from importlib import resources


def docs_page() -> bytes:
    return (resources.files("kuzu_node.http") / "docs.html").read_bytes()
