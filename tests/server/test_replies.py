"""Bodies in, answers out: nothing too large is read, and every error carries what OpenAI's SDKs look for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from router.errors import (
    BodyTooLarge,
    BudgetExhausted,
    InvalidRequest,
    PenstockError,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UnsupportedEncoding,
    UpstreamRefused,
)
from router.server.replies import ClientGone, one_header, read_body, send_error, send_json
from tests.server.asgi import Answer, Incoming, body_in_parts, call, scope_of

pytestmark = pytest.mark.anyio


async def answer_to(error: PenstockError, *, request_id: str | None = None) -> Answer:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send_error(send, error, request_id=request_id)

    return await call(app, scope_of())


# Bodies


@pytest.mark.parametrize("parts", [(b"",), (b"whole",), (b"in ", b"", b"three parts")])
async def test_a_body_is_read_whole_however_it_arrives(parts: tuple[bytes, ...]) -> None:
    assert await read_body(scope_of(), body_in_parts(*parts), limit_bytes=100) == b"".join(parts)


async def test_a_body_may_be_as_large_as_the_limit() -> None:
    honest = [("content-length", "10")]

    assert await read_body(scope_of(headers=honest), body_in_parts(b"x" * 10), limit_bytes=10) == b"x" * 10


async def test_a_body_that_announces_too_much_is_refused_before_any_of_it_is_read() -> None:
    announced = scope_of(headers=[("content-length", "11")])

    with pytest.raises(BodyTooLarge, match="larger than 10 bytes"):
        await read_body(announced, Incoming(), limit_bytes=10)


@pytest.mark.parametrize("announced", [[("content-length", "3")], [], [("content-length", "-1")]])
async def test_a_body_that_turns_out_too_large_is_refused_whatever_was_announced(
    announced: list[tuple[str, str]],
) -> None:
    endless = body_in_parts(*[b"xxxx"] * 1_000)

    with pytest.raises(BodyTooLarge):
        await read_body(scope_of(headers=announced), endless, limit_bytes=10)

    assert len(endless.left) == 997  # the third part was too much; nothing after it was read


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", ""])
async def test_a_compressed_body_is_refused(encoding: str) -> None:
    compressed = scope_of(headers=[("content-encoding", encoding)])

    with pytest.raises(UnsupportedEncoding, match="send the JSON as it is"):
        await read_body(compressed, body_in_parts(b"x"), limit_bytes=10)


async def test_a_body_may_say_that_it_is_not_compressed() -> None:
    plain = scope_of(headers=[("content-encoding", "Identity")])

    assert await read_body(plain, body_in_parts(b"x"), limit_bytes=10) == b"x"


@pytest.mark.parametrize("begun", [(), ({"type": "http.request", "body": b"half", "more_body": True},)])
async def test_a_client_that_hangs_up_before_its_request_is_complete_is_not_answered(
    begun: tuple[dict[str, object], ...],
) -> None:
    with pytest.raises(ClientGone):
        await read_body(scope_of(), Incoming(*begun), limit_bytes=10)


# Headers


def test_a_header_is_read_once_or_not_at_all() -> None:
    scope = scope_of(headers=[("accept", "text/plain"), ("x", "1")])

    assert one_header(scope, b"accept") == "text/plain"
    assert one_header(scope, b"authorization") is None


def test_a_header_that_is_sent_twice_is_refused_even_if_both_are_the_same() -> None:
    scope = scope_of(headers=[("authorization", "Bearer a"), ("Authorization", "Bearer a")])

    with pytest.raises(InvalidRequest, match="Header authorization was sent twice"):
        one_header(scope, b"authorization")


# Answers


async def test_json_is_sent_with_its_length() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, {"status": "ok"}, status=201, headers=[(b"x-request-id", b"req_1")])

    answer = await call(app, scope_of())

    assert answer.status == 201
    assert answer.json == {"status": "ok"}
    assert answer.headers == {
        "content-type": "application/json",
        "x-request-id": "req_1",
        "content-length": str(len(answer.body)),
    }


async def test_an_error_has_openais_shape() -> None:
    answer = await answer_to(InvalidRequest("No.", param="limit"), request_id="req_1")

    assert answer.status == 400
    assert answer.error == {
        "message": "No.",
        "type": "invalid_request_error",
        "param": "limit",
        "code": "invalid_request",
        "request_id": "req_1",
    }


EXHAUSTED = BudgetExhausted("Spent.", asked_nano_usd=2, left_nano_usd=1, resets_in_s=60.0, may_downgrade=False)


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (InvalidRequest("No."), 400, {"x-should-retry": "false"}),
        (Unauthenticated("Who?"), 401, {"x-should-retry": "false", "www-authenticate": "Bearer"}),
        (BodyTooLarge("Large."), 413, {"x-should-retry": "false", "connection": "close"}),
        (UnsupportedEncoding("Gzip."), 415, {"x-should-retry": "false", "connection": "close"}),
        (EXHAUSTED, 429, {"x-should-retry": "false"}),
        (
            RateLimited("Slow.", retry_after_s=1.2),
            429,
            {"x-should-retry": "true", "retry-after": "2", "retry-after-ms": "1200"},
        ),
        (
            RateLimited("Slow.", retry_after_s=100_000),  # an SDK that is told to wait that long does not wait at all
            429,
            {"x-should-retry": "true", "retry-after": "120", "retry-after-ms": "120000"},
        ),
        (Unavailable("Later."), 503, {"x-should-retry": "true", "retry-after": "1", "retry-after-ms": "1000"}),
        (UpstreamRefused("Bad.", provider="p", upstream_status=500), 502, {"x-should-retry": "true"}),
        (PenstockError("Ours."), 500, {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PenstockError) else "",
)
async def test_an_error_says_by_its_headers_whether_and_when_to_try_again(
    error: PenstockError, status: int, headers: dict[str, str]
) -> None:
    answer = await answer_to(error)

    assert answer.status == status
    always = {"content-type": "application/json", "content-length": str(len(answer.body))}
    assert answer.headers == always | headers


@given(retry_after_s=st.floats(0.001, 10_000))
async def test_nobody_is_told_to_come_back_too_early(retry_after_s: float) -> None:
    headers = (await answer_to(RateLimited("Slow.", retry_after_s=retry_after_s))).headers

    assert int(headers["retry-after"]) >= int(headers["retry-after-ms"]) / 1000 >= min(retry_after_s, 120)
