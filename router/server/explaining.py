"""Decisions for operators: `Explain` as JSON and `ExplainPage` in the console, for a new request or one of the ledger.

Both show what dry runs and `penstock explain` show, from the same object. A request of the ledger is decided again
under the configuration that is being served, in the conditions of then. Nothing is sent and nothing is booked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import parse_qs

import anyio.to_thread
from starlette.types import Receive, Scope, Send

from router.config.snapshot import Snapshot
from router.decision.explain import Told, as_data, candidates_told, notes, qualities_told, rejections_told, summary
from router.decision.facts import Conditions
from router.errors import InvalidRequest, PenstockError
from router.gateway.past import DecideAgain, Past, is_same
from router.gateway.planning import Plan, Planner
from router.keys import TeamName
from router.ledger import History
from router.server.endpoints import read_request
from router.server.pages import EXPLAIN_PATH, HEADERS, about, page_of, section
from router.server.replies import ClientGone, read_body, send_body, send_error, send_json
from router.units import usd_text
from router.wire.controls import NO_CONTROLS, Controls, controls_from
from router.wire.requests import ChatReader

_MOST_FIELDS = 10  # of a form: this page's has two
_ROWS = 14  # of the field for a request


class UnknownRequest(InvalidRequest):
    """The ledger has no such entry."""

    status = 404

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"The ledger has no request {request_id[:60]!r}. Its id is in the header x-request-id of the answer; an "
            "entry appears when its request is over.",
            param="request",
            code="unknown_request",
        )


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision, and for a request of the ledger what became of it then."""

    plan: Plan
    past: Past | None = None

    def data(self) -> dict[str, Any]:
        """The one object, with `then` for a request of the ledger."""
        data = as_data(self.plan.decision, self.plan.profile)
        return data if self.past is None else {**data, "then": _then(self.past, self.plan)}


class Explaining:
    """What both endpoints ask."""

    def __init__(
        self, snapshot: Snapshot, *, planner: Planner, again: DecideAgain, history: History, max_body_bytes: int
    ) -> None:
        self.teams: Sequence[TeamName] = tuple(snapshot.teams)
        self.max_body_bytes = max_body_bytes
        self._planner = planner
        self._again = again
        self._history = history
        self._reader = ChatReader()

    async def new(self, team: str, body: bytes, controls: Controls) -> Explained:
        """The decision for a chat request that was never sent. Raises CallerError."""
        if team not in self.teams:
            raise InvalidRequest(
                f"There is no team {team[:60]!r}. Send ?team= with one of: {', '.join(self.teams)}.", param="team"
            )
        return Explained(await self._planner.plan(TeamName(team), await read_request(self._reader, body), controls))

    async def past(self, request_id: str) -> Explained:
        """The decision for a request of the ledger. Raises CallerError, StoreUnavailable."""
        if not request_id:
            raise InvalidRequest(
                "Send ?request= with the id of a request, or POST a chat request with ?team=.", param="request"
            )
        entry = await anyio.to_thread.run_sync(self._history.find, request_id)
        if entry is None:
            raise UnknownRequest(request_id)
        past = Past.of(entry)
        return Explained(self._again.plan(past, Conditions(entry.at)), past)


class Explain:
    """`POST /admin/explain?team=NAME` with a chat request; `GET /admin/explain?request=ID`."""

    def __init__(self, explaining: Explaining) -> None:
        self._explaining = explaining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        try:
            if scope["method"] == "GET":
                explained = await self._explaining.past(query.get("request", [""])[0])
            else:
                controls = controls_from(scope["headers"])
                body = await read_body(scope, receive, limit_bytes=self._explaining.max_body_bytes)
                explained = await self._explaining.new(query.get("team", [""])[0], body, controls)
        except PenstockError as error:
            await send_error(send, error)
            return
        except ClientGone:
            return
        await send_json(send, explained.data())


