"""`penstock prompts`: what is kept is shown to whoever has the key, and deleted."""

import json
import secrets
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from router.cli.main import penstock
from router.errors import PenstockError
from router.keys import Secret, TeamName
from router.storage.prompts import Seal
from router.storage.sealed import Prompt
from router.storage.sqlite import SqliteStore

CONFIG = Path(__file__).resolve().parents[2] / "config"
KEY = "0c" * 32
NOW = datetime.now(UTC)  # noqa: TID251 - the command's clock is the real one
PROMPT = Prompt(
    request_id="req_1",
    team=TeamName("search"),
    at=NOW - timedelta(days=2),
    until=NOW + timedelta(days=28),
    api="chat/completions",
    request=b'{"messages": "Tell me about tea."}',
    answer="Tea is grün.".encode(),
    is_request_cut=False,
    is_answer_cut=True,
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """With a key, and a request that is kept in the state directory beside it."""
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    with (config / "penstock.yaml").open("a") as main:
        main.write("\nprompts: {keys: [{id: a, key_env: PROMPTS_KEY}]}\n")
    store = SqliteStore(tmp_path / "penstock.sqlite")
    store.keep_prompts([Seal([("a", Secret(KEY))], random_bytes=secrets.token_bytes).sealed(PROMPT)])
    store.close()
    return config


def ran(config: Path, *arguments: str, key: str = KEY) -> Result:
    environment = {"STATE_DIRECTORY": str(config.parent), "PROMPTS_KEY": key}
    return CliRunner().invoke(penstock, ["prompts", *arguments, "--config", str(config)], env=environment)


def test_a_request_is_shown_as_it_was_asked_and_answered(config: Path) -> None:
    done = ran(config, "show", "req_1")

    assert done.stdout == '{"messages": "Tell me about tea."}\nTea is grün.…\n'
    assert done.stderr.startswith("req_1 of team search, ")


def test_who_looked_is_in_the_audit_log(config: Path) -> None:
    ran(config, "show", "req_0")
    ran(config, "show", "req_1")

    store = SqliteStore(config.parent / "penstock.sqlite")
    rows = store.audit_after(0, 10)
    store.close()

    assert [(row.entry.act, row.entry.subject, row.entry.detail) for row in rows] == [
        ("prompt_shown", "req_1", "team search")
    ]


def test_for_programs_it_is_one_object(config: Path) -> None:
    told = json.loads(ran(config, "show", "req_1", "--json").stdout)

    assert (told["team"], told["answer"], told["is_answer_cut"]) == ("search", "Tea is grün.", True)


def test_with_another_key_nothing_is_shown(config: Path) -> None:
    done = ran(config, "show", "req_1", key="0d" * 32)

    assert isinstance(done.exception, PenstockError)
    assert "does not open with the key 'a'" in done.exception.message
    assert "tea" not in done.output


def test_what_is_not_kept_is_said_to_be_so(config: Path) -> None:
    done = ran(config, "show", "req_2")

    assert isinstance(done.exception, PenstockError)
    assert done.exception.message.startswith("Nothing is kept of 'req_2'")


def test_what_is_kept_of_a_team_is_deleted(config: Path) -> None:
    assert ran(config, "delete", "--team", "research").stdout == "0 requests of team research deleted.\n"
    assert ran(config, "delete", "--team", "search", "--older-than-days", "3").stdout.startswith("0 requests")
    assert json.loads(ran(config, "delete", "--team", "search", "--json").stdout) == {"team": "search", "deleted": 1}
    assert isinstance(ran(config, "show", "req_1").exception, PenstockError)
