"""Policies in full: the page's own example, each new key at its place, and every slip in it."""

import re
from datetime import time
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from router.catalog.catalog import ArmName, Capability, DataHandling, Effort, ModelName, ProviderName, Task
from router.config.loader import load
from router.decision.data_rules import DataRules
from router.decision.facts import NO_TIGHTENING
from router.decision.matching import Match, Modality, Schedule, Weekday
from router.decision.policy import NO_GUARD, Guard, Policy, Rule, Shadow, pinned
from router.keys import TeamName
from router.quality.code import CodeLanguage
from router.quality.language import Language
from router.quality.verify import Check, CheckKind
from router.quotas import Budget, Per
from tests.config.conftest import MAIN, MODELS, TEAM, Write, loaded, problems_of
from tests.decision.builders import CHAT, NOON
from tests.replacing import replace

ROOT = Path(__file__).parents[2]
BERLIN = ZoneInfo("Europe/Berlin")
FLASH = ModelName("deepseek/deepseek-v4-flash")
LOCAL, OPENROUTER = ProviderName("local"), ProviderName("openrouter")

RICH = """\
team: search
time_zone: Europe/Berlin
banned_providers: [local]
data: {collection: deny}
aliases:
  auto: {policy: full}
  flash: {model: deepseek/deepseek-v4-flash}
policies:
  full:
    candidates: [deepseek/deepseek-v4-flash]
    max_latency_ms: 2000
    reasoning_effort: low
    max_reasoning_effort: high
    weights: {deepseek/deepseek-v4-flash: 0.25}
    shadow: {model: deepseek/deepseek-v4-flash, share: 0.05, budget_usd: 2.5, per: week}
    only_providers: [openrouter, local]
    verify: [non_empty, {code: [python, sql]}, {regex: a}, not_truncated]
    data: {zdr: true, regions: [eu], only: [deepinfra/fp8, azure], ignore: [novita]}
    rules:
      - name: all of it
        when:
          language: [de, fr]
          modalities: image
          needs: vision
          difficulty: {over: 0.2, under: 0.9}
          hour: ["08:00-12:00", "18:00-24:00"]
          weekdays: [saturday, sunday]
        max_latency_ms: 500
        reasoning_effort: high
        max_reasoning_effort: max
        weights: {deepseek/deepseek-v4-flash: 1}
        only_providers: [openrouter]
        verify: {code: json}
        data: {only: [azure]}
"""
IN_EUROPE = MAIN.replace("/v1/\n", "/v1/\n    zdr: true\n    data_collection: deny\n    region: eu\n")


def test_every_key_of_a_policy_arrives(write: Write) -> None:
    team = loaded(write(main=IN_EUROPE, team=RICH)).teams[TeamName("search")]
    guard = Guard(banned_providers=frozenset({LOCAL}), data=DataRules(deny_collection=True))
    written = Policy(
        name="full",
        candidates=(FLASH,),
        max_latency_ms=2000,
        reasoning_effort=Effort.LOW,
        max_reasoning_effort=Effort.HIGH,
        weights=((FLASH, 0.25),),
        shadow=Shadow(FLASH, 0.05, Budget(2_500_000_000, Per.WEEK)),
        only_providers=frozenset({OPENROUTER, LOCAL}),
        verify=(
            Check(CheckKind.NON_EMPTY),
            Check(CheckKind.CODE, languages=(CodeLanguage.PYTHON, CodeLanguage.SQL)),
            Check(CheckKind.REGEX, pattern="a"),
            Check(CheckKind.NOT_TRUNCATED),
        ),
        data=DataRules(
            zdr=True,
            regions=frozenset({"eu"}),
            only=frozenset({"deepinfra/fp8", "azure"}),
            ignore=frozenset({"novita"}),
        ),
        rules=(
            Rule(
                name="all of it",
                when=Match(
                    languages=frozenset({Language.DE, Language.FR}),
                    modalities=frozenset({Modality.IMAGE}),
                    needs=frozenset({Capability.IMAGE_INPUT}),
                    difficulty_over=0.2,
                    difficulty_under=0.9,
                    schedule=Schedule(
                        BERLIN,
                        ((time(8), time(12)), (time(18), time(0))),
                        frozenset({Weekday.SATURDAY, Weekday.SUNDAY}),
                    ),
                ),
                max_latency_ms=500,
                reasoning_effort=Effort.HIGH,
                max_reasoning_effort=Effort.MAX,
                weights=((FLASH, 1.0),),
                only_providers=frozenset({OPENROUTER}),
                verify=(Check(CheckKind.CODE, languages=(CodeLanguage.JSON,)),),
                data=DataRules(only=frozenset({"azure"})),
            ),
        ),
    )

    assert team.guard == guard
    assert team.policies["full"] == written.within(guard)
    assert team.aliases["flash"] == pinned(FLASH).within(guard)


