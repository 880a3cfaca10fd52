"""What tokens cost: `Rates` per token, `Price` with long-context tiers, `PriceList` over time; and `cost`.

A price change is a new dated entry, never an edit, so that yesterday stays priced as it was.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import inf

from router.errors import PricingError
from router.units import Usage

ZERO = Decimal(0)
_DAY_S = 86_400
_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)  # where a price list names no date

# A whole image becomes at most so many input tokens at any launch provider: the dearest rule known is OpenAI's patch
# rule, 1,536 patches at 2.46 tokens (openrouter.md §8), doubled because its multipliers are disputed.
IMAGE_TOKENS_BOUND = 7_558

# Anthropic bills a cache write that lives for an hour at twice the input rate (openrouter.md §6, November 2026). Where
# a price list gives only the five-minute rate of a Claude model, it would bound such a call too low.
_ONE_HOUR_WRITE_FACTOR = {"anthropic/": Decimal(2)}


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per single token, and USD per call and per image where a provider charges for these."""

    input: Decimal
    output: Decimal  # reasoning tokens are output tokens
    cached_input: Decimal  # input read from the provider's prompt cache
    cache_write: Decimal  # input written to it, all in: it replaces the input rate
    cache_write_1h: Decimal  # the same with a one-hour lifetime (Anthropic)
    request: Decimal = ZERO  # for the call itself, whatever its tokens
    image: Decimal = ZERO  # for each image of the input, beside the tokens it makes
    web_search: Decimal = ZERO  # for each search; kept for the record, as requests that search are refused
    has_fees: bool = field(init=False, repr=False, compare=False)  # for calls or images
    # The most that one input token can cost, by the longest cache lifetime asked for: every decision asks.
    _dearest_input: Decimal = field(init=False, repr=False, compare=False)
    _dearest_input_1h: Decimal = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        longest = max(self.cache_write, self.cache_write_1h)
        object.__setattr__(self, "has_fees", bool(self.request or self.image))
        object.__setattr__(self, "_dearest_input", max(self.input, self.cache_write + self.cached_input))
        object.__setattr__(self, "_dearest_input_1h", max(self.input, longest + self.cached_input))

    def figures(self) -> tuple[Decimal, ...]:
        """Every rate and fee, in the order of the fields."""
        return (
            self.input,
            self.output,
            self.cached_input,
            self.cache_write,
            self.cache_write_1h,
            self.request,
            self.image,
            self.web_search,
        )

    @classmethod
    def per_mtok(
        cls,
        *,
        input_usd: Decimal,
        output_usd: Decimal,
        cached_input_usd: Decimal | None = None,
        cache_write_usd: Decimal | None = None,
        cache_write_1h_usd: Decimal | None = None,
        request_usd: Decimal = ZERO,
        image_usd: Decimal = ZERO,
    ) -> "Rates":
        """Rates from dollars per million tokens, per call and per image; what is not given costs as plain input."""
        write = input_usd if cache_write_usd is None else cache_write_usd
        return cls(
            input=input_usd.scaleb(-6),
            output=output_usd.scaleb(-6),
            cached_input=(input_usd if cached_input_usd is None else cached_input_usd).scaleb(-6),
            cache_write=write.scaleb(-6),
            cache_write_1h=(write if cache_write_1h_usd is None else cache_write_1h_usd).scaleb(-6),
            request=request_usd,
            image=image_usd,
        )

    def dearest_input(self, *, one_hour_cache: bool) -> Decimal:
        """The most that one input token can cost.

        Google was seen billing the same token as written and as read (OpenRouter capture, March 2026), hence the sum.
        """
        return self._dearest_input_1h if one_hour_cache else self._dearest_input

    def fees(self, images: int) -> Decimal:
        """What a call with so many images costs before its first token."""
        return self.request + images * self.image if images else self.request


@dataclass(frozen=True, slots=True)
class Tier:
    above_input_tokens: int  # the tier holds for strictly more input tokens than this, and reprices all of them
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """What a call costs at one moment: base rates and tiers by ascending threshold."""

    base: Rates
    tiers: tuple[Tier, ...] = ()
    _dearest: tuple[Rates, ...] = field(init=False, repr=False, compare=False)  # with each further tier in reach

    def __post_init__(self) -> None:
        all_rates = [self.base, *(tier.rates for tier in self.tiers)]
        dearest = tuple(dearest_of(all_rates[: reached + 1]) for reached in range(1, len(all_rates)))
        object.__setattr__(self, "_dearest", dearest)

    def rates(self, input_tokens: int) -> Rates:
        """The rates for a request of that many input tokens."""
        chosen = self.base
        for tier in self.tiers:
            if input_tokens <= tier.above_input_tokens:
                break
            chosen = tier.rates
        return chosen

    def dearest(self, input_tokens_bound: int) -> Rates:
        """Rates no request of at most that many input tokens exceeds, each the maximum over the reachable tiers."""
        if not self.tiers or input_tokens_bound <= self.tiers[0].above_input_tokens:
            return self.base
        reachable = sum(1 for tier in self.tiers if input_tokens_bound > tier.above_input_tokens)
        return self._dearest[reachable - 1]


