"""Who is asked next when an answer has failed a check: a better model that the request's money can still pay for."""

from collections.abc import Collection, Iterator

from router.catalog.catalog import DeploymentId
from router.decision.eligibility import Candidate
from router.gateway.planning import Plan


def better_candidates(
    plan: Plan, *, than: Candidate, asked: Collection[DeploymentId], spent_nano_usd: int
) -> Iterator[Candidate]:
    """Those of the decision with a higher predicted quality, in its order, that were not asked yet."""
    for candidate in plan.decision.ranked:
        if candidate.deployment.id in asked or candidate.quality <= than.quality:
            continue
        affordable = plan.within_ceiling(candidate, spent_nano_usd=spent_nano_usd)
        if affordable is not None:
            yield affordable
