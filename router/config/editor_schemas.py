"""JSON Schemas of the configuration files, for editors: `python -m router.config.editor_schemas` writes them anew."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from router.config.schema.models import ModelsFile
from router.config.schema.penstock import PenstockFile
from router.config.schema.teams import TeamFile
from router.config.schema.values import Section

_SHAPES: Mapping[str, type[Section]] = {"penstock": PenstockFile, "models": ModelsFile, "team": TeamFile}


def editor_schemas() -> dict[str, str]:
    """File name → content of each schema."""
    return {f"{name}.json": _schema(shape) for name, shape in _SHAPES.items()}


def write(directory: Path) -> None:
    """Writes the schemas into `directory`."""
    for name, content in editor_schemas().items():
        (directory / name).write_text(content, encoding="utf-8")


def _schema(shape: type[Section]) -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **shape.model_json_schema(by_alias=True)}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write(Path(*sys.argv[1:2] or ["config/schemas"]))
