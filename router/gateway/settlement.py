"""What a call cost, and how we know; what the request cost its team, and what the baseline would have cost."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from router.catalog.catalog import Catalog, Deployment, ModelName
from router.catalog.prices import cost
from router.decision.facts import RequestProfile
from router.errors import PricingError
from router.ledger import LedgerEntry
from router.units import CostSource, Usage, nano_usd
from router.wire.replies import Bill


@dataclass(frozen=True, slots=True)
class Books:
    """Where finished requests go, as one entry: the journal, the metrics, the ledger, and whoever learns."""

    journal: Callable[[LedgerEntry], None]
    ledger: Callable[[LedgerEntry], None]
    metrics: Callable[[LedgerEntry], None]
    learning: tuple[Callable[[LedgerEntry, RequestProfile], None], ...] = ()
    log: Callable[[LedgerEntry], None] | None = None  # None: requests are not logged

    def book(self, entry: LedgerEntry, profile: RequestProfile) -> None:
        """`profile` is what the entry has as JSON: who learns need not read it again.

        Counted before the ledger can have it: so what a killed process has put into the ledger was counted, and of
        what it left in the journal all but the last (telemetry/shared.py).
        """
        self.journal(entry)
        try:
            self.metrics(entry)
        finally:
            self.ledger(entry)
        for learn in self.learning:
            learn(entry, profile)
        if self.log is not None:
            self.log(entry)


class Charge(msgspec.Struct, frozen=True, gc=False):
    """What is booked for one call."""

    nano_usd: int
    source: CostSource


# A cost above the hold is a mistake of ours or theirs, and booked all the same; one far above it would empty a team's
# budget by a slip of a decimal point. Where nothing was held, the model being free, a dollar is far above it.
_MOST_TIMES_HELD = 10
_MOST_NANO_USD_OF_FREE = 1_000_000_000


def is_believed(nano_usd: int, *, held_nano_usd: int) -> bool:
    """Whether what was sent can explain such a cost; if not, it is booked by another source."""
    return nano_usd <= (_MOST_TIMES_HELD * held_nano_usd or _MOST_NANO_USD_OF_FREE)


NOTHING_OWED = Charge(nano_usd=0, source=CostSource.REPORTED)


def charge_for(
    bill: Bill, deployment: Deployment, *, at: datetime, images: int, one_hour_cache: bool = False
) -> Charge | None:
    """The provider's own figure, else its tokens and our images at our price; None if neither makes sense.

    Nobody tells how long what was written to a prompt cache will live: with `one_hour_cache` it is what was asked.
    """
    if bill.nano_usd is not None:
        return Charge(bill.nano_usd, CostSource.REPORTED)
    price = deployment.prices.at(at)
    if price is None or not bill.usage.input_tokens:  # no prompt has no tokens: whoever says so has not counted
        return None
    try:
        return Charge(
            nano_usd(cost(bill.usage, price, images=images, one_hour_cache=one_hour_cache)), CostSource.COMPUTED
        )
    except PricingError:
        return None


def version_served(deployment: Deployment, served_model: str | None) -> str | None:
    """Which version of its model a deployment answered with, or None if nobody told.

    A reply names the version, or repeats the name that was asked for (openrouter.md §1.3: it was the one from March to
    June 2026 and the other before and since). Then it is what the name stood for when the request was decided.
    """
    if served_model is None or served_model in (deployment.upstream_model, deployment.model.name):
        return deployment.version
    return served_model


def baseline_nano_usd(
    usage: Usage, served: ModelName, baseline: ModelName | None, catalog: Catalog, *, at: datetime
) -> int | None:
    """What `served` used would have cost at the baseline model, or None if that is not known.

    The same text makes other tokens in another vocabulary: counts are scaled by the ratio of the two families. The
    same share of the prompt is taken to be cached.
    """
    deployments = catalog.of(baseline) if baseline is not None else ()
    by = catalog.of(served)
    price = deployments[0].prices.at(at) if deployments else None
    if price is None or not by:
        return None
    scale = deployments[0].model.token_ratio / by[0].model.token_ratio
    try:
        return nano_usd(cost(_scaled(usage, scale), price))
    except PricingError:
        return None


def _scaled(usage: Usage, scale: float) -> Usage:
    return Usage(
        input_tokens=round(usage.input_tokens * scale),
        output_tokens=round(usage.output_tokens * scale),
        cached_tokens=round(usage.cached_tokens * scale),
        # Writing to a prompt cache is a choice of the client's markup for one provider; elsewhere it is plain input.
        cache_write_tokens=0,
    )
