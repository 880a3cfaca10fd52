"""Several processes that serve one address: what clients, a supervisor and Prometheus see of them."""

import json
import os
import re
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import CHECKOUT, Proxy, Sandbox, run_penstock, running_proxy
from tests.e2e.test_shared_stores import with_stores
from tests.limits.redis_server import RedisServer
from tests.storage.postgres_server import programs, running_server
from tests.waiting import eventually

BODY = {"model": "auto", "messages": [{"role": "user", "content": "Tell me about tea."}], "max_tokens": 60}
_LINE = re.compile(r"worker (\d) \(process (\d+)\) was killed by SIGKILL; another one is started now")


@dataclass(frozen=True, slots=True)
class Workers:
    """A parent of two."""

    proxy: Proxy
    log: Path
    sandbox: Sandbox
    ledger_url: str

    def pids(self) -> list[int]:
        """Of its children."""
        parent = self.proxy.process.pid
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def metric(self, name: str) -> float:
        """The sum of a metric, as whichever worker is asked tells it."""
        with httpx2.Client() as http:  # a connection of its own, so that it is not always the same one
            text = http.get(f"{self.proxy.admin_url}/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )

    def spent_nano_usd(self) -> int:
        return round(self.metric("penstock_spend_usd_total") * 10**9)

    def books(self) -> "Books":
        """The ledger beside the sandbox's bill, as both are now."""
        with psycopg.connect(self.ledger_url) as connection:
            calls = connection.execute("SELECT generation_id, cost_nano_usd, source FROM attempts").fetchall()
        bill = {each["id"]: each["nano_usd"] for each in self.sandbox.http.get("/sandbox/bill").json()["generations"]}
        named = {generation: cost for generation, cost, _ in calls if generation is not None}
        unnamed = [cost for generation, cost, source in calls if generation is None and source == "held"]
        return Books(
            booked_nano_usd=sum(cost for _, cost, _ in calls),
            is_as_billed=named == {generation: bill[generation] for generation in named},
            unnamed_calls=len(unnamed),
            unnamed_nano_usd=sum(unnamed),
            billed_besides_nano_usd=sum(cost for generation, cost in bill.items() if generation not in named),
        )


@dataclass(frozen=True, slots=True)
class Books:
    """What is booked, and what is billed for it."""

    booked_nano_usd: int
    is_as_billed: bool  # each call that the provider has named
    unnamed_calls: int  # their process was killed before the provider's answer began; booked as held
    unnamed_nano_usd: int
    billed_besides_nano_usd: int  # for calls that the ledger does not know by name

    @property
    def agree(self) -> bool:
        return self.is_as_billed and 0 <= self.billed_besides_nano_usd <= self.unnamed_nano_usd


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables with the addresses of a Redis and a PostgreSQL."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with (
        running_server(found) as postgres,
        closing(RedisServer(tmp_path_factory.mktemp("redis"))) as redis,
    ):
        redis.start()
        yield {"BUDGETS_URL": redis.url, "LEDGER_URL": postgres.conninfo()}


@contextmanager
def running_workers(directory: Path, sandbox: Sandbox, stores: dict[str, str]) -> Iterator[Workers]:
    with running_proxy(
        directory, sandbox.base_url, edit=with_stores, by_command=True, options=("--workers", "2"), **stores
    ) as proxy:
        yield Workers(proxy, directory / "proxy.log", sandbox, stores["LEDGER_URL"])


