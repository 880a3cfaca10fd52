"""Labels that nobody has to send: from checks, from better models that were asked, from turns that are asked again."""

from datetime import timedelta
from math import log

import pytest

from router.catalog.catalog import Capability, Catalog, Effort, ModelName, Score, Task
from router.decision.decide import decide
from router.decision.facts import PrefixMark, RequestProfile
from router.decision.policy import Policy
from router.decision.recorded import profile_json
from router.gateway.labelling import Labeller
from router.keys import TeamName
from router.learning.quality_features import features_of, named
from router.learning.rates import Rates
from router.ledger import FAILED_VERIFICATION, Attempt, LedgerEntry, Outcome
from router.quality.labels import Label, Signal
from router.quality.predictor import TablePredictor
from router.quality.verify import Check, CheckKind
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok
from tests.replacing import replace
from tests.storage.entries import AT, FLASH, GPT, attempt, entry

SEARCH = TeamName("search")
CATALOG = catalog(
    at("openrouter", model(FLASH, quality=0.8), always(per_mtok("1", "2"))),
    at("openrouter", model(GPT, quality=0.95), always(per_mtok("5", "9"))),
)
CHECKED = Policy("balanced", (FLASH, GPT), verify=(Check(CheckKind.NON_EMPTY), Check(CheckKind.NOT_TRUNCATED)))


class Desk:
    """A labeller, and what it has put."""

    def __init__(self, offered: Catalog = CATALOG, *, learns: bool = True) -> None:
        self.put: list[Label] = []
        self.rates = Rates()
        self.labeller = Labeller(
            learns=lambda _: learns,
            policies=lambda _: {"balanced": CHECKED},
            catalog=lambda: offered,
            quality=TablePredictor,
            rates=self.rates,
            put=self.put.append,
        )

    def ends(self, booked: LedgerEntry, *digests: int) -> None:
        profile = asked(*digests)
        self.labeller.observe(replace(booked, profile_json=profile_json(profile)), profile)

    @property
    def told(self) -> list[tuple[str, int, Signal, float]]:
        return [(each.request_id, each.number, each.signal, each.score) for each in self.put]


def asked(*digests: int) -> RequestProfile:
    marks = tuple(PrefixMark(digest, 100 * place) for place, digest in enumerate(digests, start=1))
    return replace(CHAT, team="search", prefix=marks)


def booked(
    request_id: str, *calls: Attempt, after: timedelta = timedelta(0), outcome: Outcome = Outcome.OK
) -> LedgerEntry:
    return entry(request_id, *calls, at=AT + after, outcome=outcome)


def test_an_answer_without_checks_says_nothing_of_itself() -> None:
    desk = Desk()
    desk.ends(booked("req_1"))

    assert desk.put == []
    assert desk.rates.week(SEARCH, AT.date()) == (1, 0, 0)


def test_checks_and_the_better_model_that_was_asked_are_labels_of_each_call() -> None:
    desk = Desk()
    failed = attempt(outcome=FAILED_VERIFICATION, verification="json_schema")
    better = attempt(model=GPT, verification="passed")
    desk.ends(booked("req_1", failed, better))

    assert desk.told == [("req_1", 1, Signal.ESCALATION, 0.0), ("req_1", 2, Signal.VERIFIER, 1.0)]
    first, second = desk.put
    assert first.checks == {"json_schema": False}
    assert second.checks == {"non_empty": True, "not_truncated": True}
    assert (first.model, second.model) == (FLASH, GPT)
    assert first.prior_logit == pytest.approx(log(0.8 / 0.2), abs=1e-4)
    assert desk.rates.week(SEARCH, AT.date()) == (1, 1, 0)


