"""The trace of a request is the one its client names, if he names one as W3C Trace Context says."""

import pytest

from router.wire.trace_context import trace_id_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "value",
    [
        f"00-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-00",
        f" 00-{TRACE}-00f067aa0ba902b7-01\t",
        f"cc-{TRACE}-00f067aa0ba902b7-01",
        f"cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-will-bring",
    ],
)
def test_a_trace_that_is_named_is_read(value: str) -> None:
    assert trace_id_of([(b"host", b"localhost"), (b"traceparent", value.encode())]) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "",
        TRACE,
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01-more",
        f"cc-{TRACE}-00f067aa0ba902b7-01more",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7",
        f"00-{TRACE}\n-00f067aa0ba902b7-01",
    ],
)
def test_what_is_not_one_is_left_alone(value: str) -> None:
    assert trace_id_of([(b"traceparent", value.encode())]) is None


def test_two_of_them_or_none_name_no_trace() -> None:
    one = (b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())

    assert trace_id_of([]) is None
    assert trace_id_of([one, one]) is None
