"""The score is counted from what mutmut prints, and nothing is left out of it."""

from tests.mutation.score import rows, table, timed_out, total, unfinished

RESULTS = """
    router.units.x_nano_usd__mutmut_1: killed
    router.units.x_nano_usd__mutmut_2: survived
    router.units.xǁUsageǁ__add____mutmut_1: timeout
    router.units.x__most__mutmut_1: no tests
    router.limits.redis.x__now__mutmut_1: segfault
    router.limits.redis.xǁRedisGateǁadmit__mutmut_1: killed
    router.other.x_f__mutmut_1: killed
"""


def test_every_mutant_of_a_module_counts_and_only_killed_ones_and_timeouts_for_it() -> None:
    units, redis, ledger = rows(RESULTS, ["router.units", "router.limits.redis", "router.ledger"])

    assert (units.mutants, units.killed, units.survived, units.timeouts, units.others) == (4, 1, 2, 1, 0)
    assert (redis.mutants, redis.killed, redis.others) == (2, 1, 1)
    assert (units.percent, redis.percent) == (50.0, 50.0)
    assert ledger.mutants == 0
    assert total([units, redis, ledger]).mutants == 6


def test_mutants_that_ran_out_of_time_are_known_by_name() -> None:
    assert timed_out(RESULTS) == ["router.units.xǁUsageǁ__add____mutmut_1"]


def test_a_mutant_that_was_not_tried_makes_the_score_unfinished() -> None:
    (row,) = rows("    router.units.x_usd__mutmut_1: not checked", ["router.units"])

    assert unfinished(row) == 1
    assert row.percent == 0.0


def test_the_table_ends_with_the_total() -> None:
    assert table(rows(RESULTS, ["router.units", "router.ledger"])).splitlines()[2:] == [
        "| router.units | 4 | 1 | 2 | 1 | 0 | 50.0 % |",
        "| router.ledger | 0 | 0 | 0 | 0 | 0 | – |",
        "| total | 4 | 1 | 2 | 1 | 0 | 50.0 % |",
    ]
