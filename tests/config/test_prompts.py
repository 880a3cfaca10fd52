"""Prompts are kept where a team says so and there is a key; a configuration that lacks one is not served."""

from pathlib import Path

import pytest

from router.config.loader import load
from router.config.snapshot import PromptKeeping, PromptSealing, Snapshot
from router.errors import ConfigError
from tests.config.conftest import MAIN, TEAM, Write

KEY = "0a" * 32
SECTION = "prompts: {keys: [{id: b, key_env: NEW}, {id: a, key_file: old}]}\n"
OPTS_IN = f"{TEAM}prompts: {{kept_days: 30, sample_share: 0.5}}\n"
_SECRETS = {"OPENROUTER_API_KEY": "sk-or-1", "ADMIN_TOKEN": "t", "HOME": "/home/penstock"}


def read(directory: Path, **variables: str) -> Snapshot:
    return load(directory, environment={**_SECRETS, **variables})


def problems_of(directory: Path, **variables: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(directory, **variables)
    return [str(problem) for problem in caught.value.problems]


def test_a_team_that_says_nothing_has_nothing_kept(write: Write) -> None:
    snapshot = read(write())

    assert snapshot.settings.prompts is None
    assert [team.prompts for team in snapshot.teams.values()] == [None]


def test_a_team_says_for_how_long_and_penstock_yaml_where_the_keys_are(write: Write) -> None:
    directory = write(main=MAIN + SECTION, team=OPTS_IN)
    (directory / "old").write_text(f"{KEY}\n")

    snapshot = read(directory, NEW=KEY.upper())

    sealing = snapshot.settings.prompts
    assert sealing is not None
    assert sealing == PromptSealing(sealing.keys, most_bytes=1_048_576)
    assert [(key.id, key.secret_from) for key in sealing.keys] == [("b", "$NEW"), ("a", str(directory / "old"))]
    assert [key.secret.reveal() for key in sealing.keys if key.secret] == [KEY.upper(), KEY]
    assert [team.prompts for team in snapshot.teams.values()] == [PromptKeeping(kept_days=30, sample_share=0.5)]


def test_a_team_that_opts_in_where_there_is_no_key_is_refused(write: Write) -> None:
    (problem,) = problems_of(write(team=OPTS_IN))

    assert "search.yaml" in problem
    assert "expected a key to encrypt with, got none: `prompts` of penstock.yaml names it" in problem


@pytest.mark.parametrize("text", ["", "secret-words-of-somebody", "0a" * 31, "zz" * 32])
def test_a_key_that_is_none_is_refused_and_not_shown(write: Write, text: str) -> None:
    main = f"{MAIN}prompts: {{keys: [{{id: b, key_env: NEW}}]}}\n"

    (problem,) = problems_of(write(main=main, team=OPTS_IN), NEW=text)

    assert problem.endswith(
        "expected 64 hex digits in $NEW, as `openssl rand -hex 32` prints, got nothing or something else"
    )


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{keys: []}", "expected at least one entry, got none"),
        ("{keys: [{id: a}]}", "expected either key_env or key_file"),
        ("{keys: [{id: a, key_env: A, key_file: b}]}", "expected either key_env or key_file"),
        ("{keys: [{id: a, key_env: A}, {id: a, key_env: B}]}", "an id of its own for each key, got 'a' twice"),
        ("{keys: [{id: a, key_env: A}], max_bytes: 1}", "expected a number of at least 1024, got 1"),
    ],
)
def test_what_cannot_be_meant_is_said(write: Write, section: str, said: str) -> None:
    (problem,) = problems_of(write(main=f"{MAIN}prompts: {section}\n"))

    assert said in problem
