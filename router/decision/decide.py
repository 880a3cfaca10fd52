"""`decide`: the one function that chooses. Production, `explain` and `replay` call it with the same arguments."""

from dataclasses import dataclass

from router.catalog.catalog import Catalog
from router.decision.eligibility import Candidate, Question, Rejection, below_bar, quality_bar, rejection
from router.decision.estimate import estimate
from router.decision.facts import NO_TIGHTENING, Conditions, RequestProfile, Tightening
from router.decision.policy import Policy, Terms
from router.decision.ranking import ranked
from router.quality.predictor import QualityPredictor


@dataclass(frozen=True, slots=True)
class Decision:
    """An ordered choice with its reasons."""

    policy: str
    terms: Terms
    ranked: tuple[Candidate, ...]  # the eligible, the chosen one first, then its fallbacks
    rejected: tuple[Rejection, ...]
    quality_bar: float  # what was good enough here
    catalog_version: str

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
    terms = policy.terms_for(profile, tightening)
    able: list[Candidate] = []
    rejected: list[Rejection] = []
    for model in terms.candidates:
        for deployment in catalog.of(model):
            forecast = estimate(
                profile,
                deployment,
                conditions=conditions,
                default_max_output_tokens=policy.default_max_output_tokens,
                max_cost_usd=terms.max_cost_usd,
            )
            refused = rejection(Question(deployment, forecast, profile, policy, terms, conditions))
            if refused is not None or forecast is None:
                rejected.extend(() if refused is None else (refused,))
                continue
            able.append(
                Candidate(
                    deployment=deployment,
                    quality=quality.probability(deployment.model, profile.task),
                    quality_is_known=quality.is_known(deployment.model, profile.task),
                    estimate=forecast,
                )
            )
    bar = quality_bar(able, terms)
    eligible: list[Candidate] = []
    for candidate in able:
        refused = below_bar(candidate, bar)
        if refused is None:
            eligible.append(candidate)
        else:
            rejected.append(refused)
    return Decision(
        policy=policy.name,
        terms=terms,
        ranked=ranked(eligible, terms.objective, seed=conditions.seed),
        rejected=tuple(rejected),
        quality_bar=bar,
        catalog_version=catalog.version,
    )
