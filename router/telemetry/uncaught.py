"""What nobody caught, in the log by its type and place: Python's own way shows its text, which may quote a request.

`log_the_uncaught` is for processes that serve. Commands tell it with the way it took (cli/main.py).
"""

import logging
import sys
import threading
import traceback
from types import TracebackType

from router.telemetry.logs import place_of

log = logging.getLogger("penstock")


def log_the_uncaught() -> None:
    """From now on, errors that end a thread, the process, or nothing at all (in a destructor) go to the log; and so do
    warnings."""
    sys.excepthook = _of_process
    threading.excepthook = _of_thread
    sys.unraisablehook = _of_nobody
    logging.captureWarnings(True)


def brief_traceback(error: BaseException) -> str:
    """The way an error took, and its type: what it says is left out."""
    return "".join(traceback.format_tb(error.__traceback__)) + f"{type(error).__name__}\n"


def _of_process(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    if isinstance(error, Exception):
        log.critical("unhandled %s in %s ends the process", kind.__name__, place_of(error))


def _of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None:
        log.error("unhandled %s in %s ends a thread", arguments.exc_type.__name__, place_of(arguments.exc_value))


def _of_nobody(arguments: "sys.UnraisableHookArgs") -> None:
    if arguments.exc_value is not None:
        log.error(
            "unhandled %s in %s, as something was cleared away",
            type(arguments.exc_value).__name__,
            place_of(arguments.exc_value),
        )
