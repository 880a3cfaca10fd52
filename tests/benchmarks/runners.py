"""Contestants made to run: started, timed to their first answer, and ended when done."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.contestants import Command, Prepare, Upstream
from tests.benchmarks.processes import BenchmarkError, ChildProcess

START_TIMEOUT_S = 60.0  # LiteLLM takes ten on a quiet machine
_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Runner:
    """A contestant that answers."""

    process: ChildProcess
    command: Command
    start_to_first_200_s: float  # from starting the process to the whole first chat completion
    idle_rss_bytes: int  # right after it


@contextmanager
def running(prepare: Prepare, *, directory: Path, upstream: Upstream, core: int | None) -> Iterator[Runner]:
    """The contestant, started in the empty `directory` and answering; raises BenchmarkError if it never does."""
    command = prepare(directory, upstream)
    with ChildProcess(command.argv, log_path=directory / "output.log", core=core, env=command.env) as process:
        start_s = _wait_for_first_200(process, command)
        yield Runner(process, command, start_to_first_200_s=start_s, idle_rss_bytes=process.rss_bytes())


def _wait_for_first_200(process: ChildProcess, command: Command) -> float:
    """Asks for a chat completion until one is answered; seconds since the process was started."""
    last_answer = "none"
    while time.perf_counter() < process.started_s + START_TIMEOUT_S:
        process.check_alive()
        try:
            status, body = _chat_completion(command)
        except OSError:  # not listening yet
            time.sleep(_POLL_S)
            continue
        if status == 200:
            return time.perf_counter() - process.started_s
        last_answer = f"{status} {body[:500]!r}"
        time.sleep(_POLL_S)
    raise BenchmarkError(
        f"{command.argv} gave no 200 within {START_TIMEOUT_S} s; last answer: {last_answer}\n{process.log_tail()}"
    )


def _chat_completion(command: Command) -> tuple[int, bytes]:
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Are you there?"}], "max_tokens": 64})
    headers = {"Authorization": f"Bearer {command.api_key}", "Content-Type": "application/json"}
    headers |= dict(line.split(": ", 1) for line in command.headers)
    connection = http.client.HTTPConnection("127.0.0.1", command.port, timeout=START_TIMEOUT_S)
    try:
        connection.request("POST", "/v1/chat/completions", body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
