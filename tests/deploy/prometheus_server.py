"""A real Prometheus under the configuration that is shipped, with other targets and a shorter step."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from ruamel.yaml import YAML

from tests.torture.stores import free_port
from tests.waiting import eventually

CHECKOUT = Path(__file__).resolve().parents[2]
SHIPPED = CHECKOUT / "deploy" / "prometheus"


def needed(program: str) -> str:
    """The program of Debian's package `prometheus`; without it the test is left out, but not in CI."""
    found = shutil.which(program)
    if found is None:
        assert os.environ.get("CI") != "true", f"CI must have {program} installed"  # noqa: TID251 - CI says so
        pytest.skip(f"{program} is not installed (Debian: prometheus)")
    return found


@dataclass(frozen=True, slots=True)
class Series:
    """What a query has found: labels, and the values over time."""

    labels: Mapping[str, str]
    values: Sequence[float]


class PrometheusServer:
    """Its API."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http

    def ask(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - foreign JSON
        """The `data` of an answer; fails with Prometheus' own words."""
        reply = self._http.get(f"/api/v1/{path}", params=parameters).json()
        assert reply["status"] == "success", f"{reply.get('error')}\n{parameters}"
        return reply["data"]

    def at_once(self, expr: str) -> list[Series]:
        """The value of an expression now."""
        data = self.ask("query", query=expr)
        if data["resultType"] == "scalar":
            return [Series({}, [float(data["result"][1])])]
        return [Series(each["metric"], [float(each["value"][1])]) for each in data["result"]]

    def over(self, expr: str, *, last_s: int) -> list[Series]:
        """Its values of the last seconds, one each."""
        now = float(self.ask("query", query="time()")["result"][1])
        data = self.ask("query_range", query=expr, start=str(now - last_s), end=str(now), step="1")
        return [Series(each["metric"], [float(value) for _, value in each["values"]]) for each in data["result"]]

    def scrapes(self, instance: str) -> int:
        """How often that instance has been scraped with success."""
        found = self.at_once(f'sum_over_time(up{{instance="{instance}"}}[1h])')
        return int(found[0].values[0]) if found else 0

    def faulty_rules(self) -> list[str]:
        """Rules that could not be evaluated, each with the reason."""
        return [
            f"{rule['name']}: {rule.get('lastError')}"
            for group in self.ask("rules")["groups"]
            for rule in group["rules"]
            if rule["health"] != "ok"
        ]

    def has_evaluated_all(self) -> bool:
        groups = self.ask("rules")["groups"]
        return bool(groups) and all(rule["health"] != "unknown" for group in groups for rule in group["rules"])


@contextmanager
def running_prometheus(
    directory: Path, targets: Sequence[str], *, token: str | None = None, interval: str = "1s"
) -> Iterator[PrometheusServer]:
    """Scrapes these addresses and evaluates the shipped rules, once an interval."""
    program = needed("prometheus")
    directory.mkdir(parents=True, exist_ok=True)
    yaml = YAML(typ="safe", pure=True)
    config = yaml.load((SHIPPED / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": interval, "evaluation_interval": interval}
    config["rule_files"] = [str(SHIPPED / name) for name in config["rule_files"]]
    (scrape,) = config["scrape_configs"]
    scrape["static_configs"] = [{"targets": list(targets)}]
    if token is None:
        del scrape["authorization"]
    else:
        scrape["authorization"]["credentials_file"] = str(directory / "token")
        (directory / "token").write_text(token)
    with (directory / "prometheus.yml").open("w", encoding="utf-8") as file:
        yaml.dump(config, file)
    port = free_port()
    options = [f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={directory / 'data'}"]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [program, f"--config.file={directory / 'prometheus.yml'}", *options], stdout=log, stderr=log
        )
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            eventually(lambda: _is_ready(http), within_s=20)
            yield PrometheusServer(http)
    finally:
        process.terminate()
        process.wait(20)


def _is_ready(http: httpx2.Client) -> bool:
    try:
        return http.get("/-/ready").status_code == 200
    except httpx2.TransportError:
        return False
