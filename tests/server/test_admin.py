"""The admin port's endpoints: figures, and questions that they cannot answer."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import get_ident

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import GaugeMetricFamily, Metric, Sample
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from router.errors import InvalidRequest
from router.ledger import GROUP_NAMES
from router.quotas import BudgetState, Per, ScopeId, Window
from router.server.admin import (
    Budgets,
    Labels,
    MetricsPage,
    Requests,
    Spend,
    group_names,
    since_moment,
)
from router.storage.sqlite import SqliteStore
from router.telemetry.metrics import Metrics
from tests.server.asgi import get
from tests.server.conftest import NOW
from tests.storage.entries import FLASH, GPT, attempt, entry

pytestmark = pytest.mark.anyio


# Metrics


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ([], "text/plain"),
        (["*/*"], "text/plain"),
        (["application/openmetrics-text;version=1.0.0,text/plain;q=0.5"], "application/openmetrics-text"),
        (["text/plain", "application/openmetrics-text"], "application/openmetrics-text"),  # one list, sent in two parts
    ],
)
async def test_metrics_come_in_the_format_the_scraper_accepts(accept: list[str], content_type: str) -> None:
    page = MetricsPage(Metrics(version="0.1.0", config_version="0123456789ab"))

    answer = await get(page, "/metrics", headers=[("accept", each) for each in accept])

    assert answer.headers["content-type"].startswith(content_type)
    assert b'penstock_build_info{version="0.1.0"} 1.0' in answer.body
    if content_type != "text/plain":
        assert list(text_string_to_metric_families(answer.body.decode()))  # type: ignore[no-untyped-call]  # 0.26


class Noted(GaugeMetricFamily):
    """A metric that notes in which threads its figures are read."""

    def __init__(self) -> None:
        self.read_in: set[int] = set()
        super().__init__("noted", "Whose figures are read.", value=1)
        self.read_in.clear()

    @property
    def samples(self) -> list[Sample]:
        self.read_in.add(get_ident())
        return self._samples

    @samples.setter
    def samples(self, samples: list[Sample]) -> None:
        self._samples = samples


class Collected(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        return [self._family]


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
async def test_metrics_are_written_down_beside_the_event_loop(accept: str) -> None:
    """Two thousand series take 10 to 25 ms, in which every request waited."""
    metrics, noted = Metrics(version="0.1.0", config_version="0123456789ab"), Noted()
    metrics.registry.register(Collected(noted))

    answer = await get(MetricsPage(metrics), "/metrics", headers=[("accept", accept)])

    assert b"noted 1.0" in answer.body
    assert noted.read_in
    assert get_ident() not in noted.read_in


# Spend


@pytest.fixture
def spend(store: SqliteStore) -> Spend:
    store.write(
        [
            entry("req_1", attempt(cost_nano_usd=2_000_000_001), at=NOW - timedelta(days=8)),
            entry("req_2", attempt(model=GPT, cost_nano_usd=70), at=NOW - timedelta(hours=1)),
        ]
    )
    return Spend(store, now=lambda: NOW)


async def test_spend_is_listed_by_team_and_model_unless_asked_otherwise(spend: Spend) -> None:
    answer = await get(spend, "/admin/spend")

    tokens = {"requests": 1, "input_tokens": 1_000, "output_tokens": 200}
    assert answer.json == {
        "by": ["team", "model"],
        "rows": [
            {"team": "search", "model": FLASH, **tokens, "cost_nano_usd": 2_000_000_001, "cost_usd": "2.000000001"},
            {"team": "search", "model": GPT, **tokens, "cost_nano_usd": 70, "cost_usd": "0.00000007"},
        ],
    }


@pytest.mark.parametrize(
    ("query", "costs"),
    [
        ("since=7d", [70]),
        ("since=1h", [70]),
        ("since=0h", []),
        ("since=9d", [2_000_000_001, 70]),
        ("since=2026-11-16", [70]),
        ("since=2026-11-23T10:30:00%2B02:00", [70]),
        ("since=2026-11-23T10:30:00.000001%2B02:00", []),
        ("by=team", [2_000_000_071]),
        ("by=team&since=99999d", [2_000_000_071]),
    ],
)
async def test_spend_may_be_asked_for_from_a_moment_on(spend: Spend, query: str, costs: list[int]) -> None:
    answer = await get(spend, "/admin/spend", query=query)

    rows = answer.json["rows"]
    assert isinstance(rows, list)
    assert [row["cost_nano_usd"] for row in rows] == costs


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("by=prompt", "by"),
        ("by=team,team", "by"),
        ("by=e.team;drop table entries", "by"),
        ("since=yesterday", "since"),
        ("since=-1d", "since"),
        ("since=d", "since"),
        ("since=%C2%B2d", "since"),  # a digit, says Python, but no number
        ("since=999999d", "since"),
        ("since=0001-01-01T00:00%2B14:00", "since"),  # before the year 1 in UTC
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_with_what_would(spend: Spend, query: str, param: str) -> None:
    answer = await get(spend, "/admin/spend", query=query)

    assert answer.status == 400
    assert answer.error["param"] == param


@given(by=st.text(), since=st.text(max_size=40))
async def test_no_question_is_answered_with_an_internal_error(by: str, since: str) -> None:
    for ask in (lambda: group_names(by), lambda: since_moment(since, NOW)):
        with suppress(InvalidRequest):
            ask()


@given(st.lists(st.sampled_from(GROUP_NAMES), unique=True))
async def test_any_columns_may_be_named_once_in_any_order(names: list[str]) -> None:
    assert group_names(" , ".join(names)) == tuple(names)


@given(moment=st.datetimes(timezones=st.timezones()), text=st.sampled_from(["T", " "]))
async def test_a_moment_is_read_as_it_is_written_and_kept_in_utc(moment: datetime, text: str) -> None:
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        return

    assert since_moment(moment.isoformat(text), NOW) == expected


async def test_a_date_without_a_time_zone_is_meant_in_utc() -> None:
    assert since_moment("2026-11-01", NOW) == datetime(2026, 11, 1, tzinfo=UTC)
    assert since_moment("", NOW) is None


# Requests and budgets


async def test_the_latest_requests_are_listed_newest_first(store: SqliteStore) -> None:
    store.write([entry(f"req_{number}", at=NOW + timedelta(seconds=number)) for number in range(60)])

    by_default = (await get(Requests(store), "/admin/requests")).json["requests"]
    three = (await get(Requests(store), "/admin/requests", query="limit=3")).json["requests"]

    assert isinstance(by_default, list)
    assert len(by_default) == 50
    assert isinstance(three, list)
    assert [row["request_id"] for row in three] == ["req_59", "req_58", "req_57"]
    assert three[0] == {
        "request_id": "req_59",
        "at": "2026-11-23T09:30:59.000000+00:00",
        "team": "search",
        "alias": "auto",
        "policy": "balanced",
        "rule": "code",
        "outcome": "ok",
        "cost_nano_usd": 147_000,
        "baseline_nano_usd": 11_000_000,
        "duration_s": 2.5,
        "model": FLASH,
        "provider": "openrouter",
        "served_model": "deepseek/deepseek-v4-flash-20260423",
        "version": None,
        "input_tokens": 1_000,
        "output_tokens": 200,
        "source": "reported",
    }


@pytest.mark.parametrize("limit", ["0", "501", "-1", "many", "%C2%B2", "9" * 5000, "1.5", "+1"])
async def test_a_limit_that_makes_no_sense_is_refused(store: SqliteStore, limit: str) -> None:
    answer = await get(Requests(store), "/admin/requests", query=f"limit={limit}")

    assert (answer.status, answer.error["param"]) == (400, "limit")
    assert answer.error["message"] == "`limit` must be from 1 to 500."


@pytest.mark.parametrize(
    ("query", "param"), [("", "team"), ("team=", "team"), ("limit=9", "team"), ("team=search&limit=0", "limit")]
)
async def test_what_is_wrong_with_a_question_for_labels_is_named(store: SqliteStore, query: str, param: str) -> None:
    answer = await get(Labels(store), "/admin/labels", query=query)

    assert (answer.status, answer.error["param"]) == (400, param)


async def test_budgets_are_listed_in_dollars() -> None:
    states = [
        BudgetState(
            ScopeId.of_team("search"),
            Per.MONTH,
            limit_nano_usd=5 * 10**11,
            spent_nano_usd=1,
            held_nano_usd=20,
            window=Window(NOW, NOW + timedelta(days=30)),
        )
    ]

    answer = await get(Budgets(lambda: states), "/admin/budgets")

    assert answer.json == {
        "budgets": [
            {
                "team": "search",
                "kind": "team",
                "name": "search",
                "per": "month",
                "limit_usd": "500.00",
                "spent_usd": "0.000000001",
                "held_usd": "0.00000002",
            }
        ]
    }
