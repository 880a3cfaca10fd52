"""Two machines on one Redis and one PostgreSQL whose configuration changes, not at the same moment."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Proxy, Sandbox, running_proxy, running_sandbox
from tests.e2e.test_reload import CHAT, edit, reloaded
from tests.e2e.test_shared_stores import with_stores
from tests.limits.redis_server import RedisServer
from tests.storage.postgres_server import programs, running_server
from tests.waiting import eventually

_TEAMS = ("search", "research")


@pytest.fixture
def slow_sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """Whose streams last some tenths of a second, so that every change finds some under way."""
    with running_sandbox(tmp_path / "sandbox.log", "--time-scale", "0.1") as sandbox:
        yield sandbox


@pytest.fixture
def both(slow_sandbox: Sandbox, tmp_path: Path) -> Iterator[tuple[Proxy, Proxy]]:
    """The second has the keys of the first."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")

    def unlimited(config: Path) -> None:
        with_stores(config)
        search = config / "teams" / "search.yaml"
        edit(search, ("  requests_per_minute: 600\n  tokens_per_minute: 2000000", "  requests_per_minute: 60000000"))

    with ExitStack() as running:
        postgres = running.enter_context(running_server(found))
        redis = running.enter_context(closing(RedisServer(tmp_path)))
        redis.start()
        stores = {
            "BUDGETS_URL": redis.url,
            "LEDGER_URL": postgres.conninfo(),
            "STATE_DIRECTORY": str(tmp_path / "state"),
        }
        first, second = (
            running.enter_context(
                running_proxy(tmp_path / name, slow_sandbox.base_url, edit=unlimited, by_command=True, **stores)
            )
            for name in ("first", "second")
        )
        yield first, second


def budgets_of(proxy: Proxy) -> dict[str, dict[str, Any]]:
    """Those of teams, by team and window."""
    shown = proxy.http.get(f"{proxy.admin_url}/admin/budgets").json()["budgets"]
    return {f"{each['team']}/{each['per']}": each for each in shown if each["kind"] == "team"}


def ask(proxy: Proxy, team: str, number: int, over: threading.Event, told: list[tuple[str, int, bool]]) -> None:
    """Again and again: of each answer the team, the status, and whether all of it came."""
    is_stream = bool(number % 2)
    while not over.is_set():
        answer = proxy.chat(team, {**CHAT, "stream": is_stream})
        is_whole = answer.text.endswith("data: [DONE]\n\n") if is_stream else '"usage"' in answer.text
        told.append((team, answer.status_code, is_whole))


def test_teams_and_budgets_change_on_one_machine_after_the_other_and_the_books_are_exact(
    both: tuple[Proxy, Proxy], slow_sandbox: Sandbox
) -> None:
    over, told = threading.Event(), list[tuple[str, int, bool]]()
    with ThreadPoolExecutor(8) as threads:
        asking = [
            threads.submit(ask, proxy, team, number, over, told)
            for proxy in both
            for team in _TEAMS
            for number in range(2)
        ]
        try:
            for number in range(6):
                for proxy in both:
                    change(proxy, is_research_away=number % 2 == 0, limit_usd=50 + number)
                    await_more(told, 12)
        finally:
            over.set()
        for each in asking:
            each.result()

    assert {status for team, status, _ in told if team == "search"} == {200}
    assert {status for team, status, _ in told if team == "research"} == {200, 401}
    assert all(is_whole for _, status, is_whole in told if status == 200)
    bill = slow_sandbox.bill_nano_usd()
    eventually(lambda: both[0].spend_nano_usd() == bill, within_s=30)
    for proxy in both:
        await_spent(proxy, bill)
        assert budgets_of(proxy)["search/day"]["limit_usd"] == "55.00"


def await_more(told: list[tuple[str, int, bool]], number: int) -> None:
    enough = len(told) + number
    eventually(lambda: len(told) >= enough, within_s=30)


def await_spent(proxy: Proxy, nano_usd: int) -> None:
    eventually(lambda: spent_nano_usd(proxy) == nano_usd, within_s=20)


def spent_nano_usd(proxy: Proxy) -> int | None:
    """Of all teams' months; None while something is held."""
    shown = budgets_of(proxy)
    if any(each["held_usd"] != "0.00" for each in shown.values()):
        return None
    return sum(round(float(shown[f"{team}/month"]["spent_usd"]) * 1e9) for team in _TEAMS)


def change(proxy: Proxy, *, is_research_away: bool, limit_usd: int) -> None:
    search, research = proxy.config / "teams" / "search.yaml", proxy.config / "teams" / "research.yaml"
    away = proxy.config / "research.away"
    (research if is_research_away else away).rename(away if is_research_away else research)
    edit(search, (f"limit_usd: {40 if limit_usd == 50 else limit_usd - 1},", f"limit_usd: {limit_usd},"))
    answer = reloaded(proxy)
    assert answer.status_code == 200, answer.text
