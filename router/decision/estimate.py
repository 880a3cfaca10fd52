"""What one deployment would make of a request: tokens and dollars, expected and at worst."""

from datetime import timedelta
from decimal import Decimal
from math import ceil

import msgspec

from router.apis import Api
from router.catalog.catalog import Capability, Deployment, Effort
from router.catalog.prices import IMAGE_TOKENS_BOUND, ZERO, Rates, Stretch
from router.decision.facts import Conditions, RequestProfile
from router.units import nano_usd_ceiling

# Providers add a prompt of their own when tools or a schema are given: 549 tokens at Claude is the longest known
# (openrouter.md §8), rounded up to a power of two above it.
_TOOL_PROMPT_TOKENS_BOUND = 1_024
# A prompt without the frame of a chat has little JSON around it, and some models for embeddings put an instruction
# before each text by its `input_type`: a sentence, so that this is our judgement of the longest.
_EACH_PROMPT_TOKENS_BOUND = 32
_WITH_PROMPT = frozenset({Capability.TOOLS, Capability.JSON_SCHEMA})

# Counts are estimates, and who sends one token more than the window holds is refused. So an output limit of ours leaves
# this share of the input free beside it: learned ratios are rarely further off.
COUNT_MARGIN = 32

# A request may still be running when an hour-of-day price begins; the bound holds for prices in force this long.
_PRICE_HORIZON = timedelta(minutes=15)


# A frozen struct of msgspec is a frozen dataclass that is made in a tenth of the time: a decision makes one for each
# candidate. Nothing in it can lead back to it, so the garbage collector need not know of it.
class Estimate(msgspec.Struct, frozen=True, gc=False):
    input_tokens: int  # expected, in the model's own tokens
    output_tokens: int  # expected, all choices together
    cached_tokens: int  # of the input, expected to be read from the provider's prompt cache
    reasoning_tokens: int  # of the output, expected
    input_tokens_bound: int
    max_output_tokens: int  # per choice; the limit sent to the provider
    expected_usd: Decimal
    worst_usd: Decimal  # no call within the limits sent can cost more
    dearest_rates: Rates  # the rates behind `worst_usd`
    cache_write_tokens: int = 0  # of the input, expected to be written to the prompt cache for money
    later_usd: Decimal = ZERO  # what the further turns of the conversation are expected to cost if it stays there

    @property
    def ranked_usd(self) -> Decimal:
        """What is compared: a model that is cheap now and dear to stay with is dear."""
        return self.expected_usd + self.later_usd if self.later_usd else self.expected_usd

    @property
    def worst_nano_usd(self) -> int:
        """What to hold: never rounded below the worst case."""
        return nano_usd_ceiling(self.worst_usd)


def shortened(estimate: Estimate, *, choices: int, left_usd: Decimal) -> Estimate | None:
    """The same call with an output limit that `left_usd` can pay for; None if the expected answer would not fit."""
    output_rate = choices * estimate.dearest_rates.output
    if not output_rate:
        return None  # output is free: a shorter one costs the same
    worst_input_usd = estimate.worst_usd - estimate.max_output_tokens * output_rate
    limit = min(int((left_usd - worst_input_usd) / output_rate), estimate.max_output_tokens)
    if limit < estimate.output_tokens // choices:
        return None
    return msgspec.structs.replace(estimate, max_output_tokens=limit, worst_usd=worst_input_usd + limit * output_rate)


def estimate(
    profile: RequestProfile,
    deployment: Deployment,
    *,
    conditions: Conditions,
    default_max_output_tokens: int,
    max_cost_usd: Decimal | None = None,
    effort: Effort | None = None,
) -> Estimate | None:
    """Tokens and dollars of `profile` at `deployment`, or None if its price is not known now.

    A request without an output limit of its own gets one that `max_cost_usd` can pay for, as long as the usual answer
    still fits into it. `effort` is what will be written into the request; None: what the client asks.
    """
    estimator = Estimator(
        profile, conditions, default_max_output_tokens=default_max_output_tokens, max_cost_usd=max_cost_usd
    )
    return estimator.at(deployment, effort=effort)


