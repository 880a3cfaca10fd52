"""Prompt-cache memory: which deployment has lately read which beginnings of prompts, and how far to rely on it.

Every answered request leaves the marks of its prompt (digests, no text) with the deployment that answered and the
time. The next request looks its own marks up, and the longest known one says how many tokens that deployment is likely
to read from its cache instead of billing them in full.

How likely is learned, per deployment and age of the memory, as the share of the known tokens that providers then
reported as cached; each team learns for itself, and begins where all teams together are. A model at OpenRouter has many
hosts, of which only one is warm; a cache may be flushed early, or live longer than is published: each answer corrects
the share. Fresh memories begin with full confidence, memories past the published lifetime with none.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from router.catalog.catalog import Catalog, Deployment, DeploymentId, ModelName
from router.decision.facts import FIRST_MARKS, LAST_MARKS, Conditions, PrefixMark, RequestProfile
from router.learning.cache_terms import ONE_HOUR_S, CacheTerms, cache_terms
from router.learning.sightings import Sighting, Sightings
from router.ledger import LedgerEntry

_MOST_MARKS = 100_000  # 12 MB; at 3 new marks a turn half an hour of 9 turns a second at least

# Ages of a memory, in lifetimes of the provider's cache. The first is what the provider promises; the others hold what
# it may keep beyond that, which only its replies tell.
_AGES = (1.0, 2.0, 6.0)
_LONGEST_KEPT_S = 3 * 3600.0
# What is published is believed until replies say otherwise: who was doubted beforehand would never be tried.
_PRIOR_SHARES = (1.0, 0.0, 0.0)
_ALL = ""  # the group of all teams
_PRIOR_WEIGHT = 2  # replies that the prior counts for
_MOST_WEIGHT = 20  # a share follows the last score of replies, so that it is never too sure to change

# How many turns of the same kind will follow is learned per team, alias and kind of task, from how many requests go on
# from an earlier one of their kind. A turn of another kind may have other candidates, so nothing is said of it.
_TURN_S = 300.0  # within the shortest lifetime that is usual: later turns find nothing in the caches
_PRIOR_CONTINUED = 0.5
_MOST_REQUESTS = 200  # a share follows so many of the last requests
_MOST_TURNS = 10  # no choice is bound to a future longer than that, whatever the past was like

# Below this many tokens there is nothing to be gained that would be worth a question to Redis.
_LEAST_TOKENS = 512


class SharedMarks(Protocol):
    """Sightings that several processes share. Neither call raises: what cannot be reached knows nothing."""

    async def seen(self, digests: Sequence[int], /) -> Sequence[tuple[int, tuple[DeploymentId, float, str]]]:
        """The sightings at these marks: the digest, then the members of `Sighting`."""
        ...

    def put(
        self, digests: Sequence[int], deployment: DeploymentId, /, *, at_s: float, ended: str, keep_s: float
    ) -> None:
        """Keep the sighting at all these marks; at the last of them the prompt ended. Returns at once."""
        ...


class Warmth:
    """The memory of one process; with `shared`, of all that share it."""

    def __init__(self, catalog: Catalog, *, shared: SharedMarks | None = None, most_marks: int = _MOST_MARKS) -> None:
        self._deployments = {deployment.id: deployment for deployment in catalog}
        self._terms = {deployment.id: cache_terms(deployment) for deployment in catalog}
        self._shared = shared
        self._sightings = Sightings(most=most_marks)
        self._shares: dict[tuple[str, DeploymentId], list[_Mean]] = {}  # of a team; under no name, of all
        self._habits: dict[tuple[str, str, str], _Habit] = {}
        self._forgotten_until_s: dict[DeploymentId, float] = {}

    def recatalogued(self, catalog: Catalog) -> None:
        """Another configuration's catalog is in force. What was seen stays, also of models that have left."""
        self._deployments = {deployment.id: deployment for deployment in catalog}
        self._terms = {deployment.id: cache_terms(deployment) for deployment in catalog}

    async def outlook(
        self, profile: RequestProfile, conditions: Conditions, candidates: Iterable[Deployment]
    ) -> Conditions:
        """`foreseen`, after asking what other processes have seen: one question, if the prompt is worth it."""
        if profile.input_tokens < _LEAST_TOKENS or not profile.prefix:
            return conditions
        if self._shared is not None:
            for digest, sighting in await self._shared.seen([mark.digest for mark in profile.prefix]):
                self._sightings.put(digest, Sighting(*sighting))
        return self.foreseen(profile, conditions, candidates)

    def foreseen(self, profile: RequestProfile, conditions: Conditions, candidates: Iterable[Deployment]) -> Conditions:
        """The conditions, with what the caches are likely to hold: now, and in the turns that are likely to follow.

        A prompt without marks is no turn of a conversation.
        """
        if not profile.prefix:
            return conditions
        further_turns = self._further_turns(profile)
        return replace(
            conditions,
            warm_tokens=self.warm_tokens(profile, conditions),
            further_turns=further_turns,
            growth_tokens=round(self._habit(profile.team, profile.alias, profile.task).growth_tokens.value),
            later_tokens=self._later_tokens(profile, conditions, candidates) if further_turns else {},
        )

    def warm_tokens(self, profile: RequestProfile, conditions: Conditions) -> dict[DeploymentId, int]:
        """Of the prompt's tokens, in each model's own, how many its deployment is likely to read from its cache.

        Deployments of which nothing is expected are left out. Never more than the prompt has.
        """
        now_s = conditions.now.timestamp()
        prefix, breakpoints, one_hour = profile.prefix, profile.cache_breakpoints, profile.asks_one_hour_cache
        warm: dict[DeploymentId, int] = {}
        for deployment_id in self._seen_in(prefix):
            deployment = self._deployments[deployment_id]
            ratio = conditions.experience.input_ratio(deployment.model, profile)
            terms = self._terms[deployment_id]
            known = self._known(deployment_id, prefix, breakpoints, ratio=ratio, now_s=now_s, one_hour=one_hour)
            expected = int(sum(tokens * self._expected(profile.team, deployment_id, age) for age, _, tokens in known))
            if expected >= terms.step_tokens:
                warm[deployment_id] = expected
        return warm

    def _later_tokens(
        self, profile: RequestProfile, conditions: Conditions, candidates: Iterable[Deployment]
    ) -> dict[DeploymentId, int]:
        """Of the prompt's tokens, how many the next turn will find cached at each candidate, if this one goes there."""
        later: dict[DeploymentId, int] = {}
        for deployment in candidates:
            terms = self._terms.get(deployment.id) or cache_terms(deployment)  # it may have left since it was planned
            tokens = max(profile.cache_breakpoints, default=0) if terms.is_explicit else profile.input_tokens
            ratio = conditions.experience.input_ratio(deployment.model, profile)
            share = self._expected(profile.team, deployment.id, 0)
            later[deployment.id] = int(_readable(terms, int(tokens * ratio)) * share)
        return later

    def _further_turns(self, profile: RequestProfile) -> int:
        """If each turn is followed by another with the same probability."""
        continued = self._habit(profile.team, profile.alias, profile.task).continued.value
        return min(round(continued / (1 - continued)), _MOST_TURNS) if continued < 1 else _MOST_TURNS

    def observe(self, entry: LedgerEntry) -> None:
        """`learn` from an entry that was kept."""
        if entry.served_by is not None:
            self.learn(entry, _read_profile(entry.profile_json))

    def learn(self, entry: LedgerEntry, profile: "RequestProfile | _Profile") -> None:
        """Learn from a finished request, whose profile this is: what was read from the cache, then that its prompt is
        in it now."""
        served = entry.served_by
        if served is None or not profile.prefix:
            return  # unanswered, or no conversation
        deployment_id = DeploymentId(f"{served.provider}:{served.model}")
        terms = self._terms.get(deployment_id)
        if terms is None:
            return  # left the catalog while the request was under way
        habit = self._habit(entry.team, entry.alias, profile.task)
        at_s = entry.at.timestamp()
        earlier_tokens = self._continues(profile.prefix, profile.task, at_s)
        habit.continued.add(earlier_tokens is not None)
        if earlier_tokens is not None:
            habit.growth_tokens.add(profile.input_tokens - earlier_tokens)
        if served.usage is not None and served.usage.input_tokens and profile.input_tokens:
            ratio = served.usage.input_tokens / profile.input_tokens
            known = self._known(
                deployment_id,
                profile.prefix,
                profile.cache_breakpoints,
                ratio=ratio,
                now_s=at_s,
                one_hour=profile.asks_one_hour_cache,
            )
            self._learn(entry.team, deployment_id, known, reported=served.usage.cached_tokens)
        read_s = entry.duration_s if entry.first_token_s is None else entry.first_token_s  # read before it answered
        self._remember(deployment_id, terms, profile, at_s=at_s + read_s)

    def forget(self, model: ModelName, *, now: datetime) -> None:
        """The name stands for another model from now on: nothing is warm, and its caches may behave otherwise."""
        for deployment in self._deployments.values():
            if deployment.model.name == model:
                self._forgotten_until_s[deployment.id] = now.timestamp()
                for key in [key for key in self._shares if key[1] == deployment.id]:
                    del self._shares[key]

    def shares(self) -> dict[DeploymentId, float]:
        """Of the tokens that should be in its cache, the share that each deployment reported lately.

        None of those that have not been tried.
        """
        return {
            each: shares[0].value
            for (team, each), shares in self._shares.items()
            if team == _ALL and shares[0].is_learned
        }

    def _seen_in(self, prefix: Sequence[PrefixMark]) -> set[DeploymentId]:
        """Which deployments have read some beginning of the prompt."""
        sightings = self._sightings
        seen = {each.deployment for mark in prefix for each in sightings.at(mark.digest)}
        return seen & self._deployments.keys()

    def _known(
        self,
        deployment_id: DeploymentId,
        prefix: Sequence[PrefixMark],
        breakpoints: Sequence[int],
        *,
        ratio: float,
        now_s: float,
        one_hour: bool,
    ) -> list[tuple[int, int, int]]:
        """Per age, freshest first: the age, tokens that are known at a fresher age, and tokens known beyond these."""
        terms = self._terms[deployment_id]
        lifetime_s = _lifetime_s(terms, one_hour=one_hour)
        longest = [0] * len(_AGES)
        for tokens, at_s in self._found(deployment_id, terms, prefix, breakpoints):
            age = _age((now_s - at_s) / lifetime_s)
            if age is not None and not longest[age]:
                longest[age] = _readable(terms, int(tokens * ratio))
                if age == 0:
                    break  # the shorter marks are at most as long and as fresh
        known: list[tuple[int, int, int]] = []
        floor = 0
        for age, tokens in enumerate(longest):
            if tokens > floor:
                known.append((age, floor, tokens - floor))
                floor = tokens
        return known

    def _found(
        self, deployment_id: DeploymentId, terms: CacheTerms, prefix: Sequence[PrefixMark], breakpoints: Sequence[int]
    ) -> Iterator[tuple[int, float]]:
        """Tokens of the marks that the deployment has read, and when, longest first."""
        forgotten_s = self._forgotten_until_s.get(deployment_id, 0.0)
        cached_until = prefix[-1].tokens if not terms.is_explicit and prefix else max(breakpoints, default=0)
        for position in reversed(range(len(prefix))):
            mark = prefix[position]
            if mark.tokens > cached_until:
                continue
            for each in self._sightings.at(mark.digest):
                if each.deployment == deployment_id and each.at_s > forgotten_s:
                    has_answer = each.ended and terms.keeps_answers and _next_is_kept(position, len(prefix))
                    yield prefix[position + 1].tokens if has_answer else mark.tokens, each.at_s

    def _remember(
        self, deployment_id: DeploymentId, terms: CacheTerms, profile: "RequestProfile | _Profile", *, at_s: float
    ) -> None:
        marks: Sequence[PrefixMark] = profile.prefix
        if terms.is_explicit:
            marks = [mark for mark in marks if mark.tokens in profile.cache_breakpoints]
        if not marks:
            return
        sighting = Sighting(deployment_id, at_s, ended="")
        for mark in marks[:-1]:
            self._sightings.put(mark.digest, sighting)
        self._sightings.put(marks[-1].digest, Sighting(deployment_id, at_s, ended=profile.task))
        if self._shared is not None and profile.input_tokens >= _LEAST_TOKENS:
            keep_s = min(_AGES[-1] * _lifetime_s(terms, one_hour=profile.asks_one_hour_cache), _LONGEST_KEPT_S)
            self._shared.put(
                [mark.digest for mark in marks], deployment_id, at_s=at_s, ended=str(profile.task), keep_s=keep_s
            )

    def _learn(
        self, team: str, deployment_id: DeploymentId, known: Sequence[tuple[int, int, int]], *, reported: int
    ) -> None:
        shares = self._shares
        general, own = shares.get((_ALL, deployment_id)), shares.get((team, deployment_id))
        if general is None:
            general = shares[_ALL, deployment_id] = [_Mean(prior) for prior in _PRIOR_SHARES]
        if own is None:
            own = shares[team, deployment_id] = [_Mean(share.value) for share in general]
        for age, floor, tokens in known:
            sample = min(max(reported - floor, 0) / tokens, 1.0)
            general[age].add(sample)
            own[age].add(sample)

    def _continues(self, prefix: Sequence[PrefixMark], task: str, now_s: float) -> int | None:
        """The tokens of the prompt of the same kind, answered a short time ago, from which this one goes on."""
        for mark in reversed(prefix[-LAST_MARKS:-1]):
            for each in self._sightings.at(mark.digest):
                if each.ended == task and 0 <= now_s - each.at_s < _TURN_S:
                    return mark.tokens
        return None

    def _habit(self, team: str, alias: str, task: str) -> "_Habit":
        habit = self._habits.get((team, alias, task))
        if habit is None:
            habit = self._habits[team, alias, task] = _Habit(
                continued=_Mean(_PRIOR_CONTINUED, most_weight=_MOST_REQUESTS),
                growth_tokens=_Mean(0.0, most_weight=_MOST_REQUESTS),
            )
        return habit

    def _expected(self, team: str, deployment_id: DeploymentId, age: int) -> float:
        """The share that the team has to expect: its own, else that of all teams, else what is published."""
        shares = self._shares.get((team, deployment_id)) or self._shares.get((_ALL, deployment_id))
        return _PRIOR_SHARES[age] if shares is None else shares[age].value


