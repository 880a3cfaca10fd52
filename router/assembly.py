"""Builds everything, by plain constructors in reading order; the only place that knows the real clock and chance."""

import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import anyio
import anyio.to_thread
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.types import ASGIApp

from router.apis import Api
from router.catalog.book import PriceBook, with_book
from router.catalog.catalog import Catalog, DeploymentId, ModelName, ProviderName, arm_of
from router.catalog.listing import ListingReader
from router.config.snapshot import ProviderAccess, Server, Settings, Snapshot
from router.config.text_heads import shipped_head
from router.decision.facts import Experience
from router.errors import PenstockError
from router.gateway.cache import AnswerCache, Shelf
from router.gateway.dispatch import Clock, Gateway, Quotas
from router.gateway.feedback import Feedback
from router.gateway.idempotency import Idempotency
from router.gateway.labelling import Labeller
from router.gateway.live_prices import Listeners, LivePrices
from router.gateway.past import DecideAgain
from router.gateway.planning import Board, Planner, PromptCaches
from router.gateway.reconcile import Reconciled, Reconciler
from router.gateway.settlement import Books
from router.gateway.shadow import Shadows
from router.keys import Secret, TeamName
from router.learning.experience import LearnedExperience
from router.learning.keeping import Keeper
from router.learning.teaching import Limits as LearningLimits
from router.learning.teaching import Teacher
from router.learning.warmth import Warmth
from router.limits.functions import ROOT, BudgetFunctions
from router.limits.gate import Gate
from router.limits.memory import MemoryGate
from router.limits.redis import RedisGate
from router.quality.code import CodeLanguage, Parses
from router.quality.predictor import QualityPredictor, TablePredictor
from router.replay.replay import Faculties
from router.sandbox.app import sandbox_app
from router.server.admin import Budgets, Labels, MetricsPage, QualityEvents, Requests, RequireAdminToken, Spend
from router.server.app import PUBLIC, OuterEdge, admin_app, data_app
from router.server.auth import KeyRing, RequireKey
from router.server.console import Console
from router.server.counting import CountTokens
from router.server.endpoints import ModelEndpoint, RequestReader, Underway
from router.server.explaining import Explain, Explaining, ExplainPage
from router.server.feedback import FeedbackEndpoint
from router.server.life import Life, Step
from router.server.listen import Stop
from router.server.models import Models
from router.server.pages import EXPLAIN_PATH
from router.server.replies import Wording
from router.storage.answer_shelves import MemoryShelf, RedisShelf
from router.storage.journal import Journal
from router.storage.lock import DirectoryLock
from router.storage.pepper import pepper
from router.storage.postgres import PostgresStore
from router.storage.shared_marks import RedisMarks
from router.storage.sqlite import SqliteStore
from router.storage.store import Store
from router.storage.writer import LedgerWriter
from router.telemetry.metrics import Gauges, Metrics
from router.tokens.count import TokenCounter
from router.tokens.vocabulary import load_encoding
from router.upstream.breaker import Availability, RetryBudget
from router.upstream.client import Endpoint, UpstreamClient
from router.upstream.listing import listed_models
from router.upstream.transport import UpstreamTransport
from router.wire.completions import CompletionDialect, CompletionReader
from router.wire.dialect import ChatDialect
from router.wire.embeddings import EmbeddingReader, as_asked
from router.wire.messages_api.dialect import MessagesDialect
from router.wire.messages_api.errors import error_body as anthropic_error_body
from router.wire.messages_api.reading import MessagesReader
from router.wire.messages_api.replies import MessageReader
from router.wire.moderations import ModerationReader
from router.wire.replies import ReplyReader
from router.wire.requests import ChatReader
from router.wire.responses_api.dialect import ResponsesDialect
from router.wire.responses_api.replies import ResponsesReplyReader
from router.wire.responses_api.requests import ResponsesReader
from router.wire.whole import WholeDialect

VERSION = version("penstock")

SANDBOX_KEY = Secret("sk-or-sandbox")
_SANDBOX_DIRECTORY = "sandbox"  # within the state directory
_LEDGER_FILE = "penstock.sqlite"

_SETTLE_S = 20.0  # what a stop allows requests that the server has cancelled to be settled
_FLUSH_S = 20.0  # what a stop allows the ledger for its last entries

# Its SDK reads the name of a request from a header of its own.
_AS_ANTHROPIC = Wording(anthropic_error_body, request_id_headers=(b"x-request-id", b"request-id"))


