"""How a team wants a choice made: `Policy` with its `Rule`s, and the `Terms` that hold for one request."""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from router.catalog.catalog import Capability, ModelName, ProviderName, Task
from router.decision.facts import RequestProfile, Tightening
from router.quality.verify import Check, CheckKind


class Objective(StrEnum):
    CHEAPEST = "cheapest"  # least expected cost among the good enough
    BEST = "best"  # highest quality, the cheaper on a tie
    VALUE = "value"  # least expected cost per good answer: cost divided by the probability that it is good


@dataclass(frozen=True, slots=True)
class QualityFloor:
    """What is good enough: `at_least` this probability, or this share of the best candidate's."""

    at_least: float
    of: Literal["best_candidate", "one"] = "one"


@dataclass(frozen=True, slots=True)
class Match:
    """When a rule applies: every condition given must hold; one not given always does."""

    input_tokens_over: int | None = None  # strictly
    input_tokens_under: int | None = None  # strictly
    tasks: frozenset[Task] = frozenset()  # any of
    needs: frozenset[Capability] = frozenset()  # all of
    aliases: frozenset[str] = frozenset()  # any of
    tags: frozenset[str] = frozenset()  # all of

    def holds_for(self, profile: RequestProfile) -> bool:
        return (
            (self.input_tokens_over is None or profile.input_tokens > self.input_tokens_over)
            and (self.input_tokens_under is None or profile.input_tokens < self.input_tokens_under)
            and (not self.tasks or profile.task in self.tasks)
            and self.needs <= profile.needs
            and (not self.aliases or profile.alias in self.aliases)
            and self.tags <= frozenset(profile.tags)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """Replaces single terms of its policy for the requests it matches; None keeps the policy's."""

    name: str
    when: Match
    candidates: tuple[ModelName, ...] | None = None
    objective: Objective | None = None
    floor: QualityFloor | None = None
    max_cost_usd: Decimal | None = None
    verify: tuple[Check, ...] | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    candidates: tuple[ModelName, ...]
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

    def terms_for(self, profile: RequestProfile, tightening: Tightening) -> "Terms":
        """The terms for one request: the policy's, changed by the first rule that applies, narrowed by the request."""
        rule = next((rule for rule in self.rules if rule.when.holds_for(profile)), None)
        return Terms(
            rule=rule.name if rule else None,
            candidates=(rule.candidates if rule else None) or self.candidates,
            objective=(rule.objective if rule else None) or self.objective,
            floor=(rule.floor if rule else None) or self.floor,
            min_quality=tightening.min_quality,
            max_cost_usd=_tighter(
                rule.max_cost_usd if rule and rule.max_cost_usd is not None else self.max_cost_usd,
                tightening.max_cost_usd,
            ),
            verify=self.verify if rule is None or rule.verify is None else rule.verify,
            max_escalations=self.max_escalations,
            buffers_streams=self.buffers_streams,
        )

    def downgraded(self) -> "Policy":
        """The same candidates and ceilings without a quality floor, the cheapest first."""
        rules = tuple(replace(rule, objective=None, floor=None) for rule in self.rules)
        return replace(self, objective=Objective.CHEAPEST, floor=None, rules=rules)


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one request."""

    rule: str | None  # the rule that applied, or None for the policy's own terms
    candidates: tuple[ModelName, ...]
    objective: Objective
    floor: QualityFloor | None
    min_quality: float | None  # the request's own floor, an absolute probability
    max_cost_usd: Decimal | None
    verify: tuple[Check, ...] = ()
    max_escalations: int = 1
    buffers_streams: bool = False

    def checks_for(self, profile: RequestProfile) -> tuple[Check, ...]:
        """The checks that an answer to this request is put to; none if the client gets it as it comes."""
        if profile.is_stream and not self.buffers_streams:
            return ()
        return tuple(check for check in self.verify if _concerns(check.kind, profile))


def _concerns(kind: CheckKind, profile: RequestProfile) -> bool:
    match kind:
        case CheckKind.JSON_SCHEMA:
            return not profile.needs.isdisjoint({Capability.JSON_SCHEMA, Capability.JSON_OBJECT})
        case CheckKind.TOOL_ARGUMENTS:
            return Capability.TOOLS in profile.needs
        case CheckKind.REGEX | CheckKind.NON_EMPTY | CheckKind.NOT_TRUNCATED:
            return True


def pinned(model: ModelName) -> Policy:
    """The policy of an alias that names one model: that model at its cheapest deployment, no questions asked."""
    return Policy(name=f"pinned {model}", candidates=(model,))


def _tighter(first: Decimal | None, second: Decimal | None) -> Decimal | None:
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)
