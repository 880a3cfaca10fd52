"""What is of no use in a configuration without error is said, at its place; what is of use is not."""

from datetime import date

import pytest

from router.config.loader import load, warnings
from tests.config.conftest import MAIN, MODELS, Write, loaded, problems_of

TODAY = date(2026, 11, 30)
FLASH, PRO, OPUS, KIMI = "a/flash", "a/pro", "b/opus", "c/kimi"
FOUR = "models:\n" + "".join(
    f"""\
  {name}:
    context_tokens: 100000
    max_output_tokens: 1000
    quality: {{chat: {{score: 0.5, source: a paper, checked: 2026-11-23}}}}
    capabilities: [reasoning]
    deployments:
      - provider: local
        prices: [{{from: 2026-11-01, input_usd_per_mtok: 0, output_usd_per_mtok: 0, source: ours, checked: 2026-11-01}}]
"""
    for name in (FLASH, PRO, OPUS, KIMI)
)
TEAM = f"""\
team: search
aliases:
  auto: {{policy: main}}
  opus: {{model: {OPUS}@high}}
policies:
  main:
    candidates: [{FLASH}, {FLASH}@high, {PRO}]
    rules:
      - name: code
        when: {{task: code}}
        candidates: [{PRO}, {OPUS}]
        verify: {{code: python}}
"""


def _notes(write: Write, team: str = TEAM, models: str = FOUR) -> list[str]:
    directory = write(models=models, team=team)
    environment = {"OPENROUTER_API_KEY": "sk-or-1", "ADMIN_TOKEN": "t" * 20}
    return list(warnings(load(directory, environment=environment, today=TODAY)))


def _with(written: str, *, policy: str = "", rule: str = "") -> str:
    """The team with more at its end, and with terms of its policy and rule."""
    changed = TEAM.replace("    rules:", f"    {policy}\n    rules:") if policy else TEAM
    return changed.replace("        when:", f"        {rule}\n        when:") + written if rule else changed + written


def test_nothing_is_noted_of_what_is_of_use(write: Write) -> None:
    assert _notes(write) == []


FIGURES = "{chat: {score: 0.5, source: ours, checked: 2026-11-30}}"


@pytest.mark.parametrize("name", [FLASH, f"{PRO}@low", f"{OPUS}@high", OPUS])
def test_figures_of_a_model_that_a_policy_a_rule_or_an_alias_names_are_of_use(write: Write, name: str) -> None:
    assert _notes(write, _with(f"quality: {{{name}: {FIGURES}}}\n")) == []


def test_figures_of_a_model_that_is_measured_in_the_shadow_are_of_use(write: Write) -> None:
    shadow = f"shadow: {{model: {KIMI}, share: 0.1, budget_usd: 1}}"

    assert _notes(write, _with(f"quality: {{{KIMI}: {FIGURES}}}\n", policy=shadow)) == []


@pytest.mark.parametrize("name", [KIMI, f"{KIMI}@high"])
def test_figures_of_a_model_that_nothing_of_the_team_names_are_noted(write: Write, name: str) -> None:
    assert _notes(write, _with(f"quality: {{{name}: {FIGURES}}}\n")) == [
        f"config/teams/search.yaml:13:11: no policy or alias of this team names {KIMI}, so its figures change nothing; "
        "make it a candidate, or leave them out"
    ]


POINTS = (
    "`usd_per_point` counts for `objective: value` only, which does not apply here; set the objective, or leave it out"
)


def test_what_a_point_is_worth_is_of_use_where_value_is_the_objective(write: Write) -> None:
    points, value = "usd_per_point: 0.01", "objective: value"

    assert _notes(write, _with("", policy=points)) == [f"config/teams/search.yaml:8:20: {POINTS}"]
    assert _notes(write, _with("", rule=points)) == [f"config/teams/search.yaml:10:24: {POINTS}"]
    assert _notes(write, _with("", policy=points, rule=f"{value}\n        {points}")) == [
        f"config/teams/search.yaml:8:20: {POINTS}"
    ]
    assert _notes(write, _with("", policy=f"{value}\n    {points}", rule="objective: best")) == []
    assert _notes(write, _with("", policy=points, rule=value)) == []
    assert _notes(write, _with("", policy=value, rule=points)) == []


def test_a_check_of_code_on_a_whole_policy_is_noted_with_the_rule_that_was_meant(write: Write) -> None:
    message = (
        "every answer of this policy is taken for code, and prose fails; put the check into a rule: "
        "{name: code, when: {task: code}, verify: {code: [python, sql]}}"
    )

    assert _notes(write, _with("", policy="verify: {code: [python, sql]}")) == [
        f"config/teams/search.yaml:8:13: {message}"
    ]
    assert _notes(write, _with("", policy="verify: [non_empty, {code: [python, sql]}]")) == [
        f"config/teams/search.yaml:8:25: {message}"
    ]


