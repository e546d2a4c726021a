from __future__ import annotations

import pytest

from kuzu_node.core.loading import as_logged

MB = 1 << 20


@pytest.mark.parametrize(
    ("body", "file", "reflink", "logged"),
    [
        (0, 0, False, True),
        (100_000, 0, True, True),
        (2 * MB, 10 * MB, False, False),
        (2 * MB, 1000 * MB, False, True),
        (2 * MB, 1000 * MB, True, False),
        (5 * MB, 100_000 * MB, False, False),
    ],
)
def test_the_larger_the_file_to_set_aside_the_larger_the_body_that_is_logged(
    body: int, file: int, reflink: bool, logged: bool
) -> None:
    assert as_logged(body, file, reflink) is logged
