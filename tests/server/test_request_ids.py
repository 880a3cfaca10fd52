"""The ids that requests are given."""

import random
import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from router.assembly.clock import request_id_at

_moments = st.datetimes(datetime(2020, 1, 1), datetime(2070, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware


@given(now=_moments, later_s=st.integers(1, 10**9))
def test_ids_are_in_the_order_of_their_seconds(now: datetime, later_s: int) -> None:
    chance = random.Random(0)
    earlier, later = request_id_at(now, chance), request_id_at(now + timedelta(seconds=later_s), chance)

    assert earlier < later
    assert re.fullmatch("req_[0-9a-f]{24}", earlier)


def test_ids_of_one_moment_differ() -> None:
    now = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    chance = random.Random(0)

    assert len({request_id_at(now, chance) for _ in range(10_000)}) == 10_000
