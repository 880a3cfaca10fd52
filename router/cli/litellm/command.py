"""`penstock import-litellm`: a LiteLLM config becomes a directory that `penstock check` takes, and a report.

What it does is in `importing`, which needs the package of `penstock[litellm]`.
"""

from pathlib import Path

import click

from router.cli.late import loaded_late


@click.command("import-litellm")
@click.argument("config", metavar="CONFIG.yaml", type=click.Path(path_type=Path))
@click.argument("target", default="config", metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--team", default="main", show_default=True, help="The team that gets the models, budgets and limits.")
@click.option("--json", "is_json", is_flag=True, help="The report for programs.")
def import_litellm(config: Path, target: Path, team: str, *, is_json: bool) -> None:
    """Convert the config of a LiteLLM proxy into a configuration in DIR (./config), and report on every key of it.

    Each key was converted, approximated, or has no equal; the report says how, and what to do. It is kept as IMPORT.md.
    Secrets are not copied. Nothing in DIR is overwritten.

    Example: penstock import-litellm litellm.yaml /etc/penstock --team search
    """
    loaded_late("router.cli.litellm.importing", "import_config", command="import-litellm")(
        config, target, team, is_json
    )