@dataclass(frozen=True, slots=True)
class House:
    """A configuration ready to be served."""

    data: ASGIApp
    admin: ASGIApp
    stop: Stop  # how the data app is
    keys: KeyRing
    reconcile: Callable[[], Awaitable[Reconciled]]  # one pass, where the data app does not run
    close: Callable[[], Awaitable[None]]  # connections and files, if the data app has never run


def assemble(snapshot: Snapshot, *, transport: UpstreamTransport | None = None) -> House:
    """Everything that serves the configuration. Opens the store; nothing runs before the data app's lifespan begins.

    `transport` is closed with it.
    """
    settings = snapshot.settings
    store = open_store(settings)
    journals = settings.state_dir / "journal"
    name = f"{utc_now():%Y%m%dT%H%M%S}-{os.getpid()}-{secrets.token_hex(4)}"  # of this process, and no other ever
    journal = Journal(journals, name=name)
    writer = LedgerWriter(store, monotonic_s=time.monotonic, kept=journal.kept)
    metrics = Metrics(version=VERSION, config_version=snapshot.version)
    shared = _redis_gate(snapshot, store, process=name) if settings.redis is not None else None
    memory = MemoryGate(now=utc_now, monotonic_s=time.monotonic)
    gate: Gate = shared or memory
    marks = _redis_marks(settings)
    warmth = Warmth(snapshot.catalog, shared=marks)
    shared_shelf = _redis_shelf(settings)
    shelf: Shelf = shared_shelf or MemoryShelf(monotonic_s=time.monotonic)

    reader, responses = ReplyReader(), ResponsesReplyReader()
    messages = MessageReader(reader)
    transport = transport or UpstreamTransport()
    client = UpstreamClient(transport, _endpoints(settings), reader)
    experience = make_experience(snapshot)
    keeper = Keeper(experience, store, now=utc_now)
    learning = settings.learning
    listeners = Listeners(
        price_changed=metrics.price_changed,
        repointed=metrics.repointed,
        forget=(experience.forget, lambda model: warmth.forget(model, now=utc_now())),
    )
    prices = live_prices(snapshot, store, client, listeners)
    teacher = Teacher(
        experience.judgements,
        experience.rates,
        store,
        holder=name,
        now=utc_now,
        catalog=lambda: prices.catalog,
        limits=LearningLimits(learning.escalated_share, learning.retried_share, timedelta(days=learning.kept_days)),
        happened=metrics.quality_learning,
    )
    unmoved = unmoved_teams(snapshot)
    labeller = Labeller(
        learns=lambda team: team in snapshot.teams and team not in unmoved,
        policies=lambda team: snapshot.teams[team].policies if team in snapshot.teams else {},
        catalog=lambda: prices.catalog,
        quality=make_quality(snapshot),
        rates=experience.rates,
        put=teacher.put,
    )
    shadows = Shadows(
        skipped=lambda plan, shadow, why: metrics.shadow_skipped(
            plan.team.name, plan.policy.name, arm_of(shadow.model).model, why
        ),
        outer_edge=OuterEdge,
    )
    jitter = random.Random()  # noqa: S311 - spreads retries in time, and decides nothing else
    availability = Availability(snapshot.catalog, monotonic_s=time.monotonic, jitter=jitter, is_kept=settings.breakers)
    gateway = Gateway(
        snapshot,
        planner=make_planner(snapshot, experience, lambda: prices.catalog, caches=warmth, board=availability),
        gate=gate,
        client=client,
        reader=reader,
        dialects={
            Api.CHAT: ChatDialect(reader),
            Api.RESPONSES: ResponsesDialect(reader, responses),
            Api.MESSAGES: MessagesDialect(reader, messages),
            Api.COMPLETIONS: CompletionDialect(reader),
            Api.EMBEDDINGS: WholeDialect(as_asked),
            Api.MODERATIONS: WholeDialect(),
        },
        facts={
            Api.CHAT: reader.facts,
            Api.RESPONSES: responses.facts,
            Api.MESSAGES: messages.facts,
            Api.COMPLETIONS: reader.facts,
            Api.EMBEDDINGS: reader.given,
            Api.MODERATIONS: reader.given,
        },
        journal=journal,
        is_strict=settings.durability == "strict",
        books=Books(
            journal=journal.done,
            ledger=writer.put,
            metrics=metrics.observe,
            learning=(warmth.learn, experience.learn, labeller.observe),
        ),
        clock=Clock(monotonic_s=time.monotonic, sleep=anyio.sleep),
        availability=availability,
        retries=RetryBudget(monotonic_s=time.monotonic),
        jitter=jitter,
        copy_to_shadow=shadows.offer,
        cache=AnswerCache(shelf, config_version=snapshot.version, now=utc_now),
        parsers=code_parsers(snapshot),
    )
    metrics.watch(
        Gauges(
            in_flight=lambda: gateway.in_flight,
            ledger_lag_s=writer.lag_s,
            budgets=gate.states,
            cache_hits=warmth.shares,
            price_ages_s=prices.ages_s,
            breakers=availability.states,
        )
    )

    reconciler = Reconciler(
        gateway, store, journals=journals, now=utc_now, booked=metrics.observe, corrected=metrics.corrected
    )
    explaining = Explaining(
        snapshot,
        planner=gateway.planner,
        again=DecideAgain(
            snapshot, catalog=lambda: with_book(snapshot.catalog, prices.book, {}), quality=make_quality(snapshot)
        ),
        history=store,
        max_body_bytes=settings.max_body_bytes,
    )
    keys = KeyRing(store, pepper=open_pepper(settings), teams=frozenset(snapshot.teams), now=utc_now)

    idempotency = Idempotency(store, now=utc_now)

    async def close() -> None:
        await transport.aclose()
        await anyio.to_thread.run_sync(store.close)

    starting: list[Step] = [in_thread(journal.start), in_thread(keys.refresh), in_thread(prices.load)]
    beside: list[Step] = [
        idempotency.run,
        keys.keep_fresh,
        prices.run,
        reconciler.run,
        keeper.run,
        teacher.run,
        partial(shadows.run, gateway),
    ]
    # The server has cancelled what is still under way: it is settled before the books are closed.
    stopping: list[Step] = [partial(_emptied, gateway), transport.aclose, partial(_emptied, gateway)]
    if shared is None:
        alone = DirectoryLock(settings.state_dir)
        # Replayed before the counters are recovered: what a killed process spent counts.
        recover = in_thread(memory.recover, gateway.quotas.all(), store.spent_since)
        starting = [in_thread(alone.take), *starting, reconciler.replay, recover, in_thread(store.give_up_claims)]
        closing: list[Step] = [in_thread(journal.close), close, in_thread(alone.give_up)]
    else:
        beside.append(partial(shared.run, reconciler.book_the_dead))
        # After the ledger has all: whoever counts next may begin with its sums as soon as this one has said farewell.
        closing = [shared.aclose, in_thread(journal.close), close]
    if marks is not None:
        beside.append(marks.run)
        stopping.append(marks.aclose)
    if shared_shelf is not None:
        stopping.append(shared_shelf.aclose)
    life = Life(
        starting=[*starting, in_thread(keeper.load), in_thread(writer.start)],
        beside=beside,
        stopping=[*stopping, teacher.stop, keeper.save, in_thread(writer.close, _FLUSH_S), *closing],
    )

    def not_ready() -> str | None:
        if not life.is_ready:
            return "This instance is starting or stopping."
        if shared is not None and not shared.can_pay:
            return "Budgets cannot be checked: Redis is out of reach, or its counters are being rebuilt."
        return None

    chance = random.Random(secrets.randbits(256))  # noqa: S311 - of names, which are no secret

    def new_request_id() -> str:
        return request_id_at(utc_now(), chance)

    underway, chats = Underway(), ChatReader()
    endpoints = {
        api: ModelEndpoint(
            gateway,
            api,
            reader=requests,
            underway=underway,
            idempotency=idempotency,
            max_body_bytes=settings.max_body_bytes,
            comment_every_s=settings.streams.comment_every_s,
            refused=metrics.refused,
        )
        for api, requests in _request_readers(chats).items()
    }
    return House(
        data=data_app(
            endpoints=endpoints,
            count_tokens=CountTokens(
                gateway,
                reader=MessagesReader(chats, needs_limit=False),
                max_body_bytes=settings.max_body_bytes,
                refused=metrics.refused,
            ),
            feedback=FeedbackEndpoint(
                Feedback(
                    store,
                    labeller,
                    learns=lambda team: team not in unmoved,
                    now=utc_now,
                    sleep=anyio.sleep,
                    counted=metrics.quality_fed_back,
                ),
                refused=metrics.refused,
            ),
            models=Models(
                snapshot, catalog=lambda: prices.catalog, now=utc_now, unavailable=unavailable(snapshot).keys()
            ),
            not_ready=not_ready,
            guard=partial(RequireKey, keys=keys, public=PUBLIC, refused=metrics.refused),
            new_request_id=new_request_id,
            lifespan=life.lived,
            is_stopping=lambda: life.is_stopping,
            wordings=[("/v1/messages", _AS_ANTHROPIC)],
        ),
        admin=admin_app(
            endpoints={
                "/metrics": MetricsPage(metrics),
                "/admin/spend": Spend(store, now=utc_now),
                "/admin/requests": Requests(store),
                "/admin/budgets": Budgets(gate.states),
                "/admin/labels": Labels(store),
                "/admin/quality": QualityEvents(store),
                "/": Console(store, budgets=gate.states, now=utc_now, version=VERSION, config_version=snapshot.version),
            },
            questions={
                "/admin/explain": Explain(explaining),
                EXPLAIN_PATH: ExplainPage(explaining, now=utc_now, version=VERSION, config_version=snapshot.version),
            },
            not_ready=not_ready,
            guard=partial(RequireAdminToken, token=settings.admin_token, public=PUBLIC),
            new_request_id=new_request_id,
        ),
        stop=Stop(settings.stop_notice_s, settings.stop_grace_s, begin=life.stop, cut_off=underway.cut_off),
        keys=keys,
        reconcile=partial(_reconciled, reconciler, shared),
        close=close,
    )


