from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuzu_node.core.routing import Match, Mismatch, RouteClash, Router

ROUTER = Router(
    [
        ("GET", "/databases", "list"),
        ("POST", "/databases", "create"),
        ("GET", "/databases/{graph_id}", "one"),
        ("POST", "/databases/{graph_id}/tables/{table}/rows", "rows"),
        ("GET", "/tasks/stats", "stats"),
        ("GET", "/tasks/{task}/status", "task"),
    ]
)


def test_parameters_are_decoded_after_the_path_is_cut() -> None:
    assert ROUTER.match("GET", b"/databases/a%2Fb%20c") == Match("one", {"graph_id": "a/b c"})


def test_a_literal_segment_wins_but_does_not_hide_a_parameter() -> None:
    assert ROUTER.match("GET", b"/tasks/stats") == Match("stats", {})
    assert ROUTER.match("GET", b"/tasks/stats/status") == Match("task", {"task": "stats"})


def test_head_is_answered_where_get_is() -> None:
    assert ROUTER.match("HEAD", b"/databases") == Match("list", {})


def test_a_wrong_method_is_told_the_right_ones() -> None:
    assert ROUTER.match("PATCH", b"/databases") == Mismatch(("GET", "HEAD", "POST"))
    assert ROUTER.match("GET", b"/databases/g/tables/t/rows") == Mismatch(("POST",))


def test_an_absolute_target_is_matched_by_its_path() -> None:
    assert ROUTER.match("GET", b"http://node:8001/databases/g") == Match("one", {"graph_id": "g"})


@pytest.mark.parametrize(
    "path", [b"/", b"", b"*", b"/databases/", b"/databases//tables/t/rows", b"/x", b"/databases/%ff"]
)
def test_unknown_paths_have_no_methods(path: bytes) -> None:
    assert ROUTER.match("GET", path) == Mismatch(())


def test_two_routes_of_one_shape_are_refused() -> None:
    with pytest.raises(RouteClash):
        Router([("GET", "/a/{x}", 1), ("GET", "/a/{y}", 2)])
    with pytest.raises(RouteClash):
        Router([("GET", "/a/{x}/{x}", 1)])


@given(st.binary(max_size=40))
def test_no_path_breaks_the_match(path: bytes) -> None:
    assert isinstance(ROUTER.match("GET", path), Match | Mismatch)
