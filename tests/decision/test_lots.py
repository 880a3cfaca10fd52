"""Who might have come first, and how likely: as told with each decision, and as decisions over all seeds fall."""

from collections import Counter
from math import sqrt

import msgspec
import pytest

from router.catalog.catalog import ModelName
from router.decision.arms import Weights
from router.decision.decide import Decision, decide
from router.decision.explain import as_data, notes
from router.decision.policy import Policy, QualityFloor, Start
from router.decision.recorded import read_record, record_of
from router.quality.predictor import TablePredictor
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace

CHEAP, MIDDLE, BEST = (ModelName(name) for name in ("cheap", "middle", "best"))
CATALOG = catalog(
    at("cloud", model(CHEAP, quality=0.6), always(per_mtok("1", "1"))),
    at("other", model(CHEAP, quality=0.6), always(per_mtok("2", "2"))),
    at("cloud", model(MIDDLE, quality=0.7), always(per_mtok("5", "5"))),
    at("cloud", model(BEST, quality=0.9), always(per_mtok("10", "10"))),
)
ALL = policy(CHEAP, MIDDLE, BEST)
HALVES = ((CHEAP, 0.5), (BEST, 0.5))
SEEDS = range(3_000)


def decided(rules: Policy, seed: int = 0) -> Decision:
    return decide(CHAT, rules, CATALOG, replace(NOON, seed=seed), quality=TablePredictor())


@pytest.mark.parametrize(
    ("weights", "explore", "start", "expected"),
    [
        (HALVES, 0.0, Start.PRIOR, {CHEAP: 0.5, BEST: 0.5}),
        (((CHEAP, 0.2), (BEST, 0.3)), 0.0, Start.PRIOR, {CHEAP: 0.2 + 0.5, BEST: 0.3}),
        # What the weights leave, a half, is explored: 0.5 x 0.8 to the cheapest, 0.5 x 0.2 to the next one.
        (((CHEAP, 0.2), (BEST, 0.3)), 0.2, Start.PRIOR, {CHEAP: 0.2 + 0.4, MIDDLE: 0.1, BEST: 0.3}),
        # New work starts at the best, and whom the objective would choose is tried.
        (((MIDDLE, 0.5),), 0.2, Start.STRONG, {MIDDLE: 0.5, BEST: 0.4, CHEAP: 0.1}),
        ((), 0.1, Start.STRONG, {BEST: 0.9, CHEAP: 0.1}),
        ((), 0.1, Start.PRIOR, {CHEAP: 0.9, MIDDLE: 0.1}),
    ],
)
def test_it_is_told_how_likely_each_was_to_be_first_and_so_it_falls(
    weights: Weights, explore: float, start: Start, expected: dict[str, float]
) -> None:
    rules = replace(ALL, weights=weights, explore=explore, start=start)

    drawn = [decided(rules, seed) for seed in SEEDS]

    assert all(each.drawn_from == pytest.approx(expected) for each in drawn)
    counts = Counter(each.ranked[0].asked for each in drawn)
    for name, chance in expected.items():
        assert abs(counts[ModelName(name)] - chance * len(SEEDS)) < 5 * sqrt(len(SEEDS) * chance * (1 - chance))
    assert all(each.propensity == each.drawn_from[each.ranked[0].asked] for each in drawn)


@pytest.mark.parametrize(
    "rules",
    [
        ALL,
        replace(ALL, weights=((CHEAP, 1.0),)),
        replace(ALL, weights=((CHEAP, 0.5),)),  # the objective's choice is the same
        replace(ALL, weights=HALVES, floor=QualityFloor(0.8)),  # one arm alone is good enough
        replace(ALL, weights=HALVES, floor=QualityFloor(0.95)),  # nobody is
        replace(ALL, explore=0.2, floor=QualityFloor(0.8)),
    ],
)
def test_where_only_one_can_be_first_nothing_was_drawn(rules: Policy) -> None:
    decision = decided(rules)

    assert (decision.drawn_from, decision.propensity) == ({}, None)


def test_an_arm_that_may_not_serve_leaves_its_share_to_the_others() -> None:
    rules = replace(ALL, weights=((CHEAP, 0.5), (MIDDLE, 0.3), (BEST, 0.2)), floor=QualityFloor(0.65))

    assert decided(rules).drawn_from == pytest.approx({MIDDLE: 0.6, BEST: 0.4})


def test_the_record_has_it_and_explain_tells_it() -> None:
    rules = replace(ALL, weights=((CHEAP, 0.2), (BEST, 0.3)), explore=0.2)
    tried = next(each for each in (decided(rules, seed) for seed in SEEDS) if each.ranked[0].asked == MIDDLE)

    record = read_record(msgspec.json.encode(record_of(tried, NOON)))

    assert record is not None
    assert (record.drawn_from, record.propensity) == (tried.drawn_from, tried.propensity)
    assert record.propensity == pytest.approx(0.1)
    data = as_data(tried, CHAT)
    assert (data["drawn_from"], data["propensity"]) == (tried.drawn_from, tried.propensity)
    assert any("in 0.2 of those that `weights` leave cloud:middle goes first" in each for each in notes(tried))


def test_a_record_of_before_is_read_as_it_was_kept() -> None:
    kept = b'{"version":2,"ranked":["cloud:cheap","cloud:best"],"propensity":0.9,"seed":7}'

    record = read_record(kept)

    assert record is not None
    assert (record.propensity, record.drawn_from) == (0.9, {})
