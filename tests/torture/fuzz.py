"""fuzz: no request, however odd, makes the proxy fail, hang, or send what it has not priced.

Requests are those of docs/reference/openapi.yaml, changed (`fuzzed_requests.py`), to a proxy before a provider that
answers everything well (`obliging_upstream.py`): whatever is answered with 500 is then our own. Each answer must be one
that the page has for its operation. What reached the provider is compared with what the ledger says was priced.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Lock

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Flaky

from router.catalog.catalog import Catalog, ModelName
from router.config.loader import load
from tests.server.openapi import Answer, Port, operations
from tests.torture.books import BookedCall, LedgerReader
from tests.torture.fuzzed_requests import REQUESTS, FuzzedRequest, described, every_value, of_targets, some_values
from tests.torture.lying_upstream import LyingUpstream, lying_upstream
from tests.torture.obliging_upstream import Asked, ObligingUpstream
from tests.torture.plant import Plant, Replica, running_plant
from tests.torture.raw_client import Cut, NoAnswer, NoHttp, RawClient, Timed
from tests.torture.result import Figure, Result, at_least, equal, none, told
from tests.torture.setting import Setting

TITLE = "no request makes it fail, hang, or send what it has not priced"

TOKEN = "torture-" + "t" * 32
HANG_S = 1.0
_LOOKED_FOR_S = 0.75  # an entry that feedback is about, and that may be on its way (gateway/feedback.py)
PATIENCE_S = 1.0  # of the proxy, for a first byte and between bytes; twice that for a whole answer
_DRAWN_AT_ONCE = 2_000  # examples of one run of Hypothesis, which remembers them all
_AT_ONCE = 3  # clients beside the one whose requests are drawn
_SETTLED_WITHIN_S = 30.0
_SHOWN = 3  # faults of a kind

TEAM = """
team: search
baseline: openai/gpt-5.4
budgets:
  - {limit_usd: 1000000, per: month, when_spent: downgrade}
cache: {ttl_s: 600, when: temperature_zero}
aliases:
  auto: {policy: balanced}
  careful: {policy: checked}
  stops: {model: deepseek/deepseek-v4-flash}
  embed: {model: openai/text-embedding-3-small}
  text-embedding-3-small: {model: openai/text-embedding-3-small}
  omni-moderation-latest: {model: openai/omni-moderation-latest}
policies:
  balanced: &terms
    candidates: [deepseek/deepseek-v4-flash, deepseek/deepseek-v4-pro, openai/gpt-5.4, anthropic/claude-opus-4.7]
    objective: cheapest
    quality: {at_least: 0.9, of: best_candidate}
    verify: [json_schema, tool_arguments]
    rules:
      - {name: code, when: {task: code}, quality: {at_least: 0.85, of: best_candidate}}
      - {name: pictures, when: {needs: image_input}, candidates: [openai/gpt-5.4]}
  checked:
    candidates: [deepseek/deepseek-v4-flash, deepseek/deepseek-v4-pro, openai/gpt-5.4]
    objective: cheapest
    quality: {at_least: 0.5, of: best_candidate}
    verify: [non_empty, {code: [python, json]}, agreement]
""".replace(" &terms", "")
_MODERATOR = """
  openai/omni-moderation-latest:
    apis: [moderations]
    context_tokens: 32768
    deployments:
      - provider: openai
        upstream_model: omni-moderation-latest
        prices: [{from: 2026-01-01, input_usd_per_mtok: 0, output_usd_per_mtok: 0, source: free, checked: 2026-11-25}]
