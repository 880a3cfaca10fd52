"""Who is asked next when an answer has failed a check: a better model that the request's money can still pay for."""

from collections.abc import Collection, Iterator

from router.decision.eligibility import Candidate
from router.gateway.planning import Plan


def better_candidates(
    plan: Plan, *, than: Candidate, asked: Collection[str], spent_nano_usd: int
) -> Iterator[Candidate]:
    """Those of the decision with a higher predicted quality, in its order, whose ids are not among those `asked`.

    The same model that thinks harder is a better one.
    """
    for candidate in plan.decision.ranked:
        if candidate.id in asked or candidate.quality <= than.quality:
            continue
        affordable = plan.within_ceiling(candidate, spent_nano_usd=spent_nano_usd)
        if affordable is not None:
            yield affordable
