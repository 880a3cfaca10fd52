"""`penstock explain`: the decision for a request, and its reasons, without spending anything."""

import sys
from functools import partial
from pathlib import Path
from typing import BinaryIO

import anyio
import click

from router.assembly.deciding import kept_experience, make_planner
from router.assembly.providers import unavailable
from router.assembly.sandbox import with_sandbox
from router.catalog.book import with_book
from router.cli.configuration import NOWHERE, book_of, books_options, complete_team, known_team, loaded
from router.cli.output import as_json, explanation
from router.config.snapshot import Snapshot
from router.decision.explain import as_data
from router.decision.facts import NO_EXPERIENCE, Experience
from router.errors import PenstockError
from router.gateway.planning import Plan
from router.keys import TeamName
from router.wire.controls import NO_CONTROLS
from router.wire.requests import ChatReader


@click.command()
@books_options
@click.option("--team", shell_complete=complete_team, help="Whose policies apply. [default: the first team]")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
@click.argument("request_file", metavar="[FILE|-]", default="-", type=click.File("rb"))
def explain(config: Path | None, team: str | None, request_file: BinaryIO, *, is_sandbox: bool, is_json: bool) -> None:
    """Show who would serve the chat request in FILE (or standard input), what it may cost, and why not the others.

    Exit code 0 if someone would, 1 if nobody may.

    Example: echo '{"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}' | penstock explain --team search
    """
    snapshot = loaded(config, is_sandbox=is_sandbox)
    name = _team(snapshot, team)
    if len(unavailable(snapshot)) == sum(1 for _ in snapshot.catalog):
        click.echo("note: no provider has a key, so this is what `make run` would choose in its sandbox", err=True)
        snapshot = with_sandbox(snapshot, NOWHERE)
    plan = anyio.run(partial(_plan, snapshot, _experience(snapshot), name, request_file.read()))
    if is_json:
        click.echo(as_json(as_data(plan.decision, plan.profile)))
    else:
        click.echo(f"team {name} · {explanation(plan.decision, plan.profile)}")
    sys.exit(0 if plan.decision.chosen else 1)


async def _plan(snapshot: Snapshot, experience: Experience, team: TeamName, body: bytes) -> Plan:
    catalog = with_book(snapshot.catalog, book_of(snapshot), {})
    return await make_planner(snapshot, experience, lambda: catalog).plan(team, ChatReader().read(body), NO_CONTROLS)


def _experience(snapshot: Snapshot) -> Experience:
    """What the server has written down, at most half a minute ago; without its store, what it began with."""
    try:
        return kept_experience(snapshot)
    except PenstockError as error:
        click.echo(f"note: what was learned cannot be read, so this is what is expected at first: {error}", err=True)
        return NO_EXPERIENCE


def _team(snapshot: Snapshot, name: str | None) -> TeamName:
    return next(iter(snapshot.teams)) if name is None else known_team(snapshot, name)
