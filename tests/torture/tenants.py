"""tenants: nobody gets, or pays for, anything of another team's, whoever hangs up in the middle of whatever.

Several teams ask at the same time, by keys of their own but over the same kept connections, each request by another
one. The provider (echo.py) answers each request with what it alone has said, and bills a sum of its own. Three in ten
are given up: before the answer, at a byte of it, or at its end.
"""

import asyncio
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.torture.books import LedgerReader, is_settled
from tests.torture.echo import cost_nano_usd, generation_id, input_tokens
from tests.torture.load import in_parallel
from tests.torture.plant import AMPLE, CHECKOUT, Key, Plant, running_plant
from tests.torture.result import Result, at_least, equal, none, told
from tests.torture.setting import Setting

TITLE = "nobody gets or pays for anything of another team's"

_TEAMS = ("ada", "ben", "cleo", "dan")
_KEYS = 3  # of each
_WORKERS = 48
_CUT = 0.3
_PATIENCE_S = 60.0
_SILENCE_S = 0.2  # after which who gives up thinks that no more comes: answers may be shorter than he had planned
_DRAINED_WITHIN_S = 120.0
_SAID = re.compile(r"\[([a-z0-9]+)/(\d+)\]")
_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class _Seen:
    answers: Counter[str] = field(default_factory=Counter)
    crossings: int = 0  # an answer that says, costs or uses what another request does
    names: set[str] = field(default_factory=set)  # of requests
    repeated: int = 0  # of these
    reused: int = 0  # requests on a connection that had carried another team's before
    idle: list[tuple[_Connection, str]] = field(default_factory=list)  # and whose request came last


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    count = setting.scaled(100_000, 300)
    teams = {team: AMPLE.replace("team: ample", f"team: {team}") for team in _TEAMS}
    seen, chance = _Seen(), setting.chance("tenants")
    async with _echo() as port:
        with running_plant(
            setting, name="tenants", teams=teams, time_scale=0, keys_per_team=_KEYS, upstream_port=port
        ) as plant:  # fmt: skip

            async def one(number: int, _: int) -> None:
                await _ask(plant, chance, number, seen)

            await in_parallel(count, workers=_WORKERS, work=one)
            for (_, writer), _ in seen.idle:
                writer.close()
            is_drained = await asyncio.to_thread(is_settled, plant, within_s=_DRAINED_WITHIN_S)
            billed: Mapping[str, int] = plant.sandbox("/bill")
            calls = LedgerReader(plant).calls()
    booked = {call.generation_id: call for call in calls if call.generation_id is not None}
    by_team = Counter(dict.fromkeys(_TEAMS, 0))
    for call in calls:
        by_team[call.team] += call.cost_nano_usd
    bills = Counter({team: sum(sum_ for name, sum_ in billed.items() if f"-{team}-" in name) for team in _TEAMS})
    keys = {key.id: key.team for keys in plant.keys.values() for key in keys}
    figures = (
        equal("requests", seen.answers.total(), count),
        told("their ends", ", ".join(f"{end} {times:,}" for end, times in seen.answers.most_common())),
        at_least("given up", seen.answers["given up"], count * _CUT / 2),
        at_least("on a connection that had carried another team's", seen.reused, count / 5),
        none("answers of another request, or with its usage or its cost", seen.crossings),
        none("names of requests that came twice", seen.repeated),
        none("other answers", sum(seen.answers.values()) - sum(seen.answers[each] for each in ("200", "given up"))),
        equal("drained", int(is_drained), 1),
        at_least("calls billed", len(billed), count * 0.6),
        none("billed and not in the ledger", len(billed.keys() - booked.keys())),
        none(
            "in the ledger, of a team that did not ask",
            sum(f"-{call.team}-" not in str(name) for name, call in booked.items()),
        ),
        none("in the ledger, by a key of another team", sum(keys[call.key_id] != call.team for call in calls)),
        none(
            "in the ledger at another cost",
            sum(booked[each].cost_nano_usd != billed[each] for each in booked.keys() & billed.keys()),
        ),
        *(none(f"ledger - bill of {team}, nano-USD", by_team[team] - bills[team]) for team in _TEAMS),
    )
    return Result("tenants", TITLE, command, figures, time.monotonic() - started_s)


