"""The surroundings of the process: the only reader of the environment; where configuration, state and secrets are."""

import os
from collections.abc import Mapping
from pathlib import Path

from router.config.files import Files
from router.keys import Secret

MAIN_FILE = "penstock.yaml"

# The configuration shipped with the package: beside `router` in a checkout, inside it in a wheel (pyproject.toml).
_IN_WHEEL = Path(__file__).resolve().parent.parent / "shipped_config"
_IN_CHECKOUT = Path(__file__).resolve().parent.parent.parent / "config"


def environment() -> Mapping[str, str]:
    """The environment variables as they are now."""
    return dict(os.environ)  # noqa: TID251 - this is the one reader


def set_if_absent(variable: str, value: str) -> None:
    """For a library that is loaded afterwards and is configured by its environment only."""
    os.environ.setdefault(variable, value)  # noqa: TID251 - beside its one reader


def shipped_config() -> Path:
    """The configuration that came with the package."""
    return _IN_WHEEL if (_IN_WHEEL / MAIN_FILE).is_file() else _IN_CHECKOUT


def config_directory(chosen: Path | None, *, environment: Mapping[str, str], working_directory: Path) -> Path:
    """Where the configuration is read from.

    The first of: `chosen` (a flag), $PENSTOCK_CONFIG, ./config, $XDG_CONFIG_HOME/penstock, /etc/penstock, and the copy
    shipped with the package. What a person named is taken even if nothing is there, so that the error names it.
    """
    if chosen is not None:
        return chosen
    if environment.get("PENSTOCK_CONFIG"):
        return Path(environment["PENSTOCK_CONFIG"])
    usual = (
        working_directory / "config",
        _home(environment, "XDG_CONFIG_HOME", ".config") / "penstock",
        Path("/etc/penstock"),
    )
    return next((directory for directory in usual if (directory / MAIN_FILE).is_file()), shipped_config())


def state_directory(configured: Path | None, *, environment: Mapping[str, str]) -> Path:
    """Where ledger, keys and pepper live.

    The first of: `state.directory` of penstock.yaml, $STATE_DIRECTORY (set by systemd), $XDG_STATE_HOME/penstock,
    ~/.local/state/penstock. It is not created here.
    """
    if configured is not None:
        return configured
    if environment.get("STATE_DIRECTORY"):
        return Path(environment["STATE_DIRECTORY"].split(":")[0])  # systemd lists several with colons
    return _home(environment, "XDG_STATE_HOME", ".local/state") / "penstock"


def secret(*, variable: str | None, file: Path | None, environment: Mapping[str, str], files: Files) -> Secret | None:
    """The secret held by an environment variable or a file, without surrounding white space; None if there is none."""
    text = ""
    if variable is not None:
        text = environment.get(variable, "")
    elif file is not None:
        try:
            text = files.content(file).decode()
        except (OSError, UnicodeDecodeError):
            return None  # said loudly by `loader.warnings`, which names the file
    return Secret(text.strip()) if text.strip() else None


def _home(environment: Mapping[str, str], variable: str, below_home: str) -> Path:
    """An XDG base directory; relative values are ignored, as the XDG specification demands."""
    configured = Path(environment.get(variable, ""))
    if configured.is_absolute():
        return configured
    return Path(environment.get("HOME") or Path.home()) / below_home
