"""An installation without extras: what is counted is what it takes to serve."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.supply_chain.runtime import runtime_set

CHECKOUT = Path(__file__).resolve().parents[2]

_START_S = 60.0


@pytest.fixture
def installation(tmp_path: Path) -> dict[str, str]:
    """The surroundings of a Python that finds what `pip install penstock` brings, and nothing else that is here."""
    place = tmp_path / "site"
    place.mkdir()
    for installed in runtime_set().values():
        for top in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            if not (place / top).exists():
                (place / top).symlink_to(Path(str(installed.locate_file(top))))
    return {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")},  # noqa: TID251
        "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{place}",
        "STATE_DIRECTORY": str(tmp_path / "state"),
    }


def penstock(*arguments: str) -> list[str]:
    return [sys.executable, "-S", "-m", "router.cli.main", *arguments]


@contextmanager
def demo(environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Where it serves, and a key."""
    arguments = penstock("serve", "--demo", "--port", "0", "--admin-port", "0")
    with subprocess.Popen(arguments, env=environment, cwd=CHECKOUT, stdout=-1, stderr=-2, text=True) as process:
        assert process.stdout is not None
        said = ""
        try:
            for line in process.stdout:
                said += line
                key, address = re.search(r"psk_\S+", said), re.search(r"http://127\.0\.0\.1:\d+/v1", said)
                if key is not None and address is not None:
                    yield address[0], key[0]
                    return
            pytest.fail(said)
        finally:
            process.terminate()
            process.communicate(timeout=_START_S)


def test_it_serves(installation: dict[str, str]) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "What is a penstock?"}], "max_tokens": 20}
    with demo(installation) as (address, key):
        answer = httpx2.post(
            f"{address}/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}, timeout=_START_S
        )

    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]


MISSING = (
    "json_schema needs jsonschema-rs, which is not installed: pip install 'penstock[verify]'",
    "it needs psycopg, which is not installed: pip install 'penstock[shared]'",
    "it needs redis, which is not installed: pip install 'penstock[shared]'",
    "a package that is not installed: pip install 'penstock[otel]'",
)


@pytest.mark.parametrize("command", [["check"], ["serve", "--config"]], ids=["check", "serve"])
def test_a_configuration_that_needs_an_extra_says_what_to_install(
    installation: dict[str, str], tmp_path: Path, command: list[str]
) -> None:
    config = tmp_path / "config"
    shutil.copytree(CHECKOUT / "config", config)
    (config / "teams" / "checked.yaml").write_text(
        "team: checked\ntime_zone: UTC\naliases: {auto: {policy: p}}\n"
        "policies: {p: {candidates: [openai/gpt-5.4], verify: [json_schema]}}\n"
    )
    with (config / "penstock.yaml").open("a") as main:
        main.write("\nredis: {url_env: A_REDIS_URL}\npostgres: {url_env: A_POSTGRES_URL}\ntraces: {}\n")

    told = subprocess.run(
        penstock(*command, str(config)),
        env=installation,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_START_S,
    )

    assert told.returncode == 1
    assert [each for each in MISSING if each not in told.stderr] == []
