"""What one call of `decide` costs: microseconds of CPU for few candidates and for many, beside the targets.

    python -m tests.benchmarks.decide              about three seconds
    python -m tests.benchmarks.decide --profile    also where the time goes, function by function

The request asks for tools and sets no limit, the policy has rules, a ceiling and a relative floor, and every model has
a long-context tier and an hour-of-day price: the dearest path that an ordinary request takes. The figure is the best of
many short rounds, because whatever else runs on the machine can only add to it. Then the same decision with an
experience that knows every candidate from fifty answers; and where the answer is put to a check, so that cascades are
compared with what is chosen.
"""

import argparse
import cProfile
import pstats
from collections.abc import Callable
from datetime import time
from decimal import Decimal
from time import process_time

from router.catalog.catalog import Capability, Catalog, Deployment, Task
from router.catalog.prices import Price, PriceEntry, PriceList, Tier
from router.decision.decide import Decision, decide
from router.decision.matching import Match
from router.decision.policy import Policy, QualityFloor, Rule
from router.learning.experience import LearnedExperience
from router.quality.predictor import TablePredictor
from router.quality.verify import Check, CheckKind
from tests.decision.builders import CHAT, NOON, at, catalog, model, per_mtok, policy
from tests.learning.families import answered
from tests.replacing import replace

TARGETS_US = {4: 40, 40: 200}  # by number of candidates
ROUNDS = 40
CALLS_PER_ROUND = 100
_FEW = 4

REQUEST = replace(CHAT, input_tokens=2_500, input_bytes=11_000, needs=frozenset({Capability.TOOLS}), task=Task.CODE)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.decide", description="Measures decide().")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    profile = parser.parse_args().profile
    print("candidates  CPU us  target us  eligible  experienced us  checked us")
    for candidates, target_us in TARGETS_US.items():
        call = _case(candidates)
        print(
            f"{candidates:>10}  {_best_us(call):>6.1f}  {target_us:>9}  {len(call().ranked):>8}  "
            f"{_best_us(_case(candidates, is_experienced=True)):>14.1f}  "
            f"{_best_us(_case(candidates, is_checked=True)):>10.1f}"
        )
        if profile:
            _profile(call)


def _case(candidates: int, *, is_experienced: bool = False, is_checked: bool = False) -> Callable[[], Decision]:
    among, rules = _catalog(candidates), _policy(candidates)
    if is_checked:  # so that half of four candidates are below the bar too
        best = max(each.model.quality[REQUEST.task].value for each in among)
        floor = QualityFloor(best - 0.015) if candidates <= _FEW else rules.floor
        rules = replace(rules, floor=floor, verify=(Check(CheckKind.TOOL_ARGUMENTS),))
    quality = TablePredictor()
    when = replace(NOON, experience=_experience(among)) if is_experienced else NOON
    return lambda: decide(REQUEST, rules, among, when, quality=quality)


def _experience(among: Catalog) -> LearnedExperience:
    experience = LearnedExperience({})
    for each in among:
        for _ in range(50):
            experience.observe(answered(REQUEST, each.model.name, input_tokens=2_600))
    return experience


def _catalog(candidates: int) -> Catalog:
    return catalog(*(_deployment(number) for number in range(candidates)))


def _deployment(number: int) -> Deployment:
    """Each dearer and better than the one before."""
    usual = per_mtok(str(number + 1), str(4 * number + 4), cached_input_usd="0.1", cache_write_usd=str(number + 2))
    long = per_mtok(str(2 * number + 2), str(6 * number + 6), cached_input_usd="0.2", cache_write_usd=str(number + 4))
    peak = per_mtok(str(3 * number + 3), str(9 * number + 9))
    prices = PriceList(
        (
            PriceEntry(Price(usual, tiers=(Tier(200_000, long),)), source="a benchmark"),
            PriceEntry(Price(peak), source="a benchmark", daily=(time(1), time(4))),
        )
    )
    what = model(
        f"maker/model-{number}",
        quality=0.55 + number / 100,
        capabilities=frozenset(Capability),
        token_ratio=1.05,
        context_tokens=1_000_000,
        max_output_tokens=64_000,
    )
    return at("openrouter", what, prices)


def _policy(candidates: int) -> Policy:
    return replace(
        policy(*(f"maker/model-{number}" for number in range(candidates))),
        floor=QualityFloor(0.8, of="best_candidate"),
        max_cost_usd=Decimal(5),
        default_max_output_tokens=32_768,
        rules=(
            Rule("long input", Match(input_tokens_over=200_000)),
            Rule("code", Match(tasks=frozenset({Task.CODE}))),
        ),
    )


def _best_us(call: Callable[[], Decision]) -> float:
    return min(_round_us(call) for _ in range(ROUNDS))


def _round_us(call: Callable[[], Decision]) -> float:
    begun_s = process_time()
    for _ in range(CALLS_PER_ROUND):
        call()
    return (process_time() - begun_s) / CALLS_PER_ROUND * 1e6


def _profile(call: Callable[[], Decision]) -> None:
    with cProfile.Profile() as profiler:
        for _ in range(CALLS_PER_ROUND):
            call()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