async def _ask(plant: Plant, chance: random.Random, number: int, seen: _Seen) -> None:
    team = chance.choice(_TEAMS)
    key = chance.choice(plant.keys[team])
    is_stream, is_cut = chance.random() < 0.5, chance.random() < _CUT
    cut_after_bytes = chance.choice((0, 0, 1, 200, 700, 1_200)) if is_cut else None
    patience_s = chance.random() * 0.03  # of who gives up before anything has come
    connection = await _connection(plant, team, chance, seen)
    reader, writer = connection
    try:
        async with asyncio.timeout(_PATIENCE_S):
            writer.write(_request(key, team, number, is_stream=is_stream))
            if cut_after_bytes is not None:
                await _take(reader, cut_after_bytes, patience_s)
                writer.transport.abort() if chance.random() < 0.5 else writer.close()
                seen.answers["given up"] += 1
                return
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            body = await _body(reader, head.lower())
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        seen.answers[type(error).__name__] += 1
        writer.close()
        return
    seen.answers[head[9:12]] += 1
    if head[9:12] == "200":
        seen.crossings += not _is_own(head.lower(), body, team, number, is_stream=is_stream)
    name = re.search(r"\r\nx-request-id: (\S+)", head.lower())
    seen.repeated += name is None or name[1] in seen.names
    if name is not None:
        seen.names.add(name[1])
    seen.idle.append((connection, team))


async def _connection(plant: Plant, team: str, chance: random.Random, seen: _Seen) -> _Connection:
    """One that is open, whoever had it before; a new one now and then, or if there is none."""
    while seen.idle and chance.random() > 0.02:
        (reader, writer), before = seen.idle.pop(chance.randrange(len(seen.idle)))
        if not reader.at_eof() and not writer.is_closing():
            seen.reused += before != team
            return reader, writer
    return await asyncio.open_connection("127.0.0.1", plant.replicas[0].port)


def _request(key: Key, team: str, number: int, *, is_stream: bool) -> bytes:
    messages = [{"role": "user", "content": f"[nonce={team}/{number}] Say it again."}]
    body = json.dumps({"model": "runs", "stream": is_stream, "max_tokens": 50, "messages": messages}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: torture\r\nAuthorization: Bearer {key.text}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _take(reader: asyncio.StreamReader, size: int, patience_s: float) -> None:
    """So much of an answer, or what there is of it when patience ends."""
    if not size:
        await asyncio.sleep(patience_s)
        return
    taken = 0
    while taken < size:
        try:
            async with asyncio.timeout(_SILENCE_S):
                data = await reader.read(size - taken)
        except TimeoutError:
            return
        if not data:
            return
        taken += len(data)


async def _body(reader: asyncio.StreamReader, head: str) -> str:
    length = re.search(r"\r\ncontent-length: (\d+)", head)
    if length is not None:
        return (await reader.readexactly(int(length[1]))).decode()
    parts: list[bytes] = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts).decode()


def _is_own(head: str, body: str, team: str, number: int, *, is_stream: bool) -> bool:
    """Whether everything that is told is of this request, and of no other."""
    events: list[dict[str, Any]] = (
        [json.loads(line[6:]) for line in body.split("\n") if line.startswith("data: {")]
        if is_stream
        else [json.loads(body)]
    )
    choices = [choice for event in events for choice in event["choices"]]
    said = "".join((each.get("delta") or each.get("message") or {}).get("content") or "" for each in choices)
    usages = [event["usage"] for event in events if event.get("usage")]
    if is_stream and not usages:  # it was not asked for
        is_usage_own = True
    else:
        is_usage_own = [usage["prompt_tokens"] for usage in usages] == [input_tokens(number)]
    cost = re.search(r"\r\nx-penstock-cost-usd: (\S+)", head)
    is_cost_own = is_stream or (cost is not None and round(float(cost[1]) * 1e9) == cost_nano_usd(number))
    is_id_own = all(event["id"] == generation_id(team, number) for event in events)
    return _SAID.findall(said) == [(team, str(number))] and is_usage_own and is_cost_own and is_id_own


@asynccontextmanager
async def _echo() -> AsyncIterator[int]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.torture.echo", cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        yield int((await child.stdout.readline()).split()[-1])
    finally:
        child.terminate()
        await child.wait()
