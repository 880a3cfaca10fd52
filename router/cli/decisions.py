"""`penstock explain`: the decision for a request, and its reasons, without spending anything."""

import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import BinaryIO

import anyio
import click

from router.assembly.clock import utc_now
from router.assembly.deciding import kept_experience, make_planner
from router.assembly.providers import unavailable
from router.assembly.sandbox import with_sandbox
from router.assembly.stores import existing_store
from router.catalog.book import with_book
from router.cli.configuration import NOWHERE, book_of, books_options, complete_team, known_team, loaded
from router.cli.keys import known_key
from router.cli.output import as_json, explanation
from router.config.snapshot import Snapshot
from router.decision.explain import as_data
from router.decision.facts import NO_EXPERIENCE, Experience
from router.errors import InvalidRequest, PenstockError
from router.gateway.planning import Plan
from router.keys import WHOLE_TEAM, ApiKey, KeyScope, TeamName
from router.wire.controls import NO_CONTROLS
from router.wire.requests import ChatReader


@click.command()
@books_options
@click.option("--team", shell_complete=complete_team, help="Whose policies apply. [default: the first team]")
@click.option("--key", "key_id", help="Within what this key may do, by its public id; its team's policies apply.")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
@click.argument("request_file", metavar="[FILE|-]", default="-", type=click.File("rb"))
def explain(
    config: Path | None,
    team: str | None,
    key_id: str | None,
    request_file: BinaryIO,
    *,
    is_sandbox: bool,
    is_json: bool,
) -> None:
    """Show who would serve the chat request in FILE (or standard input), what it may cost, and why not the others.

    Exit code 0 if someone would, 1 if nobody may.

    Example: echo '{"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}' | penstock explain --team search
    """
    snapshot = loaded(config, is_sandbox=is_sandbox)
    key = None if key_id is None else _key(snapshot, key_id)
    if key is not None and team not in (None, key.team):
        raise InvalidRequest(f"Key {key.id} belongs to team {key.team}; leave --team out.")
    name = _team(snapshot, team if key is None else key.team)
    scope = WHOLE_TEAM if key is None or key.scope is None else key.scope
    if len(unavailable(snapshot)) == sum(1 for _ in snapshot.catalog):
        click.echo("note: no provider has a key, so this is what `make run` would choose in its sandbox", err=True)
        snapshot = with_sandbox(snapshot, NOWHERE)
    plan = anyio.run(partial(_plan, snapshot, _experience(snapshot), name, request_file.read(), scope))
    if is_json:
        click.echo(as_json(as_data(plan.decision, plan.profile)))
    else:
        click.echo(f"team {name} · {explanation(plan.decision, plan.profile)}")
    sys.exit(0 if plan.decision.chosen else 1)


async def _plan(snapshot: Snapshot, experience: Experience, team: TeamName, body: bytes, scope: KeyScope) -> Plan:
    catalog = with_book(snapshot.catalog, book_of(snapshot), {})
    planner = make_planner(snapshot, experience, lambda: catalog)
    return await planner.plan(team, ChatReader().read(body), NO_CONTROLS, scope=scope)


def _key(snapshot: Snapshot, key_id: str) -> ApiKey:
    with closing(existing_store(snapshot.settings)) as store:
        return known_key(store, key_id, utc_now())


def _experience(snapshot: Snapshot) -> Experience:
    """What the server has written down, at most half a minute ago; without its store, what it began with."""
    try:
        return kept_experience(snapshot)
    except PenstockError as error:
        click.echo(f"note: what was learned cannot be read, so this is what is expected at first: {error}", err=True)
        return NO_EXPERIENCE


def _team(snapshot: Snapshot, name: str | None) -> TeamName:
    return next(iter(snapshot.teams)) if name is None else known_team(snapshot, name)
