"""One request of the ledger under another configuration: who would serve it now, and at what cost: `Judge`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from router.catalog.catalog import Catalog, Deployment, DeploymentId, ModelName
from router.catalog.prices import Price, cost
from router.config.snapshot import Snapshot
from router.decision.decide import Decision
from router.decision.effort import effort_asked
from router.decision.eligibility import Candidate, Reason
from router.decision.facts import Conditions
from router.decision.recorded import cascade_ids
from router.errors import PricingError
from router.gateway.past import CannotDecideAgain, DecideAgain, Past, is_same
from router.gateway.planning import Plan
from router.keys import TeamName
from router.ledger import Attempt, LedgerEntry, Outcome
from router.quality.predictor import QualityPredictor
from router.replay.habits import Comparison, Habits, Kind
from router.replay.learned import Learner, PromptMemory
from router.units import CostSource, Usage, nano_usd


class Unknown(StrEnum):
    """Why a request's dollars under the other configuration are not known, beside the obstacles to deciding it."""

    SHADOW = "shadow"  # a copy of a request, sent to a model that is only measured
    IN_DOUBT = "in_doubt"  # a call is booked at the sum held: what it cost is not known yet
    NOT_ANSWERED = "not_answered"  # it was refused or failed then, so nobody knows what its answer would have been
    NO_USAGE = "no_usage"  # the provider did not tell the tokens
    MODEL_UNKNOWN = "model_unknown"  # the model that served is in neither catalog nor ledger: no ratio of tokens
    UNPRICED = "unpriced"  # nobody may serve it now, since prices are not known
    NOBODY_MAY_SERVE = "nobody_may_serve"  # nobody may serve it now, for other reasons
    CONTRADICTORY_USAGE = "contradictory_usage"  # the provider told of more cached than sent


@dataclass(frozen=True, slots=True)
class Error:
    """How far an estimate may be off, in nano-dollars, one standard deviation each."""

    common_nano_usd: float  # all requests of the same `cause` err together
    single_nano_usd: float  # each on its own
    cause: tuple[ModelName, ModelName]  # the model that served, and the one that would


Calls = tuple[tuple[ModelName, int], ...]  # the model and nano-dollars of each call of a request, in order


@dataclass(frozen=True, slots=True)
class Judged:
    """What a request cost, and would cost."""

    team: TeamName
    then: str | None  # the candidate that the decision preferred; None: nobody might serve it
    now: str | None
    spent: Calls
    would_spend: Calls
    is_same: bool  # the whole decision, to the letter
    error: Error | None  # None: the figure is from the books, not estimated
    quality_then: float | None
    quality_now: float | None

    @property
    def then_nano_usd(self) -> int:
        return sum(nano for _, nano in self.spent)

    @property
    def now_nano_usd(self) -> int:
        return sum(nano for _, nano in self.would_spend)


@dataclass(frozen=True, slots=True)
class NotJudged:
    """What a request cost, and why nobody knows what it would cost."""

    team: TeamName
    then_nano_usd: int
    reason: str  # of Obstacle or Unknown
    about: str  # the name concerned; empty where there is none
    is_same: bool | None  # the decision, if it could be made


