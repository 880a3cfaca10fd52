"""Policies in full, over real sockets: who is chosen, what the provider is told, and what a shadow costs whom."""

import json
import random
import signal
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Proxy, Sandbox, running_proxy, running_sandbox
from tests.waiting import eventually

FLASH, PRO, GPT = "deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro", "openai/gpt-5.4"

_TEAM = f"""\
team: labs
time_zone: Europe/Berlin
data: {{collection: deny}}
budgets: [{{limit_usd: 100, per: day}}]
aliases:
  auto: {{policy: rich}}
  split: {{policy: split}}
  shy: {{policy: shy}}
  pinned: {{model: {FLASH}}}
  thoughtful: {{model: {FLASH}@high}}
  thinking: {{policy: thinking}}
policies:
  thinking:
    candidates: [{FLASH}@none, {FLASH}@high, {PRO}@high]
    quality: {{at_least: 0.97, of: best_candidate}}
  rich:
    candidates: [{FLASH}, {PRO}, {GPT}, anthropic/claude-opus-4.7]
    quality: {{at_least: 0.9, of: best_candidate}}
    reasoning_effort: high
    max_reasoning_effort: high
    max_latency_ms: 60000
    rules:
      - {{name: german, when: {{language: de}}, candidates: [{PRO}, {GPT}], objective: best}}
      - {{name: weekend or night, when: {{hour: "20:00-08:00"}}, weights: {{{PRO}: 0.3}}}}
      - {{name: tools, when: {{needs: tools}}, reasoning_effort: none}}
      - {{name: hard, when: {{difficulty: {{over: 0.5}}}}, objective: value}}
  split:
    candidates: [{FLASH}, {PRO}]
    weights: {{{FLASH}: 0.5, {PRO}: 0.5}}
  shy:
    candidates: [{FLASH}, {GPT}]
    only_providers: [openrouter]
    data: {{zdr: true, ignore: [deepinfra]}}
"""

_SHADOWED = f"""\
team: shadowed
budgets: [{{limit_usd: 50, per: day}}]
aliases:
  auto: {{policy: generous}}
  poor: {{policy: poor}}
policies:
  generous:
    candidates: [{FLASH}]
    data: {{collection: deny}}
    shadow: {{model: {GPT}, share: 1, budget_usd: 20}}
  poor:
    candidates: [{FLASH}]
    shadow: {{model: {GPT}, share: 1, budget_usd: 0.000001}}
"""


def _add_teams(config: Path) -> None:
    (config / "teams" / "labs.yaml").write_text(_TEAM)
    (config / "teams" / "shadowed.yaml").write_text(_SHADOWED)


@pytest.fixture(scope="module")
def own_proxy(own_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), own_sandbox.base_url, edit=_add_teams) as proxy:
        yield proxy