@pytest.fixture(scope="module")
def workers(
    own_sandbox: Sandbox, stores: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    """For tests that leave them serving."""
    with running_workers(tmp_path_factory.mktemp("workers"), own_sandbox, stores) as workers:
        yield workers


@pytest.fixture
def own_workers(own_sandbox: Sandbox, stores: dict[str, str], tmp_path: Path) -> Iterator[Workers]:
    with running_workers(tmp_path, own_sandbox, stores) as workers:
        yield workers


@dataclass(slots=True)
class Told:
    """What clients were told."""

    statuses: list[int]  # 0: the connection broke
    requests: list[str]  # ids of answers that came whole


def ask(workers: Workers, stop: threading.Event) -> Told:
    """Ask again and again, each time by a connection of its own."""
    told = Told([], [])
    headers = {"authorization": f"Bearer {workers.proxy.keys['search']}"}
    while not stop.is_set():
        with httpx2.Client(timeout=60) as http:
            try:
                reply = http.post(f"{workers.proxy.base_url}/chat/completions", json=BODY, headers=headers)
            except httpx2.TransportError:
                told.statuses.append(0)
                continue
        told.statuses.append(reply.status_code)
        told.requests.append(reply.headers["x-request-id"])
    return told


def test_a_killed_worker_loses_no_money_and_the_others_go_on(workers: Workers) -> None:
    proxy = workers.proxy
    first, second = workers.pids()
    stop = threading.Event()

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask, workers, stop) for _ in range(4)]
        eventually(lambda: workers.metric("penstock_requests_total") > 40, within_s=30)
        before = workers.metric("penstock_requests_total")
        os.kill(first, signal.SIGKILL)
        eventually(lambda: workers.metric("penstock_workers") == 1, within_s=10)
        after = workers.metric("penstock_requests_total")
        eventually(lambda: workers.metric("penstock_workers") == 2, within_s=30)
        eventually(lambda: workers.metric("penstock_requests_total") > after + 40, within_s=30)
        stop.set()
        told = [each.result() for each in asking]

    statuses = [status for each in told for status in each.statuses]
    assert after >= before  # what the killed one had counted is told by the other
    assert _LINE.findall(workers.log.read_text()) == [("1", str(first))]
    assert second in workers.pids()
    assert set(statuses) <= {200, 0}
    assert statuses.count(0) <= 4  # those that it was answering
    eventually(lambda: workers.metric("penstock_in_flight_requests") == 0, within_s=30)
    eventually(lambda: workers.books().agree, within_s=60)
    eventually(
        lambda: workers.spent_nano_usd() == workers.books().booked_nano_usd == proxy.spend_nano_usd(), within_s=10
    )
    assert workers.metric("penstock_worker_restarts_total") == 1
    booked = json.loads(proxy.command("spend", "--by", "", "--json"))[0]["requests"]
    assert booked >= len([each for each in told for _ in each.requests])


def test_what_a_killed_worker_asked_without_hearing_of_it_stays_booked_as_held(own_workers: Workers) -> None:
    before = own_workers.books()  # other tests' workers use the same stores
    stop = threading.Event()
    with ThreadPoolExecutor(8) as threads:
        own_workers.sandbox.process.send_signal(signal.SIGSTOP)
        try:
            asking = [threads.submit(ask, own_workers, stop) for _ in range(8)]
            eventually(lambda: own_workers.metric("penstock_in_flight_requests") == 8, within_s=30)
            stop.set()
            first, _ = own_workers.pids()
            os.kill(first, signal.SIGKILL)
            eventually(lambda: own_workers.metric("penstock_worker_restarts_total") == 1, within_s=30)
        finally:
            own_workers.sandbox.process.send_signal(signal.SIGCONT)
        statuses = [status for each in asking for status in each.result().statuses]

    killed = statuses.count(0)
    assert statuses.count(200) + killed == 8
    eventually(lambda: own_workers.metric("penstock_in_flight_requests") == 0, within_s=30)
    left = before.unnamed_calls + killed
    eventually(lambda: (books := own_workers.books()).agree and books.unnamed_calls == left, within_s=60)
    books = own_workers.books()
    assert (books.unnamed_nano_usd > before.unnamed_nano_usd) == (killed > 0)
    booked = books.booked_nano_usd - before.booked_nano_usd
    eventually(lambda: own_workers.spent_nano_usd() == booked, within_s=10)
    assert own_workers.proxy.spend_nano_usd() == books.booked_nano_usd


