"""Real processes on loopback: `penstock sandbox` as OpenRouter, `penstock serve` in front of it, official clients."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import openai
import pytest

from router.keys import written
from router.storage.pepper import pepper
from router.storage.sqlite import SqliteStore
from tests.storage.made_keys import made_keys

CHECKOUT = Path(__file__).resolve().parents[2]

PENSTOCK = ("-m", "router.cli.main")

_START_S = 30  # what a process may take until it answers, on a busy machine


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox and its bill."""

    base_url: str
    http: httpx2.Client
    process: "subprocess.Popen[bytes]"

    def bill_nano_usd(self) -> int:
        total: int = self.http.get("/sandbox/bill").json()["total_nano_usd"]
        return total

    def last_request(self) -> dict[str, object]:
        """The body of the last chat request, as the sandbox received it."""
        return self.requests()[-1]

    def requests(self) -> list[dict[str, object]]:
        """The bodies of the latest chat requests, in the order in which they came."""
        return [each["body"] for each in self.http.get("/sandbox/requests").json()["requests"]]


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy with a key for each team of the configuration."""

    base_url: str
    admin_url: str
    keys: Mapping[str, str]
    config: Path
    environment: Mapping[str, str]
    http: httpx2.Client  # for raw requests; safe to share between threads
    clients: Mapping[str, openai.OpenAI]
    process: "subprocess.Popen[bytes]"

    def client(self, team: str = "search") -> openai.OpenAI:
        """The official client of a team: it points at the proxy, has the team's key, and does not retry."""
        return self.clients[team]

    def metrics(self) -> str:
        return self.http.get(f"{self.admin_url}/metrics").text

    def chat(self, team: str, body: Mapping[str, object], **headers: str) -> httpx2.Response:
        """A chat request as it is, without a client library; header names with `_` for `-`."""
        return self.http.post(
            f"{self.base_url}/chat/completions",
            json=body,
            headers={
                "authorization": f"Bearer {self.keys[team]}",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )

    def spend_nano_usd(self) -> int:
        """The ledger's total, by the command an accountant would use."""
        rows = json.loads(self.command("spend", "--by", "", "--json"))
        return sum(row["cost_nano_usd"] for row in rows)

    def command(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        """What `penstock ARGUMENTS` prints under this proxy's configuration; fails if it exits with an error."""
        return run_penstock(
            *arguments, "--config", str(self.config), environment=self.environment, stdin=stdin, check=True
        ).stdout


def run_penstock(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    check: bool = False,
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "router.cli.main", *arguments],
        env=dict(environment or os.environ),  # noqa: TID251 - a test's child inherits its surroundings
        input=stdin,
        capture_output=True,
        cwd=CHECKOUT,
        timeout=60,
        check=check,
    )


@contextmanager
def running_sandbox(log: Path, *options: str) -> Iterator[Sandbox]:
    arguments = ["sandbox", "--port", "0", "--time-scale", "0", *options]
    with _process(arguments, dict(os.environ), log) as process:  # noqa: TID251 - a child inherits our surroundings
        (origin,) = _announced(process, log, ["sandbox at "])
        base_url = origin.split("/api/v1")[0]
        with httpx2.Client(base_url=base_url, timeout=30) as http:
            yield Sandbox(base_url=base_url, http=http, process=process)


@contextmanager
def running_proxy(
    directory: Path,
    upstream: str,
    *,
    edit: Callable[[Path], None] | None = None,
    program: Sequence[str] = PENSTOCK,
    by_command: bool = False,
    options: Sequence[str] = (),
    **variables: str,
) -> Iterator[Proxy]:
    """A proxy under a copy of the shipped configuration that asks `upstream` in OpenRouter's place.

    `options` are added to its command line, `variables` to its environment. Keys are put into its SQLite file, or made
    `by_command` where it has none.
    """
    config = directory / "config"
    shutil.copytree(CHECKOUT / "config", config)
    main = config / "penstock.yaml"
    text = main.read_text().replace("https://openrouter.ai/api/v1", f"{upstream}/api/v1")
    main.write_text(text.replace("stop_notice_s: 5", "stop_notice_s: 0"))  # there is no balancer to notice
    if edit is not None:
        edit(config)
    environment = {
        **os.environ,  # noqa: TID251 - a child inherits our surroundings
        "OPENROUTER_API_KEY": "sk-or-test",
        "STATE_DIRECTORY": str(directory / "state"),
        **variables,
    }
    environment.pop("DEEPSEEK_API_KEY", None)
    teams = [team.stem for team in sorted((config / "teams").glob("*.yaml"))]
    keys = _keys_by_command(config, environment, teams) if by_command else _keys(directory / "state", teams)
    arguments = ["serve", "--config", str(config), "--port", "0", "--admin-port", "0", *options]
    log = directory / "proxy.log"
    with _process(arguments, environment, log, program) as process, ExitStack() as open_clients:
        base_url, console = _announced(process, log, ["base URL ", "console "])
        yield Proxy(
            base_url=base_url,
            admin_url=console.rstrip("/"),
            keys=keys,
            config=config,
            environment=environment,
            http=open_clients.enter_context(httpx2.Client(timeout=60)),
            clients={
                team: open_clients.enter_context(openai.OpenAI(base_url=base_url, api_key=key, max_retries=0))
                for team, key in keys.items()
            },
            process=process,
        )


@dataclass(frozen=True, slots=True)
class Demo:
    """What `make run` has started where no provider's key is set."""

    base_url: str
    key: str  # the printed one
    state: Path
    environment: Mapping[str, str]


@contextmanager
def running_demo(directory: Path) -> Iterator[Demo]:
    environment = {**os.environ, "STATE_DIRECTORY": str(directory / "state")}  # noqa: TID251 - as above
    for name in ("OPENROUTER_API_KEY", "DEEPSEEK_API_KEY"):
        environment.pop(name, None)
    arguments = ["serve", "--demo", "--config", "config", "--port", "0", "--admin-port", "0"]
    log = directory / "demo.log"
    with _process(arguments, environment, log) as process:
        base_url, key = _announced(process, log, ["base URL ", "API key "])
        yield Demo(base_url=base_url, key=key, state=directory / "state", environment=environment)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox") / "sandbox.log") as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def own_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """For tests that compare its whole bill with the ledger, or change what it sells."""
    with running_sandbox(tmp_path_factory.mktemp("sandbox") / "log") as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def proxy(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), sandbox.base_url) as proxy:
        yield proxy


def _keys(state: Path, teams: Sequence[str]) -> dict[str, str]:
    state.mkdir(parents=True, exist_ok=True)
    with closing(SqliteStore(state / "penstock.sqlite")) as store:
        made = made_keys(store, pepper(state / "pepper", secrets.token_bytes), teams)
    return {team: written(key) for team, (key,) in made.items()}


def _keys_by_command(config: Path, environment: Mapping[str, str], teams: Sequence[str]) -> dict[str, str]:
    return {
        team: json.loads(
            run_penstock(
                "keys", "create", "--config", str(config), "--team", team, "--json", environment=environment, check=True
            ).stdout
        )["key"]
        for team in teams
    }


@contextmanager
def _process(
    arguments: list[str], environment: dict[str, str], log: Path, program: Sequence[str] = PENSTOCK
) -> "Iterator[subprocess.Popen[bytes]]":
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-u", *program, *arguments],
            env=environment,
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_START_S)
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _announced(process: "subprocess.Popen[bytes]", log: Path, marks: list[str]) -> list[str]:
    """The words after each mark in what the process prints, in order; it announces itself before it is asked."""
    assert process.stdout is not None
    words = []
    for mark in marks:
        for line in iter(process.stdout.readline, b""):
            _, found, rest = line.decode().partition(mark)
            if found:
                words.append(rest.split()[0].rstrip(","))
                break
        else:
            pytest.fail(f"the process ended before it said {mark!r}:\n{log.read_text()}")
    return words