def test_a_rule_that_leaves_agreement_too_few_models_is_noted(write: Write) -> None:
    agreed = _with("", policy="verify: agreement").replace(
        f"[{FLASH}, {FLASH}@high, {PRO}]", f"[{FLASH}, {PRO}, {OPUS}]"
    )
    inherited = agreed.replace("        verify: {code: python}\n", "")

    assert _notes(write, agreed) == []
    assert _notes(write, inherited.replace(f"[{PRO}, {OPUS}]", f"[{PRO}, {OPUS}, {KIMI}]")) == []
    assert _notes(write, inherited) == [
        "config/teams/search.yaml:12:21: `agreement`, which the policy asks for, needs 3 different models, and the "
        "rule has 2, so no answer under it can be verified; add models, or give the rule a `verify` of its own"
    ]


TOO_FEW = (
    "expected 3 different models among the candidates, got {}: a second one is asked for its opinion, and the best "
    "decides where the two disagree; add models, or leave agreement out, as no answer could be put to it"
)


def test_agreement_that_no_answer_can_be_put_to_is_an_error(write: Write) -> None:
    two = _with("", policy="verify: [non_empty, agreement]")  # three candidates of two models
    three = two.replace(f", {PRO}]", f", {PRO}, {KIMI}]")
    of_rule = TEAM.replace("verify: {code: python}", "verify: agreement")
    inherited = two.replace("        verify: {code: python}\n", "").replace(f"[{PRO}, ", f"[{PRO}, {KIMI}, ")

    assert problems_of(write(models=FOUR, team=two)) == [f"config/teams/search.yaml:8:25: {TOO_FEW.format(2)}"]
    assert problems_of(write(models=FOUR, team=of_rule)) == [f"config/teams/search.yaml:12:17: {TOO_FEW.format(2)}"]
    assert problems_of(
        write(models=FOUR, team=three.replace("    verify: [", f"    banned_models: [{PRO}]\n    verify: ["))
    ) == [f"config/teams/search.yaml:9:25: {TOO_FEW.format(2)}"]
    loaded(write(models=FOUR, team=three))
    loaded(write(models=FOUR, team=inherited))  # it is of use under the rule


AHEAD = "`checked` is {}, and today is 2026-11-30; write the day on which the figure was last compared with its source"


@pytest.mark.parametrize(("day", "is_noted"), [("2026-11-30", False), ("2026-12-01", False), ("2026-12-02", True)])
def test_figures_checked_on_a_day_to_come_are_noted_from_the_day_after_tomorrow(
    write: Write, day: str, is_noted: bool
) -> None:
    models = MODELS.replace("checked: 2026-11-23", f"checked: {day}").replace("checked: 2026-11-01", f"checked: {day}")
    team = "team: search\naliases: {auto: {model: deepseek/deepseek-v4-flash}}\n"

    expected = [
        f"config/models.yaml:6:54: {AHEAD.format(day)}",
        f"config/models.yaml:16:22: {AHEAD.format(day)}",
    ]
    assert _notes(write, team, models) == (expected if is_noted else [])


def test_figures_by_effort_and_a_teams_own_are_looked_at_too(write: Write) -> None:
    ahead = "{score: 0.5, source: ours, checked: 2027-11-23}"
    models = FOUR.replace("chat: {score: 0.5, source: a paper, checked: 2026-11-23}", f"chat: {{high: {ahead}}}", 1)
    team = _with(f"quality:\n  {FLASH}: {{chat: {ahead}, code: {{high: {ahead}}}}}\n")

    assert [note.partition(": `")[0] for note in _notes(write, team, models)] == [
        "config/models.yaml:5:64",
        "config/teams/search.yaml:14:55",
        "config/teams/search.yaml:14:117",
    ]


def test_without_a_clock_no_day_is_to_come(write: Write) -> None:
    directory = write(main=MAIN, models=MODELS.replace("checked: 2026-11-23", "checked: 2099-11-23"))

    assert warnings(loaded(directory)) == ()


def _versioned(*, provider: str = "local", said: str = "") -> str:
    """The four models; the first one's figures are of a version, and its deployment says what answers, if anything."""
    rated = FOUR.replace("quality: {chat", "quality: {version: a/flash-0423, chat", 1)
    return rated.replace("provider: local", f"provider: {provider}{said}", 1)


def test_figures_of_a_version_are_noted_where_nobody_tells_which_version_answers(write: Write) -> None:
    assert _notes(write, models=_versioned()) == [
        "config/models.yaml:8:19: the figures of a/flash are of a/flash-0423, and local has no list that tells which "
        "version answers there; write what it is as `version` of this deployment, the same or another (docs/money.md)"
    ]


@pytest.mark.parametrize(
    "models",
    [
        _versioned(provider="openrouter"),  # its list tells
        _versioned(said="\n        version: a/flash-0423"),
        _versioned(said="\n        version: a/flash-0914"),
    ],
)
def test_where_a_list_or_the_operator_tells_it_nothing_is_noted(write: Write, models: str) -> None:
    assert _notes(write, models=models) == []
