"""Shares of an experiment: hit within chance, kept by each conversation, and passed on when an arm may not serve."""

from collections import Counter
from collections.abc import Mapping
from math import sqrt

import pytest

from router.catalog.catalog import ModelName, Named
from router.decision.arms import Weights, chances, drawn

A, B, C = (ModelName(name) for name in ("flash", "pro", "opus"))
SEEDS = range(20_000)


def drawing(weights: Weights, eligible: set[ModelName], *, experiment: str = "balanced/") -> list[Named | None]:
    return [drawn(weights, eligible, seed=seed, experiment=experiment) for seed in SEEDS]


def assert_within_chance(
    counts: Counter[Named | None], expected: Mapping[ModelName | None, float] | Mapping[Named | None, float]
) -> None:
    """Five standard deviations: one run in a million would fail by chance, and these seeds are always the same."""
    for arm, share in expected.items():
        deviation = sqrt(len(SEEDS) * share * (1 - share))
        assert abs(counts[arm] - len(SEEDS) * share) <= 5 * deviation, (arm, counts)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (((A, 0.9), (B, 0.1)), {A: 0.9, B: 0.1, None: 0.0}),
        (((A, 0.5), (B, 0.3), (C, 0.2)), {A: 0.5, B: 0.3, C: 0.2, None: 0.0}),
        (((B, 0.05),), {B: 0.05, None: 0.95}),
        (((A, 1.0),), {A: 1.0, None: 0.0}),
        (((A, 0.1), (B, 0.2), (C, 0.7)), {A: 0.1, B: 0.2, C: 0.7, None: 0.0}),
    ],
)
def test_every_arm_gets_its_share_and_the_objective_the_rest(
    weights: Weights, expected: dict[ModelName | None, float]
) -> None:
    assert_within_chance(Counter(drawing(weights, {A, B, C})), expected)


def test_an_arm_that_may_not_serve_leaves_its_share_to_the_others_and_nobody_else_moves() -> None:
    weights = ((A, 0.5), (B, 0.3), (C, 0.2))

    before, after = drawing(weights, {A, B, C}), drawing(weights, {A, B})

    assert_within_chance(Counter(after), {A: 0.625, B: 0.375, C: 0.0, None: 0.0})
    assert all(now == then for then, now in zip(before, after, strict=True) if then != C)


def test_where_no_arm_may_serve_the_objective_chooses() -> None:
    assert set(drawing(((A, 0.9), (B, 0.1)), {C})) == {None}


def test_a_raised_share_moves_requests_to_its_arm_only() -> None:
    before, after = drawing(((A, 0.9), (B, 0.1)), {A, B}), drawing(((A, 0.8), (B, 0.2)), {A, B})

    assert all(now == B for then, now in zip(before, after, strict=True) if then == B)


def test_two_experiments_divide_the_same_requests_independently() -> None:
    weights = ((A, 0.5), (B, 0.5))

    pairs = Counter(zip(drawing(weights, {A, B}), drawing(weights, {A, B}, experiment="other/"), strict=True))

    assert all(abs(count - len(SEEDS) / 4) < 5 * sqrt(len(SEEDS) * 3 / 16) for count in pairs.values())
    assert len(pairs) == 4


@pytest.mark.parametrize(
    "weights",
    [((A, 0.9), (B, 0.1)), ((A, 0.5), (B, 0.3), (C, 0.2)), ((B, 0.05),), ((A, 1.0),), ((A, 0.1), (B, 0.2), (C, 0.7))],
)
@pytest.mark.parametrize("eligible", [set(), {A}, {B}, {A, C}, {A, B, C}])
def test_how_likely_each_arm_is_said_to_be_is_how_often_it_is_drawn(weights: Weights, eligible: set[ModelName]) -> None:
    told = chances(weights, eligible)

    counts = Counter(drawing(weights, eligible))
    assert set(counts) == set(told)
    assert abs(sum(told.values()) - 1.0) < 1e-9
    assert_within_chance(counts, dict(told))
