"""A configuration that changes while requests go on: what they are served under, what they cost, what stays."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import CHECKOUT, Proxy, Sandbox, running_proxy
from tests.waiting import eventually

FLASH, PRO, GPT = "deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro", "openai/gpt-5.4"
CHAT = {"model": "auto", "messages": [{"role": "user", "content": "What should I call my cat?"}], "max_tokens": 40}


def edit(path: Path, *changes: tuple[str, str]) -> None:
    """Write the file anew, as editors do: beside it, and then in its place."""
    text = path.read_text()
    for old, new in changes:
        assert old in text, f"{path} has no {old!r}"
        text = text.replace(old, new)
    beside = path.with_suffix(".tmp")
    beside.write_text(text)
    beside.rename(path)


def config_of(proxy: Proxy) -> dict[str, Any]:
    answer: dict[str, Any] = proxy.http.get(f"{proxy.admin_url}/admin/config").json()
    return answer


def reloaded(proxy: Proxy) -> httpx2.Response:
    return proxy.http.post(f"{proxy.admin_url}/admin/reload")


def budgets_of(proxy: Proxy) -> dict[tuple[str, str], dict[str, Any]]:
    """By team and window."""
    shown = proxy.http.get(f"{proxy.admin_url}/admin/budgets").json()["budgets"]
    return {(each["team"], each["per"]): each for each in shown}


@pytest.fixture
def own_proxy(own_sandbox: Sandbox, tmp_path: Path) -> Iterator[Proxy]:
    with running_proxy(tmp_path, own_sandbox.base_url) as proxy:
        yield proxy


def test_a_change_is_taken_up_by_itself_and_asking_for_it_at_once_by_sighup(own_proxy: Proxy) -> None:
    search, first = own_proxy.config / "teams" / "search.yaml", config_of(own_proxy)["version"]

    edit(search, ("limit_usd: 40,", "limit_usd: 41,"))
    eventually(lambda: config_of(own_proxy)["version"] != first, within_s=10)
    second = config_of(own_proxy)["version"]
    edit(search, ("limit_usd: 41,", "limit_usd: 42,"))
    own_proxy.process.send_signal(signal.SIGHUP)
    eventually(lambda: budgets_of(own_proxy)["search", "day"]["limit_usd"] == "42.00", within_s=10)

    third = config_of(own_proxy)["version"]
    assert len({first, second, third}) == 3
    assert own_proxy.chat("search", CHAT).headers["x-penstock-config"] == third
    assert f'penstock_config_info{{version="{third}"}} 1.0' in own_proxy.metrics()
    assert first not in own_proxy.metrics()
    assert own_proxy.http.get(f"{own_proxy.base_url[:-3]}/readyz").json()["config"] == third


def test_a_bad_file_changes_nothing_and_is_told_and_the_next_good_one_is_taken(
    own_proxy: Proxy, tmp_path: Path
) -> None:
    search, first = own_proxy.config / "teams" / "search.yaml", config_of(own_proxy)["version"]

    edit(search, ("limit_usd: 40,", "limit_usd: -40,"), ("team: search\n", "team: search\nteem: search\n"))
    eventually(lambda: config_of(own_proxy)["failed_at"] is not None, within_s=10)
    told = config_of(own_proxy)
    answer = own_proxy.chat("search", CHAT)

    log = (tmp_path / "proxy.log").read_text()
    assert told["version"] == answer.headers["x-penstock-config"] == first
    assert answer.status_code == 200
    assert len(told["problems"]) == 2
    assert all(problem in log and "search.yaml:" in problem for problem in told["problems"])
    assert "penstock_config_reload_failures_total 1.0" in own_proxy.metrics()
    assert own_proxy.http.get(f"{own_proxy.admin_url}/readyz").json()["config_reload"] == "failed"
    refused = reloaded(own_proxy)
    assert (refused.status_code, refused.json()["problems"]) == (422, told["problems"])

    edit(search, ("limit_usd: -40,", "limit_usd: 43,"), ("teem: search\n", ""))
    eventually(lambda: config_of(own_proxy)["failed_at"] is None, within_s=10)
    assert budgets_of(own_proxy)["search", "day"]["limit_usd"] == "43.00"


def test_a_configmap_whose_data_is_swapped_is_read_anew(own_sandbox: Sandbox, tmp_path: Path) -> None:
    """Kubernetes has the files behind links to `..data`, which is a link itself, and renames another one over it."""

    def as_mounted(config: Path) -> None:
        shutil.copytree(config, config / "..one")
        for name in ("penstock.yaml", "models.yaml", "teams"):
            path = config / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            path.symlink_to(Path("..data") / name)
        (config / "..data").symlink_to("..one")

    shutil.copytree(CHECKOUT / "config" / "teams", tmp_path / "teams")
    with running_proxy(tmp_path / "own", own_sandbox.base_url, edit=as_mounted) as proxy:
        first = config_of(proxy)["version"]
        shutil.copytree(proxy.config / "..one", proxy.config / "..two")
        edit(proxy.config / "..two" / "teams" / "search.yaml", ("limit_usd: 40,", "limit_usd: 44,"))

        (proxy.config / "..next").symlink_to("..two")
        (proxy.config / "..next").rename(proxy.config / "..data")

        eventually(lambda: config_of(proxy)["version"] != first, within_s=10)
        assert budgets_of(proxy)["search", "day"]["limit_usd"] == "44.00"


def test_a_directory_that_was_found_and_is_gone_is_not_searched_for_anew(tmp_path: Path) -> None:
    """Without --config the shipped configuration would be found next, whose teams are nobody's here."""
    config = tmp_path / "xdg" / "penstock"
    shutil.copytree(CHECKOUT / "config", config)
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "router.cli.main", "serve", "--port", "0", "--admin-port", "0"],
        env={
            **os.environ,  # noqa: TID251 - a child inherits our surroundings
            "PYTHONPATH": str(CHECKOUT),
            "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
            "STATE_DIRECTORY": str(tmp_path / "state"),
        },
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            console = next(line.split()[1] for line in process.stdout if line.lstrip().startswith("console "))
            shutil.rmtree(config)
            answer = httpx2.post(f"{console}admin/reload")
        finally:
            process.terminate()

    assert answer.status_code == 422
    assert answer.json()["problems"] == [f"{config}:1:1: expected a directory with penstock.yaml, got none"]


