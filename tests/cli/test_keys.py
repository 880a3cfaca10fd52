"""`penstock keys`: what is made comes out as it was asked for, mistakes are told, a rotated key stays the same one."""

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from router.apis import Api
from router.catalog.catalog import ModelName
from router.cli.main import penstock
from router.errors import InvalidRequest
from router.keys import ApiKey, KeyScope, Match, matches, parse
from router.quotas import Budget, Per
from router.storage.pepper import pepper
from router.storage.sqlite import SqliteStore

CONFIG = Path(__file__).resolve().parents[2] / "config"
FLASH, GPT = "deepseek/deepseek-v4-flash", "openai/gpt-5.4"


def run(state: Path, *arguments: str, stdin: str | None = None) -> Result:
    command = [*arguments, "--config", str(CONFIG)]
    return CliRunner().invoke(penstock, command, env={"STATE_DIRECTORY": str(state)}, input=stdin)


def told(state: Path, *arguments: str) -> Any:  # noqa: ANN401 - JSON
    done = run(state, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refusal(state: Path, *arguments: str) -> str:
    done = run(state, *arguments)
    assert isinstance(done.exception, InvalidRequest)
    return done.exception.message


def kept(state: Path) -> list[ApiKey]:
    return SqliteStore(state / "penstock.sqlite").all()


def which(state: Path, text: str, *, now: datetime | None = None) -> Match:
    """Which secret of the only key there is `text` has."""
    presented = parse(text)
    assert presented is not None
    [key] = kept(state)
    return matches(presented, key, pepper(state / "pepper", bytes), now or datetime.now(UTC))  # noqa: TID251 - as the command's own


def test_a_key_is_kept_with_all_that_it_may(tmp_path: Path) -> None:
    made = told(
        tmp_path,
        *("keys", "create", "--team", "search", "--name", "batch", "--models", f"{FLASH}, {GPT}", "--aliases", "auto"),
        *("--apis", "embeddings", "--budget-usd", "0.5", "--per", "day", "--budget-usd", "10", "--per", "month"),
        *("--from", "10.0.0.0/8", "--from", "2001:db8::1", "--expires", "90d"),
    )

    [key] = kept(tmp_path)
    assert key.scope == KeyScope(
        models=frozenset(map(ModelName, (FLASH, GPT))),
        aliases=frozenset({"auto"}),
        apis=frozenset({Api.EMBEDDINGS}),
        networks=(ip_network("10.0.0.0/8"), ip_network("2001:db8::1")),
        budgets=(Budget(500_000_000, Per.DAY), Budget(10_000_000_000, Per.MONTH)),
    )
    assert key.expires_at == key.created_at + timedelta(days=90)
    assert which(tmp_path, made["key"]) is Match.CURRENT
    assert made["scope"] == {
        "models": [FLASH, GPT],
        "aliases": ["auto"],
        "apis": ["embeddings"],
        "from": ["10.0.0.0/8", "2001:db8::1/128"],
        "budgets": [{"limit_usd": "0.50", "per": "day"}, {"limit_usd": "10.00", "per": "month"}],
    }
    [listed] = told(tmp_path, "keys", "list", "--team", "search")
    assert {**listed, "key": made["key"]} == {**made, "last_used_at": None}
    assert told(tmp_path, "keys", "list", "--team", "research") == []
    table = run(tmp_path, "keys", "list").stdout
    assert f"models {FLASH} {GPT}, aliases auto, apis embeddings, from 10.0.0.0/8" in table
    assert "$0.50 per day, $10.00 per month" in table


def test_a_key_without_bounds_may_what_its_team_may(tmp_path: Path) -> None:
    told(tmp_path, "keys", "create", "--team", "search")

    [key] = kept(tmp_path)
    assert (key.scope, key.expires_at) == (KeyScope(), None)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--models", "openai/no-such", "--models: openai/no-such is not among the models that team search may use"),
        ("--models", " , ", "--models takes one or more names"),
        ("--aliases", "autos", "--aliases: autos is not among the aliases of team search, and its models"),
        ("--apis", "images", "--apis: images is not among the APIs"),
        ("--budget-usd", "ten", "--budget-usd takes dollars from 0"),
        ("--budget-usd", "-1", "--budget-usd takes dollars from 0"),
        ("--budget-usd", "NaN", "--budget-usd takes dollars from 0"),
        ("--budget-usd", "1e-10", "--budget-usd takes dollars from 0"),
        ("--budget-usd", "9000001", "--budget-usd takes dollars from 0"),
        ("--per", "day", "--per stands once for each --budget-usd; got 0 and 1"),
        ("--from", "10.0.0.1/8", "its network is 10.0.0.0/8"),
        ("--from", "localhost", "--from takes a network"),
        ("--expires", "2020-01-01", "--expires takes hours"),
        ("--expires", "soon", "--expires takes hours"),
        ("--expires", "-3d", "--expires takes hours"),
    ],
)
def test_a_bound_that_is_none_is_told_and_no_key_made(tmp_path: Path, option: str, value: str, message: str) -> None:
    assert message in refusal(tmp_path, "keys", "create", "--team", "search", f"{option}={value}")
    assert not (tmp_path / "penstock.sqlite").exists() or kept(tmp_path) == []


