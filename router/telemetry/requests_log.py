"""A line of the log for each request that was booked, made from its ledger entry by a thread of its own."""

import logging
from collections.abc import Sequence

from router.ledger import LedgerEntry
from router.units import usd_text

log = logging.getLogger("penstock.requests")

_DIGITS = 4  # of seconds: a tenth of a millisecond


def log_requests(entries: Sequence[LedgerEntry]) -> None:
    """A line for each of them."""
    for entry in entries:
        log.info(entry.outcome.value, extra=_fields(entry))


def _fields(entry: LedgerEntry) -> dict[str, object]:
    """Fields of a line (telemetry/logs.py). Tokens are those of all calls, as the ledger has them."""
    shown = entry.served_by or (entry.attempts[-1] if entry.attempts else None)
    usages = [attempt.usage for attempt in entry.attempts if attempt.usage is not None]
    return {
        "request_id": entry.request_id,
        "trace_id": entry.trace_id,
        "team": entry.team,
        "alias": entry.alias,
        "policy": entry.policy,
        "model": None if shown is None else shown.model,
        "provider": None if shown is None else shown.provider,
        "outcome": entry.outcome.value,
        "attempts": len(entry.attempts),
        "cost_usd": usd_text(entry.cost_nano_usd),
        "input_tokens": sum([usage.input_tokens for usage in usages]),
        "output_tokens": sum([usage.output_tokens for usage in usages]),
        "duration_s": round(entry.duration_s, _DIGITS),
        "first_token_s": None if entry.first_token_s is None else round(entry.first_token_s, _DIGITS),
    }
