"""What remembering prompt caches is worth: the sandbox's bill of the same conversations, routed in several ways.

    python -m tests.benchmarks.routing               the table and its variations: some minutes on two cores
    python -m tests.benchmarks.routing --quick       a tenth of the conversations

The planner is production's, with the shipped catalog and its prices; answers, prompt caches and bills are the
sandbox's, which shares no code with it; time is simulated. `cache-blind` is the same planner without the memory: it
ranks by what a request would cost if nothing were cached. docs/prompt-caches.md describes the setting.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

import anyio
import msgspec
from starlette.types import ASGIApp

from router.assembly.deciding import make_experience
from router.assembly.providers import unavailable
from router.catalog.catalog import Deployment, ModelName, ProviderName
from router.config.loader import load
from router.config.snapshot import Snapshot
from router.decision.explain import profile_as_data
from router.decision.facts import Conditions, RequestProfile
from router.decision.policy import Policy, QualityFloor
from router.gateway.planning import Plan, Planner
from router.keys import KeyId, TeamName
from router.learning.warmth import Warmth
from router.ledger import Attempt, LedgerEntry, Outcome
from router.quality.predictor import TablePredictor
from router.sandbox.app import sandbox_app
from router.sandbox.offer import Offer, Rates
from router.sandbox.stock import STOCK, Stock
from router.tokens.count import TOKEN_BYTES, TokenCounter
from router.tokens.prefix import session_id
from router.tokens.vocabulary import load_encoding
from router.units import CostSource, Usage
from router.upstream.orders import Orders
from router.upstream.outgoing import outgoing_body
from router.wire.controls import NO_CONTROLS
from router.wire.replies import ReplyReader
from router.wire.requests import ChatReader
from tests.benchmarks.conversations import START, Conversations, Turn, Workload, conversations
from tests.replacing import replace

CONFIG = Path(__file__).parents[2] / "config"
TEAM = TeamName("search")  # a shipped team; here every policy below is an alias of it
TARGET = 0.7  # of the cache-blind bill
ANSWER_S = 1.0  # simulated: from a request to its first token

FLASH, PRO, V32 = "deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro", "deepseek/deepseek-v3.2"
NANO, MINI, GPT = "openai/gpt-5.4-nano", "openai/gpt-5.4-mini", "openai/gpt-5.4"
LITE, GEMINI = "google/gemini-3.1-flash-lite", "google/gemini-3.1-pro-preview"
KIMI, GLM = "moonshotai/kimi-k2.6", "z-ai/glm-5.1"
DIRECT, OPENROUTER = ProviderName("deepseek"), ProviderName("openrouter")


def _policy(name: str, *models: str, at_least: float | None = None, without: ProviderName | None = None) -> Policy:
    return Policy(
        name=name,
        candidates=tuple(map(ModelName, models)),
        floor=None if at_least is None else QualityFloor(at_least, of="best_candidate"),
        banned_providers=frozenset({without} if without else ()),
    )


# The main table: two models whose list prices make nearly the same bill, and whose cached input does not.
CLOSE = _policy("close in price", V32, LITE)
ALONE = (_policy("always V3.2", V32), _policy("always Flash-Lite", LITE))
OTHERS = (
    _policy("small models", FLASH, V32, NANO, LITE),
    _policy("Flash, two providers", FLASH),
    _policy("Pro, two providers", PRO),
    _policy("V3.2, nano", V32, NANO),
    _policy("GPT mini, Kimi", MINI, KIMI),
    _policy("Kimi, Pro at OpenRouter", KIMI, PRO, without=DIRECT),
    _policy("Pro at OpenRouter, GLM", PRO, GLM, without=DIRECT),
    _policy("GPT, Gemini Pro", GPT, GEMINI),
    _policy("four, 95 % of the best", MINI, KIMI, GLM, PRO, at_least=0.95),
)
SHIPPED = (("search", "balanced"), ("research", "thorough"))

# DeepSeek's own prices by day, in USD per million tokens (genai-prices 0.2.3, November 2026).
_DIRECT_RATES = {FLASH: ("0.15", "0.6", "0.003"), PRO: ("0.66", "1.98", "0.022")}


# Whether the planner knows what is cached; `this turn` leaves out what a choice means for the turns that follow.
Memory = Literal["ahead", "this turn", "none"]
_NAMES: Mapping[Memory, str] = {
    "ahead": "cache-aware",
    "this turn": "cache-aware, this turn only",
    "none": "cache-blind",
}
_PAIR: tuple[Memory, Memory] = ("ahead", "none")


@dataclass(frozen=True, slots=True)
class Way:
    """One way of routing one workload."""

    workload: Workload
    policy: str
    memory: Memory


@dataclass(frozen=True, slots=True)
class Bill:
    """What one way of routing came to."""

    nano_usd: int  # by the sandbox
    input_tokens: int
    cached_tokens: int
    expected_cached_tokens: int
    switches: int  # turns that went to another deployment than the turn before
    deployments: Mapping[str, int]  # requests by deployment

    @property
    def usd(self) -> str:
        return f"{self.nano_usd / 1e9:.2f}"

    @property
    def cached_share(self) -> str:
        return f"{100 * self.cached_tokens / self.input_tokens:.0f} %"


def main() -> None:
    """Prints the table and its variations. Exits with 1 if the target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.routing", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the conversations: does it work at all")
    share = 10 if parser.parse_args().quick else 1
    whole = _shortened(Workload("agents"), share)
    ways = [Way(whole, CLOSE.name, memory) for memory in _NAMES]
    ways += [Way(whole, policy.name, "none") for policy in ALONE]
    variations = list(_variations(_shortened(Workload("agents"), 5 * share)))
    pairs = [Way(workload, policy, memory) for workload, policy in variations for memory in _PAIR]
    with ProcessPoolExecutor() as processes:
        bills = list(_with_progress(processes.map(billed, ways + pairs), len(ways + pairs)))
    is_met = _print_table(ways, bills)
    _print_variations(variations, bills[len(ways) :])
    sys.exit(0 if is_met or share > 1 else 1)


