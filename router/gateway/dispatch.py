"""`Gateway`: everything a request is carried with, made once. `Exchange` is one request carried with it."""

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

import anyio
import anyio.to_thread
import msgspec

from router.apis import Api
from router.config.snapshot import Snapshot, Team
from router.gateway.cache import AnswerCache
from router.gateway.planning import Plan, Planner
from router.gateway.prompts import Prompts
from router.gateway.settlement import Books
from router.keys import Caller, KeyId, TeamName
from router.limits.gate import Gate, Quota, Scope
from router.limits.queues import Queues
from router.quality.code import CodeLanguage, Parses
from router.quality.verify import NO_PARSERS
from router.quotas import NO_ALLOWANCE, NO_LIMITS, Allowance, Budget, ScopeId, ScopeKind, shadow_tag, shadowed_policy
from router.storage.journal import Journal, Record
from router.upstream.breaker import Availability, RetryBudget
from router.upstream.client import UpstreamClient
from router.wire.dialect import Dialect
from router.wire.replies import ReplyFacts, ReplyReader
from router.wire.requests import ModelRequest

# Takes an answered request, and the gateway that carried it; returns at once. The last argument is the request's id.
CopyToShadow = Callable[["Gateway", Plan, ModelRequest, Caller, str], None]

ReadFacts = Callable[[bytes], ReplyFacts | None]
"""What a whole answer says that we act on, or None if it is no answer."""


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
        queues: Queues,
        client: UpstreamClient,
        reader: ReplyReader,
        dialects: Mapping[Api, Dialect],
        facts: Mapping[Api, ReadFacts],
        journal: Journal,
        is_strict: bool,
        books: Books,
        clock: Clock,
        availability: Availability,
        retries: RetryBudget,
        jitter: random.Random,
        copy_to_shadow: CopyToShadow,
        cache: AnswerCache,
        drains: anyio.CapacityLimiter,
        prompts: Prompts | None = None,
        parsers: Mapping[CodeLanguage, Parses] = NO_PARSERS,
        keys: "KeyBudgets | None" = None,
    ) -> None:
        self.snapshot = snapshot
        self.planner = planner
        self.gate = gate
        self.queues = queues  # in front of the gate
        self.client = client
        self.reader = reader  # of refusals, in any API
        self.dialects = dialects  # by the API that a client asks by
        self.facts = facts  # by the API that a provider is asked by
        self.journal = journal
        self._is_strict = is_strict
        self.books = books
        self.availability = availability
        self.retries = retries
        self.jitter = jitter
        self.copy_to_shadow = copy_to_shadow
        self.cache = cache
        self.prompts = prompts  # what is kept of teams that opt in; None: nothing can be
        self.parsers = parsers  # of the languages that policies check, but for those that need none
        self.monotonic_s = clock.monotonic_s
        self.sleep = clock.sleep
        self.config_version = snapshot.version
        self.quotas = Quotas(snapshot, keys)
        self.encode = msgspec.json.Encoder().encode
        self.in_flight = 0
        self.drains = drains  # of all configurations together, as gate, journal and books are

    async def journal_durably(self, record: Record, *, request_id: str) -> None:
        """Write the record; under strict durability return only when it is on the disk. Raises JournalUnwritable."""
        self.journal.write(record, request_id=request_id)
        if self._is_strict:
            await anyio.to_thread.run_sync(self.journal.sync)


class KeyBudgets(Protocol):
    """What keys may spend by their own records."""

    def budgets_of(self, key_id: str, /) -> tuple[Budget, ...]: ...

    def budgeted(self) -> Iterable[tuple[TeamName, KeyId]]:
        """The keys for which that is anything."""


class _NoKeyBudgets:
    """No key has any."""

    def budgets_of(self, _: str, /) -> tuple[Budget, ...]:
        return ()

    def budgeted(self) -> Iterable[tuple[TeamName, KeyId]]:
        return ()


class Quotas:
    """Which scopes a request is charged to: its team, and where they have money of their own its key and its tags.

    A key's budgets are those that its team's file gives each key, and those of its own record.
    """

    def __init__(self, snapshot: Snapshot, keys: KeyBudgets | None = None) -> None:
        self._teams = snapshot.teams
        self._keys: KeyBudgets = keys or _NoKeyBudgets()
        self._of_team = {team.name: Quota((_team_scope(team),), team.zone) for team in snapshot.teams.values()}

    def of(self, caller: Caller, tags: Sequence[str]) -> Quota:
        """The quota of one request; that of a shadow's call is its own budget and nobody else's.

        A team that is configured no more still has calls to be settled: nobody watches what it spent.
        """
        team = self._teams.get(caller.team)
        if team is None:
            return _NOBODYS
        shadowed = shadowed_policy(tags[0]) if tags else None
        if shadowed is not None:
            return Quota(_shadow_scopes(team, shadowed), team.zone)
        alone = self._of_team[caller.team]
        own = self._keys.budgets_of(caller.key_id)
        if not own and team.each_key == NO_ALLOWANCE and not team.projects:
            return alone
        scopes = [*alone.scopes]
        if own or team.each_key != NO_ALLOWANCE:
            scopes.append(_key_scope(team, caller.key_id, own))
        scopes.extend(_scope(team, ScopeKind.PROJECT, tag, team.projects[tag]) for tag in tags if tag in team.projects)
        return Quota(tuple(scopes), team.zone)

    def all(self) -> list[Quota]:
        """Every scope that is known beforehand, by team: keys with budgets of their own, and one with an empty name for
        the others."""
        keys: dict[TeamName, list[KeyId]] = {}
        for name, key_id in self._keys.budgeted():
            keys.setdefault(name, []).append(key_id)
        return [
            Quota(
                (
                    *self._of_team[team.name].scopes,
                    _scope(team, ScopeKind.KEY, "", team.each_key),
                    *(_key_scope(team, each, self._keys.budgets_of(each)) for each in keys.get(team.name, ())),
                    *(_scope(team, ScopeKind.PROJECT, tag, allowed) for tag, allowed in team.projects.items()),
                    *(scope for policy in team.policies for scope in _shadow_scopes(team, policy)),
                ),
                team.zone,
            )
            for team in self._teams.values()
        ]


_NOBODYS = Quota((), ZoneInfo("UTC"))


def _team_scope(team: Team) -> Scope:
    return Scope(ScopeId.of_team(team.name), team.budgets, team.limits)


def _shadow_scopes(team: Team, policy: str) -> tuple[Scope, ...]:
    """The purse of a policy's shadow; none if the policy has no shadow any more."""
    shadow = team.policies[policy].shadow if policy in team.policies else None
    if shadow is None:
        return ()
    return (Scope(ScopeId(team.name, ScopeKind.PROJECT, shadow_tag(policy)), (shadow.budget,), NO_LIMITS),)


def _key_scope(team: Team, key_id: str, own: tuple[Budget, ...]) -> Scope:
    each = team.each_key
    return Scope(ScopeId(team.name, ScopeKind.KEY, key_id), (*each.budgets, *own), each.limits)


def _scope(team: Team, kind: ScopeKind, name: str, allowance: Allowance) -> Scope:
    return Scope(ScopeId(team.name, kind, name), allowance.budgets, allowance.limits)
