"""A share of conversations goes to the second choice; new kinds of work start at the best; both decided alike again."""

from decimal import Decimal
from math import sqrt

import msgspec
import pytest

from router.catalog.catalog import Effort, Model, ModelName
from router.decision.decide import ENOUGH_JUDGED, Decision, decide
from router.decision.explain import as_data, notes
from router.decision.facts import NoExperience, RequestProfile, Tightening
from router.decision.policy import Policy, QualityFloor, Start
from router.decision.recorded import read_record, record_of, remembered
from router.quality.predictor import Lesson, TablePredictor
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace

CHEAP, MIDDLE, BEST = (
    at("cloud", model(name, quality=quality), always(per_mtok(usd, usd)))
    for name, quality, usd in (("cheap", 0.6, "1"), ("middle", 0.7, "5"), ("best", 0.9, "10"))
)
TWIN = at("other", CHEAP.model, always(per_mtok("2", "2")))  # the same model elsewhere: nothing to learn from
CATALOG = catalog(CHEAP, TWIN, MIDDLE, BEST)
EXPLORING = replace(policy("cheap", "middle", "best"), explore=0.1)


class Judged(NoExperience):
    """An experience with so many labels of any kind of work."""

    def __init__(self, labels: float) -> None:
        self._labels = labels

    def judged(self, _: RequestProfile) -> float:
        return self._labels

    def quality(self, _: Model, __: RequestProfile, ___: Effort | None) -> Lesson:
        return Lesson(0.1, 0.01, self._labels)


def decided(policy: Policy, *, seed: int = 0, judged: float = 0, tightening: Tightening | None = None) -> Decision:
    conditions = replace(NOON, seed=seed, experience=Judged(judged))
    return decide(CHAT, policy, CATALOG, conditions, quality=TablePredictor(), tightening=tightening or Tightening())


def first(decision: Decision) -> ModelName:
    assert decision.chosen is not None
    return decision.chosen.deployment.model.name


def test_the_share_goes_to_the_next_model_and_its_probability_is_told() -> None:
    drawn = [decided(EXPLORING, seed=seed) for seed in range(4_000)]

    explored = [each for each in drawn if first(each) == "middle"]
    assert abs(len(explored) - 400) < 5 * sqrt(4_000 * 0.1 * 0.9)
    assert {each.propensity for each in explored} == {0.1}
    assert {each.propensity for each in drawn if first(each) == "cheap"} == {0.9}
    assert {len(each.ranked) for each in drawn} == {4}


def test_the_notes_tell_who_is_explored_with_what_probability_and_whether_in_this_conversation() -> None:
    told = {notes(each)[0]: first(each) for each in (decided(EXPLORING, seed=seed) for seed in range(100))}

    draw = "explore: in 0.1 of all conversations cloud:middle goes first, to be judged, instead of cloud:cheap"
    assert told == {
        f"{draw}; in this one cloud:cheap does (a probability of 0.9)": "cheap",
        f"{draw}; in this one cloud:middle does (a probability of 0.1)": "middle",
    }


def test_the_data_of_a_decision_tell_who_is_explored() -> None:
    told = [as_data(decided(EXPLORING, seed=seed), CHAT) for seed in range(100)]

    for each in told:
        is_drawn = each["chosen"]["model"] == "middle"
        assert each["propensity"] == (0.1 if is_drawn else 0.9)
        assert each["exploration"] == {
            "tries": "cloud:middle",
            "instead_of": "cloud:cheap",
            "share": 0.1,
            "is_drawn": is_drawn,
        }
    assert {each["chosen"]["model"] for each in told} == {"cheap", "middle"}


def test_of_new_work_it_tells_that_whom_it_would_choose_later_is_explored() -> None:
    drawn = decided(replace(EXPLORING, start=Start.STRONG)).exploration

    assert drawn is not None
    assert (drawn.other.id, drawn.usual.id) == ("cloud:cheap", "cloud:best")


def test_without_a_share_or_without_a_second_model_nothing_is_drawn() -> None:
    assert decided(replace(EXPLORING, explore=0.0)).propensity is None
    assert decided(replace(EXPLORING, candidates=(ModelName("cheap"),))).propensity is None


@pytest.mark.parametrize(
    "tightening", [Tightening(max_cost_usd=Decimal("0.012")), Tightening(min_quality=0.65), Tightening(min_quality=0.8)]
)
def test_what_a_request_excludes_is_not_tried(tightening: Tightening) -> None:
    allowed = {
        each.deployment.model.name for each in decided(policy("cheap", "middle", "best"), tightening=tightening).ranked
    }

    tried = {first(decided(EXPLORING, seed=seed, tightening=tightening)) for seed in range(300)}

    assert tried <= allowed
    assert allowed < {"cheap", "middle", "best"}


def test_what_a_floor_excludes_is_not_tried() -> None:
    strict = replace(EXPLORING, floor=QualityFloor(0.65))

    assert {first(decided(strict, seed=seed)) for seed in range(300)} == {"middle", "best"}


def test_a_conversation_stays_where_it_was_drawn_and_who_decides_again_draws_the_same() -> None:
    for seed in range(50):
        conditions = replace(NOON, seed=seed, experience=remembered(Judged(10)))
        once = decide(CHAT, EXPLORING, CATALOG, conditions, quality=TablePredictor())
        record = read_record(msgspec.json.encode(record_of(once, conditions)))

        assert record is not None
        assert record.propensity == once.propensity
        again = decide(CHAT, EXPLORING, CATALOG, record.conditions(NOON), quality=TablePredictor())
        assert again == once


def test_new_kinds_of_work_start_at_the_best_and_earn_their_way_down() -> None:
    careful = replace(policy("cheap", "middle", "best"), start=Start.STRONG)

    below, enough = decided(careful, judged=ENOUGH_JUDGED - 1), decided(careful, judged=ENOUGH_JUDGED)

    assert (first(below), below.is_new_work) == ("best", True)
    assert (first(enough), enough.is_new_work) == ("cheap", False)
    assert first(decided(policy("cheap", "middle", "best"))) == "cheap"


def test_while_it_starts_at_the_best_it_tries_whom_it_would_choose_later() -> None:
    careful = replace(EXPLORING, start=Start.STRONG)

    assert {first(decided(careful, seed=seed)) for seed in range(300)} == {"best", "cheap"}


def test_how_much_had_been_judged_is_kept_with_the_decision() -> None:
    careful = replace(policy("cheap", "best"), start=Start.STRONG)
    conditions = replace(NOON, experience=remembered(Judged(7)))
    once = decide(CHAT, careful, CATALOG, conditions, quality=TablePredictor())

    record = record_of(once, conditions)

    assert record.answers is not None
    assert record.answers.judged == 7
    later = record.conditions(replace(NOON, experience=Judged(1_000)))
    assert decide(CHAT, careful, CATALOG, later, quality=TablePredictor()) == once


def test_money_that_is_spent_ends_both() -> None:
    downgraded = replace(EXPLORING, start=Start.STRONG).downgraded()

    assert {first(decided(downgraded, seed=seed)) for seed in range(100)} == {"cheap"}