def _shortened(workload: Workload, share: int) -> Workload:
    """Fewer conversations, as dense in time."""
    return replace(workload, conversations=workload.conversations // share, hours=workload.hours / share)


def _variations(base: Workload) -> Iterator[tuple[Workload, str]]:
    """Other workloads for the same candidates, and other candidates for the same workload."""
    yield base, CLOSE.name
    yield replace(base, name="single questions", turns=1), CLOSE.name
    yield replace(base, name="5 turns", turns=5), CLOSE.name
    yield replace(base, name="40 turns", turns=40), CLOSE.name
    yield replace(base, name="little text: 200-word results", result_words=200, system_words=200), CLOSE.name
    yield replace(base, name="much text: 2,500-word results", result_words=2_500), CLOSE.name
    yield replace(base, name="few tools: 10 % of messages", work_share=0.1), CLOSE.name
    yield replace(base, name="no long pauses", long_pause_share=0.0), CLOSE.name
    yield replace(base, name="half of the pauses long", long_pause_share=0.5), CLOSE.name
    for name in (*(policy.name for policy in OTHERS), *(name for _, name in SHIPPED)):
        yield base, name


def _with_progress(bills: Iterator[Bill], total: int) -> Iterator[Bill]:
    for number, bill in enumerate(bills, start=1):
        if sys.stderr.isatty():
            print(f"\r{number} of {total} bills", end="" if number < total else "\n", file=sys.stderr, flush=True)
        yield bill


def _print_table(ways: Sequence[Way], bills: Sequence[Bill]) -> bool:
    workload, blind = ways[0].workload, bills[list(_NAMES).index("none")]
    turns = workload.conversations * workload.turns
    print(
        f"{workload.conversations} conversations of {workload.turns} turns; "
        f"prompts of {blind.input_tokens // turns:,} tokens on average; candidates: {', '.join(CLOSE.candidates)}\n"
    )
    print(f"{'routing':<32}{'bill $':>8}{'of blind':>10}{'cached':>8}{'switches':>10}  requests by deployment")
    for way, bill in zip(ways, bills, strict=False):
        name = _NAMES[way.memory] if way.policy == CLOSE.name else way.policy
        share = f"{100 * bill.nano_usd / blind.nano_usd:.0f} %"
        used = ", ".join(
            f"{name} {count}" for name, count in sorted(bill.deployments.items(), key=lambda each: -each[1])
        )
        print(f"{name:<32}{bill.usd:>8}{share:>10}{bill.cached_share:>8}{bill.switches:>10}  {used}")
    ratio = bills[0].nano_usd / blind.nano_usd
    foreseen = bills[0].expected_cached_tokens / max(bills[0].cached_tokens, 1)
    print(f"\ncached tokens expected / reported, cache-aware: {foreseen:.3f}")
    print(f"cache-aware / cache-blind: {ratio:.3f} (target: at most {TARGET})\n")
    return ratio <= TARGET


def _print_variations(variations: Sequence[tuple[Workload, str]], bills: Sequence[Bill]) -> None:
    print(f"{'workload':<34}{'candidates':<26}{'tokens':>8}{'aware $':>9}{'blind $':>9}{'ratio':>7}{'switches':>12}")
    for number, (workload, policy) in enumerate(variations):
        aware, blind = bills[2 * number : 2 * number + 2]
        tokens = blind.input_tokens // (workload.conversations * workload.turns)
        print(
            f"{workload.name:<34}{policy:<26}{tokens:>8,}{aware.usd:>9}{blind.usd:>9}"
            f"{aware.nano_usd / blind.nano_usd:>7.2f}{f'{aware.switches}/{blind.switches}':>12}"
        )


def billed(way: Way) -> Bill:
    """What the sandboxes charge for a workload that is routed in this way."""
    return anyio.run(Simulation(_snapshot(), way, _encoding()).run, _conversations(way.workload))


@cache
def _snapshot() -> Snapshot:
    snapshot = load(CONFIG, environment={"OPENROUTER_API_KEY": "sk-or-bench", "DEEPSEEK_API_KEY": "sk-or-bench"})
    team = snapshot.teams[TEAM]
    shipped = [snapshot.teams[TeamName(owner)].policies[name] for owner, name in SHIPPED]
    policies = {policy.name: policy for policy in (CLOSE, *ALONE, *OTHERS, *shipped)}
    return replace(snapshot, teams={TEAM: replace(team, aliases=policies, policies=policies)})


@cache
def _encoding() -> "RememberingEncoding":
    return RememberingEncoding()


@cache
def _conversations(workload: Workload) -> Conversations:
    return conversations(workload)


class Simulation:
    """Two sandboxes with a clock, OpenRouter and DeepSeek, and one planner that is asked about every turn."""

    def __init__(self, snapshot: Snapshot, way: Way, encoding: "RememberingEncoding") -> None:
        self._now = START
        self._way = way
        self._reader = ChatReader()
        self._replies = ReplyReader()
        self._encode = msgspec.json.Encoder().encode
        self._warmth = Warmth(snapshot.catalog)
        self._experience = make_experience(snapshot)
        self._planner = Planner(
            snapshot,
            catalog=lambda: snapshot.catalog,
            quality=TablePredictor(),
            counter=TokenCounter(encoding),
            now=lambda: self._now,
            unavailable=unavailable(snapshot),
            experience=self._experience,
            caches=Outlook(self._warmth, way.memory),
        )
        self._sandboxes = {
            OPENROUTER: sandbox_app(count_tokens=encoding.count, clock=lambda: self._now, time_scale=0),
            DIRECT: sandbox_app(
                count_tokens=encoding.count, clock=lambda: self._now, time_scale=0, stock=Stock(tuple(_direct_offers()))
            ),
        }

    async def run(self, talk: Conversations) -> Bill:
        last: dict[int, str] = {}
        used: Counter[str] = Counter()
        inputs = cached = expected = switches = 0
        for turn in talk.turns:
            self._now = turn.at
            plan, usage = await self._ask(talk, turn)
            chosen = plan.decision.ranked[0]
            switches += last.setdefault(turn.conversation, chosen.deployment.id) != chosen.deployment.id
            last[turn.conversation] = chosen.deployment.id
            used[chosen.deployment.id] += 1
            inputs += usage.input_tokens
            cached += usage.cached_tokens
            expected += chosen.estimate.cached_tokens
        total = 0
        for sandbox in self._sandboxes.values():
            total += json.loads(await _called(sandbox, "GET", "/sandbox/bill"))["total_nano_usd"]
        return Bill(total, inputs, cached, expected, switches, used)

    async def _ask(self, talk: Conversations, turn: Turn) -> tuple[Plan, Usage]:
        request = self._reader.read(talk.body(turn, model=self._way.policy))
        plan = await self._planner.plan(TEAM, request, NO_CONTROLS)
        plan.require_choice()
        chosen = plan.decision.ranked[0]
        orders = Orders(session_id=session_id(request, plan.profile.prefix))
        body = outgoing_body(request, chosen.deployment, chosen.estimate, orders=orders)
        sandbox = self._sandboxes[chosen.deployment.provider.name]
        reply = await _called(sandbox, "POST", "/api/v1/chat/completions", body)
        facts = self._replies.facts(reply)
        if facts is None or facts.bill is None:
            raise SystemExit(f"the sandbox answered {reply[:500]!r}")
        entry = self._entry(plan, facts.bill.usage, turn)
        self._warmth.observe(entry)
        self._experience.observe(entry)
        return plan, facts.bill.usage

    def _entry(self, plan: Plan, usage: Usage, turn: Turn) -> LedgerEntry:
        deployment = plan.decision.ranked[0].deployment
        request_id = f"{turn.conversation}.{turn.messages}"
        attempt = Attempt(
            id=request_id,
            model=deployment.model.name,
            provider=deployment.provider.name,
            outcome="ok",
            served_model=None,
            generation_id=None,
            usage=usage,
            held_nano_usd=0,
            cost_nano_usd=0,
            source=CostSource.REPORTED,
            duration_s=2 * ANSWER_S,
        )
        return LedgerEntry(
            request_id=request_id,
            at=turn.at,
            team=TEAM,
            key_id=KeyId("bench"),
            alias=self._way.policy,
            policy=plan.decision.policy,
            rule=plan.decision.terms.rule,
            outcome=Outcome.OK,
            attempts=(attempt,),
            rejected=(),
            profile_json=self._encode(profile_as_data(plan.profile)),
            counted_input_tokens=0,
            expected_nano_usd=0,
            baseline=None,
            baseline_nano_usd=None,
            config_version="bench",
            is_stream=False,
            overhead_s=0.0,
            first_token_s=ANSWER_S,
            duration_s=2 * ANSWER_S,
            tags=(),
        )


class Outlook:
    """What the planner is told of prompt caches, as far as this way of routing lets it know."""

    def __init__(self, warmth: Warmth, memory: Memory) -> None:
        self._warmth = warmth
        self._memory = memory

    async def outlook(
        self, profile: RequestProfile, conditions: Conditions, candidates: Iterable[Deployment]
    ) -> Conditions:
        if self._memory == "none":
            return conditions
        foreseen = await self._warmth.outlook(profile, conditions, candidates)
        return foreseen if self._memory == "ahead" else replace(foreseen, further_turns=0)


def _direct_offers() -> Iterator[Offer]:
    """What DeepSeek sells itself, under its own names."""
    for model, rates in _DIRECT_RATES.items():
        offer = STOCK.find(model)
        assert offer is not None
        prompt, completion, cache_read = (Decimal(figure).scaleb(-6) for figure in rates)
        name = model.partition("/")[2]
        yield replace(offer, id=name, canonical_slug=name, rates=Rates(prompt, completion, cache_read))


class RememberingEncoding:
    """o200k_base that counts each text once: a conversation's twenty prompts are mostly the same text."""

    def __init__(self) -> None:
        self._encoding = load_encoding("o200k_base")
        self._counts: dict[int, int] = {}  # by hash: the texts are a hundred megabytes

    def count(self, text: str) -> int:
        found = self._counts.get(hash(text))
        if found is None:
            found = self._counts[hash(text)] = len(self._encoding.encode_ordinary(text))
        return found

    def encode_flat(self, text: str) -> bytes:
        """As many tokens as there are; which ones, nobody asks."""
        return bytes(TOKEN_BYTES * self.count(text))


async def _called(app: ASGIApp, method: str, path: str, body: bytes = b"") -> bytes:
    """The body of the application's answer, without sockets."""
    sent: list[bytes] = []
    inbox = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if inbox:
            return inbox.pop()
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message.get("body", b""))

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", b"Bearer sk-or-bench"), (b"content-type", b"application/json")],
    }
    await app(scope, receive, send)
    return b"".join(sent)


if __name__ == "__main__":
    main()
