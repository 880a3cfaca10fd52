"""A decision in words, to the letter."""

import json
from dataclasses import fields
from decimal import Decimal

from router.apis import Api
from router.catalog.catalog import Capability, Effort, Task
from router.decision.decide import Decision, decide
from router.decision.eligibility import Candidate
from router.decision.estimate import Estimate
from router.decision.explain import (
    Told,
    as_data,
    candidates_told,
    profile_as_data,
    qualities_told,
    rejections_as_data,
    rejections_told,
    summary,
)
from router.decision.facts import PrefixMark, RequestProfile
from router.decision.matching import Match
from router.decision.policy import Objective, Policy, QualityFloor, Rule, Terms
from router.quality.language import Language
from router.quality.predictor import TablePredictor
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace

FLASH = at("cloud", model("maker/flash", quality={Task.CHAT: 0.70}), always(per_mtok("0.1", "0.2")))
PRO = at("local", model("maker/pro", quality={Task.CODE: 0.80}, token_ratio=1.1), always(per_mtok("1", "4")))
OPUS = at("cloud", model("maker/opus", quality=0.4), always(per_mtok("5", "25")))
FLASH_ONLY = (FLASH.model.name,)
FLOOR = QualityFloor(0.75, of="best_candidate")
RULED = replace(
    policy("maker/flash", "maker/pro", "maker/opus"),
    name="balanced",
    floor=FLOOR,
    default_max_output_tokens=1_000,
    max_cost_usd=Decimal("0.10"),
    rules=(Rule("everyday", Match(tasks=frozenset({Task.CHAT}))),),
)


def decided(rules: Policy = RULED, profile: RequestProfile = CHAT) -> Decision:
    return decide(profile, rules, catalog(FLASH, PRO, OPUS), NOON, quality=TablePredictor())


def test_a_decision_as_data() -> None:
    assert as_data(decided(), CHAT) == {
        "chosen": {"model": "maker/flash", "provider": "cloud"},
        "policy": "balanced",
        "rule": "everyday",
        "objective": "cheapest",
        "quality_floor": {"at_least": 0.75, "of": "best_candidate"},
        "quality_bar": 0.6,
        "max_cost_usd": "0.10",
        "verify": None,
        "min_quality": None,
        "max_latency_ms": None,
        "reasoning_effort": None,
        "max_reasoning_effort": None,
        "usd_per_point": "0.0001",
        "confidence": 0.5,
        "only_models": None,
        "weights": [],
        "only_providers": None,
        "data": {"zdr": False, "deny_collection": False, "regions": None, "only": None, "ignore": []},
        "arm": None,
        "cascade": None,
        "exploration": None,
        "propensity": None,
        "drawn_from": {},
        "notes": [],
        "considered": ["maker/flash", "maker/pro", "maker/opus"],
        "catalog_version": "c1",
        "profile": {
            "alias": "auto",
            "input_tokens": 1_000,
            "input_bytes": 4_000,
            "images": 0,
            "max_output_tokens": None,
            "choices": 1,
            "needs": [],
            "task": "chat",
            "has_unbounded_parts": False,
            "asks_one_hour_cache": False,
            "is_stream": False,
            "tags": [],
            "team": "",
            "effort": None,
            "prefix": [],
            "language": "other",
            "difficulty": 0.5,
            "asks_cache": False,
            "cache_breakpoints": [],
            "apis": ["chat/completions"],
            "prompts": 1,
            "longest_prompt_tokens": 0,
            "id_tokens": 0,
            "echoes_prompt": False,
            "signals": {},
        },
        "candidates": [
            {
                "rank": 1,
                "model": "maker/flash",
                "provider": "cloud",
                "upstream_model": "upstream/maker/flash",
                "candidate": "maker/flash",
                "quality": 0.7,
                "quality_is_known": True,
                "expected_usd": "0.0001700",
                "later_usd": "0",
                "worst_usd": "0.0006000",
                "input_tokens": 1_000,
                "output_tokens": 350,
                "cached_tokens": 0,
                "cache_write_tokens": 0,
                "reasoning_tokens": 0,
                "input_tokens_bound": 4_000,
                "max_output_tokens": 1_000,
                "effort": None,
                "effort_in_force": None,
                "latency_ms": None,
                "forecast": {
                    # 1.2816 deviations of 0.3 in log-odds: odds of 2.3333 over and times e^.3845 = 1.4688.
                    "low": 0.6137,
                    "high": 0.7741,
                    "parts": [
                        {"name": "prior", "log_odds": 0.8473, "words": "prior for chat 0.700 (a test, 2026-11-23)"}
                    ],
                },
            },
            {
                "rank": 2,
                "model": "maker/pro",
                "provider": "local",
                "upstream_model": "upstream/maker/pro",
                "candidate": "maker/pro",
                "quality": 0.8,
                "quality_is_known": False,
                "expected_usd": "0.002500",
                "later_usd": "0",
                "worst_usd": "0.008000",
                "input_tokens": 1_100,
                "output_tokens": 350,
                "cached_tokens": 0,
                "cache_write_tokens": 0,
                "reasoning_tokens": 0,
                "input_tokens_bound": 4_000,
                "max_output_tokens": 1_000,
                "effort": None,
                "effort_in_force": None,
                "latency_ms": None,
                "forecast": {
                    # 1.2816 deviations of 1.2: odds of 4 over and times e^1.5379 = 4.6549.
                    "low": 0.4622,
                    "high": 0.949,
                    "parts": [
                        {
                            "name": "prior",
                            "log_odds": 1.3863,
                            "words": "prior for chat, which has no figure: its lowest, 0.800 for code",
                        }
                    ],
                },
            },
        ],
        "rejections": [
            {
                "deployment": "cloud:maker/opus",
                "model": "maker/opus",
                "effort": None,
                "reason": "below_quality",
                "detail": "predicted quality 0.4000 is below 0.6000",
            }
        ],
    }


