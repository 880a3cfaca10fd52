"""Decisions on the admin port: the one object as JSON, and the same as a page."""

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest
from starlette.types import ASGIApp

from router.assembly.deciding import make_planner
from router.catalog.catalog import ModelName
from router.config.loader import load
from router.decision.explain import as_data, profile_as_data
from router.decision.facts import NO_EXPERIENCE
from router.gateway.past import DecideAgain
from router.gateway.planning import Plan, Planner
from router.keys import TeamName
from router.ledger import LedgerEntry
from router.quality.predictor import TablePredictor
from router.server.explaining import Explain, Explaining, ExplainPage
from router.storage.sqlite import SqliteStore
from router.wire.controls import NO_CONTROLS, Controls
from router.wire.requests import ChatReader
from tests.replacing import replace
from tests.server.asgi import Answer, body_in_parts, call, get, scope_of
from tests.server.conftest import NOW
from tests.server.test_console import EVIL, Page
from tests.storage.entries import attempt, entry

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
    return Explaining(SNAPSHOT, planner=planner, again=again, history=store, max_body_bytes=10_000)


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


def page_for(explaining: Explaining) -> ExplainPage:
    return ExplainPage(explaining, now=lambda: NOW, version="0.1.0", config_version="0123456789ab")


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


async def test_the_page_offers_both_questions(explaining: Explaining) -> None:
    answer = await get(page_for(explaining), "/explain")

    page = Page(answer.body.decode())
    names = [fields["name"] for tag, fields in page.elements if tag in ("select", "textarea", "input")]
    assert (answer.status, names) == (200, ["team", "body", "request"])


async def test_the_page_shows_the_eligible_and_the_rejected(explaining: Explaining) -> None:
    form = urlencode({"team": "search", "body": BODY.decode()}).encode()

    answer = await post(page_for(explaining), "/explain", form)

    cells = Page(answer.body.decode()).cells
    first = cells.index("1 ←")
    assert cells[first + 1 : first + 4] == [
        "deepseek/deepseek-v4-flash",
        "openrouter",
        "0.892",
    ]  # 0.864 but for the words
    assert "deepseek:deepseek/deepseek-v4-flash" in cells[cells.index("Rejected") :]


async def test_the_page_shows_what_became_of_a_request(
    explaining: Explaining, planner: Planner, store: SqliteStore
) -> None:
    failed = attempt(outcome="failed_verification", verification="json")
    answered = attempt(model=ModelName("openai/gpt-5.5"), verification="passed")
    store.write([replace(booked(await planned(planner)), attempts=(failed, answered))])

    answer = await get(page_for(explaining), "/explain", query="request=req_past")

    cells = Page(answer.body.decode()).cells
    assert cells[0] == "version 0.1.0 · configuration 0123456789ab · 2026-11-23 09:30:00 UTC"
    assert cells[cells.index("decided the same") + 1] == "yes"
    calls = cells.index("Calls then") + 1
    assert cells[calls : calls + 14] == [
        *("deepseek/deepseek-v4-flash", "openrouter", "failed_verification", "json", "0.000147", "reported", "2.00"),
        *("openai/gpt-5.5", "openrouter", "ok", "passed", "0.000147", "reported", "2.00"),
    ]


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


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"team": "search", "body": EVIL}, 400),
        ({"team": EVIL, "body": BODY.decode()}, 400),
        ({"request": EVIL}, 404),
        ({str(number): "x" for number in range(11)}, 400),
    ],
)
async def test_what_is_wrong_is_said_on_the_page_as_text(
    explaining: Explaining, form: Mapping[str, str], status: int
) -> None:
    body = urlencode(form).encode()

    answer = await post(page_for(explaining), "/explain", body)

    page = Page(answer.body.decode())
    assert answer.status == status
    assert ("p", {"class": "wrong"}) in page.elements
    assert "script" not in {tag for tag, _ in page.elements}
