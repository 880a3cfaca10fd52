"""`penstock init` writes a configuration that is valid and serves, or nothing at all."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from router.cli.main import penstock
from router.config.loader import load

CHAT = '{"model": "auto", "messages": [{"role": "user", "content": "What is a weir?"}]}'


def told(*arguments: str, answers: str | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(penstock, arguments, input=answers)
    return done.exit_code, str(done.exception) if done.exit_code and not done.output else done.output


@pytest.mark.parametrize("provider", ["openrouter", "deepseek", "local"])
def test_three_answers_make_a_configuration_that_decides(tmp_path: Path, provider: str) -> None:
    code, output = told("init", str(tmp_path / "mine"), answers=f"{provider}\nweb\n$250.50\n")

    assert code == 0, output
    snapshot = load(tmp_path / "mine", environment={f"{provider.upper()}_API_KEY": "a-key"})
    (team,) = snapshot.teams.values()
    assert (team.name, str(team.budgets[0].limit_nano_usd)) == ("web", "250500000000")
    decided = CliRunner().invoke(
        penstock,
        ["explain", "--config", str(tmp_path / "mine"), "--json", "-"],
        input=CHAT,
        env={f"{provider.upper()}_API_KEY": "a-key", "STATE_DIRECTORY": str(tmp_path)},
    )
    assert json.loads(decided.stdout)["chosen"]["provider"] == provider


def test_a_server_of_ones_own_is_written_down_whatever_its_model_is_called(tmp_path: Path) -> None:
    own = ("--provider", "local", "--team", "web", "--budget-usd", "1")
    code, _ = told(
        "init", str(tmp_path / "c"), *own, "--local-url", "http://10.0.0.7:1234/v1", "--local-model", 'Qwen "4": Q8_0'
    )

    assert code == 0
    snapshot = load(tmp_path / "c", environment={})
    (deployment,) = [each for each in snapshot.catalog if each.provider.name == "local"]
    assert deployment.upstream_model == 'Qwen "4": Q8_0'
    assert deployment.provider.base_url == "http://10.0.0.7:1234/v1"


@pytest.mark.parametrize(
    ("provider", "team", "budget", "said"),
    [
        ("openrouter", "../up", "5", "no name of a team"),
        ("openrouter", "other", "5", "expected a name"),
        ("openrouter", "a b", "5", "expected a name"),
        ("openrouter", "web", "0", "no sum of dollars"),
        ("openrouter", "web", "NaN", "no sum of dollars"),
        ("openrouter", "web", "much", "no sum of dollars"),
    ],
)
def test_what_would_not_be_valid_leaves_nothing_behind(
    tmp_path: Path, provider: str, team: str, budget: str, said: str
) -> None:
    code, output = told("init", str(tmp_path / "c"), "--provider", provider, "--team", team, f"--budget-usd={budget}")

    assert code == 1
    assert said in output
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_something_in_it_is_left_alone_and_an_empty_one_is_filled(tmp_path: Path) -> None:
    answers = ("--provider", "openrouter", "--team", "web", "--budget-usd", "5")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "penstock.yaml").write_text("listen: 127.0.0.1:1\n")
    (tmp_path / "empty").mkdir()

    refused, said = told("init", str(tmp_path / "kept"), *answers)
    filled, _ = told("init", str(tmp_path / "empty"), *answers)

    assert (refused, filled) == (1, 0)
    assert "is there already" in said
    assert (tmp_path / "kept" / "penstock.yaml").read_text() == "listen: 127.0.0.1:1\n"
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["penstock.yaml"]


def test_check_tells_problems_to_programs(tmp_path: Path) -> None:
    told("init", str(tmp_path / "c"), "--provider", "openrouter", "--team", "web", "--budget-usd", "5")

    version = load(tmp_path / "c", environment={}).version
    valid = json.loads(CliRunner().invoke(penstock, ["check", str(tmp_path / "c"), "--json"]).stdout)
    (tmp_path / "c" / "teams" / "web.yaml").write_text("team: web\nbudget: 5\n")
    code, output = told("check", str(tmp_path / "c"), "--json")

    assert (valid["version"], valid["problems"]) == (version, [])
    assert code == 1
    assert [each["line"] for each in json.loads(output)["problems"]] == [1, 2]
    assert json.loads(output)["version"] is None


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(shell: str) -> None:
    code, output = told("completion", shell)

    assert code == 0
    assert "_PENSTOCK_COMPLETE" in output


def test_teams_of_the_configuration_are_offered_for_completion(tmp_path: Path) -> None:
    told("init", str(tmp_path / "c"), "--provider", "openrouter", "--team", "web", "--budget-usd", "5")
    line = f"penstock explain --config {tmp_path / 'c'} --team w"

    done = CliRunner().invoke(
        penstock,
        prog_name="penstock",
        env={
            "_PENSTOCK_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split()) - 1),
        },
    )

    assert done.output.split() == ["plain,web"]
