"""What is explained is what is served: by the command, by a dry run, and by the model that answers."""

import json
import random
from pathlib import Path

import httpx2
import pytest

from tests.e2e.conftest import Proxy, Sandbox, run_penstock, running_proxy
from tests.waiting import eventually

_EASY = "What should I call my cat?"
_DEMANDING = (
    "Fix this function so that it is safe under concurrency, and write the tests:\n```python\n"
    "def transfer(a, b, amount):\n    a.balance -= amount\n    b.balance += amount\n```"
)
_LONG = "The quick brown fox jumps over the lazy dog. " * 30_000  # some 300,000 tokens


@pytest.mark.parametrize(
    ("team", "content", "model"),
    [
        pytest.param("search", _EASY, "deepseek/deepseek-v4-flash", id="easy, cost first"),
        pytest.param("research", _DEMANDING, "anthropic/claude-opus-4.7", id="demanding, quality first"),
        pytest.param("search", _LONG, "deepseek/deepseek-v4-pro", id="long"),
    ],
)
def test_a_request_goes_where_explain_says(proxy: Proxy, team: str, content: str, model: str) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": content}], "max_tokens": 500}

    explained = _explained(proxy, team, body)
    served = proxy.chat(team, body)

    assert explained["chosen"] == {"model": model, "provider": "openrouter"}
    assert served.headers["x-penstock-model"] == model
    assert served.status_code == 200


def test_explain_dry_run_and_production_agree_on_two_hundred_random_requests(proxy: Proxy) -> None:
    chance = random.Random(7)
    for _ in range(200):
        team, body = chance.choice(("search", "research")), _random_body(chance)

        dry = proxy.chat(team, body, x_penstock_dry_run="1").json()
        served = proxy.chat(team, body)

        assert dry["chosen"]["model"] == served.headers["x-penstock-model"], body
        assert dry["chosen"]["provider"] == served.headers["x-penstock-provider"]
        assert served.headers["x-penstock-decision"] == "/".join(filter(None, (dry["policy"], dry["rule"])))


def test_the_command_says_the_same_as_a_dry_run(sandbox: Sandbox, tmp_path: Path) -> None:
    """At a proxy that has learned nothing yet: what one has, the command knows half a minute later."""
    chance = random.Random(11)
    with running_proxy(tmp_path, sandbox.base_url) as proxy:
        for _ in range(10):
            body = _random_body(chance)

            assert _explained(proxy, "search", body) == proxy.chat("search", body, x_penstock_dry_run="1").json()


def test_the_admin_port_says_the_same_as_a_dry_run(proxy: Proxy) -> None:
    chance = random.Random(13)
    for _ in range(10):
        team, body = chance.choice(("search", "research")), _random_body(chance)

        asked = proxy.http.post(f"{proxy.admin_url}/admin/explain?team={team}", content=_as_sent(body))

        assert asked.json() == proxy.chat(team, body, x_penstock_dry_run="1").json()


def test_a_request_that_was_served_is_explained_afterwards(proxy: Proxy) -> None:
    body = {"model": "auto", "messages": [_user(_EASY)]}
    dry = proxy.chat("search", body, x_penstock_dry_run="1", x_penstock_min_quality="0.91").json()
    served = proxy.chat("search", body, x_penstock_min_quality="0.91")
    name = served.headers["x-request-id"]

    eventually(
        lambda: proxy.http.get(f"{proxy.admin_url}/admin/explain?request={name}").status_code == 200, within_s=10
    )
    past = proxy.http.get(f"{proxy.admin_url}/admin/explain?request={name}").json()
    page = proxy.http.get(f"{proxy.admin_url}/explain?request={name}").text

    then = past.pop("then")
    for each in (*past["rejections"], *dry["rejections"]):
        if each["reason"] == "unavailable":
            del each["detail"]  # why it was is not kept
    assert past == dry
    assert (then["decided_the_same"], then["served_by"]) == (True, "openrouter:anthropic/claude-opus-4.7")
    assert then["cost_usd"] == served.headers["x-penstock-cost-usd"]
    chosen = page[page.index('<tr class="chosen">') :].partition("</tr>")[0]
    assert "claude-opus-4.7" in chosen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--against", "nowhere"], "nowhere:1:1: expected a directory with penstock.yaml, got none"),
        (["--against", "config", "--since", "soon"], "`since` takes hours (24h), days (7d) or an ISO date"),
        (["--against", "config", "--until", "soon"], "`until` takes hours (24h), days (7d) or an ISO date"),
        (["--against", "config", "--until", "30d"], "--since 7d is not before --until 30d; give an earlier one."),
    ],
)
def test_a_replay_that_cannot_be_done_says_what_to_do(proxy: Proxy, options: list[str], message: str) -> None:
    ended = run_penstock("replay", "--config", str(proxy.config), *options, environment=proxy.environment)

    assert ended.returncode == 1
    assert ended.stderr.decode().startswith(message)


