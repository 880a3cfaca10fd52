"""From a request to a decision, spending nothing: the part that production, dry runs and `penstock explain` share."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Protocol

import msgspec
from msgspec.structs import replace

from router.apis import Api
from router.catalog.catalog import (
    TEXT_APIS,
    ArmName,
    Catalog,
    Deployment,
    DeploymentId,
    Effort,
    ModelName,
    arm_of,
    models_of,
)
from router.config.snapshot import Snapshot, Team
from router.decision.decide import Decision, decide
from router.decision.effort import efforts_of
from router.decision.eligibility import Candidate, Reason
from router.decision.estimate import shortened
from router.decision.explain import rejections_as_data
from router.decision.facts import NO_EXPERIENCE, NO_TIGHTENING, Conditions, Experience, RequestProfile, Tightening
from router.decision.policy import Policy, Shadow, shadowing
from router.decision.recorded import DecisionRecord, record_of, remembered
from router.errors import InvalidRequest, NothingEligible, OutsideKeyScope, TeamGone, UnknownModel, UpstreamBusy
from router.gateway.conversation import conversation_seed
from router.gateway.profile import profile_of, tightening_of
from router.keys import WHOLE_TEAM, KeyScope, TeamName
from router.quality.features import SystemCues
from router.quality.predictor import QualityPredictor
from router.quality.text_head import TextHead
from router.quotas import shadow_tag
from router.tokens.count import TokenCounter
from router.units import usd
from router.wire.controls import Controls
from router.wire.requests import ModelRequest


class Plan(msgspec.Struct, frozen=True, gc=False):
    """A decision with everything it was made from."""

    team: Team
    policy: Policy
    profile: RequestProfile
    conditions: Conditions
    decision: Decision
    catalog: Catalog  # as it was then: prices may change while the request is under way
    tightening: Tightening = NO_TIGHTENING
    asked_policy: str | None = None  # by the header x-penstock-policy
    is_downgraded: bool = False
    busy_s: float | None = None  # nobody may serve it now, and somebody will in so long
    untranslatable: str | None = None  # why only those may serve it that speak its client's API

    def record(self) -> DecisionRecord:
        """What is needed to decide the same again."""
        return record_of(
            self.decision,
            self.conditions,
            tightening=self.tightening,
            policy=self.asked_policy,
            is_downgraded=self.is_downgraded,
        )

    def require_choice(self) -> None:
        """Raises NothingEligible, with every rejection, if nobody may serve the request, OutsideKeyScope if that is for
        its API key alone, and UpstreamBusy if nobody may now."""
        if self.decision.chosen is None:
            if self.busy_s is not None:
                raise UpstreamBusy(
                    (each.deployment for each in self.decision.rejected if each.reason is Reason.UNAVAILABLE),
                    retry_after_s=self.busy_s,
                )
            reasons = "; ".join(f"{each.id}: {each.detail}" for each in self.decision.rejected)
            told = (
                f"No model of policy {self.policy.name!r} may serve this request. {reasons or 'It has no candidates'}."
            )
            rejected = self.decision.rejected
            if rejected and all(each.reason is Reason.KEY_SCOPE for each in rejected):
                raise OutsideKeyScope(told, param="model", rejections=rejections_as_data(rejected))
            if self.untranslatable is not None and any(each.reason is Reason.WRONG_API for each in rejected):
                told += f" {self.untranslatable}"
            raise NothingEligible(told, rejections_as_data(rejected))

    @property
    def baseline(self) -> ModelName | None:
        """What the team would have used without us; None if that could not have been asked this."""
        name = self.team.baseline
        deployments = () if name is None else self.catalog.of(name)
        return name if deployments and not deployments[0].model.apis.isdisjoint(self.profile.apis) else None

    def within_ceiling(self, candidate: Candidate, *, spent_nano_usd: int) -> Candidate | None:
        """The candidate as it may be asked after calls that cost so much; None if it may not.

        A request's ceiling is for all its calls together. Where the output limit is ours and not the client's, it is
        lowered as far as the expected answer allows.
        """
        ceiling_usd, estimate = self.decision.terms.max_cost_usd, candidate.estimate
        if ceiling_usd is None or not spent_nano_usd or usd(spent_nano_usd) + estimate.worst_usd <= ceiling_usd:
            return candidate
        if self.profile.max_output_tokens is not None:
            return None
        left_usd = ceiling_usd - usd(spent_nano_usd)
        less = shortened(estimate, choices=self.profile.choices, left_usd=left_usd)
        return None if less is None else replace(candidate, estimate=less)

    def shortened(self, *, left_nano_usd: int) -> tuple[Candidate, ...]:
        """The candidates with output limits that the money left can pay for, if the policy allows that."""
        if not self.policy.may_shorten:
            return ()
        left_usd = usd(left_nano_usd)
        estimates = (
            (each, shortened(each.estimate, choices=self.profile.choices, left_usd=left_usd))
            for each in self.decision.ranked
        )
        return tuple(replace(each, estimate=estimate) for each, estimate in estimates if estimate is not None)


class PromptCaches(Protocol):
    """What is remembered of providers' prompt caches."""

    async def outlook(
        self, profile: RequestProfile, conditions: Conditions, candidates: Iterable[Deployment], /
    ) -> Conditions:
        """The conditions, with what is in the caches now and what will be in the turns to come. Never raises.

        The candidates are gone through once, or not at all where the prompt is too short to be cached.
        """
        ...


