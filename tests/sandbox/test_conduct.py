"""Outages, speeds, cancel rules, credits and scenarios, changed while requests go on."""

import time
from decimal import Decimal
from statistics import median

import httpx2
import pytest

from router.sandbox.stock import STOCK
from tests.sandbox import reading
from tests.sandbox.conftest import RunningSandbox, StartSandbox, user
from tests.sandbox.test_serving import hang_up_after_the_first_chunk
from tests.waiting import eventually

FLASH, PRO, HAIKU = "deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro", "anthropic/claude-haiku-4.5"
STALL = "Explain how a penstock works. [sandbox:fault=stall]"


def patch(sandbox: RunningSandbox, what: str, wish: object) -> httpx2.Response:
    return sandbox.http.patch(f"/sandbox/{what}", json=wish)


def status(sandbox: RunningSandbox, model: str = FLASH, **fields: object) -> int:
    return sandbox.ask(model=model, **fields).status_code


# ----- outages


def test_an_outage_of_a_model_at_a_provider_can_be_switched_on_and_off(own_sandbox: RunningSandbox) -> None:
    outage = {"fault": "503", "provider": "deepinfra", "model": FLASH}

    patch(own_sandbox, "providers", {"outages": [outage]})
    during = [status(own_sandbox, model) for model in (FLASH, PRO)]
    patch(own_sandbox, "providers", {"outages": []})

    assert during == [503, 200]
    assert status(own_sandbox) == 200


def test_an_outage_of_a_provider_concerns_all_it_serves(own_sandbox: RunningSandbox) -> None:
    patch(own_sandbox, "providers", {"outages": [{"fault": "502", "provider": "deepinfra"}]})

    assert [status(own_sandbox, m) for m in (FLASH, PRO, HAIKU)] == [502, 502, 200]
    endpoint = own_sandbox.http.get(f"/api/v1/models/{PRO}/endpoints").json()["data"]["endpoints"][0]
    assert (endpoint["status"], endpoint["uptime_last_30m"]) == (-1, 50)


def test_an_outage_may_hit_a_share_of_the_requests(own_sandbox: RunningSandbox) -> None:
    patch(own_sandbox, "providers", {"outages": [{"fault": "429-long:9", "share": 0.5}]})

    statuses = [status(own_sandbox) for _ in range(40)]

    assert 8 < statuses.count(429) < 32


def test_who_asks_for_a_fault_by_name_meets_no_outage(own_sandbox: RunningSandbox) -> None:
    patch(own_sandbox, "providers", {"outages": [{"fault": "503"}]})

    assert [status(own_sandbox, f"{FLASH}#none"), status(own_sandbox, f"{FLASH}#408")] == [200, 408]


# ----- speeds and cancel rules


def test_a_cancel_rule_can_be_changed(own_sandbox: RunningSandbox) -> None:
    patch(own_sandbox, "providers", {"providers": {"deepinfra": {"cancel_stops_billing": False}}})

    hang_up_after_the_first_chunk(own_sandbox, FLASH, STALL)
    (line,) = own_sandbox.wait_for_bill_lines(1)

    same = {"model": FLASH, "messages": [user(STALL)]}
    complete = reading.usage(own_sandbox.post(same, headers={"x-sandbox-fault": "none"}))
    assert line["completion_tokens"] == complete["completion_tokens"]
    patch(own_sandbox, "providers", {"providers": {"deepinfra": None}})
    assert own_sandbox.http.get("/sandbox/providers").json()["providers"] == {}


def test_a_model_can_be_slowed_down(start_sandbox: StartSandbox) -> None:
    with start_sandbox(time_scale=0.01) as sandbox:
        patch(sandbox, "providers", {"models": {FLASH: {"time_to_first_token_s": 50}}})
        started = time.monotonic()
        sandbox.ask("Rivers, briefly.")

    assert time.monotonic() - started >= 0.5


def test_speeds_differ_from_answer_to_answer_as_far_as_the_spread_says(start_sandbox: StartSandbox) -> None:
    def first_token_ms(seed: int) -> list[int]:
        with start_sandbox(time_scale=0.1, seed=seed) as sandbox:
            patch(sandbox, "providers", {"models": {FLASH: {"spread": 0.5, "time_to_first_token_s": 0.3}}})
            took = []
            for number in range(15):
                started = time.monotonic()
                sandbox.ask(f"Question {number}", max_tokens=1)
                took.append(round((time.monotonic() - started) * 1000))
            return took

    took = first_token_ms(1)

    assert max(took) > 1.3 * median(took)
    assert 15 < median(took) < 80


# ----- credits


def test_an_answer_without_max_tokens_reserves_the_models_limit(own_sandbox: RunningSandbox) -> None:
    """65 536 tokens at $0.21 a million are $0.01376; the account has less than that."""
    patch(own_sandbox, "account", {"credits_usd": "0.005"})

    refused, served = own_sandbox.ask(), own_sandbox.ask(max_tokens=100)

    assert refused.status_code == 402
    assert "You requested up to 65536 tokens, but can only afford 238" in refused.json()["error"]["message"]
    assert served.status_code == 200
    key = {"authorization": "Bearer sk-or-mgmt-1"}
    balance = reading.exact_json(own_sandbox.http.get("/api/v1/credits", headers=key))["data"]
    assert (str(balance["total_credits"]), balance["total_usage"]) == ("0.005", reading.usage(served)["cost"])


