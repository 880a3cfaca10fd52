"""A stream that its client has given up: read to its end for the bill, closed at once, and never too many read on."""

from collections.abc import Callable
from contextlib import aclosing

import anyio
import pytest

from router.apis import Api
from router.catalog.catalog import ProviderName
from router.errors import UpstreamBroken
from router.gateway.answer import StreamedAnswer
from router.units import Usage
from router.upstream.client import UpstreamReply
from router.upstream.faults import ReadError
from router.wire.dialect import ChatDialect
from router.wire.replies import ReplyReader
from router.wire.requests import ChatReader

pytestmark = pytest.mark.anyio

REQUEST = ChatReader().read(b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}')
BEGUN = (
    b'data: {"id":"gen-1","model":"m","provider":"%s","choices":[{"index":0,"delta":{"content":"Hel"},'
    b'"finish_reason":null}]}\n\n'
)
END = (
    b'data: {"id":"gen-1","model":"m","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"gen-1","model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,'
    b'"cost":0.000001}}\n\ndata: [DONE]\n\n'
)


class Body:
    """What a provider sends, and whether it was asked for all of it."""

    status = 200
    headers = ((b"content-type", b"text/event-stream"),)

    def __init__(self, *parts: bytes) -> None:
        self.left = list(parts)
        self.is_closed = False

    async def read_chunk(self) -> bytes | None:
        return self.left.pop(0) if self.left else None

    async def pump(self, sink: Callable[[bytes], bool]) -> bool:
        while (chunk := await self.read_chunk()) is not None:
            if not sink(chunk):
                return True
        return False

    async def aclose(self) -> None:
        self.is_closed = True


class Breaking(Body):
    """Breaks off where it should end."""

    async def read_chunk(self) -> bytes | None:
        if self.left:
            return self.left.pop(0)
        raise ReadError("reset by peer")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def answer_of(body: Body, drains: anyio.CapacityLimiter) -> StreamedAnswer:
    name = ProviderName("openrouter")
    reader = ReplyReader()
    editor = ChatDialect(reader).editor(REQUEST, Api.CHAT)
    return StreamedAnswer(UpstreamReply(body, provider=name), editor, provider=name, reader=reader, drains=drains)


async def given_up(body: Body, drains: anyio.CapacityLimiter) -> StreamedAnswer:
    """An answer that has begun, whose client hangs up."""
    answer = answer_of(body, drains)
    await answer.begin()
    await answer.finish()
    return answer


async def test_a_stream_that_is_billed_to_its_end_is_read_to_its_end() -> None:
    body, drains = Body(BEGUN % b"Google", END), anyio.CapacityLimiter(1)

    answer = await given_up(body, drains)

    assert answer.bill is not None
    assert answer.bill.usage == Usage(input_tokens=9, output_tokens=2)
    assert body.is_closed
    assert drains.borrowed_tokens == 0


async def test_a_stream_whose_bill_stops_when_it_is_closed_is_closed_at_once() -> None:
    body = Body(BEGUN % b"DeepInfra", END)

    answer = await given_up(body, anyio.CapacityLimiter(1))

    assert answer.bill is None
    assert body.left == [END]
    assert body.is_closed


async def test_no_more_streams_are_read_on_than_there_are_places_for_it() -> None:
    body, drains = Body(BEGUN % b"Google", END), anyio.CapacityLimiter(1)
    drains.acquire_on_behalf_of_nowait("another stream")

    answer = await given_up(body, drains)

    assert answer.bill is None  # its record will be asked for
    assert answer.generation_id == "gen-1"
    assert body.left == [END]
    assert body.is_closed
    assert drains.borrowed_tokens == 1


async def test_a_connection_that_breaks_after_the_last_word_cuts_nothing() -> None:
    """The client had everything, and the ledger and the breaker were told that it had not."""
    answer = answer_of(Breaking(BEGUN % b"Google", END), anyio.CapacityLimiter(1))
    await answer.begin()
    async with aclosing(answer.events(request_id="req_1")) as events:
        told = b"".join([event async for event in events])
    await answer.finish()

    assert told.endswith(b"data: [DONE]\n\n")
    assert answer.cut is None
    assert answer.bill is not None


@pytest.mark.parametrize("takes", [0, 1, 2, 9])
async def test_what_is_taken_as_it_comes_is_not_yielded_and_nothing_is_lost_or_overtaken(takes: int) -> None:
    said = [(BEGUN % b"Google").replace(b"Hel", b"%d" % number) for number in range(5)]
    answer = answer_of(Body(*said, END), anyio.CapacityLimiter(1))
    told: list[bytes] = []
    taken: list[bytes] = []

    def take(events: bytes) -> bool:
        if len(taken) < takes:
            told.append(events)
            taken.append(events)
        return len(taken) < takes or told[-1] is events

    await answer.begin()
    async with aclosing(answer.events(request_id="req_1", take=take)) as events:
        async for event in events:
            told.append(event)  # noqa: PERF401  both write to it
    await answer.finish()

    assert len(taken) == min(takes, 5)
    assert [event for event in told if event] == [*said, *told[-2:]]
    assert told[-1].endswith(b"data: [DONE]\n\n")
    assert answer.cut is None


async def test_a_connection_that_breaks_before_the_last_word_cuts_the_answer() -> None:
    answer = answer_of(Breaking(BEGUN % b"Google"), anyio.CapacityLimiter(1))
    await answer.begin()
    async with aclosing(answer.events(request_id="req_1")) as events:
        told = b"".join([event async for event in events])
    await answer.finish()

    assert b"[DONE]" not in told
    assert isinstance(answer.cut, UpstreamBroken)


@pytest.mark.parametrize(("by", "is_closed"), [(b"DeepInfra", True), (b"Google", False), (b"Somebody New", False)])
async def test_an_answer_that_is_given_up_in_the_middle_is_closed_where_that_stops_its_bill(
    by: bytes, is_closed: bool
) -> None:
    body = Body(BEGUN % by, END)
    answer = answer_of(body, anyio.CapacityLimiter(1))
    await answer.begin()

    await answer.give_up()
    closed_at_once = body.is_closed
    await answer.finish()

    assert closed_at_once is is_closed
    assert answer.cut is None  # nobody broke off but we
    assert (answer.bill is None) is is_closed
