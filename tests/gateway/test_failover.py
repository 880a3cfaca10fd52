"""Who is asked after a failure, by its kind; and when the same ones may be asked once more."""

import random
from collections.abc import Sequence

import pytest

from router.catalog.catalog import Effort, arm_of
from router.decision.eligibility import Candidate
from router.errors import FailureKind, Unavailable, UpstreamBroken, UpstreamError, UpstreamRefused
from router.gateway.failover import Failover, once_more, wait_s
from router.upstream.breaker import Availability, RetryBudget
from tests.decision.builders import always, at, model, per_mtok
from tests.replacing import replace
from tests.upstream.deployments import estimate

PRICE = always(per_mtok("1", "2"))


def candidate(name: str, *, context_tokens: int = 100_000) -> Candidate:
    its = at("cloud", model(f"maker/{name}"), PRICE)
    its = replace(its, context_tokens=context_tokens)
    return Candidate(its, arm_of(its.model.name), quality=0.5, quality_is_known=True, estimate=estimate())


SMALL, LARGE = candidate("small", context_tokens=8_000), candidate("large", context_tokens=64_000)
TWIN, LARGEST = candidate("twin", context_tokens=8_000), candidate("largest", context_tokens=900_000)
ALL = (SMALL, TWIN, LARGE, LARGEST)


def refused(kind: FailureKind, *, retry_after_s: float | None = None, may_be_owed: bool = False) -> UpstreamRefused:
    return UpstreamRefused(
        "no", provider="cloud", upstream_status=500, kind=kind, retry_after_s=retry_after_s, may_be_owed=may_be_owed
    )


class Board:
    def __init__(self) -> None:
        self.availability = Availability(
            (each.deployment for each in ALL), monotonic_s=lambda: 0.0, jitter=random.Random(1)
        )
        self.retries = RetryBudget(monotonic_s=lambda: 0.0)
        for _ in range(100):
            self.retries.earn()

    def asked(self, kind: FailureKind, candidates: Sequence[Candidate] = ALL) -> list[Candidate]:
        """Who is asked, one after the other, if all fail like that."""
        failover = Failover(candidates, self.availability, self.retries)
        asked: list[Candidate] = []
        while (each := failover.next(is_first_call=not asked)) is not None:
            with pytest.raises(UpstreamRefused) as failure, self.availability.asking(each.deployment):
                raise refused(kind)
            failover.failed(each, failure.value)
            asked.append(each)
        return asked


@pytest.mark.parametrize("kind", [FailureKind.UNSENT, FailureKind.BROKEN, FailureKind.BUSY, FailureKind.DECLINED])
def test_what_is_no_fault_of_the_request_goes_to_the_next_each_once(kind: FailureKind) -> None:
    assert Board().asked(kind) == list(ALL)


def test_what_has_failed_is_asked_to_think_otherwise_only_after_all_others() -> None:
    harder = replace(SMALL, effort=Effort.HIGH)

    assert Board().asked(FailureKind.DECLINED, (SMALL, harder, LARGE)) == [SMALL, LARGE, harder]


def test_a_request_that_is_too_long_goes_to_larger_windows_only() -> None:
    assert Board().asked(FailureKind.TOO_LONG) == [SMALL, LARGE, LARGEST]


def test_a_request_that_is_wrong_goes_nowhere_else() -> None:
    assert Board().asked(FailureKind.CALLERS) == [SMALL]


def test_with_our_account_used_up_nobody_at_that_provider_is_asked() -> None:
    assert Board().asked(FailureKind.ACCOUNT) == [SMALL]


def test_one_that_failed_too_often_is_passed_over_unless_there_is_nobody_else() -> None:
    board = Board()
    for _ in range(5):
        board.availability.failed(SMALL.deployment, refused(FailureKind.BROKEN))

    assert board.asked(FailureKind.DECLINED) == [TWIN, LARGE, LARGEST]
    assert board.asked(FailureKind.DECLINED, (SMALL,)) == [SMALL]


