"""h: clients give up by the thousand in front of a pool of ten connections, and not one of the ten is lost by it."""

import asyncio
import random
import time

from router.assembly.house import assemble
from router.config.loader import load
from router.server.listen import bound, port_of, serving
from router.upstream.transport import UpstreamTransport
from tests.torture.books import LedgerReader, bill, compared
from tests.torture.load import Answer, Ask, End, chat, counted, in_parallel, send
from tests.torture.plant import AMPLE, Key, running_plant
from tests.torture.result import Result, at_least, equal, none, told
from tests.torture.setting import Setting

TITLE = "clients give up in front of a small pool of connections"

_CONNECTIONS = 10
_WORKERS = 200  # so that most have to wait for a connection
_PROBES, _PROBERS = 100, _CONNECTIONS
_TIME_SCALE = 0.02
_IDLE_WITHIN_S = 60.0  # records are asked for some seconds long


async def run(setting: Setting, command: str) -> Result:
    """The server is in this process, so that its pool can be looked into; its lifespan settles and books at the end."""
    started_s = time.monotonic()
    count = setting.scaled(4_000, 300)
    transport = UpstreamTransport(max_connections=_CONNECTIONS)
    with running_plant(
        setting, name="h", teams={"ample": AMPLE}, time_scale=_TIME_SCALE, is_started=False
    ) as plant:  # fmt: skip
        replica, key = plant.replicas[0], plant.keys["ample"][0]
        house = assemble(load(replica.config, environment=replica.environment), transport=transport)
        listener = bound("127.0.0.1", 0)
        most_waiting = 0
        async with serving(house.data, listener):
            aborted: list[Answer] = []
            asks = _asks(setting.chance("aborts"), key, count)

            async def give_up(number: int, _: int) -> None:
                nonlocal most_waiting
                aborted.append(await send(asks[number], port_of(listener)))
                most_waiting = max(most_waiting, transport.waiting_requests)

            await in_parallel(count, workers=_WORKERS, work=give_up)
            idle_s = await _idle_after_s(transport)
            left_waiting, open_then = transport.waiting_requests, transport.open_connections
            lost = open_then - transport.idle_connections
            probes: list[Answer] = []

            async def probe(number: int, _: int) -> None:
                body = chat("stops", f"Probe {number}", is_stream=number % 2 == 0, max_tokens=20)
                probes.append(await send(Ask(key, body), port_of(listener)))

            await in_parallel(_PROBES, workers=_PROBERS, work=probe)
            await _idle_after_s(transport)
            lost_at_last = transport.open_connections - transport.idle_connections
        ledger = LedgerReader(plant)
        comparison = compared(bill(plant), ledger.calls(), ledger.requests())
    figures = (
        told("requests; connections to the provider at most", f"{count}; {_CONNECTIONS}"),
        told("their ends", counted(aborted)),
        at_least("given up", sum(answer.end is End.HUNG_UP for answer in aborted), count // 2),
        at_least("requests that waited for a connection at one time, at most", most_waiting, 1),
        told("all connections idle after, s", round(idle_s, 1)),
        none("connections in use then", lost),
        none("requests that wait for one then", left_waiting),
        equal("probes answered", sum(probe.status == 200 and probe.end is End.ANSWERED for probe in probes), _PROBES),
        none("connections in use at last", lost_at_last),
        none("duplicates", comparison.duplicates),
        none("missing", len(comparison.missing)),
        none("billed calls with another cost in the ledger", len(comparison.different) - comparison.doubtful_calls),
    )
    return Result("h", TITLE, command, figures, time.monotonic() - started_s)


def _asks(chance: random.Random, key: Key, count: int) -> list[Ask]:
    """Given up at once, while they wait for a connection or for an answer, or in the middle of it; half with RST."""
    asks: list[Ask] = []
    for number in range(count):
        text = f"Tell me about rain, number {number}-{chance.getrandbits(32):08x}."
        body = chat(chance.choice(("stops", "runs")), text, is_stream=chance.random() < 0.8, max_tokens=300)
        after_bytes = chance.choice((0, 0, 1, 300, 900, 3_000))
        asks.append(Ask(key, body, cut_after_bytes=after_bytes, is_reset=chance.random() < 0.5))
    return asks


async def _idle_after_s(transport: UpstreamTransport) -> float:
    """How long until every connection is idle; gives up after a minute."""
    started_s = time.monotonic()
    while transport.open_connections > transport.idle_connections or transport.waiting_requests:
        if time.monotonic() - started_s > _IDLE_WITHIN_S:
            break
        await asyncio.sleep(0.1)
    return time.monotonic() - started_s