def _request_readers(chats: ChatReader) -> dict[Api, RequestReader]:
    """Who reads what clients ask, for each API that they may speak."""
    return {
        Api.CHAT: chats,
        Api.RESPONSES: ResponsesReader(chats),
        Api.MESSAGES: MessagesReader(chats),
        Api.COMPLETIONS: CompletionReader(chats),
        Api.EMBEDDINGS: EmbeddingReader(chats),
        Api.MODERATIONS: ModerationReader(chats),
    }


def in_thread(step: Callable[..., object], *arguments: object) -> Step:
    """A step that blocks."""
    return partial(anyio.to_thread.run_sync, step, *arguments)


async def _emptied(gateway: Gateway) -> None:
    """Returns when no request is under way, or when patience ends."""
    with anyio.move_on_after(_SETTLE_S):
        while gateway.in_flight:  # noqa: ASYNC110 - at a stop only: no request should pay for an event
            await anyio.sleep(0.05)


async def _reconciled(reconciler: Reconciler, shared: RedisGate | None) -> Reconciled:
    if shared is None:
        return await reconciler.reconcile()
    await shared.beat()  # whoever serves counts in Redis, and must hear of corrections
    try:
        return await reconciler.reconcile()
    finally:
        await shared.aclose()


# Together 8 MB and 30 ms, for what few policies want: so they are imported by name, where one does.
_CODE_PARSERS = {
    CodeLanguage.SQL: ("router.quality.sql", "parses_sql"),
    CodeLanguage.JAVASCRIPT: ("router.quality.javascript", "parses_javascript"),
}


