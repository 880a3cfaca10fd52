"""The tree of commands, and their outer edge: an error is one sentence that says what to do, and exit code 1."""

import sys
from types import TracebackType

import click
from click.shell_completion import get_completion_class

from router.assembly.house import VERSION
from router.cli.accounts import reconcile, spend
from router.cli.audit import audit
from router.cli.catalog import models
from router.cli.decisions import explain
from router.cli.doctor.command import doctor
from router.cli.evaluation import evaluate, train
from router.cli.init import init
from router.cli.keys import keys
from router.cli.litellm.command import import_litellm
from router.cli.prompts import prompts
from router.cli.replay import replay_command
from router.cli.serve import check, sandbox, serve
from router.errors import PenstockError
from router.telemetry.uncaught import brief_traceback

PROGRAM = "penstock"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name=PROGRAM)
def penstock() -> None:
    """A proxy for the OpenAI API that sends each request to the cheapest model that is good enough.

    A new machine: penstock init, then penstock doctor. Shell completion: penstock completion bash.
    """


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands, options and their values.

    Example: penstock completion bash > ~/.local/share/bash-completion/completions/penstock
    """
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(penstock, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source())


for command in (
    serve,
    check,
    explain,
    replay_command,
    keys,
    audit,
    spend,
    reconcile,
    prompts,
    models,
    sandbox,
    init,
    import_litellm,
    doctor,
    completion,
    train,
    evaluate,
):
    penstock.add_command(command)


def main() -> None:
    """The entry point of the console script."""
    sys.excepthook = _tell_of_the_uncaught
    try:
        penstock()
    except PenstockError as error:
        click.echo(error.message, err=True)
        sys.exit(1)


def _tell_of_the_uncaught(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    """A mistake of ours, without what it says: that may quote an address with a password in it."""
    if isinstance(error, Exception):
        click.echo(
            f"{brief_traceback(error)}This is a mistake of {PROGRAM}'s own; please report these lines.", err=True
        )


if __name__ == "__main__":
    main()