def test_teams_come_and_go_with_their_keys_and_budgets(own_proxy: Proxy) -> None:
    teams = own_proxy.config / "teams"
    own_proxy.chat("research", CHAT)

    (teams / "research.yaml").rename(own_proxy.config / "research.away")
    assert reloaded(own_proxy).status_code == 200
    gone = own_proxy.chat("research", CHAT)
    there = set(budgets_of(own_proxy))
    (own_proxy.config / "research.away").rename(teams / "research.yaml")
    reloaded(own_proxy)

    assert (gone.status_code, gone.json()["error"]["code"]) == (401, "invalid_api_key")
    assert {team for team, _ in there} == {"search"}
    assert own_proxy.chat("research", CHAT).status_code == 200


def test_what_needs_a_restart_is_told_and_the_rest_is_taken(own_proxy: Proxy, tmp_path: Path) -> None:
    edit(
        own_proxy.config / "penstock.yaml",
        ("stop_grace_s: 30", "stop_grace_s: 31"),
        ("breakers: true", "breakers: false"),
    )
    edit(own_proxy.config / "teams" / "search.yaml", ("limit_usd: 40,", "limit_usd: 45,"))

    answer = reloaded(own_proxy).json()

    log = (tmp_path / "proxy.log").read_text()
    assert answer["next_start"] == ["stop_grace_s"]
    assert log.count("stop_grace_s of penstock.yaml was changed: it takes effect at the next start") == 1
    assert budgets_of(own_proxy)["search", "day"]["limit_usd"] == "45.00"


def test_a_changed_budget_keeps_what_was_spent_and_a_new_one_begins_with_the_ledger(own_proxy: Proxy) -> None:
    for _ in range(3):
        own_proxy.chat("search", CHAT)
    before = budgets_of(own_proxy)["search", "day"]

    edit(
        own_proxy.config / "teams" / "search.yaml",
        (
            "  - {limit_usd: 40, per: day, when_spent: reject}",
            "  - {limit_usd: 46, per: day}\n  - {limit_usd: 99, per: week}",
        ),
    )
    reloaded(own_proxy)
    after = budgets_of(own_proxy)

    assert float(before["spent_usd"]) > 0
    assert after["search", "day"]["spent_usd"] == after["search", "week"]["spent_usd"] == before["spent_usd"]
    assert after["search", "week"]["limit_usd"] == "99.00"