def test_one_that_says_not_now_is_not_asked_even_if_there_is_nobody_else() -> None:
    board = Board()
    board.availability.failed(SMALL.deployment, refused(FailureKind.BUSY, retry_after_s=40))
    failover = Failover((SMALL,), board.availability, board.retries)

    assert failover.next(is_first_call=True) is None
    assert failover.nobody().retry_after_s == 40
    assert (failover.nobody().status, failover.nobody().code) == (503, "upstream_busy")


def test_without_anything_left_for_retries_only_the_first_is_asked() -> None:
    board = Board()
    while board.retries.spend():
        pass

    assert board.asked(FailureKind.BROKEN) == [SMALL]


def test_one_that_is_tried_again_and_does_not_fit_the_budget_may_be_tried_by_others() -> None:
    board = Board()
    for _ in range(5):
        board.availability.failed(SMALL.deployment, refused(FailureKind.BROKEN))
    failover = Failover((SMALL, LARGE), board.availability, board.retries)

    first = failover.next(is_first_call=True)
    assert first == LARGE
    with pytest.raises(Unavailable), board.availability.asking(first.deployment):
        raise Unavailable("no money for it")
    assert failover.next(is_first_call=True) is None


@pytest.mark.parametrize(
    ("error", "pause_left_s", "least_s", "most_s"),
    [
        (refused(FailureKind.BROKEN), None, 0.0, 0.2),
        (refused(FailureKind.UNSENT), 1.0, 0.0, 0.2),
        (refused(FailureKind.BUSY), 1.0, 1.0, 1.2),
    ],
)
def test_what_may_pass_is_waited_for_at_random_and_twice(
    error: UpstreamError, pause_left_s: float | None, least_s: float, most_s: float
) -> None:
    jitter = random.Random(1)

    def waits(passes: int) -> list[float | None]:
        return [wait_s(error, passes=passes, pause_left_s=pause_left_s, jitter=jitter) for _ in range(200)]

    first, second = waits(1), waits(2)
    assert all(each is not None and least_s <= each <= most_s for each in first)
    assert max(each or 0 for each in second) > most_s
    assert len(set(first)) == 200
    assert set(waits(3)) == {None}


@pytest.mark.parametrize(
    "error",
    [
        refused(FailureKind.CALLERS),
        refused(FailureKind.TOO_LONG),
        refused(FailureKind.DECLINED),
        refused(FailureKind.ACCOUNT),
        refused(FailureKind.BROKEN, may_be_owed=True),
        UpstreamBroken("", provider="cloud"),
    ],
)
def test_what_does_not_pass_or_may_be_billed_is_not_waited_for(error: UpstreamError) -> None:
    assert wait_s(error, passes=1, pause_left_s=None, jitter=random.Random(1)) is None


def test_nobody_waits_for_a_deployment_that_wants_more_than_two_seconds() -> None:
    error = refused(FailureKind.BUSY)

    assert wait_s(error, passes=1, pause_left_s=2.1, jitter=random.Random(1)) is None


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (refused(FailureKind.BROKEN), ALL),
        (refused(FailureKind.BUSY), ALL),
        (refused(FailureKind.UNSENT), ALL),
        (refused(FailureKind.DECLINED), (SMALL, LARGE, LARGEST)),
        (refused(FailureKind.ACCOUNT), (SMALL, LARGE, LARGEST)),
        (refused(FailureKind.BROKEN, may_be_owed=True), (SMALL, LARGE, LARGEST)),
        (refused(FailureKind.TOO_LONG), (LARGE, LARGEST)),
    ],
)
def test_only_who_may_serve_the_request_and_owes_nothing_is_asked_once_more(
    error: UpstreamError, left: tuple[Candidate, ...]
) -> None:
    assert once_more(ALL, [(TWIN, error), (LARGEST, refused(FailureKind.BROKEN))]) == left
