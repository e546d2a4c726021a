"""Fixtures shared by all tests; those of one package live in its own conftest."""

from __future__ import annotations

import hypothesis

# A loaded two-core machine makes single examples slow without making them wrong.
hypothesis.settings.register_profile("node", deadline=None, print_blob=True)
hypothesis.settings.load_profile("node")
