"""Errors that nobody caught are told by type and place, whichever way they end."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from router.telemetry.logs import write_logs
from router.telemetry.uncaught import brief_traceback, log_the_uncaught

CANARY = "canary-5f1c9e"


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is logged, with the ways in which Python tells errors put back afterwards."""
    for owner, name in ((sys, "excepthook"), (threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    root, ours = logging.getLogger(), logging.getLogger("penstock")
    kept, levels = root.handlers[:], (root.level, ours.level)
    stream = io.StringIO()
    write_logs(stream, level="info", format="json")
    log_the_uncaught()
    yield stream
    logging.captureWarnings(False)
    root.handlers[:] = kept
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def fails() -> None:
    raise ValueError(CANARY)


def test_an_error_that_ends_a_thread_is_logged_without_its_text(stream: io.StringIO) -> None:
    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()

    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert line["event"].startswith("unhandled ValueError in test_uncaught.py:")
    assert CANARY not in stream.getvalue()


def test_an_error_that_ends_the_process_is_logged_without_its_text(stream: io.StringIO) -> None:
    try:
        fails()
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)

    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["level"], line["event"].split(":")[0]) == ("critical", "unhandled ValueError in test_uncaught.py")
    assert CANARY not in stream.getvalue()


def test_an_error_of_a_destructor_is_logged_without_its_text(stream: io.StringIO) -> None:
    class Dying:
        def __del__(self) -> None:
            fails()

    Dying()

    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert line["event"].startswith("unhandled ValueError")
    assert CANARY not in stream.getvalue()


def test_a_warning_is_logged_without_its_text(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn(CANARY, stacklevel=1)

    assert json.loads(stream.getvalue())["logger"] == "py.warnings"
    assert CANARY not in stream.getvalue()


def test_the_way_that_an_error_took_is_told_without_what_it_says() -> None:
    with pytest.raises(ValueError, match=CANARY) as caught:
        fails()
    told = brief_traceback(caught.value)

    assert told.endswith("ValueError\n")
    assert "in fails" in told
    assert CANARY not in told
