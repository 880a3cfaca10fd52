"""e: the wall clock jumps. A budget may be spent once in each window that the clock has shown, and not twice."""

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.torture.books import BookedCall, LedgerReader, bill, compared, is_settled
from tests.torture.load import Ask, chat, send_all
from tests.torture.plant import STOPS_AT_CANCEL, Key, running_plant
from tests.torture.result import Result, at_least, equal, none, told
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun

TITLE = "clock jumps, by libfaketime"

_WORKERS = 16
_REQUESTS_PER_JUMP = 30  # more than the budgets of an hour and a day have room for
_SETTLED_WITHIN_S = 30.0
_LIBRARIES = ("libfaketimeMT.so.1", "libfaketime.so.1")

_LIMIT_NANO_USD = {"hour": 300_000, "day": 500_000, "month": 1_500_000}  # a request holds some 100,000
_TEAM = """
team: {team}
time_zone: UTC
budgets: [{{limit_usd: {limit_usd:.9f}, per: {per}}}]
aliases: {{auto: {{model: {model}}}}}
"""


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    clock = setting.directory / "clock"
    teams = {
        per: _TEAM.format(team=per, per=per, limit_usd=limit / 10**9, model=STOPS_AT_CANCEL)
        for per, limit in _LIMIT_NANO_USD.items()
    }
    offsets_s = _offsets_s(setting)
    _set(clock, 0)
    with running_plant(setting, name="e", teams=teams, time_scale=0, environment=_faked(clock)) as plant:
        chance = setting.chance("clock")
        refused = 0
        for offset_s in offsets_s:
            _set(clock, offset_s)
            for team in teams:
                answers = await send_all(_asks(chance, plant.keys[team][0]), plant.replicas, workers=_WORKERS)
                refused += sum(answer.status == 429 for answer in answers)
        has_settled = await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
        ledger = LedgerReader(plant)
        calls = ledger.calls()
        comparison = compared(bill(plant), calls, ledger.requests())
        budgets = plant.replicas[0].admin("/admin/budgets")["budgets"]
    figures = (
        told("jumps", len(offsets_s) - 1),
        told("from the true time, h", ", ".join(f"{offset_s / 3600:+.1f}" for offset_s in offsets_s)),
        # Redis counts windows by its own clock, which does not jump: there, few are seen.
        at_least(
            "hours that the ledger has seen",
            len({f"{call.at:%Y-%m-%dT%H}" for call in calls}),
            4 if setting.stores == "sqlite" else 1,
        ),
        at_least("refused for want of money", refused, 3 * len(offsets_s)),
        *(none(f"windows of a {per} spent twice", _spent_twice(per, calls)) for per in teams),
        equal("everything settled", int(has_settled), 1),
        none("held at the end, budgets", sum(float(each["held_usd"]) > 0 for each in budgets)),
        none("ledger - bill, nano-USD", comparison.ledger_nano_usd - comparison.bill_nano_usd),
    )
    return Result("e", TITLE, command, figures, time.monotonic() - started_s)


def _offsets_s(setting: Setting) -> list[int]:
    """Distances from the true time, one after the other: an hour, a day, the end of the month, and drawn ones."""
    now = datetime.now(UTC)  # noqa: TID251 - where the end of the month lies depends on it
    next_month = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    month_end_s = int((next_month - now).total_seconds())
    hour, day = 3_600, 86_400
    given = [0, hour, 0, -hour, 0, -day, 0, day, 0, month_end_s - 2, month_end_s + 2, month_end_s - 60, 0, hour, 0]
    chance = setting.chance("jumps")
    return given + [chance.choice((-1, 1)) * chance.randrange(2 * day) for _ in range(setting.scaled(40, 0))]


def _spent_twice(per: str, calls: Sequence[BookedCall]) -> int:
    """Of the windows that the clock has shown, how many times more than once each was spent.

    While the clock is behind, money may be counted in the latest window or in the one shown; in neither case may the
    sum exceed one limit for every window shown.
    """
    own = [call for call in calls if call.team == per]
    start = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}[per]
    windows = {call.at.astimezone(UTC).strftime(start) for call in own}
    spent = sum(call.cost_nano_usd for call in own)
    excess = spent - len(windows) * _LIMIT_NANO_USD[per]
    return -(-excess // _LIMIT_NANO_USD[per]) if excess > 0 else 0


def _faked(clock: Path) -> dict[str, str]:
    """The environment in which a process sees the wall clock that `clock` says, and the true monotonic clock."""
    for library in _LIBRARIES:
        for path in Path("/usr/lib").glob(f"*/faketime/{library}"):
            return {
                "LD_PRELOAD": str(path),
                "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",  # its older name
            }
    raise CannotRun("libfaketime is not installed (Debian: apt-get install libfaketime)")


def _set(clock: Path, offset_s: int) -> None:
    """The file appears whole: it is read at every look at the clock."""
    fresh = clock.with_suffix(".new")
    fresh.write_text(f"{offset_s:+d}\n")
    fresh.rename(clock)


def _asks(chance: random.Random, key: Key) -> list[Ask]:
    asks: list[Ask] = []
    for number in range(_REQUESTS_PER_JUMP):
        text = f"Tell me about tea, number {number}-{chance.getrandbits(32):08x}."
        asks.append(Ask(key, chat("auto", text, is_stream=False, max_tokens=chance.randint(200, 400))))
    return asks
