"""The histogram that forgets: exact means, medians to a twentieth, and a tail to reckon with."""

import random
from statistics import median

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.learning.sketch import Sketch

numbers = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=300)


def sketch_of(values: list[float]) -> Sketch:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch


@settings(deadline=None)  # the machine may be busy
@given(numbers)
def test_a_mean_is_between_the_smallest_and_the_largest(values: list[float]) -> None:
    sketch = sketch_of(values)

    assert min(values) * 0.999 <= sketch.mean <= max(values) * 1.001 + 1e-9
    assert 0 < sketch.weight <= min(len(values), 201)


def test_a_median_is_right_to_a_twentieth() -> None:
    chance = random.Random(7)
    values = [chance.lognormvariate(6, 1) for _ in range(150)]

    assert sketch_of(values).quantile(0.5) == pytest.approx(median(values), rel=0.2)
    assert sketch_of([400.0] * 10).quantile(0.5) == pytest.approx(400, rel=0.05)


def test_the_past_fades() -> None:
    sketch = sketch_of([100.0] * 500 + [1_000.0] * 500)

    assert sketch.mean > 900
    assert sketch.quantile(0.5) == pytest.approx(1_000, rel=0.05)


def test_what_is_above_has_a_weight_and_a_mean() -> None:
    sketch = sketch_of([10.0] * 5 + [1_000.0] * 5)

    weight, mean = sketch.above(100)

    assert weight == pytest.approx(5, rel=0.02)
    assert mean == pytest.approx(1_000, rel=0.05)
    assert sketch.above(5_000) == (0.0, 0.0)


def test_a_million_numbers_take_no_more_room_than_their_buckets() -> None:
    sketch = Sketch()
    for number in range(100_000):
        sketch.add(1 + number % 1_000)

    assert sketch.weight == pytest.approx(200, rel=0.01)
    assert len(msgspec.json.encode(sketch.as_data())) < 4_000


@settings(deadline=None)  # the machine may be busy
@given(numbers, numbers)
def test_two_sketches_together_are_both(first: list[float], second: list[float]) -> None:
    one, other = sketch_of(first), sketch_of(second)
    both = one.merged(other)

    assert both.weight == pytest.approx(one.weight + other.weight)
    assert both.mean * both.weight == pytest.approx(one.mean * one.weight + other.mean * other.weight)


@settings(deadline=None)  # the machine may be busy
@given(numbers)
def test_a_sketch_survives_json(values: list[float]) -> None:
    sketch = sketch_of(values)
    again = Sketch.from_data(msgspec.json.decode(msgspec.json.encode(sketch.as_data())))

    assert again.as_data() == sketch.as_data()
    assert again.quantile(0.9) == sketch.quantile(0.9)
    assert again.mean == pytest.approx(sketch.mean)
