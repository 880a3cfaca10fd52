"""What was read of a configuration gives it again, whatever has become of its files."""

import shutil
from pathlib import Path

import pytest

from router.config.files import ON_DISK, Kept, Recorded
from router.config.loader import load
from router.errors import ConfigError

SHIPPED = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A configuration with a secret in a file."""
    config = tmp_path / "config"
    shutil.copytree(SHIPPED, config)
    main = config / "penstock.yaml"
    text = main.read_text()
    assert "api_key_env: OPENROUTER_API_KEY" in text
    main.write_text(text.replace("api_key_env: OPENROUTER_API_KEY", "api_key_file: key"))
    (config / "key").write_text("sk-or-then\n")
    return config


def test_a_record_gives_the_same_configuration_when_files_and_secrets_have_changed(directory: Path) -> None:
    files = Recorded(ON_DISK)
    then = load(directory, environment={}, files=files)

    (directory / "teams" / "search.yaml").write_text("team: [")
    (directory / "key").write_text("sk-or-now\n")
    changed = load(directory, environment={}, files=Kept(files.record))
    shutil.rmtree(directory)
    gone = load(directory, environment={}, files=Kept(files.record))

    assert then == changed == gone
    assert "sk-or-then" in {
        access.api_key.reveal() for access in gone.settings.providers.values() if access.api_key is not None
    }


def test_a_record_of_less_than_a_configuration_says_what_is_missing(directory: Path) -> None:
    shutil.rmtree(directory)
    files = Recorded(ON_DISK)
    with pytest.raises(ConfigError) as then:
        load(directory, environment={}, files=files)

    with pytest.raises(ConfigError) as later:
        load(directory, environment={}, files=Kept(files.record))

    assert then.value.problems == later.value.problems
