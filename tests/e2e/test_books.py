"""Ledger, metrics and the sandbox's own bill agree to the nano-dollar, whatever clients and providers do."""

import json
import random
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Proxy, Sandbox, running_proxy
from tests.e2e.every_fault import without_breakers, without_rate_limits
from tests.waiting import eventually

_REQUESTS = 1_000

# Faults whose cost the provider tells, or lets us find out. Where a connection is dropped before any header there is
# nothing to ask by: `drop-before-headers`, and `drop-mid-stream` for whole answers; that has a test of its own below.
_FAULTS = (
    "429", "429-raw", "500", "502", "503", "402", "402-in-flight", "403-moderation", "404-no-endpoints", "200-error",
    "choice-error", "mid-stream-error", "mid-stream-error-finish", "error-after-finish", "drop-mid-stream", "no-done",
    "no-usage", "no-cost", "usage-shape-a", "usage-shape-c", "empty-tool-arguments", "429-free-tier", "402-reservation",
    "availability", "502-html", "mid-stream-error-word", "ends-early", "no-byok", "record-late", "version-as-model",
    "cache-overlap", "much-reasoning", "no-completion", "annotations", "gzip", "foreign-fields", "bad-utf8",
)  # fmt: skip
_TOPICS = ("rivers", "the year 1848", "a sorting function in Python", "why ice floats", "tea", "Prove that 2 is prime")


