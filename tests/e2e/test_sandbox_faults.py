"""Whatever the sandbox can do to a call, what the ledger says of it is what the sandbox bills."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from router.sandbox.faults import Fault
from tests.e2e.conftest import Proxy, Sandbox, run_penstock, running_proxy, running_sandbox
from tests.e2e.every_fault import every_play, without_breakers, without_rate_limits
from tests.waiting import eventually


@pytest.fixture(scope="module")
def own_proxy(own_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    def without_limits(config: Path) -> None:
        without_rate_limits(config)
        without_breakers(config)

    with running_proxy(tmp_path_factory.mktemp("proxy"), own_sandbox.base_url, edit=without_limits) as proxy:
        yield proxy


def test_the_ledger_agrees_with_the_bill_after_every_fault(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    plays = list(every_play())

    with ThreadPoolExecutor(8) as workers:
        answered = Counter(workers.map(lambda play: _play(own_proxy, *play), plays))

    met = json.dumps(own_sandbox.requests())
    assert [fault.name for fault, _ in plays if f"fault={fault.name}]" not in met] == []
    assert answered[True] > 100  # of the proxy it can be said that it answers, whatever the provider did
    eventually(lambda: own_proxy.spend_nano_usd() == own_sandbox.bill_nano_usd() > 0, within_s=60)


def _play(proxy: Proxy, fault: Fault, is_stream: bool) -> bool:
    """One call that meets the fault; whether an HTTP answer came of it."""
    body = {
        "model": "deepseek/deepseek-v4-pro",
        "messages": [{"role": "user", "content": f"[sandbox:fault={fault.name}] Tell me about penstocks."}],
        "stream": is_stream,
        "max_tokens": 300,
    }
    try:
        proxy.chat("research", body)
    except httpx2.TransportError:
        return False
    return True


def test_what_deepseek_itself_bills_is_what_is_computed_from_its_tokens(tmp_path: Path, own_sandbox: Sandbox) -> None:
    """It tells no cost, so two price lists meet here that know nothing of one another."""

    def with_deepseek(config: Path) -> None:
        main = config / "penstock.yaml"
        text = main.read_text().replace("https://api.deepseek.com", f"{own_sandbox.base_url}/deepseek")
        main.write_text(text.replace("DEEPSEEK_API_KEY", "OWN_DEEPSEEK_KEY"))

    before_nano_usd = own_sandbox.bill_nano_usd()
    content = "[sandbox:fault=503@deepseek/deepseek-v4-flash] Tell me about penstocks."  # OpenRouter's name for it
    body = {
        "model": "deepseek/deepseek-v4-flash",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 300,
    }
    with running_proxy(tmp_path, own_sandbox.base_url, edit=with_deepseek, OWN_DEEPSEEK_KEY="sk-own") as proxy:
        replies = [proxy.chat("search", body | {"stream": is_stream}) for is_stream in (False, True)]

        assert [reply.status_code for reply in replies] == [200, 200]
        eventually(lambda: proxy.spend_nano_usd() == own_sandbox.bill_nano_usd() - before_nano_usd > 0, within_s=30)

    servers = {line["server"] for line in own_sandbox.http.get("/sandbox/bill").json()["generations"][-2:]}
    assert servers == {"deepseek"}


def test_a_scenario_file_is_played_from_the_start(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('{"steps": [{"fault": "503", "times": 1}], "account": {"missing_reads": 2}}')

    with running_sandbox(tmp_path / "log", "--scenario", str(plan), "--spread", "0.25") as sandbox:
        body = {"model": "openai/gpt-5.4", "messages": [{"role": "user", "content": "Hello"}]}
        key = {"authorization": "Bearer sk-or-x"}
        statuses = [sandbox.http.post("/api/v1/chat/completions", json=body, headers=key).status_code for _ in "12"]

        assert statuses == [503, 200]
        assert sandbox.http.get("/sandbox/account").json()["missing_reads"] == 2


def test_a_scenario_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('{"steps": [{"fault": "out-of-coffee"}]}')

    ended = run_penstock("sandbox", "--port", "0", "--scenario", str(plan))

    assert ended.returncode == 1
    assert b"plan.json: The sandbox knows no fault 'out-of-coffee'" in ended.stderr
