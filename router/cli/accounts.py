"""`penstock keys`, `penstock spend`, `penstock reconcile`: who may ask, what it cost, and whether that is certain."""

import secrets
import sys
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import click

from router.assembly.clock import utc_now
from router.assembly.house import assemble
from router.assembly.stores import existing_store, open_pepper, open_store
from router.cli.configuration import books_options, complete_team, hint_at_demo, known_team, loaded
from router.cli.output import as_csv, as_json, table
from router.config.snapshot import Snapshot
from router.errors import InvalidRequest
from router.gateway.reconcile import Reconciled
from router.keys import ApiKey, KeyId, digest, mint, written
from router.server.admin import group_names, since_moment, spend_as_data
from router.units import usd_text

_OVERLAPPING = frozenset({"model", "provider", "source", "tag"})  # by these a request may stand in several lines


@click.group()
def keys() -> None:
    """Create, list and revoke API keys. A running server takes a change up within two seconds."""


@keys.command()
@books_options
@click.option("--team", required=True, shell_complete=complete_team, help="Who pays for what the key does.")
@click.option("--name", default="", help="What it is for, e.g. the application's name.")
@click.option("--expires-in-days", type=click.IntRange(1, 3650), help="Not valid after so many days.")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def create(
    config: Path | None, team: str, name: str, expires_in_days: int | None, *, is_sandbox: bool, is_json: bool
) -> None:
    """Create a key and print it, once: only a digest is kept.

    Example: penstock keys create --team search --name website
    """
    snapshot = loaded(config, is_sandbox=is_sandbox)
    hint_at_demo(snapshot)
    owner = known_team(snapshot, team)
    now = utc_now()
    key = mint(secrets.token_bytes)
    record = ApiKey(
        id=key.id,
        team=owner,
        name=name,
        digest=digest(key, open_pepper(snapshot.settings)),
        created_at=now,
        expires_at=now + timedelta(days=expires_in_days) if expires_in_days else None,
    )
    with closing(open_store(snapshot.settings)) as store:
        store.add(record)
    if is_json:
        click.echo(as_json({"id": key.id, "team": team, "key": written(key)}))
    else:
        click.echo(written(key))
        click.echo(f"Key {key.id} of team {team}. It is shown this once; keep it safe.", err=True)


@keys.command(name="list")
@books_options
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def list_keys(config: Path | None, *, is_sandbox: bool, is_json: bool) -> None:
    """List the keys, without their secrets. Example: penstock keys list"""
    now = utc_now()
    with closing(existing_store(loaded(config, is_sandbox=is_sandbox).settings)) as store:
        known = store.all()
    if is_json:
        click.echo(as_json([_as_data(key, now) for key in known]))
    else:
        rows = [tuple(str(value or "") for value in _as_data(key, now).values()) for key in known]
        click.echo(table(("id", "team", "name", "state", "created", "expires", "revoked"), rows))


@keys.command()
@books_options
@click.argument("key_id")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def revoke(config: Path | None, key_id: str, *, is_sandbox: bool, is_json: bool) -> None:
    """Revoke the key KEY_ID for ever. Example: penstock keys revoke 8f3a0b6cd1e2f495"""
    with closing(existing_store(loaded(config, is_sandbox=is_sandbox).settings)) as store:
        is_revoked = store.revoke(KeyId(key_id), utc_now())
    if not is_revoked:
        raise InvalidRequest(f"There is no key {key_id!r} that could be revoked. See: penstock keys list.")
    click.echo(as_json({"id": key_id, "is_revoked": True}) if is_json else f"Key {key_id} is revoked.")


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


def _as_data(key: ApiKey, now: datetime) -> dict[str, str | None]:
    return {
        "id": key.id,
        "team": key.team,
        "name": key.name,
        "state": "valid" if key.is_valid_at(now) else "revoked" if key.revoked_at else "expired",
        "created_at": _minute(key.created_at),
        "expires_at": _minute(key.expires_at),
        "revoked_at": _minute(key.revoked_at),
    }


def _minute(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="minutes") if moment else None
