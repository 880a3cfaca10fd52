"""Tokens add up; dollars become nano-dollars and text without losing any."""

from decimal import ROUND_UP, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.units import NO_USAGE, Usage, nano_usd, nano_usd_ceiling, usd, usd_text

nanos = st.integers(-(2**63), 2**63)
counts = st.integers(0, 10**7)
usages = st.builds(Usage, counts, counts, counts, counts, counts)
costs = st.decimals(0, 10**6, places=18)


@pytest.mark.parametrize(
    ("dollars", "half_even", "ceiling"),
    [
        ("0", 0, 0),
        ("0.000000000000000001", 0, 1),
        ("0.0000000004", 0, 1),
        ("0.0000000005", 0, 1),
        ("0.00000000050001", 1, 1),
        ("0.000000001", 1, 1),
        ("0.0000000015", 2, 2),
        ("0.0000000024999", 2, 3),
        ("0.0000000025", 2, 3),
        ("0.0000000025001", 3, 3),
        ("0.0000000035", 4, 4),
        ("0.01205025", 12_050_250, 12_050_250),
        ("500", 500_000_000_000, 500_000_000_000),
    ],
)
def test_costs_are_booked_half_to_even_and_held_rounded_up(dollars: str, half_even: int, ceiling: int) -> None:
    assert (nano_usd(Decimal(dollars)), nano_usd_ceiling(Decimal(dollars))) == (half_even, ceiling)


def test_a_cost_is_booked_the_same_however_the_rest_of_the_program_rounds() -> None:
    with localcontext(rounding=ROUND_UP):
        assert nano_usd(Decimal("0.0000000025")) == 2


@given(costs)
def test_a_cost_is_booked_within_half_a_nano_dollar(cost: Decimal) -> None:
    assert abs(usd(nano_usd(cost)) - cost) <= Decimal("0.5E-9")


@given(costs)
def test_a_hold_covers_its_cost_by_less_than_a_nano_dollar_more(cost: Decimal) -> None:
    held = usd(nano_usd_ceiling(cost))

    assert cost <= held < cost + Decimal("1E-9")
    assert nano_usd(cost) <= nano_usd_ceiling(cost)


@given(nanos)
def test_nano_dollars_become_dollars_and_come_back_unchanged(nano: int) -> None:
    assert nano_usd(usd(nano)) == nano_usd_ceiling(usd(nano)) == nano


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (13_400, "0.0000134"),
        (10_000_000, "0.01"),
        (100_000_000, "0.10"),
        (120_000_000, "0.12"),
        (123_000_000, "0.123"),
        (999_999_999, "0.999999999"),
        (1_000_000_000, "1.00"),
        (1_234_567_890_123_456_789, "1234567890.123456789"),
        (-1, "-0.000000001"),
        (-1_500_000_000, "-1.50"),
    ],
)
def test_nano_dollars_are_written_as_a_plain_figure(nano: int, text: str) -> None:
    assert usd_text(nano) == text


@given(nanos)
def test_what_is_written_is_exactly_what_is_meant(nano: int) -> None:
    text = usd_text(nano)

    assert Decimal(text) == usd(nano)
    assert "E" not in text
    assert len(text.partition(".")[2]) == 2 or not text.endswith("0")


def test_usages_add_up_field_by_field() -> None:
    first = Usage(input_tokens=1, output_tokens=2, cached_tokens=3, cache_write_tokens=4, reasoning_tokens=5)
    second = Usage(input_tokens=10, output_tokens=20, cached_tokens=30, cache_write_tokens=40, reasoning_tokens=50)

    assert first + second == Usage(
        input_tokens=11, output_tokens=22, cached_tokens=33, cache_write_tokens=44, reasoning_tokens=55
    )


@given(usages, usages, usages)
def test_the_order_of_adding_does_not_matter_and_no_usage_adds_nothing(a: Usage, b: Usage, c: Usage) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + NO_USAGE == a
