"""Whole answers of the Messages API, and the figures in its streams, as the facts that we act on: `MessageReader`.

They are read as the chat answer that would say the same, so that what is plausible is judged in one place
(`ReplyReader`). Anthropic's `input_tokens` leave out what was read from the prompt cache and written to it; ours do
not.
"""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from router.wire.foreign import UNREADABLE
from router.wire.messages_api.errors import with_status
from router.wire.replies import Bill, ReplyFacts, ReplyReader, read_object

# In the words of a chat, which the ledger keeps and the checks of policies know.
FINISHES: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
_NOTHING = frozenset({b"null", b"false", b'""', b"{}"})


class _Details(Struct):
    thinking_tokens: int | None = None


class _Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _Details | None = None
    cost: Raw | UnsetType = UNSET


class MessageReader:
    """Reads answers; holds the decoders, which are costly to make and safe to share."""

    def __init__(self, reader: ReplyReader) -> None:
        self._reader = reader
        self._members = msgspec.json.Decoder(dict[str, Raw])
        self._usage = msgspec.json.Decoder(_Usage)

    def facts(self, body: bytes) -> ReplyFacts | None:
        """What a whole answer says, or None if it is not a JSON object."""
        try:
            members = self._members.decode(body)
        except UNREADABLE:
            return None
        error = self.error_in(members)
        return self._reader.facts(
            msgspec.json.encode(
                {
                    **{name: members[name] for name in ("id", "model", "provider") if name in members},
                    "choices": [{"finish_reason": self.finish(members)}] if _is_message(members) else [],
                    **self._chat_usage(self.usage_in(members)),
                    **({"error": Raw(error)} if error is not None else {}),
                }
            )
        )

    def bill(self, usage: Mapping[str, Raw]) -> Bill | None:
        """What a usage object says, or None if it lacks a count that a bill needs."""
        facts = self._reader.facts(msgspec.json.encode(self._chat_usage(usage)))
        return None if facts is None else facts.bill

    def usage_in(self, members: Mapping[str, Raw]) -> dict[str, Raw]:
        """The members of a usage object that say something."""
        try:
            usage = self._members.decode(members.get("usage", b"{}"))
        except UNREADABLE:
            return {}
        return {name: value for name, value in usage.items() if bytes(value) != b"null"}

    def finish(self, members: Mapping[str, Raw]) -> str | None:
        """Why an answer ended, in the words of a chat."""
        reason = _text(members.get("stop_reason"))
        return None if reason is None else FINISHES.get(reason, reason)

    def error_in(self, members: Mapping[str, Raw]) -> bytes | None:
        """The error object, with a status, or None if there is none."""
        error = members.get("error")
        if error is not None and bytes(error) not in _NOTHING:
            return with_status(bytes(error))
        return msgspec.json.encode(dict(members)) if _text(members.get("type")) == "error" else None

    def _chat_usage(self, usage: Mapping[str, Raw]) -> dict[str, object]:
        read = self._read_usage(usage)
        if read.input_tokens is None or read.output_tokens is None:
            return {}
        read_tokens, written_tokens = read.cache_read_input_tokens or 0, read.cache_creation_input_tokens or 0
        thinking_tokens = read.output_tokens_details.thinking_tokens if read.output_tokens_details is not None else None
        counts: dict[str, object] = {
            "prompt_tokens": read.input_tokens + read_tokens + written_tokens,
            "completion_tokens": read.output_tokens,
            "prompt_tokens_details": {"cached_tokens": read_tokens, "cache_write_tokens": written_tokens},
            "completion_tokens_details": {"reasoning_tokens": thinking_tokens or 0},
        }
        return {"usage": counts if read.cost is UNSET else {**counts, "cost": read.cost}}

    def _read_usage(self, usage: Mapping[str, Raw]) -> _Usage:
        """Without the members that have a type we do not expect."""
        return read_object(self._usage, msgspec.json.encode(dict(usage)), _Usage) or _Usage()


def _is_message(members: Mapping[str, Raw]) -> bool:
    return bytes(members.get("content", b"null"))[:1] == b"["


def _text(member: Raw | None) -> str | None:
    try:
        return None if member is None else msgspec.json.decode(member, type=str)
    except UNREADABLE:
        return None
