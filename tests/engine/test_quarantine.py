from __future__ import annotations

from kuzu_node.engine.quarantine import DEATHS, TOGETHER, Quarantine


def test_the_second_death_shuts_a_statement_out_for_as_long_as_said() -> None:
    quarantine = Quarantine(60)
    quarantine.died({"bad"}, 100)
    assert quarantine.refused_for("bad", 100) == 0
    quarantine.died({"bad"}, 130)
    assert DEATHS == 2
    assert quarantine.refused_for("bad", 130) == 60
    assert quarantine.refused_for("bad", 189) == 1
    assert quarantine.refused_for("bad", 190) == 0


def test_behind_its_time_a_statement_starts_afresh() -> None:
    quarantine = Quarantine(60)
    for now in (0, 1):
        quarantine.died({"bad"}, now)
    assert quarantine.refused_for("bad", 61) == 0
    quarantine.died({"bad"}, 62)
    assert quarantine.refused_for("bad", 62) == 0
    quarantine.died({"bad"}, 63)
    assert quarantine.refused_for("bad", 63) == 60


def test_deaths_far_apart_are_not_held_against_a_statement() -> None:
    quarantine = Quarantine(60)
    for now in (0, 61, 122):
        quarantine.died({"unlucky"}, now)
        assert quarantine.refused_for("unlucky", now) == 0


def test_others_are_not_shut_out() -> None:
    quarantine = Quarantine(60)
    for now in (0, 1):
        quarantine.died({"bad"}, now)
    assert quarantine.refused_for("good", 1) == 0


def test_whoever_has_succeeded_before_is_not_suspected_beside_one_that_has_not() -> None:
    quarantine = Quarantine(60)
    quarantine.succeeded("good")
    for now in (0, 1):
        quarantine.died({"good", "bad"}, now)
    assert quarantine.refused_for("good", 1) == 0
    assert quarantine.refused_for("bad", 1) == 60


def test_alone_even_a_statement_that_has_succeeded_is_suspected() -> None:
    quarantine = Quarantine(60)
    quarantine.succeeded("good")
    for now in (0, 1):
        quarantine.died({"good"}, now)
    assert quarantine.refused_for("good", 1) == 60


def test_what_is_remembered_is_bounded() -> None:
    quarantine = Quarantine(60)
    for number in range(5000):
        quarantine.succeeded(f"good {number}")
        quarantine.died({f"bad {number}"}, 0)
    quarantine.died({"bad 4999"}, 1)
    quarantine.died({"bad 0"}, 1)
    assert quarantine.refused_for("bad 4999", 1) > 0
    assert quarantine.refused_for("bad 0", 1) == 0


def test_nothing_dies_when_nothing_ran() -> None:
    quarantine = Quarantine(60)
    quarantine.died((), 0)
    assert quarantine.refused_for("any", 0) == 0


def test_beside_reads_that_are_run_together_who_has_succeeded_is_not_suspected() -> None:
    quarantine = Quarantine(60)
    quarantine.succeeded("good")
    quarantine.succeeded(TOGETHER)
    for now in (0, 1):
        quarantine.died({"good", TOGETHER}, now)
        quarantine.died({TOGETHER}, now)
    assert not quarantine.has_died("good")
    assert not quarantine.has_died(TOGETHER)
    quarantine.died({"new", TOGETHER}, 2)
    assert quarantine.has_died("new")
