"""Answers that come whole and never as a stream, with nothing in them that a policy verifies: `WholeDialect`."""

from collections.abc import Callable, Sequence

from router.apis import Api
from router.wire.answers import Answer
from router.wire.dialect import Editor, InOpenAIsWords
from router.wire.requests import ModelRequest

AsAsked = Callable[[bytes, ModelRequest], bytes]


def as_it_came(body: bytes, _: ModelRequest) -> bytes:
    return body


class WholeDialect(InOpenAIsWords):
    """Embeddings and moderations. Their readers let no request through that asks for a stream."""

    def __init__(self, as_asked: AsAsked = as_it_came) -> None:
        """`as_asked` gives an answer the form in which it was asked for. Raises ValueError if it is no such answer."""
        self._as_asked = as_asked

    def editor(self, _: ModelRequest, __: Api, ___: int = 0) -> Editor:
        raise AssertionError("nothing is streamed by this API")

    def whole(self, body: bytes, request: ModelRequest, _: Api) -> bytes:
        return self._as_asked(body, request)

    def as_stream(self, _: bytes) -> bytes:
        raise AssertionError("nothing is streamed by this API")

    def said(self, _: bytes) -> Sequence[Answer]:
        return ()

    def said_in_events(self, _: bytes) -> Sequence[Answer]:
        return ()
