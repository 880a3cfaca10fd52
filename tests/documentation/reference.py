"""The pages of docs/reference that are made from the code: commands, configuration keys, error codes.

`python -m tests.documentation.reference` writes them; `test_reference.py` fails where they are not what it would write.
"""

import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import router
from router.cli.main import PROGRAM, penstock
from router.errors import PenstockError

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = CHECKOUT / "docs" / "reference"

_WIDTH = 100  # of what commands say of themselves
_FILES = (
    ("penstock", "penstock.yaml", "The process: where it listens, whom it can ask, where it keeps what it knows."),
    (
        "models",
        "models.yaml",
        "The catalog: models, how good they are and who says so, who serves them at which price.",
    ),
    ("team", "teams/NAME.yaml", "One team: its money, its limits, its aliases and policies."),
)

Schema = Mapping[str, Any]

# Codes that say more exactly what a request got wrong. They are given where the error is raised, and are no classes.
_EXACT_CODES = {
    "ambiguous_embedding_model": "Vectors were asked of a policy, and those of different models cannot be compared.",
    "array_above_max_length": "An array is longer than the API allows.",
    "empty_array": "An array that needs an entry is empty.",
    "empty_text": "A text that needs a character is empty.",
    "integer_above_max_value": "A number is above what is allowed.",
    "integer_below_min_value": "A number is below what is allowed.",
    "invalid_control": "An `x-penstock-…` header is unknown, malformed, or asks for what there is not.",
    "invalid_header": "A header is malformed, or came twice.",
    "invalid_json": "The body is no JSON object in UTF-8.",
    "invalid_type": "A field is missing, or of the wrong type.",
    "missing_input": "`input` is missing.",
    "not_answered": "Feedback on a request that was given no answer.",
    "repeated_member": "An object has two members of one name, of which readers would take different ones.",
    "too_many_digits": "A number of the body has too many digits.",
    "too_many_members": "The objects of the body have too many members together.",
    "too_many_values": "The body has too many values.",
    "too_old": "Feedback on a request that is too long ago.",
    "unknown_request": "There is no such entry to explain.",
    "unsupported_parameter": "A field that cannot be honoured is given; the message says which, and why.",
}
_CODE = re.compile(r'code=(?:"(\w+)"(?: if .* else "(\w+)")?)')


def commands() -> str:
    """Every command as it tells of itself."""
    names = penstock.context_settings["help_option_names"]
    root = click.Context(
        penstock, info_name=PROGRAM, max_content_width=_WIDTH, terminal_width=_WIDTH, help_option_names=names
    )
    parts = [
        "# Commands\n\nWhat each says with `--help`. Exit code 0: done; 1: it could not be, with one sentence that "
        "says what to do; 2: the line was not understood.\n"
    ]
    parts += [f"## {told.command_path}\n\n```text\n{told.get_help()}\n```\n" for told in _leaves(penstock, root)]
    return "\n".join(parts)


def _leaves(group: click.Group, context: click.Context) -> Iterator[click.Context]:
    for name in group.list_commands(context):
        command = group.resolve_command(context, [name])[1]
        assert command is not None
        below = click.Context(command, info_name=name, parent=context, terminal_width=_WIDTH, max_content_width=_WIDTH)
        if isinstance(command, click.Group):
            yield from _leaves(command, below)
        else:
            yield below


