"""`penstock doctor` names what keeps a machine from serving well, with a remedy each, against real servers."""

import json
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner

from router.cli.main import penstock
from tests.e2e.conftest import running_proxy, running_sandbox
from tests.limits.redis_server import RedisServer

CONFIG = Path(__file__).resolve().parents[2] / "config"
KEY = {"OPENROUTER_API_KEY": "sk-or-v1-doctor"}


class Told:
    """What `penstock doctor --json` said."""

    def __init__(self, exit_code: int, findings: list[dict[str, str]]) -> None:
        self.exit_code = exit_code
        self.by_check = {each["check"]: each for each in findings}
        self.findings = findings

    def __getitem__(self, check: str) -> dict[str, str]:
        return self.by_check[check]


def asked(config: Path, state: Path, **environment: str) -> Told:
    known: Mapping[str, str] = {"STATE_DIRECTORY": str(state), "PENSTOCK_ADMIN_TOKEN": "a-token", **environment}
    done = CliRunner().invoke(penstock, ["doctor", "--config", str(config), "--json"], env=known)
    assert done.exit_code in (0, 1), done.output
    return Told(done.exit_code, json.loads(done.stdout))


def copied(directory: Path, **replaced: str) -> Path:
    """The shipped configuration on ports that are free, with words of penstock.yaml replaced."""
    config = directory / "config"
    shutil.copytree(CONFIG, config)
    main = config / "penstock.yaml"
    text = main.read_text().replace("127.0.0.1:8000", _free()).replace("127.0.0.1:8001", _free())
    for name, word in replaced.items():
        text = text.replace({"openrouter": "https://openrouter.ai/api/v1"}[name], word)
    main.write_text(text)
    return config


def _free() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


class _Elsewhen(BaseHTTPRequestHandler):
    """A provider whose clock is an hour ahead of ours."""

    def do_GET(self) -> None:
        body = b'{"data": {"limit_remaining": 1.5}}'
        self.send_response_only(200)
        self.send_header("date", format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))  # noqa: TID251
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def elsewhen() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhen)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_machine_that_can_serve_has_no_faults(tmp_path: Path) -> None:
    with running_sandbox(tmp_path / "sandbox.log") as sandbox:
        told = asked(copied(tmp_path, openrouter=f"{sandbox.base_url}/api/v1"), tmp_path / "state", **KEY)

    assert told.exit_code == 0, told.findings
    assert told["provider openrouter"]["verdict"] == "ok"
    assert told["clock"]["verdict"] == "ok"
    assert told["configuration"]["verdict"] == "ok"
    assert not (tmp_path / "state").exists(), "looking makes nothing"


def test_whatever_is_not_well_comes_with_a_remedy_and_whatever_is_well_without(tmp_path: Path) -> None:
    told = asked(copied(tmp_path), tmp_path / "state")

    assert told.exit_code == 1
    assert told["providers"]["verdict"] == "fault"
    assert {bool(each["remedy"]) == (each["verdict"] != "ok") for each in told.findings} == {True}


def test_a_key_that_the_provider_does_not_take_is_a_fault_that_names_where_it_came_from_and_not_the_key(
    tmp_path: Path,
) -> None:
    with running_sandbox(tmp_path / "sandbox.log") as sandbox:
        config = copied(tmp_path, openrouter=f"{sandbox.base_url}/api/v1")
        told = asked(config, tmp_path / "state", OPENROUTER_API_KEY="not-one-of-theirs")

    assert told.exit_code == 1
    assert told["provider openrouter"]["verdict"] == "fault"
    assert "$OPENROUTER_API_KEY" in told["provider openrouter"]["remedy"]
    assert "not-one-of-theirs" not in json.dumps(told.findings)


def test_a_provider_out_of_reach_is_a_fault(tmp_path: Path) -> None:
    told = asked(copied(tmp_path, openrouter=f"http://{_free()}/api/v1"), tmp_path / "state", **KEY)

    assert told["provider openrouter"]["verdict"] == "fault"
    assert "cannot be reached" in told["provider openrouter"]["told"]
    assert told["clock"]["verdict"] == "note"


def test_a_clock_that_differs_and_a_key_nearly_spent_are_told(tmp_path: Path, elsewhen: str) -> None:
    told = asked(copied(tmp_path, openrouter=elsewhen), tmp_path / "state", **KEY)

    assert told.exit_code == 1
    assert told["clock"]["verdict"] == "fault"
    assert "s behind the providers'" in told["clock"]["told"]
    assert told["provider openrouter"]["verdict"] == "note"
    assert "$1.50 left" in told["provider openrouter"]["told"]


def test_a_port_taken_by_another_program_is_a_fault_and_one_where_penstock_serves_is_not(tmp_path: Path) -> None:
    with running_sandbox(tmp_path / "sandbox.log") as sandbox, running_proxy(tmp_path, sandbox.base_url) as proxy:
        main = tmp_path / "taken" / "penstock.yaml"
        shutil.copytree(CONFIG, main.parent)
        text = main.read_text().replace("127.0.0.1:8000", proxy.base_url.split("/")[2])
        main.write_text(text.replace("127.0.0.1:8001", sandbox.base_url.split("/")[2]))

        told = asked(main.parent, tmp_path / "state", **KEY)

    assert (told["data port"]["verdict"], told["admin port"]["verdict"]) == ("ok", "fault")


def test_a_configuration_with_mistakes_is_a_fault_and_the_machine_is_looked_at_all_the_same(tmp_path: Path) -> None:
    config = copied(tmp_path)
    (config / "penstock.yaml").write_text("lisen: 127.0.0.1:8000\n")

    told = asked(config, tmp_path / "state", **KEY)

    assert told.exit_code == 1
    assert "penstock.yaml:1:1" in told["configuration"]["told"]
    assert told["open files"]["verdict"] in ("ok", "note")


def test_a_pepper_that_others_can_read_is_a_fault(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "pepper").write_bytes(b"p" * 32)
    (state / "pepper").chmod(0o644)

    told = asked(copied(tmp_path), state, **KEY)

    assert [each["remedy"] for each in told.findings if "can be read by others" in each["told"]] == [
        f"chmod 600 {state / 'pepper'}"
    ]


def test_a_redis_that_may_forget_counters_is_a_fault(tmp_path: Path) -> None:
    config = copied(tmp_path)
    main = config / "penstock.yaml"
    main.write_text(
        main.read_text() + "\nredis: {url_env: DOCTOR_REDIS_URL}\npostgres: {url_env: DOCTOR_POSTGRES_URL}\n"
    )

    with closing(RedisServer(tmp_path)) as redis:
        redis.start()
        kept = asked(config, tmp_path / "state", DOCTOR_REDIS_URL=redis.url, **KEY)
        redis.client.config_set("maxmemory-policy", "allkeys-lru")
        evicting = asked(config, tmp_path / "state", DOCTOR_REDIS_URL=redis.url, **KEY)
        redis.kill()
        away = asked(config, tmp_path / "state", DOCTOR_REDIS_URL=redis.url, **KEY)

    assert kept["redis"]["verdict"] in ("ok", "note")
    assert evicting["redis"]["verdict"] == "fault"
    assert "allkeys-lru" in evicting["redis"]["told"]
    assert away["redis"]["verdict"] == "fault"
    assert kept["postgres"] == away["postgres"]
    assert kept["postgres"]["told"] == "$DOCTOR_POSTGRES_URL is empty"
