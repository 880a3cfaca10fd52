"""The rows that `make evaluate` prints of the simulation of feedback."""

from tests.benchmarks.feedback import Run
from tests.evaluation.__main__ import feedback_verdicts


def came(learned: float, *, prior: float, offline: float, begun: float | None = None) -> Run:
    """Three thousand requests of such worth each; the first thousand of another, where one is given."""
    first = learned if begun is None else begun
    return Run([first] * 1_000 + [learned] * 2_000, [prior] * 3_000, [offline] * 3_000, speaking=0.5)


def test_learning_that_ends_near_offline_and_never_fell_below_the_prior_has_met_both_targets() -> None:
    verdicts = feedback_verdicts([came(0.722, prior=0.72, offline=0.724)])

    assert [each.is_met for each in verdicts] == [True, True]
    assert [each.row()[1] for each in verdicts] == [">= 0.0000", "<= 0.0030"]


def test_one_window_of_one_seed_below_the_prior_misses_the_first() -> None:
    good, bad = came(0.722, prior=0.72, offline=0.724), came(0.722, prior=0.72, offline=0.724, begun=0.719)

    worst, end = feedback_verdicts([good, bad])

    assert not worst.is_met
    assert worst.found.startswith("-0.0010")
    assert end.is_met


def test_an_end_short_of_offline_by_more_than_three_thousandths_misses_the_second() -> None:
    worst, end = feedback_verdicts([came(0.7209, prior=0.72, offline=0.724)])

    assert worst.is_met
    assert (end.is_met, end.found) == (False, "0.0031 (learned 0.7209, prior 0.7200)")
