"""The node that the tests of the client ask, too."""

from __future__ import annotations

from tests.client.conftest import graph, node, url

__all__ = ["graph", "node", "url"]
