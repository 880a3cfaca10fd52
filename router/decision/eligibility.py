"""Who may serve a request: the named checks, one function each, in the order they are applied.

A check returns the reason for a rejection, or None. To add a rule, write one function and put it into `CHECKS`.
"""

from collections.abc import Callable
from enum import StrEnum
from math import ceil

import msgspec

from router.catalog.catalog import Arm, ArmName, Deployment, DeploymentId, Effort, ModelName, Named
from router.decision.data_rules import NO_DATA_RULES, unmet
from router.decision.effort import above_most
from router.decision.estimate import COUNT_MARGIN, Estimate, with_margin
from router.decision.facts import Conditions, RequestProfile
from router.decision.policy import Policy, Terms
from router.quality.predictor import Forecast


class Reason(StrEnum):
    """Why a candidate was rejected; the label of `penstock_rejections_total`."""

    BANNED = "banned"
    KEY_SCOPE = "key_scope"
    DATA_RULES = "data_rules"
    UNAVAILABLE = "unavailable"
    NOT_CAPABLE = "not_capable"
    WRONG_API = "wrong_api"
    CONTEXT_TOO_SMALL = "context_too_small"
    OUTPUT_TOO_SMALL = "output_too_small"
    UNPRICED = "unpriced"
    OVER_MAX_EFFORT = "over_max_effort"
    OVER_MAX_COST = "over_max_cost"
    TOO_SLOW = "too_slow"
    BELOW_QUALITY = "below_quality"


class Rejection(msgspec.Struct, frozen=True, gc=False):
    deployment: DeploymentId
    model: ModelName
    reason: Reason
    detail: str  # one sentence with both figures
    effort: Effort | None = None  # that the policy names with the model

    @property
    def id(self) -> str:
        """The deployment, at the effort that the policy names with its model."""
        return self.deployment if self.effort is None else f"{self.deployment}@{self.effort.value}"


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A deployment that is asked whether it may serve, and what it would make of the request."""

    deployment: Deployment
    arm: Arm  # of the policy: its model, at the effort that is named with it
    quality: float  # predicted probability that its answer is good
    quality_is_known: bool  # False: the figure stands in for a missing one
    estimate: Estimate
    effort: Effort | None = None  # to be written into the request; None: as the client sent it
    latency_ms: int | None = None  # as expected, where a limit was set; None there: not known
    effort_in_force: Effort | None = None  # how hard it will think, whoever says so; None: not known
    forecast: Forecast | None = None  # where `quality` comes from

    @property
    def id(self) -> str:
        """`provider:model`, with `@effort` where one is written into the request: nobody else of a decision has it."""
        return self.deployment.id if self.effort is None else f"{self.deployment.id}@{self.effort.value}"

    @property
    def asked(self) -> Named:
        """The model, with `@effort` where one is written into the request: whom a lot falls on, at any provider."""
        name = self.deployment.model.name
        return name if self.effort is None else ArmName(f"{name}@{self.effort.value}")


class Question(msgspec.Struct, frozen=True, gc=False):
    """Everything a check may look at. `estimate` is None where the price is not known."""

    deployment: Deployment
    estimate: Estimate | None
    profile: RequestProfile
    policy: Policy
    terms: Terms
    conditions: Conditions
    arm: Arm
    effort: Effort | None = None  # to be written into the request; None: as the client sent it


def not_banned(question: Question) -> str | None:
    deployment, policy = question.deployment, question.policy
    if policy.banned_models and deployment.model.name in policy.banned_models:
        return f"the policy bans the model {deployment.model.name}"
    if policy.banned_providers and deployment.provider.name in policy.banned_providers:
        return f"the policy bans the provider {deployment.provider.name}"
    only = question.terms.only_providers
    if only is not None and deployment.provider.name not in only:
        return f"the policy allows only {', '.join(sorted(only)) or 'no provider'}"
    return None


def open_to_key(question: Question) -> str | None:
    only = question.terms.only_models
    if only is None or question.deployment.model.name in only:
        return None
    return f"the API key may be answered only by {', '.join(sorted(only)) or 'no model'}"


def handles_data(question: Question) -> str | None:
    rules = question.terms.data
    return None if rules is NO_DATA_RULES else unmet(rules, question.deployment)


def available(question: Question) -> str | None:
    return question.conditions.unavailable.get(question.deployment.id)


def capable(question: Question) -> str | None:
    deployment = question.deployment
    needs = question.profile.needs
    if needs <= deployment.capabilities:
        return None
    return f"it lacks {', '.join(sorted(needs - deployment.capabilities))}"


def speaks(question: Question) -> str | None:
    """Whether the request can be put to it: by the client's API, or by another that it can be translated to."""
    deployment, apis = question.deployment, question.profile.apis
    if not deployment.apis.isdisjoint(apis):
        return None
    known = ", ".join(sorted(deployment.apis)) or "nothing"
    return f"it can be asked by {known}, and this request by {' or '.join(apis)}"


