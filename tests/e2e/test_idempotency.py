"""A request under an `Idempotency-Key`: carried out once, paid once, answered as often as it is sent."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

from tests.e2e.conftest import Proxy, Sandbox, running_proxy
from tests.e2e.hostile import HostileProvider
from tests.e2e.test_failover import overloaded, well
from tests.waiting import eventually

BODY = {"model": "auto", "max_tokens": 60, "messages": [{"role": "user", "content": "Tell me about tea."}]}


def test_the_same_request_under_a_key_gets_the_same_answer_and_is_paid_once(proxy: Proxy, sandbox: Sandbox) -> None:
    before, booked = sandbox.bill_nano_usd(), proxy.spend_nano_usd()
    first = proxy.chat("search", BODY, idempotency_key="order-17")
    paid = sandbox.bill_nano_usd()

    again = proxy.chat("search", BODY, idempotency_key="order-17")

    assert again.status_code == 200
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-original-request-id"] == first.headers["x-request-id"] != again.headers["x-request-id"]
    same = ("x-penstock-model", "x-penstock-cost-usd", "content-type")
    assert [again.headers[name] for name in same] == [first.headers[name] for name in same]
    assert before < paid == sandbox.bill_nano_usd()
    eventually(lambda: proxy.spend_nano_usd() - booked == paid - before, within_s=10)


def test_another_request_under_the_key_is_refused_and_another_team_has_keys_of_its_own(proxy: Proxy) -> None:
    proxy.chat("search", BODY, idempotency_key="order-18")

    other = proxy.chat("search", {**BODY, "max_tokens": 61}, idempotency_key="order-18")
    tightened = proxy.chat("search", BODY, idempotency_key="order-18", x_penstock_tags="batch")
    elsewhere = proxy.chat("research", BODY, idempotency_key="order-18")

    for refused in (other, tightened):
        assert (refused.status_code, refused.headers["x-should-retry"]) == (409, "false")
        assert refused.json()["error"]["code"] == "idempotency_key_reused"
    assert elsewhere.status_code == 200
    assert "idempotent-replayed" not in elsewhere.headers


@pytest.mark.parametrize("key", ["", "with space", "ü", "x" * 256])
def test_a_key_that_is_none_is_refused(proxy: Proxy, key: str) -> None:
    headers = [(b"authorization", f"Bearer {proxy.keys['search']}".encode()), (b"idempotency-key", key.encode())]

    refused = proxy.http.post(f"{proxy.base_url}/chat/completions", json=BODY, headers=headers)

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_header")


def test_of_many_at_once_one_is_carried_out_and_the_sdk_waits_for_its_answer(proxy: Proxy, sandbox: Sandbox) -> None:
    client = proxy.client().with_options(max_retries=5)

    def ask(_: int) -> str:
        answer = client.chat.completions.create(
            model="auto",
            max_tokens=60,
            messages=[{"role": "user", "content": "Tell me about coffee."}],
            extra_headers={"Idempotency-Key": "order-19"},
        )
        return answer.id

    with ThreadPoolExecutor(6) as threads:
        ids = set(threads.map(ask, range(6)))

    assert len(ids) == 1
    bill = proxy.http.get(f"{sandbox.base_url}/sandbox/bill").json()["generations"]
    assert sum(line["id"] in ids for line in bill) == 1


def test_a_request_that_failed_frees_its_key(tmp_path: Path) -> None:
    provider = HostileProvider()
    provider.answer = overloaded
    try:
        with running_proxy(tmp_path, provider.base_url) as proxy:
            failed = proxy.chat("search", BODY, idempotency_key="order-20")
            refused = proxy.chat("search", {**BODY, "model": "no-such-model"}, idempotency_key="order-21")
            provider.answer = well
            served = proxy.chat("search", BODY, idempotency_key="order-20")

            assert (failed.status_code, refused.status_code) == (502, 404)
            assert served.status_code == 200
            assert "idempotent-replayed" not in served.headers
            assert proxy.chat("search", BODY, idempotency_key="order-21").status_code == 200
    finally:
        provider.close()


def test_a_stream_takes_no_notice_of_a_key(proxy: Proxy) -> None:
    streamed = {**BODY, "stream": True}

    answers = [proxy.chat("search", streamed, idempotency_key="order-22") for _ in range(2)]

    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].content != answers[1].content


def test_answers_outlive_the_process_and_claims_of_a_killed_one_do_not(tmp_path: Path, sandbox: Sandbox) -> None:
    state = str(tmp_path / "state")
    slow = {**BODY, "messages": [{"role": "user", "content": "[sandbox:fault=stall-before-headers] Hm?"}]}
    with running_proxy(tmp_path, sandbox.base_url, by_command=True) as proxy:
        first = proxy.chat("search", BODY, idempotency_key="order-23")
        key = proxy.keys["search"]
        with ThreadPoolExecutor(1) as threads:
            threads.submit(proxy.chat, "search", slow, idempotency_key="order-24")
            eventually(lambda: json.dumps(slow["messages"]) in json.dumps(sandbox.requests()), within_s=10)
            os.kill(proxy.process.pid, signal.SIGKILL)

    with running_proxy(tmp_path / "again", sandbox.base_url, by_command=True, STATE_DIRECTORY=state) as proxy:
        headers = {"authorization": f"Bearer {key}"}
        again = proxy.http.post(
            f"{proxy.base_url}/chat/completions", json=BODY, headers={**headers, "idempotency-key": "order-23"}
        )
        free = proxy.http.post(
            f"{proxy.base_url}/chat/completions", json=BODY, headers={**headers, "idempotency-key": "order-24"}
        )

    assert again.content == first.content
    assert free.status_code == 200


def test_the_official_client_raises_its_conflict_error(proxy: Proxy) -> None:
    ask = proxy.client().chat.completions.create
    ask(model="auto", messages=[{"role": "user", "content": "A"}], extra_headers={"Idempotency-Key": "order-25"})

    with pytest.raises(openai.ConflictError, match="stands for another request"):
        ask(model="auto", messages=[{"role": "user", "content": "B"}], extra_headers={"Idempotency-Key": "order-25"})
