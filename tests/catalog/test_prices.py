"""Laws of prices and costs, thresholds below, at and above, and the sums that providers were seen to bill."""

from dataclasses import fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from time import tzset
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.prices import Price, PriceEntry, PriceList, PricesInForce, Rates, Stretch, Tier, cost, dearest_of
from router.errors import PricingError
from router.units import Usage
from tests.replacing import replace

SONNET_4_6 = Price(
    Rates.per_mtok(
        input_usd=Decimal(3),
        output_usd=Decimal(15),
        cached_input_usd=Decimal("0.3"),
        cache_write_usd=Decimal("3.75"),
        cache_write_1h_usd=Decimal(6),
    )
)
GPT_5_4 = Price(
    base=Rates.per_mtok(input_usd=Decimal("2.5"), output_usd=Decimal(15), cached_input_usd=Decimal("0.25")),
    tiers=(
        Tier(
            above_input_tokens=272_000,
            rates=Rates.per_mtok(input_usd=Decimal(5), output_usd=Decimal("22.5"), cached_input_usd=Decimal("0.5")),
        ),
    ),
)

DAY_ONE = datetime(2026, 11, 1, tzinfo=UTC)

token_counts = st.integers(min_value=0, max_value=2_000_000)
dollars_per_mtok = st.decimals(min_value=0, max_value=200, places=6, allow_nan=False, allow_infinity=False)


