"""keys: who has none learns nothing by asking often and slows nobody; what is revoked ends soon."""

import asyncio
import gc
import math
import random
import secrets
import time
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import psycopg

from router.assembly.clock import utc_now
from router.errors import CallerError
from router.keys import ApiKey, KeyId, PresentedKey, Secret, TeamName, digest, mint, written
from router.server.auth import KeyRing
from router.storage.pepper import pepper
from router.storage.postgres import PostgresStore
from router.storage.sqlite import SqliteStore
from router.storage.store import Store
from tests.torture.load import Answer, Ask, at_a_rate, chat, p99_s, send
from tests.torture.plant import AMPLE, Key, Plant, running_plant
from tests.torture.result import Figure, Result, at_least, at_most, none, told
from tests.torture.setting import Setting

TITLE = "junk is cheap, guesses teach nothing, and what is revoked ends"

_KNOWN = 1_000  # keys in the ring; as many unknown ids are tried
_T_LIMIT = 4.5  # of Welch's t, by which leaks are told in the literature (TVLA, dudect)
_JUNK_PER_S = 5_000
_JUNK_AT_ONCE = 8  # connections
_HEALTHY_PER_S = 20.0
_LOOK_S = 0.01
_PATIENCE_S = 20.0
_PEPPER = b"p" * 32
_TEAM = TeamName("ample")


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    figures = _guesses(setting) if setting.stores == "sqlite" else []
    with running_plant(setting, name="keys", teams={"ample": AMPLE}, time_scale=0.0) as plant:
        figures += await _changes(setting, plant)
        figures += await _flood(setting, plant)
    return Result("keys", TITLE, command, tuple(figures), time.monotonic() - started_s)


# What guesses teach