def test_a_model_that_a_client_names_itself_is_held_to_the_policies_it_is_from(write: Write) -> None:
    team = loaded(write(main=IN_EUROPE, team=RICH)).teams[TeamName("search")]

    pin, full = team.pin(FLASH), team.policies["full"]
    assert pin.candidates == (FLASH,)
    assert (pin.banned_models, pin.banned_providers) == (full.banned_models, full.banned_providers)
    assert pin.only_providers == frozenset({OPENROUTER})  # of its rule too
    assert (pin.max_cost_usd, pin.max_latency_ms) == (full.max_cost_usd, full.rules[0].max_latency_ms)


def test_a_team_without_demands_has_no_guard(write: Write) -> None:
    assert loaded(write()).teams[TeamName("search")].guard == NO_GUARD


def test_how_a_provider_handles_data_holds_for_its_deployments_unless_they_differ(write: Write) -> None:
    differing = MODELS.replace("upstream_model: flash-q4", "upstream_model: flash-q4\n        zdr: false")

    [_, usual] = loaded(write(main=IN_EUROPE)).catalog.of(FLASH)
    [_, other] = loaded(write(main=IN_EUROPE, models=differing)).catalog.of(FLASH)

    assert usual.data == DataHandling(keeps_nothing=True, may_collect=False, region="eu")
    assert other.data == replace(usual.data, keeps_nothing=False)


def test_the_catalog_is_another_where_a_provider_handles_data_otherwise(write: Write) -> None:
    assert loaded(write(main=IN_EUROPE)).catalog.version != loaded(write()).catalog.version


def test_a_model_tells_the_efforts_it_knows(write: Write) -> None:
    known = MODELS.replace("    quality:", "    reasoning: {efforts: [none, high], default: high}\n    quality:")

    [model, _] = loaded(write(models=known)).catalog.of(FLASH)

    assert model.model.efforts == {Effort.NONE, Effort.HIGH}
    assert model.model.default_effort is Effort.HIGH


def test_the_example_of_the_page_loads_beside_the_shipped_files(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "teams").mkdir()
    for name in ("penstock.yaml", "models.yaml"):
        (tmp_path / name).write_bytes((ROOT / "config" / name).read_bytes())
    (tmp_path / "teams" / "search.yaml").write_text(example, encoding="utf-8")

    team = load(tmp_path, environment={}).teams[TeamName("search")]

    assert [rule.name for rule in team.policies["balanced"].rules] == [
        "night",
        "german contracts",
        "pictures at the weekend",
        "hard code",
        "half and half",
    ]