def test_a_rotated_key_stays_the_same_one_with_two_secrets_for_a_while(tmp_path: Path) -> None:
    made = told(tmp_path, "keys", "create", "--team", "search", "--models", FLASH, "--budget-usd", "5")
    [before] = kept(tmp_path)

    rotated = told(tmp_path, "keys", "rotate", made["id"], "--overlap", "48h")

    [after] = kept(tmp_path)
    assert rotated["id"] == made["id"]
    assert rotated["state"] == "rotating"
    assert (after.id, after.scope, after.expires_at) == (before.id, before.scope, before.expires_at)
    assert which(tmp_path, rotated["key"]) is Match.CURRENT
    assert which(tmp_path, made["key"]) is Match.FORMER
    assert after.former is not None
    assert which(tmp_path, made["key"], now=after.former.until) is Match.NONE
    assert "A key has two secrets at most" in refusal(tmp_path, "keys", "rotate", made["id"])
    leaked = told(tmp_path, "keys", "rotate", made["id"], "--overlap", "0h")
    assert [which(tmp_path, each["key"]) for each in (made, rotated, leaked)] == [Match.NONE, Match.NONE, Match.CURRENT]


def test_a_key_ends_now_or_later_and_what_has_ended_is_not_rotated(tmp_path: Path) -> None:
    made = told(tmp_path, "keys", "create", "--team", "search")

    later = told(tmp_path, "keys", "revoke", made["id"], "--at", "24h")
    [ending] = kept(tmp_path)
    now = told(tmp_path, "keys", "revoke", made["id"])

    assert (later["is_revoked"], now["is_revoked"]) == (False, True)
    assert ending.revoked_at is None
    assert ending.expires_at is not None
    assert ending.expires_at.isoformat(timespec="minutes") == later["ends_at"]
    assert [each["state"] for each in told(tmp_path, "keys", "list")] == ["revoked"]
    assert f"Key {made['id']} is revoked" in refusal(tmp_path, "keys", "rotate", made["id"])
    assert f"Key {made['id']} was revoked at" in refusal(tmp_path, "keys", "revoke", made["id"])
    assert "There is no key 'ffff'" in refusal(tmp_path, "keys", "rotate", "ffff")
    assert "There is no key 'ffff'" in refusal(tmp_path, "keys", "revoke", "ffff")


@pytest.mark.parametrize("command", ["rotate", "revoke"])
def test_a_whole_key_in_place_of_its_id_is_not_repeated(tmp_path: Path, command: str) -> None:
    made = told(tmp_path, "keys", "create", "--team", "search")

    said = refusal(tmp_path, "keys", command, made["key"])

    assert "KEY_ID is the public id alone" in said
    assert made["key"].split("_")[2] not in said


def test_explain_within_a_key_shows_who_is_out_of_its_scope(tmp_path: Path) -> None:
    made = told(tmp_path, "keys", "create", "--team", "search", "--models", FLASH)
    request = json.dumps({"model": GPT, "messages": [{"role": "user", "content": "Hi"}]})

    done = run(tmp_path, "explain", "--key", made["id"], stdin=request)

    assert done.exit_code == 1
    assert f"the API key may be answered only by {FLASH}" in done.stdout
    assert "belongs to team search" in refusal(tmp_path, "explain", "--key", made["id"], "--team", "research")
