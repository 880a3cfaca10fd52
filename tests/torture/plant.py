"""The sandbox and the replicas in front of it, as real processes that can be killed and started again: `Plant`."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from router.keys import Secret, written
from router.storage.pepper import pepper
from router.storage.postgres import PostgresStore
from router.storage.sqlite import SqliteStore
from router.storage.store import Store
from tests.storage.made_keys import made_keys
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun, SharedStores, free_port, running_stores, wait_for_port

CHECKOUT = Path(__file__).resolve().parents[2]

_START_S = 180.0  # what a process may take until it answers, on a busy machine
_STOP_S = 60.0
_REDIS_ENV, _POSTGRES_ENV = "TORTURE_REDIS_URL", "TORTURE_POSTGRES_URL"
_SHARED = f"""
redis: {{{{url_env: {_REDIS_ENV}{{redis_options}}}}}}
postgres: {{{{url_env: {_POSTGRES_ENV}}}}}
"""

# Two models of the shipped catalog, by what happens to the bill when a stream is given up: DeepInfra, which serves
# the first, stops billing then; Google, which serves the second, bills to the end (router/sandbox/stock.py).
STOPS_AT_CANCEL = "deepseek/deepseek-v4-flash"
RUNS_TO_THE_END = "google/gemini-3.1-flash-lite"

AMPLE = f"""
team: ample
time_zone: UTC
budgets:
  - {{limit_usd: 100000, per: month}}
aliases:
  stops: {{model: {STOPS_AT_CANCEL}}}
  runs: {{model: {RUNS_TO_THE_END}}}
  stops-long: {{model: deepseek/deepseek-v4-pro}}
  runs-long: {{model: google/gemini-3.1-pro-preview}}
"""
"""A team whose budget nothing here can spend. The two `-long` models write longer answers, at the same providers."""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, and whose it is."""

    id: str
    team: str
    text: str


@dataclass(slots=True)
class Replica:
    """One `penstock serve`. It keeps its ports when it is started again."""

    config: Path
    environment: Mapping[str, str]
    log: Path
    options: Sequence[str] = ()  # of `penstock serve`, besides its ports
    program: Sequence[str] = ("router.cli.main",)  # the module that serves, and what it is told first
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    starts: int = 0

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, *, is_awaited: bool = True) -> None:
        arguments = ["--config", str(self.config), "--port", str(self.port), "--admin-port", str(self.admin_port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.program, "serve", *arguments, *self.options],
                env=dict(self.environment),
                cwd=CHECKOUT,
                stdout=log,
                stderr=log,
            )
        self.starts += 1
        if is_awaited:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return when it serves. Raises CannotRun if it ends instead."""
        deadline_s = time.monotonic() + _START_S
        while not self.is_ready():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline_s:
                raise CannotRun(f"penstock serve does not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)

    def wait_until_listening(self) -> None:
        """Return when connections are taken, ready or not."""
        wait_for_port(self.port, process=self.process)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as reply:
                return bool(reply.status == 200)
        except (OSError, HTTPException):
            return False

    def kill(self) -> None:
        """SIGKILL: whatever it was doing, it does no more."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: it lives, and does nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, and wait for it to end in order."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def admin(self, path: str) -> Any:  # noqa: ANN401 - foreign JSON
        """What the admin port says, or None if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as reply:
                return json.loads(reply.read())
        except (OSError, HTTPException, ValueError):
            return None

    def metric(self, name: str) -> float | None:
        """The sum of a metric over its labels, or None if the admin port does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=5) as reply:
                lines = reply.read().decode().splitlines()
        except (OSError, HTTPException):
            return None
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


