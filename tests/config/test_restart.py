"""What a running process takes of new settings, and what waits."""

from pathlib import Path

from router.config.loader import load
from router.config.restart import held_back
from router.config.snapshot import AdminToken, Listen, StreamTimes
from router.keys import Secret
from router.roles import Role
from tests.replacing import replace

HERS = AdminToken("admin", Role.OWNER, Secret("t"), "$T")
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
    running = replace(RUNNING, admin=Listen("0.0.0.0", 8001), admin_tokens=(HERS,))

    kept, keys = held_back(running, RUNNING)

    assert keys == ("admin.listen", "admin.token_env, admin.token_file, admin.tokens")
    assert (kept.admin, kept.admin_tokens) == (running.admin, (HERS,))


def test_tokens_are_taken_while_there_are_some_before_and_after() -> None:
    his = AdminToken("grafana", Role.VIEWER, Secret("another"), "$GRAFANA")

    kept, keys = held_back(replace(RUNNING, admin_tokens=(HERS,)), replace(RUNNING, admin_tokens=(HERS, his)))
    without, named = held_back(RUNNING, replace(RUNNING, admin_tokens=(his,)))

    assert (kept.admin_tokens, keys) == ((HERS, his), ())
    assert (without.admin_tokens, named) == (RUNNING.admin_tokens, ("admin.token_env, admin.token_file, admin.tokens",))