def test_under_policies_in_full_what_is_explained_is_what_is_served(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    """Two hundred real requests: the model that answers, the rule, the arm, and the effort that is sent."""
    chance = random.Random(23)
    rules: Counter[str | None] = Counter()
    for _ in range(200):
        body, headers = _random_body(chance), _random_headers(chance)

        dry = own_proxy.chat("labs", body, x_penstock_dry_run="1", **headers).json()
        served = own_proxy.chat("labs", body, **headers)

        if "error" in dry:
            for told in ("code", "message", "rejections"):
                assert served.json()["error"].get(told) == dry["error"].get(told)
            continue
        rules[dry["rule"]] += 1
        assert served.status_code == 200, served.text
        assert served.headers["x-penstock-model"] == dry["chosen"]["model"], body
        assert served.headers["x-penstock-decision"] == "/".join(filter(None, (dry["policy"], dry["rule"])))
        sent = own_sandbox.last_request()
        assert sent["provider"]["data_collection"] == "deny"  # type: ignore[index]
        if dry["candidates"][0]["effort"] is not None:
            assert sent["reasoning"] == {"effort": dry["candidates"][0]["effort"]}
    assert sum(rules.values()) > 150
    assert {"german", "tools", None} <= set(rules) or {"german", "weekend or night"} <= set(rules)


def test_the_command_explains_what_a_dry_run_does_under_policies_in_full(sandbox: Sandbox, tmp_path: Path) -> None:
    """At a proxy that has learned nothing yet. Its catalog's version tells of prices in doubt as well."""
    chance = random.Random(29)
    with running_proxy(tmp_path, sandbox.base_url, edit=_add_teams) as proxy:
        for _ in range(5):
            body = _random_body(chance)
            stdin = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()

            explained = json.loads(proxy.command("explain", "--team", "labs", "--json", stdin=stdin))
            dry = proxy.chat("labs", body, x_penstock_dry_run="1").json()

            assert {**explained, "catalog_version": ""} == {**dry, "catalog_version": ""}


def test_a_conversation_stays_in_its_arm_and_both_arms_are_used(own_proxy: Proxy) -> None:
    models: Counter[str] = Counter()
    for number in range(40):
        first = [_user(f"Tell me something about the number {number}.")]
        later = [*first, {"role": "assistant", "content": "It is a number."}, _user("Go on.")]

        served = [own_proxy.chat("labs", {"model": "split", "messages": turns}) for turns in (first, later)]

        assert len({each.headers["x-penstock-model"] for each in served}) == 1
        models[served[0].headers["x-penstock-model"]] += 1
    assert set(models) == {FLASH, PRO}
    assert min(models.values()) >= 8


def test_a_request_cannot_loosen_how_its_policy_has_data_handled(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    lax = {"zdr": False, "data_collection": "allow", "ignore": ["novita"], "sort": "price"}
    served = own_proxy.chat("labs", {"model": "shy", "messages": [_user("Hi")], "provider": lax})

    sent = own_sandbox.last_request()["provider"]
    assert isinstance(sent, dict)
    assert {name: sent[name] for name in ("zdr", "data_collection", "ignore", "sort")} == {
        "zdr": True,
        "data_collection": "deny",
        "ignore": ["deepinfra", "novita"],
        "sort": "price",
    }
    # The sandbox's Flash is at DeepInfra alone, whom nobody may ask: OpenRouter refuses, and the next one answers.
    assert served.headers["x-penstock-model"] == GPT


def test_a_pinned_model_is_held_to_its_teams_data_rules(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    for model in ("pinned", FLASH):
        own_proxy.chat("labs", {"model": model, "messages": [_user("Hi")]})

        sent = own_sandbox.last_request()["provider"]
        assert isinstance(sent, dict)
        assert sent["data_collection"] == "deny"


def test_a_wish_of_the_requests_own_keeps_its_data_from_providers_that_do_not_promise_to_heed_it(
    own_proxy: Proxy,
) -> None:
    body = {"model": "auto", "messages": [_user("Hi")], "provider": {"only": ["azure"], "zdr": True}}

    dry = own_proxy.chat("search", body, x_penstock_dry_run="1").json()

    direct = {each["reason"] for each in dry["rejections"] if each["deployment"].startswith("deepseek:")}
    assert direct == {"data_rules"}


def test_a_cap_on_thinking_lowers_what_the_client_asks(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    body = {"model": GPT, "messages": [_user("Hi")], "reasoning": {"effort": "high", "exclude": True}}

    own_proxy.chat("labs", body, x_penstock_max_effort="low")

    assert own_sandbox.last_request()["reasoning"] == {"effort": "low", "exclude": True}


def test_the_same_model_thinks_where_its_first_thought_is_not_good_enough(
    own_proxy: Proxy, own_sandbox: Sandbox
) -> None:
    """Of everyday questions V4-Flash answers .83 well without thinking and .864 with; .97 of .871 is asked for."""
    body = {"model": "thinking", "messages": [_user("Tell me about tea.")]}

    served = own_proxy.chat("labs", body)

    assert own_sandbox.last_request()["reasoning"] == {"effort": "high"}
    assert (served.headers["x-penstock-model"], served.headers["x-penstock-effort"]) == (FLASH, "high")
    dry = own_proxy.chat("labs", body, x_penstock_dry_run="1").json()
    assert dry["candidates"][0]["candidate"] == f"{FLASH}@high"
    below = [(each["model"], each["effort"]) for each in dry["rejections"] if each["reason"] == "below_quality"]
    assert below == [(FLASH, "none")]


def test_a_refusal_tells_a_models_efforts_apart(own_proxy: Proxy) -> None:
    body = {"model": "thinking", "messages": [_user("Tell me about tea.")]}

    refused = own_proxy.chat("labs", body, x_penstock_min_quality="0.999")

    message = refused.json()["error"]["message"]
    assert f"openrouter:{FLASH}@none: predicted quality" in message
    assert f"openrouter:{FLASH}@high: predicted quality" in message


def test_an_alias_and_a_client_may_name_the_effort_with_the_model(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    for team, name, effort in (
        ("labs", "thoughtful", "high"),
        ("search", f"{FLASH}@none", "none"),
        ("search", f"{FLASH}@high", "high"),
    ):
        served = own_proxy.chat(team, {"model": name, "messages": [_user("Hi")]})
        assert served.status_code == 200
        assert own_sandbox.last_request()["reasoning"] == {"effort": effort}
        assert own_sandbox.last_request()["model"] == FLASH


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (f"{FLASH}@low", "It knows: none, high, xhigh."),
        (f"{FLASH}@hard", "names no effort: none, minimal, low, medium, high, xhigh, max"),
        ("z-ai/glm-5.1@high", "may use no model"),
    ],
)
def test_an_effort_that_is_none_of_the_models_is_refused(own_proxy: Proxy, name: str, told: str) -> None:
    refused = own_proxy.chat("labs", {"model": name, "messages": [_user("Hi")]})

    assert refused.status_code == 404
    assert told in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [{"x_penstock_max_latency_ms": "soon"}, {"x_penstock_max_effort": "little"}, {"x_penstock_max_latency": "5"}],
)
def test_a_new_control_that_is_not_understood_is_refused(own_proxy: Proxy, headers: dict[str, str]) -> None:
    refused = own_proxy.chat("labs", {"model": "auto", "messages": [_user("Hi")]}, **headers)

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "invalid_control"


def test_a_shadow_is_measured_at_its_own_expense_and_the_client_is_not_aware_of_it(
    own_proxy: Proxy, own_sandbox: Sandbox
) -> None:
    for number in range(10):
        body = {"model": "auto", "messages": [_user(f"Tell me about tea, {number}.")], "stream": number % 2 == 0}
        served = own_proxy.chat("shadowed", {**body, "max_tokens": 300})
        assert served.status_code == 200
        assert served.headers["x-penstock-model"] == FLASH
        if number % 2:
            assert json.loads(served.content)["model"].startswith(FLASH)

    eventually(lambda: _metric(own_proxy, "penstock_shadows_total", policy="generous") == 10, within_s=30)
    eventually(lambda: _metric(own_proxy, "penstock_ledger_lag_seconds") == 0, within_s=10)
    by_outcome = _spend(own_proxy, "team,outcome,model")
    shadow_nano_usd = by_outcome["shadowed", "shadow", GPT]
    answers_nano_usd = by_outcome["shadowed", "ok", FLASH]
    assert shadow_nano_usd > answers_nano_usd > 0
    assert _metric(own_proxy, "penstock_shadows_total", policy="generous", outcome="ok", model=GPT) == 10
    assert _metric(own_proxy, "penstock_shadow_duration_seconds_count", model=GPT) == 10
    assert _metric(own_proxy, "penstock_requests_total", team="shadowed") == 10
    spent = "penstock_budget_spent_usd"
    assert _nano(_metric(own_proxy, spent, team="shadowed", project="@shadow/generous")) == shadow_nano_usd
    assert _nano(_metric(own_proxy, spent, team="shadowed", project="")) == answers_nano_usd
    assert own_proxy.spend_nano_usd() == own_sandbox.bill_nano_usd()
    assert _nano(_metric(own_proxy, "penstock_spend_usd_total")) == own_sandbox.bill_nano_usd()
    copy = next(each for each in own_sandbox.requests() if each["model"] == GPT and "tea, 3" in json.dumps(each))
    assert copy["provider"]["data_collection"] == "deny"  # type: ignore[index]


def test_a_shadow_whose_budget_is_spent_sends_nothing_and_refuses_nobody(own_proxy: Proxy) -> None:
    served = [own_proxy.chat("shadowed", {"model": "poor", "messages": [_user("Hi")]}) for _ in range(5)]

    assert {each.status_code for each in served} == {200}
    eventually(
        lambda: _metric(own_proxy, "penstock_shadows_total", policy="poor", outcome="insufficient_quota") == 5,
        within_s=10,
    )
    assert _metric(own_proxy, "penstock_shadows_total", policy="poor", outcome="ok") == 0


def test_a_stop_cuts_shadows_off_and_books_them_and_a_start_remembers_their_budget(tmp_path: Path) -> None:
    """The sandbox takes its time, so that copies are under way when the server is stopped."""
    first, second = tmp_path / "first", tmp_path / "second"
    with running_sandbox(tmp_path / "log", "--time-scale", "0.3") as sandbox:
        with running_proxy(first, sandbox.base_url, edit=_add_teams) as proxy:
            for number in range(6):
                body = {"model": "auto", "messages": [_user(f"Tell me about tea, {number}.")], "max_tokens": 300}
                assert proxy.chat("shadowed", body).status_code == 200
            proxy.process.send_signal(signal.SIGTERM)
            assert proxy.process.wait(30) == 0
        second.mkdir()
        (first / "state").rename(second / "state")
        with running_proxy(second, sandbox.base_url, edit=_add_teams) as proxy:
            spent = _spend(proxy, "outcome")
            assert spent["ok",] > 0
            project = _metric(proxy, "penstock_budget_spent_usd", team="shadowed", project="@shadow/generous")
            assert _nano(project) == spent["shadow",]
            assert _nano(_metric(proxy, "penstock_budget_spent_usd", team="shadowed", project="")) == spent["ok",]
            assert _metric(proxy, "penstock_budget_held_usd") == 0
            assert proxy.spend_nano_usd() == sandbox.bill_nano_usd()


def _spend(proxy: Proxy, by: str) -> dict[tuple[str, ...], int]:
    rows = json.loads(proxy.command("spend", "--by", by, "--json"))
    return {tuple(row[name] for name in by.split(",")): row["cost_nano_usd"] for row in rows}


def _metric(proxy: Proxy, name: str, **labels: str) -> Decimal:
    """The sum over all samples with these labels."""
    return sum(
        (
            Decimal(repr(sample.value))
            for family in text_string_to_metric_families(proxy.metrics())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ),
        Decimal(0),
    )


def _nano(usd: Decimal) -> int:
    return round(usd * 10**9)


def _user(content: str) -> dict[str, object]:
    return {"role": "user", "content": content}


def _random_headers(chance: random.Random) -> dict[str, str]:
    choices: list[dict[str, str]] = [
        {},
        {},
        {},
        {"x_penstock_max_cost_usd": chance.choice(("0.01", "0.1", "0.000001"))},
        {"x_penstock_max_effort": chance.choice(("none", "low", "high"))},
        {"x_penstock_max_latency_ms": "5000"},
        {"x_penstock_min_quality": "0.5"},
        {"x_penstock_policy": "split"},
    ]
    return chance.choice(choices)


def _random_body(chance: random.Random) -> dict[str, object]:
    topic = chance.choice(
        (
            "What should I call my cat?",
            "Bitte erkläre mir, warum der Himmel blau ist und nicht grün.",
            "Prove that the square root of two is irrational.",
            "Write a function that sorts a list of dates.",
        )
    )
    body: dict[str, object] = {
        "model": chance.choice(("auto", "auto", "split", GPT)),
        "messages": [_user(f"{topic} {chance.random()}")],
        "max_tokens": chance.choice((50, 500)),
    }
    if chance.random() < 0.25:
        body["tools"] = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    if chance.random() < 0.3:
        body["reasoning_effort"] = chance.choice(("low", "high", "xhigh"))
    return body
