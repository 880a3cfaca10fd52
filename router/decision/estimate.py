"""What one deployment would make of a request: tokens and dollars, expected and at worst."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from math import ceil

from router.catalog.catalog import Capability, Deployment
from router.catalog.prices import Price, Rates, cost, dearest_of
from router.decision.facts import Conditions, Experience, RequestProfile
from router.units import Usage, nano_usd_ceiling

# A whole image becomes at most so many input tokens at any launch provider: the dearest rule known is OpenAI's patch
# rule, 1,536 patches at 2.46 tokens (openrouter.md §8), doubled because its multipliers are disputed.
_IMAGE_TOKENS_BOUND = 7_558

# Providers add a prompt of their own when tools or a schema are given: 549 tokens at Claude is the longest known
# (openrouter.md §8), rounded up to a power of two above it.
_TOOL_PROMPT_TOKENS_BOUND = 1_024

# A request may still be running when an hour-of-day price begins; the bound holds for prices in force this long.
_PRICE_HORIZON = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Estimate:
    input_tokens: int  # expected, in the model's own tokens
    output_tokens: int  # expected, all choices together
    cached_tokens: int  # of the input, expected to be read from the provider's prompt cache
    reasoning_tokens: int  # of the output, expected
    input_tokens_bound: int
    max_output_tokens: int  # per choice; the limit sent to the provider
    expected_usd: Decimal
    worst_usd: Decimal  # no call within the limits sent can cost more
    dearest_rates: Rates  # the rates behind `worst_usd`

    @property
    def worst_nano_usd(self) -> int:
        """What to hold: never rounded below the worst case."""
        return nano_usd_ceiling(self.worst_usd)


def expected_input_tokens(profile: RequestProfile, deployment: Deployment, experience: Experience) -> int:
    """The counted tokens in the vocabulary of the model's family."""
    return ceil(profile.input_tokens * experience.input_ratio(deployment.model, profile))


def max_output_tokens(
    profile: RequestProfile, deployment: Deployment, *, input_tokens: int, default_max_output_tokens: int
) -> int:
    """The output limit to send: the client's own, else the default cut down to what the deployment can do."""
    if profile.max_output_tokens is not None:
        return profile.max_output_tokens
    room = deployment.context_tokens - input_tokens
    return max(1, min(default_max_output_tokens, deployment.max_output_tokens, room))


def shortened(estimate: Estimate, *, choices: int, left_usd: Decimal) -> Estimate | None:
    """The same call with an output limit that `left_usd` can pay for; None if the expected answer would not fit."""
    output_rate = choices * estimate.dearest_rates.output
    if not output_rate:
        return None  # output is free: a shorter one costs the same
    worst_input_usd = estimate.worst_usd - estimate.max_output_tokens * output_rate
    limit = min(int((left_usd - worst_input_usd) / output_rate), estimate.max_output_tokens)
    if limit < estimate.output_tokens // choices:
        return None
    return replace(estimate, max_output_tokens=limit, worst_usd=worst_input_usd + limit * output_rate)


def estimate(
    profile: RequestProfile,
    deployment: Deployment,
    *,
    conditions: Conditions,
    default_max_output_tokens: int,
    max_cost_usd: Decimal | None = None,
) -> Estimate | None:
    """Tokens and dollars of `profile` at `deployment`, or None if its price is not known now.

    A request without an output limit of its own gets one that `max_cost_usd` can pay for, as long as the usual answer
    still fits into it.
    """
    prices = deployment.prices.in_force(conditions.now, conditions.now + _PRICE_HORIZON)
    known = [each for each in prices if each is not None]
    if len(known) < len(prices):
        return None
    price = known[0]
    bound = _input_tokens_bound(profile, deployment)
    rates = _dearest(known, bound)
    worst_input_usd = bound * rates.dearest_input(one_hour_cache=profile.asks_one_hour_cache)
    experience = conditions.experience
    forecast = experience.output(deployment, profile, profile.effort)
    usual = forecast.output_tokens
    input_tokens = expected_input_tokens(profile, deployment, experience)
    limit = max_output_tokens(
        profile, deployment, input_tokens=input_tokens, default_max_output_tokens=default_max_output_tokens
    )
    if profile.max_output_tokens is None and max_cost_usd is not None and rates.output:
        affordable = int((max_cost_usd / profile.choices - worst_input_usd) / rates.output)
        limit = min(limit, affordable) if affordable >= usual else limit
    output_tokens = min(usual, limit) * profile.choices
    expected = Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=min(conditions.warm_tokens.get(deployment.id, 0), input_tokens),
        reasoning_tokens=min(forecast.reasoning_tokens * profile.choices, output_tokens),
    )
    return Estimate(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=expected.cached_tokens,
        reasoning_tokens=expected.reasoning_tokens,
        input_tokens_bound=bound,
        max_output_tokens=limit,
        expected_usd=cost(expected, price),
        worst_usd=profile.choices * (worst_input_usd + limit * rates.output),
        dearest_rates=rates,
    )


def _input_tokens_bound(profile: RequestProfile, deployment: Deployment) -> int:
    """No vocabulary makes more tokens of the prompt than this.

    A token stands for at least one byte, and the JSON around a message is longer than any chat template's own tokens.
    """
    if profile.has_unbounded_parts:
        return deployment.context_tokens
    bound = profile.input_bytes + profile.images * _IMAGE_TOKENS_BOUND
    if profile.needs & {Capability.TOOLS, Capability.JSON_SCHEMA}:
        bound += _TOOL_PROMPT_TOKENS_BOUND
    return min(bound, deployment.context_tokens)


def _dearest(prices: Sequence[Price], bound: int) -> Rates:
    if len(prices) == 1:
        return prices[0].dearest(bound)
    return dearest_of([price.dearest(bound) for price in prices])
