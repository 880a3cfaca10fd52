"""Who is asked next: a better model when an answer has failed a check, or another cheap one for a second opinion.

Both only as far as the request's money can still pay for.
"""

from collections.abc import Collection, Iterator

from router.decision.eligibility import Candidate
from router.gateway.planning import Plan


def better_candidates(
    plan: Plan, *, than: Candidate, asked: Collection[str], spent_nano_usd: int
) -> Iterator[Candidate]:
    """Those of the decision with a higher predicted quality, in its order, whose ids are not among those `asked`.

    The same model that thinks harder is a better one. Where the decision is a cascade, the one behind its first comes
    first.
    """
    cascade = plan.decision.cascade
    named = () if cascade is None or than.id != cascade.first.id else (cascade.then,)
    for candidate in (*named, *(each for each in plan.decision.ranked if each not in named)):
        if candidate.id in asked or candidate.quality <= than.quality:
            continue
        affordable = plan.within_ceiling(candidate, spent_nano_usd=spent_nano_usd)
        if affordable is not None:
            yield affordable


def second_opinions(plan: Plan, *, on: Candidate, asked: Collection[str], spent_nano_usd: int) -> Iterator[Candidate]:
    """Those of another model than `on` that were not asked yet, the cheapest first; in a cascade the one it names.

    Never the model with the highest predicted quality: who would be asked if the two disagree? So nobody, where the
    decision has only two models.
    """
    ranked, cascade = plan.decision.ranked, plan.decision.cascade
    named = () if cascade is None or cascade.opinion is None or on.id != cascade.first.id else (cascade.opinion,)
    judge = max(ranked, key=lambda each: each.quality).deployment.model.name
    others = [
        each
        for each in ranked
        if each.id not in asked and each.deployment.model.name not in (on.deployment.model.name, judge)
    ]
    for candidate in (*named, *sorted(others, key=lambda each: each.estimate.expected_usd)):
        affordable = plan.within_ceiling(candidate, spent_nano_usd=spent_nano_usd)
        if affordable is not None:
            yield affordable


def has_better(plan: Plan, than: Candidate) -> bool:
    """Whether the decision has anybody with a higher predicted quality: else a second opinion would change nothing."""
    return any(each.quality > than.quality for each in plan.decision.ranked)


def must_pass(plan: Plan, asked: Candidate) -> bool:
    """Whether an answer of this one is good enough only if it passes every check: one that could not be verified is
    asked for anew too."""
    return plan.decision.cascade is not None and asked.id == plan.decision.cascade.first.id