def test_the_commented_out_terms_of_the_shipped_team_work_once_uncommented(tmp_path: Path) -> None:
    (tmp_path / "teams").mkdir()
    for name in ("penstock.yaml", "models.yaml"):
        (tmp_path / name).write_bytes((ROOT / "config" / name).read_bytes())
    shipped = (ROOT / "config" / "teams" / "search.yaml").read_text(encoding="utf-8")
    uncommented = re.sub(r"# (weights|shadow): ", r"\1: ", shipped)
    (tmp_path / "teams" / "search.yaml").write_text(uncommented, encoding="utf-8")

    balanced = load(tmp_path, environment={}).teams[TeamName("search")].policies["balanced"]

    assert balanced.weights
    assert balanced.shadow is not None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("task: code", "language: deutsch", "13:26: expected en, de, fr,"),
        (
            "task: code",
            "modalities: [images]",
            "13:29: expected text, image, audio, file or video, got the text 'images'; did you mean 'image'?",
        ),
        ("task: code", "difficulty: {}", "13:28: expected over, under or both"),
        ("task: code", "difficulty: {over: 1.5}", "13:35: expected a number of at most 1, got 1.5"),
        (
            "task: code",
            "difficulty: {over: 0.5, under: 0.5}",
            "13:47: no difficulty is over 0.5 and under 0.5, so the rule could never apply",
        ),
        (
            "task: code",
            'hour: "8-18"',
            "13:22: expected hours such as 08:00-18:00, or 22:00-06:00 for a night, got '8-18'",
        ),
        (
            "task: code",
            'hour: ["00:00-24:00"]',
            "13:23: expected a part of the day, got the whole of it, '00:00-24:00'",
        ),
        ("task: code", "weekdays: [sun]", "13:27: expected monday, tuesday,"),
        ("objective: best", "max_latency_ms: 0", "14:25: expected a number of at least 1, got 0"),
        (
            "objective: best",
            "reasoning_effort: hard",
            "14:27: expected none, minimal, low, medium, high, xhigh or max, got the text 'hard'",
        ),
        ("objective: best", "weights: {openai/gpt-5.5: 0.1}", "14:35: expected a candidate, got 'openai/gpt-5.5'"),
        (
            "    rules:",
            "    weights: {deepseek/deepseek-v4-flash: 1.5}\n    rules:",
            "11:43: expected a number of at most 1, got 1.5",
        ),
        ("    rules:", "    weights: {}\n    rules:", "11:14: expected at least one entry, got none"),
        (
            "    rules:",
            "    shadow: {model: openai/gpt-9, share: 0.1, budget_usd: 1}\n    rules:",
            "11:21: unknown model 'openai/gpt-9'",
        ),
        (
            "    rules:",
            "    shadow: {model: deepseek/deepseek-v4-flash, share: 0.1}\n    rules:",
            "11:5: the key 'budget_usd' is missing",
        ),
        ("    rules:", "    only_providers: [cloud]\n    rules:", "11:22: unknown provider 'cloud'"),
        ("    rules:", "    only_providers: []\n    rules:", "11:21: expected at least one entry, got none"),
        ("    rules:", "    data: {regions: [eu]}\n    rules:", "11:22: unknown region 'eu'; known are none"),
        (
            "    rules:",
            "    data: {collection: never}\n    rules:",
            "11:24: expected allow or deny, got the text 'never'",
        ),
        ("    rules:", "    data: {only: [Azure]}\n    rules:", "11:19: expected a provider such as deepinfra"),
        (
            "    rules:",
            "    data: {where: eu}\n    rules:",
            "11:12: unknown key 'where'; allowed are zdr, collection, regions, only, ignore",
        ),
        ("aliases:", "banned_models: [gpt]\naliases:", "5:17: unknown model 'gpt'"),
        ("aliases:", "data: {regions: [eu]}\naliases:", "5:18: unknown region 'eu'"),
    ],
)
def test_a_slip_in_a_policy(write: Write, before: str, after: str, expected: str) -> None:
    problems = problems_of(write(team=TEAM.replace(before, after, 1)))

    assert any(problem.startswith(f"config/teams/search.yaml:{expected}") for problem in problems), problems


def test_shares_above_one_are_a_slip_at_their_own_place(write: Write) -> None:
    second = MODELS + MODELS.replace("models:\n", "").replace("v4-flash:", "v4-pro:")
    both = TEAM.replace("[deepseek/deepseek-v4-flash]", "[deepseek/deepseek-v4-flash, deepseek/deepseek-v4-pro]")
    shares = "weights: {deepseek/deepseek-v4-flash: 0.7, deepseek/deepseek-v4-pro: 0.4}"

    [in_policy] = problems_of(write(models=second, team=both.replace("    rules:", f"    {shares}\n    rules:")))
    [in_rule] = problems_of(write(models=second, team=both.replace("objective: best", shares)))

    assert in_policy == "config/teams/search.yaml:11:14: expected shares of at most 1 together, got 1.1"
    assert in_rule == "config/teams/search.yaml:14:18: expected shares of at most 1 together, got 1.1"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("    zdr: true\n", "9:10: OpenRouter is asked for this with each request that wants it; leave it out here"),
        ("    data_collection: deny\n", "9:22: OpenRouter is asked for this"),
        ("    region: EU\n", "9:13: expected a region of a-z, 0-9 and - such as eu, got 'EU'"),
    ],
)
def test_a_slip_in_what_a_provider_promises(write: Write, line: str, expected: str) -> None:
    main = MAIN.replace("OPENROUTER_API_KEY\n", f"OPENROUTER_API_KEY\n{line}")

    [problem] = problems_of(write(main=main))

    assert problem.startswith(f"config/penstock.yaml:{expected}")


