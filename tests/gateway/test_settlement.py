"""What a call cost, and how we know; what its answer would have cost at the baseline."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from router.catalog.catalog import Model, ModelName
from router.catalog.prices import PriceEntry, PriceList
from router.decision.facts import RequestProfile
from router.gateway.settlement import Books, Charge, baseline_nano_usd, charge_for, version_served
from router.ledger import LedgerEntry
from router.units import NO_USAGE, CostSource, Usage
from router.wire.replies import Bill
from tests.decision.builders import CHAT, always, at, catalog, model, per_mtok
from tests.replacing import replace
from tests.storage.entries import AT, FLASH, GPT, entry

CHEAP = per_mtok("1", "4", cached_input_usd="0.5", cache_write_usd="2")
DEAR = per_mtok("10", "40", cached_input_usd="5", cache_write_usd="20")
UNPRICED = PriceList(())
USAGE = Usage(input_tokens=1_000, output_tokens=200, cached_tokens=100, cache_write_tokens=50, reasoning_tokens=30)
IMPOSSIBLE = Usage(input_tokens=10, output_tokens=1, cached_tokens=11)


def bill(usage: Usage = USAGE, *, told_usd: str | None = None) -> Bill:
    return Bill(usage, None if told_usd is None else Decimal(told_usd))


# The books


def test_a_request_is_written_into_the_journal_then_counted_then_written_into_the_ledger_and_then_learned_from() -> (
    None
):
    """What is in the ledger has been counted, so that whoever replays the journal knows that of a killed process."""
    written: list[tuple[str, LedgerEntry]] = []

    def learning_as(name: str) -> Callable[[LedgerEntry, RequestProfile], None]:
        return lambda each, profile: written.append((name if profile is CHAT else "another's profile", each))

    books = Books(
        journal=lambda each: written.append(("journal", each)),
        ledger=lambda each: written.append(("ledger", each)),
        metrics=lambda each: written.append(("metrics", each)),
        learning=(learning_as("first"), learning_as("second")),
    )
    done = entry()

    books.book(done, CHAT)

    assert written == [(name, done) for name in ("journal", "metrics", "ledger", "first", "second")]


def test_a_request_that_cannot_be_counted_is_in_the_ledger_all_the_same() -> None:
    written: list[LedgerEntry] = []

    def fail(_: LedgerEntry) -> None:
        raise OverflowError

    books = Books(journal=lambda _: None, ledger=written.append, metrics=fail)
    done = entry()

    with pytest.raises(OverflowError):
        books.book(done, CHAT)

    assert written == [done]


# What a call cost


def test_the_figure_the_provider_tells_counts_before_our_own() -> None:
    deployment = at("openrouter", model("flash"), always(CHEAP))

    assert charge_for(bill(told_usd="0.0123"), deployment, at=AT, images=0) == Charge(12_300_000, CostSource.REPORTED)


def test_a_provider_that_tells_a_cost_of_nothing_is_owed_nothing() -> None:
    deployment = at("openrouter", model("flash"), always(CHEAP))

    assert charge_for(bill(told_usd="0"), deployment, at=AT, images=0) == Charge(0, CostSource.REPORTED)


def test_tokens_without_a_cost_are_charged_at_our_price() -> None:
    deployment = at("local", model("flash"), always(CHEAP))

    # 850 plain tokens at $1, 100 cached at $0.50, 50 written at $2, 200 of output at $4 per million
    assert charge_for(bill(), deployment, at=AT, images=0) == Charge(
        850_000 + 50_000 + 100_000 + 800_000, CostSource.COMPUTED
    )


def test_images_are_charged_beside_the_tokens_they_make() -> None:
    deployment = at("local", model("flash"), always(per_mtok("1", "4", image_usd="0.003")))
    tokens = 900_000 + 800_000  # what was read from the cache costs nothing here

    charges = [charge_for(bill(), deployment, at=AT, images=images) for images in (0, 2)]

    assert charges == [Charge(tokens + fee, CostSource.COMPUTED) for fee in (0, 6_000_000)]


def test_what_was_written_to_a_cache_for_an_hour_is_charged_at_that_rate_and_else_it_is_not() -> None:
    prices = always(per_mtok("1", "4", cached_input_usd="0.5", cache_write_usd="2", cache_write_1h_usd="6"))
    deployment = at("local", model("flash"), prices)

    assert charge_for(bill(), deployment, at=AT, images=0) == Charge(1_800_000, CostSource.COMPUTED)
    for_an_hour = charge_for(bill(), deployment, at=AT, images=0, one_hour_cache=True)
    assert for_an_hour == Charge(1_800_000 + 50 * 4_000, CostSource.COMPUTED)


def test_tokens_are_charged_at_the_price_that_was_in_force_when_they_were_asked_for() -> None:
    prices = PriceList(
        (
            *always(CHEAP).entries,
            PriceEntry(always(DEAR).entries[0].price, source="a test", starts=AT + timedelta(hours=1)),
        )
    )
    deployment = at("local", model("flash"), prices)

    before, after = (charge_for(bill(), deployment, at=AT + timedelta(hours=hours), images=0) for hours in (0, 1))

    assert before == Charge(1_800_000, CostSource.COMPUTED)
    assert after == Charge(18_000_000, CostSource.COMPUTED)


def test_tokens_of_a_deployment_without_a_price_are_not_known_to_cost_anything() -> None:
    assert charge_for(bill(), at("local", model("flash"), UNPRICED), at=AT, images=0) is None


def test_a_usage_that_contradicts_itself_makes_no_charge() -> None:
    assert charge_for(bill(IMPOSSIBLE), at("local", model("flash"), always(CHEAP)), at=AT, images=0) is None


def test_a_usage_of_no_input_makes_no_charge_that_nobody_told() -> None:
    """A provider that reports zeros and no cost once was paid nothing for an answer of any length."""
    nothing = Usage(input_tokens=0, output_tokens=0)
    deployment = at("local", model("flash"), always(CHEAP))

    assert charge_for(bill(nothing), deployment, at=AT, images=0) is None
    assert charge_for(bill(nothing, told_usd="0.01"), deployment, at=AT, images=0) == Charge(
        10_000_000, CostSource.REPORTED
    )


# Which version of its model answered


@pytest.mark.parametrize(
    ("served_model", "version"),
    [
        (None, "v1"),
        ("upstream/flash", "v1"),
        (FLASH, "v1"),
        ("upstream/flash-20260423", "upstream/flash-20260423"),
    ],
)
def test_the_version_is_what_the_reply_names_if_that_is_more_than_was_asked_for(
    served_model: str | None, version: str
) -> None:
    deployment = replace(at("openrouter", SERVED, always(CHEAP)), upstream_model="upstream/flash", version="v1")

    assert version_served(deployment, served_model) == version


# What the baseline would have cost

SERVED = model(FLASH)
BASELINE = model(GPT)


def at_baseline(
    usage: Usage = USAGE, *, served: Model = SERVED, baseline: Model = BASELINE, prices: PriceList | None = None
) -> int | None:
    known = catalog(
        at("openrouter", served, always(CHEAP)), at("openai", baseline, always(DEAR) if prices is None else prices)
    )
    return baseline_nano_usd(usage, FLASH, GPT, known, at=AT)


def test_the_baseline_costs_the_same_tokens_at_its_own_price_and_nothing_for_writing_a_cache() -> None:
    # 900 plain tokens at $10, 100 cached at $5, 200 of output at $40 per million
    assert at_baseline() == 9_000_000 + 500_000 + 8_000_000


def test_the_baseline_makes_other_tokens_of_the_same_text() -> None:
    served, baseline = replace(SERVED, token_ratio=2.0), replace(BASELINE, token_ratio=1.0)

    assert at_baseline(served=served, baseline=baseline) == (9_000_000 + 500_000 + 8_000_000) // 2


def test_what_the_baseline_would_have_cost_is_priced_at_the_time_of_the_request() -> None:
    entries = always(DEAR).entries
    past = PriceList((replace(entries[0], ends=AT),))

    assert at_baseline(prices=past) is None
    assert at_baseline(prices=PriceList((replace(entries[0], starts=AT),))) == 17_500_000


def test_the_first_deployment_of_the_baseline_sets_its_price() -> None:
    known = catalog(
        at("openrouter", SERVED, always(CHEAP)),
        at("openai", BASELINE, always(DEAR)),
        at("azure", BASELINE, always(CHEAP)),
    )

    assert baseline_nano_usd(USAGE, FLASH, GPT, known, at=AT) == 17_500_000


def test_a_cached_share_that_rounds_above_the_whole_is_not_compared() -> None:
    assert at_baseline(IMPOSSIBLE) is None


def test_a_call_that_used_no_tokens_would_have_cost_nothing_at_the_baseline() -> None:
    assert at_baseline(NO_USAGE) == 0


@pytest.mark.parametrize("baseline", [None, ModelName("not/in-the-catalog")])
def test_nothing_is_compared_without_a_baseline_that_is_known(baseline: ModelName | None) -> None:
    known = catalog(at("openrouter", SERVED, always(CHEAP)))

    assert baseline_nano_usd(USAGE, FLASH, baseline, known, at=AT) is None


def test_nothing_is_compared_with_a_model_that_has_left_the_catalog() -> None:
    known = catalog(at("openai", BASELINE, always(DEAR)))

    assert baseline_nano_usd(USAGE, FLASH, GPT, known, at=AT) is None
