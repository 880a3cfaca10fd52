"""`make test-image`: the Dockerfile's steps are carried out, and what they install serves without any right.

Not among the tests of `make test`: it installs every locked package anew.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.deploy.image import built, contained, stages, why_not
from tests.deploy.places import CHECKOUT
from tests.e2e.conftest import Sandbox, running_sandbox
from tests.torture.stores import free_port
from tests.waiting import eventually


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox") / "log") as sandbox:
        yield sandbox


def configured(directory: Path, upstream: str, port: int, admin_port: int) -> Path:
    config = directory / "config"
    shutil.copytree(CHECKOUT / "config", config)
    main = config / "penstock.yaml"
    text = main.read_text().replace("https://openrouter.ai/api/v1", f"{upstream}/api/v1")
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("127.0.0.1:8001", f"127.0.0.1:{admin_port}")
    text = text.replace("api_key_env: OPENROUTER_API_KEY", "api_key_file: openrouter_api_key")
    main.write_text(text.replace("stop_notice_s: 5", "stop_notice_s: 0"))
    (config / "openrouter_api_key").write_text("sk-or-test")
    return config


def test_what_the_image_s_steps_install_serves_without_any_right_on_a_read_only_root(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(f"the image's steps cannot be carried out here: {reason}")
    _, (build, final) = stages()
    port, admin_port = free_port(), free_port()
    config = configured(tmp_path, sandbox.base_url, port, admin_port)
    (copied,) = [each.words for each in final.all("COPY")]
    assert copied[0] == f"--from={build.name}"
    installed = built(tmp_path / "build", build) / copied[1].lstrip("/")
    upper = built(tmp_path / "final", final, copied=[(installed, copied[2])])
    health = [word.replace("8000", str(port)) for word in final.one("HEALTHCHECK").command]

    (tmp_path / "run").mkdir()
    with contained(tmp_path / "run", upper, final, binds=[(config, "/etc/penstock")]) as container:
        eventually(lambda: container.process.poll() is not None or answers(port), within_s=30)
        assert container.process.poll() is None, container.log.read_text()
        healthy = container.run(health)
        made = container.run(["penstock", "keys", "create", "--team", "search", "--json", "--config", "/etc/penstock"])
        written = container.run(["touch", "/opt/penstock/x"])
        answer = chat(port, json.loads(made.stdout)["key"])
        container.process.send_signal(signal.SIGTERM)
        code = container.process.wait(60)
        unhealthy = subprocess.run([sys.executable, *health[1:]], capture_output=True, check=False)

    assert (healthy.returncode, healthy.stderr) == (0, "")
    assert unhealthy.returncode != 0
    assert answer["choices"]
    assert "Read-only file system" in written.stderr
    assert code == 0, container.log.read_text()


def answers(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def chat(port: int, key: str) -> dict[str, object]:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Tell me about rain."}]}
    headers = {"authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}/v1", headers=headers, timeout=30) as client:
        eventually(lambda: client.get("/models").status_code == 200, within_s=10)
        answer: dict[str, object] = client.post("/chat/completions", json=body).json()
    return answer
