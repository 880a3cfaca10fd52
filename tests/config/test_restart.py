"""What a running process takes of new settings, and what waits."""

from pathlib import Path

from router.config.loader import load
from router.config.restart import held_back
from router.config.snapshot import Listen, StreamTimes
from router.keys import Secret
from tests.replacing import replace

RUNNING = load(Path(__file__).resolve().parents[2] / "config", environment={}).settings


def test_settings_that_did_not_change_are_taken_as_they_are() -> None:
    assert held_back(RUNNING, RUNNING) == (RUNNING, ())


def test_addresses_stores_and_the_ways_to_stop_wait_and_each_is_named() -> None:
    read = replace(
        RUNNING,
        listen=Listen("127.0.0.1", 9000),
        state_dir=Path("/elsewhere"),
        stop_grace_s=99.0,
        streams=StreamTimes(comment_every_s=3.0, unread_s=99.0),
        max_body_bytes=99,
    )

    kept, keys = held_back(RUNNING, read)

    assert keys == ("listen", "state.directory", "stop_grace_s", "streams.unread_s")
    unread_s = RUNNING.streams.unread_s
    assert kept == replace(RUNNING, max_body_bytes=99, streams=StreamTimes(comment_every_s=3.0, unread_s=unread_s))


def test_the_admin_port_keeps_its_token_as_long_as_its_address() -> None:
    """The file may have taken both away at once: without a token nothing but loopback may be listened on."""
    running = replace(RUNNING, admin=Listen("0.0.0.0", 8001), admin_token=Secret("t"))

    kept, keys = held_back(running, RUNNING)

    assert keys == ("admin.listen", "admin.token_env, admin.token_file")
    assert (kept.admin, kept.admin_token) == (running.admin, Secret("t"))