class Board(Protocol):
    """Who should not be asked just now (upstream/breaker.py)."""

    def paused(self) -> Mapping[DeploymentId, str]: ...

    def broken(self) -> Mapping[DeploymentId, str]: ...

    def pause_left_s(self, deployments: Iterable[DeploymentId]) -> float | None: ...


class Planner:
    """Plans requests under one configuration."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        catalog: Callable[[], Catalog],
        quality: QualityPredictor,
        counter: TokenCounter,
        now: Callable[[], datetime],
        unavailable: Mapping[DeploymentId, str],
        experience: Experience = NO_EXPERIENCE,
        head: TextHead | None = None,
        caches: PromptCaches | None = None,
        board: Board | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._catalog = catalog  # at the prices in force now
        self.quality = quality
        self._counter = counter
        self._system = SystemCues()
        self._now = now
        self.unavailable = unavailable
        self._caches = caches
        self._board = board
        self._experience = experience
        self._head = head
        self._policies: dict[tuple[TeamName, str, str | None], Policy] = {}  # as many as the configuration has names

    async def plan(
        self, team_name: TeamName, request: ModelRequest, controls: Controls, *, scope: KeyScope = WHOLE_TEAM
    ) -> Plan:
        """The plan for a request, within the scope of its API key. Raises UnknownModel or InvalidRequest if it names
        what its team does not have, OutsideKeyScope if it names what its key may not.

        Raises TeamGone if another configuration, without the team, came into force since its key was checked.
        """
        team = self._snapshot.teams.get(team_name)
        if team is None:
            raise TeamGone(team_name)
        if scope.aliases is not None:
            _require_named(team, scope, scope.aliases, request.model, controls.policy)
        policy = self._policy_for(team, request, controls.policy)
        catalog = self._catalog()
        count = await self._counter.count(request, scope=team_name)
        head = self._head if policy.chooses else None  # 0.1 ms a kilobyte, for nothing
        profile = profile_of(request, count, controls, team=team_name, system=self._system, head=head)
        tightening = tightening_of(controls, request.data_preferences, scope.models)
        broken, paused = (self._board.broken(), self._board.paused()) if self._board is not None else ({}, {})
        conditions = Conditions(
            now=self._now(),
            unavailable={**self.unavailable, **broken, **paused} if broken or paused else self.unavailable,
            seed=conversation_seed(request, profile, controls),
            experience=remembered(self._experience),
        )
        if self._caches is not None:
            candidates = _candidates(policy, profile, tightening, conditions.now, catalog)
            conditions = await self._caches.outlook(profile, conditions, candidates)
        plan = self._decided(team, policy, profile, conditions, tightening, catalog)
        if plan.decision.chosen is None:
            plan = self._at_a_loss(plan, request, broken=broken, paused=paused)
        return plan if controls.policy is None else replace(plan, asked_policy=controls.policy)

    def _policy_for(self, team: Team, request: ModelRequest, chosen: str | None) -> Policy:
        """`policy_for`, remembered: what a named model is held to takes a quarter of a millisecond to gather."""
        model = request.model
        policy = self._policies.get((team.name, model, chosen))
        if policy is None:
            policy = policy_for(team, model, chosen=chosen, api=request.api)
            if "@" in model and model not in team.aliases:
                _require_effort(model, self._catalog())
            self._policies[team.name, model, chosen] = policy
        if request.api is Api.EMBEDDINGS and policy.name in team.policies:
            raise InvalidRequest(
                f"{model[:100]!r} leads to the policy {policy.name!r}, which chooses among models, and vectors of "
                "different models cannot be compared. Name one model, or an alias of the form {model: ...}.",
                param="model",
                code="ambiguous_embedding_model",
            )
        return policy

    def _at_a_loss(
        self,
        plan: Plan,
        request: ModelRequest,
        *,
        broken: Mapping[DeploymentId, str],
        paused: Mapping[DeploymentId, str],
    ) -> Plan:
        """A plan without a choice: another one, if there is nobody but those that are broken; else what is to be said
        of it."""
        if broken:
            # That they fail is our guess, and there is nobody else: better tried than refused.
            conditions = replace(plan.conditions, unavailable={**self.unavailable, **paused})
            plan = self._decided(plan.team, plan.policy, plan.profile, conditions, plan.tightening, plan.catalog)
            if plan.decision.chosen is not None:
                return plan
        if paused:
            plan = replace(plan, busy_s=self._busy_s(plan, paused))
        return plan if request.original is None else replace(plan, untranslatable=request.original.untranslatable)

    def _busy_s(self, plan: Plan, paused: Mapping[DeploymentId, str]) -> float | None:
        """How long until the first who is paused, and refused for nothing else that was seen, may be asked."""
        assert self._board is not None
        refused = [each.deployment for each in plan.decision.rejected if each.reason is Reason.UNAVAILABLE]
        return self._board.pause_left_s(each for each in refused if each in paused)

    def downgraded(self, plan: Plan) -> Plan:
        """The plan for a team whose money is spent: the policy's cheapest models, however good."""
        policy = plan.policy.downgraded()
        cheapest = self._decided(plan.team, policy, plan.profile, plan.conditions, plan.tightening, plan.catalog)
        return replace(cheapest, asked_policy=plan.asked_policy, is_downgraded=True)

    def shadowed(self, plan: Plan, shadow: Shadow) -> Plan:
        """The plan for a copy of the request to a model that is only to be measured."""
        return self._decided(
            dataclasses.replace(plan.team, baseline=None),
            shadowing(plan.policy, plan.decision.terms, shadow),
            replace(plan.profile, tags=(shadow_tag(plan.policy.name),), is_stream=True),
            plan.conditions,
            dataclasses.replace(plan.tightening, min_quality=None, max_latency_ms=None),
            plan.catalog,
        )

    def _decided(
        self,
        team: Team,
        policy: Policy,
        profile: RequestProfile,
        conditions: Conditions,
        tightening: Tightening,
        catalog: Catalog,
    ) -> Plan:
        decision = decide(
            profile,
            policy,
            catalog,
            conditions,
            quality=self.quality,
            tightening=tightening,
        )
        return Plan(team, policy, profile, conditions, decision, catalog, tightening)


