"""`Gateway`: everything a request is carried with, made once. `Exchange` is one request carried with it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from router.catalog.catalog import Catalog
from router.config.snapshot import Snapshot
from router.gateway.planning import Planner
from router.gateway.settlement import Books
from router.keys import TeamName
from router.limits.gate import Gate, Quota
from router.upstream.client import UpstreamClient
from router.wire.responses import ReplyReader


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as the gateway needs it; only `assembly` makes one from the real clock."""

    monotonic_s: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


class Gateway:
    """The collaborators of every request under one configuration, and how many requests are under way."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        planner: Planner,
        gate: Gate,
        client: UpstreamClient,
        reader: ReplyReader,
        books: Books,
        clock: Clock,
    ) -> None:
        self.planner = planner
        self.gate = gate
        self.client = client
        self.reader = reader
        self.books = books
        self.monotonic_s = clock.monotonic_s
        self.sleep = clock.sleep
        self.catalog: Catalog = snapshot.catalog
        self.config_version = snapshot.version
        self.quotas: dict[TeamName, Quota] = quotas_of(snapshot)
        self.encode = msgspec.json.Encoder().encode
        self.in_flight = 0


def quotas_of(snapshot: Snapshot) -> dict[TeamName, Quota]:
    return {
        team.name: Quota(team=team.name, budgets=team.budgets, limits=team.limits, zone=team.zone)
        for team in snapshot.teams.values()
    }
