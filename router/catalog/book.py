"""The price book: what providers' own lists said, dated; and what a new reading changes in it.

A row is appended for every change and never edited; only when it was last seen moves on. A catalog together with the
book is what can be bought now.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby

from router.catalog.catalog import Catalog, Deployment, ProviderName
from router.catalog.listing import Listed, tariff_of
from router.catalog.prices import Origin, PriceEntry
from router.catalog.tariffs import Tariff, as_data, is_sudden

_VERSION_DIGITS = 12

# What a price may have become little by little before it is a sudden change all the same.
_REMEMBERED = timedelta(days=1)
# A sudden change is confirmed by a reading that says the same to within this factor. A list that goes on climbing says
# something else each time.
_SAME_FACTOR = Decimal("1.25")

Name = tuple[ProviderName, str]  # a provider, and what it calls a model


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What a model cost at a provider from `starts` until the next row of the same name starts."""

    provider: ProviderName
    upstream_model: str
    version: str | None  # what the name stood for
    tariff: Tariff | None  # None: the provider said that there was no price
    source: str
    starts: datetime  # from when it was believed; aware UTC, as all of these
    first_seen: datetime  # earlier than `starts` where it had to be confirmed
    last_seen: datetime

    @property
    def name(self) -> Name:
        return self.provider, self.upstream_model


@dataclass(frozen=True, slots=True)
class Doubt:
    """A price that was read, is a sudden change, and has not been confirmed."""

    tariff: Tariff | None
    first_seen: datetime


@dataclass(frozen=True, slots=True)
class PriceBook:
    """The rows of every name, oldest first."""

    rows: Mapping[Name, tuple[PriceRow, ...]] = field(default_factory=dict)

    def newest(self, name: Name) -> PriceRow | None:
        rows = self.rows.get(name)
        return rows[-1] if rows else None

    def yardsticks(self, name: Name, now: datetime) -> tuple[Tariff, ...]:
        """The prices that a new one is measured by, newest first: the last one there was, and those of the day before
        it, back to the last that was a sudden change and has been confirmed."""
        found: list[Tariff] = []
        for row in reversed(self.rows.get(name, ())):
            if row.tariff is None:
                continue  # a name that comes back is measured by what it cost before
            found.append(row.tariff)
            if row.first_seen < row.starts or row.starts <= now - _REMEMBERED:
                break
        return tuple(found)

    def with_rows(self, rows: Iterable[PriceRow]) -> "PriceBook":
        """The book with these rows added, or in place of those that start when they do."""
        merged = {(*row.name, row.starts): row for old in self.rows.values() for row in old}
        for row in rows:
            known = merged.get((*row.name, row.starts))
            if known is None or known.last_seen <= row.last_seen:
                merged[(*row.name, row.starts)] = row
        ordered = sorted(merged.values(), key=lambda row: (*row.name, row.starts))
        return PriceBook({name: tuple(each) for name, each in groupby(ordered, key=lambda row: row.name)})

    def last_seen(self, provider: ProviderName) -> datetime | None:
        """When any of the provider's prices was last read."""
        return max((rows[-1].last_seen for (owner, _), rows in self.rows.items() if owner == provider), default=None)


@dataclass(frozen=True, slots=True)
class Review:
    """What one reading of one name comes to."""

    row: PriceRow | None  # now the newest of its name: a new one, or the one before, seen again
    is_new: bool  # the row has to be appended
    doubt: Doubt | None  # what was read instead and is not believed


def review(
    listed: Listed,
    *,
    provider: ProviderName,
    newest: PriceRow | None,
    published: Tariff | None,
    yardsticks: Sequence[Tariff],
    doubt: Doubt | None,
    now: datetime,
    confirm_after: timedelta,
) -> Review:
    """What a reading made at `now` changes, given what is known and what is in doubt already.

    `published` is the price that holds before the book has a row, `yardsticks` are the book's. A sudden change is
    believed when a reading made at least `confirm_after` after the first one still says about the same. So is a price
    that vanishes: meanwhile nothing is known that a hold could cover.
    """
    known = newest.tariff if newest else published
    reading = tariff_of(listed.pricing, now=now, before=known) if listed.pricing else None
    measures = yardsticks if newest else (known,) if known else ()
    first_seen, is_believed = now, reading == known or not _is_doubtful(measures, reading, with_fees=newest is not None)
    if not is_believed and doubt is not None and _agree(doubt.tariff, reading):
        first_seen = doubt.first_seen
        is_believed = now - first_seen >= confirm_after
    doubted = None if is_believed else Doubt(reading, first_seen)
    tariff = reading if is_believed else known
    if newest is None:
        if doubted is not None:
            return Review(row=None, is_new=False, doubt=doubted)  # there is nothing to write down yet
        return Review(_row(listed, provider, tariff, starts=now, first_seen=first_seen), is_new=True, doubt=None)
    version = listed.version or newest.version
    if (tariff, version) == (newest.tariff, newest.version):
        return Review(replace(newest, last_seen=now), is_new=False, doubt=doubted)
    row = replace(_row(listed, provider, tariff, starts=now, first_seen=first_seen), version=version)
    return Review(row, is_new=True, doubt=doubted)


