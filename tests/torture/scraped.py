"""m: what a real Prometheus shows of several processes: no panel empty, no rule failing, and sums equal to the bill.

Two replicas of two workers each, on Redis and PostgreSQL; four replicas where `penstock serve` has no workers.
"""

import asyncio
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import httpx2

from tests.deploy.everything import POOR, TEAM, Clients, with_everything
from tests.deploy.expressions import as_grafana_sends, existing, named, panel_queries, rules
from tests.deploy.prometheus_server import PrometheusServer, Series, running_prometheus
from tests.torture.books import LedgerReader, bill_total_nano_usd, is_settled
from tests.torture.plant import CHECKOUT, Plant, Replica, running_plant
from tests.torture.result import Result, at_least, equal, none, told
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun

TITLE = "dashboards and rules on a Prometheus that scrapes several processes"

_PROCESSES = 4
_INTERVAL_S = 2
_RATE_INTERVAL = "30s"
_SETTLED_WITHIN_S = 60.0


async def run(setting: Setting, command: str) -> Result:
    if setting.stores != "shared":
        raise CannotRun("one process on SQLite is what tests/deploy/test_scraped.py looks at; run with --stores shared")
    if shutil.which("prometheus") is None:
        raise CannotRun("prometheus is not installed (Debian: apt-get install prometheus)")
    started_s = time.monotonic()
    lasts_s = setting.scaled(600, 40)
    workers = 2 if _has_workers() else 1
    with running_plant(
        setting,
        name="m",
        teams={"every": TEAM, "poor": POOR},
        time_scale=0.02,
        replicas=_PROCESSES // workers,
        has_breakers=True,
        is_started=False,
        options=("--workers", str(workers)) if workers > 1 else (),
    ) as plant:
        with_everything(plant.replicas[0].config)
        for replica in plant.replicas:
            replica.start()
        targets = [f"127.0.0.1:{replica.admin_port}" for replica in plant.replicas]
        directory = setting.directory / "prometheus"
        with running_prometheus(directory, targets, interval=f"{_INTERVAL_S}s") as prometheus:
            async with asyncio.TaskGroup() as tasks:
                rounds = [tasks.create_task(asyncio.to_thread(_ask, plant, each, lasts_s)) for each in plant.replicas]
            empty = _empty_panels(prometheus)
            unrecorded = [rule.name for rule in rules() if not rule.is_alert and not _drawn(prometheus, rule.name)]
            faulty = prometheus.faulty_rules()
            alerts = sorted({each.labels["alertname"] for each in prometheus.at_once('ALERTS{alertstate="firing"}')})
            has_settled = await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
            await asyncio.sleep(3 * _INTERVAL_S)
            (spend,) = prometheus.at_once("sum(penstock_spend_usd_total)")
            scrapes = min(prometheus.scrapes(target) for target in targets)
            budgets = prometheus.at_once(
                "sum(penstock_spend_usd_total) - sum(job_team_project_per:penstock_budget_spent_usd:max"
                '{per="month", project=""}) - sum(job_team_project_per:penstock_budget_spent_usd:max{project=~"@.+"})'
            )
        billed = bill_total_nano_usd(plant)
        booked = sum(call.cost_nano_usd for call in LedgerReader(plant).calls())
        commanded = _spend_command_nano_usd(plant.replicas[0])
    metrics_nano_usd = round(spend.values[0] * 1e9)
    figures = (
        told("processes", f"{len(targets)} replicas of {workers}"),
        at_least("times each was scraped", scrapes, lasts_s / _INTERVAL_S / 2),
        at_least("rounds of everything", sum(each.result() for each in rounds), len(targets)),
        none("panels that show nothing", len(empty)),
        *[told("  empty", each) for each in empty[:5]],
        none("rules that fail", len(faulty)),
        *[told("  failing", each) for each in faulty[:3]],
        none("recording rules without a value", len(unrecorded)),
        *[told("  without", each) for each in unrecorded[:3]],
        told("alerts", ", ".join(alerts) or "none"),
        equal("everything settled", int(has_settled), 1),
        told("the sandbox's bill, nano-USD", billed),
        none("ledger - bill", booked - billed),
        none("penstock spend - bill", commanded - billed),
        none("sum(penstock_spend_usd_total) - bill", metrics_nano_usd - billed),
        none("the same - what month and shadow budgets say was spent", round(budgets[0].values[0] * 1e9)),
    )
    return Result("m", TITLE, command, figures, time.monotonic() - started_s)


def _ask(plant: Plant, replica: Replica, lasts_s: float) -> int:
    """Rounds of everything, one after the other; how many there were."""
    keys: Mapping[str, str] = {team: each[0].text for team, each in plant.keys.items()}
    deadline_s = time.monotonic() + lasts_s
    rounds = 0
    with httpx2.Client(timeout=60) as http:
        clients = Clients(f"http://127.0.0.1:{replica.port}/v1", keys, http, is_exact=True)
        while time.monotonic() < deadline_s:
            if rounds % 20 == 0:
                clients.break_down()
            clients.round()
            rounds += 1
    return rounds


def _empty_panels(prometheus: PrometheusServer) -> list[str]:
    known = existing()
    return [
        query.where
        for query in panel_queries()
        if named(query.expr) <= known
        and not _drawn(
            prometheus,
            as_grafana_sends(query.expr, rate_interval=_RATE_INTERVAL, time_range="5m"),
            is_instant=query.is_instant,
        )
    ]


def _drawn(prometheus: PrometheusServer, expr: str, *, is_instant: bool = True) -> bool:
    found: Sequence[Series] = prometheus.at_once(expr) if is_instant else prometheus.over(expr, last_s=30)
    return any(not math.isnan(value) for each in found for value in each.values)


def _spend_command_nano_usd(replica: Replica) -> int:
    """The ledger's total, by the command an accountant would use."""
    shown = subprocess.run(
        [sys.executable, "-m", "router.cli.main", "spend", "--config", str(replica.config), "--by", "", "--json"],
        env=dict(replica.environment),
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
    )
    return sum(int(row["cost_nano_usd"]) for row in json.loads(shown.stdout))


def _has_workers() -> bool:
    """Whether `penstock serve` can be several processes."""
    told = subprocess.run(
        [sys.executable, "-m", "router.cli.main", "serve", "--help"], cwd=CHECKOUT, capture_output=True, check=True
    )
    return b"--workers" in told.stdout
