"""The admin port's endpoints: `/metrics` for Prometheus, `/admin/…` JSON for operators and their scripts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import parse_qs

import anyio
import anyio.to_thread
from msgspec import to_builtins
from starlette.types import Receive, Scope, Send

from router.errors import InvalidRequest
from router.keys import TeamName
from router.learning.teaching import quality_events
from router.ledger import GROUP_NAMES, SpendRow
from router.quotas import BudgetState
from router.server.replies import send_body, send_error, send_json
from router.storage.store import Store
from router.telemetry.metrics import Metrics
from router.units import usd_text

_MOST_REQUESTS = 500


class MetricsPage:
    """`GET /metrics`, in a thread that nobody else uses: requests do not wait for it, nor it for a store."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._thread = anyio.CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accept = b",".join(value for name, value in scope["headers"] if name == b"accept")  # may be sent in parts
        write = partial(self._metrics.taken().text, accept.decode("latin-1"))
        text, content_type = await anyio.to_thread.run_sync(write, limiter=self._thread)
        await send_body(send, text, headers=[(b"content-type", content_type.encode())])


class Spend:
    """`GET /admin/spend?by=team,model&since=7d`."""

    def __init__(self, store: Store, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        try:
            by = group_names(query.get("by", ["team,model"])[0])
            since = since_moment(query.get("since", [""])[0], self._now())
        except InvalidRequest as error:
            await send_error(send, error)
            return
        rows = await anyio.to_thread.run_sync(self._store.spend, by, since)
        await send_json(send, {"by": by, "rows": [spend_as_data(by, row) for row in rows]})


class Requests:
    """`GET /admin/requests?limit=50`: the newest ledger entries."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = parse_qs(scope["query_string"].decode("latin-1")).get("limit", ["50"])[0]
        if not _is_count(text) or not 1 <= int(text) <= _MOST_REQUESTS:
            await send_error(send, InvalidRequest(f"`limit` must be from 1 to {_MOST_REQUESTS}.", param="limit"))
            return
        rows = await anyio.to_thread.run_sync(self._store.latest, int(text))
        await send_json(send, {"requests": rows})


class Labels:
    """`GET /admin/labels?team=search&limit=50`: a team's newest labels of answers, newest first, whole."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        text, team = query.get("limit", ["50"])[0], query.get("team", [""])[0]
        if not team:
            await send_error(send, InvalidRequest("`team` must be given.", param="team"))
            return
        if not _is_count(text) or not 1 <= int(text) <= _MOST_REQUESTS:
            await send_error(send, InvalidRequest(f"`limit` must be from 1 to {_MOST_REQUESTS}.", param="limit"))
            return
        found = await anyio.to_thread.run_sync(self._store.last_labels, TeamName(team), int(text))
        await send_json(send, {"labels": [{"label": number, **to_builtins(each)} for number, each in reversed(found)]})


class QualityEvents:
    """`GET /admin/quality`: the last refits of what labels have taught, with their figures, newest first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kept = await anyio.to_thread.run_sync(quality_events, self._store)
        await send_json(send, {"events": [to_builtins(each) for each in reversed(kept)]})


class Budgets:
    """`GET /admin/budgets`: where every budget stands."""

    def __init__(self, states: Callable[[], list[BudgetState]]) -> None:
        self._states = states

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, {"budgets": [_budget_as_data(state) for state in self._states()]})


def group_names(text: str) -> tuple[str, ...]:
    """The columns in a comma-separated list. Raises InvalidRequest, naming those there are."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in GROUP_NAMES]
    if unknown or len(set(names)) != len(names):
        raise InvalidRequest(
            f"`by` takes each of {', '.join(GROUP_NAMES)} at most once, separated by commas; got {text[:100]!r}.",
            param="by",
        )
    return names


def since_moment(text: str, now: datetime) -> datetime | None:
    """The moment that the parameter `since` stands for. Raises InvalidRequest."""
    return moment_named("since", text, now)


def moment_named(name: str, text: str, now: datetime) -> datetime | None:
    """The moment that `24h`, `7d` or an ISO date stands for; None for an empty text: from the beginning."""
    if not text:
        return None
    number, unit = text[:-1], text[-1:]
    if _is_count(number) and unit in ("h", "d"):
        return now - (timedelta(hours=int(number)) if unit == "h" else timedelta(days=int(number)))
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter for a moment that is before the year 1 in UTC
        raise InvalidRequest(
            f"`{name}` takes hours (24h), days (7d) or an ISO date (2026-11-01); got {text[:40]!r}.", param=name
        ) from None


def _is_count(text: str) -> bool:
    """Whether `int` reads the text, and as something small: `"²".isdigit()` is true as well."""
    return text.isascii() and text.isdigit() and len(text) <= 5


def spend_as_data(by: tuple[str, ...], row: SpendRow) -> dict[str, object]:
    return {
        **dict(zip(by, row.group, strict=True)),
        "requests": row.requests,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_nano_usd": row.cost_nano_usd,
        "cost_usd": usd_text(row.cost_nano_usd),
    }


def _budget_as_data(state: BudgetState) -> dict[str, object]:
    return {
        "team": state.scope.team,
        "kind": state.scope.kind.value,
        "name": state.scope.name,
        "per": state.per.value,
        "limit_usd": usd_text(state.limit_nano_usd),
        "spent_usd": usd_text(state.spent_nano_usd),
        "held_usd": usd_text(state.held_nano_usd),
    }
