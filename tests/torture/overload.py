"""overload: three times as much is asked as can be done, most of it by one team.

The proxy has a core, and the clients and the provider have another. A minute of requests that leave when they are due,
whatever comes back: three teams ask for less than their share, and the fourth for all the rest. A tenth of the requests
are about health, and an operator looks at the admin port. What can be done is measured before and after, by the same
crowds with no more than that. All of it three times, since these machines are now fast and now slow: of how much is
answered the median minute counts, and of how soon who is turned away hears of it all that were.

The short version needs no saturated machine: it lets few requests be under way, with a provider that takes its time.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain, pairwise
from statistics import fmean, median
from typing import Any

import msgspec

from tests.torture.books import LedgerReader, is_settled
from tests.torture.crush import Crowd, Orders, part
from tests.torture.plant import AMPLE, CHECKOUT, Plant, running_plant
from tests.torture.result import Figure, Result, at_least, at_most, equal, none, told
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun

TITLE = "three times as much is asked as can be done"

_QUIET = ("quiet1", "quiet2", "quiet3")
_NOISY = "noisy"
_TEAMS = (*_QUIET, _NOISY)
_QUIET_PART = 0.1  # of what can be done; a share would be a quarter
_TIMES = 3.0
_HEALTH_PART = 0.1  # of the requests
_OPERATOR_PER_S = 1.0
_PEAK_S, _AT_ONCE = 4.0, 12
_LASTS_S, _ROUNDS = 60.0, 3
_TIMES_S = ("answered_s", "refused_s", "refused_at_first_s")  # of what a crowd got
_COST_NANO_USD = 55_160  # of each answer of the provider (tests/benchmarks/mock_upstream.py)
_DRAINED_WITHIN_S = 60.0
# Of the short version: three quarters of a second for each answer, so that some 130 a second can be answered.
_SHORT_UNDER_WAY, _SHORT_S, _SHORT_PER_S, _SHORT_QUIET_PER_S = 100, 1.0, 450.0, 4.0
_SHORT_TEXT = "[chunks=5][gap=150ms]"


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    cores = sorted(os.sched_getaffinity(0))
    teams = {team: AMPLE.replace("team: ample", f"team: {team}") for team in _TEAMS}
    async with _provider(cores[-1]) as port:
        with running_plant(
            setting, name="overload", teams=teams, time_scale=0, upstream_port=port, is_started=False
        ) as plant:  # fmt: skip
            if setting.is_short:
                with (plant.replicas[0].config / "penstock.yaml").open("a") as main:
                    main.write(f"\noverload: {{under_way: {_SHORT_UNDER_WAY}}}\n")
            plant.replicas[0].start()
            os.sched_setaffinity(plant.replicas[0].pid, {cores[0]})
            if setting.is_short:
                figures = await _short(plant, cores[-1])
            else:
                figures = await _long(plant, cores[-1])
            is_drained = await asyncio.to_thread(is_settled, plant, within_s=_DRAINED_WITHIN_S)
            calls = LedgerReader(plant).calls()
            billed = plant.sandbox("/mock/stats")["completions"]
    settled = (
        equal("drained", int(is_drained), 1),
        equal("calls in the ledger", len(calls), billed),
        none("ledger - bill, nano-USD", sum(call.cost_nano_usd for call in calls) - billed * _COST_NANO_USD),
    )
    return Result("overload", TITLE, command, (*figures, *settled), time.monotonic() - started_s)


async def _long(plant: Plant, core: int) -> tuple[Figure, ...]:
    """Three minutes, each between two measurements of what can be done."""
    peaks, rounds, cpu_s = [await _peak(plant, core)], list[dict[str, Any]](), 0.0
    for _ in range(_ROUNDS):
        per_s = _answered_per_s(peaks[-1])
        asked = _asked(plant, per_s=per_s * _TIMES * (1 + _HEALTH_PART), quiet_per_s=per_s * _QUIET_PART)
        before_s = _cpu_s(plant.replicas[0].pid)
        rounds.append(await _crushed(plant, asked, _LASTS_S, core))
        cpu_s += _cpu_s(plant.replicas[0].pid) - before_s
        peaks.append(await _peak(plant, core))
    found = _together(rounds)
    peaks_per_s = [_answered_per_s(each) for each in peaks]
    can_per_s = [fmean(pair) for pair in pairwise(peaks_per_s)]
    parts = [_answered_per_s(each) / can for each, can in zip(rounds, can_per_s, strict=True)]
    times = [_asked_per_s(each, _TEAMS) / can for each, can in zip(rounds, can_per_s, strict=True)]
    peak_s, crowded_s = (_all(each, _TEAMS, "answered_s") for each in (_together(peaks), found))
    return (
        told("answered a second, to as many as can be answered: before, between, after", _figures(peaks_per_s, 0)),
        told("answered a second: in each minute", _figures([_answered_per_s(each) for each in rounds], 0)),
        at_least("times as much asked for, in the median minute", median(times), 2.7),
        told(
            "core that the clients took; that the proxy took", f"{found['busy']:.2f}; {cpu_s / found['lasted_s']:.2f}"
        ),
        told("answered, of what can be: in each minute", _figures(parts, 2)),
        at_least("  in the median minute", median(parts), 0.8),
        *_common(found, refused_ms=20.0),
        told("answered within, ms: at the peak (median; p95; p99; all)", _within(peak_s)),
        told("  now (median; p95; p99; all)", _within(crowded_s)),
    )


async def _short(plant: Plant, core: int) -> tuple[Figure, ...]:
    found = await _crushed(
        plant, _asked(plant, per_s=_SHORT_PER_S, quiet_per_s=_SHORT_QUIET_PER_S, text=_SHORT_TEXT), _SHORT_S, core
    )
    return _common(found, refused_ms=None)


def _common(found: Mapping[str, Any], *, refused_ms: float | None) -> tuple[Figure, ...]:
    crowds = found["crowds"]
    first_s = _all(found, _TEAMS, "refused_at_first_s")
    refused_s = sorted((*_all(found, _TEAMS, "refused_s"), *first_s))
    asked = sum(crowds[team]["asked"] for team in _QUIET)
    let_in = sum(len(crowds[team]["answered_s"]) for team in _QUIET)
    noisy = crowds[_NOISY]
    strange = sum(
        count
        for team in _TEAMS
        for status, count in crowds[team]["statuses"].items()
        if status not in ("200", "503 overloaded")
    )
    ended = [name for name in crowds if name not in _TEAMS]
    probes = {name: crowds[name] for name in ended}
    within = _within(refused_s)
    return (
        told("of the noisy team: asked; answered", f"{noisy['asked']:,}; {len(noisy['answered_s']):,}"),
        told("of the quiet teams: asked; answered", f"{asked:,}; {let_in:,}"),
        at_least("of the quiet teams, let in", let_in / asked, 0.95),
        at_least("turned away", sum(each["statuses"].get("503 overloaded", 0) for each in crowds.values()), 100),
        told("turned away within, ms (median; p95; p99; all)", within),
        told("  in the first three seconds", _within(first_s)),
        *(() if refused_ms is None else (at_most("  p99, ms", part(refused_s, 0.99) * 1000, refused_ms),)),
        none(
            "turned away without Retry-After and x-should-retry",
            sum(each["without_retry_after"] for each in crowds.values()),
        ),
        none("other answers, or none", strange),
        *(
            equal(f"{name}: answered, of {each['asked']:,}", each["statuses"].get("200", 0), each["asked"])
            for name, each in probes.items()
        ),
        told(
            "health and admin answered within, ms (p99)",
            "; ".join(f"{name} {part(each['answered_s'], 0.99) * 1000:.0f}" for name, each in probes.items()),
        ),
    )


def _asked(plant: Plant, *, per_s: float, quiet_per_s: float, text: str = "") -> tuple[Crowd, ...]:
    """Everybody: the quiet teams, the noisy one with the rest, those who ask for health, and an operator."""
    health_per_s = per_s * _HEALTH_PART
    noisy_per_s = per_s - health_per_s - len(_QUIET) * quiet_per_s
    return (
        *(_crowd(plant, team, quiet_per_s, text=text) for team in _QUIET),
        _crowd(plant, _NOISY, noisy_per_s, text=text),
        *_probes(plant, health_per_s),
    )


def _probes(plant: Plant, health_per_s: float) -> Iterator[Crowd]:
    replica = plant.replicas[0]
    probes = {
        "/livez": (replica.port, health_per_s / 2),
        "/readyz": (replica.port, health_per_s / 2),
        "/admin/budgets": (replica.admin_port, _OPERATOR_PER_S),
        "/metrics": (replica.admin_port, _OPERATOR_PER_S),
    }
    for path, (port, per_s) in probes.items():
        yield Crowd(path, port, f"GET {path} HTTP/1.1\r\nhost: localhost\r\n", "", per_s)


def _crowd(plant: Plant, team: str, per_s: float, *, text: str = "", at_once: int = 0) -> Crowd:
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {plant.keys[team][0].text}\r\n"
    )
    said = f"{text} Number NUMBER. " + "Say how a gate lets water through. " * 12
    fields = {"model": "stops", "max_tokens": 100, "messages": [{"role": "user", "content": said}]}
    body = json.dumps({**fields, "stream": bool(text)})
    return Crowd(team, plant.replicas[0].port, head, body, per_s, at_once)


async def _peak(plant: Plant, core: int) -> dict[str, Any]:
    """The same crowds as in the crush, with all that can be answered and no more: what a few clients get who ask again
    as soon as they have their answer. As much is turned away as comes in excess; what counts is what is answered."""
    few = _crowd(plant, _NOISY, 0.0, at_once=_AT_ONCE)
    await _crushed(plant, (few,), _PEAK_S / 2, core)
    per_s = _answered_per_s(await _crushed(plant, (few,), _PEAK_S, core))
    asked = _asked(plant, per_s=per_s, quiet_per_s=per_s * _QUIET_PART)
    await _crushed(plant, asked, _PEAK_S / 2, core)
    return await _crushed(plant, asked, _PEAK_S, core)


def _together(founds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the crowds got in several runs, as if in one."""
    crowds: dict[str, dict[str, Any]] = {}
    for name in founds[0]["crowds"]:
        came = [each["crowds"][name] for each in founds]
        crowds[name] = {
            **{what: sum(each[what] for each in came) for what in ("asked", "without_retry_after")},
            **{what: sorted(chain.from_iterable(each[what] for each in came)) for what in _TIMES_S},
            "statuses": dict(sum((Counter(each["statuses"]) for each in came), Counter[str]())),
        }
    lasted_s = sum(each["lasted_s"] for each in founds)
    busy_s = sum(each["busy"] * each["lasted_s"] for each in founds)
    return {"lasted_s": lasted_s, "busy": busy_s / lasted_s, "crowds": crowds}


