"""Who is asked next when an answer has failed a check: a better model that the request's money can still pay for."""

from collections.abc import Collection, Iterator

import msgspec

from router.catalog.catalog import DeploymentId
from router.decision.eligibility import Candidate
from router.decision.estimate import shortened
from router.gateway.planning import Plan
from router.units import usd


def better_candidates(
    plan: Plan, *, than: Candidate, asked: Collection[DeploymentId], spent_nano_usd: int
) -> Iterator[Candidate]:
    """Those of the decision with a higher predicted quality, in its order, that were not asked yet.

    A request's ceiling is for all its calls together: what earlier ones cost is taken off, and where the output limit
    is ours and not the client's, it is lowered as far as the expected answer allows.
    """
    ceiling_usd = plan.decision.terms.max_cost_usd
    for candidate in plan.decision.ranked:
        if candidate.deployment.id in asked or candidate.quality <= than.quality:
            continue
        estimate = candidate.estimate
        if ceiling_usd is None or usd(spent_nano_usd) + estimate.worst_usd <= ceiling_usd:
            yield candidate
        elif plan.profile.max_output_tokens is None:
            less = shortened(estimate, choices=plan.profile.choices, left_usd=ceiling_usd - usd(spent_nano_usd))
            if less is not None:
                yield msgspec.structs.replace(candidate, estimate=less)
