"""The whole proxy: every part of it, by plain constructors in reading order."""

import os
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import anyio
import anyio.to_thread
from starlette.types import ASGIApp

from router.apis import Api
from router.assembly.admin import Endpoints, Told, make_admin_port, make_trail
from router.assembly.carrying import Lasting, make_gateway
from router.assembly.clock import request_id_at, utc_now
from router.assembly.console import make_console
from router.assembly.deciding import make_counter, make_experience
from router.assembly.machine import make_overload
from router.assembly.observing import make_requests_log, make_traces
from router.assembly.prompts import make_prompts
from router.assembly.providers import live_prices
from router.assembly.reloading import Succession, learning_limits, unchanging
from router.assembly.stores import open_pepper, open_store, redis_gate, redis_marks, redis_shelf
from router.audit import Act
from router.catalog.book import with_book
from router.catalog.catalog import arm_of
from router.config.settings import environment
from router.config.snapshot import Snapshot
from router.console.explaining import Explaining
from router.console.sources import Files
from router.decision.policy import Policy
from router.gateway.answer import MOST_DRAINS
from router.gateway.cache import Shelf
from router.gateway.dispatch import Clock, Gateway, ReadFacts
from router.gateway.feedback import Feedback
from router.gateway.idempotency import Idempotency
from router.gateway.in_force import InForce
from router.gateway.labelling import Labeller
from router.gateway.live_prices import Listeners, LivePrices
from router.gateway.past import DecideAgain
from router.gateway.reconcile import Reconciled, Reconciler
from router.gateway.reload import Reload, Source
from router.gateway.settlement import Books
from router.gateway.shadow import Shadows
from router.gateway.versions import VersionsAnswered
from router.keys import TeamName
from router.learning.keeping import Keeper
from router.learning.teaching import Teacher
from router.learning.warmth import Warmth
from router.limits.gate import Gate
from router.limits.memory import MemoryGate
from router.limits.overload import Overload
from router.limits.queues import Queues
from router.limits.redis import RedisGate
from router.server.admin import Budgets, Labels, MetricsPage, QualityEvents, Requests, Spend
from router.server.admin_port import AdminRoute
from router.server.app import PUBLIC, MadeAnew, OuterEdge, admin_app, data_app
from router.server.auth import KeyRing, RequireKey
from router.server.configuration import Configuration, in_short
from router.server.counting import CountTokens
from router.server.endpoints import ModelEndpoint, RequestReader, Underway
from router.server.explaining import Explain
from router.server.feedback import FeedbackEndpoint
from router.server.interpreter import keep_giving_back
from router.server.life import Life, Step
from router.server.listen import Stop
from router.server.models import Models
from router.server.replies import AS_OPENAI, Wording
from router.server.shedding import Door, Room
from router.server.starting import Starts
from router.server.supervision import Supervisor, supervisor_of
from router.storage.answer_shelves import MemoryShelf
from router.storage.journal import Journal
from router.storage.lock import DirectoryLock
from router.storage.writer import LedgerWriter
from router.telemetry.figures import Figures, OwnFigures
from router.telemetry.loop_lag import LoopLag
from router.telemetry.metrics import Gauges, Metrics
from router.telemetry.shared import SharedFigures
from router.upstream.breaker import Availability, RetryBudget
from router.upstream.transport import UpstreamTransport
from router.wire.completions import CompletionDialect, CompletionReader
from router.wire.dialect import ChatDialect, Dialect
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

_SETTLE_S = 20.0  # what a stop allows requests that the server has cancelled to be settled
_PROMPTS_S = 5.0  # what a stop allows prompts that are to be kept
_FLUSH_S = 20.0  # what a stop allows the ledger for its last entries
_CAN_PAY_S = 5.0  # what the start of a worker waits for Redis
VERSION = version("penstock")
# Its SDK reads the name of a request from a header of its own.
_AS_ANTHROPIC = Wording(anthropic_error_body, request_id_headers=(b"x-request-id", b"request-id"))


@dataclass(frozen=True, slots=True)
class House:
    """A configuration ready to be served."""

    data: ASGIApp
    admin: ASGIApp
    routes: "Routes"
    stop: Stop  # how the data app is
    keys: KeyRing
    reconcile: Callable[[], Awaitable[Reconciled]]  # one pass, where the data app does not run
    claim: Callable[[], None]  # the state directory, before anything is promised; raises StateInUse
    supervisor: Supervisor
    close: Callable[[], Awaitable[None]]  # connections and files, if the data app has never run
    hung_up: Callable[[], None]  # on SIGHUP: the configuration is to be read anew
    connection_refused: Callable[[str], None]  # why, at either port
    door: Door  # of the data app's connections


