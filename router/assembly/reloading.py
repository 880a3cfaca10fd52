"""One configuration in the place of another, in a process that goes on serving."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import anyio.to_thread

from router.assembly.carrying import Lasting, make_gateway
from router.assembly.clock import utc_now
from router.assembly.deciding import token_ratios, unmoved_teams
from router.assembly.providers import listing_providers
from router.config.snapshot import QualityLearning, Snapshot
from router.gateway.in_force import InForce
from router.gateway.live_prices import LivePrices
from router.gateway.reload import Source
from router.gateway.versions import VersionsAnswered
from router.learning.teaching import Limits as LearningLimits
from router.learning.teaching import Teacher
from router.ledger import with_entries
from router.limits.gate import Quota
from router.limits.memory import MemoryGate
from router.limits.redis import RedisGate
from router.quotas import ScopeId
from router.storage.store import Store
from router.storage.writer import LedgerWriter
from router.telemetry.metrics import Metrics

log = logging.getLogger("penstock.config")

_Spent = dict[datetime, dict[ScopeId, int]]  # by the beginning of windows


@dataclass(frozen=True, slots=True)
class Succession:
    """Everything that must hear of another configuration."""

    lasting: Lasting
    in_force: InForce
    prices: LivePrices
    memory: MemoryGate | None  # None: the counters are in Redis
    shared: RedisGate | None
    teacher: Teacher
    answered: VersionsAnswered
    metrics: Metrics
    store: Store
    writer: LedgerWriter

    async def take(self, snapshot: Snapshot) -> None:
        """Put the snapshot into force. What takes time is done in threads before, the rest between two steps of the
        loop. Raises BrokenArtefact or StoreUnavailable, and then all is as it was.
        """
        priced = await anyio.to_thread.run_sync(self.prices.priced_anew, snapshot.catalog)
        made = await anyio.to_thread.run_sync(make_gateway, snapshot, priced, self.lasting)
        quotas, settings = made.quotas.all(), snapshot.settings
        spent = await self._spent(quotas)
        before = self.in_force.current.snapshot.settings.providers
        changed = [name for name, access in settings.providers.items() if before.get(name) != access]

        self.in_force.put(made)
        if self.memory is not None:
            self.memory.reconfigured(quotas, _with_unread(spent, self.writer, is_last=True))
        if self.shared is not None:
            self.shared.reconfigured(quotas)
        self.prices.reconfigured(snapshot.catalog, priced, providers=listing_providers(settings), times=settings.prices)
        self._tell_learners(snapshot)
        self.lasting.availability.reconfigured(snapshot.catalog, changed=changed, is_kept=settings.breakers)
        self.metrics.config_in_force(snapshot.version, at=utc_now())

    def _tell_learners(self, snapshot: Snapshot) -> None:
        experience, caches = self.lasting.experience, self.lasting.caches
        caches.recatalogued(snapshot.catalog)
        experience.reconfigured(token_ratios(snapshot), unmoved=unmoved_teams(snapshot))
        for model in experience.meet(self.prices.catalog):
            log.warning("what was learned of %s is dropped: its name stands for another version now", model)
            caches.forget(model, now=utc_now())
        self.teacher.limits = learning_limits(snapshot.settings.learning)
        self.answered.recatalogued(snapshot.catalog)

    async def _spent(self, quotas: Sequence[Quota]) -> _Spent:
        """What was booked in the windows of budgets that are new, but for the last moments."""
        starts = () if self.memory is None else self.memory.windows_to_read(quotas)
        return await anyio.to_thread.run_sync(partial(self._read, starts)) if starts else {}

    def _read(self, starts: Sequence[datetime]) -> _Spent:
        spent = self.writer.read(lambda: {each: self.store.spent_since(each) for each in starts})
        return _with_unread(spent, self.writer, is_last=False)

    def tidy(self) -> None:
        """Let go of the connections that only requests of earlier configurations needed, once these are over."""
        wanted = {origin for gateway in self.in_force.in_use() for origin in gateway.client.origins}
        self.lasting.transport.keep_only(wanted)


def _with_unread(spent: _Spent, writer: LedgerWriter, *, is_last: bool) -> _Spent:
    unread = writer.unread(is_last=is_last)
    return {starts: with_entries(sums, unread, since=starts) for starts, sums in spent.items()}


def learning_limits(learning: QualityLearning) -> LearningLimits:
    return LearningLimits(learning.escalated_share, learning.retried_share, timedelta(days=learning.kept_days))


def unchanging(snapshot: Snapshot) -> Source:
    """The source of a configuration that stays what it is."""
    return Source(Path(), frozenset(), lambda: snapshot)
