"""How a team wants a choice made: `Policy` with its `Rule`s, and the `Terms` that hold for one request."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from statistics import NormalDist
from typing import Literal, TypeVar

from router.catalog.catalog import Arm, Capability, Effort, ModelName, Named, ProviderName, arm_of
from router.decision.arms import Weights
from router.decision.data_rules import NO_DATA_RULES, DataRules, stricter
from router.decision.effort import weaker
from router.decision.facts import NO_TIGHTENING, RequestProfile, Tightening
from router.decision.matching import Match
from router.quality.verify import Check, CheckKind
from router.quotas import Budget

# What a percentage point of the probability to be good is worth where nobody says: a cent for a good answer.
USD_PER_POINT = Decimal("0.0001")

MIDDLE = 0.5  # confidence: as likely better as worse

_Figure = TypeVar("_Figure", Decimal, int, float)


class Objective(StrEnum):
    CHEAPEST = "cheapest"  # least expected cost among the good enough
    BEST = "best"  # highest quality, the cheaper on a tie
    VALUE = "value"  # most worth after costs: the points of its probability to be good, at what one is worth, less cost


class Start(StrEnum):
    """Where a team's kind of work begins that has not been judged often enough."""

    PRIOR = "prior"  # where the forecast says
    STRONG = "strong"  # at the best; labels say when less will do


@dataclass(frozen=True, slots=True)
class QualityFloor:
    """What is good enough: `at_least` this probability, or this share of the best candidate's."""

    at_least: float
    of: Literal["best_candidate", "one"] = "one"


@dataclass(frozen=True, slots=True)
class Rule:
    """Replaces single terms of its policy for the requests it matches; None keeps the policy's.

    Whom nothing may choose and how data is handled it can only add to.
    """

    name: str
    when: Match
    candidates: tuple[Named, ...] | None = None
    objective: Objective | None = None
    floor: QualityFloor | None = None
    max_cost_usd: Decimal | None = None
    verify: tuple[Check, ...] | None = None
    max_latency_ms: int | None = None
    reasoning_effort: Effort | None = None
    max_reasoning_effort: Effort | None = None
    weights: Weights | None = None
    only_providers: frozenset[ProviderName] | None = None
    data: DataRules = NO_DATA_RULES
    usd_per_point: Decimal | None = None
    confidence: float | None = None


_SILENT = Rule("", Match())  # names no term, so that every one is the policy's


@dataclass(frozen=True, slots=True)
class Guard:
    """Whom nothing may choose, and how data is handled, whatever a rule, an alias or a request says."""

    banned_models: frozenset[ModelName] = frozenset()
    banned_providers: frozenset[ProviderName] = frozenset()
    only_providers: frozenset[ProviderName] | None = None  # None: any
    data: DataRules = NO_DATA_RULES


NO_GUARD = Guard()


