"""`traceparent` and `tracestate` are read as W3C Trace Context says, and what is neither is no error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.trace_context import TraceContext, trace_context, trace_headers, trace_id_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


def read(parent: bytes, *states: bytes) -> TraceContext | None:
    return trace_context([(b"traceparent", parent), *((b"tracestate", state) for state in states)])


def state_of(*states: bytes) -> bytes:
    context = read(PARENT, *states)
    assert context is not None
    return context.state


@pytest.mark.parametrize(
    ("flags", "is_sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)]
)
def test_a_traceparent_says_trace_parent_and_whether_it_is_recorded(flags: str, *, is_sampled: bool) -> None:
    assert read(f"00-{TRACE}-{SPAN}-{flags}".encode()) == TraceContext(TRACE, SPAN, is_sampled)


@pytest.mark.parametrize("later", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-the-future-holds"])
def test_a_later_version_is_read_as_far_as_it_is_known(later: str) -> None:
    assert read(later.encode()) == TraceContext(TRACE, SPAN, is_sampled=True)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"ff" + PARENT[2:],
        PARENT + b"-more",
        PARENT[:-1],
        PARENT + b"0",
        PARENT.upper(),
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE[1:]}-{SPAN}-01".encode(),
        f"00-{TRACE}-{SPAN}-0g".encode(),
        f"00 {TRACE} {SPAN} 01".encode(),
        f"01-{TRACE}-{SPAN}-01x".encode(),
        "00-０af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".encode(),
    ],
)
def test_what_is_no_traceparent_is_ignored_with_its_state(wrong: bytes) -> None:
    assert read(wrong, b"a=1") is None
    assert trace_id_of([(b"traceparent", wrong)]) is None


def test_two_traceparents_are_none() -> None:
    assert trace_context([(b"traceparent", PARENT), (b"traceparent", PARENT)]) is None


@pytest.mark.parametrize(
    ("states", "passed_on"),
    [
        ((b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",), b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ((b"a=1", b" b=2 ,\t,c=3"), b"a=1,b=2,c=3"),
        ((b"tenant-1@sys=x y",), b"tenant-1@sys=x y"),
        ((b"a=1,a=2",), b""),
        ((b"A=1",), b""),
        ((b"a=1,b",), b""),
        ((b"a=1=2",), b""),
        ((b"a=\xc3\xa9",), b""),
        ((b"a=1\r\nx-evil: 1",), b""),
        ((b",".join(b"k%d=v" % number for number in range(32)),), b",".join(b"k%d=v" % n for n in range(32))),
        ((b",".join(b"k%d=v" % number for number in range(33)),), b""),
    ],
)
def test_the_state_is_passed_on_whole_or_not_at_all(states: tuple[bytes, ...], passed_on: bytes) -> None:
    assert state_of(*states) == passed_on


def test_of_a_state_that_is_too_long_long_members_go_first_then_the_last() -> None:
    long, short = b"long=" + b"x" * 200, [b"k%02d=" % number + b"v" * 90 for number in range(6)]

    assert state_of(b",".join([long, *short[:3]])) == b",".join([long, *short[:3]])  # 205 + 3 * 95 = 490 bytes
    assert state_of(b",".join([long, *short])) == b",".join(short[:5])  # 5 * 94 + 4 = 474 bytes
    assert len(state_of(b",".join(short))) <= 512


@given(st.binary(max_size=80), st.lists(st.binary(max_size=80), max_size=3))
def test_whatever_comes_is_read_without_an_error_and_what_goes_out_is_one_line(
    parent: bytes, states: list[bytes]
) -> None:
    read(parent, *states)
    state = state_of(*states)

    assert all(0x20 <= byte < 0x7F for byte in state)
    assert state_of(state) == state


def test_what_is_sent_can_be_read() -> None:
    sent = trace_headers(TRACE, SPAN, is_sampled=True, state=b"a=1")

    assert sent == ((b"traceparent", PARENT), (b"tracestate", b"a=1"))
    assert trace_context(sent) == TraceContext(TRACE, SPAN, is_sampled=True, state=b"a=1")
    assert trace_headers(TRACE, SPAN, is_sampled=False, state=b"") == ((b"traceparent", PARENT[:-1] + b"0"),)
