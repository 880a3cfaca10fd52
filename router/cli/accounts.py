"""`penstock spend`, `penstock reconcile`: what it cost, and whether that is certain."""

import sys
from contextlib import closing
from pathlib import Path

import anyio
import click

from router.assembly.clock import utc_now
from router.assembly.house import assemble
from router.assembly.stores import existing_store
from router.cli.configuration import books_options, loaded
from router.cli.output import as_csv, as_json, table
from router.config.snapshot import Snapshot
from router.errors import InvalidRequest
from router.gateway.reconcile import Reconciled
from router.server.admin import group_names, since_moment, spend_as_data
from router.units import usd_text

_OVERLAPPING = frozenset({"model", "provider", "source", "tag"})  # by these a request may stand in several lines


@click.command()
@books_options
@click.option("--by", default="team,model", show_default=True, help="Columns to group by, separated by commas.")
@click.option("--since", default="", help="24h, 7d or a date such as 2026-11-01. [default: everything]")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--json", "is_json", is_flag=True, help="The same as --format json.")
def spend(config: Path | None, by: str, since: str, form: str, *, is_sandbox: bool, is_json: bool) -> None:
    """What was spent, from the ledger, to the nano-dollar.

    By model, provider or source a request counts in each group in which a call was made for it; by tag it stands in
    full under each of its tags, and without any under an empty one. The total counts it once.

    Example: penstock spend --by team,model,day --since 7d --format csv
    """
    columns = group_names(by)
    moment = since_moment(since, utc_now())
    with closing(existing_store(loaded(config, is_sandbox=is_sandbox).settings)) as store:
        rows = store.spend(columns, moment)
        once = store.spend((), moment) if _OVERLAPPING & set(columns) else rows
    data = [spend_as_data(columns, row) for row in rows]
    if is_json or form == "json":
        click.echo(as_json(data))
    elif form == "csv":
        click.echo(as_csv(data))
    else:
        lines = [
            (*row.group, str(row.requests), str(row.input_tokens), str(row.output_tokens), usd_text(row.cost_nano_usd))
            for row in rows
        ]
        click.echo(table((*columns, "requests", "input", "output", "cost $"), lines))
        click.echo(f"total ${usd_text(sum(row.cost_nano_usd for row in once))}")
        if sum(row.requests for row in rows) > sum(row.requests for row in once):
            click.echo(_in_several_lines(columns), err=True)


def _in_several_lines(columns: tuple[str, ...]) -> str:
    if "tag" in columns:
        return "A request with several tags stands in full under each of them; the total counts it once."
    return "A request with calls in several lines counts in each; a call's tokens and cost in its own line only."


@click.command()
@books_options
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def reconcile(config: Path | None, *, is_sandbox: bool, is_json: bool) -> None:
    """Ask providers what the calls in doubt have cost, and book it in place of the sum held.

    A running server does the same every few seconds. Exit code 1 if calls remain in doubt.

    Example: penstock reconcile
    """
    if is_sandbox:
        raise InvalidRequest(
            "The sandbox answers only within the process that serves the demo, and that one reconciles by itself every "
            "few seconds. See what it has booked: penstock spend --sandbox."
        )
    done = anyio.run(_reconciled, loaded(config))
    rows = [
        {
            "request_id": call.request_id,
            "model": call.model,
            "generation_id": call.generation_id,
            "held_usd": usd_text(call.held_nano_usd),
            "cost_usd": usd_text(cost),
            "drift_usd": usd_text(call.held_nano_usd - cost),
        }
        for call, cost in done.resolved
    ]
    left = done.asked - len(rows)
    if is_json:
        drift = {"resolved": rows, "left_in_doubt": left, "drift_usd": usd_text(done.drift_nano_usd)}
        click.echo(as_json(drift))
    else:
        if rows:
            click.echo(table(tuple(rows[0]), [tuple(row.values()) for row in rows]))
        click.echo(
            f"{len(rows)} resolved, {left} left in doubt, ${usd_text(done.drift_nano_usd)} booked too much before"
        )
    sys.exit(1 if left else 0)


async def _reconciled(snapshot: Snapshot) -> Reconciled:
    existing_store(snapshot.settings).close()  # where nothing was served, nothing is begun
    house = assemble(snapshot)
    try:
        return await house.reconcile()
    finally:
        await house.close()