"""
_ENVIRONMENT = {"OPENAI_API_KEY": "sk-torture", "PENSTOCK_ADMIN_TOKEN": TOKEN}

# Each lets a provider choose another model, or adds fees that no price bounds: they must never be sent with a value.
_NEVER_SENT = frozenset({"models", "route", "preset", "plugins", "web_search_options", "fallbacks", "container"})
_WITHOUT_OUTPUT = frozenset({"embeddings", "moderations"})
# What the server says where it could not make out a request: in plain text, before any of ours is asked.
_NO_REQUEST = frozenset({400, 408, 411, 413, 414, 417, 421, 426, 431, 501, 505})


@dataclass(slots=True)
class Tally:
    requests: int = 0
    drawn: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    own_5xx: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    off_the_page: list[str] = field(default_factory=list)


class Fuzzer:
    """Sends requests to both ports of a running proxy, and looks at what comes back."""

    def __init__(self, port: int, admin_port: int, *, key: str) -> None:
        self._clients: Mapping[Port, RawClient] = {"data": RawClient(port), "admin": RawClient(admin_port)}
        self._authorization: Mapping[Port, bytes] = {
            "data": f"Bearer {key}".encode(),
            "admin": f"Bearer {TOKEN}".encode(),
        }
        self._mark = _mark_of(self.fetched("/explain"))
        self.tally = Tally()

    def fetched(self, target: str) -> str:
        """The body of an answer of the admin port."""
        request = FuzzedRequest(None, "admin", "GET", target.encode())
        return self._asked(request, mark=b"").answer.body.decode()

    def try_(self, request: FuzzedRequest) -> list[str]:
        """What is wrong with the answer, but for its being late; nothing if nothing is.

        A late one is only counted: to shrink it would take hundreds of tries, of a second or more each.
        """
        self.tally.requests += 1
        try:
            timed = self._asked(request, mark=self._mark)
            own_s = _LOOKED_FOR_S if request.target == b"/v1/feedback" else 0.0
            took_s = timed.took_s - own_s
            # A machine that does something else for a second does not do so three times in a row.
            for _ in range(2):
                if took_s > HANG_S:
                    took_s = min(took_s, self._asked(request, mark=self._mark).took_s - own_s)
        except (Cut, NoAnswer, NoHttp) as error:
            fault = f"{type(error).__name__}: {error}: {described(request)}"
            if isinstance(error, NoAnswer):
                self.tally.hangs.append(fault)
                return []
            self.tally.unanswered.append(fault)
            return [fault]
        answer = timed.answer
        self.tally.statuses[answer.status] += 1
        self.tally.slowest_s = max(self.tally.slowest_s, took_s)
        if took_s > HANG_S:
            self.tally.hangs.append(f"{took_s:.2f} s: {described(request)}")
            return []
        if answer.status >= 500:
            self.tally.own_5xx.append(f"{answer.status} {answer.body[:200]!r}: {described(request)}")
            return self.tally.own_5xx[-1:]
        faults = [f"{fault}: {described(request)}" for fault in _off_the_page(request, answer)]
        self.tally.off_the_page += faults
        return faults

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _asked(self, request: FuzzedRequest, *, mark: bytes) -> Timed:
        message = request.encoded(self._authorization[request.port], mark)
        return self._clients[request.port].ask(message, is_head=request.method == "HEAD")


def _mark_of(page: str) -> bytes:
    found = re.search(r'name="mark" value="([0-9a-f]+)"', page)
    assert found is not None, page[:300]
    return found[1].encode()


def _off_the_page(request: FuzzedRequest, answer: Answer) -> list[str]:
    is_of_the_edge = not answer.header("x-request-id") and answer.header("connection") == "close"
    if answer.status in _NO_REQUEST and is_of_the_edge and (request.is_odd or request.headers):
        return []  # refused before it was a request (docs/edge.md)
    if request.method == "CONNECT" and answer.status == 405 and is_of_the_edge and answer.header("allow"):
        return []  # the same
    operation = request.operation
    if operation is not None and not _is_head_of(request):
        return operation.faults(answer)
    faults = [] if answer.header("x-request-id") else ["there is no x-request-id"]
    if answer.status == 405 and not answer.header("allow") and request.port == "data":
        faults.append("405 without allow")
    return faults


def _is_head_of(request: FuzzedRequest) -> bool:
    return request.operation is not None and request.method != request.operation.method


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    figures = await asyncio.to_thread(_fuzzed, setting)
    return Result("fuzz", TITLE, command, tuple(figures), time.monotonic() - started_s)


def _fuzzed(setting: Setting) -> list[Figure]:
    with standing(setting) as stand:
        return [*fuzzed(setting, stand), *at_the_end(stand)]


def fuzzed(setting: Setting, stand: "Stand") -> list[Figure]:
    replica = stand.replica
    fuzzers = [Fuzzer(replica.port, replica.admin_port, key=stand.key) for _ in range(_AT_ONCE)]
    began_s = time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE + 1) as threads:
        drawing = threads.submit(_draw, stand.fuzzer, setting)
        in_turn = InTurn(_in_turn(setting))
        list(threads.map(_try_some, fuzzers, [in_turn] * _AT_ONCE))
        drawing.result()
    tally = _together([stand.fuzzer.tally, *(each.tally for each in fuzzers)], time.monotonic() - began_s)
    for each in fuzzers:
        each.close()
    settled(stand.fuzzer)
    catalog = load(replica.config, environment=replica.environment).catalog
    booked = LedgerReader(stand.plant).calls()
    return [*_figures(tally, setting), *_books(stand.upstream.obliging, booked, catalog)]


def at_the_end(stand: "Stand", *, but: Sequence[bytes] = ()) -> list[Figure]:
    """What is left when all is over, of which the process is stopped. For `but` see `log_figures`."""
    replica = stand.replica
    left = settled(stand.fuzzer)
    has_ended = replica.process is None or replica.process.poll() is not None
    replica.stop()
    return [
        none("dollars held or requests under way afterwards", left),
        none("exits of the process", int(has_ended)),
        *log_figures(replica.log, but=but),
    ]


@dataclass(frozen=True, slots=True)
class Stand:
    """A proxy, the provider behind it, and who tries it."""

    plant: Plant
    upstream: LyingUpstream
    fuzzer: Fuzzer

    @property
    def replica(self) -> Replica:
        [replica] = self.plant.replicas
        return replica

    @property
    def key(self) -> str:
        return self.plant.keys["search"][0].text


@contextmanager
def standing(setting: Setting) -> Iterator[Stand]:
    with lying_upstream(setting.seed) as upstream, _plant(setting, upstream.port) as plant:
        [replica] = plant.replicas
        fuzzer = Fuzzer(replica.port, replica.admin_port, key=plant.keys["search"][0].text)
        try:
            yield Stand(plant, upstream, fuzzer)
        finally:
            fuzzer.close()


@contextmanager
def _plant(setting: Setting, upstream_port: int) -> Iterator[Plant]:
    """A proxy in front of that provider, which it asks in place of OpenRouter and OpenAI."""
    with running_plant(
        setting,
        name="fuzzed",
        teams={"search": TEAM},
        time_scale=0.0,
        upstream_port=upstream_port,
        environment=lambda _: _ENVIRONMENT,
        replicas=1,
        is_started=False,
    ) as plant:
        [replica] = plant.replicas
        main, models = replica.config / "penstock.yaml", replica.config / "models.yaml"
        openai = f"kind: openai_compatible, base_url: http://127.0.0.1:{upstream_port}/v1, api_key_env: OPENAI_API_KEY"
        main.write_text(
            main.read_text()
            .replace("\nproviders:\n", f"\nproviders:\n  openai: {{{openai}, apis: [moderations]}}\n")
            .replace("refresh_s: 300", "refresh_s: 0")
            .replace("first_byte_s: 300", f"first_byte_s: {PATIENCE_S:g}")
            .replace("between_bytes_s: 120", f"between_bytes_s: {PATIENCE_S:g}")
        )
        models.write_text(models.read_text() + _MODERATOR)
        replica.start()
        yield plant


class InTurn:
    """What is tried one by one, made once for all clients: to make a request takes as long as to have it answered."""

    def __init__(self, requests: Iterator[FuzzedRequest]) -> None:
        self._requests = requests
        self._lock = Lock()

    def next(self) -> FuzzedRequest | None:
        """One that no other client has; None if there are no more."""
        with self._lock:
            return next(self._requests, None)


def _try_some(fuzzer: Fuzzer, requests: InTurn) -> None:
    while (request := requests.next()) is not None:
        fuzzer.try_(request)


def _together(tallies: Sequence[Tally], seconds: float) -> Tally:
    total = Tally(seconds=seconds)
    for each in tallies:
        total.requests += each.requests
        total.drawn += each.drawn
        total.slowest_s = max(total.slowest_s, each.slowest_s)
        total.statuses += each.statuses
        total.own_5xx += each.own_5xx
        total.hangs += each.hangs
        total.unanswered += each.unanswered
        total.off_the_page += each.off_the_page
    return total


def _in_turn(setting: Setting) -> Iterator[FuzzedRequest]:
    """Everything that is tried one by one; of a short run a part of it, another one with another seed."""
    if setting.is_short:
        chance = setting.chance("in turn")
        return chain(some_values(chance, 160), chance.sample(list(of_targets()), 30))
    return chain((each for operation in operations() for each in every_value(operation)), of_targets())


def _draw(fuzzer: Fuzzer, setting: Setting) -> None:
    """Requests drawn by Hypothesis. The first of its kind that is answered wrongly ends a run of it, with the smallest
    such request; those like it are only counted from then on, so that a known fault does not end all the others."""
    chance = setting.chance("drawn")
    wanted = setting.scaled(40_000, 120)
    known: set[str] = set()
    while (left := wanted - fuzzer.tally.drawn) > 0:
        before = fuzzer.tally.requests
        found: set[str] = set()

        @seeded(chance.getrandbits(64))
        @settings(
            max_examples=min(left, _DRAWN_AT_ONCE),
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        @given(REQUESTS)
        def one(request: FuzzedRequest) -> None:
            kinds = {_kind(fault) for fault in fuzzer.try_(request)} - known  # noqa: B023 - called in this turn only
            found.update(kinds)  # noqa: B023 - the same
            assert not kinds, kinds

        with suppress(AssertionError, Flaky):  # it has been counted
            one()
        known |= found
        fuzzer.tally.drawn += fuzzer.tally.requests - before


def _kind(fault: str) -> str:
    """What comes before the bytes that one request has and another has not."""
    return re.split(r": (?:data|admin) |b['\"]", fault)[0]


def _figures(tally: Tally, setting: Setting) -> list[Figure]:
    return [
        at_least("requests", tally.requests, setting.scaled(100_000, 250)),
        told("  of these drawn by Hypothesis", tally.drawn),
        told("  answered with 200", tally.statuses[200]),
        told("  answered with 4xx", sum(count for status, count in tally.statuses.items() if 400 <= status < 500)),
        told("seconds", round(tally.seconds)),
        none(naming("answers of 5xx", tally.own_5xx), len(tally.own_5xx)),
        none(naming(f"answers later than {HANG_S:g} s, or never", tally.hangs), len(tally.hangs)),
        told("slowest answer, s", round(tally.slowest_s, 3)),
        none(naming("connections closed in place of an answer", tally.unanswered), len(tally.unanswered)),
        none(naming("answers that openapi.yaml does not have", tally.off_the_page), len(tally.off_the_page)),
    ]


def naming(what: str, faults: Sequence[str]) -> str:
    shown = "\n      ".join(faults[:_SHOWN])
    return f"{what}:\n      {shown}\n     " if faults else what


def _books(upstream: ObligingUpstream, booked: Iterable[BookedCall], catalog: Catalog) -> list[Figure]:
    """Whether what was sent is what was priced, and what was billed is what was booked."""
    by_generation = {call.generation_id: call for call in booked if call.generation_id is not None}
    wrong = [
        f"{generation}: {fault}"
        for generation, asked in upstream.asked.items()
        for fault in _sent_otherwise(asked, by_generation.get(generation), catalog)
    ]
    billed = sum(asked.nano_usd for asked in upstream.asked.values() if asked.api != "moderations")
    twice = [fault for fault in upstream.faults if "come twice" in fault]
    others = [fault for fault in upstream.faults if fault not in twice]
    in_books = sum(call.cost_nano_usd for call in by_generation.values())
    return [
        at_least("requests that reached the provider", len(upstream.asked), 15),
        none(naming("bodies that a strict reader does not take", others), len(others)),
        told("  besides, with members that come twice, which two readers may read differently", len(twice)),
        none(naming("bodies sent that were priced otherwise", wrong), len(wrong)),
        equal("nano-dollars booked, of those billed", in_books, billed),
    ]


def _sent_otherwise(asked: Asked, call: BookedCall | None, catalog: Catalog) -> Iterator[str]:
    if call is None:
        yield "it is not in the books"
        return
    deployment = next((each for each in catalog.of(ModelName(call.model)) if each.upstream_model == asked.model), None)
    if deployment is None:
        yield f"{call.model} was priced, and {asked.model[:60]!r} sent"
        return
    if asked.api != "moderations" and call.cost_nano_usd != asked.nano_usd:
        yield f"{asked.nano_usd} were billed, and {call.cost_nano_usd} booked"
    if unbounded := asked.members & _NEVER_SENT:
        yield f"{sorted(unbounded)} were sent"
    if asked.api in _WITHOUT_OUTPUT:
        return
    price = deployment.prices.at(call.at)
    if price is None or asked.limit is None:
        yield "nothing bounds it"
        return
    least = int(price.base.output * asked.limit * asked.answers * 10**9)
    if call.held_nano_usd < least:
        yield f"{call.held_nano_usd} were held, and {asked.answers} answers of {asked.limit} tokens may cost {least}"


def settled(fuzzer: Fuzzer) -> int:
    """How many requests are under way, and purses that hold something, when that should be over."""
    deadline_s = time.monotonic() + _SETTLED_WITHIN_S
    while True:
        lines = fuzzer.fetched("/metrics").splitlines()
        watched = ("penstock_budget_held_usd{", "penstock_in_flight_requests ", "penstock_ledger_lag_seconds ")
        left = [line for line in lines if line.startswith(watched) and not line.endswith(" 0.0")]
        if not left or time.monotonic() > deadline_s:
            return len(left)
        time.sleep(0.05)


def log_figures(log: Path, *, but: Sequence[bytes] = ()) -> list[Figure]:
    """What the process has written: one object of JSON a line, and no error `but` those with one of these texts."""
    lines = [line for line in log.read_bytes().split(b"\n") if line.startswith(b"{") or b"Traceback" in line]
    broken = [repr(line[:200]) for line in lines if not _is_object(line)]
    unhandled = [repr(line[:300]) for line in lines if _tells_error(line) and not any(each in line for each in but)]
    return [
        none(naming("errors in the log", unhandled), len(unhandled)),
        none(naming("lines of the log that are no JSON", broken), len(broken)),
    ]


def _tells_error(line: bytes) -> bool:
    return any(each in line for each in (b"unhandled", b'"level":"error"', b'"level": "error"', b"Traceback"))


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict) and not any(byte < 0x20 for byte in line)
    except ValueError:
        return False
