"""Prompts with outcomes per model, read from JSON lines, gzipped or not.

Two forms, which one file does not mix:

    {"prompt": "…", "subject": "law", "score": {"cheap-model": 0, "strong-model": 1}}

with a score from 0 (wrong) to 1 (right) or null (not recorded) for each model; or a first line `{"models": [...]}` and

    {"prompt": "…", "subject": "law", "scores": "01-"}

with a digit for each model in that order and `-` for what was not recorded. `subject` may be missing; other members are
let through unread.
"""

import gzip
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from router.errors import BadOutcomes, printable
from router.wire.foreign import UNREADABLE
from router.wire.json_faults import json_fault

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """One file. Rows are prompts, columns models."""

    name: str  # of the file, without directory and endings
    prompts: Sequence[str]
    subjects: Sequence[str]  # "" where none is given
    models: Sequence[str]
    scores: Floats  # prompts × models, 0 to 1; nan: not recorded

    def column(self, model: str) -> Floats:
        """The scores of a model. Raises BadOutcomes if the file does not have it."""
        try:
            return self.scores[:, list(self.models).index(model)]
        except ValueError:
            raise BadOutcomes(
                f"{printable(self.name)} has no model {model!r}; it has: {printable(', '.join(self.models))}."
            ) from None


class _Line(msgspec.Struct):
    prompt: str | None = None
    subject: str | None = None
    score: dict[str, float | bool | None] | None = None
    scores: str | None = None
    models: list[str] | None = None


_LINES = msgspec.json.Decoder(_Line)
_DIGITS = {"0": 0.0, "1": 1.0, "-": np.nan}


def read_outcomes(path: Path) -> Outcomes:
    """The outcomes in a file. Raises BadOutcomes with file and line for the first line that is not what it must be."""
    name = path.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".json")
    prompts: list[str] = []
    subjects: list[str] = []
    rows: list[Mapping[str, float]] = []
    models: list[str] | None = None
    for where, text in _lines(path):
        line = _read(where, text)
        if line.models is not None:
            if models is not None or rows:
                raise BadOutcomes(f'{where}: "models" must stand once, in the first line.')
            if len(set(line.models)) < len(line.models):
                raise BadOutcomes(f'{where}: "models" names one twice.')
            models = line.models
            continue
        rows.append(_scores(where, line, models))
        assert line.prompt is not None
        prompts.append(line.prompt)
        subjects.append(line.subject or "")
    if not rows:
        raise BadOutcomes(f"{path} has no prompts.")
    names = models or list(dict.fromkeys(model for row in rows for model in row))
    scores = np.array([[row.get(model, np.nan) for model in names] for row in rows])
    return Outcomes(name, prompts, subjects, names, scores)


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    number = 0
    try:
        with path.open("rb") as file:
            is_packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_packed else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                text = line.removeprefix(BOM_UTF8) if number == 1 else line
                if text.strip():
                    yield f"{path}:{number}", text
    except OSError as error:
        raise BadOutcomes(f"{path}: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise BadOutcomes(f"{path}:{number + 1}: the gzip data is damaged or cut off: {error}") from error


def _read(where: str, text: bytes) -> _Line:
    try:
        line = _LINES.decode(text)
    except msgspec.ValidationError as error:
        raise BadOutcomes(f"{where}: {error}") from error
    except UNREADABLE as error:
        raise BadOutcomes(f"{where}: this is not JSON: {json_fault(text, error, is_line=True)}.") from error
    if line.models is None and line.prompt is None:
        raise BadOutcomes(f'{where}: a line must have "prompt" (or, the first one, "models").')
    return line


def _scores(where: str, line: _Line, models: Sequence[str] | None) -> Mapping[str, float]:
    if models is not None and line.scores is not None:
        if len(line.scores) != len(models):
            raise BadOutcomes(f'{where}: "scores" has {len(line.scores)} characters for {len(models)} models.')
        try:
            return {model: _DIGITS[digit] for model, digit in zip(models, line.scores, strict=True)}
        except KeyError as error:
            raise BadOutcomes(f'{where}: "scores" has {error}; only 0, 1 and - are allowed.') from None
    if line.score is None:
        form = "no line before it names the models" if line.scores is not None else '"score" or "scores" is missing'
        raise BadOutcomes(f"{where}: {form}.")
    row = {model: np.nan if score is None else float(score) for model, score in line.score.items()}
    for model, score in row.items():
        if models is not None and model not in models:
            raise BadOutcomes(f"{where}: model {model!r} is not among those that the first line names.")
        if not (np.isnan(score) or 0.0 <= score <= 1.0):
            raise BadOutcomes(f"{where}: the score of {model!r} is {score}; it must be from 0 to 1.")
    return row


def read_all(paths: Iterable[Path]) -> tuple[Outcomes, ...]:
    """The files in order. Raises BadOutcomes also if there are none, or two of one name."""
    files = tuple(read_outcomes(path) for path in paths)
    if not files:
        raise BadOutcomes("Name at least one file of prompts with outcomes.")
    names = [each.name for each in files]
    if len(set(names)) < len(names):
        raise BadOutcomes(f"Two files have one name: {', '.join(sorted(names))}; rename one.")
    return files
