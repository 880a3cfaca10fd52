"""`penstock prompts`: what is kept of requests of teams that opt in. No server shows any of it."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import click

from router.assembly.admin import write_down
from router.assembly.clock import utc_now
from router.assembly.prompts import seal_of
from router.assembly.stores import existing_store
from router.audit import Act
from router.cli.configuration import books_options, complete_team, loaded
from router.cli.output import as_json, counted
from router.errors import InvalidRequest
from router.keys import TeamName


@click.group()
def prompts() -> None:
    """Show and delete what is kept of requests (docs/privacy.md)."""


@prompts.command()
@books_options
@click.argument("request_id")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def show(config: Path | None, request_id: str, *, is_sandbox: bool, is_json: bool) -> None:
    """Print what was asked and answered in the request REQUEST_ID, as x-request-id of its answer named it.

    Example: penstock prompts show req_6566a1b2c3d4e5f607182930
    """
    settings = loaded(config, is_sandbox=is_sandbox).settings
    if settings.prompts is None:
        raise InvalidRequest("There are no keys: `prompts` of penstock.yaml names them (docs/privacy.md).")
    with closing(existing_store(settings)) as store:
        sealed = store.prompt(request_id)
        if sealed is not None:
            write_down(settings, store, Act.PROMPT_SHOWN, request_id, f"team {sealed.team}")
    if sealed is None:
        raise InvalidRequest(
            f"Nothing is kept of {request_id!r}: its team did not opt in, it is not in the sample, or its time is over."
        )
    prompt = seal_of(settings.prompts).opened(sealed)
    asked, answered = prompt.request.decode(errors="replace"), prompt.answer.decode(errors="replace")
    if is_json:
        told = {
            "request_id": prompt.request_id,
            "team": prompt.team,
            "at": prompt.at,
            "until": prompt.until,
            "api": prompt.api,
            "request": asked,
            "is_request_cut": prompt.is_request_cut,
            "answer": answered,
            "is_answer_cut": prompt.is_answer_cut,
        }
        click.echo(as_json(told))
        return
    click.echo(f"{prompt.request_id} of team {prompt.team}, {prompt.at:%Y-%m-%d %H:%M:%S} UTC, {prompt.api}", err=True)
    click.echo(f"It is deleted on {prompt.until:%Y-%m-%d}.", err=True)
    click.echo(asked + ("…" if prompt.is_request_cut else ""))
    click.echo(answered + ("…" if prompt.is_answer_cut else ""))


@prompts.command()
@books_options
@click.option("--team", required=True, shell_complete=complete_team, help="Whose; also of a team that is no more.")
@click.option("--older-than-days", type=click.IntRange(0, 3650), default=0, show_default=True, help="0: all of it.")
@click.option("--json", "is_json", is_flag=True, help="For programs.")
def delete(config: Path | None, team: str, older_than_days: int, *, is_sandbox: bool, is_json: bool) -> None:
    """Delete what is kept of a team's requests. The ledger stays: it has figures and names only.

    Example: penstock prompts delete --team search
    """
    before = utc_now() - timedelta(days=older_than_days)
    settings = loaded(config, is_sandbox=is_sandbox).settings
    with closing(existing_store(settings)) as store:
        write_down(settings, store, Act.PROMPTS_DELETED, team, f"older than {before:%Y-%m-%d %H:%M} UTC")
        deleted = store.drop_prompts(TeamName(team), before)
    if is_json:
        click.echo(as_json({"team": team, "deleted": deleted}))
    else:
        click.echo(f"{counted(deleted, 'request')} of team {team} deleted.")