async def _crushed(plant: Plant, crowds: Sequence[Crowd], lasts_s: float, core: int) -> dict[str, Any]:
    orders, found = plant.directory / "orders.json", plant.directory / "found.json"
    orders.write_bytes(msgspec.json.encode(Orders(lasts_s, tuple(crowds))))
    arguments = [sys.executable, "-m", "tests.torture.crush", str(orders), str(found)]
    child = await asyncio.create_subprocess_exec(*arguments, cwd=CHECKOUT)
    os.sched_setaffinity(child.pid, {core})
    if await child.wait():
        raise CannotRun(f"{' '.join(arguments)} ended with {child.returncode}")
    came: dict[str, Any] = json.loads(found.read_bytes())
    return came


@asynccontextmanager
async def _provider(core: int) -> AsyncIterator[int]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.mock_upstream", cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE
    )
    os.sched_setaffinity(child.pid, {core})
    assert child.stdout is not None
    line = await child.stdout.readline()
    try:
        yield int(line.split()[-1])
    finally:
        child.terminate()
        await child.wait()


def _figures(values: Iterable[float], digits: int) -> str:
    return "; ".join(f"{each:,.{digits}f}" for each in values)


def _within(ordered_s: Sequence[float]) -> str:
    return "; ".join(f"{part(ordered_s, share) * 1000:.1f}" for share in (0.5, 0.95, 0.99, 1.0))


def _all(found: Mapping[str, Any], teams: Sequence[str], what: str) -> list[float]:
    return sorted(each for team in teams for each in found["crowds"][team][what])


def _asked_per_s(found: Mapping[str, Any], crowds: Sequence[str]) -> float:
    asked: int = sum(found["crowds"][each]["asked"] for each in crowds)
    return asked / float(found["lasted_s"])


def _answered_per_s(found: Mapping[str, Any]) -> float:
    """What teams got in a second."""
    answered = sum(len(each["answered_s"]) for name, each in found["crowds"].items() if name in _TEAMS)
    return answered / float(found["lasted_s"])


def _cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
