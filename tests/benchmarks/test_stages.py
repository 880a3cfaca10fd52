"""Which stage a sampled stack belongs to, and that no microsecond is lost or counted twice."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.profiling import Profile, as_table
from tests.benchmarks.stages import REST, STAGES, Stack, cpu_by_stage, parsed, stage_of

ROUTER = Path(__file__).resolve().parents[2] / "router"
SERVED = ("uvicorn/protocols/http/httptools_impl.py", "router/server/app.py", "router/server/endpoints.py")

places = st.sampled_from(
    [*SERVED, "router/tokens/count.py", "router/storage/sqlite.py", "asyncio/runners.py", "splintr/__init__.py"]
)
stacks = st.builds(
    Stack, thread_id=st.integers(1, 3), places=st.lists(places, max_size=5).map(tuple), samples=st.integers(1, 50)
)


def test_the_innermost_frame_that_the_table_knows_decides() -> None:
    assert stage_of((*SERVED, "router/gateway/exchange.py")) == "carrying the request"
    assert stage_of((*SERVED, "router/gateway/exchange.py", "router/tokens/count.py")) == "counting tokens"
    assert stage_of((*SERVED, "router/gateway/exchange.py", "uvicorn/protocols/utils.py")) == "HTTP with clients"


def test_what_others_do_belongs_to_the_stage_that_asked_for_it() -> None:
    assert stage_of((*SERVED, "router/tokens/count.py", "splintr/__init__.py")) == "counting tokens"
    assert stage_of(("threading.py", "router/storage/writer.py", "json/encoder.py")) == "ledger (SQLite)"


def test_an_exception_precedes_its_rule() -> None:
    assert stage_of(("router/server/app.py", "router/server/auth.py")) == "authentication"
    assert stage_of(("router/storage/sqlite.py", "router/storage/journal.py")) == "journal"
    assert stage_of(("router/wire/requests.py",)) == "reading the request"
    assert stage_of(("router/wire/streams.py",)) == "relaying, reading the answer"
    assert stage_of(("router/gateway/exchange.py:Exchange._entry.<locals>.<genexpr>",)) == "ledger entry"
    assert stage_of(("router/gateway/exchange.py:Exchange.open",)) == "carrying the request"


def test_a_stack_without_any_of_our_frames_is_the_event_loops() -> None:
    assert stage_of(("<frozen runpy>", "anyio/_core/_eventloop.py", "asyncio/runners.py")) == REST
    assert stage_of(()) == REST


def test_a_line_of_py_spy_is_read() -> None:
    line = "thread (4935): MainThread;<module> (router/cli/main.py:39);run (<frozen runpy>:8);x (router/ledger.py:1) 3"

    found = parsed(line)

    assert found == Stack(4935, ("router/cli/main.py:<module>", "<frozen runpy>:run", "router/ledger.py:x"), 3)


def test_a_line_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="its thread"):
        parsed("main (router/cli/main.py:39) 3")


def test_each_threads_time_is_shared_out_over_its_own_samples() -> None:
    main = [Stack(1, ("router/tokens/count.py",), 30), Stack(1, ("router/server/app.py",), 10)]
    writer = [Stack(2, ("router/storage/writer.py",), 400)]  # it mostly waited for the core

    assert cpu_by_stage([*main, *writer], {1: 4.0, 2: 0.5, 3: 0.25}) == {
        "counting tokens": 3.0,
        "HTTP with clients": 1.0,
        "ledger (SQLite)": 0.5,
        REST: 0.25,
    }


@given(st.lists(stacks), st.dictionaries(st.integers(1, 4), st.floats(0, 100)))
def test_the_stages_add_up_to_the_threads_time(sampled: list[Stack], cpu_s: dict[int, float]) -> None:
    assert sum(cpu_by_stage(sampled, cpu_s).values()) == pytest.approx(sum(cpu_s.values()))


def test_every_file_that_carries_a_request_belongs_to_a_stage() -> None:
    rooms = ("server", "gateway", "wire", "tokens", "quality", "decision", "limits", "storage", "telemetry", "learning")
    files = [path.relative_to(ROUTER.parent).as_posix() for room in rooms for path in (ROUTER / room).rglob("*.py")]

    assert len(files) > 80
    assert [file for file in files if stage_of((file,)) == REST] == []


def test_a_table_says_whether_its_stages_add_up() -> None:
    stages = {STAGES[0]: 60.0, REST: 35.0}

    assert "adds up" in as_table(Profile("request", stages, by_clock=100.0))
    assert "does not add up" in as_table(Profile("request", stages, by_clock=110.0))