@dataclass(frozen=True, slots=True)
class Shadow:
    """A model that is asked the same beside the one that answers, for a share of the requests, only to be measured."""

    model: Named
    share: float  # of the requests that were answered
    budget: Budget  # its own: nobody else's money is touched


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    candidates: tuple[Named, ...]
    objective: Objective = Objective.CHEAPEST
    floor: QualityFloor | None = None
    max_cost_usd: Decimal | None = None  # what one request may cost at worst
    default_max_output_tokens: int = 32_768  # set on requests without a limit, so that a bound can be held
    may_shorten: bool = False  # where no budget has room for the output limit, lower the limit before refusing
    banned_models: frozenset[ModelName] = frozenset()
    banned_providers: frozenset[ProviderName] = frozenset()
    rules: tuple[Rule, ...] = ()
    verify: tuple[Check, ...] = ()  # what an answer must pass; else a better model is asked
    max_escalations: int = 1  # better models asked for one request
    buffers_streams: bool = False  # collect a streamed answer before the client gets it, so that it can be verified
    max_latency_ms: int | None = None  # expected, to the first token of a stream or to the end of a whole answer
    first_token_timeout_s: float | None = None  # a stream that has not begun by then has failed: the next is asked
    reasoning_effort: Effort | None = None  # where the client says nothing
    max_reasoning_effort: Effort | None = None  # whatever the client says
    weights: Weights = ()  # shares of requests by candidate; what they leave to 1 is chosen by the objective
    only_providers: frozenset[ProviderName] | None = None  # None: any
    data: DataRules = NO_DATA_RULES
    shadow: Shadow | None = None
    usd_per_point: Decimal = USD_PER_POINT  # of quality, to the objective `value`
    confidence: float = MIDDLE  # that an answer is as good as the floor asks, at least
    explore: float = 0.0  # share of conversations that go to the second choice, so that it is judged as well
    start: Start = Start.PRIOR
    # What most requests ask, worked out once: the terms under no rule and under each, where the request adds nothing.
    _terms: tuple["Terms", ...] = field(init=False, repr=False, compare=False)
    # Whether there may be more than one model to choose from.
    chooses: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ways: tuple[Rule | None, ...] = (None, *self.rules)
        terms = tuple(self._terms_under(rule, NO_TIGHTENING) for rule in ways)
        object.__setattr__(self, "_terms", terms)
        object.__setattr__(self, "chooses", any(len(each.candidates) > 1 for each in terms))

    def terms_for(self, profile: RequestProfile, tightening: Tightening, now: datetime) -> "Terms":
        """The terms for one request: the policy's, changed by the first rule that applies, narrowed by the request."""
        way = 0
        for number, rule in enumerate(self.rules, start=1):
            if rule.when.holds_for(profile, now):
                way = number
                break
        if tightening is NO_TIGHTENING:
            terms = self._terms[way]
        else:
            terms = self._terms_under(self.rules[way - 1] if way else None, tightening)
        # Of what is no text nobody has figures: the policy's floor would refuse everyone.
        return terms if terms.floor is None or profile.is_text else replace(terms, floor=None)

    def terms_with(self, model: ModelName) -> "list[Terms]":
        """All terms under which the model is a candidate: the policy's own, and those of its rules."""
        return [each for each in self._terms if any(arm.model == model for arm in each.arms)]

    def _terms_under(self, rule: Rule | None, tightening: Tightening) -> "Terms":
        named = rule or _SILENT
        return Terms(
            rule=rule.name if rule else None,
            candidates=named.candidates or self.candidates,
            objective=named.objective or self.objective,
            floor=named.floor or self.floor,
            min_quality=tightening.min_quality,
            max_cost_usd=_lower(
                self.max_cost_usd if named.max_cost_usd is None else named.max_cost_usd, tightening.max_cost_usd
            ),
            verify=self.verify if rule is None or rule.verify is None else rule.verify,
            max_escalations=self.max_escalations,
            buffers_streams=self.buffers_streams,
            max_latency_ms=_lower(named.max_latency_ms or self.max_latency_ms, tightening.max_latency_ms),
            reasoning_effort=named.reasoning_effort or self.reasoning_effort,
            max_reasoning_effort=weaker(named.max_reasoning_effort or self.max_reasoning_effort, tightening.max_effort),
            weights=self.weights if named.weights is None else named.weights,
            only_providers=both_allow(self.only_providers, named.only_providers),
            data=stricter(stricter(self.data, named.data), tightening.data),
            usd_per_point=self.usd_per_point if named.usd_per_point is None else named.usd_per_point,
            confidence=self.confidence if named.confidence is None else named.confidence,
            only_models=tightening.only_models,
        )

    def downgraded(self) -> "Policy":
        """The same candidates and ceilings without quality floor and experiment, the cheapest first."""
        rules = tuple(replace(rule, objective=None, floor=None, weights=None) for rule in self.rules)
        return replace(
            self, objective=Objective.CHEAPEST, floor=None, weights=(), rules=rules, explore=0.0, start=Start.PRIOR
        )

    def within(self, guard: Guard) -> "Policy":
        """The policy, held to a guard as well as to its own."""
        if guard == NO_GUARD:
            return self
        return replace(
            self,
            banned_models=self.banned_models | guard.banned_models,
            banned_providers=self.banned_providers | guard.banned_providers,
            only_providers=both_allow(self.only_providers, guard.only_providers),
            data=stricter(self.data, guard.data),
        )

    @property
    def guard(self) -> Guard:
        return Guard(self.banned_models, self.banned_providers, self.only_providers, self.data)


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one request."""

    rule: str | None  # the rule that applied, or None for the policy's own terms
    candidates: tuple[Named, ...]
    objective: Objective
    floor: QualityFloor | None
    min_quality: float | None  # the request's own floor, an absolute probability
    max_cost_usd: Decimal | None
    max_latency_ms: int | None = None
    reasoning_effort: Effort | None = None
    max_reasoning_effort: Effort | None = None
    weights: Weights = ()
    only_providers: frozenset[ProviderName] | None = None
    data: DataRules = NO_DATA_RULES
    verify: tuple[Check, ...] = ()
    max_escalations: int = 1
    buffers_streams: bool = False
    usd_per_point: Decimal = USD_PER_POINT
    confidence: float = MIDDLE
    only_models: frozenset[ModelName] | None = None  # that the request's API key may be answered by; None: any
    # What every decision asks, worked out once.
    caution: float = field(init=False, repr=False, compare=False)  # `confidence` in standard deviations
    arms: tuple[Arm, ...] = field(init=False, repr=False, compare=False)
    has_twins: bool = field(init=False, repr=False, compare=False)  # some model stands among them more than once

    def __post_init__(self) -> None:
        arms = tuple([arm_of(name) for name in self.candidates])
        caution = 0.0 if self.confidence == MIDDLE else NormalDist().inv_cdf(self.confidence)
        object.__setattr__(self, "caution", caution)
        object.__setattr__(self, "arms", arms)
        object.__setattr__(self, "has_twins", len({arm.model for arm in arms}) < len(arms))

    def checks_for(self, profile: RequestProfile) -> tuple[Check, ...]:
        """The checks that an answer to this request is put to; none if the client gets it as it comes."""
        if (profile.is_stream and not self.buffers_streams) or not profile.is_text:
            return ()
        return tuple(check for check in self.verify if _concerns(check.kind, profile))


def _concerns(kind: CheckKind, profile: RequestProfile) -> bool:
    match kind:
        case CheckKind.JSON_SCHEMA:
            return not profile.needs.isdisjoint({Capability.JSON_SCHEMA, Capability.JSON_OBJECT})
        case CheckKind.TOOL_ARGUMENTS:
            return Capability.TOOLS in profile.needs
        case CheckKind.AGREEMENT:
            return profile.choices == 1 and Capability.TOOLS not in profile.needs
        case CheckKind.REGEX | CheckKind.NON_EMPTY | CheckKind.NOT_TRUNCATED | CheckKind.CODE:
            return True


def pinned(arm: Named) -> Policy:
    """The policy of an alias that names one model: that model at its cheapest deployment, no questions asked."""
    return Policy(name=f"pinned {arm}", candidates=(arm,))


def named_by_client(arm: Named, offers: Iterable[Policy]) -> Policy:
    """The policy of a client that names a model itself: held to the strictest of all terms under which `offers`, the
    policies of its team, may choose that model. Naming it is no way around what the team has laid down.

    An effort that it names with the model is its own word, as one in the body of the request would be: a cap on efforts
    holds, and no policy's wish. Relative floors are left out: they are measured against candidates that a named model
    does not have.
    """
    model = arm_of(arm).model
    policy = replace(pinned(arm), name=f"pinned {model}")  # it labels metrics, and those are the configuration's
    effort: Effort | None = None
    for offer in offers:
        for terms in offer.terms_with(model):
            for each in terms.arms:
                if each.model == model:
                    effort = weaker(effort, each.effort or terms.reasoning_effort)
            policy = _strictest(policy.within(replace(offer.guard, data=terms.data)), offer, terms)
    # A cap alone leaves a model be whose default effort is not known.
    return policy if policy.max_reasoning_effort is None else replace(policy, reasoning_effort=effort)


def _strictest(policy: Policy, offer: Policy, terms: Terms) -> Policy:
    return replace(
        policy,
        floor=_higher(policy.floor, terms.floor),
        max_cost_usd=_lower(policy.max_cost_usd, terms.max_cost_usd),
        default_max_output_tokens=min(policy.default_max_output_tokens, offer.default_max_output_tokens),
        verify=tuple(dict.fromkeys((*policy.verify, *terms.verify))),
        buffers_streams=policy.buffers_streams or (terms.buffers_streams and bool(terms.verify)),
        max_latency_ms=_lower(policy.max_latency_ms, terms.max_latency_ms),
        first_token_timeout_s=_lower(policy.first_token_timeout_s, offer.first_token_timeout_s),
        max_reasoning_effort=weaker(policy.max_reasoning_effort, terms.max_reasoning_effort),
        confidence=max(policy.confidence, terms.confidence),
        only_providers=both_allow(policy.only_providers, terms.only_providers),
    )


def _higher(first: QualityFloor | None, second: QualityFloor | None) -> QualityFloor | None:
    """The higher of two absolute floors."""
    absolute = [each for each in (first, second) if each is not None and each.of == "one"]
    return max(absolute, key=lambda each: each.at_least, default=None)


def shadowing(policy: Policy, terms: Terms, shadow: Shadow) -> Policy:
    """The policy of a shadow's call: its model alone, held to all that guards the request it copies."""
    return replace(
        policy,
        candidates=(shadow.model,),
        objective=Objective.CHEAPEST,
        floor=None,
        may_shorten=False,
        rules=(),
        max_cost_usd=terms.max_cost_usd,
        max_latency_ms=None,
        reasoning_effort=terms.reasoning_effort,
        max_reasoning_effort=terms.max_reasoning_effort,
        weights=(),
        only_providers=terms.only_providers,
        data=terms.data,
        verify=(),  # nobody reads the answer, so no better one is bought
        shadow=None,
        explore=0.0,
        start=Start.PRIOR,
    )


def both_allow(
    first: frozenset[ProviderName] | None, second: frozenset[ProviderName] | None
) -> frozenset[ProviderName] | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _lower(first: _Figure | None, second: _Figure | None) -> _Figure | None:
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)
