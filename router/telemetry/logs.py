"""What this process writes to its log: one line for each event, as text for people or as JSON for programs.

Everything goes through one formatter, also what libraries log. A line has only the fields that are named here. Errors
are told by type and place: the text of an error may quote a request, a key, or what a provider said. Of what libraries
say only the fixed words are kept, for the same reason: uvicorn, asyncio and redis put objects into their sentences.

Why not structlog: docs/decisions/0013-logging.md.
"""

import logging
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

import msgspec

OURS = "penstock"  # our loggers are this one and those below it

# The request that is being served. Set by the outer edge of the server; each request runs in a context of its own.
REQUEST_ID: ContextVar[str | None] = ContextVar("penstock_request_id", default=None)

# What a line may have besides time, level, logger and event, in the order in which it is written. The values are
# figures, and names out of the configuration; nothing that a client or a provider has written.
FIELDS = (
    "request_id",
    "trace_id",
    "team",
    "alias",
    "policy",
    "model",
    "provider",
    "outcome",
    "attempts",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "duration_s",
    "first_token_s",
)
_TEXT = "{time} {level} {logger} {event}"
_QUOTES = frozenset("<({[\"'`")  # where a library begins to show something that is not its own
_LONGEST_FOREIGN = 200


Format = Literal["text", "json"]


def write_logs(stream: TextIO, *, level: str, format: Format | None, worker: int | None = None) -> None:
    """Have everything logged from now on written to the stream. `format` None: text on a terminal, else JSON.

    `worker` is this process's number among several, and stands in each line. `level` is that of our own loggers. Others
    are heard from warnings on; below that they tell what ours do too. At `debug` everything is heard.
    """
    is_text = stream.isatty() if format is None else format == "text"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(is_text=is_text, worker=worker))
    root = logging.getLogger()
    for other in root.handlers[:]:
        root.removeHandler(other)
    root.addHandler(handler)
    ours = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(ours if ours == logging.DEBUG else max(ours, logging.WARNING))
    logging.getLogger(OURS).setLevel(ours)


class LineFormatter(logging.Formatter):
    """A record as one line. (A subclass, as `logging` demands one.)"""

    def __init__(self, *, is_text: bool, worker: int | None = None) -> None:
        super().__init__()
        self._constant = {} if worker is None else {"worker": worker}
        self._is_text = is_text
        self._encode = msgspec.json.Encoder().encode

    def format(self, record: logging.LogRecord) -> str:
        event = record.getMessage() if _is_ours(record.name) else _fixed_words(record)
        fields = {**self._constant, **_fields(record)}
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if not self._is_text:
            line = {"time": when, "level": record.levelname.lower(), "logger": record.name, "event": event, **fields}
            return self._encode(line).decode()
        head = _TEXT.format(time=when, level=record.levelname, logger=record.name, event=event)
        return _one_line(" ".join((head, *(f"{name}={value}" for name, value in fields.items()))))


def place_of(error: BaseException) -> str:
    """Where an error was raised, innermost of our own lines: `exchange.py:120`."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "nowhere"  # it was made, and never raised
    ours = [frame for frame in frames if "router" in Path(frame.filename).parts]
    frame = (ours or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _is_ours(logger: str) -> bool:
    return logger == OURS or logger.startswith(f"{OURS}.")


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    given = record.__dict__
    fields = {name: given[name] for name in FIELDS if given.get(name) is not None}
    request_id = REQUEST_ID.get()
    if request_id is not None and "request_id" not in fields:
        fields["request_id"] = request_id
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        fields["error"] = type(error).__name__
        fields["place"] = place_of(error)
    return fields


def _fixed_words(record: logging.LogRecord) -> str:
    """What a library's sentence says before it shows something; numbers may be shown."""
    words = str(record.msg)
    arguments = record.args if isinstance(record.args, tuple) else ()
    if arguments and all(isinstance(each, int | float) for each in arguments):
        words = record.getMessage()
    elif record.args:
        words = words.partition("%")[0]
    words = words.partition("\n")[0]
    end = next((at for at, char in enumerate(words) if char in _QUOTES), len(words))
    return words[: min(end, _LONGEST_FOREIGN)].strip()


def _one_line(text: str) -> str:
    """Control characters as escapes: nobody may begin a line of the log, or colour it."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
