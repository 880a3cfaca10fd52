"""Lines of the log: which fields they have, and what never gets into them."""

import asyncio
import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from router.telemetry.logs import FIELDS, REQUEST_ID, WITHHELD, LineFormatter, write_logs
from router.telemetry.requests_log import log_requests
from tests.storage.entries import entry

CANARY = "canary-5f1c9e"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("penstock")
    kept, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = kept
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def written(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_of_json_has_time_level_logger_and_event_and_the_request() -> None:
    stream = io.StringIO()
    write_logs(stream, level="info", format="json")
    token = REQUEST_ID.set("req_1")
    logging.getLogger("penstock.keys").warning("the pepper of %s is new", "search", extra={"secret": CANARY})
    REQUEST_ID.reset(token)

    (line,) = written(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line.pop("time")))
    assert line == {
        "level": "warning",
        "logger": "penstock.keys",
        "event": "the pepper of search is new",
        "request_id": "req_1",
    }


@pytest.mark.parametrize(("stream", "is_json"), [(io.StringIO(), True), (Terminal(), False)])
def test_a_terminal_gets_text_and_everything_else_json(stream: io.StringIO, *, is_json: bool) -> None:
    write_logs(stream, level="info", format=None)
    logging.getLogger("penstock").info("hello")

    assert stream.getvalue().startswith("{") == is_json
    assert stream.getvalue().count("\n") == 1


def test_one_worker_of_several_says_which() -> None:
    stream = io.StringIO()
    write_logs(stream, level="info", format="json", worker=2)
    logging.getLogger("penstock").info("hello")

    assert written(stream)[0]["worker"] == 2


def test_text_cannot_begin_a_line_of_its_own() -> None:
    stream = io.StringIO()
    write_logs(stream, level="info", format="text")
    logging.getLogger("penstock").info("one\nINFO penstock forged\x1b[31m")

    assert stream.getvalue().endswith("INFO penstock one\\nINFO penstock forged\\x1b[31m\n")


def test_below_the_level_nothing_is_written_and_libraries_are_heard_from_warnings_on() -> None:
    stream = io.StringIO()
    write_logs(stream, level="info", format="json")
    logging.getLogger("penstock.x").debug("no")
    logging.getLogger("uvicorn.error").info("no")
    logging.getLogger("redis").warning("yes")
    logging.getLogger("penstock.x").info("yes")

    assert [(line["logger"], line["event"]) for line in written(stream)] == [("redis", "yes"), ("penstock.x", "yes")]


def test_an_error_is_told_by_type_and_place() -> None:
    stream = io.StringIO()
    write_logs(stream, level="debug", format="json")
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")

    (line,) = written(stream)
    assert (line["event"], line["error"]) == ("Exception in ASGI application", "ValueError")
    assert str(line["place"]).startswith("test_logs.py:")
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize("format", ["text", "json"])
def test_of_what_libraries_say_only_the_fixed_words_are_kept(format: str) -> None:
    stream = io.StringIO()
    write_logs(stream, level="debug", format="text" if format == "text" else "json")
    other = logging.getLogger("somebody.elses")
    other.warning("retrying %s", CANARY)
    other.warning("it was %(what)s", {"what": CANARY})
    other.warning(f"connection to <{CANARY}> failed: {CANARY}")
    other.warning("first line\n" + CANARY)
    other.warning("failed: %r", ValueError(CANARY))
    other.warning(ValueError(f"('{CANARY}')"))
    other.info("Started server process [%d]", 7)

    assert CANARY not in stream.getvalue()
    assert "retrying" in stream.getvalue()
    assert "connection to" in stream.getvalue()


def test_what_the_event_loop_complains_of_shows_no_object() -> None:
    stream = io.StringIO()
    write_logs(stream, level="debug", format="json")

    def fails(_: str) -> None:
        raise ValueError(CANARY)

    async def complain() -> None:
        asyncio.get_running_loop().call_soon(fails, CANARY)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(complain(), debug=True)

    complaints = [line for line in written(stream) if line["level"] == "error"]
    assert [line["error"] for line in complaints] == ["ValueError"]
    assert str(complaints[0]["event"]).startswith("Exception in callback")
    assert CANARY not in stream.getvalue()


def test_a_request_is_one_line_of_figures_and_configured_names() -> None:
    stream = io.StringIO()
    write_logs(stream, level="info", format="json")

    log_requests([entry("req_1", tags=(CANARY,))])

    (line,) = written(stream)
    line.pop("time")
    assert line == {
        "level": "info",
        "logger": "penstock.requests",
        "event": "ok",
        "request_id": "req_1",
        "team": "search",
        "alias": "auto",
        "policy": "balanced",
        "model": "deepseek/deepseek-v4-flash",
        "provider": "openrouter",
        "outcome": "ok",
        "attempts": 1,
        "cost_usd": "0.000147",
        "input_tokens": 1_000,
        "output_tokens": 200,
        "duration_s": 2.5,
        "first_token_s": 0.4,
    }


def test_an_error_that_was_never_raised_has_no_place() -> None:
    record = logging.LogRecord("penstock", logging.ERROR, "", 0, "x", None, (ValueError, ValueError(CANARY), None))

    assert LineFormatter(is_text=True).format(record).endswith("x error=ValueError place=nowhere")
    assert sys.exc_info() == (None, None, None)


HOSTILE = "a\r\nb\x1b[31m\x00\x7f\x9b\u202e\u2066\u2028\u200b\ud800\U000e0041" + "x" * 1_000_000


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("field", [*FIELDS[:12], "event", "logger"])
def test_whatever_a_value_holds_a_line_is_one_short_line_of_characters_that_are_shown(field: str, format: str) -> None:
    stream = io.StringIO()
    write_logs(stream, level="info", format="text" if format == "text" else "json")
    extra = {field: HOSTILE} if field in FIELDS else {}
    name = f"penstock.{HOSTILE[:12]}" if field == "logger" else "penstock.x"
    logging.getLogger(name).warning("%s", HOSTILE if field == "event" else "well", extra=extra)

    text = stream.getvalue()
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert 0 < len(text) < (66_000 if field == "event" else 2_000)
    if format == "json":
        json.loads(text)


def test_what_libraries_put_together_themselves_is_withheld_and_its_place_told() -> None:
    stream = io.StringIO()
    write_logs(stream, level="debug", format="json")
    other = logging.getLogger("somebody.elses")
    other.warning(f"{CANARY} was sent")
    other.warning("".join(("was sent: ", CANARY)))
    other.warning("sending %d", CANARY)  # a mistake of theirs: Python would show it all
    other.warning("told", extra={"model": CANARY, "request_id": CANARY})
    logging.getLogger("penstock.x").warning("a mistake of ours: %d", CANARY)

    lines = written(stream)
    assert CANARY not in stream.getvalue()
    assert [line["event"] for line in lines] == [WITHHELD, WITHHELD, "sending", "told"]
    assert str(lines[0]["place"]).startswith("test_logs.py:")


def test_a_stream_that_cannot_be_written_shows_nothing_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    write_logs(stream, level="info", format="json")
    stream.close()
    logging.getLogger("penstock").warning("a name: %s", CANARY)

    assert capsys.readouterr() == ("", "")
