"""Decisions on the admin port: the one object as JSON. The page is tested in tests/console."""

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from starlette.types import ASGIApp

from router.assembly.deciding import make_planner
from router.config.loader import load
from router.console.explaining import Explaining
from router.decision.explain import as_data, profile_as_data
from router.decision.facts import NO_EXPERIENCE
from router.gateway.past import DecideAgain
from router.gateway.planning import Plan, Planner
from router.keys import TeamName
from router.ledger import LedgerEntry
from router.quality.predictor import TablePredictor
from router.server.explaining import Explain
from router.storage.sqlite import SqliteStore
from router.wire.controls import NO_CONTROLS, Controls
from router.wire.requests import ChatReader
from tests.replacing import replace
from tests.server.asgi import Answer, body_in_parts, call, get, scope_of
from tests.storage.entries import entry

pytestmark = pytest.mark.anyio

CHECKOUT = Path(__file__).resolve().parents[2]
SNAPSHOT = load(CHECKOUT / "config", environment={"OPENROUTER_API_KEY": "sk-or-test"})
BODY = b'{"model": "auto", "messages": [{"role": "user", "content": "What should I call my cat?"}]}'
SEARCH = TeamName("search")


@pytest.fixture(scope="module")
def planner() -> Planner:
    return make_planner(SNAPSHOT, NO_EXPERIENCE, lambda: SNAPSHOT.catalog)


@pytest.fixture
def explaining(planner: Planner, store: SqliteStore) -> Explaining:
    again = DecideAgain(SNAPSHOT, catalog=lambda: SNAPSHOT.catalog, quality=TablePredictor())
    return Explaining(
        lambda: SNAPSHOT, planner=lambda: planner, again=lambda: again, history=store, max_body_bytes=10_000
    )


async def planned(planner: Planner, controls: Controls = NO_CONTROLS) -> Plan:
    return await planner.plan(SEARCH, ChatReader().read(BODY), controls)


def booked(plan: Plan) -> LedgerEntry:
    """The plan's request as the ledger has it once it is over."""
    encode = msgspec.json.encode
    return replace(
        entry("req_past", at=plan.conditions.now),
        alias="auto",
        policy=plan.decision.policy,
        rule=plan.decision.terms.rule,
        rejected=tuple((each.model, each.reason.value) for each in plan.decision.rejected),
        profile_json=encode(profile_as_data(plan.profile)),
        conditions_json=encode(plan.record()),
    )


async def post(app: ASGIApp, path: str, body: bytes, *, query: str = "", headers: Mapping[str, str] = {}) -> Answer:
    scope = scope_of(path, method="POST", query=query, headers=tuple(headers.items()))
    return await call(app, scope, body_in_parts(body))


async def test_a_new_request_is_explained_as_a_dry_run_would(explaining: Explaining, planner: Planner) -> None:
    answer = await post(Explain(explaining), "/admin/explain", BODY, query="team=search")

    plan = await planned(planner)
    assert answer.json == json.loads(json.dumps(as_data(plan.decision, plan.profile)))


async def test_control_headers_count_as_they_do_for_an_application(explaining: Explaining) -> None:
    headers = {"x-penstock-min-quality": "0.91"}

    answer = await post(Explain(explaining), "/admin/explain", BODY, query="team=search", headers=headers)

    assert answer.json["chosen"] == {"model": "anthropic/claude-opus-4.7", "provider": "openrouter"}


async def test_a_request_of_the_ledger_is_decided_again_in_the_conditions_of_then(
    explaining: Explaining, planner: Planner, store: SqliteStore
) -> None:
    plan = await planned(planner, Controls(min_quality=0.91))
    store.write([booked(plan)])

    answer = await get(Explain(explaining), "/admin/explain", query="request=req_past")

    then = answer.json["then"]
    assert isinstance(then, dict)
    assert (then["decided_the_same"], then["cost_usd"]) == (True, "0.000147")
    assert then["served_by"] == "openrouter:deepseek/deepseek-v4-flash"  # as the entry says, whatever was preferred
    assert then["preferred"] == ["openrouter:anthropic/claude-opus-4.7"]
    assert answer.json["chosen"] == {"model": "anthropic/claude-opus-4.7", "provider": "openrouter"}


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("request=req_none", 404, "The ledger has no request 'req_none'."),
        ("", 400, "Send ?request= with the id of a request, or POST a chat request with ?team=."),
        ("request=req_old", 400, "This request cannot be decided again: its profile was kept by another version"),
    ],
)
async def test_a_request_that_cannot_be_explained_gets_a_sentence(
    explaining: Explaining, store: SqliteStore, query: str, status: int, message: str
) -> None:
    store.write([entry("req_old")])

    answer = await get(Explain(explaining), "/admin/explain", query=query)

    assert answer.status == status
    assert str(answer.error["message"]).startswith(message)


async def test_a_team_that_is_not_there_is_refused_with_those_there_are(explaining: Explaining) -> None:
    answer = await post(Explain(explaining), "/admin/explain", BODY, query="team=nobody")

    assert answer.error["message"] == "There is no team 'nobody'. Send ?team= with one of: research, search."


async def test_the_json_tells_of_every_call_how_its_answer_was_verified(
    explaining: Explaining, planner: Planner, store: SqliteStore
) -> None:
    store.write([booked(await planned(planner))])

    then = (await get(Explain(explaining), "/admin/explain", query="request=req_past")).json["then"]

    assert isinstance(then, dict)
    assert then["calls"] == 1
    assert then["attempts"] == [
        {
            "model": "deepseek/deepseek-v4-flash",
            "provider": "openrouter",
            "outcome": "ok",
            "verification": None,
            "cost_usd": "0.000147",
            "cost_from": "reported",
            "duration_s": 2.0,
        }
    ]
