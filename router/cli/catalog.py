"""`penstock models`: what can be bought, at which price now, and who says so."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import anyio
import click

from router.assembly.clock import utc_now
from router.assembly.providers import prices_to_refresh
from router.catalog.book import PriceBook, name_of, with_book
from router.catalog.catalog import Deployment, Task
from router.catalog.prices import Origin
from router.cli.configuration import book_of, books_options, hint_at_demo, loaded
from router.cli.output import as_json, counted, table
from router.config.snapshot import Snapshot
from router.errors import InvalidRequest
from router.gateway.live_prices import LivePrices
from router.quality.prior import prior_of


@click.command()
@books_options
@click.option("--refresh", is_flag=True, help="Read OpenRouter's list now and write it into the price book.")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def models(config: Path | None, *, refresh: bool, is_sandbox: bool, is_json: bool) -> None:
    """List the catalog with the prices in force now, in dollars per million tokens.

    `price_from` says whose figure it is, `checked` when it was last compared with its source (UTC), `version` what the
    provider's name for the model stands for, `rated` for how many kinds of task models.yaml has a figure at its default
    effort; the others are filled from these (docs/quality.md). A running server takes up what --refresh has found
    within 15 seconds. A price that leaps by a factor of three or more is read twice, a minute apart, before it is
    believed.

    Example: penstock models --refresh --json
    """
    snapshot = loaded(config, is_sandbox=is_sandbox)
    if refresh and is_sandbox:
        raise InvalidRequest(
            "The sandbox's list is read by the process that serves the demo alone, when it starts and every few "
            "minutes. See what it has read: penstock models --sandbox, without --refresh."
        )
    if refresh:
        _require_a_list(snapshot)
    hint_at_demo(snapshot)
    book = anyio.run(_refreshed, snapshot) if refresh else book_of(snapshot)
    catalog = with_book(snapshot.catalog, book, {})
    now = utc_now()
    rows = [_row(deployment, book, now) for deployment in catalog]
    if is_json:
        click.echo(as_json(rows))
    else:
        lines = [tuple("–" if value is None else str(value) for value in row.values()) for row in rows]
        click.echo(table(tuple(rows[0]), lines))


def _require_a_list(snapshot: Snapshot) -> None:
    """Raises InvalidRequest, saying what to do, if there is nobody whose list could be read."""
    with_lists = [each for each in snapshot.settings.providers.values() if each.provider.kind == "openrouter"]
    if not any(each.api_key for each in with_lists):
        origins = " and ".join(each.api_key_from or each.provider.name for each in with_lists)
        raise InvalidRequest(
            "There is no list to read: "
            + (
                f"{origins} holds no key. Set it"
                if with_lists
                else "no provider of kind openrouter is configured. Add one"
            )
            + " and run this again; without --refresh, the prices known so far are shown. The demo (`make run` without "
            "a key) reads its sandbox's list itself: penstock models --sandbox."
        )


async def _refreshed(snapshot: Snapshot) -> PriceBook:
    """The book after every provider's list has been read, and read again if something has to be confirmed."""
    async with prices_to_refresh(snapshot) as prices:
        await _read_all(prices)
        if prices.doubts:
            wait_s = snapshot.settings.prices.confirm_s
            click.echo(
                f"note: {counted(len(prices.doubts), 'sudden price')}; reading again in {wait_s:.0f} s to be sure",
                err=True,
            )
            await anyio.sleep(wait_s)
            await _read_all(prices)
        return prices.book


async def _read_all(prices: LivePrices) -> None:
    for provider in prices.providers:
        await prices.refresh(provider)
    await prices.keep()


def _row(deployment: Deployment, book: PriceBook, now: datetime) -> dict[str, str | int | None]:
    entry = deployment.prices.entry_at(now)
    rates = entry.price.base if entry and entry.price else None
    return {
        "model": deployment.model.name,
        "provider": deployment.provider.name,
        "version": deployment.version,
        "rated": _rated(deployment),
        "context": deployment.context_tokens,
        "max_output": deployment.max_output_tokens,
        "input": _per_mtok(rates.input) if rates else None,
        "output": _per_mtok(rates.output) if rates else None,
        "cached": _per_mtok(rates.cached_input) if rates else None,
        "request": f"{rates.request.normalize():f}" if rates else None,
        "price_from": entry.source if entry and rates else "unknown: never chosen",
        "checked": _checked(deployment, book, now),
    }


def _rated(deployment: Deployment) -> str | None:
    """For how many kinds of task there is a figure at the model's default effort, estimates included."""
    model = deployment.model
    if not model.quality and not model.quality_at:
        return None
    known = sum(prior_of(model, None, task).is_known for task in Task)
    return f"{known} of {len(Task)}" + ("" if deployment.rated is model else f", of version {model.rated_version}")


def _checked(deployment: Deployment, book: PriceBook, now: datetime) -> str | None:
    entry = deployment.prices.entry_at(now)
    newest = book.newest(name_of(deployment))
    if entry is not None and entry.origin is Origin.LIVE and newest is not None:
        return f"{newest.last_seen:%Y-%m-%d %H:%M}"
    return entry.checked.isoformat() if entry and entry.checked else None


def _per_mtok(rate: Decimal) -> str:
    return f"{rate.scaleb(6).normalize():f}"
