"""u: providers that break in the middle of a stream, in every way at every point.

The proxy runs in this process, so that its tasks and sockets can be counted; the provider on plain sockets, in threads
(`faulty_upstream.py`). After each fault a good request is made: what is left of a broken answer must not be in it.
"""

import asyncio
import gc
import json
import os
import random
import secrets
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from router.assembly.house import assemble
from router.config.loader import load
from router.keys import TeamName, written
from router.server.listen import bound, port_of, serving
from router.wire.events import MAX_EVENT_BYTES
from tests.torture.faulty_upstream import FAULTS, POINTS, WORDS, Fault, FaultyUpstream, Point, text_of
from tests.torture.plant import AMPLE, CHECKOUT
from tests.torture.result import Result, at_most, equal, none, told
from tests.torture.setting import Setting

TITLE = "providers that break in mid-stream"

IDLE_S = 1.0  # the limits of this configuration, for the first byte and between bytes
_WITHIN_S = 1.0  # from the fault, or from the idle limit where only that can tell, to the error event
_SETTLED_WITHIN_S = 10.0
_PATIENCE_S = 30.0
_LARGEST = "a line of 64 MB"
# The allocator keeps what a few events of the largest size took (50 MiB after 3 or after 12 rounds), and no more.
_MOST_KEPT_BYTES = 8 * MAX_EVENT_BYTES
_MOST_GROWN_BYTES = 8 * 1024 * 1024
_BODY = {"model": "stops", "stream": True, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello?"}]}


@dataclass(slots=True)
class Reply:
    """What the client got."""

    status: int = 0
    events: list[str] = field(default_factory=list)  # the data of each
    body: bytes = b""
    error_s: float = 0.0  # when the error came, by the monotonic clock; else when all had come
    is_cut: bool = False  # the connection broke: no client could tell why

    @property
    def errors(self) -> list[object]:
        """Every error in it: of the body if it was refused, else of its events."""
        texts = self.events if self.status == 200 else [self.body.decode(errors="replace")]
        return [_error_in(each) for each in texts if each != "[DONE]" and '"error"' in each]

    @property
    def is_done(self) -> bool:
        return "[DONE]" in self.events

    @property
    def is_well_shaped(self) -> bool:
        """One error in OpenAI's shape, after which nothing comes, and nothing before it that SDKs cannot read."""
        if (
            not all(map(_is_readable, self.events))
            or len(self.errors) != 1
            or self.is_cut
            or (self.status == 200 and '"error"' not in self.events[-1])
        ):
            return False
        error = self.errors[0]
        return (
            isinstance(error, dict)
            and all(isinstance(error.get(name), str) for name in ("message", "type", "code"))
            and error.get("param", "") is None
        )


@dataclass(slots=True)
class _Tally:
    cells: int = 0
    errors: int = 0
    whole: int = 0
    slowest_s: float = 0.0
    slowest_silent_s: float = 0.0
    wrong: list[str] = field(default_factory=list)  # cells that did not end as they must
    slow: list[str] = field(default_factory=list)  # later than allowed
    done: int = 0  # [DONE] after an error
    held: list[str] = field(default_factory=list)
    poisoned: list[str] = field(default_factory=list)  # after which a good request was answered wrongly
    statuses: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Stage:
    """The proxy between the faulty provider and a client."""

    upstream: FaultyUpstream
    client: httpx2.AsyncClient
    chat_url: str
    metrics_url: str

    async def ask(self) -> Reply:
        reply = Reply()
        try:
            async with self.client.stream("POST", self.chat_url, json=_BODY) as response:
                reply.status = response.status_code
                async for line in response.aiter_lines():
                    reply.body += line.encode() + b"\n"
                    if line.startswith("data: "):
                        reply.events.append(line.removeprefix("data: "))
                    if '"error"' in line and not reply.error_s:
                        reply.error_s = time.monotonic()
        except httpx2.TransportError:
            reply.is_cut = True
        reply.error_s = reply.error_s or time.monotonic()
        return reply

    async def is_settled(self) -> bool:
        """Nothing is under way, and nothing held."""
        deadline_s = time.monotonic() + _SETTLED_WITHIN_S
        while time.monotonic() < deadline_s:
            lines = (await self.client.get(self.metrics_url)).text.splitlines()
            held = [line for line in lines if line.startswith("penstock_budget_held_usd{")]
            if "penstock_in_flight_requests 0.0" in lines and all(line.endswith(" 0.0") for line in held):
                return True
            await asyncio.sleep(0.02)
        return False


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    chance = setting.chance("upstream faults")
    tally = _Tally()
    async with staged(setting.directory) as stage:
        for _ in range(3):
            await stage.ask()
        await stage.is_settled()
        tasks, sockets, at_first = _tasks(), _sockets(), _rss_bytes()
        rounds = range(setting.scaled(10, 1))
        await _try_all(stage, [_LARGEST for _ in rounds], chance, tally)
        kept = _rss_bytes() - at_first
        await _try_all(stage, [name for _ in rounds for name in FAULTS if name != _LARGEST], chance, tally)
        tasks_left, sockets_left = _tasks() - tasks, _sockets() - sockets
        grown = _rss_bytes() - at_first - kept
    figures = (
        told("faults x points", f"{len(FAULTS)} x {len(POINTS)}"),
        told("streams that were broken", tally.cells),
        equal("ended with one error in OpenAI's shape, or whole where nothing was missing", tally.cells,
              tally.errors + tally.whole),
        told("  of these with an HTTP status, as nothing had been relayed", tally.cells - tally.statuses[200]),
        told("  of these whole: finished before it broke off in order", tally.whole),
        none(_naming("  otherwise", tally.wrong), len(tally.wrong)),
        none("[DONE] sent beside an error", tally.done),
        at_most(_naming("slowest error after the fault, s", tally.slow), tally.slowest_s, _WITHIN_S),
        at_most(f"slowest error where nothing came for {IDLE_S:g} s, s", tally.slowest_silent_s, IDLE_S + _WITHIN_S),
        none(_naming("with money held or a request under way afterwards", tally.held), len(tally.held)),
        none(_naming("good requests that were answered wrongly afterwards", tally.poisoned), len(tally.poisoned)),
        none("tasks left", max(tasks_left, 0)),
        none("sockets left", max(sockets_left, 0)),
        at_most("memory kept after the lines of 64 MB, MiB", max(kept, 0) / 2**20, _MOST_KEPT_BYTES / 2**20),
        at_most("memory grown in all other streams, MiB", max(grown, 0) / 2**20, _MOST_GROWN_BYTES / 2**20),
    )  # fmt: skip
    return Result("u", TITLE, command, figures, time.monotonic() - started_s)


def _naming(what: str, cells: Sequence[str]) -> str:
    return f"{what}: {', '.join(cells)}" if cells else what


async def _try_all(stage: Stage, faults: Sequence[str], chance: random.Random, tally: _Tally) -> None:
    for name in faults:
        for point in POINTS:
            await _try(stage, name, FAULTS[name], point, chance, tally)


async def _try(stage: Stage, name: str, fault: Fault, point: Point, chance: random.Random, tally: _Tally) -> None:
    cell = f"{name} {point}"
    stage.upstream.will(fault, point, chance)
    reply = await stage.ask()
    after_s = reply.error_s - stage.upstream.struck_s
    tally.cells += 1
    tally.statuses[reply.status] += 1
    if fault.leaves_whole and point == "before [DONE]" and _is_whole(reply):
        tally.whole += 1
    elif reply.is_well_shaped and not reply.is_done:
        tally.errors += 1
    else:
        tally.wrong.append(cell)
    tally.done += reply.is_done and bool(reply.errors)
    if fault.is_silent:
        tally.slowest_silent_s = max(tally.slowest_silent_s, after_s)
    else:
        tally.slowest_s = max(tally.slowest_s, after_s)
    if after_s > _WITHIN_S + IDLE_S * fault.is_silent:
        tally.slow.append(f"{cell} ({after_s:.1f} s)")
    if not await stage.is_settled():
        tally.held.append(cell)
    stage.upstream.will(None, point, chance)
    good = await stage.ask()
    if not _is_whole(good):
        tally.poisoned.append(f"{cell}: {good.status} {good.errors}")
    await stage.is_settled()


def _is_readable(event: str) -> bool:
    try:
        return event == "[DONE]" or isinstance(json.loads(event), dict)
    except ValueError:
        return False


def _error_in(text: str) -> object:
    try:
        return json.loads(text)["error"]
    except (ValueError, KeyError):
        return None


def _is_whole(reply: Reply) -> bool:
    return (
        reply.status == 200
        and not reply.errors
        and not reply.is_cut
        and reply.events[-1] == "[DONE]"
        and text_of(reply.events) == "".join(WORDS)
    )


@asynccontextmanager
async def staged(directory: Path) -> AsyncIterator[Stage]:
    """Everything runs while the context is open."""
    upstream = FaultyUpstream()
    config, state = directory / "config", directory / "state"
    shutil.copytree(CHECKOUT / "config", config)
    for team in (config / "teams").glob("*.yaml"):
        team.unlink()
    (config / "teams" / "ample.yaml").write_text(AMPLE)
    main = config / "penstock.yaml"
    main.write_text(
        main.read_text()
        .replace("https://openrouter.ai/api/v1", f"http://127.0.0.1:{upstream.port}/api/v1")
        .replace("first_byte_s: 300", f"first_byte_s: {IDLE_S:g}")
        .replace("between_bytes_s: 120", f"between_bytes_s: {IDLE_S:g}")
        .replace("refresh_s: 300", "refresh_s: 0")
    )
    state.mkdir()
    house = assemble(load(config, environment={"OPENROUTER_API_KEY": "sk-or-t", "STATE_DIRECTORY": str(state)}))
    data, admin = bound("127.0.0.1", 0), bound("127.0.0.1", 0)
    key = written(house.keys.lend(TeamName("ample"), secrets.token_bytes))
    headers = {"authorization": f"Bearer {key}"}
    try:
        async with (
            serving(house.admin, admin),
            serving(house.data, data),
            httpx2.AsyncClient(headers=headers, timeout=_PATIENCE_S) as client,
        ):
            base = f"http://127.0.0.1:{port_of(data)}"
            await client.get(f"{base}/readyz")  # answered when the house has started
            yield Stage(upstream, client, f"{base}/v1/chat/completions", f"http://127.0.0.1:{port_of(admin)}/metrics")
    finally:
        upstream.close()


def _tasks() -> int:
    return len(asyncio.all_tasks())


def _sockets() -> int:
    gc.collect()
    links = Path("/proc/self/fd").iterdir()
    return sum(1 for link in links if _target(link).startswith("socket:"))


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # the descriptor with which the directory is read
        return ""


def _rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
