"""What this process writes to its log: one line for each event, as text for people or as JSON for programs.

Everything goes through one formatter, also what libraries log and what nobody caught (uncaught.py). A line has only
the fields that are named here. Errors are told by type and place: the text of an error may quote a request, a key, or
what a provider said. Of what libraries say only words that stand in their source are kept, for the same reason:
uvicorn, asyncio and redis put objects into their sentences. A line is as long as a person reads, and what would move a
cursor, turn the writing around or begin another line is escaped.

Why not structlog: docs/decisions/0013-logging.md.
"""

import linecache
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
_LONGEST_EVENT = 65_536  # characters: an entry that no store takes is in the log whole (storage/writer.py)
_LONGEST_FIELD = 200
# What asyncio says of callbacks and tasks in one place, and writes to the log in another.
_KNOWN = (
    "Exception in callback",
    "Task exception was never retrieved",
    "Future exception was never retrieved",
    "Task was destroyed but it is pending",
    "Unhandled exception in event loop",
    "Unclosed",
)
WITHHELD = "withheld: these words are not fixed"


Format = Literal["text", "json"]


def write_logs(stream: TextIO, *, level: str, format: Format | None, worker: int | None = None) -> None:
    """Have everything logged from now on written to the stream. `format` None: text on a terminal, else JSON.

    `worker` is this process's number among several, and stands in each line. `level` is that of our own loggers. Others
    are heard from warnings on; below that they tell what ours do too. At `debug` everything is heard.
    """
    is_text = stream.isatty() if format is None else format == "text"
    handler = _Handler(stream)
    handler.setFormatter(LineFormatter(is_text=is_text, worker=worker))
    root = logging.getLogger()
    for other in root.handlers[:]:
        root.removeHandler(other)
    root.addHandler(handler)
    ours = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(ours if ours == logging.DEBUG else max(ours, logging.WARNING))
    logging.getLogger(OURS).setLevel(ours)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines. What cannot be written is not shown in another way: the standard one shows all that was logged."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is the standard library's
        """A record that cannot be formatted, or a stream that cannot be written: there is nobody to tell."""


class LineFormatter(logging.Formatter):
    """A record as one line. (A subclass, as `logging` demands one.)"""

    def __init__(self, *, is_text: bool, worker: int | None = None) -> None:
        super().__init__()
        self._constant = {} if worker is None else {"worker": worker}
        self._is_text = is_text
        self._encode = msgspec.json.Encoder().encode

    def format(self, record: logging.LogRecord) -> str:
        is_ours = _is_ours(record.name)
        event = record.getMessage() if is_ours else _fixed_words(record)
        event = _clean(event, _LONGEST_EVENT)
        fields = {**self._constant, **_fields(record, is_ours=is_ours)}
        if event == WITHHELD:
            fields.setdefault("place", f"{record.filename}:{record.lineno}")
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if not self._is_text:
            line = {"time": when, "level": record.levelname.lower(), "logger": record.name, "event": event, **fields}
            return _escaped(self._encode(line).decode(), "\\u{:04x}")
        head = _TEXT.format(time=when, level=record.levelname, logger=record.name, event=event)
        return _escaped(" ".join((head, *(f"{name}={value}" for name, value in fields.items()))), None)


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


def _fields(record: logging.LogRecord, *, is_ours: bool) -> Mapping[str, object]:
    given = record.__dict__ if is_ours else {}
    fields = {name: _value(given[name]) for name in FIELDS if given.get(name) is not None}
    request_id = REQUEST_ID.get()
    if request_id is not None and "request_id" not in fields:
        fields["request_id"] = request_id
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        fields["error"] = type(error).__name__
        fields["place"] = place_of(error)
    return fields


def _value(value: object) -> object:
    return value if isinstance(value, int | float) else _clean(str(value), _LONGEST_FIELD)


def _fixed_words(record: logging.LogRecord) -> str:
    """What a library's sentence says before it shows something; numbers may be shown.

    A sentence that was put together before it was logged may show something in any place, and its first words are kept
    only if they stand in the file that logged them.
    """
    if not isinstance(record.msg, str):
        return WITHHELD
    words = record.msg.partition("\n")[0]
    end = next((at for at, char in enumerate(words) if char in _QUOTES), len(words))
    words = words[: min(end, _LONGEST_FOREIGN)]
    if record.args:
        words = words.partition("%")[0]
    words = words.strip()
    known = next((each for each in _KNOWN if words.startswith(each)), None)
    if known is not None:
        return known
    if not words or not any(words in line for line in linecache.getlines(record.pathname)):
        return WITHHELD
    arguments = record.args if isinstance(record.args, tuple) else ()
    if arguments and all(isinstance(each, int | float) for each in arguments):
        return _clean(record.getMessage(), _LONGEST_FOREIGN)
    return words


def _clean(text: str, longest: int) -> str:
    """The text, cut to that length; of what is no character of Unicode the number."""
    text = text if len(text) <= longest else f"{text[:longest]}…"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _escaped(line: str, form: str | None) -> str:
    """Characters that are not shown, as JSON's escapes, or without a form as Python's: nobody may begin a line of the
    log, colour it, or have it read from right to left."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else _escape(char, form) for char in line)


def _escape(char: str, form: str | None) -> str:
    if form is None:
        return char.encode("unicode_escape").decode()
    units = char.encode("utf-16-be")
    return "".join(form.format(int.from_bytes(units[at : at + 2])) for at in range(0, len(units), 2))
