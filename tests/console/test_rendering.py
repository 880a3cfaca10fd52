"""Figures are written so that they can be read, and never as something that they are not."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.console.rendering import age, dollars, percent, query, rate, seconds, segment, short_count
from router.units import usd


@pytest.mark.parametrize(
    ("nano_usd", "told"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (147_000, "$0.000147"),
        (12_345_678, "$0.0123"),
        (421_000_000, "$0.421"),
        (500_000_000, "$0.50"),
        (999_600_000, "$1.00"),
        (10**9, "$1.00"),
        (1_234_560_000_000, "$1,234.56"),
        (-88_300_000, "\N{MINUS SIGN}$0.0883"),
    ],
)
def test_dollars_keep_three_figures_and_cents_from_a_dollar_on(nano_usd: int, told: str) -> None:
    assert dollars(nano_usd) == told


@given(st.integers(-(10**18), 10**18))
def test_dollars_are_never_further_off_than_half_of_the_third_figure_or_half_a_cent(nano_usd: int) -> None:
    told = Decimal(dollars(nano_usd).replace("$", "").replace(",", "").replace("\N{MINUS SIGN}", "-"))

    exact = usd(nano_usd)
    assert abs(told - exact) <= max(abs(exact) / 200, Decimal(0)) or abs(told - exact) <= Decimal("5e-10")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (seconds(0.00071), "0.7 ms"),
        (seconds(0.34), "340 ms"),
        (seconds(2.44), "2.4 s"),
        (seconds(150), "2 min"),
        (seconds(None), "–"),
        (age(59), "59 s"),
        (age(7_200), "2 h"),
        (age(200_000), "2 d"),
        (percent(0.1234), "12 %"),
        (percent(0.1234, 1), "12.3 %"),
        (percent(-0.5), "\N{MINUS SIGN}50 %"),
        (percent(None), "–"),
        (short_count(9_999), "9,999"),
        (short_count(12_345), "12.3k"),
        (short_count(4_560_000), "4.56M"),
        (rate(Decimal("0.00000014")), "0.14"),
        (rate(Decimal("0.000005")), "5.00"),
        (segment("a/b?c"), "a%2Fb%3Fc"),
        (query(a="x y", b="", c=None, d=0), "?a=x+y&d=0"),
        (query(a=None), ""),
    ],
)
def test_other_figures_are_short_and_have_their_units(written: str, told: str) -> None:
    assert written == told
