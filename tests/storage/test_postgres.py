"""The shared store, and what is special about a server: it stops, dies, falls silent, is busy, and comes back."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg
import pytest

from router.keys import Secret
from router.storage.errors import BadStoreAddress, StoreUnavailable
from router.storage.pool import ConnectionPool
from router.storage.postgres import PostgresStore
from tests.storage.entries import AT, entry
from tests.storage.places import run
from tests.storage.postgres_server import PostgresServer
from tests.waiting import eventually

PATIENCE_S = 20.0
IMPATIENT_S = 0.3  # of a store in a test that waits for it to give up


@pytest.fixture
def url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.new_schema() as url:
        yield url


@contextmanager
def opened(url: str, *, pool_size: int = 4, patience_s: float = PATIENCE_S) -> Iterator[PostgresStore]:
    with closing(PostgresStore(Secret(url), pool_size=pool_size, patience_s=patience_s)) as store:
        yield store


@contextmanager
def locked(url: str) -> Iterator[psycopg.Connection]:
    """Another session keeps everybody from the entries."""
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE entries")
        yield other


def sessions(url: str, *, waiting: bool = False) -> list[int]:
    """The server's processes that serve stores, or those of them that wait for a lock."""
    condition = "AND wait_event_type = 'Lock'" if waiting else ""
    found = run(url, f"SELECT pid FROM pg_stat_activity WHERE application_name = 'penstock' {condition}")
    return [pid for (pid,) in found]


# The server is gone


def test_a_server_that_stops_is_reported_and_used_again_when_it_is_back(
    postgres_server: PostgresServer, url: str
) -> None:
    with opened(url) as store:
        store.write([entry("req_1")])
        postgres_server.stop()
        try:
            with pytest.raises(
                StoreUnavailable, match=r"^The PostgreSQL database postgres at /tmp/pg-\w+ cannot be used: "
            ):
                store.write([entry("req_2")])
            with pytest.raises(StoreUnavailable):
                store.all()
        finally:
            postgres_server.start()

        store.write([entry("req_2")])

        assert len(store.latest(10)) == 2


def test_a_restart_between_two_calls_is_not_noticed(postgres_server: PostgresServer, url: str) -> None:
    with opened(url) as store:
        store.write([entry("req_1")])
        postgres_server.stop()
        postgres_server.start()

        store.write([entry("req_2")])

        assert len(store.latest(10)) == 2


def test_what_is_written_survives_the_death_of_the_server(postgres_server: PostgresServer, url: str) -> None:
    with opened(url) as store:
        store.write([entry("req_1")])
        postgres_server.kill()
        postgres_server.start()

        assert [row["request_id"] for row in store.latest(10)] == ["req_1"]


def test_a_session_that_is_ended_in_the_middle_of_a_batch_writes_none_of_it(url: str) -> None:
    with opened(url) as store, ThreadPoolExecutor(1) as threads:
        with locked(url):
            writing = threads.submit(store.write, [entry("req_1"), entry("req_2")])
            eventually(lambda: bool(sessions(url, waiting=True)), within_s=PATIENCE_S)
            for pid in sessions(url, waiting=True):
                run(url, f"SELECT pg_terminate_backend({pid})")

            with pytest.raises(StoreUnavailable):
                writing.result(PATIENCE_S)

        assert store.latest(10) == []
        store.write([entry("req_1"), entry("req_2")])
        assert len(store.latest(10)) == 2


# The server does not answer


def test_a_server_that_falls_silent_is_given_up_and_used_again_when_it_speaks(
    postgres_server: PostgresServer, url: str
) -> None:
    with opened(url, patience_s=IMPATIENT_S) as store, ThreadPoolExecutor(1) as threads:
        store.write([entry("req_1")])
        with postgres_server.frozen():
            asking = threads.submit(store.latest, 10)
            with pytest.raises(StoreUnavailable):
                asking.result(IMPATIENT_S + 4)

        assert len(store.latest(10)) == 1


