"""d: the disk under the state directory is full. Then nothing that costs money is sent, and nothing booked is lost."""

import asyncio
import os
import random
import resource
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

from tests.torture.books import LedgerReader, bill, compared, is_settled
from tests.torture.load import Answer, Ask, chat, counted, p99_s, send, send_all
from tests.torture.plant import AMPLE, Key, Plant, running_plant
from tests.torture.result import Result, at_least, at_most, equal, none, told
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun

TITLE = "disk full under journal and ledger"

_WORKERS = 16
_TIME_SCALE = 0.2
_DISK = "64m"
_FILL_EVERY_S = 0.02
_ANSWER_P99_S = 0.3
_RECOVERED_WITHIN_S = 10.0
_SETTLED_WITHIN_S = 30.0


class Disk(Protocol):
    """A disk that can be full."""

    kind: str

    def fill(self, plant: Plant) -> None: ...
    def make_room(self, plant: Plant) -> None: ...


class _SmallDisk:
    """A tmpfs, and a file that takes what is left of it."""

    kind = f"tmpfs of {_DISK}"

    def fill(self, plant: Plant) -> None:
        """Write until nothing fits any more, once again if there is room again."""
        with (plant.state / "ballast").open("ab", buffering=0) as ballast:
            for size in (65_536, 4_096, 1):
                try:
                    while True:
                        ballast.write(bytes(size))
                except OSError:
                    continue

    def make_room(self, plant: Plant) -> None:
        (plant.state / "ballast").unlink()


class _LimitedFiles:
    """Where nothing may be mounted: no file of the process may grow (RLIMIT_FSIZE)."""

    kind = "RLIMIT_FSIZE, as nothing can be mounted here"

    def fill(self, plant: Plant) -> None:
        for replica in plant.replicas:
            resource.prlimit(replica.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def make_room(self, plant: Plant) -> None:
        for replica in plant.replicas:
            resource.prlimit(replica.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    count = setting.scaled(2_000, 150)
    with _disk(setting.directory / "d-state") as disk, running_plant(
        setting, name="d", teams={"ample": AMPLE}, time_scale=_TIME_SCALE, state=setting.directory / "d-state"
    ) as plant:  # fmt: skip
        chance, key = setting.chance("disk"), plant.keys["ample"][0]
        before = await send_all(_asks(chance, key, count), plant.replicas, workers=_WORKERS)
        async with asyncio.TaskGroup() as tasks:
            # Some of these are under way when the disk becomes full.
            during = tasks.create_task(send_all(_asks(chance, key, count // 2), plant.replicas, workers=_WORKERS))
            await asyncio.sleep(0.3)
            await asyncio.to_thread(disk.fill, plant)
        billed_before = len(bill(plant))
        async with _kept_full(disk, plant):
            full = await send_all(_asks(chance, key, count), plant.replicas, workers=_WORKERS)
        billed_while_full = len(bill(plant)) - billed_before
        await asyncio.to_thread(disk.make_room, plant)
        recovered_s = await _recovered_after_s(plant, _asks(chance, key, 1)[0])
        after = await send_all(_asks(chance, key, count // 2), plant.replicas, workers=_WORKERS)
        has_settled = await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
        ledger = LedgerReader(plant)
        comparison = compared(bill(plant), ledger.calls(), ledger.requests())
        is_sound = ledger.is_sound()
    refused = [answer for answer in full if answer.status == 503]
    figures = (
        told("disk", disk.kind),
        told("requests before, filling, full, after", f"{len(before)}, {count // 2}, {len(full)}, {len(after)}"),
        told("answers while filling", counted(during.result())),
        told("answers while full", counted(full)),
        at_least("refused with 503 journal_unwritable while full", _unwritable(refused), count * 0.9),
        equal("  of these with Retry-After", sum(each.has_retry_after for each in refused), len(refused)),
        none("paid calls sent while full and not answered", billed_while_full - sum(a.status == 200 for a in full)),
        at_most("refusal p99 while full, s", p99_s(refused), _ANSWER_P99_S),
        at_most("served again after room was made, s", recovered_s, _RECOVERED_WITHIN_S),
        equal("answered after", sum(each.status == 200 for each in after), len(after)),
        equal("everything settled", int(has_settled), 1),
        none("ledger rows lost", len(comparison.missing)),
        none("calls booked as held, for want of anything better", comparison.unnamed_calls),
        none("duplicates", comparison.duplicates),
        none("billed calls with another cost in the ledger", len(comparison.different)),
        none("ledger - bill, nano-USD", comparison.ledger_nano_usd - comparison.bill_nano_usd),
        equal("the ledger's file is sound", int(is_sound), 1),
    )
    return Result("d", TITLE, command, figures, time.monotonic() - started_s)


@asynccontextmanager
async def _kept_full(disk: Disk, plant: Plant) -> AsyncIterator[None]:
    """A journal whose entries are all in a ledger elsewhere is emptied, which makes room again."""

    async def fill() -> None:
        while True:
            await asyncio.to_thread(disk.fill, plant)
            await asyncio.sleep(_FILL_EVERY_S)

    async with asyncio.TaskGroup() as tasks:
        filling = tasks.create_task(fill())
        yield
        filling.cancel()


def _asks(chance: random.Random, key: Key, count: int) -> list[Ask]:
    asks: list[Ask] = []
    for number in range(count):
        text = f"Tell me about tea, number {number}-{chance.getrandbits(32):08x}."
        body = chat(chance.choice(("stops", "runs")), text, is_stream=chance.random() < 0.5, max_tokens=300)
        asks.append(Ask(key, body))
    return asks


async def _recovered_after_s(plant: Plant, ask: Ask) -> float:
    """How long until one is served again."""
    started_s = time.monotonic()
    while (await send(ask, plant.replicas[0].port)).status != 200:
        if time.monotonic() - started_s > 2 * _RECOVERED_WITHIN_S:
            break
        await asyncio.sleep(0.05)
    return time.monotonic() - started_s


def _unwritable(refused: list[Answer]) -> int:
    return sum(1 for each in refused if each.error()["code"] == "journal_unwritable")


@contextmanager
def _disk(path: Path) -> Iterator[Disk]:
    """A disk of its own at the path, if we may mount one."""
    path.mkdir()
    mounted = os.geteuid() == 0 and _succeeds("mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(path))
    try:
        yield _SmallDisk() if mounted else _LimitedFiles()
    finally:
        if mounted and not _succeeds("umount", "--lazy", str(path)):
            raise CannotRun(f"{path} cannot be unmounted")


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