@dataclass(frozen=True, slots=True)
class Routes:
    """What both ports have, for those who check it."""

    data: Sequence[tuple[str, str]]  # methods and paths
    admin: Sequence[AdminRoute]


@dataclass(frozen=True, slots=True)
class Post:
    """A worker's place among those that serve together."""

    figures_fd: int  # the memory of the counters that they have in common (telemetry/shared.py)
    index: int  # from 0


def assemble(
    snapshot: Snapshot,
    *,
    source: Source | None = None,
    transport: UpstreamTransport | None = None,
    post: Post | None = None,
    is_sandbox: bool = False,
) -> House:
    """Everything that serves the configuration. Opens the store; nothing runs before the data app's lifespan begins.

    With a `source`, it serves whatever the configuration becomes there. `transport` is closed with it. `post` is that
    of one worker of several. `is_sandbox`: the sandbox answers in the providers' place.
    """
    settings = snapshot.settings
    store = open_store(settings)
    pepper = open_pepper(settings)
    journals = settings.state_dir / "journal"
    name = f"{utc_now():%Y%m%dT%H%M%S}-{os.getpid()}-{secrets.token_hex(4)}"  # of this process, and no other ever
    journal = Journal(journals, name=name)
    writer = LedgerWriter(store, monotonic_s=time.monotonic, kept=journal.kept)
    trail = make_trail(settings, store, pepper, process=name)
    told = Told(trail, pepper)
    metrics = Metrics(version=VERSION, config_version=snapshot.version, figures=_figures(post, process=name))
    inherited = None if source is None else source.inherited
    metrics.config_in_force(snapshot.version, at=utc_now() if inherited is None else inherited.since)
    loop_lag = LoopLag(monotonic_s=time.monotonic, sleep=anyio.sleep, beat=metrics.publish)
    traces = make_traces(settings, metrics, version=VERSION, instance=name)
    requests_log = make_requests_log(settings, metrics)
    starts = Starts(monotonic_s=time.monotonic)
    overload = make_overload(
        settings.overload,
        weight_of=lambda team: _weight(in_force.current.snapshot, team),
        starts=starts,
        metrics=metrics,
    )
    pepper = open_pepper(settings)
    keys = KeyRing(
        store,
        pepper=pepper,
        teams=lambda: in_force.current.snapshot.teams,
        now=utc_now,
        monotonic_s=time.monotonic,
        trusted_proxies=lambda: in_force.current.snapshot.settings.trusted_proxies,
        failed=metrics.not_let_in,
        outdated=metrics.former_secret_used,
    )
    shared = redis_gate(snapshot, store, process=name, keys=keys) if settings.redis is not None else None
    memory = MemoryGate(now=utc_now, monotonic_s=time.monotonic, own_budgets=keys.budgets_of)
    prompts = make_prompts(settings, store, metrics)
    gate: Gate = shared or memory
    queues = Queues(gate)
    marks = redis_marks(settings)
    warmth = Warmth(snapshot.catalog, shared=marks)
    shared_shelf = redis_shelf(settings)
    shelf: Shelf = shared_shelf or MemoryShelf(monotonic_s=time.monotonic)

    reader, responses = ReplyReader(), ResponsesReplyReader()
    messages = MessageReader(reader)
    transport = transport or UpstreamTransport()
    experience = make_experience(snapshot)
    keeper = Keeper(experience, store, now=utc_now)
    listeners = Listeners(
        price_changed=metrics.price_changed,
        repointed=metrics.repointed,
        forget=(experience.forget, lambda model: warmth.forget(model, now=utc_now())),
    )
    prices = live_prices(snapshot, store, lambda: in_force.current.client, listeners)
    teacher = Teacher(
        experience.judgements,
        experience.rates,
        store,
        holder=name,
        now=utc_now,
        catalog=lambda: prices.catalog,
        limits=learning_limits(settings.learning),
        happened=partial(_learned, metrics, told),
        lost=metrics.labels_lost,
        has_time=lambda: not overload.is_shedding,
    )
    labeller = Labeller(
        learns=lambda team: team in in_force.current.snapshot.teams and experience.is_moved(team),
        policies=lambda team: _policies(in_force.current.snapshot, team),
        catalog=lambda: prices.catalog,
        quality=lambda: in_force.current.planner.quality,
        rates=experience.rates,
        put=teacher.put,
    )
    answered = VersionsAnswered(snapshot.catalog, unrated=metrics.unrated_version_answered)
    shadows = Shadows(
        skipped=lambda plan, shadow, why: metrics.shadow_skipped(
            plan.team.name, plan.policy.name, arm_of(shadow.model).model, why
        ),
        outer_edge=OuterEdge,
    )
    jitter = random.Random()  # noqa: S311 - spreads retries in time, and decides nothing else
    availability = Availability(snapshot.catalog, monotonic_s=time.monotonic, jitter=jitter, is_kept=settings.breakers)
    lasting = Lasting(
        transport=transport,
        dialects=_dialects(reader, responses, messages),
        facts=_facts(reader, responses, messages),
        gate=gate,
        queues=queues,
        journal=journal,
        books=Books(
            journal=journal.done,
            ledger=writer.put,
            metrics=metrics.observe,
            learning=(warmth.learn, experience.learn, labeller.observe, answered.observe),
            log=requests_log.observe,
        ),
        shelf=shelf,
        counter=make_counter(),
        experience=experience,
        caches=warmth,
        availability=availability,
        retries=RetryBudget(monotonic_s=time.monotonic),
        jitter=jitter,
        copy_to_shadow=shadows.offer,
        drains=anyio.CapacityLimiter(MOST_DRAINS),
        prompts=prompts,
        clock=Clock(monotonic_s=time.monotonic, sleep=anyio.sleep),
        now=utc_now,
        keys=keys,
    )
    in_force = InForce(make_gateway(snapshot, prices.priced, lasting))
    metrics.watch(
        Gauges(
            in_flight=lambda: in_force.in_flight,
            ledger_lag_s=writer.lag_s,
            budgets=gate.states,
            cache_hits=warmth.shares,
            price_ages_s=prices.ages_s,
            breakers=availability.states,
            journal_bytes=journal.size_bytes,
            loop_lag_s=loop_lag.worst_s,
            keys_age_s=lambda: keys.age_s,
            audit_head=lambda: trail.head.number,
            audit_is_intact=lambda: trail.is_intact,
            queued=lambda: queues.waiting,
            memory_share=lambda: overload.memory_share,
            let_in_per_s=lambda: overload.let_in_per_s,
        )
    )

    reconciler = Reconciler(
        in_force,
        store,
        journals=journals,
        now=utc_now,
        booked=metrics.observe_left,
        corrected=metrics.corrected,
        has_counted=metrics.has_counted,
        held=metrics.held,
    )
    explaining = Explaining(
        lambda: in_force.current.snapshot,
        planner=lambda: in_force.current.planner,
        again=lambda: _again(in_force.current, prices),
        history=store,
        max_body_bytes=settings.max_body_bytes,
    )
    succession = Succession(
        lasting=lasting,
        in_force=in_force,
        prices=prices,
        memory=memory if shared is None else None,
        shared=shared,
        teacher=teacher,
        answered=answered,
        metrics=metrics,
        store=store,
        writer=writer,
    )
    # Of several processes the parent is the one that was started, and tells it.
    supervisor = supervisor_of(environment() if post is None else {}, process_id=os.getpid())
    reload = Reload(
        in_force,
        source or unchanging(snapshot),
        take=partial(_taken, succession, told),
        tidy=succession.tidy,
        now=utc_now,
        confirmed=lambda: metrics.config_in_force(in_force.current.config_version, at=utc_now()),
        failed=lambda: _refused(metrics, told, reload),
        announced=partial(_reload_told, supervisor),
        outer_edge=OuterEdge,
    )
    idempotency = Idempotency(store, now=utc_now)

    async def close() -> None:
        await transport.aclose()
        await anyio.to_thread.run_sync(store.close)

    told.in_force(snapshot)
    starting: list[Step] = [in_thread(journal.start), in_thread(keys.refresh), in_thread(prices.load)]
    beside: list[Step] = [
        loop_lag.run,
        overload.run,
        idempotency.run,
        keys.keep_fresh,
        trail.run,
        prices.run,
        reconciler.run,
        keeper.run,
        teacher.run,
        shadows.run,
        prompts.run,
        partial(keep_giving_back, lambda: overload.is_short_of_memory, anyio.sleep),
    ]
    # The server has cancelled what is still under way: it is settled before the books are closed.
    stopping: list[Step] = [partial(_emptied, in_force), transport.aclose, partial(_emptied, in_force)]
    alone = DirectoryLock(settings.state_dir)
    if shared is None:
        # Replayed before the counters are recovered: what a killed process spent counts. The keys are known by then.
        recover = in_thread(lambda: memory.recover(in_force.current.quotas.all(), store.spent_since))
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
    if source is not None:
        beside.append(reload.run)
    starting += [in_thread(traces.start), in_thread(requests_log.start), in_thread(prompts.start)]
    closing += [in_thread(traces.stop), in_thread(requests_log.stop)]
    life = Life(
        starting=[
            *starting,
            in_thread(lambda: keeper.load(prices.catalog)),
            in_thread(writer.start),
            in_thread(supervisor.ready),
        ],
        beside=beside,
        settling=[] if shared is None or post is None else [partial(_can_pay, shared)],
        stopping=[
            *stopping,
            teacher.stop,
            trail.drain,
            keeper.save,
            in_thread(prompts.stop, _PROMPTS_S),
            in_thread(writer.close, _FLUSH_S),
            *closing,
        ],
    )

    def not_ready() -> str | None:
        if not life.is_ready:
            return "This instance is starting or stopping."
        if shared is not None and not shared.can_pay:
            return "Budgets cannot be checked: Redis is out of reach, or its counters are being rebuilt."
        return overload.not_ready

    chance = random.Random(secrets.randbits(256))  # noqa: S311 - of names, which are no secret

    def new_request_id() -> str:
        return request_id_at(utc_now(), chance)

    underway, chats, room = Underway(), ChatReader(), Room(overload, chance)
    endpoints = {
        api: ModelEndpoint(
            in_force,
            api,
            reader=requests,
            underway=underway,
            idempotency=idempotency,
            refused=metrics.refused,
            room=room,
            begin_trace=traces.begin,
        )
        for api, requests in _request_readers(chats).items()
    }
    data = data_app(
        endpoints=endpoints,
        count_tokens=CountTokens(
            in_force,
            reader=MessagesReader(chats, needs_limit=False),
            refused=metrics.refused,
            room=room,
        ),
        feedback=FeedbackEndpoint(
            Feedback(
                store,
                labeller,
                learns=experience.is_moved,
                now=utc_now,
                sleep=anyio.sleep,
                counted=metrics.quality_fed_back,
            ),
            refused=metrics.refused,
        ),
        models=MadeAnew(
            lambda: Models(
                in_force.current.snapshot,
                catalog=lambda: prices.catalog,
                now=utc_now,
                unavailable=in_force.current.planner.unavailable.keys(),
            )
        ),
        not_ready=not_ready,
        guard=partial(RequireKey, keys=keys, public=PUBLIC, refused=metrics.refused),
        new_request_id=new_request_id,
        lifespan=life.lived,
        keeps_no_connection=lambda: life.is_stopping or overload.is_short_of_memory,
        wordings=[("/v1/messages", _AS_ANTHROPIC)],
        about=partial(_about, reload, overload),
    )
    console = make_console(
        lambda: in_force.current.snapshot,
        store=store,
        gate=gate,
        prices=prices,
        availability=availability,
        experience=experience,
        in_flight=lambda: in_force.in_flight,
        explaining=explaining,
        files=None if source is None else Files(source.directory, is_sandbox),
        secret=pepper,
        version=VERSION,
        trail=trail,
        noted=told.noted,
    )
    port = make_admin_port(
        snapshot,
        tokens=lambda: in_force.current.snapshot.settings.admin_tokens,
        endpoints=Endpoints(
            read={
                "/metrics": MetricsPage(metrics),
                "/admin/spend": Spend(store, now=utc_now),
                "/admin/requests": Requests(store),
                "/admin/budgets": Budgets(gate.states),
                "/admin/labels": Labels(store),
                "/admin/quality": QualityEvents(store),
                "/admin/config": Configuration(reload, reads_anew=False),
            },
            explained={"/admin/explain": Explain(explaining)},
            ordered={
                "/admin/reload": (
                    Act.RELOAD_ASKED,
                    Configuration(reload, reads_anew=True, told=told.reloaded),
                )
            },
        ),
        console=console,
        not_ready=not_ready,
        about=partial(_about, reload, overload),
        trail=trail,
        pepper=pepper,
    )
    return House(
        data=data,
        admin=admin_app(port, new_request_id=new_request_id),
        routes=Routes(data.routes, port.routes),
        stop=Stop(
            settings.stop_notice_s,
            settings.stop_grace_s,
            begin=partial(_begin_stop, life, supervisor),
            cut_off=underway.cut_off,
        ),
        keys=keys,
        reconcile=partial(_reconciled, reconciler, shared),
        claim=alone.take if shared is None else _nothing_to_claim,
        supervisor=supervisor,
        close=close,
        hung_up=reload.ask,
        connection_refused=metrics.connection_refused,
        door=Door(
            overload,
            starts=starts,
            keys=keys,
            paths=_worded_paths(endpoints),
            new_request_id=new_request_id,
            chance=chance,
        ),
    )


