"""`decide`: the one function that chooses. Production, `explain` and `replay` call it with the same arguments."""

from dataclasses import replace

import msgspec

from router.catalog.catalog import Arm, Catalog, Deployment, DeploymentId, Effort, Named
from router.decision.arms import drawn
from router.decision.cascading import CascadeArm, cascaded
from router.decision.effort import effort_asked, effort_in_force, effort_to_set
from router.decision.eligibility import (
    Candidate,
    Checks,
    Question,
    Reason,
    Rejection,
    below_bar,
    checks_for,
    expected_latency_ms,
    quality_bar,
    rejection,
    too_unsure,
)
from router.decision.estimate import Estimator
from router.decision.exploring import Exploration, explored
from router.decision.facts import NO_TIGHTENING, Conditions, RequestProfile, Tightening
from router.decision.lots import drawn_from
from router.decision.policy import Objective, Policy, Start, Terms
from router.decision.ranking import ranked
from router.quality.predictor import QualityPredictor

ENOUGH_JUDGED = 50  # labels of a kind of work, before a policy that starts strong takes its forecast at its word


class Decision(msgspec.Struct, frozen=True, gc=False):
    """An ordered choice with its reasons."""

    policy: str
    terms: Terms
    ranked: tuple[Candidate, ...]  # the eligible, the chosen one first, then its fallbacks
    rejected: tuple[Rejection, ...]
    quality_bar: float  # what was good enough here
    catalog_version: str
    arm: Named | None = None  # of the experiment, by `terms.weights`; None: the objective has chosen
    cascade: CascadeArm | None = None  # its first is the first of `ranked`, though it is not good enough by itself
    exploration: Exploration | None = None  # None: nobody was to be tried
    drawn_from: dict[Named, float] = {}  # how likely each was to be first; empty: only one could be
    is_new_work: bool = False  # the policy starts new kinds of work at the best, and this is one

    @property
    def propensity(self) -> float | None:
        """The probability with which the first came to be first; None: nothing was drawn."""
        return self.drawn_from[self.ranked[0].asked] if self.drawn_from else None

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
    case = _Case(profile, policy, catalog, conditions, quality, effort_asked(profile))
    able, rejected = case.screened(terms)
    measure = able
    doubtful: list[Candidate] = []
    if tightening is not NO_TIGHTENING and tightening != NO_TIGHTENING:
        able, measure, doubtful = case.still_able(able, terms, rejected)
    bar = quality_bar(measure, terms)
    if terms.has_twins:
        able = _each_once(able)
    eligible, not_good_enough = _judged(able, bar, terms, measure)
    rejected.extend(not_good_enough)
    order = ranked(eligible, terms.objective, seed=conditions.seed, usd_per_point=terms.usd_per_point)
    usual = order[0] if order else None  # whom the policy would choose for work that it knows
    is_new_work = policy.start is Start.STRONG and conditions.experience.judged(profile) < ENOUGH_JUDGED
    if is_new_work:
        order = ranked(eligible, Objective.BEST, seed=conditions.seed, usd_per_point=terms.usd_per_point)
    arm = exploration = None
    undrawn = order
    if terms.weights:
        arms = {candidate.arm.name for candidate in order}
        arm = drawn(terms.weights, arms, seed=conditions.seed, experiment=f"{policy.name}/{terms.rule or ''}")
        order = tuple(sorted(order, key=lambda candidate: arm is not None and candidate.arm.name != arm))
    cascade = None
    if (not_good_enough or doubtful) and terms.verify and not terms.weights and not is_new_work:
        good = {each.id for each in eligible}
        below = [each for each in _each_once([*able, *doubtful]) if each.id not in good]
        cascade = cascaded(order, below, bar, terms=terms, profile=profile, conditions=conditions)
        if cascade is not None:
            order = (cascade.first, *order)
            whose = (cascade.first.deployment.id, cascade.first.arm.effort)
            rejected = [each for each in rejected if (each.deployment, each.effort) != whose]
    if policy.explore and cascade is None:
        tried, exploration = explored(
            undrawn,
            instead=usual,
            share=policy.explore,
            seed=conditions.seed,
            experiment=f"{policy.name}/{terms.rule or ''}",
        )
        order = tried if arm is None else order
    is_certain = cascade is not None or (exploration is None and not terms.weights)
    return Decision(
        policy=policy.name,
        terms=terms,
        ranked=order,
        rejected=tuple(rejected),
        quality_bar=bar,
        catalog_version=catalog.version,
        exploration=exploration if arm is None else None,
        drawn_from={} if is_certain else drawn_from(undrawn, terms.weights, exploration),
        is_new_work=is_new_work,
        arm=arm,
        cascade=cascade,
    )


