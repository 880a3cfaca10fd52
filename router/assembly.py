"""Builds everything, by plain constructors in reading order; the only place that knows the real clock and chance."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

import anyio
import anyio.to_thread
from starlette.types import ASGIApp

from router.catalog.catalog import Catalog, DeploymentId, ProviderName
from router.config.snapshot import ProviderAccess, Settings, Snapshot
from router.gateway.dispatch import Clock, Gateway, quotas_of
from router.gateway.planning import Planner
from router.gateway.settlement import Books
from router.keys import Secret
from router.limits.memory import MemoryGate
from router.quality.predictor import TablePredictor
from router.sandbox.app import sandbox_app
from router.server.admin import Budgets, MetricsPage, Requests, RequireAdminToken, Spend
from router.server.app import PUBLIC, admin_app, data_app
from router.server.auth import KeyRing, RequireKey
from router.server.console import Console
from router.server.openai import ChatCompletions, Models
from router.storage.pepper import pepper
from router.storage.sqlite import SqliteStore
from router.storage.writer import LedgerWriter
from router.telemetry.metrics import Gauges, Metrics
from router.tokens.count import TokenCounter
from router.tokens.vocabulary import load_encoding
from router.upstream.client import Endpoint, UpstreamClient
from router.upstream.transport import UpstreamTransport
from router.wire.requests import ChatReader
from router.wire.responses import ReplyReader

VERSION = version("penstock")

SANDBOX_KEY = Secret("sk-or-sandbox")

_FLUSH_S = 20.0  # what a stop allows the ledger for its last entries


@dataclass(frozen=True, slots=True)
class House:
    """A configuration ready to be served."""

    data: ASGIApp
    admin: ASGIApp
    keys: KeyRing


def assemble(snapshot: Snapshot) -> House:
    """Everything that serves the configuration. Opens the store; nothing runs before the data app's lifespan begins."""
    settings = snapshot.settings
    store = open_store(settings)
    writer = LedgerWriter(store, monotonic_s=time.monotonic)
    metrics = Metrics(version=VERSION, config_version=snapshot.version)
    gate = MemoryGate(now=utc_now, monotonic_s=time.monotonic)

    reader = ReplyReader()
    transport = UpstreamTransport()
    client = UpstreamClient(transport, _endpoints(settings), reader)
    gateway = Gateway(
        snapshot,
        planner=make_planner(snapshot),
        gate=gate,
        client=client,
        reader=reader,
        books=Books(ledger=writer.put, metrics=metrics.observe),
        clock=Clock(monotonic_s=time.monotonic, sleep=anyio.sleep),
    )
    metrics.watch(Gauges(in_flight=lambda: gateway.in_flight, ledger_lag_s=writer.lag_s, budgets=gate.states))

    keys = KeyRing(store, pepper=open_pepper(settings), teams=frozenset(snapshot.teams), now=utc_now)
    readiness = _Readiness()

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        await anyio.to_thread.run_sync(keys.refresh)
        await anyio.to_thread.run_sync(gate.recover, list(quotas_of(snapshot).values()), store.spent_since)
        writer.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keys.keep_fresh)
            readiness.is_ready = True
            try:
                yield
            finally:
                readiness.is_ready = False
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await transport.aclose()
                    await anyio.to_thread.run_sync(writer.close, _FLUSH_S)

    return House(
        data=data_app(
            chat=ChatCompletions(
                gateway,
                reader=ChatReader(),
                max_body_bytes=settings.max_body_bytes,
                new_request_id=_new_request_id,
                refused=metrics.refused,
            ),
            models=Models(snapshot),
            is_ready=lambda: readiness.is_ready,
            guard=partial(RequireKey, keys=keys, public=PUBLIC, refused=metrics.refused),
            lifespan=lifespan,
        ),
        admin=admin_app(
            endpoints={
                "/metrics": MetricsPage(metrics),
                "/admin/spend": Spend(store, now=utc_now),
                "/admin/requests": Requests(store),
                "/admin/budgets": Budgets(gate.states),
                "/": Console(store, budgets=gate.states, now=utc_now, version=VERSION, config_version=snapshot.version),
            },
            is_ready=lambda: readiness.is_ready,
            guard=partial(RequireAdminToken, token=settings.admin_token, public=PUBLIC),
        ),
        keys=keys,
    )


def make_planner(snapshot: Snapshot) -> Planner:
    """What decides under the configuration: the same for the server and for `penstock explain`."""
    return Planner(
        snapshot,
        quality=TablePredictor(),
        counter=TokenCounter(load_encoding("o200k_base")),
        now=utc_now,
        unavailable=_unavailable(snapshot.catalog, snapshot.settings),
    )


def make_sandbox(*, time_scale: float, seed: int, fault_rate: float) -> ASGIApp:
    """The simulated OpenRouter."""
    counter = TokenCounter(load_encoding("o200k_base"))
    return sandbox_app(
        count_tokens=counter.count_text, clock=utc_now, time_scale=time_scale, seed=seed, fault_rate=fault_rate
    )


def with_sandbox(snapshot: Snapshot, base_url: str) -> Snapshot:
    """The configuration with the sandbox at `base_url` in place of OpenRouter, and no other paid provider."""
    providers: dict[ProviderName, ProviderAccess] = {}
    for name, access in snapshot.settings.providers.items():
        if access.provider.kind == "openrouter":
            provider = replace(access.provider, base_url=base_url)
            providers[name] = ProviderAccess(provider=provider, api_key=SANDBOX_KEY, api_key_from=None)
        elif access.provider.kind == "deepseek":
            providers[name] = replace(access, api_key=None, api_key_from="sandbox mode, where its key")
        else:
            providers[name] = access
    return replace(snapshot, settings=replace(snapshot.settings, providers=providers))


def open_store(settings: Settings) -> SqliteStore:
    return SqliteStore(settings.state_dir / "penstock.sqlite")


def open_pepper(settings: Settings) -> bytes:
    return pepper(settings.state_dir / "pepper", secrets.token_bytes)


def utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the one real clock


class _Readiness:
    """Whether the data port welcomes requests."""

    is_ready = False


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


def _unavailable(catalog: Catalog, settings: Settings) -> dict[DeploymentId, str]:
    """Deployments nobody can be sent to: their provider wants a key and none is configured."""
    return {
        deployment.id: f"no key for provider {deployment.provider.name}: {access.api_key_from} is empty"
        for deployment in catalog
        if (access := settings.providers[deployment.provider.name]).api_key is None and access.api_key_from is not None
    }


def _new_request_id() -> str:
    return "req_" + secrets.token_hex(12)
