"""The console: one page for people, made on the server, without scripts and without anything from elsewhere.

It shows where budgets stand, what was spent on what, and the latest requests. Prompts are not kept, so none is shown.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from html import escape

import anyio.to_thread
from starlette.types import Receive, Scope, Send

from router.ledger import SpendRow
from router.quotas import BudgetState, ScopeKind
from router.server.replies import send_body
from router.storage.store import Store
from router.units import usd_text

_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
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
        page = _page(
            subtitle=f"version {self._version} · configuration {self._config_version} · {now:%Y-%m-%d %H:%M:%S} UTC",
            sections=(
                _section("Budgets", _BUDGET_COLUMNS, [_budget_row(state) for state in self._budgets()]),
                _section("Spend of the last 7 days", _SPEND_COLUMNS, [_spend_row(row) for row in by_model]),
                _section("Latest requests", _REQUEST_COLUMNS, [_request_row(row) for row in latest]),
            ),
        )
        await send_body(send, page.encode(), headers=_HEADERS)


# Columns whose heading ends in a space hold figures and are aligned right.
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
        escape(str(row["at"])[:19].replace("T", " ")),
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


def _section(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    figures = [column.endswith(" ") for column in columns]
    head = "".join(
        f'<th scope="col"{_side(is_figure)}>{escape(column.strip())}</th>'
        for column, is_figure in zip(columns, figures, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{_side(is_figure)}>{cell}</td>" for cell, is_figure in zip(row, figures, strict=True))
        + "</tr>"
        for row in rows
    )
    empty = f'<tr><td colspan="{len(columns)}">Nothing yet.</td></tr>'
    return (
        f"<section><h2>{escape(title)}</h2><div class=table><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body or empty}</tbody></table></div></section>"
    )


def _side(is_figure: bool) -> str:
    return " class=figure" if is_figure else ""


def _page(*, subtitle: str, sections: Iterable[str]) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Penstock</title>'
        f'<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="{_REFRESH_S}">'
        f"<style>{_STYLE}</style></head><body><header><h1>Penstock</h1><p>{escape(subtitle)}</p></header>"
        f"<main>{''.join(sections)}</main></body></html>"
    )


_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #555; }
@media (prefers-color-scheme: dark) { :root { --soft: #bbb; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; }
h1 { margin: 0; font-size: 1.6rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
header p { margin: 0; color: var(--soft); }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
.figure { text-align: right; font-variant-numeric: tabular-nums; }
meter { width: 6rem; vertical-align: middle; }
"""