def test_a_replay_of_nothing_says_so(proxy: Proxy) -> None:
    said = proxy.command("replay", "--against", "config", "--team", "nobody").decode()

    assert said.startswith("The ledger has no requests of team nobody since ")


def test_explain_prints_a_table_for_people(proxy: Proxy) -> None:
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": _EASY}]}).encode()

    table = proxy.command("explain", "--team", "search", stdin=body).decode()

    assert "1 ←   deepseek/deepseek-v4-flash" in table
    assert "rejected:" in table
    assert "deepseek:deepseek/deepseek-v4-flash  unavailable" in table


def test_explain_works_before_any_key_is_configured(proxy: Proxy) -> None:
    environment = {name: value for name, value in proxy.environment.items() if name != "OPENROUTER_API_KEY"}
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": _EASY}]}).encode()

    ended = run_penstock("explain", "--config", "config", "--team", "search", environment=environment, stdin=body)

    assert ended.returncode == 0
    assert b"1 \xe2\x86\x90   deepseek/deepseek-v4-flash" in ended.stdout
    assert b"no provider has a key" in ended.stderr


def test_explain_exits_with_one_if_nobody_may_serve_the_request(proxy: Proxy) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 10_000_000}

    ended = run_penstock(
        "explain", "--config", str(proxy.config), "--team", "search",
        environment=proxy.environment, stdin=json.dumps(body).encode(),
    )  # fmt: skip

    assert ended.returncode == 1
    assert b"output_too_small" in ended.stdout


def test_a_request_that_nobody_may_serve_gets_every_rejection(proxy: Proxy) -> None:
    refused = proxy.chat("search", {"model": "auto", "messages": [_user("Hi")], "max_tokens": 10_000_000})

    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["code"] == "no_eligible_model"
    assert {rejection["reason"] for rejection in error["rejections"]} == {"unavailable", "output_too_small"}
    assert refused.headers["x-should-retry"] == "false"


def test_a_request_may_tighten_its_policy(proxy: Proxy) -> None:
    body = {"model": "auto", "messages": [_user(_EASY)]}

    better = proxy.chat("search", body, x_penstock_min_quality="0.91")
    poorer = proxy.chat("search", body, x_penstock_max_cost_usd="0.0000001")
    other = proxy.chat("research", body, x_penstock_policy="thorough", x_penstock_tags="nightly,eval")

    assert better.headers["x-penstock-model"] == "anthropic/claude-opus-4.7"
    assert poorer.json()["error"]["code"] == "no_eligible_model"
    assert other.headers["x-penstock-decision"].startswith("thorough")


@pytest.mark.parametrize(
    "headers",
    [
        {"x_penstock_max_cost": "1"},
        {"x_penstock_max_cost_usd": "free"},
        {"x_penstock_min_quality": "2"},
        {"x_penstock_policy": "nobody's"},
        {"x_penstock_dry_run": "yes"},
    ],
)
def test_a_control_that_is_not_understood_is_refused(proxy: Proxy, headers: dict[str, str]) -> None:
    refused: httpx2.Response = proxy.chat("search", {"model": "auto", "messages": [_user("Hi")]}, **headers)

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "invalid_control"


def _explained(proxy: Proxy, team: str, body: dict[str, object]) -> dict[str, object]:
    answer: dict[str, object] = json.loads(proxy.command("explain", "--team", team, "--json", stdin=_as_sent(body)))
    return answer


def _as_sent(body: dict[str, object]) -> bytes:
    """The JSON as the HTTP client writes it: the bytes count."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _random_body(chance: random.Random) -> dict[str, object]:
    topic = chance.choice(
        (
            _EASY,
            _DEMANDING,
            "Who was the third president of Austria?",
            "Prove that the square root of two is irrational.",
            "Extract all dates as JSON from: born 3 May 1912.",
            "Übersetze ins Englische: Guten Morgen.",
        )
    )
    body: dict[str, object] = {
        "model": chance.choice(("auto", "auto", "auto", "deepseek/deepseek-v4-pro", "anthropic/claude-opus-4.7")),
        "messages": [_user(f"{topic} {chance.random()}" * chance.choice((1, 1, 50)))],
    }
    if chance.random() < 0.5:
        body["max_tokens"] = chance.choice((10, 500, 5_000))
    if chance.random() < 0.2:
        body["tools"] = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    if chance.random() < 0.2:
        body["response_format"] = {"type": "json_object"}
    if chance.random() < 0.2:
        body["reasoning"] = {"effort": "high"}
    return body


def _user(content: str) -> dict[str, object]:
    return {"role": "user", "content": content}