THINKER = MODELS.replace(
    "    quality:\n",
    "    capabilities: [reasoning]\n    reasoning: {efforts: [none, high], default: high}\n    quality:\n",
)
EFFORTS = """\
team: search
aliases:
  auto: {policy: balanced}
  deep: {model: deepseek/deepseek-v4-flash@high}
policies:
  balanced:
    candidates: [deepseek/deepseek-v4-flash@none, deepseek/deepseek-v4-flash@high]
    weights: {deepseek/deepseek-v4-flash@none: 0.5}
    shadow: {model: deepseek/deepseek-v4-flash@none, share: 0.05, budget_usd: 2.5}
    rules:
      - {name: code, when: {task: code}, candidates: [deepseek/deepseek-v4-flash@high]}
quality:
  deepseek/deepseek-v4-flash@none:
    code: {score: 0.7, source: our own, checked: 2026-11-23}
  deepseek/deepseek-v4-flash:
    chat: {none: {score: 0.8, source: our own, checked: 2026-11-23}}
"""
VALUED = EFFORTS.replace("    shadow:", "    confidence: 0.8\n    usd_per_point: 0.002\n    shadow:").replace(
    "when: {task: code}", "when: {task: code}, confidence: 0.95, usd_per_point: 0.01"
)
NONE_OF_FLASH, HIGH_OF_FLASH = ArmName(f"{FLASH}@none"), ArmName(f"{FLASH}@high")


def test_a_model_may_stand_among_the_candidates_at_several_efforts(write: Write) -> None:
    team = loaded(write(models=THINKER, team=EFFORTS)).teams[TeamName("search")]
    policy = team.policies["balanced"]

    assert policy.candidates == (NONE_OF_FLASH, HIGH_OF_FLASH)
    assert policy.weights == ((NONE_OF_FLASH, 0.5),)
    assert policy.shadow is not None
    assert policy.shadow.model == NONE_OF_FLASH
    assert policy.rules[0].candidates == (HIGH_OF_FLASH,)
    assert team.aliases["deep"] == pinned(HIGH_OF_FLASH)
    assert team.models() == {FLASH}


def test_confidence_and_what_a_point_is_worth_are_terms_that_a_rule_may_replace(write: Write) -> None:
    policy = loaded(write(models=THINKER, team=VALUED)).teams[TeamName("search")].policies["balanced"]

    assert (policy.confidence, policy.usd_per_point) == (0.8, Decimal("0.002"))
    code = policy.terms_for(replace(CHAT, task=Task.CODE), NO_TIGHTENING, NOON.now)
    assert (code.confidence, code.usd_per_point) == (0.95, Decimal("0.01"))
    usual = loaded(write(models=THINKER, team=EFFORTS)).teams[TeamName("search")].policies["balanced"]
    assert (usual.confidence, usual.usd_per_point) == (0.5, Decimal("0.0001"))


