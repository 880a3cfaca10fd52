"""What an editor knows that turns the stream of a chat into one of another API: `OverChat`."""

from router.wire.replies import Bill
from router.wire.streams import StreamEditor


class OverChat:
    """The half of an `Editor` that the chat's own editor answers for it, since it reads what the provider sends."""

    __slots__ = ("_chat",)

    def __init__(self, chat: StreamEditor) -> None:
        self._chat = chat

    @property
    def bill(self) -> Bill | None:
        return self._chat.bill

    @property
    def error(self) -> bytes | None:
        return self._chat.error

    @property
    def finish_reason(self) -> str | None:
        return self._chat.finish_reason

    @property
    def generation_id(self) -> str | None:
        return self._chat.generation_id

    @property
    def served_model(self) -> str | None:
        return self._chat.served_model

    @property
    def serving_provider(self) -> str | None:
        return self._chat.serving_provider

    @property
    def has_begun(self) -> bool:
        return self._chat.has_begun

    @property
    def has_failed(self) -> bool:
        return self._chat.has_failed

    @property
    def is_done(self) -> bool:
        return self._chat.is_done

    @property
    def is_complete(self) -> bool:
        return self._chat.is_complete
