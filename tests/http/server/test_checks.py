"""The repairs refuse to be loaded over another hypercorn than the one they were written for."""

from __future__ import annotations

import pytest

from kuzu_node.http.hypercorn_fixes.checks import (
    HYPERCORN,
    UnexpectedHypercorn,
    installed_hypercorn,
    verify_hypercorn,
)


def test_the_installed_hypercorn_fits() -> None:
    verify_hypercorn(installed_hypercorn())


def test_another_version_is_refused_by_name() -> None:
    with pytest.raises(UnexpectedHypercorn, match=r"version 0\.19\.0 instead of 0\.18\.0"):
        verify_hypercorn("0.19.0")


@pytest.mark.parametrize(
    ("symbol", "message"),
    [
        (("hypercorn.protocol.h2", "H2Protocol.gone", None), "H2Protocol.gone is gone"),
        (("hypercorn.gone", "anything", None), "hypercorn.gone.anything is gone"),
        (("hypercorn.config", "Config.response_headers", ("self",)), "response_headers takes"),
    ],
)
def test_a_symbol_that_has_changed_is_named(symbol: tuple[str, str, tuple[str, ...] | None], message: str) -> None:
    with pytest.raises(UnexpectedHypercorn, match=message):
        verify_hypercorn(HYPERCORN, (symbol,))
