"""Who may score what, until when, how often."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from router.apis import Api
from router.catalog.catalog import ModelName
from router.decision.decide import decide
from router.decision.recorded import profile_json, record_of
from router.errors import InvalidRequest, RateLimited, UnknownRequest
from router.gateway.feedback import MOST_PER_MINUTE, WINDOW, Feedback, Taken
from router.gateway.labelling import Labeller
from router.keys import Caller, KeyId, KeyScope, TeamName
from router.learning.rates import Rates
from router.ledger import FAILED_VERIFICATION, Attempt, LedgerEntry, Outcome
from router.quality.labels import Verdict
from router.quality.predictor import TablePredictor
from router.storage.sqlite import SqliteStore
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace
from tests.storage.entries import AT, FLASH, attempt, entry

pytestmark = pytest.mark.anyio

SEARCH = Caller(TeamName("search"), KeyId("00c0ffee00c0ffee"))
DRAWN, OTHER = FLASH, ModelName("openai/gpt-5.5")
CATALOG = catalog(
    at("openrouter", model(FLASH, quality=0.8), always(per_mtok("1", "2"))),
    at("openrouter", model(OTHER, quality=0.9), always(per_mtok("10", "20"))),
)
DECISION = decide(CHAT, policy(FLASH), CATALOG, NOON, quality=TablePredictor())
EXPLORED = decide(CHAT, replace(policy(FLASH, OTHER), explore=0.1), CATALOG, NOON, quality=TablePredictor())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Desk:
    """Feedback with a clock that is moved by hand, and what it has counted."""

    def __init__(self, directory: Path) -> None:
        self.store = SqliteStore(directory / "penstock.sqlite")
        self.now = AT + timedelta(minutes=1)
        self.counted: list[tuple[str, str, str]] = []
        self.slept_s = 0.0
        self.before_sleep: list[LedgerEntry] = []
        labeller = Labeller(
            learns=lambda _: True,
            policies=lambda _: {},
            catalog=lambda: CATALOG,
            quality=TablePredictor,
            rates=Rates(),
            put=lambda _: None,
        )
        self.feedback = Feedback(
            self.store,
            labeller,
            learns=lambda _: True,
            now=lambda: self.now,
            sleep=self._sleep,
            counted=lambda *told: self.counted.append(told),
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.store.write(self.before_sleep)

    async def score(self, request_id: str = "req_1", score: float = 1, *, caller: Caller = SEARCH) -> Taken:
        return await self.feedback.take(caller, json.dumps({"request_id": request_id, "score": score}).encode())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def answered(request_id: str = "req_1", **changes: object) -> LedgerEntry:
    kept: Mapping[str, object] = {
        "profile_json": profile_json(replace(CHAT, team="search")),
        "conditions_json": msgspec.json.encode(record_of(DECISION, NOON)),
    }
    return replace(entry(request_id), **{**kept, **changes})


async def test_a_key_that_may_not_ask_all_that_its_team_may_scores_its_own_requests_alone(desk: Desk) -> None:
    """What it says is learned from, for every key of the team."""
    own = answered().key_id
    desk.store.write([answered()])

    for scope in (
        KeyScope(apis=frozenset({Api.EMBEDDINGS})),
        KeyScope(models=frozenset()),
        KeyScope(aliases=frozenset()),
    ):
        with pytest.raises(UnknownRequest):
            await desk.score(caller=Caller(SEARCH.team, KeyId("0" * 16), scope))
        assert (await desk.score(caller=Caller(SEARCH.team, own, scope))).request_id == "req_1"
    assert (await desk.score(caller=Caller(SEARCH.team, KeyId("0" * 16), KeyScope()))).request_id == "req_1"


async def test_the_last_score_counts_and_the_same_again_changes_nothing(desk: Desk) -> None:
    desk.store.write([answered()])

    told = [await desk.score(score=score) for score in (1, 1, 0)]

    assert [(each.verdict, each.is_new) for each in told] == [
        (Verdict.GOOD, True),
        (Verdict.GOOD, False),
        (Verdict.BAD, True),
    ]
    assert desk.counted == [("search", FLASH, "good"), ("search", FLASH, "bad")]
    ((_, kept),) = desk.store.labels_after(0, 10)
    assert kept is not None
    assert kept.score == 0


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ((DRAWN,), 0.9),
        ((OTHER,), None),  # the one drawn was passed over: no money was left for it, say, or it had just failed
        ((attempt(model=DRAWN, outcome="upstream_503"), OTHER), None),
        ((attempt(model=DRAWN, outcome=FAILED_VERIFICATION), OTHER), None),
    ],
)
async def test_a_label_has_the_probability_of_the_lot_only_if_it_is_of_the_model_drawn(
    desk: Desk, calls: tuple[ModelName | Attempt, ...], expected: float | None
) -> None:
    attempts = tuple(each if isinstance(each, Attempt) else attempt(model=each) for each in calls)
    kept = msgspec.json.encode(record_of(EXPLORED, NOON))
    desk.store.write([answered(attempts=attempts, conditions_json=kept)])

    await desk.score()

    ((_, label),) = desk.store.labels_after(0, 10)
    assert label is not None
    assert (label.model, label.propensity) == (attempts[-1].model, expected)


async def test_an_answer_of_a_moment_ago_is_waited_for(desk: Desk) -> None:
    desk.before_sleep = [answered()]

    assert (await desk.score()).is_new
    assert desk.slept_s < 0.1


async def test_another_teams_answer_is_not_there_and_takes_as_long_as_none(desk: Desk) -> None:
    desk.store.write([answered()])
    other = Caller(TeamName("research"), KeyId("00c0ffee00c0ffef"))

    with pytest.raises(UnknownRequest):
        await desk.score(caller=other)
    theirs_s, desk.slept_s = desk.slept_s, 0.0
    with pytest.raises(UnknownRequest):
        await desk.score("req_9", caller=other)

    assert theirs_s == desk.slept_s > 0
    assert desk.store.labels_after(0, 10) == []


async def test_answers_are_scored_within_thirty_days(desk: Desk) -> None:
    desk.store.write([answered()])

    desk.now = AT + WINDOW
    assert (await desk.score()).is_new
    desk.now += timedelta(seconds=1)
    with pytest.raises(InvalidRequest) as refused:
        await desk.score(score=0)
    assert refused.value.code == "too_old"


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.FAILED, Outcome.CACHED, Outcome.SHADOW, Outcome.LOST])
async def test_what_no_model_answered_has_nothing_to_score(desk: Desk, outcome: Outcome) -> None:
    desk.store.write([answered(outcome=outcome)])

    with pytest.raises(InvalidRequest) as refused:
        await desk.score()
    assert refused.value.code == "not_answered"


async def test_scores_of_a_team_are_bounded_by_the_minute(desk: Desk) -> None:
    desk.store.write([answered()])
    for _ in range(MOST_PER_MINUTE):
        await desk.score()

    with pytest.raises(RateLimited) as refused:
        await desk.score()
    assert refused.value.retry_after_s == 60
    desk.now += timedelta(minutes=1)
    assert not (await desk.score()).is_new


async def test_a_clock_that_is_put_back_keeps_nobody_out_for_longer_than_a_minute(desk: Desk) -> None:
    desk.store.write([answered()])
    desk.now += timedelta(hours=1)
    for _ in range(MOST_PER_MINUTE):
        await desk.score()

    desk.now -= timedelta(hours=1)

    assert not (await desk.score()).is_new


async def test_a_request_that_another_version_kept_is_scored_in_vain(desk: Desk) -> None:
    desk.store.write([answered(conditions_json=b"")])

    told = await desk.score()

    assert not told.is_learned
    assert desk.store.labels_after(0, 10) == []