@dataclass(frozen=True, slots=True)
class Plant:
    """Everything that runs."""

    directory: Path
    sandbox_port: int
    replicas: Sequence[Replica]
    shared: SharedStores | None
    state: Path  # the state directory, which replicas on one machine share
    keys: Mapping[str, Sequence[Key]]  # by team

    @property
    def journals(self) -> Path:
        return self.state / "journal"

    def sandbox(self, path: str) -> Any:  # noqa: ANN401 - foreign JSON
        """What the sandbox answers to a GET."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.sandbox_port}{path}", headers={"authorization": "Bearer sk-or-torture"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.loads(reply.read(), parse_float=str)

    @property
    def budgets_lag_s(self) -> float:
        """How old the budgets may be that a replica tells: those in Redis are read once a second."""
        return 0.0 if self.shared is None else 2.0

    def is_idle(self) -> bool:
        """Whether every replica has settled everything and the ledger has all of it."""
        return all(
            replica.metric("penstock_in_flight_requests") == 0 and replica.metric("penstock_ledger_lag_seconds") == 0
            for replica in self.replicas
        )


def _nothing_more(_: int) -> Mapping[str, str]:
    return {}


@contextmanager
def running_plant(
    setting: Setting,
    *,
    name: str,
    teams: Mapping[str, str],
    time_scale: float,
    keys_per_team: int = 1,
    environment: Callable[[int], Mapping[str, str]] = _nothing_more,
    redis_environment: Mapping[str, str] | None = None,
    redis_options: str = "",
    stop_notice_s: float = 0.0,
    replicas: int | None = None,
    state: Path | None = None,
    is_started: bool = True,
    upstream_port: int | None = None,
    has_breakers: bool = False,
    options: Sequence[str] = (),
) -> Iterator[Plant]:
    """The sandbox, the stores of the setting, and replicas under the shipped catalog with these teams.

    `environment` says what each replica, by its number, finds in its surroundings besides ours; `redis_options` are
    further keys of the section `redis` in penstock.yaml, `options` those of `penstock serve`. With an `upstream_port`
    there is no sandbox, but a provider of the experiment's own.
    """
    directory = setting.directory / name
    directory.mkdir(parents=True)
    state = state or directory / "state"
    state.mkdir(exist_ok=True)
    with ExitStack() as running:
        sandbox_port = upstream_port or running.enter_context(
            _sandbox(directory, seed=setting.seed, time_scale=time_scale)
        )
        shared = (
            running.enter_context(running_stores(directory, redis_environment or {}))
            if setting.stores == "shared"
            else None
        )
        stores = _SHARED.format(redis_options=redis_options) if shared is not None else ""
        config = _configured(
            directory,
            teams,
            provider_port=sandbox_port,
            stores=stores,
            stop_notice_s=stop_notice_s,
            has_breakers=has_breakers,
        )
        surroundings = _environment(state, shared)
        instances = [
            Replica(config, {**surroundings, **environment(number)}, directory / f"replica-{number}.log", options)
            for number in range(replicas or setting.replicas)
        ]
        keys = _keys(state, shared, teams, keys_per_team)
        plant = Plant(directory, sandbox_port, instances, shared, state, keys)
        for replica in instances:
            running.callback(replica.stop)
        if is_started:
            for replica in instances:
                replica.start()
        yield plant


def _keys(state: Path, shared: SharedStores | None, teams: Iterable[str], count: int) -> dict[str, list[Key]]:
    """New keys of each team, as `penstock keys create` makes them."""
    store: Store
    store = SqliteStore(state / "penstock.sqlite") if shared is None else PostgresStore(Secret(shared.postgres.url))
    made = made_keys(store, pepper(state / "pepper", secrets.token_bytes), teams, each=count)
    store.close()
    return {team: [Key(key.id, team, written(key)) for key in keys] for team, keys in made.items()}


def _configured(
    directory: Path,
    teams: Mapping[str, str],
    *,
    provider_port: int,
    stores: str,
    stop_notice_s: float,
    has_breakers: bool,
) -> Path:
    config = directory / "config"
    shutil.copytree(CHECKOUT / "config", config)
    for shipped in (config / "teams").glob("*.yaml"):
        shipped.unlink()
    for team, text in teams.items():
        (config / "teams" / f"{team}.yaml").write_text(text)
    main = config / "penstock.yaml"
    text = main.read_text().replace("https://openrouter.ai/api/v1", f"http://127.0.0.1:{provider_port}/api/v1")
    if not has_breakers:  # where faults are drawn by request, no deployment is at fault
        text = text.replace("breakers: true", "breakers: false")
    text = text.replace("stop_notice_s: 5", f"stop_notice_s: {stop_notice_s:g}")
    main.write_text(text + stores)
    return config


def _environment(state: Path, shared: SharedStores | None) -> dict[str, str]:
    environment = {
        **os.environ,  # noqa: TID251 - a child inherits our surroundings
        "OPENROUTER_API_KEY": "sk-or-torture",
        "STATE_DIRECTORY": str(state),
    }
    environment.pop("DEEPSEEK_API_KEY", None)
    if shared is not None:
        environment |= {_REDIS_ENV: shared.redis.url, _POSTGRES_ENV: shared.postgres.url}
    return environment


@contextmanager
def _sandbox(directory: Path, *, seed: int, time_scale: float) -> Iterator[int]:
    port = free_port()
    arguments = ["sandbox", "--port", str(port), "--time-scale", str(time_scale), "--seed", str(seed)]
    with (directory / "sandbox.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "router.cli.main", *arguments], cwd=CHECKOUT, stdout=log, stderr=log
        )
    try:
        wait_for_port(port, process=process)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
