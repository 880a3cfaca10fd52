"""A day of the sandbox, replayed: every decision is made again, and what is said of other rules comes true."""

from pathlib import Path

from tests.e2e.days import REQUESTS, two_days


def test_a_day_is_decided_the_same_under_its_own_rules_and_costs_what_was_said_under_others(tmp_path: Path) -> None:
    days = two_days(tmp_path)

    same, cheaper = days.same, days.cheaper["judged"]
    assert (same["requests"], same["decided_again"], same["decided_the_same"]) == (REQUESTS,) * 3
    assert (same["routes"], same["not_judged"]) == ([], [])
    assert same["judged"]["now_nano_usd"] == same["judged"]["then_nano_usd"] == same["then_nano_usd"]
    assert same["then_nano_usd"] == cheaper["then_nano_usd"] == days.spent_nano_usd

    assert cheaper["estimated"]["requests"] > REQUESTS // 6
    assert abs(cheaper["now_nano_usd"] / days.really_nano_usd - 1) < 0.02
    assert cheaper["now_low_nano_usd"] <= days.really_nano_usd <= cheaper["now_high_nano_usd"]
    assert days.really_nano_usd < days.spent_nano_usd * 0.6