def test_both_workers_serve_and_the_one_that_is_asked_tells_the_figures_of_both(workers: Workers) -> None:
    before = workers.metric("penstock_requests_total")
    timed_before = workers.metric("penstock_request_duration_seconds_count")  # a killed one's last calls took no time
    stop = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(ask, workers, stop) for _ in range(2)]
        eventually(lambda: workers.metric("penstock_requests_total") >= before + 60, within_s=30)
        stop.set()
        answers = sum(len(each.result().statuses) for each in asking)

    eventually(lambda: workers.metric("penstock_in_flight_requests") == 0, within_s=10)
    assert {workers.metric("penstock_requests_total") for _ in range(12)} == {before + answers}
    timed = {workers.metric("penstock_request_duration_seconds_count") for _ in range(12)}
    assert timed == {timed_before + answers}


def test_a_worker_that_is_told_to_stop_is_replaced_without_a_failed_request(workers: Workers) -> None:
    restarts = workers.metric("penstock_worker_restarts_total")
    before = workers.pids()
    stop = threading.Event()
    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask, workers, stop) for _ in range(4)]
        os.kill(before[0], signal.SIGTERM)
        eventually(lambda: before[0] not in workers.pids(), within_s=30)
        eventually(lambda: workers.metric("penstock_worker_restarts_total") == restarts + 1, within_s=30)
        eventually(lambda: workers.metric("penstock_workers") == 2, within_s=30)
        stop.set()
        told = [each.result() for each in asking]

    assert {status for each in told for status in each.statuses} == {200}
    assert before[1] in workers.pids()


def test_a_stop_is_passed_on_and_what_is_under_way_is_served_to_its_end(own_workers: Workers) -> None:
    proxy = own_workers.proxy
    stop = threading.Event()
    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask, own_workers, stop) for _ in range(2)]
        eventually(lambda: own_workers.metric("penstock_requests_total") > 10, within_s=30)
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(60) == 0
        stop.set()
        told = [each.result() for each in asking]

    assert {status for each in told for status in each.statuses} <= {200, 0}
    log = own_workers.log.read_text()
    assert "another one is started" not in log
    assert "Traceback" not in log
    books = own_workers.books()
    assert books.agree
    assert proxy.spend_nano_usd() == books.booked_nano_usd


def test_workers_whose_parent_is_killed_stop_in_order_and_free_the_port(own_workers: Workers) -> None:
    proxy = own_workers.proxy
    pids = own_workers.pids()
    port = urlsplit(proxy.base_url).port
    assert port is not None

    proxy.process.kill()
    proxy.process.wait()

    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), within_s=30)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
    assert own_workers.log.read_text().count("the parent process is gone: stopping") == 2


# Starts that come to nothing


def test_several_workers_without_redis_are_refused_with_the_reason_and_the_remedy(tmp_path: Path) -> None:
    refused = run_penstock(
        "serve",
        "--config",
        "config",
        "--workers",
        "2",
        environment={**os.environ, "STATE_DIRECTORY": str(tmp_path)},  # noqa: TID251 - a child inherits our surroundings
    )

    assert refused.returncode == 1
    assert refused.stderr.decode().startswith(
        "--workers 2 needs Redis and PostgreSQL: without them budgets are counted in the memory of one process"
    )
    assert "Configure redis and postgres in penstock.yaml" in refused.stderr.decode()
    assert refused.stderr.count(b"\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_worker_that_cannot_start_says_why_once_and_the_parent_ends(stores: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CHECKOUT / "config", config)
    with_stores(config)
    environment = {
        **os.environ,  # noqa: TID251 - as above
        **stores,
        "LEDGER_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "STATE_DIRECTORY": str(tmp_path / "state"),
    }

    ended = run_penstock(
        *("serve", "--config", str(config), "--port", "0", "--admin-port", "0", "--workers", "3"),
        environment=environment,
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith(b"The PostgreSQL database nothing at 127.0.0.1 cannot be used: ")
    assert ended.stderr.count(b"\n") == 1
    assert b"base URL" not in ended.stdout


def test_a_port_that_another_parent_serves_is_taken(workers: Workers) -> None:
    port = str(urlsplit(workers.proxy.base_url).port)

    second = run_penstock(
        *("serve", "--config", str(workers.proxy.config), "--port", port, "--admin-port", "0", "--workers", "2"),
        environment=workers.proxy.environment,
    )

    assert second.returncode == 1
    assert second.stderr.decode().startswith(f"Cannot listen on 127.0.0.1:{port} (Address already in use).")
