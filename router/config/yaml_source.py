"""YAML as plain data with the position of every key and value, so that each later complaint can point at its place.

YAML is data here, so only its plain part is taken: one document, unique keys, no anchors, aliases or tags, scalars by
the YAML 1.2 core schema (`no` is a word, `12:30` is text). A number with a point arrives as the exact `Decimal` that
was written. The parser's events are read rather than composed nodes: only events show explicit tags and every alias,
and nothing is built before the bounds on size and depth are checked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
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

from router.errors import Problem

KeyPath = tuple[str | int, ...]  # keys and list indices from the top of the file

# Our choices: the largest shipped file has some 30 kB and seven levels, and parsing takes about two seconds per
# megabyte, of nothing but short keys eight (measured in November 2026).
MAX_FILE_BYTES = 1_048_576
MAX_DEPTH = 24
# A figure longer than this is a slip, and shorter ones stay exact in Decimal arithmetic of 28 digits.
MAX_NUMBER_CHARACTERS = 24

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,2})?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")

# Where values go that have no place in the data, such as the second one of a key; no key that can be written equals it.
_ASIDE = "\x00aside"


class Position(NamedTuple):
    """A place in a file; both count from 1."""

    line: int
    column: int


START = Position(1, 1)


@dataclass(frozen=True, slots=True)
class Document:
    """One file. `data` holds None, bool, int, Decimal, str, list and dict with text keys; nothing else."""

    file: str
    data: object
    values: Mapping[KeyPath, Position]  # where each value begins
    keys: Mapping[KeyPath, Position]  # where the key of each mapping entry begins
    problems: tuple[Problem, ...]
    faulty: frozenset[KeyPath]  # values already complained of, which nobody need judge again

    def at_value(self, path: KeyPath, message: str) -> Problem:
        """A problem with a value; points at its nearest written ancestor if the value is not there."""
        return self._problem(self.values, path, message)

    def at_key(self, path: KeyPath, message: str) -> Problem:
        """A problem with a key, or with the entry of a list."""
        return self._problem({**self.values, **self.keys}, path, message)

    def is_faulty(self, path: KeyPath) -> bool:
        """Whether the value, or one that holds it, was already complained of."""
        return any(path[:length] in self.faulty for length in range(len(path) + 1))

    def matching(self, pattern: Sequence[str]) -> Iterator[tuple[KeyPath, object]]:
        """Every value whose path fits the pattern, where `*` stands for any one key or index."""
        yield from _matching(self.data, tuple(pattern), ())

    def _problem(self, positions: Mapping[KeyPath, Position], path: KeyPath, message: str) -> Problem:
        while path and path not in positions:
            path = path[:-1]
        line, column = positions.get(path, START)
        return Problem(self.file, line, column, message)


def parse(file: str, content: bytes) -> Document:
    """The document in `content`. Never raises: what is wrong stands in its `problems`, and `data` holds the rest."""
    fault = _fault_of_bytes(content)
    if fault is not None:
        return _unreadable(file, *fault)
    reader = _Reader(YAML(typ="safe", pure=True).parse(content.decode("utf-8-sig")))
    data: object = None
    try:
        data = reader.document()
    except MarkedYAMLError as error:
        reader.complain(_position(error.problem_mark or error.context_mark), _syntax_message(error))
        reader.faulty.add(())
    except _TooDeep as error:
        reader.complain(error.position, f"expected at most {MAX_DEPTH} levels of nesting")
        reader.faulty.add(())
    except YAMLError as error:  # ruamel.yaml's other errors carry no mark; none is known to be reached here
        reader.complain(START, f"this is not YAML: {error}")
        reader.faulty.add(())
    return Document(
        file=file,
        data=data,
        values=reader.values,
        keys=reader.keys,
        problems=tuple(Problem(file, *position, message) for position, message in reader.complaints),
        faulty=frozenset(reader.faulty),
    )


class _TooDeep(Exception):
    """Nesting beyond `MAX_DEPTH`; reading stops."""

    def __init__(self, position: Position) -> None:
        super().__init__(position)
        self.position = position


class _Reader:
    """Builds the data of one document from the parser's events and notes where everything stands."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self.values: dict[KeyPath, Position] = {}
        self.keys: dict[KeyPath, Position] = {}
        self.complaints: list[tuple[Position, str]] = []
        self.faulty: set[KeyPath] = set()

    def complain(self, position: Position, message: str) -> None:
        self.complaints.append((position, message))

    def document(self) -> object:
        data: object = None
        documents = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.complain(_position(event.start_mark), "expected one document, got a second after `---`")
                    return data
            elif isinstance(event, NodeEvent):
                data = self._node(event, ())
        if documents == 0:
            self._refuse((), START, "the file is empty")
        return data

    def _node(self, event: NodeEvent, path: KeyPath) -> object:
        position = _position(event.start_mark)
        self.values[path] = position
        if len(path) > MAX_DEPTH:
            raise _TooDeep(position)
        if isinstance(event, AliasEvent):
            self._refuse(path, position, f"the alias *{event.anchor} is not supported; write the value out")
            return None
        self._check_properties(event, path, position)
        if isinstance(event, MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        assert isinstance(event, ScalarEvent)
        return self._scalar(event, path, position)

    def _mapping(self, path: KeyPath) -> dict[str, object]:
        mapping: dict[str, object] = {}
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            assert isinstance(event, NodeEvent)
            position = _position(event.start_mark)
            key = self._key(event, path, position)
            if key is None or key in mapping:
                self._node(self._next_node(), (*path, _ASIDE))
                continue
            self.keys[*path, key] = position
            value = self._next_node()
            mapping[key] = self._node(value, (*path, key))
            if isinstance(value, ScalarEvent) and not value.value and not value.style:
                # The parser places a value that was not written before the next token, lines below its key.
                self.values[*path, key] = position
        return mapping

    def _key(self, event: NodeEvent, path: KeyPath, position: Position) -> str | None:
        """The text of a key, or None if it is none; a key that was there before is complained of."""
        if not isinstance(event, ScalarEvent):
            self.complain(position, "expected a word as key, got a list, a mapping or an alias")
            if not isinstance(event, AliasEvent):
                self._node(event, (*path, _ASIDE))
            return None
        self._check_properties(event, (*path, _ASIDE), position)
        key = str(event.value)
        first = self.keys.get((*path, key))
        if first is not None:
            self.complain(position, f"the key '{key}' is already set in line {first.line}; remove one of the two")
        return key

    def _next_node(self) -> NodeEvent:
        event = next(self._events)
        assert isinstance(event, NodeEvent)
        return event

    def _sequence(self, path: KeyPath) -> list[object]:
        items: list[object] = []
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            assert isinstance(event, NodeEvent)
            items.append(self._node(event, (*path, len(items))))
        return items

    def _scalar(self, event: ScalarEvent, path: KeyPath, position: Position) -> object:
        text = str(event.value)
        if event.style:  # quoted or block text
            return text
        if _NOT_FINITE.fullmatch(text):
            self._refuse(path, position, f"expected a finite number, got {text}")
            return None
        if len(text) > MAX_NUMBER_CHARACTERS and _NUMBER.fullmatch(text):
            self._refuse(path, position, f"expected a number of at most {MAX_NUMBER_CHARACTERS} characters")
            return None
        return _plain(text)

    def _check_properties(self, event: NodeEvent, path: KeyPath, position: Position) -> None:
        if event.anchor is not None:
            self.complain(
                position, f"the anchor &{event.anchor} is not supported; write the value out where it is used"
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._refuse(path, position, f"the tag {tag} is not supported; write the plain value")

    def _refuse(self, path: KeyPath, position: Position, message: str) -> None:
        self.complain(position, message)
        self.faulty.add(path)


def _plain(text: str) -> object:
    """An unquoted scalar by the YAML 1.2 core schema, numbers with a point or exponent as `Decimal`."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OCTAL_OR_HEX.fullmatch(text) and len(text) <= MAX_NUMBER_CHARACTERS:
        return int(text, 0)
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    return text


def _fault_of_bytes(content: bytes) -> tuple[Position, str] | None:
    """What makes a file unfit for the YAML parser, and where."""
    if len(content) > MAX_FILE_BYTES:
        return START, f"expected at most {MAX_FILE_BYTES} bytes, got {len(content)}"
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        position = _position_after(content[: error.start].decode("utf-8", errors="replace"))
        return position, f"expected UTF-8, got the byte 0x{content[error.start]:02x}; save the file as UTF-8"
    control = _UNPRINTABLE.search(text)
    if control is not None:
        return _position_after(text[: control.start()]), f"the control character {control[0]!r} may not stand in YAML"
    return None


def _syntax_message(error: MarkedYAMLError) -> str:
    problem = str(error.problem or error.context)
    if "'\\t'" in problem:
        return "a tab may not indent YAML; use spaces"
    context = f" {error.context}" if error.context and error.problem else ""
    return f"this is not YAML: {problem}{context}"


def _unreadable(file: str, position: Position, message: str) -> Document:
    return Document(
        file=file, data=None, values={}, keys={}, problems=(Problem(file, *position, message),), faulty=frozenset({()})
    )


def _matching(data: object, pattern: tuple[str, ...], path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    if not pattern:
        yield path, data
        return
    head, *rest = pattern
    children: Iterator[tuple[str | int, object]]
    if isinstance(data, dict):
        children = iter(data.items())
    elif isinstance(data, list):
        children = iter(enumerate(data))
    else:
        return
    for key, child in children:
        if head in ("*", key):
            yield from _matching(child, tuple(rest), (*path, key))


def _position(mark: StringMark | None) -> Position:
    return START if mark is None else Position(mark.line + 1, mark.column + 1)


def _position_after(text: str) -> Position:
    line = text.count("\n") + 1
    return Position(line, len(text) - (text.rfind("\n") + 1) + 1)
