"""`POST /v1/feedback`: a client says how good an answer was, by the `x-request-id` it came with."""

from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from router.errors import PenstockError
from router.gateway.feedback import MOST_BYTES, Feedback
from router.server.auth import CALLER
from router.server.replies import ClientGone, read_body, refuse, send_json


class FeedbackEndpoint:
    """Takes one score a request."""

    def __init__(self, feedback: Feedback, *, refused: Callable[[str], None]) -> None:
        self._feedback = feedback
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(scope, receive, limit_bytes=MOST_BYTES)
            taken = await self._feedback.take(scope[CALLER], body)
        except PenstockError as error:
            self._refused(error.code)
            await refuse(scope, send, error)
            return
        except ClientGone:
            return
        await send_json(
            send,
            {
                "object": "feedback",
                "request_id": taken.request_id,
                "verdict": taken.verdict.value,
                "is_new": taken.is_new,
                "is_learned": taken.is_learned,
            },
        )
