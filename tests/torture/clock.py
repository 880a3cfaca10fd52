"""e: wall clocks jump. A budget may be spent once in each window that the clock has shown, and not twice.

On shared stores there are several clocks: of each process, a minute apart, and of Redis, which alone decides about
windows and leases. First the processes' jump, then Redis's as well; then the processes' again, under streams that
outlast the lease of what they hold.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis

from tests.torture.books import Comparison, LedgerReader, bill, compared, is_settled
from tests.torture.load import Ask, chat, send, send_all
from tests.torture.plant import STOPS_AT_CANCEL, Key, Plant, running_plant
from tests.torture.result import Figure, Result, at_least, at_most, equal, none, told
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun

TITLE = "clock jumps, by libfaketime"

_WORKERS = 16
_REQUESTS_PER_JUMP = 30  # more than the budgets of an hour and a day have room for
_SETTLED_WITHIN_S = 30.0
_LIBRARIES = ("libfaketimeMT.so.1", "libfaketime.so.1")
_SEEN_WITHIN_S = 1.2  # a jump
_SKEW_S = 60  # of each process against the one before

_LIMIT_NANO_USD = {"hour": 300_000, "day": 500_000, "month": 1_500_000}  # a request holds some 100,000
_STARTS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}
_TEAM = """
team: {team}
time_zone: UTC
budgets: [{{limit_usd: {limit_usd:.9f}, per: {per}}}]
aliases: {{auto: {{model: {model}}}}}
"""

# Two teams whose minute must be a minute whatever the clock says, and one whose streams outlast a lease.
_REQUESTS_PER_MINUTE = 10
_PACED = f"""
team: paced
limits: {{requests_per_minute: {_REQUESTS_PER_MINUTE}}}
aliases: {{auto: {{model: {STOPS_AT_CANCEL}}}}}
"""
_MINUTE_S = 60.0
_LONG = """
team: long
budgets: [{limit_usd: 1000, per: month}]
limits: {concurrent: 1000}
aliases: {auto: {model: deepseek/deepseek-v4-pro}}
"""

_STREAMS = 24
_LEASE_S = 60.0
_OUTLASTS_S = 70.0
_JUMP_EVERY_S = 3.0
_SAMPLE_S = 0.1


@dataclass(slots=True)
class _Clock:
    """What libfaketime reads once a second: one file for each process that sees the clock."""

    files: Sequence[Path]
    skew_s: int = 0
    shown: list[tuple[datetime, datetime]] = field(default_factory=list)  # from when until when, by what it shows
    offset_s: int = 0

    def set(self, offset_s: int) -> None:
        """The files appear whole."""
        self.offset_s = offset_s
        for number, file in enumerate(self.files):
            fresh = file.with_suffix(".new")
            fresh.write_text(f"{offset_s + number * self.skew_s:+d}\n")
            fresh.rename(file)

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset_s)  # noqa: TID251 - it is about this clock


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    figures = [*await _jumps(setting, is_redis_too=False)]
    if setting.stores == "shared":
        figures += await _jumps(setting, is_redis_too=True)
        figures += await _leases(setting)
    else:
        figures.append(told("leases", "none: a single process needs no leases for what it holds"))
    return Result("e", TITLE, command, tuple(figures), time.monotonic() - started_s)


# Windows and minutes


async def _jumps(setting: Setting, *, is_redis_too: bool) -> tuple[Figure, ...]:
    teams = {
        per: _TEAM.format(team=per, per=per, limit_usd=limit / 10**9, model=STOPS_AT_CANCEL)
        for per, limit in _LIMIT_NANO_USD.items()
    }
    name = "e-redis" if is_redis_too else "e"
    offsets_s, statuses = _offsets_s(setting, name), Counter[int | None]()
    processes, of_redis = _clocks(setting, name)
    decides = processes if setting.stores == "sqlite" else of_redis
    with _plant(setting, name, processes, of_redis, teams={**teams, "paced": _PACED}, time_scale=0) as plant:
        chance = setting.chance(name)
        paced_s, served, wipes = time.monotonic(), 0, 0
        for number, offset_s in enumerate(offsets_s):
            processes.set(offset_s)
            if is_redis_too:
                of_redis.set(offset_s)
                if number % 5 == 4:  # whatever it remembered of the time is gone
                    await asyncio.to_thread(_wipe, plant, plant.keys["hour"][0])
                    wipes += 1
            await asyncio.sleep(_SEEN_WITHIN_S)
            begun = decides.now()
            for team in teams:
                answers = await send_all(_asks(chance, plant.keys[team][0]), plant.replicas, workers=_WORKERS)
                statuses.update(answer.status for answer in answers)
            paced = await send_all(_asks(chance, plant.keys["paced"][0]), plant.replicas, workers=_WORKERS)
            served += sum(answer.status == 200 for answer in paced)
            decides.shown.append((begun, decides.now()))
        # Rates go by Redis's clock, so a jump of it begins a minute anew; so does a Redis that has forgotten the last.
        anew = wipes + len(offsets_s) - 1 if is_redis_too else 0
        minutes = int((time.monotonic() - paced_s) // _MINUTE_S) + 1
        waited_s = 0.0 if setting.is_short else await _served_after_s(plant, plant.keys["paced"][0])
        has_settled = await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
        spent, comparison = _spent_by_team(plant)
        await asyncio.sleep(plant.budgets_lag_s)
        budgets = plant.replicas[0].admin("/admin/budgets")["budgets"]
    whose = "clocks of all and of Redis" if is_redis_too else "clocks of all processes"
    return (
        told(f"{whose}: jumps", len(offsets_s) - 1),
        told("from the true time, h", ", ".join(f"{offset_s / 3600:+.1f}" for offset_s in offsets_s)),
        told("answers", ", ".join(f"{status} {number}" for status, number in statuses.most_common())),
        at_least("refused for want of money", statuses[429], 3 * len(offsets_s)),
        *(told(f"windows of {per} that were shown", len(_windows(per, decides.shown))) for per in teams),
        *(none(f"windows of {per} spent twice", _spent_twice(per, spent[per], decides.shown)) for per in teams),
        at_most("requests a minute: served", served, _REQUESTS_PER_MINUTE * (minutes + 1 + anew)),
        at_most("  after the last jump served again within, s", waited_s, _MINUTE_S + 2),
        equal("everything settled", int(has_settled), 1),
        none("held at the end, budgets", sum(float(each["held_usd"]) > 0 for each in budgets)),
        none("ledger - bill, nano-USD", comparison.ledger_nano_usd - comparison.bill_nano_usd),
    )


def _offsets_s(setting: Setting, purpose: str) -> list[int]:
    """Distances from the true time, one after the other: an hour, a day, the end of the month, and drawn ones."""
    now = datetime.now(UTC)  # noqa: TID251 - where the end of the month lies depends on it
    next_month = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    month_end_s = int((next_month - now).total_seconds())
    hour, day = 3_600, 86_400
    given = [0, hour, 0, -hour, 0, -day, 0, day, 0, month_end_s - 2, month_end_s + 2, month_end_s - 60, 0, hour, 0]
    chance = setting.chance(f"jumps/{purpose}")
    drawn = [chance.choice((-1, 1)) * chance.randrange(2 * day) for _ in range(setting.scaled(40, 0))]
    return [*given, *drawn, 0]


def _windows(per: str, shown: Iterable[tuple[datetime, datetime]]) -> set[str]:
    return {moment.strftime(_STARTS[per]) for span in shown for moment in span}


def _spent_twice(per: str, spent_nano_usd: int, shown: Iterable[tuple[datetime, datetime]]) -> int:
    """Of the windows that the clock has shown, how many times more than once each was spent.

    While the clock is behind, money may be counted in the latest window or in the one shown; in neither case may the
    sum exceed one limit for every window shown.
    """
    limit = _LIMIT_NANO_USD[per]
    return -(-max(spent_nano_usd - len(_windows(per, shown)) * limit, 0) // limit)


def _spent_by_team(plant: Plant) -> tuple[Counter[str], Comparison]:
    ledger, spent = LedgerReader(plant), Counter[str]()
    calls = ledger.calls()
    for call in calls:
        spent[call.team] += call.cost_nano_usd
    return spent, compared(bill(plant), calls, ledger.requests())


async def _served_after_s(plant: Plant, key: Key) -> float:
    """How long until a request is let in that waits for its minute to pass."""
    started_s, chance = time.monotonic(), random.Random(0)
    while (passed_s := time.monotonic() - started_s) < 2 * _MINUTE_S:
        if (await send(_ask(key, chance), plant.replicas[0].port)).status == 200:
            break
        await asyncio.sleep(0.5)
    return passed_s


def _wipe(plant: Plant, key: Key) -> None:
    """Empty Redis, and wait until it is rebuilt."""
    assert plant.shared is not None
    plant.shared.redis.wipe()
    deadline_s, chance = time.monotonic() + _SETTLED_WITHIN_S, random.Random(0)
    while time.monotonic() < deadline_s:
        answers = [asyncio.run(send(_ask(key, chance), replica.port)) for replica in plant.replicas]
        if all(answer.status in (200, 429) for answer in answers):
            return
        time.sleep(0.1)


# Leases


@dataclass(slots=True)
class _Seen:
    under_way: int = 0  # streams whose client waits for more
    samples: int = 0
    held_samples: int = 0  # in which there was something that could have ended
    orphans: int = 0
    ended: int = 0  # requests under way whose lease had ended
    uncounted: int = 0  # samples in which fewer requests counted as under way than were
    is_over: bool = False


async def _leases(setting: Setting) -> tuple[Figure, ...]:
    """Only the processes' clocks jump. If Redis's own does, leases do end early: see `_jumps` for the money then."""
    processes, of_redis = _clocks(setting, "e-leases")
    seen, jumps = _Seen(), 0
    time_scale = 8.0 if not setting.is_short else 0.1  # the longest streams take some 15 s at the sandbox's own pace
    with _plant(setting, "e-leases", processes, of_redis, teams={"long": _LONG}, time_scale=time_scale) as plant:
        asks = _long_asks(setting.chance("long"), plant.keys["long"][0])
        offsets_s = [offset_s for offset_s in _offsets_s(setting, "leases") if offset_s] or [0]
        async with asyncio.TaskGroup() as tasks:
            streams = [tasks.create_task(_stream(plant, number, ask, seen)) for number, ask in enumerate(asks)]
            watcher = tasks.create_task(_watch(plant, seen))
            while not all(stream.done() for stream in streams):
                processes.set(offsets_s[jumps % len(offsets_s)])
                jumps += 1
                await asyncio.wait(streams, timeout=_JUMP_EVERY_S)
            seen.is_over = True
            await watcher
        has_settled = await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
        _, comparison = _spent_by_team(plant)
    durations_s = [stream.result() for stream in streams]
    outlasting = sum(duration_s > _OUTLASTS_S for duration_s in durations_s)
    return (
        told("streams while clocks of processes jump: jumps", jumps),
        told("streams", len(streams)),
        at_least(f"  longer than {_OUTLASTS_S:.0f} s", outlasting, setting.scaled(1, 0)),
        told("longest, s", round(max(durations_s), 1)),
        at_least("samples of leases", seen.held_samples, 10),
        none("leases expired early: of holds, as orphans", seen.orphans),
        none("leases expired early: of requests under way", seen.ended),
        none("samples in which fewer were under way than there were", seen.uncounted),
        equal("everything settled", int(has_settled), 1),
        none("ledger - bill, nano-USD", comparison.ledger_nano_usd - comparison.bill_nano_usd),
    )  # fmt: skip


def _long_asks(chance: random.Random, key: Key) -> list[Ask]:
    asks: list[Ask] = []
    for _ in range(_STREAMS):
        text = f"Write a long essay about tea, number {chance.getrandbits(32):08x}."
        asks.append(Ask(key, chat("auto", text, is_stream=True, max_tokens=6_000)))
    return asks


async def _stream(plant: Plant, number: int, ask: Ask, seen: _Seen) -> float:
    """How long the stream lasted."""
    answer = None
    while answer is None or answer.status == 503:  # a busy machine: Redis was too slow, and the client is told to retry
        seen.under_way += 1
        answer = await send(ask, plant.replicas[number % len(plant.replicas)].port, patience_s=10 * _LEASE_S)
        seen.under_way -= 1
    if answer.status != 200:
        raise CannotRun(f"a stream of a team without want was not answered: {answer}")
    return answer.duration_s


async def _watch(plant: Plant, seen: _Seen) -> None:
    assert plant.shared is not None
    server = redis.Redis.from_url(plant.shared.redis.url, decode_responses=True)
    await asyncio.sleep(1)  # until all have been let in
    while not seen.is_over:
        under_way = seen.under_way
        orphans, leases_us, now_us = await asyncio.to_thread(_leases_in, server)
        seen.samples += 1
        seen.held_samples += len(leases_us) > 0
        seen.orphans = max(seen.orphans, orphans)
        seen.ended = max(seen.ended, sum(each <= now_us for each in leases_us))
        seen.uncounted += len(leases_us) < min(under_way, seen.under_way)
        await asyncio.sleep(_SAMPLE_S)
    server.close()


def _leases_in(server: "redis.Redis") -> tuple[int, list[float], int]:
    """How many orphans there are, when the leases of the requests under way end, and the time, in microseconds."""
    orphans: Any = server.fcall("penstock_v3_orphans", 1, "{penstock}", "1000")
    time_: Any = server.time()
    leases_us: list[float] = []
    for key in server.scan_iter("{penstock}:under_way:*"):
        pairs: Any = server.zrange(key, 0, -1, withscores=True)
        leases_us += [score for _, score in pairs]
    return (len(orphans) - 1) // 3, leases_us, time_[0] * 10**6 + time_[1]


# Clocks


def _clocks(setting: Setting, name: str) -> tuple[_Clock, _Clock]:
    """Those of the processes and that of Redis, all showing the true time, but for the skew of the processes."""
    directory = setting.directory / f"{name}-clocks"
    directory.mkdir()
    processes = _Clock([directory / f"process-{number}" for number in range(setting.replicas)], skew_s=_SKEW_S)
    of_redis = _Clock([directory / "redis"])
    for clock in (processes, of_redis):
        clock.set(0)
    return processes, of_redis


def _plant(
    setting: Setting, name: str, processes: _Clock, of_redis: _Clock, *, teams: Mapping[str, str], time_scale: float
) -> AbstractContextManager[Plant]:
    """Processes and a Redis that see these clocks."""
    return running_plant(
        setting,
        name=name,
        teams=teams,
        time_scale=time_scale,
        environment=lambda number: _faked(processes.files[number]),
        redis_environment=_faked_redis(of_redis.files[0]),
    )


def _faked(clock: Path) -> dict[str, str]:
    """The environment in which a process sees the wall clock that `clock` says, and the true monotonic clock."""
    for library in _found():
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_CACHE_DURATION": "1",  # seconds; else the file is read at every look
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # its older name
        }
    raise CannotRun("libfaketime is not installed (Debian: apt-get install libfaketime)")


def _faked_redis(clock: Path) -> dict[str, str]:
    """The same for Redis. Its jemalloc asks for the time before libfaketime can tell it: libc allocates instead."""
    faked = _faked(clock)
    return {**faked, "LD_PRELOAD": f"{faked['LD_PRELOAD']} libc.so.6"}


def _found() -> Iterator[Path]:
    for library in _LIBRARIES:
        yield from Path("/usr/lib").glob(f"*/faketime/{library}")


def _asks(chance: random.Random, key: Key) -> list[Ask]:
    return [_ask(key, chance) for _ in range(_REQUESTS_PER_JUMP)]


def _ask(key: Key, chance: random.Random) -> Ask:
    text = f"Tell me about tea, number {chance.getrandbits(32):08x}."
    return Ask(key, chat("auto", text, is_stream=False, max_tokens=chance.randint(200, 400)))