class ExplainPage:
    """`GET /explain`, `GET /explain?request=ID`; `POST /explain` with the page's own form."""

    def __init__(
        self, explaining: Explaining, *, now: Callable[[], datetime], version: str, config_version: str
    ) -> None:
        self._explaining = explaining
        self._now = now
        self._version = version
        self._config_version = config_version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = _Asked()
        explained: Explained | None = None
        wrong: PenstockError | None = None
        try:
            asked = await self._asked(scope, receive)
            explained = await self._answered(asked)
        except PenstockError as error:
            wrong = error
        except ClientGone:
            return
        page = page_of(
            subtitle=about(self._version, self._config_version, self._now()),
            sections=(
                *([f'<p class="wrong">{escape(wrong.message)}</p>'] if wrong else []),
                *(_sections(explained) if explained else []),
                _forms(asked, self._explaining.teams),
            ),
        )
        await send_body(send, page.encode(), status=wrong.status if wrong else 200, headers=HEADERS)

    async def _asked(self, scope: Scope, receive: Receive) -> "_Asked":
        if scope["method"] == "GET":
            text = scope["query_string"].decode("latin-1")
        else:
            # As a form, most characters of JSON take three bytes.
            body = await read_body(scope, receive, limit_bytes=3 * self._explaining.max_body_bytes)
            text = body.decode("latin-1")
        try:
            fields = parse_qs(text, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise InvalidRequest(f"The form has more than {_MOST_FIELDS} fields; use the page's own.") from error
        return _Asked(*(fields.get(name, [""])[0].strip() for name in ("team", "body", "request")))

    async def _answered(self, asked: "_Asked") -> Explained | None:
        if asked.request_id:
            return await self._explaining.past(asked.request_id)
        if asked.body:
            return await self._explaining.new(asked.team, asked.body.encode(), NO_CONTROLS)
        return None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the page's fields hold."""

    team: str = ""
    body: str = ""
    request_id: str = ""


_CALL_COLUMNS = ("Model", "Provider", "Outcome", "Verification", "Cost $ ", "Cost from", "Seconds ")


def _sections(explained: Explained) -> list[str]:
    plan = explained.plan
    told = (*summary(plan.decision, plan.profile), *notes(plan.decision))
    lines = "".join(f"<p>{escape(line)}</p>" for line in told)
    sections = [f"<section><h2>Decision for team {escape(plan.team.name)}</h2>{lines}</section>"]
    if explained.past is not None:
        then = _then(explained.past, plan)
        calls = [tuple(escape(_word(value)) for value in call.values()) for call in then.pop("attempts")]
        words = [(escape(name.replace("_", " ")), escape(_word(value))) for name, value in then.items()]
        title = f"Then: {explained.past.entry.request_id}"
        sections.append(section(title, ("What", "Value"), words, empty="", wraps=True))
        sections.append(section("Calls then", _CALL_COLUMNS, calls, empty="No provider was asked."))
    return [
        *sections,
        _told(
            "Eligible", candidates_told(plan.decision), empty="Nobody may serve this request, for the reasons below."
        ),
        *_quality(plan),
        _told("Rejected", rejections_told(plan.decision.rejected), empty="Nobody: every candidate may serve it."),
    ]


def _quality(plan: Plan) -> list[str]:
    told = qualities_told(plan.decision)
    return [_told("How good", told, empty="")] if told.rows else []


def _told(title: str, told: Told, *, empty: str) -> str:
    figures = [
        bool(told.rows) and all(row[column].replace(".", "").isdigit() for row in told.rows)
        for column in range(len(told.headings))
    ]
    headings = [f"{heading} " if figure else heading for heading, figure in zip(told.headings, figures, strict=True)]
    return section(title, headings, [tuple(escape(cell) for cell in row) for row in told.rows], empty=empty, wraps=True)


def _then(past: Past, plan: Plan) -> dict[str, Any]:
    """What became of the request; `decided_the_same` compares the whole decision."""
    entry, served = past.entry, past.entry.served_by
    return {
        "request_id": entry.request_id,
        "at": entry.at.isoformat(),
        "outcome": entry.outcome.value,
        "policy": entry.policy,
        "rule": entry.rule,
        "preferred": list(past.record.ranked),
        "served_by": None if served is None else f"{served.provider}:{served.model}",
        "calls": len(entry.attempts),
        "attempts": [
            {
                "model": call.model,
                "provider": call.provider,
                "outcome": call.outcome,
                "verification": call.verification,
                "cost_usd": usd_text(call.cost_nano_usd),
                "cost_from": call.source.value,
                "duration_s": round(call.duration_s, 3),
            }
            for call in entry.attempts
        ],
        "expected_usd": usd_text(entry.expected_nano_usd),
        "cost_usd": usd_text(entry.cost_nano_usd),
        "config_version": entry.config_version,
        "decided_the_same": is_same(past, plan),
    }


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, list):
        return ", ".join(value) or "nobody"
    return "–" if value is None else str(value)


def _forms(asked: _Asked, teams: Sequence[TeamName]) -> str:
    options = "".join(f"<option{' selected' if team == asked.team else ''}>{escape(team)}</option>" for team in teams)
    example = escape('{"model": "auto", "messages": [{"role": "user", "content": "What is a penstock?"}]}')
    return (
        f'<section><h2>Explain a new request</h2><form method="post" action="{EXPLAIN_PATH}">'
        f'<label>Team<select name="team">{options}</select></label>'
        f'<label>Chat request, as an application would send it<textarea name="body" rows="{_ROWS}" spellcheck="false"'
        f' placeholder="{example}">\n{escape(asked.body)}</textarea></label>'
        "<button>Explain</button></form><p>Nothing is sent to a provider, kept or booked.</p></section>"
        f'<section><h2>Open a request of the ledger</h2><form method="get" action="{EXPLAIN_PATH}">'
        f'<label>Request id<input name="request" value="{escape(asked.request_id)}" placeholder="req_…"></label>'
        "<button>Open</button></form><p>It is decided again under the configuration that is being served, in the "
        "conditions of then.</p></section>"
    )
