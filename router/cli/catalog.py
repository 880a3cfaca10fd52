"""`penstock models`: what can be bought, at which price now."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import click

from router.assembly import utc_now
from router.catalog.catalog import Deployment
from router.cli.configuration import config_option, loaded
from router.cli.output import as_json, table


@click.command()
@config_option
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def models(config: Path | None, *, is_json: bool) -> None:
    """List the catalog with the prices in force now, in dollars per million tokens.

    Example: penstock models --json
    """
    now = utc_now()
    rows = [_row(deployment, now) for deployment in loaded(config).catalog]
    if is_json:
        click.echo(as_json(rows))
    else:
        lines = [tuple("–" if value is None else str(value) for value in row.values()) for row in rows]
        click.echo(table(tuple(rows[0]), lines))


def _row(deployment: Deployment, now: datetime) -> dict[str, str | int | None]:
    entry = deployment.prices.entry_at(now)
    rates = entry.price.base if entry and entry.price else None
    return {
        "model": deployment.model.name,
        "provider": deployment.provider.name,
        "context": deployment.context_tokens,
        "max_output": deployment.max_output_tokens,
        "input": _per_mtok(rates.input) if rates else None,
        "output": _per_mtok(rates.output) if rates else None,
        "cached": _per_mtok(rates.cached_input) if rates else None,
        "price_from": entry.source if entry else "unknown: never chosen",
        "checked": entry.checked.isoformat() if entry and entry.checked else None,
    }


def _per_mtok(rate: Decimal) -> str:
    return f"{rate.scaleb(6).normalize():f}"
