"""One request under other rules: who would serve it, at what cost, and when nobody can know."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import chain

import msgspec
import pytest

from router.apis import Api
from router.catalog.catalog import Capability, Deployment, DeploymentId, ModelName
from router.catalog.prices import PriceList
from router.config.snapshot import Snapshot
from router.decision.decide import decide
from router.decision.explain import profile_as_data
from router.decision.facts import Conditions, PrefixMark, RequestProfile
from router.decision.policy import QualityFloor
from router.decision.recorded import read_profile, record_of
from router.learning.warmth import Warmth
from router.ledger import LedgerEntry, Outcome
from router.quality.cascade import cascade, prior_accuracy
from router.quality.predictor import TablePredictor
from router.quality.verify import Check, CheckKind
from router.replay.judge import Error, Judged, NotJudged
from router.replay.learned import PromptMemory
from router.units import CostSource, Usage
from tests.decision.builders import always, at, catalog, model, per_mtok, policy
from tests.replacing import replace
from tests.replay.builders import (
    BEST,
    CATALOG,
    CHEAP,
    CHEAPEST,
    DEAR,
    NOW,
    OTHER,
    PROFILE,
    USAGE,
    booked,
    house,
    judge_of,
)
from tests.storage.entries import attempt

SAME = house(BEST)
CHEAPER = house(CHEAPEST)


def judged(entry: LedgerEntry, under: Snapshot = CHEAPER) -> Judged:
    verdict = judge_of(under).judge(entry)
    assert isinstance(verdict, Judged), verdict
    return verdict


def unjudged(entry: LedgerEntry, under: Snapshot = CHEAPER) -> tuple[str, str, bool | None]:
    verdict = judge_of(under).judge(entry)
    assert isinstance(verdict, NotJudged), verdict
    assert verdict.then_nano_usd == entry.cost_nano_usd
    return verdict.reason, verdict.about, verdict.is_same


def test_the_same_choice_costs_what_was_booked_to_the_nano_dollar() -> None:
    verdict = judged(booked(cost_nano_usd=123), SAME)

    assert verdict == Judged(
        team=verdict.team,
        then=DEAR.id,
        now=DEAR.id,
        spent=((DEAR.model.name, 123),),
        would_spend=((DEAR.model.name, 123),),
        is_same=True,
        error=None,
        quality_then=0.9,
        quality_now=0.9,
    )


def test_what_is_no_text_has_no_quality_then_or_now() -> None:
    embedder = replace(model("maker/embedder", quality={}, max_output_tokens=0), apis=frozenset({Api.EMBEDDINGS}))
    vectors = at("openrouter", embedder, always(per_mtok("1", "0")))
    vectors = replace(vectors, provider=replace(vectors.provider, apis=frozenset({Api.EMBEDDINGS})))
    rules, among = replace(policy("maker/embedder"), name="vectors"), catalog(vectors)
    asked = replace(PROFILE, apis=(Api.EMBEDDINGS,), max_output_tokens=0)
    decision = decide(asked, rules, among, Conditions(NOW), quality=TablePredictor())
    call = attempt(model=embedder.name, usage=Usage(1_000, 0), cost_nano_usd=1_000_000)

    verdict = judge_of(house(rules, among=among)).judge(
        replace(
            booked(),
            attempts=(call,),
            policy="vectors",
            profile_json=msgspec.json.encode(profile_as_data(asked)),
            conditions_json=msgspec.json.encode(record_of(decision, Conditions(NOW))),
        )
    )

    assert isinstance(verdict, Judged)
    assert (verdict.now, verdict.quality_then, verdict.quality_now) == (vectors.id, None, None)


def test_the_same_choice_takes_the_same_course_failures_included() -> None:
    failed = attempt(model=DEAR.model.name, outcome="upstream_503", cost_nano_usd=50)
    answered = attempt(model=CHEAP.model.name, cost_nano_usd=7)

    entry = replace(booked(), attempts=(failed, answered))
    verdict = judged(entry, SAME)

    assert verdict.would_spend == verdict.spent == ((DEAR.model.name, 50), (CHEAP.model.name, 7))


def test_who_answered_in_the_end_and_would_be_asked_first_costs_that_call_alone() -> None:
    failed = attempt(model=DEAR.model.name, outcome="upstream_503", cost_nano_usd=50)
    answered = attempt(model=CHEAP.model.name, cost_nano_usd=7)

    verdict = judged(replace(booked(), attempts=(failed, answered)))

    assert (verdict.then, verdict.now, verdict.now_nano_usd, verdict.error) == (DEAR.id, CHEAP.id, 7, None)


def test_another_model_costs_the_same_tokens_at_its_own_price() -> None:
    verdict = judged(booked())

    # 800 x $1 + 200 x $0.10 + 100 x $2 per million; nothing is known of either model's habits
    assert (verdict.then, verdict.now, verdict.now_nano_usd) == (DEAR.id, CHEAP.id, 1_020_000)
    assert verdict.error == Error(
        common_nano_usd=0.5 * 200_000 + 0.1 * 820_000,
        single_nano_usd=0.0,
        cause=(DEAR.model.name, CHEAP.model.name),
    )
    assert (verdict.quality_then, verdict.quality_now) == (0.9, 0.6)
    assert not verdict.is_same


def test_a_cascade_costs_its_first_and_the_share_of_the_one_behind_it() -> None:
    checked = replace(CHEAPEST, floor=QualityFloor(0.62), verify=(Check(CheckKind.REGEX, "x"),))
    accuracy = prior_accuracy(CheckKind.REGEX, PROFILE.task)
    together = cascade(0.6, 0.9, accuracy)

    verdict = judged(booked(), house(checked))

    assert verdict.now == CHEAP.id
    assert verdict.would_spend == (
        (CHEAP.model.name, 1_020_000),
        (DEAR.model.name, round(10_200_000 * together.escalated)),
    )
    assert verdict.quality_now == together.probability
    same = judged(booked(checked, cost_nano_usd=123), house(checked))
    assert (same.would_spend, same.is_same) == (((CHEAP.model.name, 123),), True)
    assert not judged(booked(checked), house(CHEAPEST)).is_same  # the order alone does not tell the two apart
    assert judged(booked(CHEAPEST, cost_nano_usd=123), house(checked)).would_spend == (
        (CHEAP.model.name, 123),
        (DEAR.model.name, round(10_200_000 * together.escalated)),
    )


def test_another_vocabulary_makes_other_tokens_of_the_same_text() -> None:
    under = house(replace(CHEAPEST, candidates=(OTHER.model.name,)))

    verdict = judged(booked(usage=Usage(input_tokens=1_000, output_tokens=100)), under)

    assert verdict.now_nano_usd == 1_500 * 2_000 + 150 * 4_000


def test_a_longer_answer_is_cut_off_at_the_limit_that_the_client_set() -> None:
    under = house(replace(CHEAPEST, candidates=(OTHER.model.name,)))
    limited = replace(PROFILE, max_output_tokens=120)

    verdict = judged(booked(profile=limited, usage=Usage(input_tokens=1_000, output_tokens=100)), under)

    assert verdict.now_nano_usd == 1_500 * 2_000 + 120 * 4_000


def test_the_price_of_then_counts_and_not_that_of_today() -> None:
    (early,), (late,) = always(per_mtok("1", "2")).entries, always(per_mtok("3", "2")).entries
    moved = replace(CHEAP, prices=PriceList((early, replace(late, starts=NOW + timedelta(days=1)))))
    under = house(CHEAPEST, among=catalog(moved, DEAR))
    plain = Usage(input_tokens=1_000, output_tokens=0)

    assert judged(booked(usage=plain), under).now_nano_usd == 1_000_000
    later = booked(usage=plain, conditions=Conditions(NOW + timedelta(days=1)))
    assert judged(later, under).now_nano_usd == 3_000_000


def test_what_was_unavailable_then_is_not_chosen_now() -> None:
    entry = booked(conditions=Conditions(NOW, unavailable={CHEAP.id: "down"}))

    assert judged(entry).now == DEAR.id


def test_a_request_that_nobody_might_serve_then_and_now_costs_nothing() -> None:
    seeing = replace(PROFILE, needs=frozenset({Capability.IMAGE_INPUT}))
    entry = replace(_refused(booked(), seeing), outcome=Outcome.REFUSED, attempts=())

    verdict = judged(entry)

    assert (verdict.then, verdict.now, verdict.now_nano_usd) == (None, None, 0)


def _refused(entry: LedgerEntry, profile: RequestProfile) -> LedgerEntry:
    able = booked(profile=PROFILE)
    assert able == entry
    text = entry.profile_json.replace(b'"needs":[]', b'"needs":["image_input"]')
    assert profile.needs
    return replace(entry, profile_json=text, conditions_json=b'{"version":1,"ranked":[]}')


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (replace(booked(), profile_json=b'{"input_tokens":980}'), ("unreadable_profile", "", None)),
        (replace(booked(), conditions_json=b""), ("no_conditions", "", None)),
        (replace(booked(), alias="fast"), ("alias_gone", "fast", None)),
        (replace(booked(), alias="gone/model"), ("model_gone", "gone/model", None)),
        (replace(booked(), alias="other/model"), ("model_not_allowed", "other/model", None)),
        (booked(source=CostSource.HELD), ("in_doubt", "maker/dear", False)),
        (booked(usage=None), ("no_usage", "maker/dear", False)),
        (booked(served=ModelName("gone/model")), ("model_unknown", "gone/model", False)),
        (replace(booked(), outcome=Outcome.FAILED), ("not_answered", "failed", False)),
    ],
)
def test_what_nobody_can_know_has_a_reason_and_the_name_concerned(
    entry: LedgerEntry, expected: tuple[str, str, bool | None]
) -> None:
    assert unjudged(entry) == expected


def test_a_provider_that_told_of_more_cached_than_sent_is_taken_to_have_cached_it_all() -> None:
    verdict = judged(booked(usage=replace(USAGE, cached_tokens=9_999)))

    assert verdict.now_nano_usd == 1_000 * 100 + 100 * 2_000


def test_a_team_or_policy_that_is_gone_is_a_reason() -> None:
    asked = replace(booked(), conditions_json=b'{"version":1,"ranked":[],"policy":"thorough"}')

    assert unjudged(booked(), house(CHEAPEST, team="ads")) == ("team_gone", "search", None)
    assert unjudged(asked) == ("policy_gone", "thorough", None)


def test_a_policy_that_the_client_asked_for_is_asked_for_again() -> None:
    asked = booked()
    asked = replace(asked, conditions_json=asked.conditions_json.replace(b'{"v', b'{"policy":"cheapest","v'))

    assert judged(asked, house(BEST, cheapest=CHEAPEST)).now == CHEAP.id


def test_a_downgrade_for_lack_of_money_is_made_again() -> None:
    poor = booked()
    poor = replace(poor, conditions_json=poor.conditions_json.replace(b'{"v', b'{"is_downgraded":true,"v'))

    assert judged(poor, SAME).now == CHEAP.id


def test_a_request_that_nobody_may_serve_now_is_no_saving() -> None:
    ceiling = house(replace(CHEAPEST, max_cost_usd=Decimal("0.000001")))
    unpriced = house(CHEAPEST, among=catalog(replace(CHEAP, prices=PriceList(()))))

    assert unjudged(booked(), ceiling) == ("nobody_may_serve", "over_max_cost", False)
    assert unjudged(booked(), unpriced) == ("unpriced", "unpriced", False)


# Prompts that are remembered


class Memory:
    """Remembers prompts wholly and for ever, so that figures are round."""

    def __init__(self) -> None:
        self._warm: dict[int, dict[DeploymentId, int]] = {}

    def foreseen(self, profile: RequestProfile, conditions: Conditions, _: Sequence[Deployment]) -> Conditions:
        known = (self._warm.get(mark.digest, {}).items() for mark in profile.prefix)
        return replace(conditions, warm_tokens=dict(chain.from_iterable(known)))

    def observe(self, entry: LedgerEntry) -> None:
        served, profile = entry.served_by, read_profile(entry.profile_json)
        assert profile is not None
        if served is not None:
            for mark in profile.prefix:
                deployment = DeploymentId(f"{served.provider}:{served.model}")
                self._warm.setdefault(mark.digest, {})[deployment] = mark.tokens


def turn(number: int, *, cached_tokens: int) -> LedgerEntry:
    """A turn of a conversation that grows by 1,000 tokens each time, served by the dear model."""
    marks = tuple(PrefixMark(each, each * 1_000) for each in range(1, number + 1))
    profile = replace(PROFILE, input_tokens=number * 1_000, input_bytes=number * 4_000, prefix=marks)
    warm = {DEAR.id: cached_tokens} if cached_tokens else {}
    return booked(
        profile=profile,
        conditions=Conditions(NOW + timedelta(minutes=number), warm_tokens=warm),
        usage=Usage(input_tokens=number * 1_000, output_tokens=0, cached_tokens=cached_tokens),
    )


def test_prompts_are_cached_where_the_other_rules_would_have_sent_them() -> None:
    judge = judge_of(CHEAPER, memory_then=Memory(), memory_now=Memory())

    first = judge.judge(turn(1, cached_tokens=0))
    second = judge.judge(turn(2, cached_tokens=1_000))

    assert isinstance(first, Judged)
    assert isinstance(second, Judged)
    assert first.now_nano_usd == 1_000 * 1_000
    assert second.now_nano_usd == 1_000 * 1_000 + 1_000 * 100  # half of it read from the cheap model's cache


@pytest.mark.parametrize("memory", [Memory, lambda: Warmth(CATALOG)])
def test_under_the_same_rules_a_memory_changes_nothing(memory: Callable[[], PromptMemory]) -> None:
    judge = judge_of(SAME, memory_then=memory(), memory_now=memory())

    verdicts = [judge.judge(turn(1, cached_tokens=0)), judge.judge(turn(2, cached_tokens=1_000))]

    assert all(isinstance(each, Judged) and each.is_same and each.now_nano_usd == 10_200_000 for each in verdicts)


@pytest.mark.parametrize("memory", [Memory, lambda: Warmth(CATALOG)])
def test_under_the_same_rules_a_prompt_is_warm_with_whoever_answered_in_the_end(
    memory: Callable[[], PromptMemory],
) -> None:
    judge = judge_of(SAME, memory_then=memory(), memory_now=memory())
    first, second = turn(1, cached_tokens=0), turn(2, cached_tokens=0)
    checked = replace(first.attempts[0], outcome="failed_verification")
    judge.judge(replace(first, attempts=(checked, replace(checked, model=CHEAP.model.name, outcome="ok"))))

    verdict = judge.judge(second)

    assert isinstance(verdict, Judged)
    assert verdict.is_same
    assert verdict.now_nano_usd == second.cost_nano_usd


def test_the_memory_of_a_server_knows_where_the_other_rules_would_have_left_the_prompt_warm() -> None:
    judge = judge_of(CHEAPER, memory_then=Warmth(CATALOG), memory_now=Warmth(CATALOG))
    judge.judge(turn(1, cached_tokens=0))

    second = judge.judge(turn(2, cached_tokens=1_000))

    assert isinstance(second, Judged)
    assert 2_000 * 100 <= second.now_nano_usd < 2_000 * 1_000 / 2  # how far the cache is relied on is not ours to say


def test_a_call_to_the_same_model_costs_more_if_its_prompt_would_be_cold() -> None:
    longer_goes_dear = replace(CHEAPEST, candidates=(DEAR.model.name,))
    memory_then, memory_now = Memory(), Memory()
    judge_of(CHEAPER, memory_then=memory_then, memory_now=memory_now).judge(turn(1, cached_tokens=0))

    judge = judge_of(house(longer_goes_dear), memory_then=memory_then, memory_now=memory_now)
    verdict = judge.judge(turn(2, cached_tokens=1_000))

    assert isinstance(verdict, Judged)
    assert verdict.now_nano_usd == 10_200_000 + 1_000 * (10_000 - 1_000)
