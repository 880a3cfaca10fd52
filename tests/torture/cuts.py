"""c: clients hang up at every byte, and the books still agree with the bill; what need not run on does not."""

import asyncio
import random
import time
from pathlib import Path

from tests.torture.books import Comparison, LedgerReader, bill, compared, is_settled
from tests.torture.load import Ask, End, chat, send_all
from tests.torture.plant import AMPLE, Key, Plant, running_plant
from tests.torture.result import Figure, Result, at_least, equal, none, told
from tests.torture.setting import Setting

TITLE = "streams cut at seeded byte offsets"

_WORKERS = 48
_TIME_SCALE = 0.2  # a long answer takes a second or two, so that it is under way when it is cut
# The shortest essays have some 20,000 and 5,000 bytes: every stream is cut before its end.
_MOST_BYTES = {"stops-long": 16_000, "runs-long": 4_000}
_SOCKETS_AFTER_S = 5.0
_IDLE_S = 35.0  # idle connections are kept for 30 s; records are asked for over them
_SETTLED_WITHIN_S = 150.0  # a stream that runs to the end is read to its end
_ESTABLISHED = "01"  # /proc/net/tcp, state TCP_ESTABLISHED


async def run(setting: Setting, command: str) -> Result:
    """Half the streams come from a provider that bills to the end, then half from one that stops at a hang-up."""
    started_s = time.monotonic()
    count = setting.scaled(10_000, 300) // 2
    with running_plant(setting, name="c", teams={"ample": AMPLE}, time_scale=_TIME_SCALE) as plant:
        key = plant.keys["ample"][0]
        runs = await send_all(_asks(setting.chance("runs"), key, "runs-long", count), plant.replicas, workers=_WORKERS)
        await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
        stops = await send_all(
            _asks(setting.chance("stops"), key, "stops-long", count), plant.replicas, workers=_WORKERS
        )
        await asyncio.sleep(_SOCKETS_AFTER_S)
        running, sockets = 2 * count - len(bill(plant)), _upstream_sockets(plant)
        has_settled = await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
        ledger, billed = LedgerReader(plant), bill(plant)
        comparison = compared(billed, ledger.calls(), ledger.requests())
        cancelled = sum(1 for call in billed if call.is_cancelled and call.model.startswith("deepseek/"))
        if not setting.is_short:
            await asyncio.sleep(_IDLE_S)
        sockets_left = _upstream_sockets(plant)
    cut = sum(answer.end is End.HUNG_UP for answer in (*runs, *stops))
    figures = (
        equal("streams cut", cut, 2 * count),
        equal("calls billed", comparison.billed_calls, 2 * count),
        at_least("streams that the provider saw cancelled, cancel mode", cancelled, count),
        none("upstream sockets with a stream 5 s after the last cut, same", running),
        told("upstream sockets idle then, kept for reuse", sockets),
        told("and later", sockets_left) if setting.is_short else none(f"and {_IDLE_S:.0f} s later", sockets_left),
        equal("everything settled", int(has_settled), 1),
        *_money(comparison),
    )
    return Result("c", TITLE, command, figures, time.monotonic() - started_s)


def _asks(chance: random.Random, key: Key, model: str, count: int) -> list[Ask]:
    asks: list[Ask] = []
    for number in range(count):
        text = f"Write a long essay about tea, number {number}-{chance.getrandbits(32):08x}."
        # Every tenth goes within the head or right after it, where calls have no id yet.
        after_bytes = chance.randrange(800) if chance.random() < 0.1 else chance.randrange(_MOST_BYTES[model])
        body = chat(model, text, is_stream=True, max_tokens=4_000)
        asks.append(Ask(key, body, cut_after_bytes=after_bytes, is_reset=chance.random() < 0.5))
    return asks


def _upstream_sockets(plant: Plant) -> int:
    return sum(_established(replica.pid, plant.sandbox_port) for replica in plant.replicas)


def _established(pid: int, port: int) -> int:
    """How many TCP connections the process has to that port."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[len("socket:[") : -1])
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        remote_port = int(fields[2].rpartition(":")[2], 16)
        count += remote_port == port and fields[3] == _ESTABLISHED and fields[9] in inodes
    return count


def _money(comparison: Comparison) -> tuple[Figure, ...]:
    return (
        told("bill, nano-USD", comparison.bill_nano_usd),
        none("ledger - bill, nano-USD", comparison.ledger_nano_usd - comparison.bill_nano_usd),
        none("duplicates", comparison.duplicates),
        none("billed calls with another cost in the ledger", len(comparison.different)),
        none("calls booked as held, for want of anything better", comparison.unnamed_calls + comparison.doubtful_calls),
    )
