"""Commands whose module is loaded only when they are asked for.

What `train` and `evaluate` import (numpy, scipy, matplotlib) is in the extra `penstock[train]`. It may be missing; and
where it is there, it must not cost every `penstock serve` half a second and thirty megabytes. So these commands are
known by name until one is asked for: the one place in the package where a module is imported by its name.
"""

from importlib import import_module

import click

from router.config.settings import set_if_absent
from router.errors import PenstockError

_EXTRA = ("numpy", "scipy", "matplotlib")


class LateGroup(click.Group):
    """A group of commands, some of them known only by module, name and one line of help until they are asked for."""

    def __init__(self, *, late: dict[str, tuple[str, str]], **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type] # click's own settings, passed on by its decorator
        self._late = late

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self._late])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """For a late command a stand-in that has its name and its line of help."""
        if cmd_name in self._late:
            return click.Command(cmd_name, short_help=self._late[cmd_name][1])
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command itself. Raises PenstockError where what it needs is not installed."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in self._late:
            command = _loaded(self._late[name][0], name)
        return name, command, rest


def _loaded(module: str, name: str) -> click.Command:
    set_if_absent("OMP_NUM_THREADS", "1")  # numpy's threads spin while they wait for each other: twelve times the CPU
    try:
        command = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        raise PenstockError(
            f"penstock {name} needs {error.name}, which is not installed: pip install 'penstock[train]'"
        ) from error
    assert isinstance(command, click.Command)
    return command
