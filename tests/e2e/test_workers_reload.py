"""Several processes whose configuration changes: what those that follow a dead one begin with, and all agree on."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx2
import pytest

from tests.e2e.conftest import Sandbox
from tests.e2e.test_reload import edit
from tests.e2e.test_workers import BODY, Workers, ask, running_workers, stores
from tests.waiting import eventually

__all__ = ["stores"]

_CONNECTIONS = 12  # each of its own, so that both workers are asked


@pytest.fixture
def workers(own_sandbox: Sandbox, stores: dict[str, str], tmp_path: Path) -> Iterator[Workers]:
    with running_workers(tmp_path, own_sandbox, stores) as workers:
        yield workers


def told_by_all(workers: Workers) -> list[dict[str, object]]:
    """What different workers say of the configuration."""
    answers: list[dict[str, object]] = []
    for _ in range(_CONNECTIONS):
        with httpx2.Client() as http:
            answers.append(http.get(f"{workers.proxy.admin_url}/admin/config").json())
    return answers


def of_all(workers: Workers, key: str) -> set[str]:
    return {json.dumps(each[key]) for each in told_by_all(workers)}


def replaced(workers: Workers) -> None:
    """Every worker is killed, and another one serves in its place."""
    before = workers.pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not set(before) & set(workers.pids()), within_s=30)
    eventually(lambda: both_serve(workers), within_s=60)


def both_serve(workers: Workers) -> bool:
    try:
        return workers.metric("penstock_workers") == 2
    except httpx2.TransportError:  # nobody serves yet
        return False


def chat(workers: Workers) -> httpx2.Response:
    return workers.proxy.chat("search", BODY)


def test_workers_that_die_while_a_file_is_bad_are_replaced_under_the_configuration_in_force(workers: Workers) -> None:
    search = workers.proxy.config / "teams" / "search.yaml"
    edit(search, ("limit_usd: 40,", "limit_usd: 41,"))
    first = told_by_all(workers)[0]["version"]
    eventually(lambda: json.dumps(first) not in of_all(workers, "version"), within_s=20)
    (in_force,) = of_all(workers, "version")
    taken_at = workers.metric("penstock_config_last_reload_success_timestamp_seconds")

    edit(search, ("limit_usd: 41,", "limit_usd: -41,"))
    eventually(lambda: "null" not in of_all(workers, "failed_at"), within_s=20)
    failures = workers.metric("penstock_config_reload_failures_total")
    replaced(workers)
    answer = chat(workers)

    assert (answer.status_code, json.dumps(answer.headers["x-penstock-config"])) == (200, in_force)
    assert of_all(workers, "version") == {in_force}
    eventually(lambda: workers.metric("penstock_config_reload_failures_total") == failures + 2, within_s=20)
    assert all("search.yaml:" in str(each["problems"]) for each in told_by_all(workers))
    assert abs(workers.metric("penstock_config_last_reload_success_timestamp_seconds") - taken_at) < 2

    shutil.rmtree(workers.proxy.config / "teams")
    replaced(workers)
    assert of_all(workers, "version") == {in_force}
    assert chat(workers).status_code == 200


def test_a_worker_that_follows_another_counts_where_those_beside_it_count(workers: Workers) -> None:
    """Whatever penstock.yaml says of Redis now: with two of them every budget would be spent twice."""
    main = workers.proxy.config / "penstock.yaml"
    billed, spent = workers.sandbox.bill_nano_usd(), spent_today_nano_usd(workers)
    edit(main, ("redis: {url_env: BUDGETS_URL}", ""), ("postgres: {url_env: LEDGER_URL}", ""))
    eventually(lambda: of_all(workers, "next_start") == {'["postgres", "redis"]'}, within_s=20)

    os.kill(workers.pids()[0], signal.SIGKILL)
    eventually(lambda: workers.metric("penstock_workers") == 1, within_s=20)
    eventually(lambda: workers.metric("penstock_workers") == 2, within_s=60)
    stop = Event()
    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(ask, workers, stop) for _ in range(2)]
        eventually(lambda: workers.metric("penstock_requests_total") > 30, within_s=30)
        stop.set()
        told = [each.result() for each in asking]

    assert of_all(workers, "next_start") == {'["postgres", "redis"]'}
    assert {status for each in told for status in each.statuses} == {200}
    bill = workers.sandbox.bill_nano_usd() - billed
    eventually(lambda: workers.spent_nano_usd() == bill, within_s=20)
    eventually(lambda: spent_today_nano_usd(workers) == spent + bill, within_s=20)


def spent_today_nano_usd(workers: Workers) -> int:
    """As the budget of the day tells it."""
    budgets = workers.proxy.http.get(f"{workers.proxy.admin_url}/admin/budgets").json()["budgets"]
    return sum(
        round(float(each["spent_usd"]) * 1e9) for each in budgets if (each["team"], each["per"]) == ("search", "day")
    )