def configuration() -> str:
    """Every key of the configuration's files, from the schemas that editors read."""
    parts = [
        "# Configuration keys\n\nEvery key of every file; the shipped files show them in use. Unknown keys, duplicate "
        "keys and values that are not allowed are errors that `penstock check` names with file, line and column. "
        "Editors that know YAML schemas complete and check them too (`config/schemas`).\n"
    ]
    for name, title, about in _FILES:
        schema = json.loads((CHECKOUT / "config" / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
        parts.append(f"## {title}\n\n{about}\n\n{_keys(schema)}")
        parts += [
            f"### {_spoken(section)} ({title}) {{ #{name}-{section.lower()} }}\n\n{_told(shape)}{_keys(shape)}"
            for section, shape in schema["$defs"].items()
            if "properties" in shape
        ]
        parts += [
            f"### {_spoken(section)} ({title}) {{ #{name}-{section.lower()} }}\n\n{_told(shape)}"
            + ", ".join(f"`{value}`" for value in shape["enum"])
            + ".\n"
            for section, shape in schema["$defs"].items()
            if "enum" in shape
        ]
    return "\n".join(parts)


def _told(shape: Schema) -> str:
    description = shape.get("description", "")
    return f"{_sentence(description)}\n\n" if description else ""


def _keys(shape: Schema) -> str:
    required = set(shape.get("required", ()))
    lines = ["| key | value | default | |", "|---|---|---|---|"]
    for key, value in shape.get("properties", {}).items():
        default = "required" if key in required else _default(value.get("default"))
        lines.append(f"| `{key}` | {_kind(value)} | {default} | {_cell(value.get('description', ''))} |")
    return "\n".join(lines) + "\n"


def _default(value: object) -> str:
    if value is None or value in ({}, []):
        return "–"
    if isinstance(value, dict):
        return "see there"
    return f"`{json.dumps(value) if isinstance(value, bool | list) else value}`"


def _kind(value: Schema) -> str:
    """What may stand there, in a few words."""
    if "$ref" in value:
        return _spoken(value["$ref"].rpartition("/")[2])
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_kind(each) for each in value["anyOf"] if each.get("type") != "null"))
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    kind = value.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(value.get('items', {}))}"
    if kind == "object":
        inner = value.get("additionalProperties")
        return f"NAME: {_kind(inner)}" if isinstance(inner, dict) else "object"
    bounds = [
        f"{sign} {value[name]}"
        for name, sign in (("exclusiveMinimum", ">"), ("gt", ">"), ("minimum", "≥"), ("maximum", "≤"), ("le", "≤"))
        if name in value
    ]
    return " ".join([kind, *bounds])


def _spoken(section: str) -> str:
    """`BudgetSection` as `budget`, `WhenSpent` as `when spent`."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in section.removesuffix("Section"))
    return words.strip()


def errors() -> str:
    """Every code that an error of ours may have."""
    for module in pkgutil.walk_packages(router.__path__, "router."):
        if not module.name.startswith(("router.sandbox", "router.training", "router.evaluation")):
            import_module(module.name)
    lines = [
        "# Error codes\n",
        'Errors have OpenAI\'s shape: `{"error": {"message", "type", "param", "code"}}`; under `/v1/messages` '
        "Anthropic's. `message` says what was expected, what came, and what to do. `code` is one of these, or the "
        "provider's own where its error is passed on. What no client ever sees, but commands, stands here too.\n",
        "| code | status | type | what it is |",
        "|---|---|---|---|",
    ]
    known = {(each.code, each.status, str(each.type)): each for each in sorted(_all_errors(), key=_errors_order)}
    for (code, status, kind), each in sorted(known.items(), key=lambda item: (item[0][1], item[0][0])):
        lines.append(f"| `{code}` | {status} | `{kind}` | {_cell(_summary(each))} |")
    lines += [
        "",
        "## What exactly a request got wrong\n",
        "With status 400 and the type `invalid_request_error`; `param` names the field or header.\n",
        "| code | what it is |",
        "|---|---|",
        *(f"| `{code}` | {meaning} |" for code, meaning in _EXACT_CODES.items()),
    ]
    return "\n".join(lines) + "\n"


def exact_codes_raised() -> set[str]:
    """Those that the code gives where it raises."""
    sources = (path.read_text(encoding="utf-8") for path in (CHECKOUT / "router").rglob("*.py"))
    return {code for source in sources for found in _CODE.findall(source) for code in found if code}


def exact_codes_told() -> set[str]:
    """Those that the page explains."""
    return set(_EXACT_CODES)


def _all_errors() -> set[type[PenstockError]]:
    found: set[type[PenstockError]] = set()
    left = [PenstockError]
    while left:
        below = [each for each in left.pop().__subclasses__() if each.__module__.startswith("router.")]
        found.update(below)
        left += below
    return found


def _errors_order(error: type[PenstockError]) -> tuple[int, str]:
    """The more general last, so that it speaks for a code that it shares with those below it."""
    return -len(error.__mro__), error.__name__


def _summary(error: type[PenstockError]) -> str:
    return (inspect.cleandoc(error.__doc__) if error.__doc__ else "").split("\n\n")[0]


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", ":")) else f"{text}."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


GENERATED: Mapping[str, Callable[[], str]] = {
    "commands.md": commands,
    "configuration.md": configuration,
    "errors.md": errors,
}


def main() -> None:
    for name, made in GENERATED.items():
        (PAGES / name).write_text(made(), encoding="utf-8")


if __name__ == "__main__":
    main()
