"""Keys that may less than their team, at a real proxy: 403, budgets of their own, rotation, revocation, proxies."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import httpx2
import openai
import pytest

from router.apis import Api
from router.catalog.catalog import ModelName
from router.keys import ApiKey, KeyScope, PresentedKey, TeamName, digest, mint, written
from router.quotas import Budget, Per
from router.storage.pepper import pepper
from router.storage.sqlite import SqliteStore
from tests.e2e.conftest import Proxy, Sandbox, running_proxy
from tests.waiting import eventually

FLASH, GPT = "deepseek/deepseek-v4-flash", "openai/gpt-5.4"
CREATED = datetime(2026, 11, 23, tzinfo=UTC)
HELLO = {"model": "auto", "max_tokens": 5, "temperature": 0, "messages": [{"role": "user", "content": "Hello."}]}
ONLY_FLASH = KeyScope(models=frozenset({ModelName(FLASH)}))


@pytest.fixture(scope="module")
def proxy(own_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Behind a balancer on this machine; the team caches what it is asked."""

    def edit(config: Path) -> None:
        main, search = config / "penstock.yaml", config / "teams" / "search.yaml"
        main.write_text(f"{main.read_text()}\ntrusted_proxies: [127.0.0.0/8]\n")
        search.write_text(f"{search.read_text()}\ncache: {{ttl_s: 600}}\n")

    with running_proxy(tmp_path_factory.mktemp("keys"), own_sandbox.base_url, edit=edit) as proxy:
        yield proxy


def made(proxy: Proxy, scope: KeyScope) -> PresentedKey:
    """A new key of team search, once the proxy knows it."""
    state = Path(proxy.environment["STATE_DIRECTORY"])
    key = mint(secrets.token_bytes)
    record = ApiKey(key.id, TeamName("search"), "", digest(key, pepper(state / "pepper", bytes)), CREATED, scope=scope)
    with closing(SqliteStore(state / "penstock.sqlite")) as store:
        store.add(record)
    eventually(lambda: asked(proxy, "GET", "/models", key).status_code != 401, within_s=10)
    return key


def asked(
    proxy: Proxy, method: str, path: str, key: PresentedKey, body: object = None, **headers: str
) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    headers = {"authorization": f"Bearer {written(key)}", **named}
    return proxy.http.request(method, f"{proxy.base_url}{path}", json=body, headers=headers)


def chat(proxy: Proxy, key: PresentedKey, body: object = HELLO, **headers: str) -> httpx2.Response:
    return asked(proxy, "POST", "/chat/completions", key, body, **headers)


def test_a_key_of_one_model_sees_and_reaches_that_model_alone(proxy: Proxy) -> None:
    key = made(proxy, ONLY_FLASH)

    listed = asked(proxy, "GET", "/models", key).json()["data"]
    plan = chat(proxy, key, x_penstock_dry_run="1").json()
    answered = chat(proxy, key, {**HELLO, "model": FLASH})

    assert {model for each in listed for model in each["penstock"]["models"]} == {FLASH}
    assert asked(proxy, "GET", f"/models/{GPT}", key).status_code == 404
    assert {each["reason"] for each in plan["rejections"] if each["model"] != FLASH} == {"key_scope"}
    assert answered.headers["x-penstock-model"] == FLASH
    with (
        openai.OpenAI(base_url=proxy.base_url, api_key=written(key), max_retries=0) as client,
        pytest.raises(openai.PermissionDeniedError, match="may be answered only by") as refusal,
    ):
        client.chat.completions.create(model=GPT, messages=[{"role": "user", "content": "Hello."}])
    assert refusal.value.code == "outside_key_scope"


def test_a_key_may_write_its_aliases_and_ask_by_its_apis(proxy: Proxy) -> None:
    key = made(proxy, KeyScope(aliases=frozenset({"auto"}), apis=frozenset({Api.CHAT})))
    message = {"model": "auto", "max_tokens": 5, "messages": HELLO["messages"]}

    refused = [
        chat(proxy, key, {**HELLO, "model": FLASH}),
        asked(proxy, "POST", "/messages", key, message),
        asked(proxy, "POST", "/messages/count_tokens", key, message),
        asked(proxy, "POST", "/responses", key, {"model": "auto", "input": "Hello."}),
    ]

    assert chat(proxy, key).status_code == 200
    assert [each.status_code for each in refused] == [403] * 4
    assert [each["id"] for each in asked(proxy, "GET", "/models", key).json()["data"]] == ["auto"]


def test_an_answer_to_another_key_of_the_team_is_given_only_to_keys_that_may_have_it(proxy: Proxy) -> None:
    body = {**HELLO, "model": GPT, "messages": [{"role": "user", "content": "Only once."}]}
    key, bound = made(proxy, KeyScope()), made(proxy, ONLY_FLASH)

    first = chat(proxy, key, body, idempotency_key="once")
    again = chat(proxy, made(proxy, KeyScope(apis=frozenset({Api.CHAT}))), body, idempotency_key="once")
    stolen = [chat(proxy, bound, body), chat(proxy, bound, body, idempotency_key="once")]

    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert chat(proxy, key, body).headers["x-penstock-cache"] == "hit"
    assert [each.status_code for each in stolen] == [403, 409]


def test_a_keys_own_budget_ends_its_requests_and_no_rotation_fills_it_again(proxy: Proxy) -> None:
    key = made(proxy, KeyScope(budgets=(Budget(0, Per.MONTH),)))

    spent = chat(proxy, key, {**HELLO, "messages": [{"role": "user", "content": "Anything?"}]})
    rotated = json.loads(proxy.command("keys", "rotate", key.id, "--overlap", "1h", "--json"))["key"]

    assert spent.status_code == 429
    assert f"key {key.id} of team search has $0.00 left of its $0.00 per month" in spent.json()["error"]["message"]
    headers = {"authorization": f"Bearer {rotated}"}
    other = {**HELLO, "messages": [{"role": "user", "content": "And now?"}]}

    def status() -> int:
        return proxy.http.post(f"{proxy.base_url}/chat/completions", json=other, headers=headers).status_code

    eventually(lambda: status() != 401, within_s=10)
    assert status() == chat(proxy, key, other).status_code == 429
    assert 'penstock_former_secret_requests_total{team="search"} 1.0' in proxy.metrics()


def test_a_key_of_a_network_is_good_from_there_as_the_balancer_tells_it(proxy: Proxy) -> None:
    key = made(proxy, KeyScope(networks=(ip_network("192.0.2.0/24"),)))

    statuses = [
        chat(proxy, key, x_forwarded_for=told).status_code
        for told in ("192.0.2.7", "203.0.113.1, 192.0.2.7, 127.0.0.3", "192.0.2.7, 203.0.113.1", "nobody")
    ]

    assert statuses == [200, 200, 403, 403]
    assert chat(proxy, key).json()["error"]["code"] == "address_not_allowed"


def test_a_revoked_key_ends_within_a_second(proxy: Proxy) -> None:
    key = made(proxy, KeyScope())
    with closing(SqliteStore(Path(proxy.environment["STATE_DIRECTORY"]) / "penstock.sqlite")) as store:
        store.revoke(key.id, datetime.max.replace(tzinfo=UTC))  # by somebody whose clock is far ahead
    began_s = time.monotonic()

    eventually(lambda: asked(proxy, "GET", "/models", key).status_code == 401, within_s=10)

    assert time.monotonic() - began_s < 5.0  # 0.5 s on a machine that has nothing else to do
    assert 'penstock_authentication_failures_total{reason="revoked"}' in proxy.metrics()
    assert "penstock_keys_age_seconds 0." in proxy.metrics()
