"""The tree of commands, and their outer edge: an error is one sentence that says what to do, and exit code 1."""

import sys

import click

from router.assembly.house import VERSION
from router.cli.accounts import keys, reconcile, spend
from router.cli.catalog import models
from router.cli.decisions import explain
from router.cli.doctor.command import doctor
from router.cli.late import LateGroup
from router.cli.replay import replay_command
from router.cli.serve import check, sandbox, serve
from router.errors import PenstockError

_LATE = {
    "train": ("router.cli.evaluation", "Train a text head on prompts with outcomes."),
    "evaluate": ("router.cli.evaluation", "Judge routing on prompts whose outcomes are known."),
}


@click.group(
    cls=LateGroup, late=_LATE, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(VERSION, prog_name="penstock")
def penstock() -> None:
    """A proxy for the OpenAI API that sends each request to the cheapest model that is good enough.

    Shell completion: eval "$(_PENSTOCK_COMPLETE=bash_source penstock)", or zsh_source, fish_source.
    """


for command in (serve, check, explain, replay_command, keys, spend, reconcile, models, sandbox, doctor):
    penstock.add_command(command)


def main() -> None:
    """The entry point of the console script."""
    try:
        penstock()
    except PenstockError as error:
        click.echo(error.message, err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
