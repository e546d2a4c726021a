from __future__ import annotations

import pytest

from kuzu_node.core.seats import Seats


def test_seats_are_counted_and_bounded_by_name() -> None:
    seats = Seats(2)
    with seats.taken("a"), seats.taken("b"):
        assert (seats.count("a"), seats.count("b"), seats.count("c"), seats.total) == (1, 1, 0, 2)
        assert not seats.full("a")
        with seats.taken("a"):
            assert seats.full("a")
            assert not seats.full("b")
    assert (seats.count("a"), seats.total) == (0, 0)


def test_a_seat_is_free_again_however_its_block_ends() -> None:
    seats = Seats(1)
    with pytest.raises(ValueError, match="fell"), seats.taken("a"):
        raise ValueError("fell")
    assert (seats.full("a"), seats.total) == (False, 0)
