"""`penstock audit`: what was done on the admin plane, and whether the log of it is what was written."""

import sys
from contextlib import closing
from pathlib import Path

import click

from router.assembly.admin import head_file
from router.assembly.clock import utc_now
from router.assembly.stores import existing_store, open_pepper
from router.audit import Broken, Chain, Head, Row, head_from
from router.cli.configuration import books_options, loaded
from router.cli.output import as_json, table
from router.errors import InvalidRequest
from router.server.admin import since_moment
from router.storage.audit_trail import verified
from router.storage.rows import moment_text

_BEYOND = 2**62  # any number of a row


@click.group()
def audit() -> None:
    """Show the audit log, and check that nobody has changed it."""


@audit.command(name="list")
@books_options
@click.option("--since", default="", help="24h, 7d or a date such as 2026-11-01. [default: everything]")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(1, 100_000), help="The newest so many.")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def list_rows(config: Path | None, since: str, limit: int, *, is_sandbox: bool, is_json: bool) -> None:
    """List what was done, oldest first. Example: penstock audit list --since 7d"""
    moment = since_moment(since, utc_now())
    with closing(existing_store(loaded(config, is_sandbox=is_sandbox).settings)) as store:
        found = store.audit_before(_BEYOND, since="" if moment is None else moment_text(moment), limit=limit)
    rows = [_as_data(row) for row in reversed(found)]
    if is_json:
        click.echo(as_json(rows))
    else:
        headings = ("number", "at", "actor", "act", "subject", "detail", "origin")
        click.echo(table(headings, [tuple(str(row[name]) for name in headings) for row in rows]))


@audit.command()
@books_options
@click.option("--head", "text", help="A head seen before, NUMBER:MAC, as this command prints it.")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def verify(config: Path | None, text: str | None, *, is_sandbox: bool, is_json: bool) -> None:
    """Check the audit log from its first row to its last: exit code 1 names the first that is not what was written.

    Rows that were changed, taken out, put in or put elsewhere are found. That its end was cut off shows only by a head
    seen before: the one in audit.head of the state directory is compared by itself, one kept elsewhere by --head.

    Example: penstock audit verify --head 120:5f3a…
    """
    settings = loaded(config, is_sandbox=is_sandbox).settings
    file = head_file(settings.state_dir)
    heads = {str(file.path): seen} if (seen := file.read()) is not None else {}
    if text is not None:
        heads["--head"] = _head(text)
    pepper = open_pepper(settings)
    with closing(existing_store(settings)) as store:
        end = verified(store, Chain(pepper), heads=heads)
    if is_json:
        click.echo(as_json(_told(end, tuple(heads))))
    elif isinstance(end, Broken):
        click.echo(f"The audit log is broken at row {end.number}: {end.why}.", err=True)
    else:
        compared = f"compared with {' and '.join(heads)}" if heads else "compared with no head seen before"
        click.echo(f"{end.number} rows, whole, {compared}. Its head: {end}")
        if not heads:
            click.echo(f"Rows cut off its end would not show: there is no {file.path}, and no --head.", err=True)
    sys.exit(1 if isinstance(end, Broken) else 0)


def _head(text: str) -> Head:
    head = head_from(text)
    if head is None:
        raise InvalidRequest(f"--head takes NUMBER:MAC as `penstock audit verify` prints it; got {text[:90]!r}.")
    return head


def _told(end: Broken | Head, compared: tuple[str, ...]) -> dict[str, object]:
    if isinstance(end, Broken):
        return {"is_whole": False, "broken_at": end.number, "why": end.why, "compared_with": compared}
    return {"is_whole": True, "rows": end.number, "head": str(end), "compared_with": compared}


def _as_data(row: Row) -> dict[str, object]:
    entry = row.entry
    return {
        "number": row.number,
        "at": entry.at,
        "actor": entry.actor,
        "act": str(entry.act),
        "subject": entry.subject,
        "detail": entry.detail,
        "origin": entry.origin,
        "mac": row.mac.hex(),
    }
