"""Who comes first: one order per objective, and ties that every process breaks alike."""

from collections import Counter
from decimal import Decimal
from itertools import permutations

import msgspec
import pytest

from router.catalog.catalog import arm_of
from router.decision.eligibility import Candidate
from router.decision.estimate import estimate
from router.decision.policy import Objective
from router.decision.ranking import ranked
from tests.decision.builders import CHAT, NOON, always, at, model, per_mtok


def candidate(name: str, *, usd: str, quality: float, provider: str = "cloud") -> Candidate:
    deployment = at(provider, model(name, quality=quality), always(per_mtok("1", "1")))
    forecast = estimate(CHAT, deployment, conditions=NOON, default_max_output_tokens=1_000)
    assert forecast is not None
    return Candidate(
        deployment,
        arm_of(deployment.model.name),
        quality=quality,
        quality_is_known=True,
        estimate=msgspec.structs.replace(forecast, expected_usd=Decimal(usd)),
    )


A_TENTH_CENT = Decimal("0.001")


def order(candidates: list[Candidate], objective: Objective, *, seed: int = 0) -> list[str]:
    return [
        str(each.deployment.model.name) for each in ranked(candidates, objective, seed=seed, usd_per_point=A_TENTH_CENT)
    ]


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (Objective.CHEAPEST, ["flash", "pro", "opus"]),
        (Objective.BEST, ["opus", "pro", "flash"]),
        # Points less what they cost, at $0.001 each: pro 80 - 20 = 60, flash 25 - 10 = 15, opus 90 - 100 = -10.
        (Objective.VALUE, ["pro", "flash", "opus"]),
    ],
)
def test_each_objective_has_its_own_order(objective: Objective, expected: list[str]) -> None:
    candidates = [
        candidate("opus", usd="0.10", quality=0.9),
        candidate("flash", usd="0.01", quality=0.25),
        candidate("pro", usd="0.02", quality=0.8),
    ]

    assert order(candidates, objective) == expected


def test_of_two_equally_cheap_the_better_comes_first() -> None:
    candidates = [candidate("worse", usd="0.01", quality=0.5), candidate("better", usd="0.01", quality=0.6)]

    assert order(candidates, Objective.CHEAPEST) == ["better", "worse"]


def test_of_two_equally_good_the_cheaper_comes_first() -> None:
    candidates = [candidate("dearer", usd="0.02", quality=0.5), candidate("cheaper", usd="0.01", quality=0.5)]

    assert order(candidates, Objective.BEST) == ["cheaper", "dearer"]


def test_of_two_free_models_the_better_is_the_better_value() -> None:
    candidates = [candidate("worse", usd="0", quality=0.5), candidate("better", usd="0", quality=0.6)]

    assert order(candidates, Objective.VALUE) == ["better", "worse"]


@pytest.mark.parametrize(("dollars_apart", "first"), [("0.0099", "better"), ("0.0100", "better"), ("0.0101", "worse")])
def test_ten_points_more_are_worth_what_ten_points_are_worth(dollars_apart: str, first: str) -> None:
    """$0.01 at $0.001 a point; of two that come to the same the better is preferred."""
    worse, dearer = candidate("worse", usd="0.01", quality=0.5), Decimal("0.01") + Decimal(dollars_apart)
    better = candidate("better", usd=str(dearer), quality=0.6)

    assert order([worse, better], Objective.VALUE)[0] == first


@pytest.mark.parametrize("objective", list(Objective))
def test_an_exact_tie_is_broken_by_the_seed_whatever_the_order_of_the_candidates(objective: Objective) -> None:
    replicas = [candidate("flash", usd="0.01", quality=0.5, provider=f"replica-{each}") for each in "abc"]

    orders = {
        tuple(each.deployment.id for each in ranked(shuffled, objective, seed=7)) for shuffled in permutations(replicas)
    }

    assert len(orders) == 1


def test_replicas_share_the_load_evenly_and_so_do_their_fallbacks() -> None:
    """A CRC gave one of four replicas half of all seeds and two of them an eighth."""
    replicas = [candidate("flash", usd="0.01", quality=0.5, provider=f"replica-{each}") for each in "abcd"]

    orders = [ranked(replicas, Objective.CHEAPEST, seed=seed) for seed in range(4_000)]

    first = Counter(order[0].deployment.provider.name for order in orders)
    second = Counter(order[1].deployment.provider.name for order in orders)
    assert all(900 < first[each.deployment.provider.name] < 1_100 for each in replicas)
    assert all(900 < second[each.deployment.provider.name] < 1_100 for each in replicas)


def test_a_seed_never_overrules_a_difference() -> None:
    candidates = [
        candidate("dearer", usd="0.0100001", quality=0.9),
        candidate("cheaper", usd="0.01", quality=0.5),
    ]

    assert {tuple(order(candidates, Objective.CHEAPEST, seed=seed)) for seed in range(100)} == {("cheaper", "dearer")}


@pytest.mark.parametrize("objective", [Objective.CHEAPEST, Objective.VALUE])
def test_a_model_that_is_dear_to_stay_with_comes_after_one_that_is_dear_now(objective: Objective) -> None:
    now, later = candidate("now", usd="0.02", quality=0.5), candidate("later", usd="0.01", quality=0.5)
    later = msgspec.structs.replace(later, estimate=msgspec.structs.replace(later.estimate, later_usd=Decimal("0.02")))

    assert order([later, now], objective) == ["now", "later"]
