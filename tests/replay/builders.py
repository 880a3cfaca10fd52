"""A small house to replay in: three models at one provider, one team, and entries that it would have booked."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from router.catalog.catalog import Catalog, Deployment, ModelName
from router.config.loader import load
from router.config.snapshot import Snapshot
from router.decision.decide import decide
from router.decision.explain import profile_as_data
from router.decision.facts import Conditions, NoExperience, RequestProfile
from router.decision.policy import Objective, Policy
from router.decision.recorded import record_of
from router.keys import TeamName
from router.ledger import LedgerEntry
from router.quality.predictor import TablePredictor
from router.replay.habits import Habits, Observations
from router.replay.judge import Judge
from router.replay.learned import PromptMemory
from router.units import CostSource, Usage
from tests.decision.builders import CHAT, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace
from tests.storage.entries import attempt, entry

_SHIPPED = load(Path(__file__).resolve().parents[2] / "config", environment={})

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CHEAP = at("openrouter", model("maker/cheap", quality=0.6), always(per_mtok("1", "2", cached_input_usd="0.1")))
DEAR = at("openrouter", model("maker/dear", quality=0.9), always(per_mtok("10", "20", cached_input_usd="1")))
OTHER = at("openrouter", model("other/model", quality=0.8, token_ratio=1.5), always(per_mtok("2", "4")))
CATALOG = catalog(CHEAP, DEAR, OTHER)
BEST = replace(policy("maker/cheap", "maker/dear"), name="best", objective=Objective.BEST)
CHEAPEST = replace(BEST, name="cheapest", objective=Objective.CHEAPEST)
PROFILE = replace(CHAT, team="search")
USAGE = Usage(input_tokens=1_000, output_tokens=100, cached_tokens=200)


class NothingLearned(NoExperience):
    def observe(self, _: LedgerEntry) -> None:
        pass


class NoMemory:
    def foreseen(self, _: RequestProfile, conditions: Conditions, __: Sequence[Deployment]) -> Conditions:
        return conditions

    def observe(self, _: LedgerEntry) -> None:
        pass


def house(rules: Policy, *, among: Catalog = CATALOG, team: str = "search", **policies: Policy) -> Snapshot:
    """A configuration whose team has the alias `auto` for these rules."""
    name = TeamName(team)
    one = replace(
        _SHIPPED.teams[TeamName("search")], name=name, aliases={"auto": rules}, policies={rules.name: rules, **policies}
    )
    return replace(_SHIPPED, catalog=among, teams={name: one}, version="v1")


def booked(
    rules: Policy = BEST,
    profile: RequestProfile = PROFILE,
    *,
    conditions: Conditions = Conditions(NOW),  # noqa: B008 - frozen
    usage: Usage | None = USAGE,
    cost_nano_usd: int = 10_200_000,
    source: CostSource = CostSource.REPORTED,
    served: ModelName | None = None,
) -> LedgerEntry:
    """What is booked of a request under these rules; `served` by the preferred model unless another is named."""
    decision = decide(profile, rules, CATALOG, conditions, quality=TablePredictor())
    assert decision.chosen is not None
    call = attempt(
        model=served or decision.chosen.deployment.model.name, usage=usage, cost_nano_usd=cost_nano_usd, source=source
    )
    return replace(
        entry("req_1", call, at=conditions.now),
        alias=profile.alias,
        policy=decision.policy,
        rule=decision.terms.rule,
        rejected=tuple((each.model, each.reason.value) for each in decision.rejected),
        profile_json=msgspec.json.encode(profile_as_data(profile)),
        conditions_json=msgspec.json.encode(record_of(decision, conditions)),
    )


def judge_of(
    snapshot: Snapshot,
    observations: Observations | None = None,
    *,
    memory_then: PromptMemory | None = None,
    memory_now: PromptMemory | None = None,
) -> Judge:
    return Judge(
        snapshot,
        quality=TablePredictor(),
        habits=Habits(observations or Observations()),
        learner=NothingLearned(),
        memory_then=memory_then or NoMemory(),
        memory_now=memory_now or NoMemory(),
    )
