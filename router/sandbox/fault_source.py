"""Which fault a request meets.

It asks for one by the header `x-sandbox-fault: NAME`, by `[sandbox:fault=NAME]` in the text of any message (which
survives a proxy), or behind the model's name: `deepseek/deepseek-v4-flash#NAME`. `NAME:ARGUMENT` chooses a size, a
time or a code where the fault takes one. `NAME@MODEL` applies only when that model is asked, so that a fallback can be
seen to work. Who asks for nothing meets what the scenario says, else an outage, else what the lot draws.
"""

import random
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from router.sandbox.faults import FAULTS, NO_FAULT, Fault
from router.sandbox.json_text import JsonObject
from router.sandbox.refusals import invalid
from router.sandbox.requests import ChatRequest, text_of

HEADER = "x-sandbox-fault"

_AT_RANDOM: Mapping[str, float] = MappingProxyType(
    {name: 1.0 for name, fault in FAULTS.items() if fault.comes_at_random}
)
_MARKER = re.compile(r"\[sandbox:fault=([^\]\s]+)\]")


def fault_named(wish: str) -> Fault:
    """The fault of that `NAME` or `NAME:ARGUMENT`. Raises Refusal (400) for an unknown name or an unfit argument."""
    name, has_argument, argument = wish.partition(":")
    fault = FAULTS.get(name)
    if fault is None:
        raise invalid(f"The sandbox knows no fault {name!r}; it knows {', '.join(FAULTS)}")
    if not has_argument:
        return fault
    given = fault.with_argument(argument)
    if given is None:
        raise invalid(f"The fault {name!r} takes {fault.takes or 'no argument'}, not {argument!r}")
    return given


class FaultSource:
    """Decides what goes wrong with each request."""

    def __init__(self, *, rate: float, seed: random.Random) -> None:
        self._rate = rate
        self._seed = seed
        self._weights = _AT_RANDOM

    def draw_from(self, weights: Mapping[str, float] | None, *, rate: float) -> None:
        """From now on the share `rate` of requests goes wrong, each fault as often as its weight says.

        Without weights, all that may come at random, equally often.
        """
        self._rate = rate
        self._weights = _AT_RANDOM if weights is None else weights

    def as_json(self) -> JsonObject:
        """What is set."""
        return {"rate": self._rate, "weights": dict(self._weights)}

    def wished(self, request: ChatRequest, *, header: str | None, model: str) -> Fault | None:
        """The fault this request asks for when `model` is tried. Raises Refusal (400) for an unknown one."""
        for wish in _wishes(request, header):
            name, _, only_model = wish.partition("@")
            fault = fault_named(name)
            if only_model in ("", model):
                return fault
        return None

    def drawn(self) -> Fault:
        """One by lot, mostly none."""
        if self._rate > 0 and self._seed.random() < self._rate:
            (name,) = self._seed.choices(list(self._weights), list(self._weights.values()))
            return fault_named(name)
        return NO_FAULT


def _wishes(request: ChatRequest, header: str | None) -> Iterator[str]:
    if header:
        yield header
    for message in request.messages:
        if "[sandbox:fault=" in (text := text_of(message)):
            yield from _MARKER.findall(text)
