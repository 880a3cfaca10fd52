"""liars: whatever a provider says, each request ends in time, in the words of its API, and is booked within its hold.

The provider (`lying_upstream.py`) draws each answer from the seed and the number of the request: heads, lengths,
chunks, JSON, events, figures, encodings. A 502 that tells of it is right; a 500 is not, nor is an answer that a client
cannot read to its end.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.server.openapi import Answer, Operation, operations
from tests.torture.books import BookedCall, LedgerReader
from tests.torture.fuzz import Stand, at_the_end, naming, settled, standing
from tests.torture.lying_upstream import BOMB_BYTES, WAYS, LyingUpstream, Told
from tests.torture.raw_client import Cut, NoAnswer, NoHttp, RawClient
from tests.torture.result import Figure, Result, at_least, at_most, none, told
from tests.torture.setting import Setting

TITLE = "providers that say anything"

TOLD_SO = (b"is told to cost",)  # what the log says of a cost above what was held
# Two calls that may be owed end a request, each may take twice the patience, and reading an error five seconds more.
_WITHIN_S = 15.0
_AT_ONCE = 48
_MOST_GROWN_BYTES = 8 * 2**20
_TIMES_HELD = 10  # a cost above the hold by more is not believed (gateway/settlement.py)
_ALIASES = ("auto", "careful", "stops", "openai/gpt-5.4")
_AT_ONCE_OVER = tuple(way for way in WAYS if way not in ("comments", "large", "pace", "interim", "length", "status"))
_TEXT = "Say in one word what a penstock is."


@dataclass(frozen=True, slots=True)
class _Question:
    number: int
    operation: Operation
    body: Mapping[str, Any]

    @property
    def is_stream(self) -> bool:
        return bool(self.body.get("stream"))


@dataclass(slots=True)
class _Tally:
    slowest_s: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    own_5xx: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    off_the_page: list[str] = field(default_factory=list)


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    figures = await asyncio.to_thread(_lied_to, setting)
    return Result("liars", TITLE, command, tuple(figures), time.monotonic() - started_s)


def _lied_to(setting: Setting) -> list[Figure]:
    with standing(setting) as stand:
        return [*lied_to(setting, stand), *at_the_end(stand, but=TOLD_SO)]


def lied_to(setting: Setting, stand: Stand) -> list[Figure]:
    upstream, replica = stand.upstream, stand.replica
    tally, numbers, chance = _Tally(), count(1), setting.chance("questions")

    def ask(many: int, *only: str) -> None:
        upstream.only = only
        questions = [_question(next(numbers), chance) for _ in range(many)]
        _ask_all(replica.port, stand.key, questions, tally)

    upstream.keeps_records = setting.is_short
    ask(setting.scaled(64, 24), "split")  # what a first request takes
    before = _rss_bytes(replica.pid)
    ask(setting.scaled(200, 8), "bomb")
    grown = _rss_bytes(replica.pid) - before
    began_s = time.monotonic()
    ask(setting.scaled(2_000, 60), "usage")
    # What stands still until the proxy loses its patience is left to the long run.
    ask(setting.scaled(10_000, 100), *(_AT_ONCE_OVER if setting.is_short else ()))
    seconds = time.monotonic() - began_s
    settled(stand.fuzzer)
    booked = LedgerReader(stand.plant).calls()
    bombs = f"memory grown by answers that unpack to {BOMB_BYTES >> 20} MiB, MiB"
    return [
        *_figures(tally, upstream, seconds),
        at_most(bombs, grown / 2**20, _MOST_GROWN_BYTES / 2**20),
        *_books(upstream.told, booked),
    ]


def _question(number: int, chance: Any) -> _Question:  # noqa: ANN401 - a random.Random
    asked = [each for each in operations() if each.path.startswith("/v1/") and "x-penstock-tags" in _headers_of(each)]
    weights = [1 if each.path.endswith(("embeddings", "moderations", "completions")) else 3 for each in asked]
    (operation,) = chance.choices(asked, weights)
    body = dict(next(iter(operation.bodies.values())))
    text = f"{_TEXT} No{number} "
    name = next(each for each in ("messages", "input", "prompt") if each in body)
    body[name] = [{"role": "user", "content": text}] if name == "messages" else text
    if body.get("model") == "auto":
        body["model"] = chance.choice(_ALIASES)
        if not operation.path.endswith("completions") or "chat" in operation.path:
            body["stream"] = chance.random() < 0.6
    return _Question(number, operation, body)


def _headers_of(operation: Operation) -> set[str]:
    return {each.name for each in operation.of("header")}


def _ask_all(port: int, key: str, questions: Sequence[_Question], tally: _Tally) -> None:
    clients: SimpleQueue[RawClient] = SimpleQueue()
    for _ in range(_AT_ONCE):
        clients.put(RawClient(port, patience_s=2 * _WITHIN_S))

    def ask(question: _Question) -> None:
        client = clients.get()
        try:
            _ask(client, key, question, tally)
        finally:
            clients.put(client)

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(ask, questions))
    while not clients.empty():
        clients.get().close()


def _ask(client: RawClient, key: str, question: _Question, tally: _Tally) -> None:
    name = f"N{question.number} {question.operation.path}{' streamed' if question.is_stream else ''}"
    body = json.dumps(question.body).encode()
    head = f"POST {question.operation.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    try:
        timed = client.ask(
            f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        )
    except NoAnswer as error:
        tally.late.append(f"{name}: {error}")
        return
    except (Cut, NoHttp) as error:
        tally.cut.append(f"{name}: {type(error).__name__} {error}")
        return
    answer = timed.answer
    tally.statuses[answer.status] += 1
    tally.slowest_s = max(tally.slowest_s, timed.took_s)
    if timed.took_s > _WITHIN_S:
        tally.late.append(f"{name}: {timed.took_s:.1f} s")
    if answer.status == 500:
        tally.own_5xx.append(f"{name}: {answer.body[:300]!r}")
    tally.off_the_page += [f"{name}: {fault}" for fault in _faults(question, answer)]


def _faults(question: _Question, answer: Answer) -> list[str]:
    """What of the answer no client could make sense of. The JSON of a good answer is the provider's own affair."""
    if answer.status != 200:
        return question.operation.faults(answer)
    if not (answer.header("content-type") or "").startswith("text/event-stream"):
        return [] if _is_json(answer.body) else [f"200 without JSON: {answer.body[:200]!r}"]
    faults = question.operation.faults(answer)
    try:
        text = answer.body.decode()
    except UnicodeDecodeError:
        return [*faults, "a stream that is no UTF-8"]
    events = [
        "\n".join(line[5:].removeprefix(" ") for line in event.split("\n") if line.startswith("data:"))
        for event in text.split("\n\n")
        if not event.startswith(":")
    ]
    said = [each for each in events if each]
    broken = [each for each in said if each != "[DONE]" and not _is_json(each.encode())]
    if broken:
        faults.append(f"an event that is no JSON: {broken[0][:200]!r}")
    elif not said or not _is_end(question.operation.path, said[-1]):
        faults.append(f"a stream without an end: {said[-1:]!r:.300}")
    ends = [number for number, each in enumerate(said) if _is_end(question.operation.path, each)]
    if len(ends) > 1 and "responses" not in question.operation.path:
        faults.append(f"a stream with {len(ends)} ends: {text[-400:]!r}")
    if "\0" in text:
        faults.append("a stream with NUL in it")
    return faults


