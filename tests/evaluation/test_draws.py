"""What of a ledger with scores may be judged by: the lots that were drawn, whom against, and what is only counted."""

from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace as with_changes

from router.catalog.catalog import Task
from router.decision.decide import ENOUGH_JUDGED, decide
from router.decision.facts import NoExperience, RequestProfile
from router.decision.policy import Policy, Start
from router.decision.recorded import record_of, remembered
from router.evaluation.draws import Draws, Unused, draws_between, read_draws
from router.keys import TeamName
from router.ledger import FAILED_VERIFICATION, LedgerEntry, Outcome, Period
from router.quality.labels import Label, Signal
from router.quality.predictor import TablePredictor
from router.storage.store import Store
from router.units import CostSource
from tests.decision.builders import NOON
from tests.evaluation.ledgers import CATALOG, EXPLORING, FLASH, GPT, NOW, PRO, asked, call_of, profile_of, scored, world
from tests.replacing import replace

ALL = Period(None, NOW + timedelta(days=1))
PROFILE = profile_of(Task.CHAT, difficulty=0.5)
CERTAIN = replace(EXPLORING, explore=0.0)


def entry_that_went(to: str, **changes: object) -> LedgerEntry:
    """The first request whose lot sends it there."""
    return next(one for one in (asked(number, PROFILE) for number in range(1_000)) if one.attempts[0].model == to)


def read(store: Store, entries: list[LedgerEntry], labels: list[Label], period: Period = ALL) -> Draws:
    store.write(entries)
    store.keep_labels(labels)
    return read_draws(store, store, period)


def test_a_scored_request_is_kept_with_whom_it_was_drawn_against_and_how_likely_that_was(any_store: Store) -> None:
    usual, explored = entry_that_went(FLASH), entry_that_went(GPT)

    found = read(any_store, [usual, explored], [scored(usual, 0.25), scored(explored, 1.0)])

    told = {(each.went, each.probability(FLASH, GPT), each.score, each.nano_usd) for each in found.draws}
    assert told == {(FLASH, 0.8, 0.25, 100_000), (GPT, 0.2, 1.0, 1_000_000)}
    assert [each.among for each in found.draws] == [{FLASH: 0.8, GPT: 0.2}] * 2
    assert {each.profile.signals.difficulty_logit for each in found.draws} == {0.5}
    assert (found.requests, found.scored, dict(found.drawn)) == (2, 2, {(FLASH, GPT): 1, (GPT, FLASH): 1})


def test_only_the_time_and_the_team_asked_for_are_read(any_store: Store) -> None:
    entries, labels = world(20)
    other = with_changes(asked(100, PROFILE), team=TeamName("ads"))
    middle = Period(entries[5].at, entries[15].at, TeamName("search"))

    found = read(any_store, [*entries, other], [*labels, scored(other, 1.0)], middle)

    assert (found.requests, found.scored, len(found.draws)) == (10, 10, 10)


def test_requests_without_a_score_are_counted_and_say_how_many_of_the_drawn_were_scored(any_store: Store) -> None:
    entries, labels = world(50)

    found = read(any_store, entries, labels[:20])

    assert (found.requests, found.scored, len(found.draws), found.drawn.total()) == (50, 20, 20, 50)


def test_what_checks_and_retries_say_is_no_score(any_store: Store) -> None:
    one = asked(1, PROFILE)

    found = read(any_store, [one], [scored(one, 0.0, signal=each) for each in (Signal.RETRY, Signal.VERIFIER)])

    assert (found.requests, found.scored, found.draws) == (1, 0, [])


def test_of_an_escalated_request_the_one_drawn_is_bad_and_both_outcomes_are_known(any_store: Store) -> None:
    one = entry_that_went(FLASH)
    failed = call_of(FLASH, outcome=FAILED_VERIFICATION, verification="json_schema")
    escalated = with_changes(one, attempts=(failed, call_of(GPT)))

    found = read(any_store, [escalated], [scored(escalated, 1.0, number=2)])

    (draw,) = found.draws
    assert (draw.went, draw.score, draw.nano_usd, found.escalated) == (FLASH, 0.0, 100_000, 1)


def test_an_answer_that_failed_a_check_and_was_given_all_the_same_has_the_clients_score(any_store: Store) -> None:
    one = with_changes(
        entry_that_went(FLASH), attempts=(call_of(FLASH, outcome=FAILED_VERIFICATION, verification="regex"),)
    )

    found = read(any_store, [one], [scored(one, 0.9)])

    assert ([each.score for each in found.draws], found.escalated) == ([0.9], 0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"attempts": (call_of(GPT),)}, Unused.OTHER_ANSWERED),
        ({"attempts": (call_of(FLASH, outcome="upstream_503"), call_of(GPT))}, Unused.OTHER_ANSWERED),
        ({"attempts": (with_changes(call_of(FLASH), source=CostSource.HELD),)}, Unused.IN_DOUBT),
        ({"conditions_json": b"{}"}, Unused.UNREADABLE),
        ({"profile_json": b"[]"}, Unused.UNREADABLE),
    ],
)
def test_what_does_not_tell_the_two_apart_is_counted_with_the_reason(
    any_store: Store, changes: dict[str, object], why: Unused
) -> None:
    one = entry_that_went(FLASH)
    number = len(changes.get("attempts", "x"))  # type: ignore[arg-type] # the answer that was given
    label = scored(with_changes(one, attempts=(call_of(GPT),) * number), 1.0, number=number)

    found = read(any_store, [with_changes(one, **changes)], [label])

    assert (found.draws, dict(found.unused), found.scored) == ([], {why: 1}, 1)