def _is_doubtful(measures: Sequence[Tariff], reading: Tariff | None, *, with_fees: bool) -> bool:
    if reading is None:
        return bool(measures)
    return any(is_sudden(each, reading, with_fees=with_fees) for each in measures)


def _agree(first: Tariff | None, second: Tariff | None) -> bool:
    if first is None or second is None:
        return first is second
    return not is_sudden(first, second, factor=_SAME_FACTOR)


def _row(
    listed: Listed, provider: ProviderName, tariff: Tariff | None, *, starts: datetime, first_seen: datetime
) -> PriceRow:
    return PriceRow(
        provider=provider,
        upstream_model=listed.name,
        version=listed.version,
        tariff=tariff,
        source=f"{provider} /models",
        starts=starts,
        first_seen=first_seen,
        last_seen=starts,
    )


def published_tariff(deployment: Deployment, now: datetime) -> Tariff | None:
    """What the shipped price list says of this hour, leaving the operator's own prices aside; None if nothing."""
    for entry in reversed(deployment.prices.entries):
        if entry.origin is Origin.PUBLISHED and entry.holds_at(now):
            return None if entry.price is None else Tariff.all_day(entry.price)
    return None


def with_book(
    catalog: Catalog, book: PriceBook, doubts: Mapping[Name, Doubt], *, since: datetime | None = None
) -> Catalog:
    """The configuration's catalog at the prices of the book; holds cover what is in doubt too.

    Prices that ended before `since` are left out, as a catalog that holds years of them takes long to make. The version
    is that of the configuration's catalog as long as the book has nothing to say about it.
    """
    if not any(name_of(deployment) in book.rows or name_of(deployment) in doubts for deployment in catalog):
        return catalog
    digest = hashlib.sha256(catalog.version.encode())
    for deployment in catalog:
        for row in book.rows.get(name_of(deployment), ())[-1:]:
            digest.update(f"{row.name} {row.version} {row.starts.isoformat()} {_digits(row.tariff)}".encode())
        doubt = doubts.get(name_of(deployment))
        digest.update(f"{'no' if doubt is None else _digits(doubt.tariff)} doubt\n".encode())
    return Catalog(
        deployments={
            model: tuple(_priced(each, book, doubts, since) for each in deployments)
            for model, deployments in catalog.deployments.items()
        },
        version=digest.hexdigest()[:_VERSION_DIGITS],
    )


def _digits(tariff: Tariff | None) -> str:
    """The tariff as text, the same whether it was read just now or comes from the book."""
    return "no price" if tariff is None else str(as_data(tariff))


def name_of(deployment: Deployment) -> Name:
    """By which name the book knows a deployment."""
    return deployment.provider.name, deployment.upstream_model


def _priced(
    deployment: Deployment, book: PriceBook, doubts: Mapping[Name, Doubt], since: datetime | None
) -> Deployment:
    rows, doubt = book.rows.get(name_of(deployment), ()), doubts.get(name_of(deployment))
    if not rows and doubt is None:
        return deployment
    first = 0 if since is None else max(bisect_right(rows, since, key=lambda row: row.starts) - 1, 0)
    live = [entry for row in rows[first:] for entry in _entries(row.tariff, row.source, row.starts)]
    doubted = () if doubt is None else _entries(doubt.tariff, "not confirmed", None)
    return replace(
        deployment,
        prices=deployment.prices.with_live(live, doubted),
        version=(rows[-1].version if rows else None) or deployment.version,
    )


def _entries(tariff: Tariff | None, source: str, starts: datetime | None) -> Sequence[PriceEntry]:
    if tariff is None:
        return (PriceEntry(None, source=source, starts=starts, origin=Origin.LIVE),)
    return tariff.entries(source=source, starts=starts)
