"""Where configuration, state and secrets are found."""

from pathlib import Path

import pytest

from router.config import settings
from router.config.files import ON_DISK
from router.config.settings import config_directory, secret, state_directory


def test_the_environment_is_read_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_TEST", "1")

    assert settings.environment()["PENSTOCK_TEST"] == "1"


def test_a_configuration_named_by_a_person_is_taken_even_if_nothing_is_there(tmp_path: Path) -> None:
    flag, variable = tmp_path / "flag", tmp_path / "variable"
    environment = {"PENSTOCK_CONFIG": str(variable)}

    assert config_directory(flag, environment=environment, working_directory=tmp_path) == flag
    assert config_directory(None, environment=environment, working_directory=tmp_path) == variable


def test_a_configuration_is_looked_for_here_then_in_the_home_directory(tmp_path: Path) -> None:
    here, home = tmp_path / "config", tmp_path / "home" / ".config" / "penstock"
    environment = {"HOME": str(tmp_path / "home")}
    for directory in (here, home):
        directory.mkdir(parents=True)
        (directory / "penstock.yaml").touch()

    first = config_directory(None, environment=environment, working_directory=tmp_path)
    (here / "penstock.yaml").unlink()
    second = config_directory(None, environment=environment, working_directory=tmp_path)

    assert (first, second) == (here, home)


def test_without_any_the_shipped_configuration_is_taken(tmp_path: Path) -> None:
    directory = config_directory(None, environment={"HOME": str(tmp_path)}, working_directory=tmp_path)

    assert (directory / "penstock.yaml").is_file()


@pytest.mark.parametrize(
    ("configured", "environment", "expected"),
    [
        ("/srv/penstock", {"STATE_DIRECTORY": "/var/lib/penstock"}, "/srv/penstock"),
        (None, {"STATE_DIRECTORY": "/var/lib/penstock:/var/lib/other"}, "/var/lib/penstock"),
        (None, {"XDG_STATE_HOME": "/xdg", "HOME": "/home/p"}, "/xdg/penstock"),
        (None, {"XDG_STATE_HOME": "relative", "HOME": "/home/p"}, "/home/p/.local/state/penstock"),
        (None, {"HOME": "/home/p"}, "/home/p/.local/state/penstock"),
    ],
)
def test_state_lives_where_it_is_configured_else_where_the_system_says(
    configured: str | None, environment: dict[str, str], expected: str
) -> None:
    chosen = Path(configured) if configured else None

    assert state_directory(chosen, environment=environment) == Path(expected)


def test_a_secret_comes_from_its_variable_or_its_file_without_white_space(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-file\n", encoding="utf-8")

    by_variable = secret(variable="KEY", file=None, environment={"KEY": " from-variable "}, files=ON_DISK)
    by_file = secret(variable=None, file=file, environment={}, files=ON_DISK)

    assert by_variable is not None
    assert by_file is not None
    assert (by_variable.reveal(), by_file.reveal()) == ("from-variable", "from-file")


def test_an_empty_variable_or_a_missing_file_holds_no_secret(tmp_path: Path) -> None:
    assert secret(variable="KEY", file=None, environment={"KEY": " "}, files=ON_DISK) is None
    assert secret(variable="KEY", file=None, environment={}, files=ON_DISK) is None
    assert secret(variable=None, file=tmp_path / "missing", environment={}, files=ON_DISK) is None
    assert secret(variable=None, file=None, environment={}, files=ON_DISK) is None