def _candidates(
    policy: Policy, profile: RequestProfile, tightening: Tightening, now: datetime, catalog: Catalog
) -> Iterator[Deployment]:
    """Whoever may be chosen. Not even the terms are looked for before the first is asked for."""
    for model in models_of(policy.terms_for(profile, tightening, now).candidates):
        yield from catalog.of(model)


def policy_for(team: Team, model: str, *, chosen: str | None, api: Api = Api.CHAT) -> Policy:
    """The policy behind what the client wrote in `model`. Raises UnknownModel, InvalidRequest.

    An alias of the team counts first; then any model that the team's policies may choose, with `@effort` or without,
    which is thereby pinned.
    `chosen`, from the header `x-penstock-policy`, puts another policy of the same team in place of an alias's; it
    cannot unpin a model.
    """
    policy = team.aliases.get(model) or _pinned_by_client(team, model)
    if policy is None:
        raise UnknownModel(
            f"Team {team.name} has no alias and may use no model {model[:100]!r}. "
            f"Its aliases are: {', '.join(sorted(team.aliases)) or 'none'}.{_how_to_serve(api)}"
        )
    if chosen is None:
        return policy
    replacement = team.policies.get(chosen)
    if replacement is None:
        raise InvalidRequest(
            f"Header x-penstock-policy: team {team.name} has no policy {chosen[:100]!r}. "
            f"It has: {', '.join(sorted(team.policies)) or 'none'}.",
            param="x-penstock-policy",
            code="invalid_control",
        )
    if policy.name not in team.policies:
        raise InvalidRequest(
            f"Header x-penstock-policy: {model[:100]!r} names one model, so there is no policy to replace.",
            param="x-penstock-policy",
            code="invalid_control",
        )
    return replacement


