"""What a key may not, no part of the gateway lets it: plans, downgrades, shadows, cached answers, budgets."""

from collections.abc import Iterable
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from router.apis import Api
from router.assembly.deciding import make_planner
from router.catalog.catalog import ModelName
from router.config.loader import load
from router.config.snapshot import Caching
from router.decision.eligibility import Reason
from router.decision.facts import NO_EXPERIENCE
from router.decision.policy import Shadow
from router.decision.recorded import read_record
from router.errors import NothingEligible, OutsideKeyScope
from router.gateway.cache import AnswerCache, Remembered
from router.gateway.dispatch import Quotas
from router.gateway.past import DecideAgain, Past, is_same
from router.gateway.planning import Plan, Planner
from router.keys import WHOLE_TEAM, Caller, KeyId, KeyScope, TeamName
from router.limits.gate import Quota
from router.quality.predictor import TablePredictor
from router.quotas import NO_LIMITS, Allowance, Budget, Per, ScopeId, ScopeKind
from router.storage.answer_shelves import MemoryShelf
from router.wire.controls import NO_CONTROLS
from router.wire.requests import ChatReader
from tests.replacing import replace
from tests.storage.entries import entry

pytestmark = pytest.mark.anyio

SNAPSHOT = load(Path(__file__).resolve().parents[2] / "config", environment={"OPENROUTER_API_KEY": "sk-or-test"})
SEARCH = TeamName("search")
TEAM = SNAPSHOT.teams[SEARCH]
FLASH, GPT = ModelName("deepseek/deepseek-v4-flash"), ModelName("openai/gpt-5.4")
BODY = b'{"model": "%s", "messages": [{"role": "user", "content": "What should I call my cat?"}], "temperature": 0}'
ONLY_FLASH = KeyScope(models=frozenset({FLASH}))


@pytest.fixture(scope="module")
def planner() -> Planner:
    return make_planner(SNAPSHOT, NO_EXPERIENCE, lambda: SNAPSHOT.catalog)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def planned(planner: Planner, model: str, scope: KeyScope, team: TeamName = SEARCH) -> Plan:
    return await planner.plan(team, ChatReader().read(BODY % model.encode()), NO_CONTROLS, scope=scope)


def models_of(plan: Plan) -> set[ModelName]:
    return {each.deployment.model.name for each in plan.decision.ranked}


async def test_by_no_name_of_its_team_a_key_reaches_a_model_outside_of_its_scope(planner: Planner) -> None:
    reached = set[ModelName]()
    for team in SNAPSHOT.teams.values():
        for name in (*team.aliases, *team.models()):
            plan = await planned(planner, name, ONLY_FLASH, team.name)
            reached |= models_of(plan) | models_of(planner.downgraded(plan))

    assert reached == {FLASH}


async def test_a_model_that_only_the_key_rules_out_is_403_with_every_rejection(planner: Planner) -> None:
    plan = await planned(planner, GPT, ONLY_FLASH)

    with pytest.raises(OutsideKeyScope, match=f"the API key may be answered only by {FLASH}") as refusal:
        plan.require_choice()

    assert refusal.value.status == 403
    assert {each["reason"] for each in refusal.value.rejections} == {"key_scope"}


async def test_where_more_than_the_key_is_in_the_way_nothing_is_eligible(planner: Planner) -> None:
    plan = await planned(planner, "auto", KeyScope(models=frozenset({ModelName("no/such")})))
    mixed = replace(
        plan,
        decision=replace(
            plan.decision,
            rejected=(*plan.decision.rejected[1:], replace(plan.decision.rejected[0], reason=Reason.NOT_CAPABLE)),
        ),
    )

    with pytest.raises(NothingEligible):
        mixed.require_choice()


async def test_a_shadow_is_held_to_the_scope_of_the_key_whose_request_it_copies(planner: Planner) -> None:
    plan = await planned(planner, "auto", ONLY_FLASH)
    budget = Budget(10**9, Per.DAY)

    outside = planner.shadowed(plan, Shadow(model=GPT, share=1.0, budget=budget))
    within = planner.shadowed(plan, Shadow(model=FLASH, share=1.0, budget=budget))

    assert {each.reason for each in outside.decision.rejected} == {Reason.KEY_SCOPE}
    assert (models_of(outside), models_of(within)) == (set(), {FLASH})


async def test_a_key_with_aliases_may_write_these_alone(planner: Planner) -> None:
    scope = KeyScope(aliases=frozenset({"auto"}))

    assert models_of(await planned(planner, "auto", scope)) == models_of(await planned(planner, "auto", WHOLE_TEAM))
    for name in (FLASH, "fast", "nonsense"):
        with pytest.raises(OutsideKeyScope, match="may write in `model` only: auto"):
            await planned(planner, name, scope)