def test_a_team_may_have_figures_of_its_own(write: Write) -> None:
    team = loaded(write(models=THINKER, team=EFFORTS)).teams[TeamName("search")]

    own = {name: {task: score.value for task, score in scores.items()} for name, scores in team.quality.items()}
    assert own == {NONE_OF_FLASH: {Task.CODE: 0.7, Task.CHAT: 0.8}, FLASH: {}}
    assert all(score.is_own for scores in team.quality.values() for score in scores.values())


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "flash@none, deepseek/deepseek-v4-flash@high]",
            "flash@none, deepseek/deepseek-v4-flash@low]",
            "7:51: unknown effort 'low' of deepseek/deepseek-v4-flash; it knows none, high",
        ),
        (
            "deep: {model: deepseek/deepseek-v4-flash@high}",
            "deep: {model: deepseek/deepseek-v4-flash@hihg}",
            "4:17: unknown effort 'hihg' of deepseek/deepseek-v4-flash; it knows none, high",
        ),
        (
            "shadow: {model: deepseek/deepseek-v4-flash@none",
            "shadow: {model: deepseek/deepseek-v4-flash@xhigh",
            "9:21: unknown effort 'xhigh' of deepseek/deepseek-v4-flash; it knows none, high",
        ),
        (
            "candidates: [deepseek/deepseek-v4-flash@high]",
            "candidates: [deepseek/deepseek-v4-flash@]",
            "11:55: unknown effort '' of deepseek/deepseek-v4-flash; it knows none, high",
        ),
        (
            "candidates: [deepseek/deepseek-v4-flash@high]",
            "candidates: [deepseek/deepseek-v4-falsh@high]",
            "11:55: unknown model 'deepseek/deepseek-v4-falsh'; did you mean 'deepseek/deepseek-v4-flash'?",
        ),
        (
            "weights: {deepseek/deepseek-v4-flash@none: 0.5}",
            "weights: {deepseek/deepseek-v4-flash: 0.5}",
            "8:43: expected a candidate, got 'deepseek/deepseek-v4-flash'; did you mean 'deepseek/deepseek-v4-flash@",
        ),
        (
            "    shadow:",
            "    confidence: 0.4\n    shadow:",
            "9:17: expected a number of at least 0.5, got 0.4",
        ),
        (
            "    shadow:",
            "    confidence: 1\n    shadow:",
            "9:17: expected a number of at most 0.99, got 1",
        ),
        (
            "    shadow:",
            "    usd_per_point: 0\n    shadow:",
            "9:20: expected a number of more than 0, got 0",
        ),
        (
            "    shadow:",
            "    usd_per_point: dear\n    shadow:",
            "9:20: expected a number, got the text 'dear'",
        ),
        (
            "  deepseek/deepseek-v4-flash@none:\n",
            "  deepseek/deepseek-v4-flash@medium:\n",
            "13:3: unknown effort 'medium' of deepseek/deepseek-v4-flash; it knows none, high",
        ),
        (
            "  deepseek/deepseek-v4-flash:\n",
            "  deepseek/deepseek-v4-flash@high:\n",
            "16:11: expected one figure, got figures by effort, as 'deepseek/deepseek-v4-flash@high' names one already",
        ),
        (
            "code: {score",
            "chat: {score",
            "14:11: expected one figure for 'deepseek/deepseek-v4-flash@none', got another under "
            "'deepseek/deepseek-v4-flash'",
        ),
        ("code: {score", "cod: {score", "14:5: unknown key 'cod'; did you mean 'code'?"),
        ("chat: {none: {", "chat: {non: {", "16:12: unknown key 'non'; did you mean 'none'?"),
        ("chat: {none: {score: 0.8,", "chat: {none: {score: 8,", "16:26: expected a number of at most 1, got 8"),
    ],
)
def test_a_slip_in_an_effort_or_in_a_teams_own_figures(write: Write, before: str, after: str, expected: str) -> None:
    assert before in EFFORTS

    problems = problems_of(write(models=THINKER, team=EFFORTS.replace(before, after)))

    assert any(problem.startswith(f"config/teams/search.yaml:{expected}") for problem in problems), problems


def test_a_model_without_thought_has_no_efforts(write: Write) -> None:
    named = TEAM.replace("candidates: [deepseek/deepseek-v4-flash]", "candidates: [deepseek/deepseek-v4-flash@none]")

    (problem,) = problems_of(write(team=named))

    assert problem == (
        "config/teams/search.yaml:9:18: deepseek/deepseek-v4-flash cannot be asked to think: "
        "it lacks the capability reasoning; leave out '@none'"
    )


LADDER = THINKER.replace(
    "chat: {score: 0.864, source: a paper, checked: 2026-11-23}",
    "chat: {none: {score: 0.83, source: a paper, checked: 2026-11-23}}\n      version: v4-20260423",
)


def test_a_figure_may_be_given_for_each_effort_and_for_which_version_they_are(write: Write) -> None:
    (model, *_) = loaded(write(models=LADDER)).catalog.of(FLASH)

    assert model.model.quality_at[Task.CHAT][Effort.NONE].value == 0.83
    assert model.model.rated_version == "v4-20260423"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "chat: {none:",
            "chat: {low:",
            "8:14: unknown effort 'low' of deepseek/deepseek-v4-flash; it knows none, high",
        ),
        ("chat: {none:", "chat: {nnoe:", "8:14: unknown key 'nnoe'; did you mean 'none'?"),
        (
            "chat: {none: {score: 0.83, source: a paper, checked: 2026-11-23}}",
            "chat: {}",
            "8:13: expected a figure for some effort, got none",
        ),
        (
            "chat: {none: {score: 0.83, source: a paper, checked: 2026-11-23}}",
            "chat: 0.83",
            "8:13: expected a mapping (key: value), got the number 0.83",
        ),
        ("source: a paper, ", "", "8:14: the key 'source' is missing"),
        ("version: v4-20260423", "version: 4", "9:16: expected text, got the number 4; put it in quotes"),
    ],
)
def test_a_slip_in_figures_by_effort(write: Write, before: str, after: str, expected: str) -> None:
    assert before in LADDER

    problems = problems_of(write(models=LADDER.replace(before, after)))

    assert any(problem.startswith(f"config/models.yaml:{expected}") for problem in problems), problems