def test_a_certain_decision_says_nothing_of_the_other_model(any_store: Store) -> None:
    one = asked(1, PROFILE, rules=CERTAIN)

    found = read(any_store, [one], [scored(one, 1.0)])

    assert (found.draws, dict(found.unused)) == ([], {Unused.NOT_DRAWN: 1})


def test_shadow_copies_and_requests_without_an_answer_are_none_of_the_requests(any_store: Store) -> None:
    shadow = with_changes(asked(1, PROFILE), outcome=Outcome.SHADOW)
    refused = with_changes(asked(2, PROFILE), outcome=Outcome.REFUSED, attempts=())

    found = read(any_store, [shadow, refused], [])

    assert (found.requests, found.shadows) == (0, 1)


class _Judged(NoExperience):
    def __init__(self, labels: float) -> None:
        self._labels = labels

    def judged(self, _: RequestProfile) -> float:
        return self._labels


def drawn_from(store: Store, rules: Policy, *, judged: float, is_old: bool) -> dict[str, list[dict[str, float]]]:
    """By who went first: from whom 200 requests were drawn. Old ones were kept before that was in the record."""
    told: dict[str, list[dict[str, float]]] = {}
    entries = []
    for seed in range(200):
        conditions = replace(NOON, seed=seed, experience=remembered(_Judged(judged)))
        decision = decide(PROFILE, rules, CATALOG, conditions, quality=TablePredictor())
        record = record_of(decision, conditions)
        kept = msgspec.json.encode(with_changes(record, drawn_from={}) if is_old else record)
        assert decision.chosen is not None
        went = decision.chosen.deployment.model.name
        entries.append(with_changes(asked(seed, PROFILE), attempts=(call_of(went),), conditions_json=kept))
    for draw in read(store, entries, [scored(each, 1.0) for each in entries]).draws:
        known: dict[str, float] = {name: round(chance, 6) for name, chance in draw.among.items()}
        if known not in told.setdefault(draw.went, []):
            told[draw.went].append(known)
    return told


@pytest.mark.parametrize("judged", [0.0, ENOUGH_JUDGED])
@pytest.mark.parametrize("start", Start)
@pytest.mark.parametrize("is_old", [False, True])
def test_whom_it_was_drawn_against_is_whom_the_other_lot_would_have_chosen(
    any_store: Store, start: Start, judged: float, is_old: bool
) -> None:
    rules = replace(EXPLORING, candidates=(FLASH, PRO, GPT), start=start)

    told = drawn_from(any_store, rules, judged=judged, is_old=is_old)

    # New work that starts strong is drawn against whom the objective would choose, which old records do not have.
    is_new_work = start is Start.STRONG and judged < ENOUGH_JUDGED
    usual, tried = (GPT, FLASH) if is_new_work else (FLASH, PRO)
    among = [{usual: 0.8, tried: 0.2}]
    assert told == ({tried: among} if is_old and is_new_work else {usual: among, tried: among})


def test_of_an_experiment_by_weights_every_arm_is_known_with_its_probability(any_store: Store) -> None:
    # A tenth is left to the objective, whose choice is the cheapest: it goes there with 0.3 + 0.1.
    rules = replace(
        EXPLORING, candidates=(FLASH, PRO, GPT), explore=0.0, weights=((FLASH, 0.3), (PRO, 0.2), (GPT, 0.4))
    )

    told = drawn_from(any_store, rules, judged=0.0, is_old=False)

    among = [{FLASH: 0.4, PRO: 0.2, GPT: 0.4}]
    assert told == {FLASH: among, PRO: among, GPT: among}


def test_two_arms_of_three_are_compared_by_how_likely_each_was_of_the_two(any_store: Store) -> None:
    rules = replace(
        EXPLORING, candidates=(FLASH, PRO, GPT), explore=0.0, weights=((FLASH, 0.3), (PRO, 0.2), (GPT, 0.5))
    )
    entries = [asked(number, PROFILE, rules=rules) for number in range(50)]

    between = draws_between(read(any_store, entries, [scored(each, 1.0) for each in entries]), FLASH, PRO)

    assert {(each.went, round(each.probability(FLASH, PRO), 6)) for each in between} == {(FLASH, 0.6), (PRO, 0.4)}
