"""The benchmark's own parts against each other: a wrong count here would make every figure wrong."""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.benchmarks.probe import CONNECTIONS as PROBE_CONNECTIONS
from tests.benchmarks.probe import Prober, waits
from tests.benchmarks.prompts import PromptSeries

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def mock_port() -> Iterator[int]:
    """A running mock upstream."""
    argv = [sys.executable, "-m", "tests.benchmarks.mock_upstream", "--port", "0"]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as mock:
        assert mock.stdout is not None
        yield int(mock.stdout.readline().removeprefix("listening on "))
        mock.terminate()


def load(*options: str) -> dict[str, object]:
    """What the load generator reports when run with these options."""
    argv = [sys.executable, "-m", "tests.benchmarks.load", *options]
    finished = subprocess.run(argv, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=20)
    result: dict[str, object] = json.loads(finished.stdout)
    return result


def stats(port: int) -> dict[str, int]:
    """What the mock says it served."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/mock/stats", timeout=5) as answer:
        served: dict[str, int] = json.loads(answer.read())
        return served


def test_the_load_generator_and_the_mock_count_the_same_requests(mock_port: int) -> None:
    plain = load(f"--port={mock_port}", "--request-limit=300", "--duration-s=10")
    streamed = load(f"--port={mock_port}", "--request-limit=50", "--duration-s=10", "--is-streamed")

    assert (plain["successes"], plain["failures"]) == (300, {})
    assert (streamed["successes"], streamed["failures"]) == (50, {})
    assert stats(mock_port) == {"completions": 350, "streams": 50, "chunks": 50 * 64}


def test_an_open_loop_keeps_its_rate(mock_port: int) -> None:
    paced = load(f"--port={mock_port}", "--rate-per-s=200", "--duration-s=0.5", "--connections=64")

    assert paced["failures"] == {}
    assert stats(mock_port)["completions"] == paced["successes"]
    assert 50 <= int(str(paced["successes"])) <= 101  # a busy machine may start late, never send early


def test_a_prompt_marker_spaces_the_chunks_of_a_stream(mock_port: int) -> None:
    spaced = load(f"--port={mock_port}", "--request-limit=4", "--connections=4", "--is-streamed", "--gap-ms=5")

    assert spaced["successes"] == 4
    assert float(str(spaced["latency_p50_ms"])) >= 64 * 5 * 0.9


def test_a_held_stream_has_its_first_chunk_and_no_other(mock_port: int) -> None:
    argv = [sys.executable, "-m", "tests.benchmarks.hold", f"--port={mock_port}", "--streams=20"]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        announced = holder.stdout.readline()
        holder.terminate()

    assert announced == "holding 20\n"
    assert stats(mock_port) == {"completions": 20, "streams": 20, "chunks": 20 * 64}


def test_a_long_conversation_stands_before_every_prompt_and_is_read_to_its_end(mock_port: int) -> None:
    answered = load(f"--port={mock_port}", "--request-limit=3", "--connections=1", "--history-bytes=3000000")
    series = PromptSeries(
        prompt_bytes=600, is_streamed=False, gap_ms=0, api_key="k", path="/", history_bytes=3_000_000, history_seed=1
    )

    one, other = series.request(1), series.request(2)

    assert (answered["successes"], answered["failures"]) == (3, {})
    assert 2_900_000 < len(one) < 3_100_000
    assert one[:2_900_000] == other[:2_900_000]
    assert one != other


def test_an_answer_that_comes_in_two_parts_is_one_probe_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        answering = threads.submit(answer_apart, listener)
        prober = Prober(listener.getsockname()[1])

        prober.run(duration_s=0.2, rate_per_s=100)
        prober.close()

        assert (len(prober.waits_ms), prober.failures) == (answering.result(10), 0)
        assert answering.result() == 20


def answer_apart(listener: socket.socket) -> int:
    """Answers every probe head first and body a moment later, until all connections are closed; how many there were."""
    probes = 0
    with selectors.DefaultSelector() as selector:
        for _ in range(PROBE_CONNECTIONS):
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ)
        bodies: list[socket.socket] = []
        while selector.get_map():
            ready = [key.fileobj for key, _ in selector.select(0.001)]
            for waiting in bodies:
                waiting.sendall(b"ok")
            bodies = []
            for asked in ready:
                assert isinstance(asked, socket.socket)  # no other was registered
                if asked.recv(4096):
                    probes += 1
                    asked.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
                    bodies.append(asked)
                else:
                    selector.unregister(asked)
                    asked.close()
    return probes


def test_the_longest_waits_are_told_from_the_usual_ones() -> None:
    found = waits([1.0] * 980 + [5.0] * 15 + [50.0] * 4 + [80.0], failures=0)

    assert (found.probes, found.p50_ms, found.p99_ms, found.longest_ms) == (1000, 1.0, 5.0, 80.0)
    assert 50 <= found.p999_ms < 51


def test_answers_without_status_200_are_failures(mock_port: int) -> None:
    refused = load(f"--port={mock_port}", "--request-limit=10", "--path=/nowhere")

    assert (refused["successes"], refused["failures"]) == (0, {"status 404": 10})


def test_a_transport_is_asked_as_often_as_its_answers_are_counted(mock_port: int) -> None:
    origin, factory = f"--origin=http://127.0.0.1:{mock_port}", "--factory=contenders:own"
    argv = [sys.executable, "-m", "tests.benchmarks.transports.asker", origin, factory, "--duration-s=0.1"]
    before = stats(mock_port)["completions"]
    finished = subprocess.run(argv, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=20)
    asked: dict[str, float] = json.loads(finished.stdout)

    warm_up = stats(mock_port)["completions"] - before - asked["answers"]
    assert warm_up > 0 < asked["answers"] == asked["pieces"]
    assert asked["connections"] == 32
    assert asked["cpu_s"] > 0
