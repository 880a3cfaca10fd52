"""Requests that are over, decided again from what the ledger keeps of them: `Past`, `DecideAgain`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from msgspec.structs import replace

from router.catalog.catalog import ArmName, Catalog, Deployment, Effort, Named, models_of
from router.config.snapshot import Snapshot, Team
from router.decision.decide import decide
from router.decision.facts import Conditions, RequestProfile
from router.decision.policy import Policy
from router.decision.recorded import DecisionRecord, cascade_ids, ids, read_profile, read_record
from router.errors import CallerError, InvalidRequest, UnknownModel
from router.gateway.planning import Plan, policy_for
from router.keys import TeamName
from router.ledger import Attempt, LedgerEntry
from router.quality.predictor import QualityPredictor


class Obstacle(StrEnum):
    """Why a request cannot be decided again."""

    UNREADABLE_PROFILE = "unreadable_profile"  # kept by another version
    NO_CONDITIONS = "no_conditions"  # kept by a version that did not keep them, or by another version
    TEAM_GONE = "team_gone"
    ALIAS_GONE = "alias_gone"
    MODEL_GONE = "model_gone"  # the client named a model that the catalog does not have
    MODEL_NOT_ALLOWED = "model_not_allowed"  # the client named a model that no policy of its team may choose
    POLICY_GONE = "policy_gone"  # the header x-penstock-policy named it


class CannotDecideAgain(CallerError):
    """What is kept of the request, or what the configuration still has of it, is not enough."""

    code = "cannot_decide_again"

    def __init__(self, obstacle: Obstacle, about: str) -> None:
        super().__init__(f"This request cannot be decided again: {_WORDS[obstacle].format(about)}.")
        self.obstacle = obstacle
        self.about = about  # the name of what is missing; empty where there is none


_WORDS = {
    Obstacle.UNREADABLE_PROFILE: "its profile was kept by another version of Penstock",
    Obstacle.NO_CONDITIONS: "the conditions it was decided in were not kept, or by another version of Penstock",
    Obstacle.TEAM_GONE: "there is no team {} any more",
    Obstacle.ALIAS_GONE: "its team has no alias {} any more",
    Obstacle.MODEL_GONE: "the client named the model {}, which the catalog does not have",
    Obstacle.MODEL_NOT_ALLOWED: "the client named the model {}, which no policy of its team may choose",
    Obstacle.POLICY_GONE: "the client named the policy {}, which its team does not have, or which cannot apply",
}


@dataclass(frozen=True, slots=True)
class Past:
    """A request that is over, with what it was decided from."""

    entry: LedgerEntry
    profile: RequestProfile
    record: DecisionRecord

    @classmethod
    def of(cls, entry: LedgerEntry) -> Self:
        """Raises CannotDecideAgain."""
        profile = read_profile(entry.profile_json)
        if profile is None:
            raise CannotDecideAgain(Obstacle.UNREADABLE_PROFILE, "")
        record = read_record(entry.conditions_json)
        if record is None:
            raise CannotDecideAgain(Obstacle.NO_CONDITIONS, "")
        return cls(entry if record.keeps_efforts_with_calls else _with_efforts(entry, record), profile, record)

    @property
    def propensity(self) -> float | None:
        """The probability with which the first call went where it went; None: it was no lot's doing.

        No lot's doing is also a call to another than was drawn, since that one could not be asked.
        """
        record, first = self.record, self.entry.attempts[0] if self.entry.attempts else None
        is_whom_it_fell_on = first is not None and bool(record.ranked) and called(first) == named(record.ranked[0])
        return record.propensity if is_whom_it_fell_on else None


def called(attempt: Attempt) -> Named:
    """Whom the call asked: the model, with `@effort` where the policy told it one."""
    return attempt.model if attempt.effort is None else ArmName(f"{attempt.model}@{attempt.effort.value}")


def named(candidate_id: str) -> Named:
    """The same of a candidate, by its id."""
    return ArmName(candidate_id.partition(":")[2])  # the provider stands before it


def _with_efforts(entry: LedgerEntry, record: DecisionRecord) -> LedgerEntry:
    """The entry as it was when it was booked, where efforts were not kept with calls."""
    efforts = {
        deployment: Effort(effort) for each in record.ranked for deployment, at, effort in [each.rpartition("@")] if at
    }
    return replace(
        entry,
        attempts=tuple(replace(each, effort=efforts.get(f"{each.provider}:{each.model}")) for each in entry.attempts),
    )


class DecideAgain:
    """Decides past requests under one configuration, in the conditions of then."""

    def __init__(self, snapshot: Snapshot, *, catalog: Callable[[], Catalog], quality: QualityPredictor) -> None:
        """`catalog` is the snapshot's, with the prices that the price book has for all times."""
        self._snapshot = snapshot
        self._catalog = catalog
        self._quality = quality
        self._policies: dict[tuple[TeamName, str, str | None, bool], Policy] = {}  # a day has a million requests

    def plan(self, past: Past, conditions: Conditions) -> Plan:
        """The plan that this configuration makes. `conditions` as `DecisionRecord.conditions` takes them.

        Raises CannotDecideAgain.
        """
        record, team = past.record, self._team(past)
        policy = self._policy(team, past)
        conditions = record.conditions(conditions)
        catalog = self._catalog()
        decision = decide(
            past.profile,
            policy,
            catalog,
            conditions,
            quality=self._quality,
            tightening=record.tightening,
        )
        return Plan(
            team=team,
            policy=policy,
            profile=past.profile,
            conditions=conditions,
            decision=decision,
            catalog=catalog,
            tightening=record.tightening,
            asked_policy=record.policy,
            is_downgraded=record.is_downgraded,
        )

    def candidates(self, past: Past) -> Sequence[Deployment]:
        """Every deployment that would be considered. Raises CannotDecideAgain."""
        policy = self._policy(self._team(past), past)
        models = models_of(policy.terms_for(past.profile, past.record.tightening, past.entry.at).candidates)
        catalog = self._catalog()
        return [deployment for model in models for deployment in catalog.of(model)]

    def _team(self, past: Past) -> Team:
        team = self._snapshot.teams.get(past.entry.team)
        if team is None:
            raise CannotDecideAgain(Obstacle.TEAM_GONE, past.entry.team)
        return team

    def _policy(self, team: Team, past: Past) -> Policy:
        alias, record = past.entry.alias, past.record
        key = (team.name, alias, record.policy, record.is_downgraded)
        known = self._policies.get(key)
        if known is None:
            known = self._resolved(team, alias, record)
            self._policies[key] = known
        return known

    def _resolved(self, team: Team, alias: str, record: DecisionRecord) -> Policy:
        try:
            policy = policy_for(team, alias, chosen=record.policy)
        except UnknownModel as error:
            if alias.partition("@")[0] in self._snapshot.catalog:
                raise CannotDecideAgain(Obstacle.MODEL_NOT_ALLOWED, alias) from error
            # A model is called author/name.
            raise CannotDecideAgain(Obstacle.MODEL_GONE if "/" in alias else Obstacle.ALIAS_GONE, alias) from error
        except InvalidRequest as error:
            raise CannotDecideAgain(Obstacle.POLICY_GONE, record.policy or "") from error
        return policy.downgraded() if record.is_downgraded else policy


def is_same(past: Past, plan: Plan) -> bool:
    """Whether the plan is to the letter what was decided then: terms, order, and who was rejected for what."""
    entry, decision = past.entry, plan.decision
    return (
        past.record.ranked == ids(decision)
        and past.record.cascade == cascade_ids(decision)
        and (entry.policy, entry.rule) == (decision.policy, decision.terms.rule)
        and entry.rejected == tuple((each.model, each.reason.value) for each in decision.rejected)
    )
