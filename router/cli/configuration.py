"""The option `--config` that most commands take, and loading what it names."""

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from router.config.loader import load
from router.config.settings import config_directory, environment
from router.config.snapshot import Snapshot

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
