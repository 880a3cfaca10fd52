"""What carries requests: made anew for each configuration, of parts that outlive them all."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import anyio

from router.apis import Api
from router.assembly.deciding import code_parsers, make_planner
from router.assembly.providers import provider_endpoints, reply_reader
from router.config.snapshot import Snapshot
from router.gateway.cache import AnswerCache, Shelf
from router.gateway.dispatch import Clock, CopyToShadow, Gateway, KeyBudgets, ReadFacts
from router.gateway.live_prices import PricedCatalog
from router.gateway.prompts import Prompts
from router.gateway.settlement import Books
from router.learning.experience import LearnedExperience
from router.learning.warmth import Warmth
from router.limits.gate import Gate
from router.limits.queues import Queues
from router.storage.journal import Journal
from router.tokens.count import TokenCounter
from router.upstream.breaker import Availability, RetryBudget
from router.upstream.client import UpstreamClient
from router.upstream.transport import UpstreamTransport
from router.wire.dialect import Dialect


@dataclass(frozen=True, slots=True)
class Lasting:
    """What is the same under every configuration of a process."""

    transport: UpstreamTransport
    dialects: Mapping[Api, Dialect]
    facts: Mapping[Api, ReadFacts]
    gate: Gate
    queues: Queues
    journal: Journal
    books: Books
    shelf: Shelf
    counter: TokenCounter
    experience: LearnedExperience
    caches: Warmth
    availability: Availability
    retries: RetryBudget
    jitter: random.Random
    copy_to_shadow: CopyToShadow
    drains: anyio.CapacityLimiter
    prompts: Prompts
    clock: Clock
    now: Callable[[], datetime]
    keys: KeyBudgets


def make_gateway(snapshot: Snapshot, priced: PricedCatalog, lasting: Lasting) -> Gateway:
    """What carries requests under the configuration. Blocks for its files. Raises BrokenArtefact."""
    reader = reply_reader(snapshot.settings)
    return Gateway(
        snapshot,
        planner=make_planner(
            snapshot,
            lasting.experience,
            lambda: priced.catalog,
            caches=lasting.caches,
            board=lasting.availability,
            counter=lasting.counter,
        ),
        gate=lasting.gate,
        queues=lasting.queues,
        client=UpstreamClient(lasting.transport, provider_endpoints(snapshot.settings), reader),
        reader=reader,
        dialects=lasting.dialects,
        facts=lasting.facts,
        journal=lasting.journal,
        is_strict=snapshot.settings.durability == "strict",
        books=lasting.books,
        clock=lasting.clock,
        availability=lasting.availability,
        retries=lasting.retries,
        jitter=lasting.jitter,
        copy_to_shadow=lasting.copy_to_shadow,
        cache=AnswerCache(lasting.shelf, config_version=snapshot.version, now=lasting.now),
        drains=lasting.drains,
        prompts=lasting.prompts,
        parsers=code_parsers(snapshot),
        keys=lasting.keys,
    )
