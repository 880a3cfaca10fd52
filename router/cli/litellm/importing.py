"""What `penstock import-litellm` does: reads, converts, writes, tells."""

from pathlib import Path

import click

from router.assembly.clock import utc_now
from router.cli.litellm.conversion import Conversion, convert
from router.cli.litellm.findings import name
from router.cli.litellm.report import as_data, as_markdown, as_table, counts
from router.cli.litellm.source import read
from router.cli.new_config import NewConfig, require_free, require_team_name, shipped_main, shipped_models, write
from router.cli.output import as_json

_REPORT = "IMPORT.md"


def import_config(config: Path, target: Path, team: str, is_json: bool) -> None:
    """Convert the config into a directory, and tell of it: as a table, or as JSON."""
    require_free(target)
    require_team_name(team)
    main, models = shipped_main(), shipped_models()
    conversion = convert(
        read(config), team=team, source=name(config.name), main=main, models=models, today=utc_now().date()
    )
    report = as_markdown(conversion, source=name(config.name), team=team)
    write(
        target,
        NewConfig(conversion.main, conversion.models, team, conversion.team_file, more={_REPORT: report}),
    )
    if is_json:
        click.echo(as_json(as_data(conversion, directory=str(target), team=team)))
    else:
        _tell(conversion, target, team)


def _tell(conversion: Conversion, target: Path, team: str) -> None:
    told = counts(conversion.findings)
    click.echo(as_table(conversion))
    click.echo(
        f"\n{told['converted']} converted, {told['approximated']} approximated, {told['no equal']} without an equal. "
        f"{target} is written, and this report as {_REPORT}. Next:"
    )
    steps = [
        *conversion.to_do,
        f"penstock doctor --config {target}",
        f"penstock keys create --team {team} --config {target}",
        f"penstock serve --config {target}",
    ]
    click.echo("\n".join(f"  {step}" for step in steps))
