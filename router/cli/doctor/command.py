"""`penstock doctor`: every check, and how the findings are told."""

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import anyio
import click

from router.assembly.clock import utc_now
from router.cli.configuration import book_of, books_options, directory, loaded
from router.cli.doctor.findings import Finding, Verdict, fault, fine, noted
from router.cli.doctor.machine import interpreter, open_files, ports, state_directory
from router.cli.doctor.prices import price_findings
from router.cli.doctor.providers import provider_findings
from router.cli.doctor.stores import store_findings
from router.cli.output import as_json, counted
from router.config.snapshot import Snapshot, UnixSocket
from router.errors import ConfigError

_COLORS = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.FAULT: "red"}


@click.command()
@books_options
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def doctor(config: Path | None, *, is_sandbox: bool, is_json: bool) -> None:
    """Look for what keeps this machine from serving well, and say what to do about each.

    Looks at the configuration, providers and their keys, prices, clock, stores, ports and limits; asks each provider
    one question that costs nothing. Exit code 1 if there is a fault. Example: penstock doctor --config /etc/penstock
    """
    findings = _findings(config, is_sandbox=is_sandbox)
    faults = sum(each.verdict is Verdict.FAULT for each in findings)
    if is_json:
        click.echo(as_json([_as_data(each) for each in findings]))
    else:
        _tell(findings)
        notes = sum(each.verdict is Verdict.NOTE for each in findings)
        click.echo(f"{counted(faults, 'fault')}, {counted(notes, 'note')}")
    sys.exit(1 if faults else 0)


def _findings(config: Path | None, *, is_sandbox: bool) -> list[Finding]:
    machine = [interpreter(), open_files()]
    try:
        snapshot = loaded(config, is_sandbox=is_sandbox)
    except ConfigError as error:
        remedy = "`penstock check` names them all"
        told = f"{counted(len(error.problems), 'problem')}, the first: {error.problems[0]}"
        return [fault("configuration", told, remedy), *machine]
    return [
        fine("configuration", f"{directory(config)}, {counted(len(snapshot.teams), 'team')}, {snapshot.version}"),
        _admin_token(snapshot),
        *machine,
        *ports(snapshot.settings),
        *state_directory(snapshot.settings),
        *anyio.run(_asked, snapshot, utc_now(), is_sandbox),
        *price_findings(snapshot, book_of(snapshot), utc_now()),
    ]


async def _asked(snapshot: Snapshot, now: datetime, is_sandbox: bool) -> list[Finding]:
    """What others have to say. The demo's sandbox answers within its own process only."""
    stores = await store_findings(snapshot.settings)
    return stores if is_sandbox else [*stores, *await provider_findings(snapshot.settings, now)]


def _admin_token(snapshot: Snapshot) -> Finding:
    settings = snapshot.settings
    held = [each for each in settings.admin_tokens if each.secret is not None]
    if held:
        return fine("admin tokens", ", ".join(f"{each.name} ({each.role.word})" for each in held))
    if isinstance(settings.admin, UnixSocket):
        return fine("admin tokens", "none: whoever may open the socket may do everything")
    origin = " and ".join(each.origin for each in settings.admin_tokens) or "admin.token_env in penstock.yaml"
    return noted(
        "admin tokens",
        f"{origin} is empty, so metrics and console are open to everyone on this machine, and to no other",
        f"put a long random text into {origin}",
    )


def _tell(findings: Sequence[Finding]) -> None:
    width = max(len(each.check) for each in findings)
    for each in findings:
        verdict = click.style(f"{each.verdict.value:5}", fg=_COLORS[each.verdict])
        click.echo(f"{verdict}  {each.check:{width}}  {each.told}")
        if each.remedy:
            click.echo(f"       {'':{width}}  → {each.remedy}")


def _as_data(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "verdict": finding.verdict.value,
        "told": finding.told,
        "remedy": finding.remedy,
    }
