"""The arithmetic of one generation and of the bill."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.sandbox.billing import Bill, Charge, Generation, Tokens, charge, nano_usd
from router.sandbox.offer import Rates
from router.sandbox.stock import STOCK

SONNET = next(offer.rates for offer in STOCK.offers if offer.id == "anthropic/claude-sonnet-4.6")


@pytest.mark.parametrize(
    ("tokens", "prompt_usd"),
    [
        # Recorded from OpenRouter on 2026-03-08, the prompt's share of the cost.
        (Tokens(prompt=3_214, cached=0, cache_write=3_211, completion=0, reasoning=0), "0.01205025"),
        (Tokens(prompt=3_329, cached=3_211, cache_write=115, completion=0, reasoning=0), "0.00140355"),
    ],
)
def test_cached_and_written_tokens_have_their_own_price(tokens: Tokens, prompt_usd: str) -> None:
    assert charge(tokens, SONNET).prompt_usd == Decimal(prompt_usd)


def test_reasoning_is_contained_in_the_completion() -> None:
    tokens = Tokens(prompt=0, cached=0, cache_write=0, completion=36, reasoning=13)

    assert charge(tokens, SONNET) == Charge(Decimal(0), Decimal("0.00054"))


def test_more_cached_than_prompt_tokens_are_not_paid_back() -> None:
    tokens = Tokens(prompt=10, cached=10, cache_write=10, completion=0, reasoning=0)

    assert charge(tokens, SONNET).prompt_usd == 10 * (Decimal("0.0000003") + Decimal("0.00000375"))


def test_without_a_cache_price_cached_tokens_cost_the_full_price() -> None:
    tokens = Tokens(prompt=10, cached=10, cache_write=0, completion=0, reasoning=0)

    assert charge(tokens, Rates(Decimal("0.001"), Decimal("0.002"))).total_usd == Decimal("0.01")


@pytest.mark.parametrize(
    ("usd", "nano"), [("0.0000000005", 0), ("0.0000000015", 2), ("0.0000000025", 2), ("0.00000000251", 3), ("1", 10**9)]
)
def test_nano_dollars_are_rounded_half_to_even(usd: str, nano: int) -> None:
    assert nano_usd(Decimal(usd)) == nano


counts = st.integers(0, 10**7)


@settings(deadline=None)  # a shared machine may pause; the law is about sums, not speed
@given(st.sampled_from([offer.rates for offer in STOCK.offers]), counts, counts, counts)
def test_cost_is_additive_in_its_tokens(rates: Rates, prompt: int, cached: int, completion: int) -> None:
    together = charge(Tokens(prompt + cached, cached, 0, completion, 0), rates).total_usd
    apart = (
        charge(Tokens(prompt, 0, 0, 0, 0), rates).total_usd
        + charge(Tokens(cached, cached, 0, 0, 0), rates).total_usd
        + charge(Tokens(0, 0, 0, completion, 0), rates).total_usd
    )

    assert together == apart


def test_a_generation_is_billed_once() -> None:
    generation = Generation(
        id="gen-1-a",
        model="m",
        provider="p",
        is_streamed=True,
        is_cancelled=False,
        tokens=Tokens(1, 0, 0, 1, 0),
        charge=Charge(Decimal("0.1"), Decimal("0.2")),
        finish_reason="stop",
        native_finish_reason="stop",
        created_at=datetime(2026, 11, 23, tzinfo=UTC),
        first_token_s=0.0,
        duration_s=0.0,
        server="openrouter",
        api_type="completions",
        missing_reads=0,
    )
    bill = Bill()
    bill.add(generation)

    with pytest.raises(ValueError, match="on the bill already"):
        bill.add(generation)
    assert bill.total_usd() == Decimal("0.3")
