"""What a running process cannot change: addresses it listens on, stores it has open, how it is stopped."""

from dataclasses import replace

from router.config.snapshot import Settings


def held_back(running: Settings, read: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings that were `read`, as far as the process can take them, and the keys that wait for the next start.

    The admin port's token belongs to its address: without one nothing but loopback may be listened on.
    """
    differ = [key for key, is_same in _compared(running, read).items() if not is_same]
    kept = replace(
        read,
        listen=running.listen,
        admin=running.admin,
        admin_token=running.admin_token,
        admin_token_from=running.admin_token_from,
        state_dir=running.state_dir,
        postgres=running.postgres,
        redis=running.redis,
        allowance=running.allowance,
        stop_grace_s=running.stop_grace_s,
        stop_notice_s=running.stop_notice_s,
        traces=running.traces,
        logs=running.logs,
        streams=replace(read.streams, unread_s=running.streams.unread_s),
    )
    return kept, tuple(differ)


def _compared(running: Settings, read: Settings) -> dict[str, bool]:
    """By the key of penstock.yaml, whether both are the same."""
    tokens = [(each.admin_token, each.admin_token_from) for each in (running, read)]
    return {
        "listen": running.listen == read.listen,
        "admin.listen": running.admin == read.admin,
        "admin.token_env, admin.token_file": tokens[0] == tokens[1],
        "state.directory": running.state_dir == read.state_dir,
        "postgres": running.postgres == read.postgres,
        "redis": running.redis == read.redis,
        "redis.when_unreachable, redis.allowance": running.allowance == read.allowance,
        "stop_grace_s": running.stop_grace_s == read.stop_grace_s,
        "stop_notice_s": running.stop_notice_s == read.stop_notice_s,
        "traces": running.traces == read.traces,
        "logs": running.logs == read.logs,
        "streams.unread_s": running.streams.unread_s == read.streams.unread_s,
    }