class Origin(Enum):
    """Who tells a price; of two that hold, the later in this order counts."""

    PUBLISHED = "published"  # a price list shipped with this version
    LIVE = "live"  # the provider's own list, read while running
    OWN = "own"  # the operator, in models.yaml


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """A price with the times it holds: from `starts` until before `ends`, daily between the UTC times of `daily`."""

    price: Price | None  # None: the source says that there is no price, whatever was said before
    source: str  # where the figure was read
    starts: datetime | None = None
    ends: datetime | None = None
    daily: tuple[time, time] | None = None  # half-open; may wrap midnight
    checked: date | None = None  # when a person last compared it with the source
    origin: Origin = Origin.OWN

    def holds_at(self, now: datetime) -> bool:
        return self.spans(now) and (self.daily is None or is_within(self.daily, now.astimezone(UTC).time()))

    def spans(self, now: datetime) -> bool:
        """Whether `now` is between its dates, whatever the hour of the day."""
        if self.starts is not None and now < self.starts:
            return False
        return self.ends is None or now < self.ends


@dataclass(frozen=True, slots=True)
class PricesInForce:
    """Prices that may hold for one call, and what a decision asks of them: most of it is worked out beforehand."""

    prices: tuple[Price | None, ...]  # at the start of the stretch first; None: not known
    price: Price | None = field(init=False, compare=False)  # the first; None if any of them is not known
    # Up to this many input tokens no tier of any price is in reach, and these rates are nowhere below any of them.
    _untiered_tokens: float = field(init=False, repr=False, compare=False)
    _untiered: Rates | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = [price for price in self.prices if price is not None]
        is_known = len(known) == len(self.prices)
        object.__setattr__(self, "price", self.prices[0] if is_known else None)
        tiers = (price.tiers[0].above_input_tokens for price in known if price.tiers)
        object.__setattr__(self, "_untiered_tokens", min(tiers, default=inf))
        object.__setattr__(self, "_untiered", dearest_of([price.base for price in known]) if is_known else None)

    def dearest(self, input_tokens_bound: int) -> Rates:
        """Rates that no request of at most that many input tokens exceeds at any of the prices, all of them known."""
        if input_tokens_bound <= self._untiered_tokens and self._untiered is not None:
            return self._untiered
        return dearest_of([price.dearest(input_tokens_bound) for price in self.prices if price is not None])


class Stretch:
    """From `start` to `end`, both included: the time over which a decision wants to know prices."""

    __slots__ = ("begins_s", "end", "over_s", "start")

    def __init__(self, start: datetime, length: timedelta) -> None:
        self.start = start
        self.end = start + length
        self.begins_s = _second_of_day(start.astimezone(UTC))  # of the UTC day
        self.over_s = self.begins_s + length.total_seconds() + 1  # of the same day, or beyond it


