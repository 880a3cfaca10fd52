"""deploy/systemd: the unit is sound and confined, and a real systemd starts it, watches it and stops it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from router.server.supervision import Supervisor
from tests.deploy.booting import Booted, booted, why_not
from tests.deploy.places import CHECKOUT, DEPLOY
from tests.e2e.conftest import Sandbox, running_proxy, running_sandbox
from tests.server.test_supervision import Ear
from tests.torture.stores import free_port
from tests.waiting import eventually

UNIT = DEPLOY / "systemd" / "penstock.service"
MOST_EXPOSED = 2.0  # of 10, as `systemd-analyze security` counts; the product's own demand
# Under the user of the service, or SQLite's files would be root's.
KEYS_CREATE = (
    "systemd-run --pipe --quiet -p DynamicUser=yes -p User=penstock -p StateDirectory=penstock "
    "/opt/penstock/bin/penstock keys create --config /etc/penstock --team search"
)
_PATIENCE_S = 20


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox") / "log") as sandbox:
        yield sandbox


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("systemd-analyze")
    if program is None and os.environ.get("CI") != "true":  # noqa: TID251 - whether to skip is a test's business
        pytest.skip("systemd-analyze is not installed")
    assert program is not None
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_the_unit_has_no_mistake_but_that_penstock_is_not_installed_here(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/penstock/bin/penstock", "/bin/true"))

    verified = analyze("verify", "--man=no", str(unit))

    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_the_unit_may_do_little() -> None:
    judged = analyze("security", "--offline=true", "--json=short", f"--threshold={round(MOST_EXPOSED * 10)}", str(UNIT))

    exposure = sum(float(each["exposure"] or 0) for each in json.loads(judged.stdout))
    assert judged.returncode == 0, judged.stdout
    assert exposure > 0, "nothing was judged"


def test_the_unit_waits_for_a_stop_as_long_as_it_may_take() -> None:
    grace_s = next(
        float(line.split()[1])
        for line in (CHECKOUT / "config" / "penstock.yaml").read_text().splitlines()
        if line.startswith("stop_grace_s:")
    )

    settings = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#")

    assert float(settings["TimeoutStopSec"]) >= grace_s + 60  # docs/operations.md, Stopping


def test_how_a_key_is_made_under_systemd_is_told() -> None:
    assert KEYS_CREATE in (CHECKOUT / "docs" / "deployment.md").read_text().replace("\\\n    ", "")


def configured(directory: Path, upstream: str, *, port: int, admin_port: int) -> Path:
    """What an operator makes of the shipped configuration for the unit, as its head says."""
    config = directory / "config"
    shutil.copytree(CHECKOUT / "config", config)
    main = config / "penstock.yaml"
    edits = {
        "listen: 127.0.0.1:8000": f"listen: 127.0.0.1:{port}",
        "listen: 127.0.0.1:8001": f"listen: 127.0.0.1:{admin_port}",
        "token_env: PENSTOCK_ADMIN_TOKEN": "token_file: /run/credentials/penstock.service/admin_token",
        "api_key_env: OPENROUTER_API_KEY": "api_key_file: /run/credentials/penstock.service/openrouter_api_key",
        "https://openrouter.ai/api/v1": f"{upstream}/api/v1",
        "stop_notice_s: 5": "stop_notice_s: 0",
    }
    text = main.read_text()
    for before, after in edits.items():
        assert before in text, before
        text = text.replace(before, after, 1)
    main.write_text(text)
    secrets = config / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "admin_token").write_text("a-token-of-the-operator\n")
    (secrets / "openrouter_api_key").write_text("sk-or-test\n")
    return config


def test_systemd_starts_the_unit_which_serves_confined_and_stops_in_order(sandbox: Sandbox, tmp_path: Path) -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(f"no systemd can be started here: {reason}")
    port, admin_port = free_port(), free_port()
    config = configured(tmp_path, sandbox.base_url, port=port, admin_port=admin_port)

    with booted(tmp_path / "booted", UNIT, config) as one:
        state = one.state()
        assert (state["ActiveState"], state["SubState"]) == ("active", "running"), one.log.read_text()
        assert state["StatusText"] == "Serving requests."
        process = int(state["MainPID"])
        confined = one.within("cat", f"/proc/{process}/status")
        answer = answered(one, port)
        metrics = f"http://127.0.0.1:{admin_port}/metrics"
        stranger = httpx2.get(metrics)
        operator = httpx2.get(metrics, headers={"authorization": "Bearer a-token-of-the-operator"})
        readable = one.within("nsenter", "-m", "-t", str(process), "ls", "/etc/penstock/secrets")
        one.within("systemctl", "stop", "penstock.service")
        stopped = one.state()
        kept = one.within("ls", "/var/lib/private/penstock").split()

    said = dict(line.split(":\t", 1) for line in confined.splitlines() if ":\t" in line)
    assert (said["NoNewPrivs"], said["Seccomp"], said["CapEff"]) == ("1", "2", "0" * 16)
    assert int(said["Uid"].split()[0]) >= 61184, "not a dynamic user"  # systemd's range for them begins there
    assert answer["choices"]
    assert (stranger.status_code, operator.status_code) == (401, 200)
    assert "admin_token" not in readable
    assert (stopped["ActiveState"], stopped["Result"], stopped["ExecMainStatus"]) == ("inactive", "success", "0")
    assert {"penstock.sqlite", "pepper"} <= set(kept)


def answered(one: Booted, port: int) -> dict[str, object]:
    """A chat by a key that is made as docs/deployment.md says: as the service's user, on its state directory."""
    made = json.loads(one.run_once(KEYS_CREATE + " --json"))
    body = {"model": "auto", "messages": [{"role": "user", "content": "Tell me about rain."}]}
    headers = {"authorization": f"Bearer {made['key']}"}
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}/v1", headers=headers, timeout=30) as client:
        eventually(lambda: client.get("/models").status_code == 200, within_s=10)
        answer: dict[str, object] = client.post("/chat/completions", json=body).json()
    return answer


def test_a_server_is_ready_when_it_serves_lives_and_says_that_it_stops(sandbox: Sandbox, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with (
        closing(Ear(address)) as ear,
        running_proxy(tmp_path, sandbox.base_url, NOTIFY_SOCKET=address, WATCHDOG_USEC="200000") as proxy,
    ):
        ready = ear.until("READY")
        alive = ear.until("WATCHDOG")
        proxy.process.send_signal(signal.SIGTERM)
        stopping = ear.until("STOPPING")
        code = proxy.process.wait(_PATIENCE_S)

    assert (ready["READY"], alive["WATCHDOG"], stopping["STOPPING"], code) == ("1", "1", "1", 0)


def test_a_server_that_cannot_start_never_says_that_it_is_ready(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    ear = Ear(address)
    process = subprocess.run(
        [sys.executable, "-m", "router.cli.main", "serve", "--config", str(tmp_path / "none")],
        env={**os.environ, "NOTIFY_SOCKET": address},  # noqa: TID251 - a test's child inherits its surroundings
        cwd=CHECKOUT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    Supervisor(address).stopping()  # ours, behind whatever it said

    assert process.returncode == 1
    with closing(ear):
        assert "STOPPING" in ear.next()
