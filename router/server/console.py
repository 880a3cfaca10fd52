"""The console's first page, for people.

It shows where budgets stand, what was spent on what, and the latest requests. Prompts are not kept, so none is shown.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from html import escape
from urllib.parse import urlencode

import anyio.to_thread
from starlette.types import Receive, Scope, Send

from router.ledger import SpendRow
from router.quotas import BudgetState, ScopeKind
from router.server.pages import EXPLAIN_PATH, HEADERS, about, link, page_of, section
from router.server.replies import send_body
from router.storage.store import Store
from router.units import usd_text

_LATEST = 25
_REFRESH_S = 10


class Console:
    """`GET /` on the admin port."""

    def __init__(
        self,
        store: Store,
        *,
        budgets: Callable[[], list[BudgetState]],
        now: Callable[[], datetime],
        version: str,
        config_version: str,
    ) -> None:
        self._store = store
        self._budgets = budgets
        self._now = now
        self._version = version
        self._config_version = config_version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        now = self._now()
        week = now - timedelta(days=7)
        by_model = await anyio.to_thread.run_sync(self._store.spend, ("team", "model"), week)
        latest = await anyio.to_thread.run_sync(self._store.latest, _LATEST)
        page = page_of(
            refresh_s=_REFRESH_S,
            subtitle=about(self._version, self._config_version, now),
            sections=(
                section(
                    "Budgets",
                    _BUDGET_COLUMNS,
                    [_budget_row(state) for state in self._budgets()],
                    empty="No budget is known: no team file has `budgets`, or the start is not complete.",
                ),
                section(
                    "Spend of the last 7 days",
                    _SPEND_COLUMNS,
                    [_spend_row(row) for row in by_model],
                    empty="No request was booked in these days. Older ones: penstock spend.",
                ),
                section(
                    "Latest requests",
                    _REQUEST_COLUMNS,
                    [_request_row(row) for row in latest],
                    empty="The ledger is empty. A request appears here when it is over and booked, within a second.",
                ),
            ),
        )
        await send_body(send, page.encode(), headers=HEADERS)


_BUDGET_COLUMNS = ("Team", "Of", "Per", "Limit $ ", "Spent $ ", "Held $ ", "Used")
_SPEND_COLUMNS = ("Team", "Model", "Requests ", "Input tokens ", "Output tokens ", "Cost $ ")
_REQUEST_COLUMNS = (
    "Time (UTC)",
    "Team",
    "Asked for",
    "Policy",
    "Model",
    "Outcome",
    "Cost $ ",
    "Baseline $ ",
    "Seconds ",
)


def _budget_row(state: BudgetState) -> Sequence[str]:
    used = (state.spent_nano_usd + state.held_nano_usd) / state.limit_nano_usd if state.limit_nano_usd else 1.0
    share = min(round(used * 100), 100)
    bar = f'<meter min="0" max="100" high="80" value="{share}">{share} %</meter> {share} %'
    return (
        escape(state.scope.team),
        escape("whole team" if state.scope.kind is ScopeKind.TEAM else f"{state.scope.kind} {state.scope.name}"),
        escape(state.per.value),
        usd_text(state.limit_nano_usd),
        usd_text(state.spent_nano_usd),
        usd_text(state.held_nano_usd),
        bar,
    )


def _spend_row(row: SpendRow) -> Sequence[str]:
    team, model = row.group
    figures = (f"{row.requests:,}", f"{row.input_tokens:,}", f"{row.output_tokens:,}", usd_text(row.cost_nano_usd))
    return (escape(team), escape(model) or "–", *figures)


def _request_row(row: dict[str, object]) -> Sequence[str]:
    policy = f"{row['policy']}/{row['rule']}" if row["rule"] else str(row["policy"])
    baseline = row["baseline_nano_usd"]
    return (
        link(f"{EXPLAIN_PATH}?{urlencode({'request': str(row['request_id'])})}", str(row["at"])[:19].replace("T", " ")),
        escape(str(row["team"])),
        escape(str(row["alias"])),
        escape(policy),
        escape(str(row["model"] or "–")),
        escape(str(row["outcome"])),
        _nano(row["cost_nano_usd"]),
        "–" if baseline is None else _nano(baseline),
        f"{row['duration_s']:.2f}",
    )


def _nano(value: object) -> str:
    assert isinstance(value, int)
    return usd_text(value)