class Estimator:
    """What one request would cost, at any deployment. What does not depend on the deployment is worked out once."""

    __slots__ = (
        "_bound",
        "_conditions",
        "_default_max_output_tokens",
        "_experience",
        "_max_cost_per_choice_usd",
        "_profile",
        "_stretch",
        "_text_tokens",
    )

    def __init__(
        self,
        profile: RequestProfile,
        conditions: Conditions,
        *,
        default_max_output_tokens: int,
        max_cost_usd: Decimal | None,
    ) -> None:
        self._profile = profile
        self._conditions = conditions
        self._experience = conditions.experience
        self._stretch = Stretch(conditions.now, _PRICE_HORIZON)
        self._default_max_output_tokens = default_max_output_tokens
        self._max_cost_per_choice_usd = None if max_cost_usd is None else max_cost_usd / profile.choices
        self._bound = _input_tokens_bound(profile)
        self._text_tokens = profile.input_tokens - profile.id_tokens

    def at(self, deployment: Deployment, *, effort: Effort | None = None) -> Estimate | None:
        """Tokens and dollars at `deployment`, or None if its price is not known now.

        `effort` is what will be written into the request; None: what the client asks.
        """
        prices = deployment.prices.over(self._stretch)
        price = prices.price
        if price is None:
            return None
        profile, choices, experience = self._profile, self._profile.choices, self._experience
        input_tokens = ceil(self._text_tokens * experience.input_ratio(deployment.model, profile)) + profile.id_tokens
        usual_tokens, usual_reasoning_tokens = experience.output(deployment, profile, effort or profile.effort)

        context_tokens = deployment.context_tokens * profile.prompts  # each has the window for itself
        bound = context_tokens if self._bound is None or self._bound > context_tokens else self._bound
        dearest = prices.dearest(bound)
        worst_input_usd = bound * dearest.dearest_input(one_hour_cache=profile.asks_one_hour_cache)
        if dearest.has_fees:
            worst_input_usd += profile.prompts * dearest.fees(profile.images)
        if profile.echoes_prompt:
            worst_input_usd += bound * dearest.output
        asked = profile.max_output_tokens
        limit = self._limit(deployment, input_tokens, bound) if asked is None else asked
        worst_usd = worst_input_usd + limit * dearest.output
        ceiling_usd = self._max_cost_per_choice_usd
        if asked is None and ceiling_usd is not None and worst_usd > ceiling_usd and dearest.output:
            # A lower limit that the ceiling can pay for, if the usual answer fits into it.
            affordable = int((ceiling_usd - worst_input_usd) / dearest.output)
            if affordable >= usual_tokens:
                limit = min(limit, affordable)
                worst_usd = worst_input_usd + limit * dearest.output

        cached_tokens = self._conditions.warm_tokens.get(deployment.id, 0)
        if cached_tokens > input_tokens:
            cached_tokens = input_tokens
        output_tokens = (usual_tokens if usual_tokens < limit else limit) * choices
        reasoning_tokens = usual_reasoning_tokens * choices
        rates = price.rates(input_tokens)
        expected_usd, cache_write_tokens = self._expected(deployment, rates, input_tokens, cached_tokens, output_tokens)
        return Estimate(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=cached_tokens,
            reasoning_tokens=reasoning_tokens if reasoning_tokens < output_tokens else output_tokens,
            input_tokens_bound=bound,
            max_output_tokens=limit,
            expected_usd=expected_usd,
            worst_usd=worst_usd
            if choices == 1
            else profile.choices_per_prompt * worst_input_usd + choices * limit * dearest.output,
            dearest_rates=dearest,
            cache_write_tokens=cache_write_tokens,
            later_usd=self._later_usd(deployment, rates, expected_usd, input_tokens, cached_tokens, cache_write_tokens)
            if self._conditions.further_turns
            else ZERO,
        )

    def _later_usd(
        self,
        deployment: Deployment,
        rates: Rates,
        expected_usd: Decimal,
        input_tokens: int,
        cached_tokens: int,
        cache_write_tokens: int,
    ) -> Decimal:
        """What the turns to come will cost there: each like this one, but for what is in the cache by then, and with
        a prompt that has grown: what a turn adds is new when it comes and in the cache from then on."""
        conditions, fresh_rate = self._conditions, rates.input
        if cache_write_tokens:
            fresh_rate = rates.cache_write_1h if self._profile.asks_one_hour_cache else rates.cache_write
        turns = conditions.further_turns
        later_tokens = min(conditions.later_tokens.get(deployment.id, 0), input_tokens)
        each_usd = expected_usd - (later_tokens - cached_tokens) * (fresh_rate - rates.cached_input)
        growth_tokens = conditions.growth_tokens * input_tokens // max(self._profile.input_tokens, 1)
        reread_rate = rates.cached_input if later_tokens else fresh_rate
        return turns * each_usd + growth_tokens * (turns * fresh_rate + turns * (turns - 1) // 2 * reread_rate)

    def _limit(self, deployment: Deployment, input_tokens: int, bound: int) -> int:
        """The output limit to send where the client has none: the default, cut down to what the deployment can do."""
        limit = self._default_max_output_tokens
        if limit > deployment.max_output_tokens:
            limit = deployment.max_output_tokens
        if input_tokens + input_tokens // COUNT_MARGIN + limit <= deployment.context_tokens:
            return limit  # nearly always
        room = deployment.context_tokens - with_margin(input_tokens, bound)
        if limit > room:
            limit = room
        return limit if limit > 1 else 1

    def _expected(
        self, deployment: Deployment, rates: Rates, input_tokens: int, cached_tokens: int, output_tokens: int
    ) -> tuple[Decimal, int]:
        """Dollars, and how many tokens are paid for to be written to the prompt cache.

        Nobody says beforehand what will be written. Of a prompt that is long enough, captures show all but a few tokens
        (3,211 of 3,214 at Anthropic, 4,012 of 4,020 at OpenAI; openrouter.md §1.4).
        """
        profile, caching = self._profile, deployment.caching
        fresh_tokens = input_tokens - cached_tokens
        written_tokens, rate = 0, rates.input
        if input_tokens >= caching.least_tokens and (profile.asks_cache or not caching.is_asked_for):
            write = rates.cache_write_1h if profile.asks_one_hour_cache else rates.cache_write
            if write > rate:
                written_tokens, rate = fresh_tokens, write
        usd = fresh_tokens * rate + output_tokens * rates.output
        if cached_tokens:
            usd += cached_tokens * rates.cached_input
        return (usd + rates.fees(profile.images) if rates.has_fees else usd), written_tokens


def with_margin(input_tokens: int, bound: int) -> int:
    """What the input may come to if the estimate is somewhat low; never more than `bound`, where that is the higher."""
    padded = input_tokens + input_tokens // COUNT_MARGIN
    return padded if padded <= bound else max(input_tokens, bound)


def _input_tokens_bound(profile: RequestProfile) -> int | None:
    """No vocabulary makes more tokens of the prompt than this; None if only the window bounds it.

    A token stands for at least one byte, and the JSON around a message is longer than any chat template's own tokens.
    """
    if profile.has_unbounded_parts:
        return None
    bound = profile.input_bytes + profile.images * IMAGE_TOKENS_BOUND
    if Api.CHAT not in profile.apis:
        bound += profile.prompts * _EACH_PROMPT_TOKENS_BOUND
    if profile.needs & _WITH_PROMPT:
        bound += _TOOL_PROMPT_TOKENS_BOUND
    return bound