@dataclass
class Watched:
    """What clients have seen."""

    failures: list[str] = field(default_factory=list)
    served: list[tuple[str, str]] = field(default_factory=list)  # configuration and model, of each answer

    def await_answers(self, number: int) -> None:
        """The ninth of eight clients' answers was asked for after this was called."""
        enough = len(self.served) + number
        eventually(lambda: len(self.served) >= enough, within_s=30)


def keep_asking(proxy: Proxy, watched: Watched, until: threading.Event, *, is_stream: bool) -> None:
    body = {**CHAT, "stream": is_stream}
    while not until.is_set():
        answer = proxy.chat("search", body)
        if answer.status_code != 200 or (is_stream and not answer.text.endswith("data: [DONE]\n\n")):
            watched.failures.append(f"{answer.status_code} {answer.text[-300:]}")
        watched.served.append((answer.headers["x-penstock-config"], answer.headers.get("x-penstock-model", "")))


def test_fifty_changes_under_load_fail_no_request_and_every_answer_fits_its_configuration(
    own_sandbox: Sandbox, tmp_path: Path
) -> None:
    """Budgets rise and fall, a model goes and comes back, the policy's candidates change. The books are exact."""
    changes: list[tuple[str, Callable[[str], str]]] = [
        (FLASH, lambda team: team),
        (GPT, lambda team: team.replace(f"    candidates:\n      - {FLASH}\n      - {PRO}\n", "    candidates:\n")),
        (FLASH, lambda team: team.replace("limit_usd: 40,", "limit_usd: 7,")),
        (PRO, lambda team: team.replace(f"    candidates:\n      - {FLASH}\n", "    candidates:\n")),
        (FLASH, lambda team: team.replace("per: month", "per: week").replace("limit_usd: 500", "limit_usd: 400")),
    ]
    unlimited = ("  requests_per_minute: 600\n  tokens_per_minute: 2000000", "  requests_per_minute: 60000000")

    with running_proxy(
        tmp_path, own_sandbox.base_url, edit=lambda config: edit(config / "teams" / "search.yaml", unlimited)
    ) as proxy:
        search, models = proxy.config / "teams" / "search.yaml", proxy.config / "models.yaml"
        team, catalog = search.read_text(), models.read_text()
        billed_before = own_sandbox.bill_nano_usd()
        served_by = {config_of(proxy)["version"]: FLASH}
        watched, over = Watched(), threading.Event()
        with ThreadPoolExecutor(8) as clients:
            asking = [
                clients.submit(keep_asking, proxy, watched, over, is_stream=bool(number % 2)) for number in range(8)
            ]
            try:
                for number in range(50):
                    model, change = changes[number % len(changes)]
                    search.write_text(f"{change(team)}\n# {number}\n")
                    # A model that nobody may choose comes and goes.
                    models.write_text(
                        catalog if number % 2 else catalog.replace("google/gemini-3-flash-preview:", "google/gone:")
                    )
                    answer = reloaded(proxy)
                    assert answer.status_code == 200, answer.text
                    served_by[answer.json()["version"]] = model
                    watched.await_answers(9)
            finally:
                over.set()
            for each in asking:
                each.result()

        assert watched.failures == []
        assert len(served_by) == 51
        assert {version for version, _ in watched.served} == set(served_by)
        assert [each for each in watched.served if served_by[each[0]] != each[1]] == []
        bill = own_sandbox.bill_nano_usd() - billed_before
        eventually(lambda: proxy.spend_nano_usd() == bill, within_s=10)
        shown = budgets_of(proxy)
        assert {each["held_usd"] for each in shown.values()} == {"0.00"}
        spent = {per: round(float(shown["search", per]["spent_usd"]) * 1e9) for per in ("day", "week")}
        assert spent == {"day": bill, "week": bill}