class _Counted:
    """A store of these keys that counts how often it is asked."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = list(keys)
        self.reads = 0

    def add(self, key: ApiKey) -> None:
        raise NotImplementedError

    def all(self) -> list[ApiKey]:
        self.reads += 1
        return self._keys

    def keys_version(self) -> tuple[int, ...]:
        self.reads += 1
        return ()

    def revoke(self, key_id: KeyId, at: datetime) -> bool:
        raise NotImplementedError

    def expire(self, key_id: KeyId, at: datetime) -> bool:
        raise NotImplementedError

    def rotate(self, key: ApiKey, rotated: ApiKey) -> bool:
        raise NotImplementedError


def _guesses(setting: Setting) -> list[Figure]:
    """A secret is tried at ids that there are and at ids that there are not, in one random order."""
    keys = [mint(secrets.token_bytes) for _ in range(_KNOWN)]
    store = _Counted([ApiKey(key.id, _TEAM, "", digest(key, _PEPPER), utc_now()) for key in keys])
    ring = KeyRing(store, pepper=_PEPPER, teams=lambda: {_TEAM}, now=utc_now, monotonic_s=time.monotonic)
    ring.refresh()
    # Texts made alike, so that nothing of how they were made tells them apart.
    ids = [("".join(list(key.id)), True) for key in keys]
    ids += [("".join(list(mint(secrets.token_bytes).id)), False) for _ in range(_KNOWN)]
    before, count = store.reads, setting.scaled(2_000_000, 20_000)
    known, unknown = _timed(ring, ids, count, setting.chance("guesses"))
    cut = sorted((*known, *unknown))[count * 99 // 100]
    usual = [array("d", (each for each in some if each <= cut)) for some in (known, unknown)]
    return [
        at_least("guesses at secrets, half of them of keys that exist", count, 20_000),
        at_most("|t| of Welch between both", abs(_welch(known, unknown)), _T_LIMIT),
        told("  nanoseconds between the means of the fastest 99 %", round(_mean(usual[0]) - _mean(usual[1]), 1)),
        told("  nanoseconds that one takes, at the median", sorted(unknown)[len(unknown) // 2]),
        none("reads of the store by all of them", store.reads - before),
    ]


def _timed(
    ring: KeyRing, ids: Sequence[tuple[str, bool]], count: int, chance: random.Random
) -> tuple["array[float]", "array[float]"]:
    known, unknown = array("d"), array("d")
    clock = time.perf_counter_ns
    gc.disable()
    try:
        for number in range(count):
            key_id, is_known = ids[chance.randrange(len(ids))]
            text = "Bearer " + written(PresentedKey(KeyId(key_id), Secret(secrets.token_hex(32))))
            began = clock()
            try:  # noqa: SIM105 - what is measured should be little else
                ring.caller(text)
            except CallerError:
                pass
            (known if is_known else unknown).append(clock() - began)
            if number % 20_000 == 0:
                gc.collect()
    finally:
        gc.enable()
    return known, unknown


def _welch(one: Sequence[float], other: Sequence[float]) -> float:
    return (_mean(one) - _mean(other)) / math.sqrt(_variance(one) / len(one) + _variance(other) / len(other))


def _mean(some: Sequence[float]) -> float:
    return math.fsum(some) / len(some)


def _variance(some: Sequence[float]) -> float:
    mean = _mean(some)
    return math.fsum((each - mean) ** 2 for each in some) / (len(some) - 1)


# How soon changes count


async def _changes(setting: Setting, plant: Plant) -> list[Figure]:
    """Keys are made and revoked in the store while junk comes, and every replica is asked until it knows."""
    created: list[float] = []
    revoked: list[float] = []
    keys: list[PresentedKey] = []
    replicas = [replica.port for replica in plant.replicas]
    count = setting.scaled(40, 3)
    chance = setting.chance("changes")
    with closing(_store(plant)) as store:
        secret_of_pepper = pepper(plant.state / "pepper", secrets.token_bytes)
        async with _junk(plant, per_s=_JUNK_PER_S / 10) as junk:
            for _ in range(count):
                key = mint(secrets.token_bytes)
                keys.append(key)
                record = ApiKey(key.id, _TEAM, "", digest(key, secret_of_pepper), utc_now())
                await asyncio.sleep(chance.random())
                created.append(await _until(replicas, key, 200, partial(store.add, record)))
                revoked.append(await _until(replicas, key, 401, partial(store.revoke, key.id, utc_now())))
        still_valid = 0
        for port in replicas:
            still_valid += (await _models(port, keys[-1])).status != 401
    return [
        at_least("keys made and revoked while junk came", count, 3),
        at_least("  junk keys meanwhile", junk.sent, 100),
        at_most("longest until a key was known everywhere, s", max(created), 1.0),
        at_most("longest until a revocation counted everywhere, s", max(revoked), 1.0),
        told("  at the median, s", round(sorted(revoked)[len(revoked) // 2], 3)),
        none("replicas that took a revoked key again", still_valid),
    ]


async def _until(ports: Sequence[int], key: PresentedKey, status: int, change: Callable[[], object]) -> float:
    """Make the change; the time from its end until every replica has answered so."""
    await asyncio.to_thread(change)
    began_s = time.monotonic()

    async def one(port: int) -> float:
        while (await _models(port, key)).status != status:
            if time.monotonic() - began_s > _PATIENCE_S:
                break
            await asyncio.sleep(_LOOK_S)
        return time.monotonic() - began_s

    return max(await asyncio.gather(*map(one, ports)))


async def _models(port: int, key: PresentedKey) -> Answer:
    return await send(_Listing(Key(key.id, _TEAM, written(key)), b""), port)


@dataclass(frozen=True, slots=True)
class _Listing(Ask):
    """`GET /v1/models`."""

    def head(self) -> bytes:
        return (
            f"GET /v1/models HTTP/1.1\r\nHost: torture\r\nAuthorization: Bearer {self.key.text}\r\n"
            "Connection: close\r\n\r\n"
        ).encode()


# What a flood of junk costs the others


async def _flood(setting: Setting, plant: Plant) -> list[Figure]:
    """Windows with junk and windows without, in turn: what the healthy wait in each, and what the store is asked."""
    window_s, pairs = (20.0, 4) if not setting.is_short else (1.0, 1)
    calm: list[Answer] = []
    flooded: list[Answer] = []
    sent, reads_calm, reads_flooded = 0, 0, 0
    await _healthy(plant, 2.0)
    for _ in range(pairs):
        before = _transactions(plant)
        calm += await _healthy(plant, window_s)
        reads_calm += _transactions(plant) - before
        before = _transactions(plant)
        async with _junk(plant, per_s=_JUNK_PER_S) as junk:
            flooded += await _healthy(plant, window_s)
        reads_flooded += _transactions(plant) - before
        sent += junk.sent
    refused = sum(replica.metric("penstock_authentication_failures_total") or 0 for replica in plant.replicas)
    rate = sent / (window_s * pairs)
    is_long = not setting.is_short
    ratio = p99_s(flooded) / p99_s(calm)
    figures = [
        told("junk keys a second, as many as could be sent", round(rate)),
        at_least("junk keys that were counted as such", refused, sent),
        none("healthy requests that failed", sum(each.status != 200 for each in (*calm, *flooded))),
        told("  p99 of the healthy without junk, ms", round(p99_s(calm) * 1000, 1)),
        told("  p99 with it, ms", round(p99_s(flooded) * 1000, 1)),
        at_most("p99 with junk to without, paired", ratio, 1.5) if is_long else told("p99 with junk to without", ratio),
    ]
    if plant.shared is not None:
        more = max(reads_flooded - reads_calm, 0)
        figures.append(told("transactions of the store in windows without junk", reads_calm))
        figures.append(at_most("  more in windows with it, for 1,000 junk keys", more * 1000 / max(sent, 1), 1.0))
    return figures


async def _healthy(plant: Plant, seconds: float) -> list[Answer]:
    answers: list[Answer] = []
    key = plant.keys["ample"][0]
    body = chat("stops", "What is a penstock?", is_stream=False, max_tokens=5)

    async def one(number: int) -> None:
        answers.append(await send(Ask(key, body), plant.replicas[number % len(plant.replicas)].port))

    await at_a_rate(round(seconds * _HEALTHY_PER_S), per_s=_HEALTHY_PER_S, work=one)
    return answers


@dataclass(slots=True)
class _Junk:
    """How many were refused."""

    sent: int = 0


@asynccontextmanager
async def _junk(plant: Plant, *, per_s: float) -> AsyncIterator[_Junk]:
    """Requests with keys that are none of ours, half of them well-formed, while the context is open."""
    junk, is_over = _Junk(), False

    async def send_on_one_connection(port: int) -> None:
        """Each request when it is due; a late one follows at once."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        due_s = time.monotonic()
        while not is_over:
            key = written(mint(secrets.token_bytes)) if junk.sent % 2 else f"psk_{secrets.token_hex(40)}"
            writer.write(f"GET /v1/models HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
            await reader.readexactly(int(length.split()[1]))
            junk.sent += head.startswith(b"HTTP/1.1 401")
            due_s += _JUNK_AT_ONCE / per_s
            await asyncio.sleep(max(due_s - time.monotonic(), 0))
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        for number in range(_JUNK_AT_ONCE):
            tasks.create_task(send_on_one_connection(plant.replicas[number % len(plant.replicas)].port))
        yield junk
        is_over = True


def _transactions(plant: Plant) -> int:
    """How many the database has had; 0 for a file, which counts none."""
    if plant.shared is None:
        return 0
    with psycopg.connect(plant.shared.postgres.url) as connection:
        found = connection.execute("SELECT SUM(xact_commit + xact_rollback) FROM pg_stat_database").fetchone()
    assert found is not None
    return int(found[0])


def _store(plant: Plant) -> Store:
    if plant.shared is None:
        return SqliteStore(plant.state / "penstock.sqlite")
    return PostgresStore(Secret(plant.shared.postgres.url))
