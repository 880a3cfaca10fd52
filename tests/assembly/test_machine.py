"""How much one process takes upon itself, by the files that it may open."""

from itertools import count

import pytest

from router.assembly.machine import most_under_way
from router.limits.shares import Shares
from router.server.listen import ADMIN_CONNECTIONS, MOST_CONNECTIONS, most_connections

_OF_OUR_OWN = 64  # the journal, the ledger, listening sockets, the loop's own


@pytest.mark.parametrize("files", [1_024, 4_096, 20_000, 65_536, 1 << 20])
def test_there_is_a_file_for_every_connection_and_every_call_to_a_provider(files: int) -> None:
    connections = sum(most_connections(files, share) for share in (MOST_CONNECTIONS, ADMIN_CONNECTIONS))

    assert connections + most_under_way(files) + _OF_OUR_OWN <= files
    assert most_under_way(files) <= most_connections(files, MOST_CONNECTIONS)


def test_who_is_alone_may_have_eight_thousand_streams_where_there_are_files_for_them() -> None:
    shares = Shares(most_under_way=most_under_way(20_000), weight_of=lambda _: 1.0, monotonic_s=lambda: 0.0)

    let_in = next(number for number in count() if shares.enter("search") is not None)

    assert let_in >= 8_000
    assert shares.enter("research") is None  # there is room for others yet


def test_without_a_limit_on_files_there_is_one_on_requests() -> None:
    assert most_under_way(-1) == most_under_way(1 << 20) < most_connections(-1, MOST_CONNECTIONS)