def test_a_decision_for_nobody_as_data() -> None:
    free_only = replace(RULED, floor=None, max_cost_usd=Decimal(0), rules=())

    data = as_data(decided(free_only), CHAT)

    assert (data["chosen"], data["rule"], data["quality_floor"], data["candidates"]) == (None, None, None, [])
    assert [each["reason"] for each in data["rejections"]] == ["over_max_cost"] * 3


def test_dollars_are_plain_strings_that_no_reader_rounds() -> None:
    tiny = replace(FLASH, prices=always(per_mtok("0.00000001", "0")))
    decision = decide(CHAT, RULED, catalog(tiny), NOON, quality=TablePredictor())

    (candidate,) = as_data(decision, CHAT)["candidates"]

    assert candidate["expected_usd"] == "0.00000000001000"  # 1,000 x $0.00000001/M
    assert as_data(decided(replace(RULED, max_cost_usd=None)), CHAT)["max_cost_usd"] is None


def test_the_data_survive_json() -> None:
    data = as_data(decided(), CHAT)

    assert json.loads(json.dumps(data)) == data


def test_a_profile_as_data_is_in_a_fixed_order() -> None:
    profile = replace(
        CHAT,
        alias="fast",
        images=2,
        max_output_tokens=100,
        choices=3,
        needs=frozenset({Capability.TOOLS, Capability.IMAGE_INPUT, Capability.JSON_SCHEMA}),
        task=Task.AGENT,
        has_unbounded_parts=True,
        asks_one_hour_cache=True,
        is_stream=True,
        tags=("nightly", "batch"),
        team="search",
        effort=Effort.LOW,
        prefix=(PrefixMark(7, 400), PrefixMark(11, 1_000)),
        language=Language.DE,
        difficulty=0.62,
        cache_breakpoints=(400,),
        apis=(Api.RESPONSES, Api.CHAT),
    )

    assert profile_as_data(profile) == {
        "alias": "fast",
        "input_tokens": 1_000,
        "input_bytes": 4_000,
        "images": 2,
        "max_output_tokens": 100,
        "choices": 3,
        "needs": ["image_input", "json_schema", "tools"],
        "task": "agent",
        "has_unbounded_parts": True,
        "asks_one_hour_cache": True,
        "is_stream": True,
        "tags": ["nightly", "batch"],
        "team": "search",
        "effort": "low",
        "prefix": [[7, 400], [11, 1_000]],
        "language": "de",
        "difficulty": 0.62,
        "asks_cache": False,
        "cache_breakpoints": [400],
        "apis": ["responses", "chat/completions"],
        "prompts": 1,
        "longest_prompt_tokens": 0,
        "id_tokens": 0,
        "echoes_prompt": False,
        "signals": {},
    }


