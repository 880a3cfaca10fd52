"""Work that no request waits for: in order, in batches, never more of it than the queue holds."""

import threading

import pytest

from router.telemetry.background import Background


def never(item: int) -> None:
    pytest.fail(f"{item} was lost")


def test_everything_is_delivered_in_order_before_it_stops() -> None:
    delivered: list[int] = []
    background: Background[int] = Background(delivered.extend, name="t", most_waiting=1_000, lost=never)
    background.start()

    for number in range(1_000):
        background.put(number)

    assert background.close(10) == []
    assert delivered == list(range(1_000))


def test_what_finds_the_queue_full_is_lost_at_once_and_told() -> None:
    lost: list[int] = []
    background: Background[int] = Background(lambda _: None, name="t", most_waiting=2, lost=lost.append)

    for number in range(5):
        background.put(number)

    assert lost == [2, 3, 4]
    assert background.close(0) == [0, 1]  # it was never started


def test_a_stop_waits_no_longer_than_it_may_and_returns_what_is_left() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(_: list[int]) -> None:
        begun.set()
        may_end.wait(10)

    background: Background[int] = Background(slow, name="t", most_waiting=9, lost=never, gather_s=0)
    background.start()
    background.put(1)
    assert begun.wait(10)
    background.put(2)

    assert background.close(0.05) == [2]
    may_end.set()


def test_a_batch_that_fails_is_lost_and_the_next_is_delivered(caplog: pytest.LogCaptureFixture) -> None:
    lost: list[int] = []
    delivered: list[int] = []

    def deliver(batch: list[int]) -> None:
        if 1 in batch:
            raise ValueError("the text of an error is not logged")
        delivered.extend(batch)

    background: Background[int] = Background(deliver, name="t", most_waiting=9, lost=lost.append, gather_s=0)
    background.put(1)
    background.start()
    while not lost:  # the thread's first batch
        threading.Event().wait(0.001)
    background.put(2)

    assert background.close(10) == []
    assert (lost, delivered) == ([1], [2])
    assert [record.getMessage() for record in caplog.records] == ["t: 1 lost by ValueError"]
