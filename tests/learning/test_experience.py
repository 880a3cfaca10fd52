"""What ledger entries teach, and what is kept of it between two processes."""

import json
from pathlib import Path

import anyio
import pytest

from router.catalog.catalog import ModelName
from router.decision.explain import profile_as_data
from router.decision.facts import Latency
from router.learning.experience import LearnedExperience
from router.learning.keeping import Keeper
from router.ledger import FAILED_VERIFICATION, Attempt, LedgerEntry, Outcome
from router.storage.errors import StoreUnavailable
from router.storage.sqlite import SqliteStore
from router.units import Usage
from tests.decision.builders import CHAT, always, at, catalog, model, per_mtok
from tests.replacing import replace
from tests.storage.entries import AT, attempt, entry

ASKED = replace(CHAT, team="search")
FLASH = at("cloud", model("flash", token_ratio=1.1), always(per_mtok("1", "2")))
NO_CATALOG = catalog()
USED = Usage(input_tokens=1_250, output_tokens=100, reasoning_tokens=40)


def call(**changes: object) -> Attempt:
    usual = attempt(model=FLASH.model.name, provider=FLASH.provider.name, usage=USED)
    return replace(usual, first_token_s=0.5, duration_s=1.5, finish_reason="stop", **changes)


def booked(*calls: Attempt, outcome: Outcome = Outcome.OK) -> LedgerEntry:
    return replace(entry("req_1", *calls, outcome=outcome), profile_json=_profile())


def _profile(team: str = "search") -> bytes:
    return json.dumps(profile_as_data(replace(ASKED, team=team))).encode()


def experienced(*entries: LedgerEntry) -> LearnedExperience:
    experience = LearnedExperience({FLASH.model.name: 1.1})
    for each in entries:
        experience.observe(each)
    return experience


def answers(experience: LearnedExperience) -> tuple[object, ...]:
    return (
        experience.input_ratio(FLASH.model, ASKED),
        experience.output(FLASH, ASKED, None),
        experience.latency(FLASH, ASKED),
    )


def test_at_first_everything_is_as_the_catalog_and_the_priors_say() -> None:
    assert answers(experienced()) == (1.1, (350, 0), None)


def test_entries_teach_tokens_answers_and_pace() -> None:
    ratio, output, latency = answers(experienced(*[booked(call())] * 300))

    assert ratio == pytest.approx(1.25, abs=0.005)
    assert output == (pytest.approx(100, abs=3), pytest.approx(40, abs=3))
    assert isinstance(latency, Latency)
    assert latency.first_token_s == pytest.approx(0.5, rel=0.05)
    assert latency.output_tokens_per_s == pytest.approx(100, rel=0.05)


def test_of_four_streams_no_pace_is_told() -> None:
    assert experienced(*[booked(call())] * 4).latency(FLASH, ASKED) is None


def test_one_teams_slow_streams_do_not_make_a_deployment_slow_for_another() -> None:
    slow = replace(booked(replace(call(), first_token_s=60.0, duration_s=61.0)), profile_json=_profile(team="evil"))

    mine = experienced(*[booked(call())] * 50, *[slow] * 500)
    few = experienced(*[booked(call())] * 6, *[slow] * 50)

    assert mine.latency(FLASH, ASKED) == experienced(*[booked(call())] * 50).latency(FLASH, ASKED)
    told = few.latency(FLASH, ASKED)
    assert told is not None
    assert 0.5 < told.first_token_s < 60  # leans on what everybody has seen
    assert few.latency(FLASH, replace(ASKED, team="new")) == experienced(*[booked(call())] * 6, *[slow] * 50).latency(
        FLASH, replace(ASKED, team="newer")
    )


def test_an_entry_teaches_the_same_whether_its_profile_is_read_again_or_at_hand() -> None:
    at_hand = LearnedExperience({FLASH.model.name: 1.1})
    for outcome in (Outcome.OK, Outcome.CUT, Outcome.FAILED):
        at_hand.learn(booked(call(), outcome=outcome), ASKED)

    read_again = experienced(
        *(booked(call(), outcome=outcome) for outcome in (Outcome.OK, Outcome.CUT, Outcome.FAILED))
    )

    assert list(at_hand.as_data()) == list(read_again.as_data())


@pytest.mark.parametrize(("cut", "outcome"), [("length", Outcome.OK), (None, Outcome.CLIENT_GONE), (None, Outcome.CUT)])
def test_an_answer_that_did_not_end_by_itself_says_at_least(cut: str | None, outcome: Outcome) -> None:
    whole = experienced(*[booked(call())] * 50).output(FLASH, ASKED, None).output_tokens
    at_least = replace(call(), finish_reason=cut)

    assert experienced(*[booked(at_least, outcome=outcome)] * 50).output(FLASH, ASKED, None).output_tokens > 2 * whole


