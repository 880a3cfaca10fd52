"""What a reading changes in the price book, what is believed when, and what a catalog costs under it."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.book import Doubt, PriceBook, PriceRow, Review, name_of, published_tariff, review, with_book
from router.catalog.catalog import Catalog, Deployment, ProviderName
from router.catalog.listing import Listed, Pricing
from router.catalog.prices import Origin, Price, PriceEntry, PriceList, Rates, Stretch
from router.catalog.tariffs import Tariff, as_data, described, from_data, is_sudden
from tests.replacing import replace
from tests.upstream.deployments import deployment

OPENROUTER = ProviderName("openrouter")
NAME = "deepseek-chat"  # as `deployment` calls it there
DAY = datetime(2026, 11, 23, tzinfo=UTC)
A_MINUTE = timedelta(minutes=1)
V4, V4_1 = "deepseek/deepseek-v4-flash-20260423", "deepseek/deepseek-v4.1-flash-20260915"


def price(usd_per_mtok: str) -> Price:
    return Price(Rates.per_mtok(input_usd=Decimal(usd_per_mtok), output_usd=2 * Decimal(usd_per_mtok)))


def tariff(usd_per_mtok: str) -> Tariff:
    return Tariff.all_day(price(usd_per_mtok))


def reading(usd_per_mtok: str | None, version: str | None = V4) -> Listed:
    if usd_per_mtok is None:
        return Listed(NAME, version, pricing=None, problem="its price is -1")
    prompt = Decimal(usd_per_mtok).scaleb(-6)
    return Listed(NAME, version, Pricing(NAME, {"prompt": prompt, "completion": 2 * prompt}))


def row(usd_per_mtok: str | None, *, starts: datetime = DAY, version: str | None = V4) -> PriceRow:
    return PriceRow(
        provider=OPENROUTER,
        upstream_model=NAME,
        version=version,
        tariff=None if usd_per_mtok is None else tariff(usd_per_mtok),
        source="openrouter /models",
        starts=starts,
        first_seen=starts,
        last_seen=starts,
    )


def reviewed(
    listed: Listed,
    *,
    newest: PriceRow | None = None,
    published: Tariff | None = None,
    doubt: Doubt | None = None,
    after: timedelta = timedelta(minutes=5),
) -> Review:
    return review(
        listed,
        provider=OPENROUTER,
        newest=newest,
        published=published,
        yardsticks=(newest.tariff,) if newest and newest.tariff else (),
        doubt=doubt,
        now=DAY + after,
        confirm_after=A_MINUTE,
    )


def catalog(*entries: PriceEntry) -> Catalog:
    one = replace(deployment(), prices=PriceList(entries))
    return Catalog({one.model.name: (one,)}, version="of the files")


def only(priced: Catalog) -> Deployment:
    [one] = priced
    return one


def test_a_price_read_again_is_seen_again_and_nothing_is_appended() -> None:
    known = row("0.1")

    assert reviewed(reading("0.1"), newest=known) == Review(
        replace(known, last_seen=DAY + timedelta(minutes=5)), is_new=False, doubt=None
    )


def test_a_change_is_a_new_row_that_starts_when_it_was_read() -> None:
    result = reviewed(reading("0.12"), newest=row("0.1"))

    assert result == Review(row("0.12", starts=DAY + timedelta(minutes=5)), is_new=True, doubt=None)


@pytest.mark.parametrize(
    ("usd_per_mtok", "is_believed"),
    [("0.299999", True), ("0.3", False), ("0.034", True), ("0.0333", False), ("0", False), (None, False)],
)
def test_a_change_by_a_factor_of_three_is_doubted_below_it_is_not(usd_per_mtok: str | None, is_believed: bool) -> None:
    result = reviewed(reading(usd_per_mtok), newest=row("0.1"))

    assert result.is_new == is_believed
    assert (result.doubt is None) == is_believed
    assert result.row is not None
    assert result.row.tariff == (reading_tariff(usd_per_mtok) if is_believed else tariff("0.1"))


def reading_tariff(usd_per_mtok: str | None) -> Tariff | None:
    return None if usd_per_mtok is None else tariff(usd_per_mtok)


def test_a_sudden_change_is_believed_once_it_is_read_again_a_while_later() -> None:
    doubt = Doubt(tariff("0.5"), first_seen=DAY)

    too_soon = reviewed(reading("0.5"), newest=row("0.1"), doubt=doubt, after=A_MINUTE - timedelta(seconds=1))
    later = reviewed(reading("0.6"), newest=row("0.1"), doubt=doubt, after=A_MINUTE)

    assert (too_soon.is_new, too_soon.doubt) == (False, doubt)
    assert later == Review(replace(row("0.6", starts=DAY + A_MINUTE), first_seen=DAY), is_new=True, doubt=None)


def test_another_sudden_change_is_a_new_doubt_and_the_old_price_dispels_it() -> None:
    doubt = Doubt(tariff("0.5"), first_seen=DAY)

    other = reviewed(reading("5"), newest=row("0.1"), doubt=doubt)
    back = reviewed(reading("0.1"), newest=row("0.1"), doubt=doubt)

    assert other.doubt == Doubt(tariff("5"), first_seen=DAY + timedelta(minutes=5))
    assert back.doubt is None


def test_the_first_reading_is_compared_with_the_shipped_price_list() -> None:
    near = reviewed(reading("0.12"), published=tariff("0.1"))
    far = reviewed(reading("0.5"), published=tariff("0.1"))
    unknown = reviewed(reading("0.5"))

    assert near.row is not None
    assert near.row.tariff == tariff("0.12")
    assert (far.row, far.doubt) == (None, Doubt(tariff("0.5"), DAY + timedelta(minutes=5)))
    assert unknown.row is not None
    assert unknown.row.tariff == tariff("0.5")


def test_the_shipped_price_list_knows_no_fees_so_that_they_are_not_sudden_in_the_first_reading() -> None:
    listed = reading("0.1")
    assert listed.pricing is not None
    with_fees = replace(
        listed.pricing, figures={**listed.pricing.figures, "request": Decimal(1), "web_search": Decimal(1)}
    )

    first = reviewed(replace(listed, pricing=with_fees), published=tariff("0.1"))
    later = reviewed(replace(listed, pricing=with_fees), newest=row("0.1"))

    assert (first.is_new, first.doubt) == (True, None)
    assert later.doubt is not None


def test_a_fee_for_searches_is_never_sudden_as_nobody_pays_it() -> None:
    listed = reading("0.1")
    assert listed.pricing is not None
    with_searches = replace(listed.pricing, figures={**listed.pricing.figures, "web_search": Decimal(1)})

    assert reviewed(replace(listed, pricing=with_searches), newest=row("0.1")).is_new


def test_a_price_that_is_gone_is_a_row_without_price_once_that_is_confirmed() -> None:
    gone = reviewed(reading(None), newest=row("0.1"), doubt=Doubt(None, first_seen=DAY))
    back = reviewed(reading("0.1"), newest=gone.row)

    assert gone.row is not None
    assert gone.row.tariff is None
    assert back.row is not None
    assert back.row.tariff == tariff("0.1")


def test_a_name_that_moves_is_a_new_row_at_the_same_price_even_while_its_price_is_doubted() -> None:
    calm = reviewed(reading("0.1", V4_1), newest=row("0.1"))
    sudden = reviewed(reading("0.9", V4_1), newest=row("0.1"))

    for result in (calm, sudden):
        assert result.row == row("0.1", starts=DAY + timedelta(minutes=5), version=V4_1)
        assert result.is_new
    assert sudden.doubt is not None


def test_a_list_that_does_not_tell_the_version_does_not_move_the_name() -> None:
    result = reviewed(reading("0.1", version=None), newest=row("0.1"))

    assert not result.is_new
    assert result.row is not None
    assert result.row.version == V4


def test_live_prices_win_over_published_ones_and_the_operators_own_over_both() -> None:
    published = PriceEntry(price("0.2"), source="shipped", origin=Origin.PUBLISHED)
    own = PriceEntry(price("0.3"), source="a contract", starts=DAY + timedelta(days=2))
    book = PriceBook().with_rows([row("0.1")])

    prices = only(with_book(catalog(published, own), book, {})).prices

    assert prices.at(DAY - timedelta(seconds=1)) == price("0.2")
    assert prices.at(DAY) == price("0.1")
    assert prices.at(DAY + timedelta(days=2)) == price("0.3")


def test_calls_of_the_past_keep_the_price_that_was_in_force_then() -> None:
    book = PriceBook().with_rows([row("0.1"), row("0.2", starts=DAY + timedelta(hours=3))])

    prices = only(with_book(catalog(), book, {})).prices

    assert prices.at(DAY + timedelta(hours=2)) == price("0.1")
    assert prices.at(DAY + timedelta(hours=3)) == price("0.2")


def test_a_row_without_price_hides_what_was_known_before() -> None:
    published = PriceEntry(price("0.2"), source="shipped", origin=Origin.PUBLISHED)
    book = PriceBook().with_rows([row("0.1"), row(None, starts=DAY + A_MINUTE)])

    prices = only(with_book(catalog(published), book, {})).prices

    assert prices.at(DAY) == price("0.1")
    assert prices.at(DAY + A_MINUTE) is None


def test_a_hold_covers_the_doubted_price_too_and_everything_else_goes_by_the_old_one() -> None:
    book = PriceBook().with_rows([row("0.1")])
    doubts = {(OPENROUTER, NAME): Doubt(tariff("0.5"), DAY)}

    prices = only(with_book(catalog(), book, doubts)).prices

    assert prices.at(DAY) == price("0.1")
    assert prices.in_force(Stretch(DAY, A_MINUTE)) == (price("0.1"), price("0.5"))


def test_nobody_doubts_a_price_that_the_operator_wrote() -> None:
    own = PriceEntry(price("0.3"), source="a contract")
    doubts = {(OPENROUTER, NAME): Doubt(None, DAY)}

    prices = only(with_book(catalog(own), PriceBook(), doubts)).prices

    assert prices.in_force(Stretch(DAY, A_MINUTE)) == (price("0.3"),)


def test_the_version_behind_a_name_is_in_the_catalog_and_every_change_makes_another_catalog() -> None:
    base = catalog()
    first = with_book(base, PriceBook().with_rows([row("0.1")]), {})
    moved = with_book(base, PriceBook().with_rows([row("0.1"), row("0.1", starts=DAY + A_MINUTE, version=V4_1)]), {})

    assert with_book(base, PriceBook(), {}) is base
    assert (only(base).version, only(first).version, only(moved).version) == (None, V4, V4_1)
    assert len({base.version, first.version, moved.version}) == 3
    assert name_of(only(moved)) == (OPENROUTER, NAME)


def test_the_catalog_is_the_same_whether_a_price_was_read_just_now_or_comes_from_the_book() -> None:
    read = reviewed(reading("0.10")).row
    assert read is not None
    assert read.tariff is not None
    kept = replace(read, tariff=from_data(as_data(read.tariff)), last_seen=read.last_seen + A_MINUTE)

    first, second = (with_book(catalog(), PriceBook().with_rows([each]), {}) for each in (read, kept))

    assert first.version == second.version


def test_the_shipped_price_of_an_hour_leaves_the_operators_own_aside() -> None:
    shipped = PriceEntry(price("0.2"), source="shipped", daily=(time(0), time(12)), origin=Origin.PUBLISHED)
    own = PriceEntry(price("0.3"), source="a contract")
    one = only(catalog(shipped, own))

    assert published_tariff(one, DAY) == tariff("0.2")
    assert published_tariff(one, DAY + timedelta(hours=12)) is None


def test_of_a_row_that_two_processes_have_seen_the_later_sight_counts() -> None:
    seen = replace(row("0.1"), last_seen=DAY + A_MINUTE)

    assert PriceBook().with_rows([seen, row("0.1")]).newest((OPENROUTER, NAME)) == seen
    assert PriceBook().with_rows([row("0.1")]).with_rows([seen]).last_seen(OPENROUTER) == DAY + A_MINUTE
    assert PriceBook().last_seen(OPENROUTER) is None


def test_a_change_is_described_rate_by_rate_in_dollars_per_million_tokens() -> None:
    assert described(tariff("0.1"), tariff("0.3")) == "input 0.1 -> 0.3, output 0.2 -> 0.6, cached_input 0.1 -> 0.3, " \
        "cache_write 0.1 -> 0.3, cache_write_1h 0.1 -> 0.3"  # fmt: skip
    assert described(tariff("0.1"), None) == "input 0.1, output 0.2 -> no price"


usd = st.decimals(min_value=0, max_value=100, places=4, allow_nan=False, allow_infinity=False)


@given(usd, usd)
def test_suddenness_is_the_same_in_both_directions(one: Decimal, other: Decimal) -> None:
    first, second = tariff(str(one)), tariff(str(other))

    assert is_sudden(first, second) == is_sudden(second, first)
    assert not is_sudden(first, first)


@given(st.lists(st.none() | usd, min_size=1, max_size=8), st.integers(1, 300))
def test_holds_never_cost_less_than_the_last_reading_says(readings: list[Decimal | None], step_s: int) -> None:
    """Whatever is believed: what was read last is either in force, or in doubt and covered."""
    book, doubts, moment = PriceBook(), dict[tuple[ProviderName, str], Doubt](), DAY
    for each in readings:
        moment += timedelta(seconds=step_s)
        listed = reading(None if each is None else str(each))
        result = review(
            listed,
            provider=OPENROUTER,
            newest=book.newest((OPENROUTER, NAME)),
            published=None,
            yardsticks=book.yardsticks((OPENROUTER, NAME), moment),
            doubt=doubts.get((OPENROUTER, NAME)),
            now=moment,
            confirm_after=A_MINUTE,
        )
        book = book.with_rows([] if result.row is None else [result.row])
        doubts = {} if result.doubt is None else {(OPENROUTER, NAME): result.doubt}

        in_force = only(with_book(catalog(), book, doubts)).prices.in_force(Stretch(moment, A_MINUTE))

        assert (None if each is None else price(str(each))) in in_force


@given(usd, usd)
def test_a_tariff_is_read_back_as_it_was_written(one: Decimal, other: Decimal) -> None:
    written = Tariff.all_day(Price(Rates.per_mtok(input_usd=one, output_usd=other, request_usd=one)))

    assert from_data(as_data(written)) == written


def test_prices_that_ended_long_ago_need_not_be_in_the_catalog() -> None:
    rows = [row(f"0.{number}", starts=DAY + timedelta(days=number)) for number in range(1, 6)]
    book = PriceBook().with_rows(rows)

    prices = only(with_book(catalog(), book, {}, since=DAY + timedelta(days=3, hours=1))).prices

    assert [entry.starts for entry in prices.entries] == [each.starts for each in rows[2:]]
    assert prices.at(DAY + timedelta(days=3, hours=1)) == price("0.3")


def test_the_list_says_what_a_name_stands_for_and_where_it_is_silent_the_operator_does() -> None:
    one = replace(deployment(), version="as the operator says")
    files = Catalog({one.model.name: (one,)}, version="of the files")

    books = {version: PriceBook().with_rows([row("0.1", version=version)]) for version in (V4, None)}

    assert only(with_book(files, books[V4], {})).version == V4
    assert only(with_book(files, books[None], {})).version == "as the operator says"
    assert only(with_book(files, PriceBook(), {})).version == "as the operator says"