def context_fits(question: Question) -> str | None:
    """Input and one choice's output share the window; of several prompts each has it for itself.

    A request without a limit needs room for the usual answer, beside an input somewhat longer than estimated.
    """
    estimate, deployment = question.estimate, question.deployment
    if estimate is None:
        return None  # `priced` speaks for it
    output, input_tokens = question.profile.max_output_tokens, estimate.input_tokens
    if question.profile.longest_prompt_tokens:
        # The longest has the same share of what is estimated as of what was counted; rounded up, in whole numbers.
        input_tokens = -(-input_tokens * question.profile.longest_prompt_tokens // question.profile.input_tokens)
    if output is None:
        longest = question.policy.default_max_output_tokens
        if input_tokens + input_tokens // COUNT_MARGIN + longest <= deployment.context_tokens:
            return None  # room for the longest answer, so for the usual one
        input_tokens = with_margin(input_tokens, estimate.input_tokens_bound)
        effort = question.effort or question.profile.effort
        usual = question.conditions.experience.output(deployment, question.profile, effort)
        output = min(usual.output_tokens, longest, deployment.max_output_tokens)
    if input_tokens + output <= deployment.context_tokens:
        return None
    return f"{input_tokens} input and {output} output tokens exceed {deployment.context_tokens}"


def output_fits(question: Question) -> str | None:
    asked, most = question.profile.max_output_tokens, question.deployment.max_output_tokens
    if asked is None or asked <= most:
        return None
    return f"{asked} output tokens were asked for and it gives at most {most}"


def priced(question: Question) -> str | None:
    return "its price is not known" if question.estimate is None else None


def affordable(question: Question) -> str | None:
    """The ceiling is a promise about the bill, so the worst case counts, not the expected cost."""
    ceiling, estimate = question.terms.max_cost_usd, question.estimate
    if ceiling is None or estimate is None or estimate.worst_usd <= ceiling:
        return None
    return f"it may cost ${estimate.worst_usd.normalize():f} and the ceiling is ${ceiling.normalize():f}"


def thinks_little_enough(question: Question) -> str | None:
    most = question.terms.max_reasoning_effort
    if most is None:
        return None
    least = above_most(question.deployment, most)
    if least is None:
        return None
    return f"it cannot think less than {least.value} and at most {most.value} is allowed"


def fast_enough(question: Question) -> str | None:
    """Who has not been measured yet passes, or nobody ever would be."""
    ceiling = question.terms.max_latency_ms
    if ceiling is None:
        return None
    latency_ms = expected_latency_ms(question)
    if latency_ms is None or latency_ms <= ceiling:
        return None
    return f"it is expected to take {latency_ms} ms and the limit is {ceiling} ms"


def expected_latency_ms(question: Question) -> int | None:
    """Until the first token of a stream, or the end of an answer that is whole or verified before the client gets it;
    None if it is not known."""
    estimate = question.estimate
    if estimate is None:
        return None
    latency = question.conditions.experience.latency(question.deployment, question.profile)
    if latency is None:
        return None
    taken_s = latency.first_token_s
    if not question.profile.is_stream or question.terms.checks_for(question.profile):
        # Choices are written side by side.
        taken_s += estimate.output_tokens / question.profile.choices / max(latency.output_tokens_per_s, _SLOWEST)
    return ceil(taken_s * 1000)


_SLOWEST = 0.01  # tokens per second: below is standstill, and must not divide by zero


Checks = tuple[tuple[Reason, Callable[[Question], str | None]], ...]

CHECKS: Checks = (
    (Reason.BANNED, not_banned),
    (Reason.KEY_SCOPE, open_to_key),
    (Reason.DATA_RULES, handles_data),
    (Reason.UNAVAILABLE, available),
    (Reason.NOT_CAPABLE, capable),
    (Reason.WRONG_API, speaks),
    (Reason.OUTPUT_TOO_SMALL, output_fits),
    (Reason.CONTEXT_TOO_SMALL, context_fits),
    (Reason.UNPRICED, priced),
    (Reason.OVER_MAX_EFFORT, thinks_little_enough),
    (Reason.OVER_MAX_COST, affordable),
    (Reason.TOO_SLOW, fast_enough),
)


# What few policies demand; a check that is never asked costs the others nothing.
_SELDOM = frozenset({Reason.BANNED, Reason.KEY_SCOPE, Reason.DATA_RULES, Reason.OVER_MAX_EFFORT, Reason.TOO_SLOW})
_USUAL_CHECKS = tuple((reason, check) for reason, check in CHECKS if reason not in _SELDOM)


def checks_for(policy: Policy, terms: Terms) -> Checks:
    """The checks that may speak under these terms of the policy, in the order of `CHECKS`."""
    bans = policy.banned_models or policy.banned_providers or terms.only_providers is not None
    is_usual = (
        not bans
        and terms.data is NO_DATA_RULES
        and terms.max_reasoning_effort is None
        and terms.max_latency_ms is None
        and terms.only_models is None
    )
    return _USUAL_CHECKS if is_usual else CHECKS


def rejection(question: Question, checks: Checks = CHECKS) -> Rejection | None:
    """The first check that speaks against the deployment, or None."""
    for reason, check in checks:
        detail = check(question)
        if detail is not None:
            return _rejection(question.deployment, reason, detail, question.arm.effort)
    return None


def quality_bar(candidates: list[Candidate], terms: Terms) -> float:
    """The predicted quality that is good enough, given who else could serve this request; 0 without a floor."""
    bar = terms.min_quality or 0.0
    if terms.floor is not None:
        of_best = terms.floor.of == "best_candidate"
        whole = max([candidate.quality for candidate in candidates], default=0.0) if of_best else 1.0
        bar = max(bar, terms.floor.at_least * whole)
    return bar


def below_bar(candidate: Candidate, bar: float) -> Rejection | None:
    if candidate.quality >= bar:
        return None
    detail = f"predicted quality {candidate.quality:.4f} is below {bar:.4f}"
    return _rejection(candidate.deployment, Reason.BELOW_QUALITY, detail, candidate.arm.effort)


def too_unsure(candidate: Candidate, bar: float, terms: Terms, best: float) -> Rejection | None:
    """Whether it is good enough with the confidence that the terms ask.

    `best` is the quality of whoever a relative bar was measured by, who passes it: measured against itself the best is
    good enough, and where little is known of anybody a request would else be left with nobody. What a request asks
    itself it must reach all the same.
    """
    if candidate.forecast is None:
        return None
    if terms.floor is not None and terms.floor.of == "best_candidate" and candidate.quality >= best:
        bar = terms.min_quality or 0.0
    quality = candidate.forecast.at_least(terms.caution)
    if quality >= bar:
        return None
    detail = f"with confidence {terms.confidence:g} its quality is {quality:.4f} at least, below {bar:.4f}"
    return _rejection(candidate.deployment, Reason.BELOW_QUALITY, detail, candidate.arm.effort)


def _rejection(deployment: Deployment, reason: Reason, detail: str, effort: Effort | None) -> Rejection:
    return Rejection(deployment=deployment.id, model=deployment.model.name, reason=reason, detail=detail, effort=effort)