@st.composite
def rates(draw: st.DrawFn) -> Rates:
    return Rates.per_mtok(
        input_usd=draw(dollars_per_mtok),
        output_usd=draw(dollars_per_mtok),
        cached_input_usd=draw(dollars_per_mtok),
        cache_write_usd=draw(dollars_per_mtok),
        cache_write_1h_usd=draw(dollars_per_mtok),
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usage of a provider that counts no token as both read and written."""
    plain, cached, written = draw(token_counts), draw(token_counts), draw(token_counts)
    output = draw(token_counts)
    return Usage(
        input_tokens=plain + cached + written,
        output_tokens=output,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=draw(st.integers(min_value=0, max_value=output)),
    )


@st.composite
def any_usages(draw: st.DrawFn) -> Usage:
    """Any usage that does not contradict itself, tokens both read and written included."""
    input_tokens = draw(token_counts)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=draw(token_counts),
        cached_tokens=draw(st.integers(min_value=0, max_value=input_tokens)),
        cache_write_tokens=draw(st.integers(min_value=0, max_value=input_tokens)),
    )


@st.composite
def tiered_prices(draw: st.DrawFn) -> Price:
    thresholds = sorted(draw(st.sets(st.integers(min_value=1, max_value=1_000_000), max_size=3)))
    return Price(base=draw(rates()), tiers=tuple(Tier(threshold, draw(rates())) for threshold in thresholds))


@given(usages(), usages(), rates())
def test_without_tiers_two_calls_cost_what_their_tokens_cost_together(first: Usage, second: Usage, base: Rates) -> None:
    price = Price(base)

    assert cost(first, price) + cost(second, price) == cost(first + second, price)


@given(usages(), st.integers(min_value=0, max_value=100_000), st.integers(min_value=0, max_value=100_000), rates())
def test_more_tokens_never_cost_less(usage: Usage, more_input: int, more_output: int, base: Rates) -> None:
    more = usage + Usage(input_tokens=more_input, output_tokens=more_output)

    assert cost(more, Price(base)) >= cost(usage, Price(base))


@given(usages(), rates(), rates())
def test_dearer_rates_never_make_a_call_cheaper(usage: Usage, base: Rates, surcharge: Rates) -> None:
    dearer = Rates(
        input=base.input + surcharge.input,
        output=base.output + surcharge.output,
        cached_input=base.cached_input + surcharge.cached_input,
        cache_write=base.cache_write + surcharge.cache_write,
        cache_write_1h=base.cache_write_1h + surcharge.cache_write_1h,
    )

    assert cost(usage, Price(dearer)) >= cost(usage, Price(base))


@given(any_usages(), tiered_prices())
def test_no_call_costs_less_than_nothing(usage: Usage, price: Price) -> None:
    assert cost(usage, price) >= 0


@given(tiered_prices(), token_counts, token_counts)
def test_the_dearest_rates_are_below_no_rates_within_the_bound(price: Price, some: int, others: int) -> None:
    input_tokens, bound = sorted((some, others))

    dearest, actual = price.dearest(bound), price.rates(input_tokens)

    assert dearest.input >= actual.input
    assert dearest.output >= actual.output
    assert dearest.cached_input >= actual.cached_input
    assert dearest.cache_write >= actual.cache_write
    assert dearest.cache_write_1h >= actual.cache_write_1h


@given(st.lists(rates(), min_size=1, max_size=4))
def test_the_dearest_of_several_rates_are_each_the_highest(several: list[Rates]) -> None:
    dearest = dearest_of(several)

    for name in (each.name for each in fields(Rates) if each.init):
        assert getattr(dearest, name) == max(getattr(each, name) for each in several)


@given(st.lists(tiered_prices(), min_size=1, max_size=3), token_counts)
def test_several_prices_in_force_are_as_dear_as_the_dearest_of_each(several: list[Price], bound: int) -> None:
    in_force = PricesInForce(tuple(several))

    assert in_force.price == several[0]
    for tokens in {
        bound,
        *(tier.above_input_tokens + more for each in several for tier in each.tiers for more in (0, 1)),
    }:
        assert in_force.dearest(tokens) == dearest_of([each.dearest(tokens) for each in several])


def test_a_price_that_is_not_known_for_all_of_a_stretch_is_none() -> None:
    assert PricesInForce((SONNET_4_6, None)).price is None
    assert PricesInForce((None,)).price is None


@given(any_usages(), tiered_prices())
def test_input_at_its_dearest_bounds_what_a_call_costs(usage: Usage, price: Price) -> None:
    dearest = price.dearest(usage.input_tokens)

    bound = usage.input_tokens * dearest.dearest_input(one_hour_cache=False) + usage.output_tokens * dearest.output

    assert cost(usage, price) <= bound


@pytest.mark.parametrize(
    ("input_tokens", "usd"),
    [
        (271_999, "0.6949975"),  # 271,999 x $2.50/M + 1,000 x $15/M
        (272_000, "0.695"),  # at the threshold the base rates still hold
        (272_001, "1.382505"),  # one above, all of it is repriced: 272,001 x $5/M + 1,000 x $22.50/M
    ],
)
def test_a_long_context_tier_begins_strictly_above_its_threshold(input_tokens: int, usd: str) -> None:
    assert cost(Usage(input_tokens=input_tokens, output_tokens=1_000), GPT_5_4) == Decimal(usd)


def test_the_dearest_rates_leave_out_tiers_that_cannot_be_reached() -> None:
    assert GPT_5_4.dearest(272_000) == GPT_5_4.base
    assert GPT_5_4.dearest(272_001) == GPT_5_4.tiers[0].rates


def test_a_second_tier_counts_as_reachable_strictly_above_its_threshold() -> None:
    dearer = Rates.per_mtok(input_usd=Decimal(7), output_usd=Decimal(30))
    price = Price(GPT_5_4.base, (*GPT_5_4.tiers, Tier(above_input_tokens=500_000, rates=dearer)))

    assert price.dearest(500_000) == GPT_5_4.tiers[0].rates
    assert price.dearest(500_001) == dearer


def test_a_cache_write_at_anthropic_is_billed_as_it_was_seen() -> None:
    """OpenRouter, Sonnet 4.6, March 2026: 3,211 of 3,214 input tokens were written; the prompt cost $0.01205025."""
    usage = Usage(input_tokens=3_214, output_tokens=100, cache_write_tokens=3_211)

    assert cost(usage, SONNET_4_6) == Decimal("0.01205025") + Decimal("0.0015")


def test_what_is_written_for_an_hour_costs_the_rate_of_an_hour_if_that_is_the_dearer() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=0, cache_write_tokens=1_000)
    cheap_hour = replace(SONNET_4_6.base, cache_write_1h=Decimal("0.000001"))

    assert cost(usage, SONNET_4_6, one_hour_cache=True) == Decimal("0.006")
    assert cost(usage, Price(cheap_hour), one_hour_cache=True) == cost(usage, SONNET_4_6) == Decimal("0.00375")


def test_a_cache_read_at_anthropic_is_billed_as_it_was_seen() -> None:
    """The next call: 3,329 input tokens, 3,211 read and 115 written; $0.00140355 for the prompt."""
    usage = Usage(input_tokens=3_329, output_tokens=53, cached_tokens=3_211, cache_write_tokens=115)

    assert cost(usage, SONNET_4_6) == Decimal("0.00140355") + Decimal("0.000795")


def test_an_explicit_cache_at_google_is_billed_as_it_was_seen() -> None:
    """OpenRouter, Gemini 2.5 Flash, March 2026: 2,161 of 2,168 tokens written and read at once, $0.000247013333…

    That is 7 x $0.30/M and 2,161 x ($0.03/M + $0.08333…/M): the seven tokens outside the cache are plain input.
    """
    gemini = Price(
        Rates.per_mtok(
            input_usd=Decimal("0.3"),
            output_usd=Decimal("2.5"),
            cached_input_usd=Decimal("0.03"),
            cache_write_usd=Decimal("0.08333333333333334"),
        )
    )
    usage = Usage(input_tokens=2_168, output_tokens=100, cached_tokens=2_161, cache_write_tokens=2_161)

    assert round(cost(usage, gemini), 14) == Decimal("0.00024701333333") + Decimal("0.00025")


def test_what_has_no_rate_of_its_own_costs_as_plain_input() -> None:
    plain = Rates.per_mtok(input_usd=Decimal(2), output_usd=Decimal(12))

    assert plain.cached_input == plain.cache_write == plain.cache_write_1h == Decimal("0.000002")


def test_what_has_a_rate_of_its_own_costs_by_it() -> None:
    assert SONNET_4_6.base == Rates(
        input=Decimal("0.000003"),
        output=Decimal("0.000015"),
        cached_input=Decimal("0.0000003"),
        cache_write=Decimal("0.00000375"),
        cache_write_1h=Decimal("0.000006"),
    )


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=10, output_tokens=1, cached_tokens=11),
        Usage(input_tokens=10, output_tokens=1, cache_write_tokens=11),
    ],
)
def test_usage_with_more_cached_than_input_tokens_contradicts_itself(usage: Usage) -> None:
    with pytest.raises(PricingError, match="11"):
        cost(usage, SONNET_4_6)


def entry(usd: int, *, starts: datetime | None = None, ends: datetime | None = None) -> PriceEntry:
    return PriceEntry(
        price=Price(Rates.per_mtok(input_usd=Decimal(usd), output_usd=Decimal(usd))),
        source="a test",
        starts=starts,
        ends=ends,
        checked=date(2026, 11, 23),
    )


def test_a_price_holds_from_its_start_until_before_its_end() -> None:
    april, july = datetime(2026, 4, 24, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
    launch = entry(2, starts=april, ends=july)

    assert not launch.holds_at(datetime(2026, 4, 23, 23, 59, 59, 999_999, tzinfo=UTC))
    assert launch.holds_at(april)
    assert launch.holds_at(datetime(2026, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC))
    assert not launch.holds_at(july)


def test_the_last_entry_that_holds_is_the_price() -> None:
    ever, from_july = entry(1), entry(2, starts=datetime(2026, 7, 1, tzinfo=UTC))
    prices = PriceList((ever, from_july))

    assert prices.at(datetime(2026, 6, 30, tzinfo=UTC)) == ever.price
    assert prices.at(datetime(2026, 7, 1, tzinfo=UTC)) == from_july.price


def test_before_the_first_dated_entry_the_price_is_not_known() -> None:
    prices = PriceList((entry(2, starts=datetime(2026, 7, 1, tzinfo=UTC)),))

    assert prices.at(datetime(2026, 6, 30, tzinfo=UTC)) is None
    assert PriceList(()).at(datetime(2026, 6, 30, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("window", "hour", "holds"),
    [
        ((time(1), time(4)), 0, False),
        ((time(1), time(4)), 1, True),
        ((time(1), time(4)), 3, True),
        ((time(1), time(4)), 4, False),
        ((time(22), time(2)), 21, False),
        ((time(22), time(2)), 22, True),
        ((time(22), time(2)), 1, True),
        ((time(22), time(2)), 2, False),
    ],
)
def test_an_hour_of_day_price_holds_within_its_window_which_may_wrap_midnight(
    window: tuple[time, time], hour: int, holds: bool
) -> None:
    peak = PriceEntry(price=SONNET_4_6, source="a test", daily=window)

    assert peak.holds_at(datetime(2026, 11, 23, hour, tzinfo=UTC)) is holds


def test_every_price_in_force_within_a_stretch_is_found_also_one_that_is_over_before_its_end() -> None:
    cheap, dear = (Price(Rates.per_mtok(input_usd=Decimal(figure), output_usd=Decimal(figure))) for figure in (1, 9))
    prices = PriceList(
        (
            PriceEntry(dear, source="base"),
            PriceEntry(cheap, source="all day but ten minutes", daily=(time(6, 10), time(6, 0))),
        )
    )
    at = datetime(2026, 11, 23, 5, 55, tzinfo=UTC)

    assert prices.in_force(Stretch(at, timedelta(minutes=15))) == (cheap, dear, cheap)
    assert prices.in_force(Stretch(at, timedelta(minutes=4))) == (cheap,)


CHEAP, DEAR = (Price(Rates.per_mtok(input_usd=Decimal(figure), output_usd=Decimal(figure))) for figure in (1, 9))


def at_daytime(hour: int, minute: int = 0, second: int = 0, *, day: int = 23) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


def dear_between(starts: time, ends: time) -> PriceList:
    return PriceList((PriceEntry(CHEAP, source="base"), PriceEntry(DEAR, source="for a while", daily=(starts, ends))))


@pytest.mark.parametrize(
    ("start", "end", "prices"),
    [
        (at_daytime(5), at_daytime(5, 59, 59), [CHEAP]),
        (at_daytime(5), at_daytime(6), [CHEAP]),  # it begins half a minute later
        (at_daytime(6, 0, 29), at_daytime(6, 0, 29), [CHEAP]),
        (at_daytime(6, 0, 29), at_daytime(6, 0, 30), [CHEAP, DEAR]),
        (at_daytime(6, 0, 30), at_daytime(6, 1), [DEAR]),
        (at_daytime(6, 0, 30), at_daytime(7), [DEAR, CHEAP]),
        (at_daytime(7), at_daytime(7, 30), [CHEAP]),
        (at_daytime(6, 30), at_daytime(6, 30, day=25), [DEAR, CHEAP, DEAR, CHEAP, DEAR]),
        (at_daytime(23), at_daytime(6, 0, 30, day=24), [CHEAP, DEAR]),  # over midnight
    ],
)
def test_each_change_within_a_stretch_is_named_once_in_order(
    start: datetime, end: datetime, prices: list[Price]
) -> None:
    assert dear_between(time(6, 0, 30), time(7)).in_force(Stretch(start, end - start)) == tuple(prices)


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York"])
def test_the_day_of_a_price_is_that_of_utc_wherever_the_machine_and_the_moment_are(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    tzset()
    start = at_daytime(23).astimezone(ZoneInfo(zone))

    try:
        prices = dear_between(time(0), time(1)).in_force(Stretch(start, timedelta(hours=1, minutes=30)))
        is_dear = dear_between(time(23), time(0)).at(start) == DEAR
    finally:
        monkeypatch.undo()
        tzset()

    assert prices == (CHEAP, DEAR)
    assert is_dear


@st.composite
def price_lists(draw: st.DrawFn) -> PriceList:
    """Entries that begin, end and recur at whole minutes of three days, and sometimes never."""
    moments = st.none() | st.integers(0, 3 * 24 * 60).map(lambda minute: DAY_ONE + timedelta(minutes=minute))
    times = st.integers(0, 24 * 60 - 1).map(lambda minute: time(minute // 60, minute % 60))
    entries = draw(
        st.lists(
            st.builds(
                PriceEntry,
                price=rates().map(Price),
                source=st.just("drawn"),
                starts=moments,
                ends=moments,
                daily=st.none() | st.tuples(times, times),
            ),
            max_size=3,
        )
    )
    return PriceList(tuple(entries))


@given(price_lists(), st.integers(0, 3 * 24 * 3600), st.integers(0, 2 * 24 * 60))
def test_no_price_is_in_force_within_a_stretch_of_time_that_is_not_named(
    prices: PriceList, begins_s: int, minutes: int
) -> None:
    """Looked at every minute, and at both ends: what holds there is among the prices named, the first one first."""
    start = DAY_ONE + timedelta(seconds=begins_s)
    end = start + timedelta(minutes=minutes)
    named = prices.in_force(Stretch(start, end - start))
    assert named[0] == prices.at(start)
    first_minute = start.replace(second=0) + timedelta(minutes=1)
    looks = [start, end, *(first_minute + timedelta(minutes=minute) for minute in range(minutes))]
    assert all(prices.at(look) in named for look in looks if look <= end)


def test_rates_are_a_millionth_of_what_a_million_costs_and_fees_are_as_given() -> None:
    given_all = Rates.per_mtok(
        input_usd=Decimal(3),
        output_usd=Decimal(15),
        cached_input_usd=Decimal("0.3"),
        cache_write_usd=Decimal("3.75"),
        cache_write_1h_usd=Decimal(6),
        request_usd=Decimal("0.005"),
        image_usd=Decimal("0.0048"),
    )

    rates = ("0.000003", "0.000015", "0.0000003", "0.00000375", "0.000006", "0.005", "0.0048", "0")
    assert given_all.figures() == tuple(map(Decimal, rates))


def test_what_is_not_given_costs_as_plain_input() -> None:
    plain = Rates.per_mtok(input_usd=Decimal(3), output_usd=Decimal(15))
    assert (plain.cached_input, plain.cache_write, plain.cache_write_1h) == (plain.input,) * 3

    writing = Rates.per_mtok(input_usd=Decimal(3), output_usd=Decimal(15), cache_write_usd=Decimal(4))
    assert (writing.cached_input, writing.cache_write, writing.cache_write_1h) == tuple(
        map(Decimal, ("0.000003", "0.000004", "0.000004"))
    )


@given(usages(), st.integers(min_value=0, max_value=20))
def test_fees_for_the_call_and_its_images_are_owed_beside_its_tokens(usage: Usage, images: int) -> None:
    with_fees = Price(
        replace(SONNET_4_6.base, request=Decimal("0.005"), image=Decimal("0.0048"), web_search=Decimal("0.01"))
    )

    owed = cost(usage, with_fees, images=images)

    assert owed == cost(usage, SONNET_4_6) + Decimal("0.005") + images * Decimal("0.0048")
    assert cost(usage, with_fees) == cost(usage, SONNET_4_6) + Decimal("0.005")
