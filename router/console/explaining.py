"""Decisions for operators: `Explaining`, for a new request or one of the ledger, as dry runs say them.

A request of the ledger is decided again under the configuration that is being served, in the conditions of then.
Nothing is sent and nothing is booked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from router.config.snapshot import Snapshot
from router.decision.explain import as_data
from router.decision.facts import Conditions
from router.errors import InvalidRequest
from router.gateway.past import DecideAgain, Past, is_same
from router.gateway.planning import Plan, Planner
from router.keys import TeamName
from router.ledger import History
from router.units import usd_text
from router.wire.controls import Controls
from router.wire.requests import ChatReader

_INLINE_BODY_BYTES = 65_536  # what is longer is read in a thread


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
    """What the page and the JSON endpoint ask. What it is given is asked for anew each time."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        *,
        planner: Callable[[], Planner],
        again: Callable[[], DecideAgain],
        history: History,
        max_body_bytes: int,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self._snapshot = snapshot
        self._planner = planner
        self._again = again
        self._history = history
        self._reader = ChatReader()

    @property
    def teams(self) -> Sequence[TeamName]:
        return tuple(self._snapshot().teams)

    async def new(self, team: str, body: bytes, controls: Controls) -> Explained:
        """The decision for a chat request that was never sent. Raises CallerError."""
        if team not in self.teams:
            raise InvalidRequest(
                f"There is no team {team[:60]!r}. Send ?team= with one of: {', '.join(self.teams)}.", param="team"
            )
        if len(body) <= _INLINE_BODY_BYTES:
            request = self._reader.read(body)
        else:
            request = await anyio.to_thread.run_sync(self._reader.read, body)
        return Explained(await self._planner().plan(TeamName(team), request, controls))

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
        return Explained(self._again().plan(past, Conditions(entry.at)), past)

    def without_bar(self, explained: Explained) -> Plan:
        """The plan for the same request if every answer were good enough: what the rejected would cost, and give."""
        return self._planner().downgraded(explained.plan)


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
