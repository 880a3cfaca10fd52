"""A process that shares its budgets in Redis and its ledger in PostgreSQL: what a supervisor and a balancer see."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from router.storage.journal import Intent, Record, Sent, records
from tests.e2e.conftest import Sandbox, running_proxy
from tests.limits.redis_server import RedisServer
from tests.storage.postgres_server import PostgresServer, programs, running_server
from tests.waiting import eventually

BODY = {"model": "auto", "messages": [{"role": "user", "content": "Hm?"}], "max_tokens": 20}
STORES = """
redis: {url_env: BUDGETS_URL}
postgres: {url_env: LEDGER_URL}
"""


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with running_server(found) as server:
        yield server


def test_a_start_without_redis_is_alive_and_not_ready_and_says_so_until_redis_comes(
    sandbox: Sandbox, postgres: PostgresServer, tmp_path: Path
) -> None:
    log = tmp_path / "proxy" / "proxy.log"
    log.parent.mkdir()
    with (
        closing(RedisServer(tmp_path)) as redis,
        running_proxy(
            log.parent,
            sandbox.base_url,
            edit=with_stores,
            by_command=True,
            BUDGETS_URL=redis.url,
            LEDGER_URL=postgres.conninfo(),
        ) as proxy,
    ):
        health, ready = (proxy.base_url.replace("/v1", path) for path in ("/healthz", "/readyz"))
        away, back = "Redis does not answer, so budgets and limits cannot be checked: ", "Redis answers again"
        eventually(lambda: away in log.read_text(), within_s=10)
        unready = proxy.http.get(ready)

        assert proxy.http.get(health).status_code == 200
        assert unready.status_code == 503
        assert unready.json()["error"]["message"].startswith("Budgets cannot be checked: Redis is out of reach")

        redis.start()
        eventually(lambda: proxy.http.get(ready).status_code == 200, within_s=20)
        eventually(lambda: back in log.read_text(), within_s=5)
        assert log.read_text().count(away) == 1


def test_a_hold_that_outlives_its_process_is_in_the_journal_before_it_is_made(
    sandbox: Sandbox, postgres: PostgresServer, tmp_path: Path
) -> None:
    with closing(RedisServer(tmp_path)) as redis:
        redis.start()
        alone = left_by_a_killed_process(sandbox, tmp_path / "alone")
        shared = left_by_a_killed_process(
            sandbox, tmp_path / "shared", edit=with_stores, BUDGETS_URL=redis.url, LEDGER_URL=postgres.conninfo()
        )

    assert [type(record) for record in alone] == [Sent]
    assert [type(record) for record in shared] == [Intent, Sent]


def left_by_a_killed_process(
    sandbox: Sandbox, directory: Path, *, edit: Callable[[Path], None] = lambda _: None, **environment: str
) -> list[Record]:
    """The journal of a process that was killed while a provider did not answer."""
    asked = {**BODY, "messages": [{"role": "user", "content": f"[sandbox:fault=stall-before-headers] {directory}"}]}
    with running_proxy(directory, sandbox.base_url, edit=edit, by_command=True, **environment) as proxy:
        ready = proxy.base_url.replace("/v1", "/readyz")
        eventually(lambda: proxy.http.get(ready).status_code == 200, within_s=20)
        with ThreadPoolExecutor(1) as threads:
            threads.submit(proxy.chat, "search", asked)
            eventually(lambda: json.dumps(asked["messages"]) in json.dumps(sandbox.requests()), within_s=10)
            os.kill(proxy.process.pid, signal.SIGKILL)
    (journal,) = (directory / "state" / "journal").glob("*/*.journal")
    return list(records(journal, msgspec.msgpack.Decoder(Record)))


def with_stores(config: Path) -> None:
    with (config / "penstock.yaml").open("a") as main:
        main.write(STORES)