def _require_named(team: Team, scope: KeyScope, aliases: frozenset[str], model: str, chosen: str | None) -> None:
    """Raises OutsideKeyScope unless the key's clients may write that model, and choose that policy: one that an alias
    of theirs leads to."""
    if not scope.may_name(model, is_alias=model in team.aliases):
        raise OutsideKeyScope(
            f"This API key may write in `model` only: {', '.join(sorted(aliases)) or 'nothing'}; got {model[:100]!r}.",
            param="model",
        )
    policies = {team.aliases[alias].name for alias in aliases if alias in team.aliases}
    if chosen is not None and chosen not in policies:
        raise OutsideKeyScope(
            f"Header x-penstock-policy: no alias that this API key may name leads to the policy {chosen[:100]!r}.",
            param="x-penstock-policy",
        )


def _pinned_by_client(team: Team, name: str) -> Policy | None:
    model, at, effort = name.rpartition("@")
    if not at:
        return team.pin(ModelName(name)) if ModelName(name) in team.models() else None
    if ModelName(model) not in team.models():
        return None
    if effort not in _EFFORTS:
        raise UnknownModel(f"{name[:100]!r} names no effort: {', '.join(_EFFORTS)} can stand after the @.")
    return team.pin(ArmName(name))


_EFFORTS = [effort.value for effort in Effort]


def _require_effort(name: str, catalog: Catalog) -> None:
    """Raises UnknownModel if the client asks a model for an effort that it does not know: it would get another one."""
    arm = arm_of(ArmName(name))
    deployments = catalog.of(arm.model)
    if arm.effort is None or not deployments or arm.effort in efforts_of(deployments[0].model):
        return
    told = ", ".join(effort.value for effort in efforts_of(deployments[0].model)) or "none at all"
    raise UnknownModel(f"{arm.model} cannot be asked for the effort {arm.effort.value}. It knows: {told}.")


def _how_to_serve(api: Api) -> str:
    """Few are set up for what is no text to be written: the operator is told how."""
    if api in TEXT_APIS:
        return ""
    return (
        f" To serve /v1/{api.value}, give the team an alias of the form {{model: ...}} for a model of models.yaml "
        f"that has `apis: [{api.value}]`, at a provider that speaks it (docs/clients.md)."
    )