def code_parsers(snapshot: Snapshot) -> Mapping[CodeLanguage, Parses]:
    """The parsers of the languages that some policy checks."""
    wanted = {
        language
        for team in snapshot.teams.values()
        for policy in (*team.policies.values(), *team.aliases.values())
        for checks in (policy.verify, *(rule.verify or () for rule in policy.rules))
        for check in checks
        for language in check.languages
    }
    return {
        language: getattr(import_module(module), name)
        for language, (module, name) in _CODE_PARSERS.items()
        if language in wanted
    }


def make_experience(snapshot: Snapshot) -> LearnedExperience:
    """An experience that has learned nothing yet."""
    ratios = {name: of[0].model.token_ratio for name, of in snapshot.catalog.deployments.items()}
    return LearnedExperience(ratios, unmoved=unmoved_teams(snapshot))


def unmoved_teams(snapshot: Snapshot) -> frozenset[TeamName]:
    """The teams for which labels teach nothing."""
    is_on = snapshot.settings.learning.is_on
    return frozenset(name for name, team in snapshot.teams.items() if not (is_on and team.learns_quality))


def kept_experience(snapshot: Snapshot) -> LearnedExperience:
    """What the configuration's servers have learned and written down. Raises StoreUnavailable. Blocks."""
    experience = make_experience(snapshot)
    settings = snapshot.settings
    if _has_store(settings):
        with closing(open_store(settings)) as store:
            Keeper(experience, store, now=utc_now).load()
    return experience