@dataclass(frozen=True, slots=True)
class PriceList:
    """Entries in order of precedence: of those that hold at a moment, the last one counts."""

    entries: tuple[PriceEntry, ...]
    # Prices that were read and are not believed yet: no cost is worked out with them, but a hold must cover them too.
    doubts: tuple[PriceEntry, ...] = ()
    # When the price may change; every decision asks, and nearly always there is nothing near.
    _dates: tuple[datetime, ...] = field(init=False, repr=False, compare=False)
    _daily_s: tuple[int, ...] = field(init=False, repr=False, compare=False)  # seconds of the UTC day
    # What holds between two dates, by the one before, and then between two hours of the day.
    _steady: tuple[tuple[PricesInForce, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        dates = (edge for entry in self.entries for edge in (entry.starts, entry.ends) if edge is not None)
        daily = (edge for entry in self.entries if entry.daily is not None for edge in entry.daily)
        object.__setattr__(self, "_dates", tuple(sorted(set(dates))))
        object.__setattr__(self, "_daily_s", tuple(sorted({_second_of_day(edge) for edge in daily})))
        object.__setattr__(self, "_steady", self._steady_prices())

    def with_live(self, live: Sequence[PriceEntry], doubts: Sequence[PriceEntry]) -> "PriceList":
        """The list with what its provider tells now: before what the operator wrote, after what was published."""
        published = [entry for entry in self.entries if entry.origin is Origin.PUBLISHED]
        own = [entry for entry in self.entries if entry.origin is Origin.OWN]
        return PriceList((*published, *live, *own), tuple(doubts))

    def entry_at(self, now: datetime) -> PriceEntry | None:
        """The entry in force, or None if nobody has told a price for that time."""
        for entry in reversed(self.entries):
            if entry.holds_at(now):
                return entry
        return None

    def in_force(self, stretch: Stretch) -> tuple[Price | None, ...]:
        """Every price in force at some moment of the stretch, the one at its start first, then those in doubt."""
        return self.over(stretch).prices

    def over(self, stretch: Stretch) -> PricesInForce:
        """The same, as a decision asks."""
        dates, hours = self._dates, self._daily_s
        dated = daily = 0
        if dates:
            dated = bisect_right(dates, stretch.start)
            if dated < len(dates) and dates[dated] <= stretch.end:
                return self._changing(stretch)
        if hours:
            daily = bisect_right(hours, stretch.begins_s)
            next_s = hours[daily] if daily < len(hours) else hours[0] + _DAY_S
            # Fractions of a second are cut off, so an hour of this very second may not have begun.
            if next_s <= stretch.over_s or (daily and hours[daily - 1] == stretch.begins_s):
                return self._changing(stretch)
        return self._steady[dated][daily]

    def _changing(self, stretch: Stretch) -> PricesInForce:
        start, end = stretch.start, stretch.end
        moments = {edge for entry in self.entries for edge in _boundaries(entry, start, end)}
        prices = tuple(self.at(moment) for moment in (start, *sorted(moments)))
        return self._with_doubts(prices, self.entry_at(start), self.entry_at(end))

    def _with_doubts(self, prices: tuple[Price | None, ...], *entries: PriceEntry | None) -> PricesInForce:
        """Nobody doubts what the operator wrote. What is in doubt counts at whatever hour: a hold may be too large."""
        if all(entry is not None and entry.origin is Origin.OWN for entry in entries):
            return PricesInForce(prices)
        return PricesInForce((*prices, *(doubt.price for doubt in self.doubts)))

    def _steady_prices(self) -> tuple[tuple[PricesInForce, ...], ...]:
        """The price between any two neighbouring edges, taken a second after the earlier one: edges may have fractions
        of a second, and within that second nobody looks here."""
        days = (min(self._dates, default=_ANY_DAY) - timedelta(days=1), *self._dates)
        seconds = (0, *(min(edge_s + 1, _DAY_S - 1) for edge_s in self._daily_s))
        entries = ((self._entry_on(day, second) for second in seconds) for day in days)
        return tuple(
            tuple(self._with_doubts((entry.price if entry else None,), entry) for entry in of_day) for of_day in entries
        )

    def _entry_on(self, day: datetime, second: int) -> PriceEntry | None:
        moment = time(second // 3600, second // 60 % 60, second % 60)
        for entry in reversed(self.entries):
            if entry.spans(day) and (entry.daily is None or is_within(entry.daily, moment)):
                return entry
        return None

    def at(self, now: datetime) -> Price | None:
        """The price in force, or None if it is not known at that time."""
        entry = self.entry_at(now)
        return entry.price if entry else None


def _boundaries(entry: PriceEntry, start: datetime, end: datetime) -> Iterator[datetime]:
    """The moments after `start` and until `end` at which the entry begins or ceases to hold."""
    edges = [edge for edge in (entry.starts, entry.ends) if edge is not None]
    if entry.daily is not None:
        first = start.astimezone(UTC).date()
        for days in range((end.astimezone(UTC).date() - first).days + 1):
            day = first + timedelta(days=days)
            edges.extend(datetime.combine(day, edge, tzinfo=UTC) for edge in entry.daily)
    yield from (edge for edge in edges if start < edge <= end)


def cost(usage: Usage, price: Price, *, images: int = 0, one_hour_cache: bool = False) -> Decimal:
    """Dollars owed for one call of `usage` with so many images at `price`, exact; rounding belongs to the stores.

    Cached and cache-written tokens are contained in `input_tokens` and billed at their own rates; with
    `one_hour_cache` the written ones at the rate of that lifetime, if it is the dearer.
    Raises PricingError if more tokens were cached, or written to the cache, than were sent.
    """
    if usage.cached_tokens > usage.input_tokens or usage.cache_write_tokens > usage.input_tokens:
        raise PricingError(
            f"the usage contradicts itself: {usage.cached_tokens} cached and {usage.cache_write_tokens} cache-written "
            f"of {usage.input_tokens} input tokens"
        )
    rates = price.rates(usage.input_tokens)
    plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    if plain < 0:
        # Google reports, and bills, tokens of an explicit cache as written and as read at once (openrouter.md §1.4).
        plain = usage.input_tokens - max(usage.cached_tokens, usage.cache_write_tokens)
    return (
        plain * rates.input
        + usage.cached_tokens * rates.cached_input
        + usage.cache_write_tokens
        * (max(rates.cache_write, rates.cache_write_1h) if one_hour_cache else rates.cache_write)
        + usage.output_tokens * rates.output
        + rates.fees(images)
    )


def one_hour_write(model: str, rates: Rates) -> Rates:
    """The rates of a price list that does not tell what a cache write for an hour costs."""
    for prefix, factor in _ONE_HOUR_WRITE_FACTOR.items():
        if model.startswith(prefix):
            return replace(rates, cache_write_1h=rates.input * factor)
    return rates


def dearest_of(all_rates: Sequence[Rates]) -> Rates:
    """Rates that are nowhere below any of the given ones."""
    if len(all_rates) == 1:
        return all_rates[0]
    return Rates(*map(max, *(rates.figures() for rates in all_rates)))


def _second_of_day(moment: datetime | time) -> int:
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def is_within(daily: tuple[time, time], moment: time) -> bool:
    """Whether a time of day lies in a half-open window, which may wrap midnight."""
    start, end = daily
    return start <= moment < end if start <= end else moment >= start or moment < end
