"""A LiteLLM config as plain data: what stands in the file and in those it includes, within bounds.

LiteLLM reads its config with PyYAML, so anchors, aliases and merge keys are taken here, unlike in Penstock's own files;
what they unfold to is bounded. Tags are not. PyYAML's `yes` and `on` stay words; `is_on` reads them.

Included files are found and merged as in LiteLLM 1.110.2 (`proxy/common_utils/config_includes.py`, read 2026-11-30):
next to the file that names them, else next to the first one; lists are appended, everything else is replaced.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from router.config.yaml_source import MAX_FILE_BYTES, MAX_NUMBER_CHARACTERS
from router.errors import InvalidRequest, printable

# Our choices. The largest example in LiteLLM's package has some 600 values; a thousand models have some 10,000.
MAX_VALUES = 50_000
MAX_DEPTH = 40
MAX_FILES = 50

# The sections of a config, from LiteLLM 1.110.2: what `proxy_server.py` reads of it (2026-11-30).
SECTIONS = (
    "model_list",
    "litellm_settings",
    "router_settings",
    "general_settings",
    "environment_variables",
    "include",
)

_MERGE = "<<"
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]{1,2})?")
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}
_ON = frozenset({"yes", "on", "true", "y", "1"})


def is_on(value: object) -> bool:
    """Whether a switch is on, in any of the words that PyYAML, or LiteLLM, takes for true."""
    return (
        value is True
        or (isinstance(value, str) and value.lower() in _ON)
        or (not isinstance(value, bool) and value == 1)
    )


def read(path: Path) -> dict[str, object]:
    """The config with what it includes. Holds None, bool, int, Decimal, str, list and dict with text keys only.

    Raises InvalidRequest with one sentence where that cannot be read, or is no LiteLLM config.
    """
    config = _mapping_in(path)
    if not any(section in config for section in SECTIONS):
        raise InvalidRequest(
            f"{path} is no LiteLLM config: expected one of {', '.join(SECTIONS)} at its top, got none."
        )
    seen = {path.resolve()}
    waiting = [(path, config)]
    while waiting:
        declared_in, holder = waiting.pop(0)
        for name in _included(declared_in, holder):
            file = _found(name, declared_in, path)
            if file.resolve() in seen:
                continue
            if len(seen) >= MAX_FILES:
                raise InvalidRequest(f"{path} includes more than {MAX_FILES} files; put them together first.")
            seen.add(file.resolve())
            more = _mapping_in(file)
            waiting.append((file, more))
            _merge(config, more)
    return config


def _included(path: Path, config: dict[str, object]) -> list[str]:
    names = config.get("include", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest(f"{path}: expected a list of files under `include`.")
    return [str(name) for name in names]


def _found(name: str, declared_in: Path, root: Path) -> Path:
    beside = (declared_in.parent / name, root.parent / name)
    file = next((each for each in beside if each.is_file()), None)
    if file is None:
        raise InvalidRequest(
            f"{declared_in} includes {printable(name)!r}, and there is no such file; put it next to it."
        )
    return file


def _merge(config: dict[str, object], more: dict[str, object]) -> None:
    for key, value in more.items():
        ours = config.get(key)
        if key == "include":
            continue
        config[key] = [*ours, *value] if isinstance(ours, list) and isinstance(value, list) else value


def _mapping_in(path: Path) -> dict[str, object]:
    data = parse(str(path), _content(path))
    if data is None:
        raise InvalidRequest(f"{path} is empty; expected a LiteLLM config.")
    if not isinstance(data, dict):
        raise InvalidRequest(f"{path} is no LiteLLM config: expected a mapping at its top.")
    return data


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_FILE_BYTES:
        raise InvalidRequest(f"{path} is too long for a LiteLLM config: expected at most {MAX_FILE_BYTES} bytes.")
    return content


def parse(file: str, content: bytes) -> object:
    """The data of one document. Raises InvalidRequest with one sentence that names `file` and the line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{file} is not UTF-8; save it as UTF-8.") from error
    try:
        return _Builder(file, YAML(typ="safe", pure=True).parse(text)).document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f", line {mark.line + 1}"
        # The problem is told without its context, which may quote the file.
        raise InvalidRequest(f"{file}{where}: this is not YAML: {error.problem or error.context}.") from error
    except YAMLError as error:  # of characters that YAML does not allow
        raise InvalidRequest(f"{file} is not YAML: it holds characters that YAML does not allow.") from error


class _Builder:
    """Builds the data from the parser's events, and counts what is built: an alias costs what it stands for."""

    def __init__(self, file: str, events: Iterator[Event]) -> None:
        self._file = file
        self._events = events
        self._anchors: dict[str, tuple[object, int]] = {}  # the value and how many values it holds
        self._values = 0

    def document(self) -> object:
        data: object = None
        documents = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refused(event, "expected one document, got a second after `---`")
            elif isinstance(event, NodeEvent):
                data = self._node(event, 0)
        return data

    def _node(self, event: NodeEvent, depth: int) -> object:
        if isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:
                raise self._refused(event, f"*{event.anchor} stands for nothing that is complete by then")
            value, size = self._anchors[event.anchor]
            self._count(event, size)
            return value
        if depth > MAX_DEPTH:
            raise self._refused(event, f"expected at most {MAX_DEPTH} levels of nesting")
        if getattr(event, "tag", None) is not None:
            raise self._refused(event, "tags (!…) are not supported; write the plain value")
        before = self._values
        self._count(event, 1)
        value = self._value(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._values - before)
        return value

    def _value(self, event: NodeEvent, depth: int) -> object:
        if isinstance(event, MappingStartEvent):
            return self._mapping(depth)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(depth)
        assert isinstance(event, ScalarEvent)
        return str(event.value) if event.style else _plain(str(event.value))

    def _mapping(self, depth: int) -> dict[str, object]:
        written: dict[str, object] = {}
        merged: dict[str, object] = {}
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            if not isinstance(event, ScalarEvent):
                raise self._refused(event, "expected a word as key")
            key = str(event.value)
            value = self._node(self._next_node(), depth + 1)
            if key == _MERGE and not event.style:
                merged = {**self._to_merge(event, value), **merged}
            elif key in written:
                raise self._refused(event, f"the key '{printable(key)}' is there twice; remove one of the two")
            else:
                written[key] = value
        return {**merged, **written}

    def _to_merge(self, event: Event, value: object) -> dict[str, object]:
        mappings = value if isinstance(value, list) else [value]
        merged: dict[str, object] = {}
        for mapping in reversed(mappings):  # the first one wins
            if not isinstance(mapping, dict):
                raise self._refused(event, "expected a mapping, or several, to merge with `<<`")
            merged.update(mapping)
        return merged

    def _sequence(self, depth: int) -> list[object]:
        items: list[object] = []
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            assert isinstance(event, NodeEvent)
            items.append(self._node(event, depth + 1))
        return items

    def _next_node(self) -> NodeEvent:
        event = next(self._events)
        assert isinstance(event, NodeEvent)
        return event

    def _count(self, event: Event, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise self._refused(event, f"expected at most {MAX_VALUES} values, anchors written out")

    def _refused(self, event: Event, what: str) -> InvalidRequest:
        return InvalidRequest(f"{self._file}, line {event.start_mark.line + 1}: {what}.")


def _plain(text: str) -> object:
    """An unquoted scalar: numbers with a point as the exact `Decimal`, `20_000` as PyYAML reads it."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if len(text) > MAX_NUMBER_CHARACTERS:
        return text
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    return Decimal(text.replace("_", "")) if _NUMBER.fullmatch(text) else text
