"""The options `--config` and `--sandbox` that most commands take, loading what they name, finding a team in it."""

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from router.assembly.clock import utc_now
from router.assembly.providers import price_book
from router.assembly.sandbox import with_sandbox
from router.assembly.stores import only_demo
from router.catalog.book import PriceBook
from router.config.files import ON_DISK, Files
from router.config.loader import load
from router.config.settings import config_directory, environment
from router.config.snapshot import Snapshot
from router.errors import InvalidRequest, PenstockError
from router.keys import TeamName

P = ParamSpec("P")
R = TypeVar("R")

# The sandbox answers within the process that serves the demo, and no command asks it.
NOWHERE = "http://127.0.0.1/api/v1"


def config_option(command: Callable[P, R]) -> Callable[P, R]:
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="Directory of the configuration. [default: $PENSTOCK_CONFIG, ./config, /etc/penstock, the shipped one]",
    )(command)


def books_options(command: Callable[P, R]) -> Callable[P, R]:
    """Of commands that read or change what a server keeps: `--config`, and `--sandbox`."""
    return config_option(
        click.option("--sandbox", "is_sandbox", is_flag=True, help="The demo's books (`make run` without a key).")(
            command
        )
    )


def directory(chosen: Path | None) -> Path:
    return config_directory(chosen, environment=environment(), working_directory=Path())


def loaded(chosen: Path | None, *, is_sandbox: bool = False, files: Files = ON_DISK) -> Snapshot:
    """The configuration, or that of the demo under it. Raises ConfigError with every problem."""
    snapshot = load(directory(chosen), environment=environment(), today=utc_now().date(), files=files)
    return with_sandbox(snapshot, NOWHERE) if is_sandbox else snapshot


def hint_at_demo(snapshot: Snapshot) -> None:
    """Say so if the only books there are belong to the demo; for commands that do without any."""
    if (demo := only_demo(snapshot.settings)) is not None:
        click.echo(f"note: {demo} holds the books of the demo, and there are no others: is --sandbox meant?", err=True)


def book_of(snapshot: Snapshot) -> PriceBook:
    """The price book; an empty one, with a note, if it cannot be read."""
    try:
        return price_book(snapshot.settings)
    except PenstockError as error:
        click.echo(f"note: without the price book, so at published prices: {error.message}", err=True)
        return PriceBook()


def complete_team(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """What the shell may offer for `--team`: the teams of the configuration that the line names, if it is valid."""
    try:
        teams = loaded(context.params.get("config")).teams
    except PenstockError:
        return []
    return [name for name in teams if name.startswith(incomplete)]


def known_team(snapshot: Snapshot, name: str) -> TeamName:
    """The team of that name. Raises InvalidRequest, naming those there are."""
    if name not in snapshot.teams:
        raise InvalidRequest(f"There is no team {name!r}. There are: {', '.join(snapshot.teams)}.")
    return TeamName(name)