@pytest.mark.parametrize(
    ("wish", "most", "asked_for", "effort"),
    [
        (None, None, None, Effort.HIGH),
        (None, None, Effort.LOW, Effort.LOW),
        (Effort.XHIGH, None, None, Effort.XHIGH),
        (None, Effort.LOW, Effort.XHIGH, Effort.LOW),
    ],
)
def test_a_label_is_of_the_effort_that_answered_which_is_the_one_the_decision_asks_about(
    wish: Effort | None, most: Effort | None, asked_for: Effort | None, effort: Effort
) -> None:
    """The model thinks hard by default, and its figures of each effort differ."""
    scores = {each: Score(0.5 + place / 20, "test", AT.date()) for place, each in enumerate(Effort)}
    thinking = model(FLASH, capabilities=frozenset({Capability.REASONING}))
    thinking = replace(thinking, quality={}, quality_at={Task.CHAT: scores}, default_effort=Effort.HIGH)
    offered = catalog(at("openrouter", thinking, always(per_mtok("1", "2"))))
    profile = replace(asked(), effort=asked_for)
    policy = Policy("balanced", (FLASH,), reasoning_effort=wish, max_reasoning_effort=most)
    (candidate,) = decide(profile, policy, offered, NOON, quality=TablePredictor()).ranked
    desk = Desk(offered)

    desk.labeller.observe(booked("req_1", replace(attempt(verification="passed"), effort=candidate.effort)), profile)

    (label,) = desk.put
    assert label.effort is candidate.effort_in_force is effort
    assert label.prior_logit == pytest.approx(log(candidate.quality / (1 - candidate.quality)), abs=1e-4)
    assert label.features == named(features_of(profile, candidate.effort_in_force))


def test_what_could_not_be_checked_is_no_label() -> None:
    desk = Desk()
    desk.ends(booked("req_1", attempt(verification="unknown")))

    assert desk.put == []


def test_a_turn_that_is_asked_again_speaks_against_the_first_answer_once() -> None:
    desk = Desk()
    for number, minute in enumerate((0, 2, 4, 6)):
        desk.ends(booked(f"req_{number}1", after=timedelta(minutes=minute)), 1, 2, 3)

    assert desk.told == [("req_01", 1, Signal.RETRY, 0.0)]
    assert desk.rates.week(SEARCH, AT.date()).retried == 1


@pytest.mark.parametrize("after", [timedelta(seconds=3), timedelta(minutes=11)])
def test_what_is_asked_in_parallel_or_much_later_is_not_asked_again(after: timedelta) -> None:
    """The first answer took 2.5 s, so 3 s after it was asked is half a second after it came."""
    desk = Desk()
    desk.ends(booked("req_11"), 1, 2)
    desk.ends(booked("req_21", after=after), 1, 2)

    assert desk.told == []


def test_one_in_sixteen_of_the_turns_that_went_on_stands_for_all() -> None:
    desk = Desk()
    for number in range(16):
        desk.ends(booked(f"req_{number:x}"), number, 100 + number)
        desk.ends(booked(f"req_next{number:x}1", after=timedelta(minutes=1)), number, 100 + number, 200 + number, 300)

    good = [each for each in desk.put if each.score == 1]
    assert [(each.request_id, each.share) for each in good] == [("req_0", 1 / 16)]


def test_a_turn_that_nobody_came_back_to_is_told_when_it_is_over() -> None:
    desk = Desk()
    desk.ends(booked("req_0"), 1, 2)
    desk.ends(booked("req_11", after=timedelta(minutes=11)), 7, 8)

    assert desk.told == [("req_0", 1, Signal.RETRY, 1.0)]


def test_an_answer_that_broke_off_is_asked_for_again_for_that_reason() -> None:
    desk = Desk()
    desk.ends(booked("req_11", outcome=Outcome.CUT), 1, 2)
    desk.ends(booked("req_21", after=timedelta(minutes=1)), 1, 2)

    assert desk.told == []


def test_nothing_is_labelled_where_learning_is_off_nor_of_copies_nor_of_models_that_are_gone() -> None:
    off, desk = Desk(learns=False), Desk()
    passed = attempt(verification="passed")
    off.ends(booked("req_1", passed))
    desk.ends(booked("req_2", passed, outcome=Outcome.SHADOW))
    desk.ends(booked("req_3", attempt(model=ModelName("gone/gone"), verification="passed")))

    assert off.put == desk.put == []


def test_no_label_holds_text_of_the_request() -> None:
    desk = Desk()
    desk.ends(booked("req_1", attempt(verification="passed")), 1, 2)

    (label,) = desk.put
    assert set(label.features) <= {"always", "difficulty", "length", "task:chat", "depth"}
