"""A key that may be answered by some models reaches no other, whatever policy, rule, lot or cascade there is."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from router.decision.decide import Decision
from router.decision.eligibility import Candidate, Reason
from router.decision.facts import NO_TIGHTENING
from router.decision.policy import Start
from router.quality.verify import Check, CheckKind
from tests.decision.test_policy_laws import MODELS, Case, cases
from tests.replacing import replace

SCOPES = st.frozensets(st.sampled_from(MODELS))


def reached(decision: Decision) -> list[Candidate]:
    """Whoever might be sent the request."""
    cascade = decision.cascade
    behind = () if cascade is None else (cascade.first, cascade.then, cascade.opinion)
    return [*decision.ranked, *(each for each in behind if each is not None)]


def drawn(seed: int) -> Case:
    """A case with all that may put somebody else in the first one's place."""
    chance = random.Random(seed)
    case = next(cases(seed, 1))
    verify = (Check(chance.choice((CheckKind.NON_EMPTY, CheckKind.AGREEMENT))),) if chance.random() < 0.5 else ()
    start = chance.choice((Start.PRIOR, Start.STRONG))
    policy = replace(case.policy, explore=chance.choice((0.0, 0.5)), verify=verify, start=start)
    return replace(case, policy=policy, tightening=chance.choice((NO_TIGHTENING, case.tightening)))


@settings(max_examples=200)
@given(seed=st.integers(0, 2**32), scope=SCOPES, is_downgraded=st.booleans())
def test_nobody_outside_of_a_keys_scope_is_ever_reached(
    seed: int, scope: frozenset[str], *, is_downgraded: bool
) -> None:
    case = drawn(seed)
    if is_downgraded:
        case = replace(case, policy=case.policy.downgraded())
    only = frozenset(name for name in MODELS if name in scope)

    decision = case.decided(replace(case.tightening, only_models=only))

    assert {each.deployment.model.name for each in reached(decision)} <= only
    out = [each for each in decision.rejected if each.reason is Reason.KEY_SCOPE]
    assert all(each.model not in only and "the API key may be answered only by" in each.detail for each in out)


@settings(max_examples=200)
@given(seed=st.integers(0, 2**32), scope=SCOPES)
def test_a_scope_lets_nobody_answer_alone_whom_the_policy_refuses(seed: int, scope: frozenset[str]) -> None:
    case = drawn(seed)
    case = replace(case, policy=replace(case.policy, verify=(), rules=()))
    only = frozenset(name for name in MODELS if name in scope)

    bound, free = case.decided(replace(case.tightening, only_models=only)), case.decided()

    assert {each.id for each in bound.ranked} <= {each.id for each in free.ranked}


@given(seed=st.integers(0, 2**32))
def test_a_scope_of_every_model_changes_nothing(seed: int) -> None:
    case = drawn(seed)
    case = replace(case, policy=replace(case.policy, verify=()))

    bound, free = case.decided(replace(case.tightening, only_models=frozenset(MODELS))), case.decided()

    assert [each.id for each in bound.ranked] == [each.id for each in free.ranked]
    assert {(each.id, each.reason) for each in bound.rejected} == {(each.id, each.reason) for each in free.rejected}
    assert bound.quality_bar == free.quality_bar