def test_a_profiles_data_name_every_field_of_it() -> None:
    assert list(profile_as_data(CHAT)) == list(RequestProfile.__struct_fields__)


def test_no_rejections_are_an_empty_list() -> None:
    assert rejections_as_data(()) == []


def test_every_field_of_an_estimate_and_of_the_terms_is_in_the_data() -> None:
    data = as_data(decided(), CHAT)

    (first, *_) = data["candidates"]
    assert set(Estimate.__struct_fields__) - set(first) == {"dearest_rates"}
    assert set(Candidate.__struct_fields__) - set(first) == {"deployment", "arm", "estimate"}
    assert {each.name for each in fields(Terms)} - set(data) == {
        "floor",  # which is called quality_floor
        "max_escalations",  # both told under verify
        "buffers_streams",
        "arms",  # the candidates once more
        "has_twins",
        "caution",  # which is called confidence
    }


def test_the_candidates_in_words() -> None:
    assert candidates_told(decided()) == Told(
        ("rank", "model", "provider", "quality", "expected $", "at worst $", "input", "output", "output limit"),
        (
            ("1 ←", "maker/flash", "cloud", "0.700", "0.000170", "0.000600", "1000", "350", "1000"),
            ("2", "maker/pro", "local", "0.800 ?", "0.002500", "0.008000", "1100", "350", "1000"),
        ),
    )


def test_cached_and_reasoning_tokens_are_told_where_there_are_any() -> None:
    thinking = replace(CHAT, needs=frozenset({Capability.REASONING}))
    able = model("maker/thinker", capabilities=frozenset({Capability.REASONING}))
    thinker = at("cloud", able, always(per_mtok("1", "4")))
    warm = replace(NOON, warm_tokens={thinker.id: 512})
    decision = decide(thinking, policy("maker/thinker"), catalog(thinker), warm, quality=TablePredictor())

    told = candidates_told(decision)

    row = dict(zip(told.headings, told.rows[0], strict=True))
    assert (row["cached"], row["reasoning"]) == ("512", "1200")


def test_the_rejected_in_words() -> None:
    assert rejections_told(decided().rejected) == Told(
        ("deployment", "reason", "detail"),
        (("cloud:maker/opus", "below_quality", "predicted quality 0.4000 is below 0.6000"),),
    )


def test_the_terms_and_the_request_in_a_line_each() -> None:
    seeing = replace(CHAT, needs=frozenset({Capability.TOOLS, Capability.IMAGE_INPUT}))

    assert summary(decided(), CHAT) == (
        "policy balanced/everyday · objective cheapest · good enough: 0.6000 · catalog c1",
        "request: 1000 input tokens (o200k), task chat, language other, difficulty 0.50, needs nothing special",
    )
    assert summary(decided(), seeing)[1].endswith("needs image_input, tools")


def test_how_good_each_is_in_words() -> None:
    (first, second) = qualities_told(decided()).rows

    assert first == ("cloud:maker/flash", "0.700", "0.61 to 0.77", "prior for chat 0.700 (a test, 2026-11-23)")
    assert second[2:] == ("0.46 to 0.95", "prior for chat, which has no figure: its lowest, 0.800 for code")


def test_the_terms_of_value_and_confidence_in_words() -> None:
    rules = replace(RULED, objective=Objective.VALUE, usd_per_point=Decimal("0.0020"), confidence=0.9, rules=())

    (first, _) = summary(decided(rules), CHAT)

    assert "objective value at $0.002 a point" in first
    assert "good enough: 0.6000 with confidence 0.9" in first
