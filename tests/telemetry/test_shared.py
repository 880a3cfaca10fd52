"""Workers count together: whichever is asked answers for all, and nothing that was counted is lost with one of them."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import DeploymentId
from router.ledger import LedgerEntry
from router.quotas import BudgetState, Per, ScopeId, Window
from router.telemetry.events import EventCounter, EventHistogram
from router.telemetry.figures import MOST_HELD
from router.telemetry.metrics import Gauges, Metrics
from router.telemetry.money import NanoUsdCounter
from router.telemetry.shared import SharedFigures, StrangeFigures, WorkersFigures
from router.units import CostSource
from tests.replacing import replace
from tests.storage.entries import GPT, attempt, entries, entry
from tests.telemetry.test_metrics import spent_nano_usd, total, value

LONGEST_ID = "req_" + "f" * 24 + ".shadow"


class Setting:
    """The memory of two workers, and the time."""

    def __init__(self) -> None:
        self.parent = WorkersFigures(2)
        self.now_s = 1_000.0

    def figures(self, index: int = 0, *, process: str = "process") -> SharedFigures:
        return SharedFigures(self.parent.fd, index, process=process, monotonic_s=lambda: self.now_s)

    def metrics(self, index: int = 0, *, process: str = "process") -> Metrics:
        return Metrics(version="0.1.0", config_version="c", figures=self.figures(index, process=process))


@pytest.fixture
def setting() -> Iterator[Setting]:
    setting = Setting()
    with closing(setting.parent):
        yield setting


# Sums


@given(st.lists(st.tuples(st.integers(0, 1), entries), max_size=12))
def test_whichever_worker_is_asked_tells_what_one_alone_would_have_counted(seen: list[tuple[int, LedgerEntry]]) -> None:
    setting = Setting()
    with closing(setting.parent):
        workers = [setting.metrics(index, process=f"process {index}") for index in (0, 1)]
        alone = Metrics(version="0.1.0", config_version="c")

        for index, each in seen:
            workers[index].observe(each)
            alone.observe(each)

        expected = told(alone)
        for metrics in workers:
            assert {key: pytest.approx(figure) for key, figure in told(metrics).items()} == expected
            assert spent_nano_usd(metrics) == spent_nano_usd(alone)


def told(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name != "penstock_workers"
    }


def test_series_that_begin_in_two_processes_at_once_have_one_place_each(setting: Setting) -> None:
    """Real processes: each of them appends to the directory while the other does, and one of them backwards."""
    forked = multiprocessing.get_context("fork")
    together = forked.Barrier(2)
    children = [
        forked.Process(target=begin_series, args=(setting.parent.fd, index, together), daemon=True) for index in (0, 1)
    ]

    for child in children:
        child.start()
    for child in children:
        child.join(30)

    assert [child.exitcode for child in children] == [0, 0]
    figures = setting.figures()
    places = dict(figures.series("penstock_requests"))
    assert sorted(places) == sorted((f"{team}",) for team in range(_TEAMS))
    assert sorted(places.values()) == list(range(_TEAMS))
    assert [sum(counts[place] for counts in figures.counts()) for place in places.values()] == [2] * _TEAMS


_TEAMS = 12_000


def begin_series(memory: int, index: int, together: "multiprocessing.synchronize.Barrier") -> None:
    figures = SharedFigures(memory, index, process=f"{index}", monotonic_s=lambda: 0.0)
    together.wait(20)
    for number in range(_TEAMS):
        team = number if index == 0 else _TEAMS - 1 - number
        place = figures.place("penstock_requests", (f"{team}",), width=1, most=_TEAMS)
        assert place is not None
        figures.ints[place] += 1


def test_a_worker_in_the_place_of_a_dead_one_counts_on(setting: Setting) -> None:
    setting.metrics(0, process="dead").observe(entry())
    sibling = setting.metrics(1, process="sibling")
    setting.parent.bury(0)
    assert total(sibling, "penstock_requests_total") == 1
    assert value(sibling, "penstock_workers") == 1

    setting.parent.restarted()
    setting.metrics(0, process="next").observe(entry())

    assert total(sibling, "penstock_requests_total") == 2
    assert value(sibling, "penstock_request_duration_seconds_sum") == 5
    assert value(sibling, "penstock_workers") == 2
    assert value(sibling, "penstock_worker_restarts_total") == 1


def test_a_worker_of_another_version_refuses_to_count(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.telemetry.shared._LAYOUT", 0)

    with pytest.raises(StrangeFigures, match="start it anew"):
        setting.figures()


def test_label_values_of_any_length_are_counted(setting: Setting) -> None:
    metrics = setting.metrics()
    for number in range(5):
        metrics.repointed(f"{number}" + "x" * 10_000)
    metrics.repointed("a" * 3_000)

    assert total(metrics, "penstock_model_repointed_total") == 6
    assert value(metrics, "penstock_model_repointed_total", model="other") == 5


# Gauges


def gauges(much: int, state: BudgetState) -> Gauges:
    deployment = DeploymentId("openrouter:gpt")
    return Gauges(
        in_flight=lambda: much,
        ledger_lag_s=lambda: much / 10,
        budgets=lambda: [state],
        cache_hits=lambda: {deployment: much / 10},
        price_ages_s=lambda: {"openrouter": much * 100.0},
        breakers=lambda: {deployment: much - 3},
        journal_bytes=lambda: much * 1000,
        loop_lag_s=lambda: much / 1000,
    )


def test_gauges_of_workers_are_made_into_one_by_a_rule_each(setting: Setting) -> None:
    first, second = (setting.metrics(index, process=f"process {index}") for index in (0, 1))
    today = Window(datetime(2026, 11, 30, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    state = BudgetState(
        ScopeId.of_team("search"), Per.DAY, limit_nano_usd=10**9, spent_nano_usd=0, held_nano_usd=0, window=today
    )
    first.watch(gauges(3, state))
    second.watch(gauges(5, state))
    second.publish()

    assert value(first, "penstock_in_flight_requests") == 8
    assert value(first, "penstock_ledger_journal_bytes") == 8000
    assert value(first, "penstock_ledger_lag_seconds") == 0.5
    assert value(first, "penstock_loop_lag_seconds") == 0.005
    assert value(first, "penstock_price_age_seconds", provider="openrouter") == 500
    assert value(first, "penstock_breaker_state", provider="openrouter", model="gpt") == 2
    assert value(first, "penstock_prompt_cache_hit_ratio", provider="openrouter", model="gpt") == 0.4
    assert value(first, "penstock_budget_limit_usd", team="search", project="", per="day") == 1

    setting.parent.bury(1)

    assert value(first, "penstock_in_flight_requests") == 3
    assert value(first, "penstock_ledger_lag_seconds") == 0.3


def test_a_worker_whose_loop_stands_still_is_seen_by_the_others(setting: Setting) -> None:
    setting.figures(1, process="stuck")
    metrics = setting.metrics(0)
    metrics.watch(Gauges(in_flight=int, ledger_lag_s=float, budgets=list))

    setting.now_s += 0.4
    assert value(metrics, "penstock_loop_lag_seconds") == 0

    setting.now_s += 9.6
    assert value(metrics, "penstock_loop_lag_seconds") == 9.5


# Death between two instructions


class Died(BaseException):
    """What a process that is killed does not notice."""


class Dying:
    """An area whose process dies once it has written so many numbers."""

    def __init__(self, area: "memoryview[int]", writes: int) -> None:
        self._area = area
        self._writes = writes

    def __getitem__(self, at: int) -> int:
        return self._area[at]

    def __setitem__(self, at: int, number: int) -> None:
        if self._writes == 0:
            raise Died
        self._writes -= 1
        self._area[at] = number


def test_money_is_exact_wherever_a_worker_dies_and_whoever_replays_its_journal_knows() -> None:
    """A call is counted twice or not at all by no death, and neither is a call whose cost is told afterwards."""
    doubtful = attempt(cost_nano_usd=5_000, source=CostSource.HELD, usage=None)
    second = entry("req_2", attempt(cost_nano_usd=300), replace(doubtful, generation_id="gen"))
    counted = []
    for writes in range(40):
        setting = Setting()
        with closing(setting.parent):
            dying, sibling = setting.metrics(0, process="dead"), setting.metrics(1, process="sibling")
            dying.observe(entry("req_1", attempt(cost_nano_usd=70)))
            money = dying._figures._money  # type: ignore[attr-defined]
            money._area = Dying(money._area, writes)
            try:
                dying.observe(second)
            except Died:
                pass
            else:
                break

            is_counted = sibling.has_counted("dead", "req_2", True)  # before the parent knows
            setting.parent.bury(0)
            assert sibling.has_counted("dead", "req_2", True) == is_counted
            assert sibling.has_counted("dead", "req_1", False)
            if not is_counted:
                sibling.observe_left(second)
            heir = setting.metrics(0, process="heir")

            assert sum(spent_nano_usd(sibling).values()) == 70 + 300 + 5_000
            held = heir if is_counted else sibling
            assert held.held() == ["req_2.2"]
            held.corrected("req_2.2", 1_234)
            held.corrected("req_2.2", 1_234)
            assert sum(spent_nano_usd(sibling).values()) == 70 + 300 + 1_234
            counted.append(is_counted)
    assert counted == sorted(counted)
    assert len(counted) > 10
    assert {True, False} == set(counted)


def test_a_worker_killed_at_any_moment_has_counted_all_requests_up_to_the_one_it_marked(setting: Setting) -> None:
    """The same with a real process and SIGKILL: its n-th request costs n nano-dollars."""
    forked = multiprocessing.get_context("fork")
    for _ in range(10):
        process = f"process {_}"
        before = sum(spent_nano_usd(setting.metrics(1)).values())
        ours, theirs = forked.Pipe()
        child = forked.Process(target=spend_for_ever, args=(setting.parent.fd, process, theirs))
        child.start()
        assert ours.recv() == "begun"
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        setting.parent.bury(0)

        reader = setting.metrics(1)
        spent = sum(spent_nano_usd(reader).values()) - before
        last = int((2 * spent) ** 0.5)
        assert spent == last * (last + 1) // 2
        assert reader.has_counted(process, f"req_{last}", True)
        assert not reader.has_counted(process, f"req_{last + 1}", True)


def spend_for_ever(memory: int, process: str, parent: "multiprocessing.connection.Connection") -> None:
    figures = SharedFigures(memory, 0, process=process, monotonic_s=lambda: 0.0)
    counter = NanoUsdCounter(figures, "penstock_spend_usd", "Dollars.", ("team", "model", "provider", "source"))
    request = 0
    while True:
        request += 1
        counter.add(("search", "gpt", "openrouter", "reported"), request)
        figures.commit(f"req_{request}")
        if request == 100:
            parent.send("begun")


def test_what_other_processes_counted_is_not_taken_for_what_is_read_here(setting: Setting) -> None:
    metrics = setting.metrics(process="this")
    metrics.observe(entry("req_1"))

    assert metrics.has_counted("this", "req_1", True)
    assert metrics.has_counted("this", "req_0", False)
    assert not metrics.has_counted("this", "req_2", True)
    assert not metrics.has_counted("before the parent began", "req_1", True)
    assert not metrics.has_counted("before the parent began", "req_1", False)


def test_a_request_left_by_another_is_not_the_last_of_who_counts_it(setting: Setting) -> None:
    metrics = setting.metrics(process="this")
    metrics.observe(entry("req_1"))
    metrics.observe_left(entry("req_2"))

    assert metrics.has_counted("this", "req_1", True)


# Calls in doubt


def test_a_call_in_doubt_is_corrected_by_whoever_counted_it_or_serves_in_his_place(setting: Setting) -> None:
    first, second = setting.metrics(0, process="dead"), setting.metrics(1, process="sibling")
    first.observe(entry(LONGEST_ID, attempt(source=CostSource.HELD, usage=None, cost_nano_usd=900)))

    second.corrected(f"{LONGEST_ID}.1", 40)  # it has booked it, and leaves it to the first to count it
    assert total(second, "penstock_spend_usd_total", source="held") == 900e-9
    setting.parent.bury(0)
    heir = setting.metrics(0, process="heir")
    assert heir.held() == [f"{LONGEST_ID}.1"]
    heir.corrected(f"{LONGEST_ID}.1", 40)

    assert total(second, "penstock_spend_usd_total", source="held") == 0
    assert total(second, "penstock_spend_usd_total", source="record") == 40e-9
    assert setting.metrics(0, process="last").held() == []


def test_more_calls_in_doubt_than_there_is_room_for_push_out_the_oldest(setting: Setting) -> None:
    figures = setting.figures()
    for number in range(MOST_HELD + 2):
        figures.hold(f"req_{number}.1", 7, number)
        figures.commit()

    assert len(setting.figures(process="heir").held()) == MOST_HELD
    assert figures.release("req_1.1") is None
    assert figures.release("req_2.1") == (7, 2)


def test_a_histogram_and_a_counter_beside_each_other_do_not_share_numbers(setting: Setting) -> None:
    figures = setting.figures()
    histogram = EventHistogram(figures, "penstock_seconds", "Seconds.", ("model",), buckets=(1, 2))
    counter = EventCounter(figures, "penstock_requests", "Requests.", ("model",))

    histogram.observe(1.5, (GPT,))
    counter.add((GPT,))
    histogram.observe(0.5, ("other",))
    counter.add((GPT,))

    (seconds,), (requests,) = histogram.collect(), counter.collect()
    assert [sample.value for sample in requests.samples] == [2]
    assert [(sample.name, sample.value) for sample in seconds.samples if sample.labels["model"] == GPT] == [
        ("penstock_seconds_bucket", 0),
        ("penstock_seconds_bucket", 1),
        ("penstock_seconds_bucket", 1),
        ("penstock_seconds_count", 1),
        ("penstock_seconds_sum", 1.5),
    ]


def test_the_memory_is_gone_with_its_processes(setting: Setting) -> None:
    """It has no name in any file system."""
    assert "memfd:penstock-figures (deleted)" in os.readlink(Path(f"/proc/self/fd/{setting.parent.fd}"))
