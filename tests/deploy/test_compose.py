"""deploy/compose.yaml: sound, without a password in clear, and what it mounts is there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from ruamel.yaml import YAML

from tests.deploy.places import CHECKOUT, DEPLOY
from tests.e2e.conftest import run_penstock
from tests.torture.stores import free_port, wait_for_port

COMPOSE = DEPLOY / "compose.yaml"

Service = dict[str, Any]


def composed() -> dict[str, Any]:
    read: dict[str, Any] = YAML(typ="safe").load(COMPOSE)
    return read


def services() -> dict[str, Service]:
    found: dict[str, Service] = composed()["services"]
    return found


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What `deploy/secrets.sh` makes."""
    directory = tmp_path / "secrets"
    make_secrets(directory)
    return directory


def make_secrets(directory: Path, key: str = "sk-or-test") -> str:
    environment = {"PATH": os.defpath, "OPENROUTER_API_KEY": key}
    done = subprocess.run([DEPLOY / "secrets.sh", directory], env=environment, capture_output=True, check=True)
    return done.stdout.decode()


def test_it_is_what_compose_reads() -> None:
    program = Path(sys.executable).with_name("check-jsonschema")

    checked = subprocess.run(
        [program, "--builtin-schema", "vendor.compose-spec", COMPOSE], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout


def test_who_is_waited_for_says_when_he_is_healthy() -> None:
    for name, service in services().items():
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, name
            has_its_own = services()[other].get("build") is not None  # the image's HEALTHCHECK
            assert has_its_own or "healthcheck" in services()[other], other


def test_no_password_stands_in_clear_or_in_an_environment() -> None:
    for name, service in services().items():
        for variable, value in service.get("environment", {}).items():
            is_secret = re.search("PASSWORD|TOKEN|KEY|SECRET", variable) is not None
            assert not is_secret or value.startswith("/run/secrets/"), f"{name}: {variable}"
    assert "POSTGRES_PASSWORD:" not in COMPOSE.read_text()


def test_what_is_reachable_from_outside_is_on_loopback() -> None:
    ports = [port for service in services().values() for port in service.get("ports", [])]

    assert len(ports) >= 4
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert composed()["networks"]["stores"] == {"internal": True}


def test_ours_may_write_to_its_volumes_only() -> None:
    for name in ("penstock", "sandbox"):
        service = services()[name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_a_stop_has_the_time_that_it_may_take() -> None:
    grace = re.search(r"^stop_grace_s: (\d+)$", (DEPLOY / "docker" / "penstock.yaml").read_text(), re.MULTILINE)

    assert grace is not None
    assert int(services()["penstock"]["stop_grace_period"].removesuffix("s")) >= int(grace[1]) + 60


def test_what_is_mounted_from_the_checkout_is_there() -> None:
    for name, service in services().items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), f"{name}: {source}"
            else:
                assert source in composed()["volumes"], f"{name}: {source}"
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()


def test_every_secret_is_made_once_and_stays(secrets: Path) -> None:
    wanted = {Path(each["file"]) for each in composed()["secrets"].values()}
    used = {name for service in services().values() for name in service.get("secrets", [])}
    before = {path.name: path.read_text() for path in secrets.iterdir()}

    make_secrets(secrets, key="sk-or-another")

    assert used == set(composed()["secrets"])
    assert {path.name for path in wanted} <= set(before)
    assert {path.parent for path in wanted} == {Path("secrets")}
    assert "deploy/secrets/" in (CHECKOUT / ".gitignore").read_text().splitlines()
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    assert (
        len({before[name] for name in ("admin_token", "metrics_token", "grafana_password", "postgres_password")}) == 4
    )
    assert all(len(before[name]) >= 48 for name in ("admin_token", "metrics_token", "grafana_password"))
    assert oct(secrets.stat().st_mode & 0o777) == "0o700"


def test_a_key_that_is_missing_is_said_to_be(tmp_path: Path) -> None:
    assert "openrouter_api_key is empty" in make_secrets(tmp_path / "secrets", key="")


def test_penstock_s_configuration_is_valid_with_these_secrets(secrets: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CHECKOUT / "config", config)
    text = (DEPLOY / "docker" / "penstock.yaml").read_text()
    (config / "penstock.yaml").write_text(text.replace("/run/secrets", str(secrets)))

    checked = run_penstock("check", str(config))

    said = checked.stderr.decode()
    assert checked.returncode == 0, said
    assert re.findall(r"secrets/(\w+)", said) == ["deepseek_api_key"], said
    for name in re.findall(r"/run/secrets/(\w+)", text):
        assert name == "deepseek_api_key" or name in services()["penstock"]["secrets"]


@contextmanager
def running(command: list[str], log: Path, port: int) -> Iterator[None]:
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file, cwd=log.parent) as process:
        try:
            wait_for_port(port, process=process)
            yield
        finally:
            process.kill()


def test_the_server_of_counters_starts_as_told_wants_its_password_and_evicts_nothing(
    secrets: Path, tmp_path: Path
) -> None:
    program = shutil.which("redis-server")  # Valkey takes the same; Debian 12 has none
    if program is None and os.environ.get("CI") != "true":  # noqa: TID251 - whether to skip is a test's business
        pytest.skip("redis-server is not installed")
    assert program is not None
    port = free_port()
    command = [word.replace("/run/secrets", str(secrets)) for word in services()["valkey"]["command"]]
    url = (secrets / "redis_url").read_text().strip().replace("valkey:6379", f"127.0.0.1:{port}")

    with running([program, *command[1:], "--port", str(port)], tmp_path / "redis.log", port):
        with redis.Redis.from_url(url) as client:
            evicts = client.config_get("maxmemory-policy")
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()

    assert evicts == {"maxmemory-policy": "noeviction"}


def test_prometheus_reads_its_configuration(secrets: Path, tmp_path: Path) -> None:
    program = shutil.which("promtool")
    if program is None and os.environ.get("CI") != "true":  # noqa: TID251 - whether to skip is a test's business
        pytest.skip("promtool is not installed")
    assert program is not None
    shutil.copytree(DEPLOY / "prometheus" / "rules", tmp_path / "rules")
    text = (DEPLOY / "docker" / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(text.replace("/run/secrets", str(secrets)))

    checked = subprocess.run(
        [program, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stderr
    assert "rules found" in checked.stdout