@pytest.fixture(scope="module")
def own_proxy(own_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    def without_limits(config: Path) -> None:
        without_breakers(config)
        without_rate_limits(config)

    with running_proxy(tmp_path_factory.mktemp("proxy"), own_sandbox.base_url, edit=without_limits) as proxy:
        yield proxy


def test_ledger_metrics_and_bill_agree_after_a_thousand_mixed_requests(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    chance = random.Random(20261123)
    plays = [_play(chance, own_proxy) for _ in range(_REQUESTS)]

    with ThreadPoolExecutor(16) as workers:
        ends = Counter(workers.map(lambda play: play(), plays))

    eventually(lambda: _metric_sum(own_proxy, "penstock_in_flight_requests") == 0, within_s=60)
    eventually(lambda: _metric_sum(own_proxy, "penstock_ledger_lag_seconds") == 0, within_s=10)
    assert ends["hung up"] > 150
    assert ends["200"] > 400
    assert sum(count for end, count in ends.items() if end not in ("200", "hung up")) > 50
    bill = own_sandbox.bill_nano_usd()
    assert bill > 0
    # A record that is late is found by the reconciler, which looks every few seconds.
    eventually(lambda: own_proxy.spend_nano_usd() == bill, within_s=60)
    assert _nano(_metric_sum(own_proxy, "penstock_spend_usd_total")) == bill
    sources = {row["source"] for row in json.loads(own_proxy.command("spend", "--by", "source", "--json"))}
    assert sources == {"reported", "computed", "record"}
    assert _metric_sum(own_proxy, "penstock_budget_held_usd") == 0


def test_a_call_that_broke_off_before_any_answer_stays_booked_at_what_was_held(
    own_proxy: Proxy, own_sandbox: Sandbox
) -> None:
    before_nano_usd, bill_nano_usd = own_proxy.spend_nano_usd(), own_sandbox.bill_nano_usd()

    reply = own_proxy.chat("search", _body("[sandbox:fault=drop-before-headers] Hello", model="opus", max_tokens=100))

    assert reply.status_code == 502
    eventually(lambda: own_proxy.spend_nano_usd() > before_nano_usd, within_s=30)
    held = json.loads(own_proxy.command("spend", "--by", "source,model", "--json"))
    (row,) = [row for row in held if row["source"] == "held"]
    assert row["model"] == "anthropic/claude-opus-4.7"
    assert row["cost_nano_usd"] > 100 * 25_000  # 100 output tokens at $25 per million, and the prompt
    assert own_sandbox.bill_nano_usd() == bill_nano_usd


def test_a_stream_that_was_read_to_its_end_is_ok_in_the_ledger(own_proxy: Proxy) -> None:
    """A server says "disconnect" after a complete answer too, which once was taken for a client that had gone."""
    for _ in range(20):
        own_proxy.chat("search", _body("Tell me about tea.", stream=True), x_penstock_tags="read-to-the-end")

    def outcomes() -> dict[str, int]:
        rows = json.loads(own_proxy.command("spend", "--by", "tag,outcome", "--json"))
        return {row["outcome"]: row["requests"] for row in rows if row["tag"] == "read-to-the-end"}

    eventually(lambda: sum(outcomes().values()) == 20, within_s=10)
    assert outcomes() == {"ok": 20}


def test_the_next_candidate_answers_when_the_first_fails_and_both_are_in_the_ledger(own_proxy: Proxy) -> None:
    reply = own_proxy.chat("search", _body("[sandbox:fault=503@deepseek/deepseek-v4-flash] Tell me about tea."))

    assert reply.status_code == 200
    assert reply.headers["x-penstock-model"] == "deepseek/deepseek-v4-pro"
    fallback = (
        'penstock_fallbacks_total{from_model="deepseek/deepseek-v4-flash",reason="upstream_503",'
        'to_model="deepseek/deepseek-v4-pro"}'
    )
    eventually(lambda: fallback in own_proxy.metrics(), within_s=10)


def test_an_error_after_the_first_byte_ends_the_stream_with_an_error_event_and_no_done(own_proxy: Proxy) -> None:
    reply = own_proxy.chat("search", _body("[sandbox:fault=mid-stream-error] Tell me about tea.", stream=True))

    assert reply.status_code == 200
    *_, last = [line for line in reply.text.split("\n\n") if line]
    error = json.loads(last.removeprefix("data: "))["error"]
    assert isinstance(error["code"], str)
    assert error["message"].startswith("openrouter answered 502")
    assert "[DONE]" not in reply.text


def _play(chance: random.Random, proxy: Proxy) -> Callable[[], str]:
    """One request to make, drawn now, made later; says how it ended."""
    team = chance.choice(("search", "research"))
    is_stream = chance.random() < 0.5
    faults = _FAULTS if is_stream else tuple(fault for fault in _FAULTS if fault != "drop-mid-stream")
    fault = f"[sandbox:fault={chance.choice(faults)}] " if chance.random() < 0.3 else ""
    body: dict[str, object] = {
        "model": chance.choice(("auto", "auto", "deepseek/deepseek-v4-pro")),
        "messages": [{"role": "user", "content": f"{fault}Tell me about {chance.choice(_TOPICS)} {chance.random()}"}],
        "stream": is_stream,
        "max_tokens": chance.choice((50, 200, 1000)),
    }
    if is_stream and chance.random() < 0.5:
        body["stream_options"] = {"include_usage": True}
    if chance.random() < 0.05:
        body["model"] = "nobody/nothing"
    if chance.random() < 0.25:
        after_bytes = chance.choice((0, 1, 300, 2_000, 5_000))
        return lambda: _hang_up(proxy, team, body, after_bytes=after_bytes)
    return lambda: str(proxy.chat(team, body).status_code)


def _body(content: str, **fields: object) -> dict[str, object]:
    return {"model": "auto", "messages": [{"role": "user", "content": content}], **fields}


def _hang_up(proxy: Proxy, team: str, body: dict[str, object], *, after_bytes: int) -> str:
    """Send a request and close the connection once that many bytes of the answer have come."""
    where = urlsplit(proxy.base_url)
    content = json.dumps(body).encode()
    head = (
        f"POST {where.path}/chat/completions HTTP/1.1\r\nHost: {where.netloc}\r\n"
        f"Authorization: Bearer {proxy.keys[team]}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((where.hostname, where.port), timeout=60) as connection:
        connection.sendall(head.encode() + content)
        received = 0
        while received < after_bytes:
            data = connection.recv(min(512, after_bytes - received))
            if not data:
                break
            received += len(data)
    return "hung up"


def _metric_sum(proxy: Proxy, sample_name: str) -> Decimal:
    return sum(
        (
            Decimal(repr(sample.value))
            for family in text_string_to_metric_families(proxy.metrics())
            for sample in family.samples
            if sample.name == sample_name
        ),
        Decimal(0),
    )


def _nano(usd: Decimal) -> int:
    return int(usd.scaleb(9).to_integral_value())