class Judge:
    """Judges entries in the order of time, and remembers what they would have taught."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        quality: QualityPredictor,
        habits: Habits,
        learner: Learner,
        memory_then: PromptMemory,
        memory_now: PromptMemory,
    ) -> None:
        self._catalog: Catalog = snapshot.catalog
        self._again = DecideAgain(snapshot, catalog=lambda: snapshot.catalog, quality=quality)
        self._quality = quality
        self._habits = habits
        self._learner = learner
        self._memory_then = memory_then
        self._memory_now = memory_now

    def judge(self, entry: LedgerEntry) -> Judged | NotJudged:
        if entry.outcome is Outcome.SHADOW:
            return NotJudged(entry.team, entry.cost_nano_usd, Unknown.SHADOW.value, entry.policy, is_same=None)
        try:
            past = Past.of(entry)
            entry = past.entry
            conditions = self._foreseen(past)
            plan = self._again.plan(past, conditions)
        except CannotDecideAgain as error:
            return NotJudged(entry.team, entry.cost_nano_usd, error.obstacle.value, error.about, is_same=None)
        finally:
            self._learner.observe(entry)
        judged = self._judged(past, plan, conditions.warm_tokens)
        self._memory_then.observe(entry)
        self._memory_now.observe(_as_sent_now(past, plan))
        return judged

    def _foreseen(self, past: Past) -> Conditions:
        """The moment, with where the prompt is warmer or colder than it was, by what was decided differently before.

        Raises CannotDecideAgain.
        """
        bare = Conditions(past.entry.at, experience=self._learner)
        if not past.profile.prefix:
            return bare
        candidates = self._again.candidates(past)
        then = self._memory_then.foreseen(past.profile, bare, candidates).warm_tokens
        now = self._memory_now.foreseen(past.profile, bare, candidates)
        changed = {each for each in {*then, *now.warm_tokens} if now.warm_tokens.get(each, 0) != then.get(each, 0)}
        return replace(now, warm_tokens={each: now.warm_tokens.get(each, 0) for each in changed})

    def _judged(self, past: Past, plan: Plan, warmth: Mapping[DeploymentId, int]) -> Judged | NotJudged:
        entry = past.entry
        same = is_same(past, plan)
        try:
            would_spend, error = self._cost(past, plan, warmth)
            beside, beside_error = self._cost_beside(past, plan)
        except _NotKnownError as why:
            return NotJudged(entry.team, entry.cost_nano_usd, why.reason.value, why.about, is_same=same)
        chosen, served = plan.decision.chosen, entry.served_by
        known = self._catalog.of(served.model) if served is not None else ()
        is_text = past.profile.is_text
        return Judged(
            team=entry.team,
            then=past.record.ranked[0] if past.record.ranked else None,
            now=chosen.id if chosen else None,
            spent=_booked(entry.attempts),
            would_spend=would_spend + beside,
            is_same=same,
            error=error or beside_error,
            quality_then=self._quality_then(past, served, known) if served and is_text else None,
            quality_now=_quality(plan.decision) if served and is_text else None,
        )

    def _quality_then(self, past: Past, served: Attempt, known: tuple[Deployment, ...]) -> float | None:
        """What the other configuration would have expected of the model that answered."""
        if not known:
            return None
        deployment = known[0]
        effort = served.effort or effort_asked(past.profile) or deployment.model.default_effort
        experience = past.record.conditions(Conditions(past.entry.at, experience=self._learner)).experience
        lesson = experience.quality(deployment.model, past.profile, effort)
        return self._quality.forecast(deployment.rated, effort, past.profile, lesson).probability

    def _cost(self, past: Past, plan: Plan, warmth: Mapping[DeploymentId, int]) -> tuple[Calls, Error | None]:
        """The calls now, and how far their sum may be off. Raises _NotKnownError."""
        entry, chosen = past.entry, plan.decision.chosen
        doubtful = next((call for call in entry.attempts if call.source is CostSource.HELD), None)
        if doubtful is not None:
            raise _NotKnownError(Unknown.IN_DOUBT, doubtful.model)
        preferred = past.record.ranked[0] if past.record.ranked else None
        if chosen is None and preferred is None:
            return _booked(entry.attempts), None
        if chosen is None:
            reasons = sorted({each.reason for each in plan.decision.rejected})
            unknown = Unknown.UNPRICED if Reason.UNPRICED in reasons else Unknown.NOBODY_MAY_SERVE
            raise _NotKnownError(unknown, ", ".join(reasons))
        deployment, served = chosen.deployment, entry.served_by
        answers = [call for call in entry.attempts if call is served and _candidate_id(call) == chosen.id]
        # The same choice takes the same course, failures and better models asked after it included; another may be the
        # one that answered in the end.
        course = entry.attempts if chosen.id == preferred else answers
        if chosen.id == preferred or answers:
            warmer = _warmer(served, deployment, past, warmth)
            return _booked(
                replace(call, cost_nano_usd=call.cost_nano_usd + warmer) if call is served else call for call in course
            ), None
        if served is None:
            raise _NotKnownError(Unknown.NOT_ANSWERED, entry.outcome.value)
        if served.usage is None:
            raise _NotKnownError(Unknown.NO_USAGE, served.model)
        total, error = self._elsewhere(past, served, served.usage, chosen)
        return ((deployment.model.name, total),), error

    def _cost_beside(self, past: Past, plan: Plan) -> tuple[Calls, Error | None]:
        """What the other calls of a cascade are expected to cost. Raises _NotKnownError.

        Nothing where the same cascade was decided then, or its first was followed by others: the course of then has
        them.
        """
        arm, served = plan.decision.cascade, past.entry.served_by
        if arm is None or served is None or served.usage is None or _has_its_calls(past, plan):
            return (), None
        calls: list[tuple[ModelName, int]] = []
        error: Error | None = None
        for candidate, share in ((arm.opinion, 1.0), (arm.then, arm.escalated)):
            if candidate is not None:
                total, error = self._elsewhere(past, served, served.usage, candidate)
                calls.append((candidate.deployment.model.name, round(total * share)))
        return tuple(calls), error

    def _elsewhere(self, past: Past, served: Attempt, usage: Usage, chosen: Candidate) -> tuple[int, Error]:
        """The answer of then, given by another deployment."""
        now, known = chosen.deployment, self._catalog.of(served.model)
        habits, profile = self._habits, past.profile
        old, _ = habits.token_ratio(served.model, otherwise=known[0].model.token_ratio if known else None)
        new, new_error = habits.token_ratio(now.model.name, otherwise=now.model.token_ratio)
        if old is None or new is None:
            raise _NotKnownError(Unknown.MODEL_UNKNOWN, served.model)
        ratio, kind = new / old, Kind.of(profile, chosen.effort)
        if now.model.name == served.model:
            comparison, new_error = habits.rethought(served.model, kind), 0.0
        else:
            comparison = habits.compared(served.model, now.model.name, kind, token_ratio=ratio)
        input_tokens = round(usage.input_tokens * ratio)
        # A memory of prompts is believed; without one the same share of the prompt is taken to be cached.
        cached = chosen.estimate.cached_tokens if profile.prefix else round(usage.cached_tokens * ratio)
        moved = Usage(
            input_tokens=input_tokens,
            output_tokens=_output_tokens(usage, comparison, past),
            cached_tokens=min(cached, input_tokens),
        )
        price = now.prices.at(past.entry.at)
        assert price is not None  # a deployment without a price is not chosen
        output_nano = float(moved.output_tokens * price.rates(input_tokens).output) * 1e9
        total = _nano_usd(moved, price, served.model)
        error = Error(
            common_nano_usd=output_nano * comparison.common_error + (total - output_nano) * new_error,
            single_nano_usd=output_nano * comparison.single_error,
            cause=(served.model, now.model.name),
        )
        return total, error


def _quality(decision: Decision) -> float | None:
    if decision.cascade is not None:
        return decision.cascade.probability
    return None if decision.chosen is None else decision.chosen.quality


def _has_its_calls(past: Past, plan: Plan) -> bool:
    """Whether the calls of then are those of the cascade that would be decided now."""
    cascade = cascade_ids(plan.decision)
    return past.record.cascade == cascade or (past.record.ranked[:1] == cascade[:1] and len(past.entry.attempts) > 1)


def _as_sent_now(past: Past, plan: Plan) -> LedgerEntry:
    """The entry as it would have been booked, for whoever remembers prompts: another model's usage is not known.

    The same choice takes the same course, whoever answered in the end.
    """
    entry = past.entry
    served, chosen = entry.served_by, plan.decision.chosen
    if chosen is not None and past.record.ranked[:1] == (chosen.id,):
        return entry
    if served is None or chosen is None:
        return replace(entry, attempts=())
    deployment = chosen.deployment
    if _deployment_id(served) == deployment.id:
        return entry
    call = replace(served, model=deployment.model.name, provider=deployment.provider.name, usage=None)
    return replace(entry, attempts=(call,))


def _booked(calls: Iterable[Attempt]) -> Calls:
    return tuple((call.model, call.cost_nano_usd) for call in calls)


class _NotKnownError(Exception):
    def __init__(self, reason: Unknown, about: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.about = about


def _output_tokens(usage: Usage, comparison: Comparison, past: Past) -> int:
    choices, limit = past.profile.choices, past.profile.max_output_tokens
    thinking = comparison.thinking_tokens
    reasoning = usage.reasoning_tokens if thinking is None else thinking * choices
    output = round((usage.output_tokens - usage.reasoning_tokens) * comparison.text_ratio + reasoning)
    return output if limit is None else min(output, limit * choices)


def _warmer(served: Attempt | None, deployment: Deployment, past: Past, warmth: Mapping[DeploymentId, int]) -> int:
    """What the same call costs more, in nano-dollars, where the prompt is warmer or colder than it was."""
    if served is None or served.usage is None or _deployment_id(served) != deployment.id or deployment.id not in warmth:
        return 0
    price = deployment.prices.at(past.entry.at)
    if price is None:
        return 0
    usage = served.usage
    warmer_tokens = warmth[deployment.id] - past.record.warm_tokens.get(deployment.id, 0)
    cached = min(usage.cached_tokens + warmer_tokens, usage.input_tokens - usage.cache_write_tokens)
    moved = Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=max(cached, 0),
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )
    return _nano_usd(moved, price, served.model) - _nano_usd(usage, price, served.model)


def _nano_usd(usage: Usage, price: Price, model: ModelName) -> int:
    try:
        return nano_usd(cost(usage, price))
    except PricingError as error:
        raise _NotKnownError(Unknown.CONTRADICTORY_USAGE, model) from error


def _deployment_id(attempt: Attempt) -> DeploymentId:
    return DeploymentId(f"{attempt.provider}:{attempt.model}")


def _candidate_id(attempt: Attempt) -> str:
    """As `Candidate.id`."""
    deployment = _deployment_id(attempt)
    return deployment if attempt.effort is None else f"{deployment}@{attempt.effort.value}"