class _Mean:
    """A running mean that begins with a prior and follows the last replies."""

    __slots__ = ("_most_weight", "_weight", "value")

    def __init__(self, prior: float, *, most_weight: int = _MOST_WEIGHT) -> None:
        self.value = prior
        self._weight = _PRIOR_WEIGHT
        self._most_weight = most_weight

    @property
    def is_learned(self) -> bool:
        return self._weight > _PRIOR_WEIGHT

    def add(self, sample: float) -> None:
        self._weight = min(self._weight + 1, self._most_weight)
        self.value += (sample - self.value) / self._weight


class _Habit(NamedTuple):
    """How conversations go on."""

    continued: _Mean  # share of requests that go on from an earlier one
    growth_tokens: _Mean  # what those add to its prompt


class _Profile(msgspec.Struct):
    """What is read back of a ledger entry's profile."""

    input_tokens: int = 0
    task: str = ""
    prefix: list[PrefixMark] = []
    cache_breakpoints: list[int] = []
    asks_one_hour_cache: bool = False


def _read_profile(profile_json: bytes) -> _Profile:
    return msgspec.json.decode(profile_json, type=_Profile)


def _lifetime_s(terms: CacheTerms, *, one_hour: bool) -> float:
    return ONE_HOUR_S if one_hour and terms.is_explicit else terms.lifetime_s


def _readable(terms: CacheTerms, tokens: int) -> int:
    """What a provider reads of a beginning of that many tokens."""
    return tokens - tokens % terms.step_tokens if tokens >= terms.minimum_tokens else 0


def _next_is_kept(position: int, marks: int) -> bool:
    """Whether the mark after this one is that of the next message: long prompts have a gap in their middle."""
    if position + 1 >= marks:
        return False
    return marks < FIRST_MARKS + LAST_MARKS or position + 1 < FIRST_MARKS or position >= marks - LAST_MARKS


def _age(lifetimes: float) -> int | None:
    """Which of the ages a memory has; None if it is too old, or from the future: it was not there yet."""
    if lifetimes < 0:
        return None
    for age, until in enumerate(_AGES):
        if lifetimes < until:
            return age
    return None
