"""A new configuration directory: the shipped files with what a command adds to them, judged before it is there."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from router.config.loader import MODELS_FILE, TEAMS_DIRECTORY, load
from router.config.settings import MAIN_FILE, environment, shipped_config
from router.errors import ConfigError, InvalidRequest


@dataclass(frozen=True, slots=True)
class NewConfig:
    """What is to be written, as texts. Both shipped files end with the section that more can be appended to."""

    main: str  # penstock.yaml
    models: str  # models.yaml
    team: str  # whose file it is, which the team's name becomes the name of
    team_file: str
    more: Mapping[str, str] = field(default_factory=dict)  # files beside these, by name


def shipped_main() -> str:
    """The shipped penstock.yaml, whose comments explain every key."""
    return (shipped_config() / MAIN_FILE).read_text(encoding="utf-8")


def shipped_models() -> str:
    """The shipped models.yaml."""
    return (shipped_config() / MODELS_FILE).read_text(encoding="utf-8")


def require_free(target: Path) -> None:
    """Raises InvalidRequest if there is something that would be overwritten."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidRequest(f"{target} is there already; name a directory that is not, or an empty one.")


def require_team_name(team: str) -> None:
    """Raises InvalidRequest for a name that is none of a file; what else it may not be is the loader's to say."""
    if Path(team).name != team:
        raise InvalidRequest(f"{team!r} is no name of a team: it may have a-z, 0-9, _ and -.")


def write(target: Path, config: NewConfig) -> None:
    """The whole directory or nothing: made beside the target, judged as `penstock check` would, then moved.

    Raises InvalidRequest where the target is taken, or what was to be written is not valid.
    """
    require_free(target)
    require_team_name(config.team)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".penstock-") as place:
        made = Path(place) / "config"
        shutil.copytree(shipped_config() / "schemas", made / "schemas")
        (made / TEAMS_DIRECTORY).mkdir()
        files = {
            MAIN_FILE: config.main,
            MODELS_FILE: config.models,
            f"{TEAMS_DIRECTORY}/{config.team}.yaml": config.team_file,
            **config.more,
        }
        for name, text in files.items():
            (made / name).write_text(text, encoding="utf-8")
        try:
            load(made, environment=environment())
        except ConfigError as error:
            raise InvalidRequest(f"That would be no valid configuration: {error.problems[0].message}.") from error
        if target.exists():
            target.rmdir()  # empty
        made.rename(target)


def quoted(text: str) -> str:
    """As a YAML string, whatever it holds."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
