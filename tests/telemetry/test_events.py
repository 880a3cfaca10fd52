"""Our counters and histograms export what the client library's own would, sample by sample and byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest as text
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_text

from router.telemetry.events import EventCounter, EventHistogram
from router.telemetry.figures import OwnFigures

NAMES = st.sampled_from(["search", "ads", 'so "called"\n', "straße", ""])
BOUNDS = (0.05, 0.1, 1, 2.5, 10, 1_000)
FIGURES = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 1e9), st.integers(0, 10**6))


@pytest.fixture(autouse=True, scope="module")
def _without_times_of_creation() -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # 0.26 has no types here


def registries() -> tuple[CollectorRegistry, CollectorRegistry]:
    return CollectorRegistry(), CollectorRegistry()


def assert_alike(ours: CollectorRegistry, theirs: CollectorRegistry) -> None:
    assert [family.samples for family in ours.collect()] == [family.samples for family in theirs.collect()]
    assert text(ours) == text(theirs)
    assert openmetrics_text(ours) == openmetrics_text(theirs)  # type: ignore[no-untyped-call]  # as above


@given(st.lists(st.tuples(NAMES, NAMES, st.integers(0, 10**6))))
def test_a_counter_exports_what_the_librarys_own_would(counted: list[tuple[str, str, int]]) -> None:
    ours, theirs = registries()
    our = EventCounter(OwnFigures(), "penstock_tokens", "Tokens.", ("team", "model"))
    ours.register(our)
    their = Counter("penstock_tokens", "Tokens.", ("team", "model"), registry=theirs)

    for team, model, count in counted:
        our.add((team, model), count)
        their.labels(team, model).inc(count)

    assert_alike(ours, theirs)


@given(st.lists(FIGURES))
def test_a_histogram_exports_what_the_librarys_own_would(figures: list[float]) -> None:
    ours, theirs = registries()
    our = EventHistogram(OwnFigures(), "penstock_seconds", "Seconds.", buckets=BOUNDS)
    ours.register(our)
    their = Histogram("penstock_seconds", "Seconds.", buckets=BOUNDS, registry=theirs)

    for figure in figures:
        our.observe(figure)
        their.observe(figure)

    assert_alike(ours, theirs)


@given(st.lists(st.tuples(NAMES, FIGURES)))
def test_a_histogram_with_labels_exports_what_the_librarys_own_would(figures: list[tuple[str, float]]) -> None:
    ours, theirs = registries()
    our = EventHistogram(OwnFigures(), "penstock_seconds", "Seconds.", ("model",), buckets=BOUNDS)
    ours.register(our)
    their = Histogram("penstock_seconds", "Seconds.", ("model",), buckets=BOUNDS, registry=theirs)

    for model, figure in figures:
        our.observe(figure, (model,))
        their.labels(model).observe(figure)

    assert_alike(ours, theirs)


def test_two_of_one_name_are_not_registered() -> None:
    registry = CollectorRegistry()
    registry.register(EventCounter(OwnFigures(), "penstock_requests", "Requests.", ()))
    registry.register(EventHistogram(OwnFigures(), "penstock_seconds", "Seconds.", buckets=BOUNDS))

    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(EventCounter(OwnFigures(), "penstock_requests", "The same.", ()))
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(EventHistogram(OwnFigures(), "penstock_seconds", "The same.", buckets=BOUNDS))