def test_credits_reserved_by_a_request_under_way_are_missed_for_a_while(own_sandbox: RunningSandbox) -> None:
    used = Decimal(str(own_sandbox.http.get("/api/v1/key").json()["data"]["usage"]))
    patch(own_sandbox, "account", {"credits_usd": str(used + Decimal("0.02"))})  # for one such request, and not for two
    body = {"model": FLASH, "messages": [user(STALL)], "stream": True}

    with own_sandbox.http.stream("POST", "/api/v1/chat/completions", json=body) as response:
        lines = response.iter_lines()  # held, since the connection is closed with it
        next(line for line in lines if line.startswith("data: "))
        meanwhile = own_sandbox.ask()

    assert (meanwhile.status_code, meanwhile.headers["retry-after"]) == (402, "120")
    assert meanwhile.json()["error"]["metadata"]["reason"] == "in_flight_budget_exhausted"
    eventually(lambda: own_sandbox.ask().status_code == 200, within_s=20)


def test_credits_are_for_management_keys(own_sandbox: RunningSandbox) -> None:
    assert own_sandbox.http.get("/api/v1/credits").status_code == 403


def test_all_records_can_be_late(own_sandbox: RunningSandbox) -> None:
    patch(own_sandbox, "account", {"missing_reads": 1})
    record = {"id": own_sandbox.ask().json()["id"]}

    assert [own_sandbox.http.get("/api/v1/generation", params=record).status_code for _ in "12"] == [404, 200]


# ----- scenarios


def test_a_scenario_plays_its_steps_in_order(own_sandbox: RunningSandbox) -> None:
    steps = [
        {"fault": "503", "model": FLASH, "after": 1, "times": 2},
        {"fault": "429", "after": 3},
    ]
    own_sandbox.http.put("/sandbox/scenario", json={"steps": steps}).raise_for_status()

    statuses = [status(own_sandbox) for _ in range(7)]

    # The second step sees only what the first has spared.
    assert statuses == [200, 503, 503, 200, 200, 429, 429]
    assert [step["met"] for step in own_sandbox.http.get("/sandbox/scenario").json()["steps"]] == [2, 2]


def test_a_scenario_sets_market_providers_account_and_the_lot(own_sandbox: RunningSandbox) -> None:
    plan = {
        "random": {"rate": 1, "weights": {"408": 1}},
        "market": {"reply_model": "version"},
        "providers": {"outages": [{"fault": "503", "model": PRO}]},
        "account": {"missing_reads": 3},
    }
    own_sandbox.http.put("/sandbox/scenario", json=plan).raise_for_status()

    assert [status(own_sandbox), status(own_sandbox, PRO)] == [408, 503]
    assert own_sandbox.http.get("/sandbox/account").json()["missing_reads"] == 3
    own_sandbox.http.delete("/sandbox/scenario")
    assert own_sandbox.ask().json()["model"] == "deepseek/deepseek-v4-flash-20260423"


@pytest.mark.parametrize(
    ("path", "wish"),
    [
        ("providers", "nonsense"),
        ("providers", {"outage": []}),
        ("providers", {"outages": [{"fault": "coffee"}]}),
        ("providers", {"outages": [{"fault": "503", "share": 2}]}),
        ("providers", {"providers": {"deepinfra": {"cancel": True}}}),
        ("providers", {"models": {FLASH: {"tokens_per_s": 0}}}),
        ("providers", {"models": {FLASH: {"spread": "wide"}}}),
        ("account", {"credits_usd": "-1"}),
        ("account", {"credits": 1}),
        ("account", {"missing_reads": "many"}),
        ("market", {"page_size": 0}),
        ("market", {"models": {FLASH: {"peak": {"utc": [[100, 160]]}}}}),
    ],
)
def test_a_wish_that_makes_no_sense_changes_nothing(own_sandbox: RunningSandbox, path: str, wish: object) -> None:
    before = own_sandbox.http.get(f"/sandbox/{path}").json()

    assert patch(own_sandbox, path, wish).status_code == 400
    assert own_sandbox.http.get(f"/sandbox/{path}").json() == before


@pytest.mark.parametrize(
    "plan",
    [
        [],
        {"stepz": []},
        {"steps": [{"fault": "503", "times": -1}]},
        {"steps": [{"fault": "coffee"}]},
        {"random": {"rate": 2}},
        {"random": {"rate": 0.5, "weights": {"coffee": 1}}},
        {"random": {"rate": 0.5, "weights": {}}},
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused(own_sandbox: RunningSandbox, plan: object) -> None:
    assert own_sandbox.http.put("/sandbox/scenario", json=plan).status_code == 400


def test_every_model_has_a_provider_to_be_out(own_sandbox: RunningSandbox) -> None:
    patch(own_sandbox, "providers", {"outages": [{"fault": "503", "provider": o.provider.slug} for o in STOCK.offers]})

    assert {status(own_sandbox, offer.id) for offer in STOCK.offers} == {503}
