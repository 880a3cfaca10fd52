"""A server to look at: a month in its ledger, and requests of all kinds through the sandbox: `staged`."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx2

from router.assembly.clock import utc_now
from router.catalog.catalog import ModelName, ProviderName
from router.ledger import LedgerEntry, Outcome
from router.storage.sqlite import SqliteStore
from tests.console.million import fill
from tests.e2e.conftest import Proxy, Sandbox, running_proxy, running_sandbox
from tests.replacing import replace
from tests.storage.entries import attempt, entry
from tests.waiting import eventually

_ASKED = (
    "What is a penstock?",
    "Write a Python function that merges two sorted lists.",
    "Translate into French: the gate lets just enough water through.",
    "A train leaves at 9:40 and arrives at 13:05. How long does it take? Explain step by step.",
    "Summarize this in a sentence: Penstock is a proxy that chooses the cheapest model that is good enough.",
    "Extract name and city as JSON: Ada Lovelace lived in London.",
    "Prove that there are infinitely many primes.",
    "Is this review positive or negative? 'It broke after a day.'",
)


# Such that something is to be seen of what was spent.
_LIMITS = {
    "search": (("limit_usd: 500,", "limit_usd: 8,"), ("limit_usd: 40,", "limit_usd: 0.2,")),
    "research": (("limit_usd: 3000,", "limit_usd: 20,"), ("limit_usd: 250,", "limit_usd: 0.9,")),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """What can be looked at."""

    proxy: Proxy
    request_ids: list[str]  # in the order in which they were sent

    @property
    def console(self) -> str:
        return self.proxy.admin_url


EVIL = "<script>alert(1)</script>\"'&amp; \u202eרע ünïcödé"
LONG = "a-" + "very-" * 30 + "long-name"


def _hostile(now: datetime) -> LedgerEntry:
    """An entry whose names are such that a careless page would run them, or be torn by them."""
    call = replace(attempt(), model=ModelName(EVIL), provider=ProviderName(LONG), outcome=EVIL)
    made = entry("req_evil", call, at=now, team=EVIL, alias=LONG, tags=(EVIL, LONG))
    return replace(made, policy=EVIL, rule=LONG, baseline=ModelName(EVIL), outcome=Outcome.CUT, profile_json=b"\xff")


@contextmanager
def staged(directory: Path, *, past: int, is_hostile: bool = False, is_slow: bool = False) -> Iterator[Stage]:
    """`past` entries lie in the month before; `is_slow`: the sandbox takes its time, as providers do."""

    def edit(config: Path) -> None:
        shutil.copytree(config, directory / "config.thrifty")
        team = directory / "config.thrifty" / "teams" / "research.yaml"
        text = team.read_text()
        thrifty = text.replace("at_least: 0.95, of: best", "at_least: 0.75, of: best")
        assert thrifty != text
        team.write_text(thrifty)
        for name, limits in _LIMITS.items():
            file = config / "teams" / f"{name}.yaml"
            text = file.read_text()
            for old, new in limits:
                assert old in text
                text = text.replace(old, new)
            file.write_text(text)

    if past:
        (directory / "state").mkdir(parents=True, exist_ok=True)
        with closing(SqliteStore(directory / "state" / "penstock.sqlite")) as store:
            fill(store, past, until=utc_now())
            if is_hostile:
                store.write([_hostile(utc_now())])
    options = ("--spread", "0.3", "--time-scale", "0.4" if is_slow else "0")
    with (
        running_sandbox(directory / "sandbox.log", *options) as sandbox,
        running_proxy(directory, sandbox.base_url, edit=edit) as proxy,
    ):
        yield Stage(proxy, _traffic(proxy, sandbox))


def _traffic(proxy: Proxy, sandbox: Sandbox) -> list[str]:
    """Requests that were answered, streamed, refused, fell back and were judged."""
    answers: list[httpx2.Response] = []
    for number in range(24):
        body = {
            "model": "gpt-5.4" if number % 8 == 2 else "auto",
            "messages": [{"role": "user", "content": _ASKED[number % len(_ASKED)]}],
            "max_tokens": 400,
            "stream": number % 3 == 0,
        }
        answers.append(
            proxy.chat(("search", "research")[number % 2], body, x_penstock_tags=f"app=web,run=n{number % 3}")
        )
    for fault in ("503@deepseek/deepseek-v4-flash", "mid-stream-error"):
        body = {
            "model": "auto",
            "messages": [{"role": "user", "content": f"Say hello. [sandbox:fault={fault}]"}],
            "stream": True,
        }
        answers.append(proxy.chat("search", body))
    too_dear = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
    answers.append(proxy.chat("search", too_dear, x_penstock_max_cost_usd="0.00000001"))
    ids = [answer.headers["x-request-id"] for answer in answers]
    booked = f"{proxy.admin_url}/admin/requests?limit=500"
    eventually(
        lambda: set(ids) <= {each["request_id"] for each in proxy.http.get(booked).json()["requests"]}, within_s=20
    )
    for number, answer in enumerate(answers[:24]):
        if answer.status_code == 200 and number % 3:
            proxy.http.post(
                f"{proxy.base_url}/feedback",
                content=json.dumps({"request_id": ids[number], "score": (1, 0.5, 1, 0)[number % 4]}),
                headers={"authorization": f"Bearer {proxy.keys[('search', 'research')[number % 2]]}"},
            )
    assert sandbox.bill_nano_usd() > 0
    return ids