def _is_end(path: str, event: str) -> bool:
    if event == "[DONE]":
        return path in ("/v1/chat/completions", "/v1/completions")
    read = json.loads(event, parse_int=str) if _is_json(event.encode()) else None
    if not isinstance(read, dict):
        return False
    kind = read.get("type")
    match path:
        case "/v1/messages":
            return kind in ("message_stop", "error")
        case "/v1/responses":
            return kind in ("response.completed", "response.incomplete", "response.failed", "error")
        case _:
            return bool(read.get("error"))


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content, parse_int=str)  # as many digits as it likes
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _figures(tally: _Tally, upstream: LyingUpstream, seconds: float) -> list[Figure]:
    asked = sum(tally.statuses.values())
    return [
        told("requests", asked),
        at_least("calls that were answered with lies", upstream.asked, asked * 0.9),
        told("  ways to lie", f"{len(upstream.kinds)} of {len(WAYS)}"),
        told("  answered with 200", tally.statuses[200]),
        told("  answered with 502, 503 or 504", sum(tally.statuses[each] for each in (502, 503, 504))),
        told("seconds", round(seconds)),
        none(naming("answers of 500", tally.own_5xx), len(tally.own_5xx)),
        none(naming(f"answers later than {_WITHIN_S:g} s", tally.late), len(tally.late)),
        told("slowest answer, s", round(tally.slowest_s, 1)),
        none(naming("connections closed in place of an answer", tally.cut), len(tally.cut)),
        none(naming("answers without shape or end", tally.off_the_page), len(tally.off_the_page)),
    ]


def _books(said: Mapping[str, Told], booked: Sequence[BookedCall]) -> list[Figure]:
    negative = [call for call in booked if call.cost_nano_usd < 0]
    beyond = [call for call in booked if call.cost_nano_usd > _TIMES_HELD * call.held_nano_usd and call.held_nano_usd]
    above = [call for call in booked if call.cost_nano_usd > call.held_nano_usd and call.source == "held"]
    told_of = [(call, said[call.generation_id]) for call in booked if call.generation_id and call.generation_id in said]
    wrong = [
        f"{call.generation_id}: said {cost.cost_usd}, booked {call.cost_nano_usd} as {call.source}, "
        f"held {call.held_nano_usd}"
        for call, cost in told_of
        if not _is_right(cost, call)
    ]
    return [
        at_least("good answers but for their figures", len(told_of), 20),
        none("calls booked below nothing", len(negative)),
        none("calls booked above their hold without being told so", len(above)),
        none("calls booked above ten times their hold", len(beyond)),
        none(naming("calls booked otherwise than told, or free", wrong), len(wrong)),
    ]


def _is_right(said: Told, call: BookedCall) -> bool:
    """A cost that is one is booked, to the nano-dollar, or the hold, if figures beside it make no sense; without one it
    is never free, where anything was held."""
    if said.cost_usd is not None and said.cost_usd * 10**9 <= _TIMES_HELD * call.held_nano_usd:
        return call.source in ("held", "record") or abs(call.cost_nano_usd - said.cost_usd * 10**9) <= Decimal("1")
    return call.cost_nano_usd > 0 or not call.held_nano_usd


def _rss_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
