"""`/v1/moderations`: what is asked. It goes as it came to a provider that judges texts, and so does its answer."""

from router.apis import Api
from router.wire.prompts import PromptReader, refuse_stream
from router.wire.requests import ChatReader, ModelRequest

DEFAULT_MODEL = "omni-moderation-latest"  # where a request names none (OpenAI's API reference, 2026)
_UNTRANSLATABLE = "texts are to be judged by a model made for that"


class ModerationReader:
    """Reads requests for moderation."""

    def __init__(self, chats: ChatReader) -> None:
        self._reader = PromptReader(chats)

    def read(self, body: bytes) -> ModelRequest:
        """The request in `body`. Raises InvalidRequest naming the member at fault and what was expected there."""
        members = self._reader.members(body)
        request = self._reader.request(
            Api.MODERATIONS,
            members,
            self._reader.judged(members, "input"),
            without=("input", "n", "best_of"),
            untranslatable=_UNTRANSLATABLE,
            body_bytes=len(body),
            model=DEFAULT_MODEL,
        )
        refuse_stream(request, "judgements")
        return request
