"""The option `--config` that most commands take, loading what it names, and finding a team in it."""

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from router.assembly import price_book
from router.catalog.book import PriceBook
from router.config.loader import load
from router.config.settings import config_directory, environment
from router.config.snapshot import Snapshot
from router.errors import InvalidRequest, PenstockError
from router.keys import TeamName

P = ParamSpec("P")
R = TypeVar("R")


def config_option(command: Callable[P, R]) -> Callable[P, R]:
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="Directory of the configuration. [default: $PENSTOCK_CONFIG, ./config, /etc/penstock, the shipped one]",
    )(command)


def directory(chosen: Path | None) -> Path:
    return config_directory(chosen, environment=environment(), working_directory=Path())


def loaded(chosen: Path | None) -> Snapshot:
    """The configuration. Raises ConfigError with every problem."""
    return load(directory(chosen), environment=environment())


def book_of(snapshot: Snapshot) -> PriceBook:
    """The price book; an empty one, with a note, if it cannot be read."""
    try:
        return price_book(snapshot.settings)
    except PenstockError as error:
        click.echo(f"note: without the price book, so at published prices: {error.message}", err=True)
        return PriceBook()


def known_team(snapshot: Snapshot, name: str) -> TeamName:
    """The team of that name. Raises InvalidRequest, naming those there are."""
    if name not in snapshot.teams:
        raise InvalidRequest(f"There is no team {name!r}. There are: {', '.join(snapshot.teams)}.")
    return TeamName(name)