def _judged(
    candidates: list[Candidate], bar: float, terms: Terms, measure: list[Candidate]
) -> tuple[list[Candidate], list[Rejection]]:
    """Who is good enough, and why the others are not; a relative bar was measured by the best of `measure`."""
    good: list[Candidate] = []
    refusals: list[Rejection] = []
    best = max([each.quality for each in measure], default=0.0) if terms.caution else 0.0
    for candidate in candidates:
        refused = None if candidate.quality >= bar else below_bar(candidate, bar)
        if refused is None and terms.caution:
            refused = too_unsure(candidate, bar, terms, best)
        if refused is None:
            good.append(candidate)
        else:
            refusals.append(refused)
    return good, refusals


def _each_once(candidates: list[Candidate]) -> list[Candidate]:
    """The candidates without those that would think as hard as an earlier one of their deployment: what a client asks
    for, or a cap, makes one of several arms of a model."""
    first: dict[tuple[DeploymentId, Effort | None], Candidate] = {}
    for candidate in candidates:
        first.setdefault((candidate.deployment.id, candidate.effort_in_force), candidate)
    return list(first.values())


class _Case(msgspec.Struct, frozen=True, gc=False):
    """What the candidates of one decision have in common, whatever the terms."""

    profile: RequestProfile
    policy: Policy
    catalog: Catalog
    conditions: Conditions
    quality: QualityPredictor
    asked: Effort | None  # by the client

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
        checks = checks_for(self.policy, terms)
        for arm in terms.arms:
            for deployment in self.catalog.of(arm.model):
                candidate = self._examined(arm, deployment, terms, estimator, checks)
                if isinstance(candidate, Rejection):
                    rejected.append(candidate)
                else:
                    able.append(candidate)
        return able, rejected

    def still_able(
        self, able: list[Candidate], terms: Terms, rejected: list[Rejection]
    ) -> tuple[list[Candidate], list[Candidate], list[Candidate]]:
        """Who of `able` the policy admits without the request's own limits too; all whom it admits; and who of `able`
        is refused by it only as not good enough.

        By the second a relative floor is measured: otherwise a request's ceiling would take the best candidate out,
        lower the bar, and let in what the policy refuses. The first matters where less thinking makes a candidate fit
        that the policy refuses. Of the third none answers alone, but one may go first in a cascade.
        """
        policy_terms = self.policy.terms_for(self.profile, NO_TIGHTENING, self.conditions.now)
        if policy_terms == replace(terms, min_quality=None):
            return able, able, []
        admitted, refused = self.screened(policy_terms)
        # A cap may make a candidate think harder, where it knows nothing as weak as the client asks: then it is better
        # than under the policy alone, by which it stays refused.
        weak = _judged(admitted, quality_bar(admitted, policy_terms), policy_terms, admitted)[1]
        refusals = {(refusal.deployment, refusal.effort): refusal for refusal in (*refused, *weak)}
        still: list[Candidate] = []
        doubtful: list[Candidate] = []
        for candidate in able:
            refusal = refusals.get((candidate.deployment.id, candidate.arm.effort))
            if refusal is None:
                still.append(candidate)
                continue
            rejected.append(refusal)
            if refusal.reason is Reason.BELOW_QUALITY:
                doubtful.append(candidate)
        return still, admitted, doubtful

    def _examined(
        self, arm: Arm, deployment: Deployment, terms: Terms, estimator: Estimator, checks: Checks
    ) -> Candidate | Rejection:
        effort, wish, most = None, arm.effort or terms.reasoning_effort, terms.max_reasoning_effort
        if wish is not None or most is not None:
            effort = effort_to_set(self.profile, deployment, wish=wish, most=most)
        # What it would cost is no question for whom nobody may ask.
        is_available = deployment.id not in self.conditions.unavailable
        estimate = estimator.at(deployment, effort=effort) if is_available else None
        question = Question(deployment, estimate, self.profile, self.policy, terms, self.conditions, arm, effort)
        refused = rejection(question, checks)
        if refused is not None:
            return refused
        assert estimate is not None  # the check `priced` refuses what has no estimate
        in_force = effort_in_force(effort, self.asked, deployment.model)
        lesson = self.conditions.experience.quality(deployment.model, self.profile, in_force)
        forecast = self.quality.forecast(deployment.rated, in_force, self.profile, lesson)
        return Candidate(
            deployment=deployment,
            arm=arm,
            quality=forecast.probability,
            quality_is_known=forecast.is_known,
            estimate=estimate,
            effort=effort,
            latency_ms=None if terms.max_latency_ms is None else expected_latency_ms(question),
            effort_in_force=in_force,
            forecast=forecast,
        )
