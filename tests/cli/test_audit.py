"""`penstock audit`, and that what commands do to keys is in the log."""

import getpass
import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import CHECKOUT, run_penstock


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    shutil.copytree(CHECKOUT / "config", tmp_path / "config")
    return {
        "PATH": "/usr/bin:/bin",
        "STATE_DIRECTORY": str(tmp_path / "state"),
        "PENSTOCK_CONFIG": str(tmp_path / "config"),
    }


def test_keys_are_written_down_and_whoever_changes_that_is_found_out(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    def told(*arguments: str) -> tuple[int, str]:
        done = run_penstock(*arguments, environment=environment)
        return done.returncode, (done.stdout + done.stderr).decode()

    options = ("--team", "search", "--name", "web", "--from", "10.0.0.0/8")
    key = json.loads(told("keys", "create", *options, "--json")[1])["id"]
    rotated = told("keys", "rotate", key, "--overlap", "48h")
    told("keys", "revoke", key)
    told("prompts", "delete", "--team", "search")
    rows = json.loads(told("audit", "list", "--json")[1])
    whole, head = told("audit", "verify", "--json")[1], json.loads(told("audit", "verify", "--json")[1])["head"]

    assert [(row["number"], row["actor"], row["act"], row["subject"]) for row in rows] == [
        (1, f"os:{getpass.getuser()}", "key_created", key),
        (2, f"os:{getpass.getuser()}", "key_rotated", key),
        (3, f"os:{getpass.getuser()}", "key_revoked", key),
        (4, f"os:{getpass.getuser()}", "prompts_deleted", "search"),
    ]
    assert rotated[0] == 0
    assert rows[0]["detail"] == "team search, web, from 10.0.0.0/8"
    assert json.loads(whole)["is_whole"] is True
    assert json.loads(whole)["compared_with"] == [str(tmp_path / "state" / "audit.head")]

    with closing(sqlite3.connect(tmp_path / "state" / "penstock.sqlite")) as store:
        store.execute("DELETE FROM audit WHERE number = 4")
        store.commit()
    cut_off = told("audit", "verify")
    file = tmp_path / "state" / "audit.head"
    file.write_text("nothing to see here")
    damaged = told("audit", "verify")
    file.unlink()
    unremembered, remembered = told("audit", "verify"), told("audit", "verify", "--head", head)

    assert cut_off[0] == 1
    assert "broken at row 4" in cut_off[1]
    assert damaged[0] == 1
    assert f"{file} holds no head" in damaged[1]
    assert unremembered[0] == 0
    assert "Rows cut off its end would not show" in unremembered[1]
    assert "compared with no head seen before" in unremembered[1]
    assert remembered[0] == 1
    assert "--head has seen row 4, and the log ends at 3" in remembered[1]
    assert told("audit", "verify", "--head", "nonsense")[0] == 1