def make_planner(
    snapshot: Snapshot,
    experience: Experience,
    catalog: Callable[[], Catalog],
    *,
    caches: PromptCaches | None = None,
    board: Board | None = None,
) -> Planner:
    """What decides under the configuration: the same for the server, for dry runs and for `penstock explain`.

    `catalog` is the configuration's at the prices in force, asked for each request.
    Without `caches` and `board`, as in the command, nothing is remembered: every deployment is cold, and works.
    """
    return Planner(
        snapshot,
        catalog=catalog,
        quality=make_quality(snapshot),
        counter=TokenCounter(load_encoding("o200k_base")),
        now=utc_now,
        unavailable=unavailable(snapshot),
        experience=experience,
        head=shipped_head(),
        caches=caches or Warmth(snapshot.catalog),
        board=board,
    )


def make_quality(snapshot: Snapshot) -> QualityPredictor:
    """What tells how good answers will be under that configuration."""
    return TablePredictor({team.name: team.quality for team in snapshot.teams.values() if team.quality})


def make_faculties(against: Snapshot) -> Faculties:
    """What decides and learns in a replay under that configuration, as in production."""
    return Faculties(
        quality=make_quality(against),
        learner=make_experience(against),
        memory_then=Warmth(against.catalog),
        memory_now=Warmth(against.catalog),
    )


def live_prices(snapshot: Snapshot, store: Store, client: UpstreamClient, listeners: Listeners) -> LivePrices:
    """The catalog at the prices in force. A provider for which no key is configured is not asked."""
    return LivePrices(
        snapshot.catalog,
        providers=[
            name
            for name, access in snapshot.settings.providers.items()
            if access.provider.kind == "openrouter" and access.api_key is not None
        ],
        read=partial(listed_models, client, ListingReader()),
        store=store,
        times=snapshot.settings.prices,
        now=utc_now,
        listeners=listeners,
    )


def make_sandbox(
    *, time_scale: float, seed: int, fault_rate: float, spread: float, scenario: bytes | None = None
) -> ASGIApp:
    """The simulated OpenRouter. Raises router.sandbox.refusals.Refusal if the scenario cannot be read."""
    counter = TokenCounter(load_encoding("o200k_base"))
    return sandbox_app(
        count_tokens=counter.count_text,
        clock=utc_now,
        time_scale=time_scale,
        seed=seed,
        fault_rate=fault_rate,
        spread=spread,
        scenario=scenario,
    )


def with_sandbox(snapshot: Snapshot, base_url: str) -> Snapshot:
    """The configuration with the sandbox at `base_url` in place of OpenRouter, and no other paid provider.

    Its books are kept apart, in a directory of their own even where PostgreSQL and Redis are configured: play money
    must not stand among real dollars, nor use up real budgets.
    """
    providers: dict[ProviderName, ProviderAccess] = {}
    for name, access in snapshot.settings.providers.items():
        if access.provider.kind == "openrouter":
            provider = replace(access.provider, base_url=base_url)
            providers[name] = ProviderAccess(provider=provider, api_key=SANDBOX_KEY, api_key_from=None)
        elif access.provider.kind == "deepseek":
            providers[name] = replace(access, api_key=None, api_key_from="its key, as the sandbox answers here,")
        else:
            providers[name] = access
    settings = replace(
        snapshot.settings,
        providers=providers,
        state_dir=snapshot.settings.state_dir / _SANDBOX_DIRECTORY,
        postgres=None,
        redis=None,
        allowance=None,
    )
    return replace(snapshot, settings=settings)


def open_store(settings: Settings) -> Store:
    """Ledger and keys: PostgreSQL if it is configured, else SQLite in the state directory."""
    if settings.postgres is None:
        return SqliteStore(_sqlite_file(settings))
    return PostgresStore(_required(settings.postgres))


def existing_store(settings: Settings) -> Store:
    """The same for who only reads. Raises NoBooks where there are none yet, and creates none."""
    if _has_store(settings):
        return open_store(settings)
    demo = only_demo(settings)
    raise NoBooks(
        f"There are no books in {settings.state_dir}: nothing was served from there and no key made. "
        + (
            f"Those of the demo are in {demo}: add --sandbox."
            if demo is not None
            else "STATE_DIRECTORY, or state.directory in penstock.yaml, says where they are."
        )
    )


def only_demo(settings: Settings) -> Path | None:
    """Where the demo's books are, if there are those and no others."""
    demo = settings.state_dir / _SANDBOX_DIRECTORY
    return demo if not _has_store(settings) and (demo / _LEDGER_FILE).exists() else None


