"""What every streamed or whole answer has in common: server-sent events, and who knows how to word them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from router.sandbox.billing import Charge, Tokens
from router.sandbox.faults import Break, Quirk
from router.sandbox.json_text import JsonObject, encode

DONE = b"data: [DONE]\n\n"

UPSTREAM_ERROR: JsonObject = {
    "code": 502,
    "message": "Provider returned error",
    "metadata": {"error_type": "provider_unavailable"},
}
"""What becomes of an answer whose provider fails halfway (wire, 2026-10)."""
LIMIT_ERROR: JsonObject = {"code": 400, "message": "Token limit reached"}
"""An error that came after the finish (wire, 2025-11)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a stream and what it adds to the bill; thinking that is not shown has no events."""

    index: int
    events: tuple[JsonObject, ...]
    tokens: int
    is_reasoning: bool = False


def event(chunk: object) -> bytes:
    """One server-sent event."""
    return b"data: %b\n\n" % encode(chunk)


def money_told(cost: Charge, quirk: Quirk | None, *, prompt: str, completion: str) -> JsonObject:
    """What a usage says of money, the two parts by the names that the API has for them; nothing if it tells none."""
    if quirk is Quirk.NO_COST:
        return {}
    told: JsonObject = {"cost": cost.total_usd}
    if quirk is not Quirk.NO_BYOK:
        told["is_byok"] = False
    told["cost_details"] = {
        "upstream_inference_cost": cost.total_usd,
        f"upstream_inference_{prompt}_cost": cost.prompt_usd,
        f"upstream_inference_{completion}_cost": cost.completion_usd,
    }
    return told


class Dialect(Protocol):
    """How one order is put into bytes when it is answered as a whole."""

    api_type: str  # what OpenRouter's record calls it

    def headers(self) -> Mapping[str, str]:
        """Headers besides the content's type and length."""

    def usage(self, tokens: Tokens, cost: Charge) -> JsonObject:
        """The usage object."""

    def whole(self, usage: JsonObject) -> JsonObject:
        """The body."""

    def whole_broken(self) -> JsonObject:
        """The body when half of it came and then an error."""

    def error_body(self) -> JsonObject:
        """The body with an error and no answer that goes with status 200."""


@runtime_checkable
class StreamDialect(Dialect, Protocol):
    """The same, and how it is streamed: opening, steps, finishing, ending, unless it breaks."""

    def opening(self) -> bytes:
        """The events before the first step."""

    def steps(self) -> Sequence[Step]:
        """The stream but for its frame."""

    def worded(self, step: Step) -> bytes:
        """One step; called in their order."""

    def finishing(self) -> bytes:
        """The events that say why it ends."""

    def ending(self, usage: JsonObject) -> bytes:
        """The usage and what ends the stream."""

    def broken(self, breaks: Break, index: int) -> bytes:
        """The events of an error halfway through a choice, and the end of the stream."""

    def broken_after_finish(self, usage: JsonObject) -> bytes:
        """The events of an error when all has been said."""