def test_an_address_that_takes_connections_and_says_nothing_is_given_up_after_two_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        start_s = time.monotonic()

        with pytest.raises(StoreUnavailable, match=r"^The PostgreSQL database ledger at 127\.0\.0\.1 cannot be used: "):
            PostgresStore(Secret(f"postgresql://penstock:hunter2@127.0.0.1:{port}/ledger"))

        assert time.monotonic() - start_s < 4


def test_a_statement_that_waits_for_a_lock_is_given_up_by_the_server(url: str) -> None:
    with opened(url, patience_s=IMPATIENT_S) as store:
        with locked(url), pytest.raises(StoreUnavailable, match="canceling statement due to statement timeout"):
            store.write([entry("req_1")])

        store.write([entry("req_1")])
        assert len(store.latest(10)) == 1


def test_a_call_for_which_no_connection_is_left_is_told_so(url: str) -> None:
    with closing(ConnectionPool(Secret(url), size=1)) as pool:
        with (
            pool.transaction(patience_s=PATIENCE_S),
            pytest.raises(StoreUnavailable, match=r"^All connections to PostgreSQL were in use for 0\.05 s\.$"),
            pool.transaction(patience_s=0.05),
        ):
            pass

        with pool.transaction(patience_s=PATIENCE_S) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


# The server says no


def test_a_server_that_refuses_the_user_is_named_without_the_password(postgres_server: PostgresServer) -> None:
    address = postgres_server.conninfo().replace("penstock@", "nobody:hunter2@")

    with pytest.raises(StoreUnavailable, match='role "nobody" does not exist') as refusal:
        PostgresStore(Secret(address))

    assert "hunter2" not in refusal.value.message


def test_a_server_that_is_not_there_is_reported_at_once() -> None:
    start_s = time.monotonic()

    with pytest.raises(StoreUnavailable, match="Connection refused"):
        PostgresStore(Secret("postgresql://penstock:hunter2@127.0.0.1:1/ledger"))

    assert time.monotonic() - start_s < 1


def test_a_read_only_server_is_unavailable(url: str) -> None:
    with opened(url):
        pass

    with pytest.raises(StoreUnavailable, match="read-only transaction"):
        PostgresStore(
            Secret(url.replace("-c%20search_path", "-c%20default_transaction_read_only%3Don%20-c%20search_path"))
        )


@pytest.mark.parametrize(
    "address", ["postgresql://penstock:hunter2@[", "hunter2", "postgres//hunter2", "host=a colour=red"]
)
def test_an_address_that_makes_no_sense_is_not_repeated(address: str) -> None:
    with pytest.raises(BadStoreAddress) as refusal:
        PostgresStore(Secret(address))

    assert refusal.value.message == (
        "The address of the PostgreSQL database cannot be read: it should look like "
        "postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
    )
    assert refusal.value.__cause__ is None


# Connections


def test_calls_one_after_the_other_share_one_connection_and_closing_gives_it_back(url: str) -> None:
    with opened(url) as store:
        for number in range(5):
            store.write([entry(f"req_{number}", at=AT)])
        assert len(sessions(url)) == 1

    eventually(lambda: not sessions(url), within_s=PATIENCE_S)


def test_a_connection_in_use_while_the_store_is_closed_is_given_back_afterwards(url: str) -> None:
    with opened(url) as store, ThreadPoolExecutor(1) as threads:
        with locked(url):
            writing = threads.submit(store.write, [entry("req_1")])
            eventually(lambda: bool(sessions(url, waiting=True)), within_s=PATIENCE_S)
            store.close()
        writing.result(PATIENCE_S)

    eventually(lambda: not sessions(url), within_s=PATIENCE_S)


def test_more_threads_than_connections_take_turns(url: str) -> None:
    with opened(url, pool_size=2) as store:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda number: store.write([entry(f"req_{number}")]), range(100)))

        assert len(store.latest(1_000)) == 100
        assert len(sessions(url)) <= 2
