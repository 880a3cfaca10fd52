"""Counters of dollars agree with the ledger: the figure exported is the float nearest to the exact sum."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily

from router.telemetry.figures import OwnFigures
from router.telemetry.money import NanoUsdCounter


def exported(counter: NanoUsdCounter) -> dict[tuple[str, ...], float]:
    (family,) = counter.collect()
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


@given(st.lists(st.integers(0, 10**15), min_size=1))
def test_what_is_exported_is_the_nearest_float_to_the_exact_sum(amounts: list[int]) -> None:
    counter = NanoUsdCounter(OwnFigures(), "penstock_spend_usd", "Dollars.", ("team",))

    for nano_usd in amounts:
        counter.add(("search",), nano_usd)

    assert exported(counter) == {("search",): float(Fraction(sum(amounts), 10**9))}


def test_a_million_small_sums_do_not_drift() -> None:
    counter = NanoUsdCounter(OwnFigures(), "penstock_spend_usd", "Dollars.", ("team",))

    for _ in range(1_000_000):
        counter.add(("search",), 13_400)

    assert exported(counter) == {("search",): 13.4}


@given(st.lists(st.tuples(st.sampled_from(["search", "ads"]), st.sampled_from(["a", "b"]), st.integers(0, 10**9))))
def test_labels_are_added_up_apart(amounts: list[tuple[str, str, int]]) -> None:
    counter = NanoUsdCounter(OwnFigures(), "penstock_spend_usd", "Dollars.", ("team", "model"))

    for team, model, nano_usd in amounts:
        counter.add((team, model), nano_usd)

    assert exported(counter) == {
        labels: sum(each[2] for each in amounts if each[:2] == labels) / 10**9
        for labels in {(team, model) for team, model, _ in amounts}
    }


def test_the_order_in_which_sums_arrive_does_not_matter() -> None:
    """It would with floats: 0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1."""
    forth, back = (NanoUsdCounter(OwnFigures(), "penstock_spend_usd", "Dollars.", ("team",)) for _ in range(2))
    amounts = [100_000_000, 200_000_000, 300_000_000]

    for nano_usd, opposite in zip(amounts, reversed(amounts), strict=True):
        forth.add(("search",), nano_usd)
        back.add(("search",), opposite)

    assert exported(forth) == exported(back) == {("search",): 0.6}


def test_it_is_registered_before_anything_was_spent() -> None:
    counter = NanoUsdCounter(OwnFigures(), "penstock_spend_usd", "Dollars.", ("team",))
    registry = CollectorRegistry()

    registry.register(counter)

    assert list(counter.describe()) == [CounterMetricFamily("penstock_spend_usd", "Dollars.", labels=("team",))]
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(NanoUsdCounter(OwnFigures(), "penstock_spend_usd", "The same.", ()))
