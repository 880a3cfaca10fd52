"""How many answers the experiments hold a request to be about: as many as the proxy prices, and no more."""

import json

import pytest

from router.wire.completions import CompletionReader
from router.wire.requests import ChatReader
from tests.torture.obliging_upstream import ObligingUpstream


@pytest.mark.parametrize(
    ("members", "answers"),
    [
        ({"prompt": "a river"}, 1),
        ({"prompt": ["a river"]}, 1),
        ({"prompt": ["a river", "a lake"]}, 2),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [1] * 20_000}, 1),
        ({"prompt": [[1, 2, 3], [4]]}, 2),
        ({"prompt": [1, 2, 3], "n": 3}, 3),
        ({"prompt": [[1, 2, 3], [4]], "n": 2, "best_of": 5}, 10),
        ({"prompt": ["a river", [1, 2, 3]], "best_of": 2}, 4),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_answers_that_a_provider_may_bill_are_those_that_are_priced(
    members: dict[str, object], answers: int
) -> None:
    body = json.dumps({"model": "m", "max_tokens": 16, **members}).encode()
    upstream = ObligingUpstream()

    upstream.answer("/v1/completions", body)

    (asked,) = upstream.asked.values()
    assert (asked.answers, asked.limit) == (answers, 16)
    assert CompletionReader(ChatReader()).read(body).choices == answers


def test_a_number_of_more_digits_than_python_reads_is_a_number() -> None:
    upstream = ObligingUpstream()

    upstream.answer("/v1/completions", b'{"model":"m","prompt":[%b],"max_tokens":16}' % (b"9" * 5_000))

    (asked,) = upstream.asked.values()
    assert (asked.answers, upstream.faults) == (1, [])