@contextmanager
def _reload_told(supervisor: Supervisor) -> Iterator[None]:
    supervisor.reloading(monotonic_s=time.monotonic())
    try:
        yield
    finally:
        supervisor.ready()


def _begin_stop(life: Life, supervisor: Supervisor) -> None:
    life.stop()
    supervisor.stopping()


def _dialects(reader: ReplyReader, responses: ResponsesReplyReader, messages: MessageReader) -> dict[Api, Dialect]:
    """How the clients of each API are talked to."""
    return {
        Api.CHAT: ChatDialect(reader),
        Api.RESPONSES: ResponsesDialect(reader, responses),
        Api.MESSAGES: MessagesDialect(reader, messages),
        Api.COMPLETIONS: CompletionDialect(reader),
        Api.EMBEDDINGS: WholeDialect(as_asked),
        Api.MODERATIONS: WholeDialect(),
    }


def _facts(reader: ReplyReader, responses: ResponsesReplyReader, messages: MessageReader) -> dict[Api, ReadFacts]:
    """Who reads what a provider has answered by each API."""
    return {
        Api.CHAT: reader.facts,
        Api.RESPONSES: responses.facts,
        Api.MESSAGES: messages.facts,
        Api.COMPLETIONS: reader.facts,
        Api.EMBEDDINGS: reader.given,
        Api.MODERATIONS: reader.given,
    }


