"""`decide`: the one function that chooses. Production, `explain` and `replay` call it with the same arguments."""

from dataclasses import replace

import msgspec

from router.catalog.catalog import Catalog, Deployment, ModelName
from router.decision.arms import drawn
from router.decision.effort import effort_to_set
from router.decision.eligibility import (
    Candidate,
    Checks,
    Question,
    Rejection,
    below_bar,
    checks_for,
    expected_latency_ms,
    quality_bar,
    rejection,
)
from router.decision.estimate import Estimator
from router.decision.facts import NO_TIGHTENING, Conditions, RequestProfile, Tightening
from router.decision.policy import Policy, Terms
from router.decision.ranking import ranked
from router.quality.predictor import QualityPredictor


class Decision(msgspec.Struct, frozen=True, gc=False):
    """An ordered choice with its reasons."""

    policy: str
    terms: Terms
    ranked: tuple[Candidate, ...]  # the eligible, the chosen one first, then its fallbacks
    rejected: tuple[Rejection, ...]
    quality_bar: float  # what was good enough here
    catalog_version: str
    arm: ModelName | None = None  # of the experiment, by `terms.weights`; None: the objective has chosen

    @property
    def chosen(self) -> Candidate | None:
        return self.ranked[0] if self.ranked else None

    @property
    def name(self) -> str:
        """`policy` or `policy/rule`, as in the header `x-penstock-decision`."""
        return f"{self.policy}/{self.terms.rule}" if self.terms.rule else self.policy


def decide(
    profile: RequestProfile,
    policy: Policy,
    catalog: Catalog,
    conditions: Conditions,
    *,
    quality: QualityPredictor,
    tightening: Tightening = NO_TIGHTENING,
) -> Decision:
    """The order in which the policy's candidates should serve the request, and why the others may not.

    Pure: the same arguments give the same decision, in every process. Never raises for a request that nobody may
    serve: then `ranked` is empty and `rejected` says why.
    """
    terms = policy.terms_for(profile, tightening, conditions.now)
    case = _Case(profile, policy, catalog, conditions, quality)
    able, rejected = case.screened(terms)
    measure = able
    if tightening is not NO_TIGHTENING and tightening != NO_TIGHTENING:
        able, measure = case.still_able(able, terms, rejected)
    bar = quality_bar(measure, terms)
    eligible: list[Candidate] = []
    for candidate in able:
        refused = below_bar(candidate, bar)
        if refused is None:
            eligible.append(candidate)
        else:
            rejected.append(refused)
    order = ranked(eligible, terms.objective, seed=conditions.seed)
    arm = None
    if terms.weights:
        models = {candidate.deployment.model.name for candidate in order}
        arm = drawn(terms.weights, models, seed=conditions.seed, experiment=f"{policy.name}/{terms.rule or ''}")
        order = tuple(sorted(order, key=lambda candidate: arm is not None and candidate.deployment.model.name != arm))
    return Decision(
        policy=policy.name,
        terms=terms,
        ranked=order,
        rejected=tuple(rejected),
        quality_bar=bar,
        catalog_version=catalog.version,
        arm=arm,
    )


class _Case(msgspec.Struct, frozen=True, gc=False):
    """What the candidates of one decision have in common, whatever the terms."""

    profile: RequestProfile
    policy: Policy
    catalog: Catalog
    conditions: Conditions
    quality: QualityPredictor

    def screened(self, terms: Terms) -> tuple[list[Candidate], list[Rejection]]:
        """Who passes every check under these terms, and why the others do not."""
        able: list[Candidate] = []
        rejected: list[Rejection] = []
        estimator = Estimator(
            self.profile,
            self.conditions,
            default_max_output_tokens=self.policy.default_max_output_tokens,
            max_cost_usd=terms.max_cost_usd,
        )
        checks = checks_for(terms)
        for model in terms.candidates:
            for deployment in self.catalog.of(model):
                candidate = self._examined(deployment, terms, estimator, checks)
                if isinstance(candidate, Rejection):
                    rejected.append(candidate)
                else:
                    able.append(candidate)
        return able, rejected

    def still_able(
        self, able: list[Candidate], terms: Terms, rejected: list[Rejection]
    ) -> tuple[list[Candidate], list[Candidate]]:
        """Who of `able` the policy admits without the request's own limits too; and all whom it admits.

        By the latter a relative floor is measured: otherwise a request's ceiling would take the best candidate out,
        lower the bar, and let in what the policy refuses. The former matters where less thinking makes a candidate fit
        that the policy refuses.
        """
        policy_terms = self.policy.terms_for(self.profile, NO_TIGHTENING, self.conditions.now)
        if policy_terms == replace(terms, min_quality=None):
            return able, able
        admitted, refused = self.screened(policy_terms)
        refusals = {refusal.deployment: refusal for refusal in refused}
        rejected.extend(refusals[each.deployment.id] for each in able if each.deployment.id in refusals)
        return [each for each in able if each.deployment.id not in refusals], admitted

    def _examined(
        self, deployment: Deployment, terms: Terms, estimator: Estimator, checks: Checks
    ) -> Candidate | Rejection:
        effort, wish, most = None, terms.reasoning_effort, terms.max_reasoning_effort
        if wish is not None or most is not None:
            effort = effort_to_set(self.profile, deployment, wish=wish, most=most)
        # What it would cost is no question for whom nobody may ask.
        is_available = deployment.id not in self.conditions.unavailable
        forecast = estimator.at(deployment, effort=effort) if is_available else None
        question = Question(deployment, forecast, self.profile, self.policy, terms, self.conditions, effort)
        refused = rejection(question, checks)
        if refused is not None:
            return refused
        assert forecast is not None  # the check `priced` refuses what has no estimate
        lesson = self.conditions.experience.quality(deployment.model, self.profile, effort)
        quality = self.quality.forecast(deployment.model, effort, self.profile, lesson)
        return Candidate(
            deployment=deployment,
            quality=quality.probability,
            quality_is_known=quality.is_known,
            estimate=forecast,
            effort=effort,
            latency_ms=None if terms.max_latency_ms is None else expected_latency_ms(question),
        )
