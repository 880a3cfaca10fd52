"""What a running process cannot change: addresses it listens on, stores it has open, how it is stopped."""

from dataclasses import replace

from router.config.snapshot import Settings


def held_back(running: Settings, read: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings that were `read`, as far as the process can take them, and the keys that wait for the next start.

    Admin tokens are taken as long as there are some before and after: that the port asks for none belongs to its
    address, since without one nothing but loopback may be listened on.
    """
    tokens = read.admin_tokens if _tokens_can_change(running, read) else running.admin_tokens
    differ = [key for key, is_same in _compared(running, read).items() if not is_same]
    kept = replace(
        read,
        listen=running.listen,
        admin=running.admin,
        admin_tokens=tokens,
        state_dir=running.state_dir,
        postgres=running.postgres,
        redis=running.redis,
        allowance=running.allowance,
        stop_grace_s=running.stop_grace_s,
        stop_notice_s=running.stop_notice_s,
        traces=running.traces,
        logs=running.logs,
        prompts=running.prompts,
        overload=running.overload,
        streams=replace(read.streams, unread_s=running.streams.unread_s),
    )
    return kept, tuple(differ)


def _tokens_can_change(running: Settings, read: Settings) -> bool:
    return running.asks_for_a_token and read.asks_for_a_token


def _compared(running: Settings, read: Settings) -> dict[str, bool]:
    """By the key of penstock.yaml, whether both are the same, or may differ."""
    is_taken = _tokens_can_change(running, read) or running.admin_tokens == read.admin_tokens
    return {
        "listen": running.listen == read.listen,
        "admin.listen": running.admin == read.admin,
        "admin.token_env, admin.token_file, admin.tokens": is_taken,
        "state.directory": running.state_dir == read.state_dir,
        "postgres": running.postgres == read.postgres,
        "redis": running.redis == read.redis,
        "redis.when_unreachable, redis.allowance": running.allowance == read.allowance,
        "stop_grace_s": running.stop_grace_s == read.stop_grace_s,
        "stop_notice_s": running.stop_notice_s == read.stop_notice_s,
        "traces": running.traces == read.traces,
        "logs": running.logs == read.logs,
        "prompts": running.prompts == read.prompts,
        "overload": running.overload == read.overload,
        "streams.unread_s": running.streams.unread_s == read.streams.unread_s,
    }
