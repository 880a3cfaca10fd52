"""g: what is held bounds what is owed, for prices and requests drawn at random. Pure: nothing runs but the arithmetic.

The cost is computed here by a second, plain formula rather than by the product's own.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from decimal import ROUND_HALF_EVEN, Decimal

from router.catalog.catalog import Capability, Deployment, Model, ModelName, Provider, ProviderName, Task
from router.catalog.prices import Price, PriceEntry, PriceList, Rates, Tier
from router.decision.estimate import Estimate, estimate, shortened
from router.decision.facts import Conditions, RequestProfile
from router.units import usd
from tests.torture.result import Result, at_least, none, told
from tests.torture.setting import Setting

TITLE = "the bound: settled cost ≤ hold"

_USAGES = 5  # drawn for each request and price table
_HORIZON_MIN = 15  # a call may begin so much later than it was priced


@dataclass(frozen=True, slots=True)
class _Usage:
    """What a provider may report: any of it within the limits sent, contradictions included."""

    input_tokens: int
    cached: int
    written: int
    output_tokens: int


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    chance = setting.chance("bound")
    cases = setting.scaled(100_000, 4_000)
    checked = exceeded = at_the_bound = shorter = unaffordable = 0
    for _ in range(cases):
        profile, deployment, now = _profile(chance), _deployment(chance), _moment(chance)
        default = chance.choice((1, 500, 32_768))
        held = estimate(profile, deployment, conditions=Conditions(now=now), default_max_output_tokens=default)
        if held is None:
            continue
        most = max(held.worst_nano_usd, 1)
        # The more of two draws: with little left the usual answer of most kinds of task does not fit.
        left_nano_usd = max(chance.randint(0, most), chance.randint(0, most))
        less = shortened(held, choices=profile.choices, left_usd=usd(left_nano_usd))
        if less is not None:
            shorter += 1
            unaffordable += less.worst_nano_usd > left_nano_usd
        for bounded in (held, less) if less is not None else (held,):
            costs = _costs(chance, profile, deployment, bounded, now)
            checked += len(costs)
            exceeded += sum(1 for cost in costs if cost > bounded.worst_nano_usd)
            at_the_bound += sum(1 for cost in costs if 0 < cost == bounded.worst_nano_usd)
    figures = (
        told("requests x price tables", cases),
        at_least("calls within the limits sent", checked, cases),
        told("of these costing exactly the hold", at_the_bound),
        at_least("requests shortened to what is left", shorter, cases // 20),
        none("of these holding more than is left", unaffordable),
        none("settled for more than was held", exceeded),
    )
    return Result("g", TITLE, command, figures, time.monotonic() - started_s)


def _costs(
    chance: random.Random, profile: RequestProfile, deployment: Deployment, held: Estimate, now: datetime
) -> list[int]:
    """What some calls cost that keep to the limits sent, at prices of the next quarter of an hour."""
    costs: list[int] = []
    for _ in range(_USAGES):
        price = deployment.prices.at(now + timedelta(minutes=chance.uniform(0, _HORIZON_MIN)))
        if price is None:
            continue
        calls = chance.choice((1, profile.choices))  # choices may be billed as one call or each as its own
        most_output = held.max_output_tokens * profile.choices // calls
        hour_long = profile.asks_one_hour_cache and chance.random() < 0.5
        usages = [_usage(chance, held.input_tokens_bound, most_output) for _ in range(calls)]
        total = sum((_cost(usage, price, hour_long=hour_long) for usage in usages), Decimal(0))
        costs.append(int(total.scaleb(9).to_integral_value(ROUND_HALF_EVEN)))
    return costs


def _cost(usage: _Usage, price: Price, *, hour_long: bool) -> Decimal:
    """Every token once at the rate of its kind; what was both written and read, at both."""
    rates = price.base
    for tier in price.tiers:
        rates = tier.rates if usage.input_tokens > tier.above_input_tokens else rates
    write = rates.cache_write_1h if hour_long else rates.cache_write
    plain = usage.input_tokens - usage.cached - usage.written
    if plain < 0:
        plain = usage.input_tokens - max(usage.cached, usage.written)
    return (
        plain * rates.input
        + usage.cached * rates.cached_input
        + usage.written * write
        + usage.output_tokens * rates.output
    )


def _usage(chance: random.Random, most_input: int, most_output: int) -> _Usage:
    def some(most: int) -> int:
        return chance.choice((0, most, chance.randint(0, most)))

    used = some(most_input)
    return _Usage(used, cached=some(used), written=some(used), output_tokens=some(most_output))


def _profile(chance: random.Random) -> RequestProfile:
    tokens = int(10 ** chance.uniform(0, 6))
    wishes = (Capability.TOOLS, Capability.JSON_SCHEMA, Capability.REASONING)
    return RequestProfile(
        alias="auto",
        input_tokens=tokens,
        input_bytes=tokens * chance.randint(1, 6),
        images=chance.choice((0, 0, 1, 20)),
        max_output_tokens=chance.choice((None, 1, int(10 ** chance.uniform(0, 5)))),
        choices=chance.choice((1, 1, 1, 2, 8)),
        needs=frozenset(wish for wish in wishes if chance.random() < 0.2),
        task=chance.choice(list(Task)),
        has_unbounded_parts=chance.random() < 0.05,
        asks_one_hour_cache=chance.random() < 0.2,
        is_stream=chance.random() < 0.5,
    )


def _deployment(chance: random.Random) -> Deployment:
    limit = int(10 ** chance.uniform(2, 5))
    model = Model(
        name=ModelName("maker/model"),
        context_tokens=limit + int(10 ** chance.uniform(3, 6)),
        max_output_tokens=limit,
        capabilities=frozenset(),
        token_ratio=chance.uniform(0.5, 5),
        quality={},
    )
    return Deployment(
        model=model,
        provider=Provider(ProviderName("cloud"), kind="openai_compatible", base_url="http://cloud.example/v1"),
        upstream_model=model.name,
        prices=_prices(chance),
        max_output_tokens=model.max_output_tokens,
        context_tokens=model.context_tokens,
    )


def _prices(chance: random.Random) -> PriceList:
    """One for all day, and one for some hours of it."""
    starts, ends = (time_of_day(chance.randrange(24), chance.choice((0, 10, 30))) for _ in range(2))
    return PriceList(
        (
            PriceEntry(_price(chance), source="a draw"),
            PriceEntry(_price(chance), source="a draw", daily=(starts, ends)),
        )
    )


def _price(chance: random.Random) -> Price:
    thresholds: Sequence[int] = sorted(chance.sample((1_000, 32_000, 128_000, 200_000, 272_000), chance.randrange(3)))
    return Price(_rates(chance), tuple(Tier(threshold, _rates(chance)) for threshold in thresholds))


def _rates(chance: random.Random) -> Rates:
    def figure() -> Decimal:
        return chance.choice((Decimal(0), Decimal(chance.randrange(1, 10**6)).scaleb(-chance.randint(2, 6))))

    return Rates.per_mtok(
        input_usd=figure(),
        output_usd=figure(),
        cached_input_usd=chance.choice((None, figure())),
        cache_write_usd=chance.choice((None, figure())),
        cache_write_1h_usd=chance.choice((None, figure())),
    )


def _moment(chance: random.Random) -> datetime:
    return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(minutes=chance.randrange(24 * 60))
