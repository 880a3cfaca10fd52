"""Whether a cheap model that is not good enough by itself is asked first, because its answer is checked: `cascaded`.

Compared are the model that the objective has chosen and every cascade: one below the quality bar, whose answer is put
to the checks of the policy, and one that is good enough, asked where a check fails. A cascade counts as one candidate
whose quality is that of the whole, and whose cost is its own and the escalated share of the other's.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from router.decision.eligibility import Candidate
from router.decision.estimate import shortened
from router.decision.facts import Conditions, RequestProfile
from router.decision.policy import Terms
from router.decision.ranking import key_of
from router.quality.cascade import Accuracy, Cascade, cascade, together
from router.quality.verify import CheckKind

_MOST = 4  # the cheapest that are tried as the first, and as many as the one behind: a judgement


class CascadeArm(msgspec.Struct, frozen=True, gc=False):
    """A model that is asked first, its checks, and who is asked where they fail."""

    first: Candidate
    then: Candidate
    opinion: Candidate | None  # asked the same as `first`, where the policy wants two to agree
    probability: float  # that the answer which the client gets is good
    escalated: float  # share of such requests that `then` is asked as well
    expected_usd: Decimal  # of all calls
    accuracy: Accuracy  # of the checks together


def cascaded(
    order: Sequence[Candidate],
    below: Sequence[Candidate],
    bar: float,
    *,
    terms: Terms,
    profile: RequestProfile,
    conditions: Conditions,
) -> CascadeArm | None:
    """The cascade that the objective prefers to the first of `order`, if there is one that is good enough.

    `order` are the good enough, in the order of preference; `below` those that may serve and are not. None where no
    check will be put to the answer.
    """
    checks = terms.checks_for(profile)
    if not checks or not order:
        return None
    wants_opinion = any(check.kind is CheckKind.AGREEMENT for check in checks)
    experience = conditions.experience
    accuracy = together([experience.accuracy(check.kind, profile) for check in checks])
    firsts, seconds = _cheapest(below), _cheapest(order)
    best: CascadeArm | None = None
    preference = key_of(terms.objective, terms.usd_per_point)
    least = preference(order[0])
    for first in firsts:
        opinion = _opinion_on(first, firsts) if wants_opinion else None
        if wants_opinion and opinion is None:
            continue
        for then in seconds:
            came = cascade(first.quality, then.quality, accuracy)
            if came.probability < bar or (terms.caution and _cautiously(first, then, accuracy, terms) < bar):
                continue
            arm = _arm(first, opinion, then, came, accuracy)
            wish = preference(_as_one(arm))
            if wish < least and _is_allowed(arm, terms, profile):
                best, least = arm, wish
    return best


def _cheapest(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda each: each.estimate.ranked_usd)[:_MOST]


def _opinion_on(first: Candidate, cheap: Sequence[Candidate]) -> Candidate | None:
    """The cheapest of another model that is not good enough by itself either: else it would be asked alone."""
    return next((each for each in cheap if each.deployment.model.name != first.deployment.model.name), None)


def _cautiously(first: Candidate, then: Candidate, accuracy: Accuracy, terms: Terms) -> float:
    """The probability of a good answer where both models are only as good as the terms' confidence has it."""
    least = [each.quality if each.forecast is None else each.forecast.at_least(terms.caution) for each in (first, then)]
    return cascade(least[0], least[1], accuracy).probability


def _arm(first: Candidate, opinion: Candidate | None, then: Candidate, came: Cascade, accuracy: Accuracy) -> CascadeArm:
    expected_usd = first.estimate.expected_usd + Decimal(came.escalated) * then.estimate.expected_usd
    if opinion is not None:
        expected_usd += opinion.estimate.expected_usd
    return CascadeArm(first, then, opinion, came.probability, came.escalated, expected_usd, accuracy)


def _is_allowed(arm: CascadeArm, terms: Terms, profile: RequestProfile) -> bool:
    """Whether all calls together keep to the limits of one request.

    Of what is called before, the expected cost counts, of the last call the highest: the ceiling itself is held when
    it is called.
    """
    if terms.max_latency_ms is not None:
        expected_ms = 0.0
        for each, share in ((arm.first, 1.0), (arm.opinion, 1.0), (arm.then, arm.escalated)):  # one after the other
            if each is not None:
                if each.latency_ms is None:
                    return False
                expected_ms += share * each.latency_ms
        if expected_ms > terms.max_latency_ms:
            return False
    if terms.max_cost_usd is None:
        return True
    before_usd = arm.first.estimate.expected_usd
    if arm.opinion is not None:
        before_usd += arm.opinion.estimate.expected_usd
    left_usd = terms.max_cost_usd - before_usd
    if arm.then.estimate.worst_usd <= left_usd:
        return True
    if profile.max_output_tokens is not None:
        return False
    return shortened(arm.then.estimate, choices=profile.choices, left_usd=left_usd) is not None


def _as_one(arm: CascadeArm) -> Candidate:
    """The cascade as the ranking sees a candidate."""
    estimate = arm.first.estimate
    return replace(arm.first, quality=arm.probability, estimate=replace(estimate, expected_usd=arm.expected_usd))
