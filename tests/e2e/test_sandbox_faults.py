"""Whatever the sandbox can do to a call, what the ledger says of it is what the sandbox bills."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from router.sandbox.faults import FAULTS, Break, Fault
from tests.e2e.conftest import Proxy, Sandbox, running_proxy, running_sandbox
from tests.waiting import eventually

# Nothing comes back to ask by, so the hold stays booked: see test_books.
_NOTHING_TO_ASK_BY = {Break.DROP_BEFORE_HEADERS, Break.RESET_BEFORE_HEADERS}
_NOTHING_TO_ASK_BY_WHOLE = {Break.DROP, Break.RESET}


@pytest.fixture(scope="module")
def own_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox") / "log") as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def own_proxy(own_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    def without_limits(config: Path) -> None:
        for team in (config / "teams").glob("*.yaml"):
            text = team.read_text()
            team.write_text(
                text.replace("requests_per_minute: ", "requests_per_minute: 100").replace(
                    "tokens_per_minute: ", "tokens_per_minute: 1000"
                )
            )

    with running_proxy(tmp_path_factory.mktemp("proxy"), own_sandbox.base_url, edit=without_limits) as proxy:
        yield proxy


def _plays() -> Iterator[tuple[Fault, bool]]:
    """Every fault whose cost can be known, streamed and whole."""
    for fault in FAULTS.values():
        if fault.breaks in (Break.STALL, Break.STALL_BEFORE_HEADERS) or fault.breaks in _NOTHING_TO_ASK_BY:
            continue
        yield fault, True
        if fault.breaks not in _NOTHING_TO_ASK_BY_WHOLE:
            yield fault, False


def test_the_ledger_agrees_with_the_bill_after_every_fault(own_proxy: Proxy, own_sandbox: Sandbox) -> None:
    plays = list(_plays())

    with ThreadPoolExecutor(8) as workers:
        answered = Counter(workers.map(lambda play: _play(own_proxy, *play), plays))

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
