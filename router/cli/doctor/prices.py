"""The prices: what has none, and how old the newest list of a provider is."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from router.catalog.book import PriceBook, with_book
from router.cli.doctor.findings import Finding, fine, noted
from router.config.price_data import GENAI_PRICES_VERSION
from router.config.snapshot import Snapshot

_OLD = timedelta(hours=1)


def price_findings(snapshot: Snapshot, book: PriceBook, now: datetime) -> Iterator[Finding]:
    deployments = list(with_book(snapshot.catalog, book, {}))
    unpriced = [str(each.id) for each in deployments if (at := each.prices.entry_at(now)) is None or at.price is None]
    if unpriced:
        yield noted(
            "prices",
            f"{len(unpriced)} of {len(deployments)} models have none and are never chosen: {', '.join(unpriced[:5])}",
            "run `penstock models --refresh`, or add `prices` in models.yaml (zero is a price)",
        )
    else:
        yield fine("prices", f"all {len(deployments)} models have one (genai-prices {GENAI_PRICES_VERSION})")
    for name, access in snapshot.settings.providers.items():
        if access.provider.kind == "openrouter" and access.api_key is not None:
            yield _age(name, book.last_seen(name), now)


def _age(provider: str, seen: datetime | None, now: datetime) -> Finding:
    if seen is None:
        return noted(
            f"prices of {provider}", "its own list was never read", "run `penstock models --refresh`, or let it serve"
        )
    age = now - seen
    told = f"its own list was read {_ago(age)} ago"
    if age > _OLD:
        return noted(f"prices of {provider}", told, "a running server reads it every few minutes: does it run?")
    return fine(f"prices of {provider}", told)


def _ago(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"