def price_book(settings: Settings) -> PriceBook:
    """What providers' own lists have said so far. Raises StoreUnavailable."""
    if not _has_store(settings):
        return PriceBook()
    with closing(open_store(settings)) as store:
        return PriceBook().with_rows(store.prices())


@asynccontextmanager
async def prices_to_refresh(snapshot: Snapshot) -> AsyncIterator[LivePrices]:
    """The prices in force for a command that reads them anew, once."""
    with closing(open_store(snapshot.settings)) as store:
        transport = UpstreamTransport()
        client = UpstreamClient(transport, _endpoints(snapshot.settings), ReplyReader())
        try:
            prices = live_prices(snapshot, store, client, Listeners(price_changed=_ignored, repointed=_ignored))
            await anyio.to_thread.run_sync(prices.load)
            yield prices
        finally:
            await transport.aclose()


def _ignored(_: ModelName) -> None:
    """A command that ends at once has nobody to tell."""


def _has_store(settings: Settings) -> bool:
    """False if nothing has been served yet: to look is no reason to make a file."""
    return settings.postgres is not None or _sqlite_file(settings).exists()


def _sqlite_file(settings: Settings) -> Path:
    return settings.state_dir / _LEDGER_FILE


def _redis_gate(snapshot: Snapshot, store: Store, *, process: str) -> RedisGate:
    assert snapshot.settings.redis is not None
    return RedisGate(
        BudgetFunctions(redis_client(_required(snapshot.settings.redis).reveal())),
        store,
        quotas=Quotas(snapshot).all(),
        monotonic_s=time.monotonic,
        new_id=lambda: secrets.token_hex(8),
        process=process,
        allowance=snapshot.settings.allowance,
        quarantine_s=1.2,  # more than two beats of every process: it registers what it holds within one
    )


def _redis_marks(settings: Settings) -> RedisMarks | None:
    if settings.redis is None:
        return None
    client = redis_client(_required(settings.redis).reveal())
    return RedisMarks(client, root=ROOT, monotonic_s=time.monotonic)


def _redis_shelf(settings: Settings) -> RedisShelf | None:
    if settings.redis is None:
        return None
    client = redis_client(_required(settings.redis).reveal(), is_text=False)
    return RedisShelf(client, root=ROOT, monotonic_s=time.monotonic)


def redis_client(url: str, *, is_text: bool = True) -> Redis:
    """A client that asks once: whoever uses it gives up in his own time, and knows better whether to try again."""
    return Redis.from_url(
        url,
        decode_responses=is_text,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,  # Redis before 7.2 does not know what to do with it
        socket_timeout=None,
    )


def _required(server: Server) -> Secret:
    if server.url is None:
        raise MissingAddress(f"{server.url_from} is empty: it should hold the URL of a server that is configured.")
    return server.url


def open_pepper(settings: Settings) -> bytes:
    return pepper(settings.state_dir / "pepper", secrets.token_bytes)


def utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the one real clock


class NoBooks(PenstockError):
    """There is nothing to read yet. An empty answer would hide that one looks in the wrong place."""

    code = "no_books"


class MissingAddress(PenstockError):
    """A server is configured, and its address is not there. Starting without it would be starting without its money."""

    code = "missing_address"


def _endpoints(settings: Settings) -> dict[ProviderName, Endpoint]:
    timeouts = settings.timeouts
    return {
        name: Endpoint(
            provider=access.provider,
            api_key=access.api_key,
            connect_s=timeouts.connect_s,
            first_byte_s=timeouts.first_byte_s,
            between_bytes_s=timeouts.between_bytes_s,
        )
        for name, access in settings.providers.items()
    }


def unavailable(snapshot: Snapshot) -> dict[DeploymentId, str]:
    """Deployments nobody can be sent to: their provider wants a key and none is configured."""
    providers = snapshot.settings.providers
    return {
        deployment.id: f"no key for provider {deployment.provider.name}: {access.api_key_from} is empty"
        for deployment in snapshot.catalog
        if (access := providers[deployment.provider.name]).api_key is None and access.api_key_from is not None
    }


def request_id_at(now: datetime, chance: random.Random) -> str:
    """Ids of one time have one beginning, and so stand side by side in the ledger's index of them.

    The second first, then 64 random bits. With 100,000 entries in the ledger, 96 random bits cost the writer 17 µs more
    for each: every one of them changed a page of its own. Asking the kernel for chance each time costs 5 µs.
    """
    return f"req_{int(now.timestamp()):08x}{chance.getrandbits(64):016x}"
