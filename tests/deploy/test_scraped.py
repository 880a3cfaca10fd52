"""A real Prometheus scrapes a real server where everything happens: no rule fails, and no panel is empty."""

import math
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.deploy.everything import Clients, with_everything
from tests.deploy.expressions import as_grafana_sends, dashboards, existing, named, panel_queries, rules
from tests.deploy.prometheus_server import PrometheusServer, Series, running_prometheus
from tests.e2e.conftest import Proxy, running_proxy, running_sandbox
from tests.waiting import eventually

_SCRAPES = 8
_TOKEN = "a-token-for-prometheus"


@dataclass(frozen=True, slots=True)
class Scraped:
    prometheus: PrometheusServer
    proxy: Proxy


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """A Prometheus that has seen every kind of event at a server with an admin token, and sees them still."""
    directory = tmp_path_factory.mktemp("scraped")
    with (
        running_sandbox(directory / "sandbox.log") as sandbox,
        running_proxy(
            directory / "proxy", sandbox.base_url, edit=with_everything, PENSTOCK_ADMIN_TOKEN=_TOKEN
        ) as proxy,
    ):
        instance = proxy.admin_url.removeprefix("http://")
        with running_prometheus(directory / "prometheus", [instance], token=_TOKEN) as prometheus:
            clients = Clients(proxy.base_url, proxy.keys, proxy.http)
            clients.break_down()
            _reload(proxy)
            while prometheus.scrapes(instance) < _SCRAPES:
                clients.round()
            eventually(prometheus.has_evaluated_all, within_s=10)
            yield Scraped(prometheus, proxy)


def test_every_panel_shows_something(scraped: Scraped) -> None:
    known = existing()
    empty = [
        f"{query.where}: {query.expr}"
        for query in panel_queries()
        if named(query.expr) <= known
        and not _has_a_value(
            scraped.prometheus.at_once(sent) if query.is_instant else scraped.prometheus.over(sent, last_s=10)
            for sent in [as_grafana_sends(query.expr, rate_interval="10s", time_range="1m")]
        )
    ]

    assert empty == []


def test_every_variable_of_the_dashboards_has_choices(scraped: Scraped) -> None:
    """`label_values(selector, label)` is the only form there is."""
    for dashboard in dashboards():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                selector, label = variable["definition"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
                asked = {"match[]": as_grafana_sends(selector, rate_interval="10s", time_range="1m")}
                assert scraped.prometheus.ask(f"label/{label}/values", **asked), variable["definition"]


def test_every_rule_is_evaluated_and_every_recording_rule_has_a_value(scraped: Scraped) -> None:
    recorded = [rule for rule in rules() if not rule.is_alert]

    assert scraped.prometheus.faulty_rules() == []
    assert [rule.name for rule in recorded if not _has_a_value([scraped.prometheus.at_once(rule.name)])] == []


def test_only_the_alert_sounds_that_waits_for_nothing_though_everything_goes_wrong(scraped: Scraped) -> None:
    """A model has no price. A failed reload is seen within two minutes, so that it may sound or not."""
    firing = {each.labels["alertname"] for each in scraped.prometheus.at_once('ALERTS{alertstate="firing"}')}

    assert firing - {"PenstockReloadFailed"} == {"PenstockUnpricedModel"}


def test_what_prometheus_adds_up_is_what_the_ledger_says_to_the_nano_dollar(scraped: Scraped) -> None:
    eventually(lambda: _sum(scraped.prometheus, "penstock_ledger_lag_seconds") == 0, within_s=10)

    def agree() -> bool:
        return round(_sum(scraped.prometheus, "penstock_spend_usd_total") * 1e9) == scraped.proxy.spend_nano_usd()

    eventually(agree, within_s=10)


def _reload(proxy: Proxy) -> None:
    """A configuration that is taken up, then one that is not, and in the end one that commands can read as well."""
    team = proxy.config / "teams" / "every.yaml"
    good = team.read_text()
    less = good.replace("limit_usd: 20,", "limit_usd: 19,")
    for text, is_seen in (
        (less, 'penstock_budget_limit_usd{per="hour",project="",team="every"} 19'),
        (good + "nonsense: true\n", "penstock_config_reload_failures_total 1"),
    ):
        team.write_text(text)
        proxy.process.send_signal(signal.SIGHUP)
        eventually(partial(_exports, proxy, is_seen), within_s=10)
    team.write_text(less)


def _exports(proxy: Proxy, sample: str) -> bool:
    headers = {"authorization": f"Bearer {_TOKEN}"}
    return sample in proxy.http.get(f"{proxy.admin_url}/metrics", headers=headers).text


def _has_a_value(found: "Iterator[list[Series]] | list[list[Series]]") -> bool:
    """Whether any series has a value that can be drawn."""
    return any(not math.isnan(value) for series in found for each in series for value in each.values)


def _sum(prometheus: PrometheusServer, metric: str) -> float:
    (found,) = prometheus.at_once(f"sum({metric})")
    return found.values[0]