def test_an_answer_that_failed_a_check_is_as_long_as_it_is() -> None:
    failed = booked(replace(call(), outcome=FAILED_VERIFICATION), call())

    assert answers(experienced(*[failed] * 50)) == answers(experienced(*[booked(call(), call())] * 50))


@pytest.mark.parametrize(
    "silent",
    [
        booked(replace(call(), usage=None)),
        booked(),
        replace(booked(call()), profile_json=b"{}"),
        replace(booked(call()), profile_json=b"not JSON"),
        booked(replace(call(), usage=Usage(input_tokens=0, output_tokens=0))),
    ],
)
def test_an_entry_without_usage_or_profile_teaches_nothing(silent: LedgerEntry) -> None:
    silent = replace(silent, attempts=tuple(each for each in silent.attempts if each.model == FLASH.model.name))

    experience = experienced(silent)

    assert answers(experience) == answers(experienced())
    assert experience.lessons == 0


def test_the_answer_of_a_call_that_ended_in_an_error_is_not_a_length() -> None:
    failed = replace(call(), finish_reason="error")

    assert experienced(*[booked(failed)] * 50).output(FLASH, ASKED, None) == (350, 0)


def test_a_name_that_stands_for_another_model_is_forgotten() -> None:
    experience = experienced(*[booked(call())] * 50)

    experience.forget(FLASH.model.name)

    assert experience.input_ratio(FLASH.model, ASKED) == 1.1
    assert experience.latency(FLASH, ASKED) is None


def test_what_was_learned_is_there_after_a_restart(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    experience, again = experienced(*[booked(call())] * 20), experienced()
    keeper = Keeper(experience, store, now=lambda: AT)

    anyio.run(keeper.save)
    Keeper(again, store, now=lambda: AT).load(NO_CATALOG)

    assert answers(again) == answers(experience)
    experience.observe(booked(call()))
    again.observe(booked(call()))
    assert answers(again) == answers(experience)


@pytest.mark.parametrize(("version", "is_kept"), [("v4", True), ("v4.1", False)])
def test_what_was_learned_of_a_version_that_is_gone_is_dropped_at_a_restart_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, version: str, is_kept: bool
) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    experience, again = experienced(*[booked(call())] * 50), experienced()
    experience.meet(catalog(replace(FLASH, version="v4")))
    anyio.run(Keeper(experience, store, now=lambda: AT).save)

    Keeper(again, store, now=lambda: AT).load(catalog(replace(FLASH, version=version)))

    before = answers(experience)
    if not is_kept:
        experience.forget(FLASH.model.name)
    assert answers(again) == answers(experience)
    assert (answers(again) == before) is is_kept
    told = f"what was learned of {FLASH.model.name} is dropped: its name stands for another version now"
    assert caplog.messages == ([] if is_kept else [told])


def test_who_has_learned_nothing_writes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    rich, poor = experienced(booked(call())), experienced()
    keeper = Keeper(poor, store, now=lambda: AT)
    anyio.run(Keeper(rich, store, now=lambda: AT).save)
    kept = store.learned("experience")

    anyio.run(keeper.save)

    assert store.learned("experience") == kept


@pytest.mark.parametrize(
    "damaged", [b"", b"[]", b'{"version":2,"pieces":[["output",[1]]]}', b'{"version":99,"pieces":[]}', b"\xff"]
)
def test_what_cannot_be_read_is_learned_anew(tmp_path: Path, damaged: bytes) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    store.keep_learned("experience", damaged, AT)
    experience = experienced()

    Keeper(experience, store, now=lambda: AT).load(NO_CATALOG)

    assert answers(experience) == answers(experienced())


def test_a_store_that_is_away_costs_no_lesson(tmp_path: Path) -> None:
    class Away:
        is_away = True
        content: bytes | None = None

        def learned(self, name: str) -> bytes | None:
            return self.content

        def keep_learned(self, name: str, content: bytes, at: object) -> None:
            if self.is_away:
                raise StoreUnavailable("away")
            self.content = content

    shelf = Away()
    keeper = Keeper(experienced(booked(call())), shelf, now=lambda: AT)

    anyio.run(keeper.save)
    assert shelf.content is None
    shelf.is_away = False
    anyio.run(keeper.save)

    assert shelf.content is not None


def test_thousands_of_models_do_not_fill_the_memory() -> None:
    experience = experienced()
    for number in range(4_000):
        experience.observe(booked(replace(call(), model=ModelName(f"m{number}"))))

    assert sum(1 for kind, _ in experience.as_data() if kind == "output") == 3_000
