"""What a newcomer does: `make run` without a provider's key, then the commands of the README."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.conftest import CHECKOUT, Demo, run_penstock, running_demo
from tests.waiting import eventually


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running_demo(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


def ask(demo: Demo, key: str) -> httpx2.Response:
    return httpx2.post(
        f"{demo.base_url}/chat/completions",
        json={"model": "auto", "messages": [{"role": "user", "content": "What is a penstock?"}], "max_tokens": 20},
        headers={"authorization": f"Bearer {key}"},
        timeout=60,
    )


def told(demo: Demo, *arguments: str) -> bytes:
    return run_penstock(*arguments, "--sandbox", environment=demo.environment, check=True).stdout


def files(directory: Path) -> set[Path]:
    return {path for path in directory.iterdir() if path.name != "sandbox"}


def test_the_demo_s_books_are_read_with_a_switch(demo: Demo) -> None:
    assert ask(demo, demo.key).status_code == 200

    def spent() -> list[dict[str, object]]:
        rows: list[dict[str, object]] = json.loads(told(demo, "spend", "--by", "team", "--json"))
        return rows

    eventually(lambda: bool(spent()), within_s=10)
    assert spent()[0]["team"] == "research"
    assert json.loads(told(demo, "replay", "--against", "config", "--json"))["requests"] >= 1
    assert re.match(rb"1 request since \S+T\d\d:\d\d:\d\d\+00:00, \$", told(demo, "replay", "--against", "config"))
    assert b"deepseek/deepseek-v4-flash" in told(demo, "models")


def test_a_key_for_another_team_of_the_demo_works(demo: Demo) -> None:
    made = json.loads(told(demo, "keys", "create", "--team", "search", "--json"))

    eventually(lambda: ask(demo, made["key"]).status_code == 200, within_s=10)
    assert made["id"].encode() in told(demo, "keys", "list")


@pytest.mark.parametrize(
    "command",
    [
        ("spend",),
        ("keys", "list"),
        ("keys", "revoke", "8f3a0b6cd1e2f495"),
        ("reconcile",),
        ("replay", "--against", "config"),
    ],
    ids=" ".join,
)
def test_without_the_switch_a_command_names_the_demo_and_creates_nothing(demo: Demo, command: tuple[str, ...]) -> None:
    ended = run_penstock(*command, environment=demo.environment)

    assert ended.returncode == 1
    assert ended.stdout == b""
    assert ended.stderr.decode() == (
        f"There are no books in {demo.state}: nothing was served from there and no key made. Those of the demo are in "
        f"{demo.state / 'sandbox'}: add --sandbox.\n"
    )
    assert files(demo.state) == set()


def test_the_catalog_is_shown_without_books_and_the_demo_s_are_pointed_at(demo: Demo) -> None:
    ended = run_penstock("models", environment=demo.environment, check=True)

    assert b"deepseek/deepseek-v4-flash" in ended.stdout
    assert b"is --sandbox meant?" in ended.stderr
    assert files(demo.state) == set()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("models", "--refresh"), "$OPENROUTER_API_KEY holds no key. Set it and run this again"),
        (("models", "--refresh", "--sandbox"), "read by the process that serves the demo alone"),
        (("reconcile", "--sandbox"), "that one reconciles by itself"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_what_only_the_demo_itself_can_do_is_said(demo: Demo, command: tuple[str, ...], reason: str) -> None:
    ended = run_penstock(*command, environment=demo.environment)

    assert ended.returncode == 1
    assert reason in ended.stderr.decode()
    assert files(demo.state) == set()


def test_play_money_is_kept_apart_where_databases_are_configured(tmp_path: Path, demo: Demo) -> None:
    config = tmp_path / "config"
    shutil.copytree(CHECKOUT / "config", config)
    with (config / "penstock.yaml").open("a") as main:
        main.write("postgres: {url_env: LEDGER_OF_REAL_DOLLARS}\nredis: {url_env: BUDGETS_OF_REAL_DOLLARS}\n")
    environment = {**demo.environment, "STATE_DIRECTORY": str(tmp_path / "state")}

    run_penstock(
        "keys", "create", "--team", "search", "--sandbox", "--config", str(config), environment=environment, check=True
    )

    assert (tmp_path / "state" / "sandbox" / "penstock.sqlite").exists()


def test_where_nothing_was_ever_served_a_command_says_where_it_looked(tmp_path: Path, demo: Demo) -> None:
    environment = {**demo.environment, "STATE_DIRECTORY": str(tmp_path / "state")}

    ended = run_penstock("spend", environment=environment)

    assert ended.returncode == 1
    assert ended.stderr.decode().startswith(f"There are no books in {tmp_path / 'state'}: ")
    assert not (tmp_path / "state").exists()


def test_a_second_server_on_the_same_state_is_refused_in_a_sentence_and_promises_nothing(demo: Demo) -> None:
    second = run_penstock("serve", "--demo", "--port", "0", "--admin-port", "0", environment=demo.environment)

    assert second.returncode == 1
    assert second.stdout == b""
    assert re.match(rb"Another process serves from \S+sandbox, and .*\n$", second.stderr.splitlines(keepends=True)[-1])
    assert b"Traceback" not in second.stderr
    assert ask(demo, demo.key).status_code == 200


def test_a_text_head_of_one_s_own_is_served_with_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CHECKOUT / "config", config)
    with (config / "penstock.yaml").open("a") as file:
        file.write("\ntext_head: ours.bin\n")
    (config / "ours.bin").write_bytes((CHECKOUT / "router/quality/heads/difficulty.bin").read_bytes()[:-1])
    state = {"STATE_DIRECTORY": str(tmp_path / "state")}
    body = b'{"model": "auto", "messages": [{"role": "user", "content": "Prove that no prime is the last."}]}'
    arguments = ("explain", "--team", "search", "--config", str(config), "--json")

    harmed = run_penstock(*arguments, environment=state, stdin=body)
    (config / "ours.bin").write_bytes((CHECKOUT / "router/quality/heads/difficulty.bin").read_bytes())
    whole = run_penstock(*arguments, environment=state, stdin=body)

    assert (harmed.returncode, whole.returncode) == (1, 0)
    assert b"ours.bin" in harmed.stderr
    assert b"Traceback" not in harmed.stderr
    assert json.loads(whole.stdout)["profile"]["signals"]["head"]
