"""The figures of the report from made-up measurements: each is paired within its round, and none is made up itself."""

from collections.abc import Mapping

from tests.benchmarks.idle_streams import Held, IdleStreams
from tests.benchmarks.laboratory import Measurement, together
from tests.benchmarks.load import LoadResult
from tests.benchmarks.long_prompts import Beside, Seen
from tests.benchmarks.noise import Spin
from tests.benchmarks.probe import Waits
from tests.benchmarks.report import as_table, noise, problems, reported_rows
from tests.benchmarks.rounds import DIRECT, ContestantRound, Round
from tests.benchmarks.rows import ROWS, Series
from tests.benchmarks.scenarios import ScenarioName

NAMES = ("nginx", "penstock")


def answered(successes: int, *, failures: int = 0, p99_ms: float = 1.0) -> LoadResult:
    return LoadResult(successes, {"connect": failures} if failures else {}, 1.0, 0.5, p99_ms, 0.5)


def cost(successes: int, cpu_s: float) -> Measurement:
    return Measurement(answered(successes), cpu_s, answered_without_upstream=0)


def one_round(**contestants: ContestantRound) -> Round:
    return Round({DIRECT: ContestantRound({}), **contestants}, Spin(cpu_ms=30, wall_ms=40))


def costing(nginx: Mapping[ScenarioName, float], penstock: Mapping[ScenarioName, float]) -> Round:
    """A round in which each scenario had 1,000 answers, for so many seconds of CPU."""
    measured = ({name: cost(1000, cpu_s) for name, cpu_s in costs.items()} for costs in (nginx, penstock))
    return one_round(**{name: ContestantRound(one) for name, one in zip(NAMES, measured, strict=True)})


def series(title: str, *rounds: Round) -> Series:
    return next(row for row in ROWS if row.title == title).figures(rounds, "penstock")


def test_a_ratio_is_taken_within_each_round_before_the_median() -> None:
    rounds = [
        costing({"request_1kb": nginx}, {"request_1kb": penstock})
        for nginx, penstock in ((0.02, 0.2), (0.04, 0.8), (0.01, 0.3))
    ]

    row = reported_rows(rounds, NAMES)[0]

    ratio = row.ratios_to_nginx["penstock"]
    assert ratio is not None
    assert (round(ratio.lowest), round(ratio.median), round(ratio.highest)) == (10, 20, 30)
    assert row.verdict == "missed"


def test_what_goes_beyond_the_copy_is_the_difference_to_nginx_in_the_same_round() -> None:
    found = series(
        "5 MB prompt, its next turn, beyond nginx",
        costing({"long_prompt_seen": 2.0}, {"long_prompt_seen": 50.0}),
        costing({"long_prompt_seen": 4.0}, {"long_prompt_seen": 60.0}),
    )

    assert found == [48.0, 56.0]


def test_two_processes_are_compared_with_one_in_the_same_round() -> None:
    assert series(
        "CPU per request, two processes to one", costing({}, {"request_pair": 0.6, "request_alone": 0.5})
    ) == [1.2]


def test_memory_is_told_of_streams_only_if_all_of_them_were_open() -> None:
    whole = IdleStreams(100_000_000, (Held(1000, 1000, 132_768_000), Held(8000, 8000, 500_000_000)))
    cut = IdleStreams(100_000_000, (Held(1000, 1000, 132_768_000), Held(8000, 1000, 140_000_000)))
    rounds = [one_round(penstock=ContestantRound({}, idle_streams=streams)) for streams in (whole, cut)]

    assert series("RSS per idle stream, of 1,000", *rounds) == [32.0, 32.0]
    assert series("RSS with 8,000 streams", *rounds) == [500.0, None]
    assert series("streams open of 8,000", *rounds) == [8000.0, 1000.0]


def test_what_is_taken_while_nobody_asks_is_told_in_milliseconds_a_second() -> None:
    assert series("CPU idle, in a second", one_round(penstock=ContestantRound({}, idle_cpu_share=0.0085))) == [8.5]


def test_what_others_wait_is_compared_with_the_same_without_long_prompts() -> None:
    waits = Waits(probes=100, failures=0, p50_ms=0.1, p99_ms=1, p999_ms=7, longest_ms=9)
    calm = Seen(answered(800, p99_ms=2.0), waits, long=None)
    beside = Seen(answered(800, p99_ms=5.0), waits, long=answered(3))
    measured = one_round(penstock=ContestantRound({}, beside=Beside(calm, beside)))

    assert series("others' p99, beside to alone", measured) == [2.5]
    assert series("loop stall p99.9, beside 5 MB prompts", measured) == [7]


def test_a_load_that_failed_beside_long_prompts_is_not_to_be_believed() -> None:
    waits = Waits(probes=100, failures=0, p50_ms=0.1, p99_ms=1, p999_ms=7, longest_ms=9)
    calm = Seen(answered(800), waits, long=None)
    beside = Seen(answered(800), waits, long=answered(1, failures=2))
    measured = one_round(penstock=ContestantRound({}, beside=Beside(calm, beside)))

    assert len(problems([measured])) == 1


def test_rows_that_nothing_was_measured_for_are_left_out_of_the_table() -> None:
    rounds = [costing({"request_1kb": 0.02}, {"request_1kb": 0.3})]

    table = as_table(reported_rows(rounds, NAMES), NAMES)

    assert "CPU per request, 1 KB, 32 connections" in table
    assert "TLS" not in table
    assert len(noise(rounds)) == 2


def test_loads_at_the_same_time_are_added_up() -> None:
    found = together([answered(10, p99_ms=2.0), answered(5, failures=1, p99_ms=3.0)])

    assert (found.successes, found.failures, found.latency_p99_ms) == (15, {"connect": 1}, 3.0)
