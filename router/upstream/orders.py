"""What a decision orders beside the client's own words, and how OpenRouter is told, by whichever API it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw

from router.catalog.catalog import Effort
from router.catalog.prices import Rates
from router.decision.data_rules import NO_DATA_RULES, DataRules
from router.decision.estimate import Estimate
from router.wire.requests import ModelRequest

# Members that only OpenRouter understands; other servers refuse what they do not know.
OPENROUTER_ONLY = ("provider", "transforms", "usage", "session_id", "trace", "debug")

# How much of the output limit OpenRouter gives to thinking (openrouter.md §1.1).
_SHARE_OF_LIMIT = {
    Effort.NONE: 0.0,
    Effort.MINIMAL: 0.1,
    Effort.LOW: 0.2,
    Effort.MEDIUM: 0.5,
    Effort.HIGH: 0.8,
    Effort.XHIGH: 0.95,
    Effort.MAX: 0.95,
}


@dataclass(frozen=True, slots=True)
class Orders:
    """What a call is to say beside its limits."""

    effort: Effort | None = None  # None: as the client sent it
    data: DataRules = NO_DATA_RULES
    session_id: str | None = None  # for OpenRouter, unless the client has named the conversation itself


NO_ORDERS = Orders()


def said_to_openrouter(request: ModelRequest, estimate: Estimate, orders: Orders) -> dict[str, Any]:
    """`provider` with the ceiling on the price and the data rules; `session_id` if the client has none."""
    said: dict[str, Any] = {
        "provider": {
            **request.provider_preferences,
            **_data_preferences(orders.data),
            "max_price": _max_price(request.max_price, estimate.dearest_rates),
        }
    }
    if orders.session_id is not None and not request.names_conversation:
        said["session_id"] = orders.session_id
    return said


def thinking_tokens(effort: Effort, *, limit: int) -> int:
    """How many of the output tokens an effort gives to thinking."""
    return int(_SHARE_OF_LIMIT[effort] * limit)


def reasoning_at_openrouter(given: Raw | None, request: ModelRequest, effort: Effort, *, limit: int) -> dict[str, Any]:
    """The client's `reasoning`, changed so that it asks to think just so hard."""
    # What stands in it may be more than a number can hold: it goes as it came.
    members: dict[str, Raw] = msgspec.json.decode(given, type=dict[str, Raw] | None) or {} if given is not None else {}
    kept = {name: value for name, value in members.items() if name not in ("effort", "enabled", "max_tokens")}
    if request.reasoning_tokens is not None and effort is not Effort.NONE:
        # A budget in tokens was asked for: it stays, cut to what the effort would give. Only one of both may be sent.
        return {**kept, "max_tokens": max(1, min(request.reasoning_tokens, thinking_tokens(effort, limit=limit)))}
    return {**kept, "effort": effort.value}


def _data_preferences(rules: DataRules) -> dict[str, Any]:
    """The rules in OpenRouter's words (openrouter.md §1.2); what the client asked is contained in them already."""
    if rules is NO_DATA_RULES:
        return {}
    told: dict[str, Any] = {}
    if rules.zdr:
        told["zdr"] = True
    if rules.deny_collection:
        told["data_collection"] = "deny"
    if rules.only is not None:
        told["only"] = sorted(rules.only)
    if rules.ignore:
        told["ignore"] = sorted(rules.ignore)
    return told


def _max_price(asked: Mapping[str, Decimal], rates: Rates) -> dict[str, str]:
    """USD per million tokens, the lower of what the client asks and what was held."""
    ceilings = {"prompt": rates.input.scaleb(6), "completion": rates.output.scaleb(6)}
    for name, figure in asked.items():
        ceilings[name] = min(ceilings.get(name, figure), figure)
    return {name: f"{figure:f}" for name, figure in ceilings.items()}