async def test_an_alias_with_an_at_sign_is_not_the_one_before_it_with_an_effort() -> None:
    aliases = {**TEAM.aliases, "fast@high": TEAM.pin(GPT), f"{FLASH}@high": TEAM.pin(GPT)}
    snapshot = replace(SNAPSHOT, teams={**SNAPSHOT.teams, SEARCH: replace(TEAM, aliases=aliases)})
    planner = make_planner(snapshot, NO_EXPERIENCE, lambda: snapshot.catalog)
    scope = KeyScope(aliases=frozenset({"fast", FLASH}))

    for name in ("fast@high", f"{FLASH}@high"):
        with pytest.raises(OutsideKeyScope, match="may write in `model` only"):
            await planned(planner, name, scope)


async def test_a_key_with_aliases_may_choose_the_policies_that_these_lead_to(planner: Planner) -> None:
    request = ChatReader().read(BODY % b"auto")
    controls = replace(NO_CONTROLS, policy=TEAM.aliases["auto"].name)

    plan = await planner.plan(SEARCH, request, controls, scope=KeyScope(aliases=frozenset({"auto"})))

    assert plan.policy.name == controls.policy
    pinned = ChatReader().read(BODY % b"opus")
    with pytest.raises(OutsideKeyScope, match="no alias that this API key may name leads to the policy"):
        await planner.plan(SEARCH, pinned, controls, scope=KeyScope(aliases=frozenset({"opus"})))


async def test_a_request_of_a_key_with_a_scope_is_decided_again_within_it(planner: Planner) -> None:
    plan = await planned(planner, "auto", ONLY_FLASH)
    record = read_record(msgspec.json.encode(plan.record()))
    assert record is not None
    kept = replace(
        entry("req_past", at=plan.conditions.now),
        alias="auto",
        policy=plan.decision.policy,
        rule=plan.decision.terms.rule,
        rejected=tuple((each.model, each.reason.value) for each in plan.decision.rejected),
    )
    past = Past(kept, plan.profile, record)

    again = DecideAgain(SNAPSHOT, catalog=lambda: SNAPSHOT.catalog, quality=TablePredictor()).plan(
        past, plan.conditions
    )

    assert models_of(again) == models_of(plan) <= {FLASH}
    assert is_same(past, again)


# Cached answers


async def found(cache: AnswerCache, scope: KeyScope) -> Remembered | None:
    recall = cache.recall(replace(TEAM, cache=Caching(60.0, is_always=False)), READ, NO_CONTROLS, scope)
    assert recall is not None
    return await recall.look()


READ = ChatReader().read(BODY % b"auto")


async def test_an_answer_that_was_cached_is_given_to_no_key_of_other_models() -> None:
    cache = AnswerCache(MemoryShelf(monotonic_s=lambda: 0.0), config_version="c", now=lambda: entry("req").at)
    recall = cache.recall(replace(TEAM, cache=Caching(60.0, is_always=False)), READ, NO_CONTROLS, WHOLE_TEAM)
    assert recall is not None
    kept = (GPT, SNAPSHOT.catalog.of(GPT)[0].provider.name)
    await recall.keep(b"{}", finish_reason="stop", request_id="req", served_by=kept, baseline=(GPT, 1))

    assert (await found(cache, WHOLE_TEAM)) is not None
    assert (await found(cache, KeyScope(apis=frozenset({Api.CHAT})))) is not None
    assert (await found(cache, ONLY_FLASH)) is None
    assert (await found(cache, KeyScope(models=frozenset({FLASH, GPT})))) is None


# Budgets

DAILY, MONTHLY = Budget(5, Per.DAY), Budget(50, Per.MONTH)
KEY = KeyId("00c0ffee00c0ffee")


class OneKey:
    """One key has a budget of its own."""

    def budgets_of(self, key_id: str) -> tuple[Budget, ...]:
        return (DAILY,) if key_id == KEY else ()

    def budgeted(self) -> Iterable[tuple[TeamName, KeyId]]:
        return [(SEARCH, KEY)]


def budgets_by_key(quota: Quota) -> dict[str, tuple[Budget, ...]]:
    return {scope.id.name: scope.budgets for scope in quota.scopes if scope.id.kind is ScopeKind.KEY}


@pytest.mark.parametrize("of_each", [(), (MONTHLY,)])
def test_a_keys_own_budgets_stand_beside_those_of_each_key(of_each: tuple[Budget, ...]) -> None:
    team = replace(TEAM, each_key=Allowance(of_each, NO_LIMITS), projects={})
    quotas = Quotas(replace(SNAPSHOT, teams={SEARCH: team}), OneKey())

    mine, others = quotas.of(Caller(SEARCH, KEY), ()), quotas.of(Caller(SEARCH, KeyId("other")), ())

    assert budgets_by_key(mine) == {KEY: (*of_each, DAILY)}
    assert budgets_by_key(others) == ({"other": of_each} if of_each else {})
    [known] = quotas.all()
    assert budgets_by_key(known) == {"": of_each, KEY: (*of_each, DAILY)}
    assert mine.scopes[0].id == ScopeId.of_team(SEARCH)
    assert mine.zone == ZoneInfo(team.zone.key)
