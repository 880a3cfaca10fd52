"""48 decisions as lines of JSON: the same in every process, or somewhere the order of a set decides.

`python -m tests.decision.corpus` writes them; the laws run it under several hash seeds.
"""

import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from itertools import product

from router.catalog.catalog import Capability, Catalog, Deployment, ModelName, ProviderName, Task
from router.decision.decide import decide
from router.decision.explain import as_data, candidates_told, rejections_told
from router.decision.facts import Conditions, RequestProfile
from router.decision.matching import Match
from router.decision.policy import Objective, Policy, QualityFloor, Rule
from router.quality.predictor import TablePredictor
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace

_NAMES = ("maker/flash", "maker/pro", "other/opus", "other/kimi", "third/glm")


def _catalog() -> Catalog:
    """Pairs of models with equal prices, each at two providers, some capable of everything, some of nothing."""
    return catalog(*(deployment for number, name in enumerate(_NAMES) for deployment in _replicas(number, name)))


def _replicas(number: int, name: str) -> Iterator[Deployment]:
    what = model(
        name,
        quality={Task.CHAT: 0.5 + (number // 2) / 10, Task.CODE: 0.9},
        capabilities=frozenset(Capability) if number % 2 else frozenset({Capability.TOOLS}),
    )
    rates = per_mtok(str(1 + number // 2), "4", cache_write_usd="1.25")
    for provider in ("openrouter", "replica-a", "replica-b"):
        yield at(provider, what, always(rates))


def _policy(objective: Objective, floor: QualityFloor | None) -> Policy:
    return replace(
        policy(*_NAMES),
        objective=objective,
        floor=floor,
        max_cost_usd=Decimal("0.05"),
        banned_models=frozenset({ModelName("third/glm"), ModelName("third/other")}),
        banned_providers=frozenset({ProviderName("replica-b"), ProviderName("nowhere")}),
        rules=(Rule("code", Match(tasks=frozenset({Task.CODE, Task.AGENT})), objective=Objective.BEST),),
    )


def _profiles() -> Iterator[RequestProfile]:
    yield CHAT
    yield replace(CHAT, needs=frozenset({Capability.TOOLS, Capability.JSON_SCHEMA, Capability.REASONING}))
    yield replace(CHAT, task=Task.CODE, needs=frozenset({Capability.TOOLS}))
    yield replace(CHAT, needs=frozenset(Capability), images=2)


def cases() -> Iterator[str]:
    floors = (None, QualityFloor(0.55), QualityFloor(0.9, of="best_candidate"), QualityFloor(0.95))
    among = _catalog()
    for objective, floor, profile in product(Objective, floors, _profiles()):
        when = Conditions(now=NOON.now, unavailable={next(iter(among)).id: "down"}, seed=7)
        decision = decide(profile, _policy(objective, floor), among, when, quality=TablePredictor())
        told = [candidates_told(decision).rows, rejections_told(decision.rejected).rows]
        yield json.dumps({**as_data(decision, profile), "told": told})


if __name__ == "__main__":
    sys.stdout.writelines(f"{case}\n" for case in cases())