def _about(reload: Reload, overload: Overload) -> Mapping[str, object]:
    """What `/readyz` tells besides."""
    return {**in_short(reload.standing), "overloaded": overload.is_shedding}


def _worded_paths(endpoints: Iterable[Api]) -> dict[str, Wording]:
    """Where each API is spoken, and how errors are worded there."""
    return {f"/v1/{api.value}": _AS_ANTHROPIC if api is Api.MESSAGES else AS_OPENAI for api in endpoints}


def _figures(post: Post | None, *, process: str) -> Figures:
    """Where the counters of this process keep their numbers."""
    if post is None:
        return OwnFigures()
    return SharedFigures(post.figures_fd, post.index, process=process, monotonic_s=time.monotonic)


def _learned(metrics: Metrics, told: Told, team: str, what: str) -> None:
    metrics.quality_learning(team, what)
    told.learned(team, what)


async def _taken(succession: Succession, told: Told, snapshot: Snapshot) -> None:
    await succession.take(snapshot)
    told.in_force(snapshot)


def _refused(metrics: Metrics, told: Told, reload: Reload) -> None:
    metrics.reload_failed()
    told.refused(reload.standing)


def _nothing_to_claim() -> None:
    """Processes that share their counters share a state directory too."""


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


async def _can_pay(shared: RedisGate) -> None:
    """Returns when budgets can be checked, or when patience ends, as Redis may be away for long.

    No balancer keeps connections from a worker that is started while the others serve: it has its share of them as
    soon as it accepts any.
    """
    with anyio.move_on_after(_CAN_PAY_S):
        while not shared.can_pay:  # noqa: ASYNC110 - at the start only: no request should pay for an event
            await anyio.sleep(0.02)


def _again(now: Gateway, prices: LivePrices) -> DecideAgain:
    """What decides past requests again under the configuration in force now."""
    return DecideAgain(
        now.snapshot,
        catalog=lambda: with_book(now.snapshot.catalog, prices.book, {}),
        quality=now.planner.quality,
    )


def _weight(snapshot: Snapshot, team: str) -> float:
    known = snapshot.teams.get(TeamName(team))
    return 1.0 if known is None else known.weight


def _policies(snapshot: Snapshot, team: TeamName) -> Mapping[str, Policy]:
    return snapshot.teams[team].policies if team in snapshot.teams else {}


async def _emptied(in_force: InForce) -> None:
    """Returns when no request is under way, or when patience ends."""
    with anyio.move_on_after(_SETTLE_S):
        while in_force.in_flight:  # noqa: ASYNC110 - at a stop only: no request should pay for an event
            await anyio.sleep(0.05)


async def _reconciled(reconciler: Reconciler, shared: RedisGate | None) -> Reconciled:
    if shared is None:
        return await reconciler.reconcile()
    await shared.beat()  # whoever serves counts in Redis, and must hear of corrections
    try:
        return await reconciler.reconcile()
    finally:
        await shared.aclose()
