"""A plan of what goes wrong when: a JSON file that is played from the start, or a new one at any time.

    {"steps": [                               the first step that fits a request is met by it
         {"fault": "503",
          "model": "openai/gpt-5.4",          an id; without it all models
          "after": 10,                        so many requests that fit are spared first
          "times": 3}],                       so many meet it; without it all that follow
     "random": {"rate": 0.1,                  share of the other requests that goes wrong
                "weights": {"429": 3, "stall": 1}},   how often each fault; without it all that may come at random
     "market": {...}, "providers": {...}, "account": {...}}   what is set first: see `market`, `conduct`, `accounts`

`PUT /sandbox/scenario` plays another one from its beginning, `GET` shows how often each step was met, `DELETE` ends it.
"""

from dataclasses import dataclass, replace
from typing import TypeGuard

from router.sandbox.fault_source import fault_named
from router.sandbox.faults import Fault
from router.sandbox.json_text import JsonObject
from router.sandbox.offer import Offer
from router.sandbox.refusals import invalid


@dataclass(frozen=True, slots=True)
class _Step:
    fault: str
    model: str | None
    after: int
    times: int | None
    seen: int = 0

    @property
    def met(self) -> int:
        """How many requests have met it."""
        past = max(self.seen - self.after, 0)
        return past if self.times is None else min(past, self.times)


@dataclass(frozen=True, slots=True)
class Lot:
    """Faults by chance."""

    rate: float
    weights: dict[str, float] | None


class Scenario:
    """The steps that are being played."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []

    def play(self, steps: object) -> None:
        """These steps from their beginning. Raises Refusal (400) for what cannot be read."""
        if not isinstance(steps, list):
            raise invalid("`steps` should be an array")
        self._steps = [_step(step) for step in steps]

    def fault(self, offer: Offer) -> Fault | None:
        """What the next request to this offer meets; counts it."""
        for position, step in enumerate(self._steps):
            if step.model not in (None, offer.id):
                continue
            counted = replace(step, seen=step.seen + 1)
            self._steps[position] = counted
            if counted.met > step.met:
                return fault_named(step.fault)
        return None

    def as_json(self) -> JsonObject:
        """The steps and how often each was met."""
        return {
            "steps": [
                {"fault": s.fault, "model": s.model, "after": s.after, "times": s.times, "met": s.met}
                for s in self._steps
            ]
        }


def read_lot(value: object) -> Lot:
    """The member `random`. Raises Refusal (400)."""
    match value:
        case {"rate": int() | float() as rate, **rest} if 0 <= rate <= 1 and not rest.keys() - {"weights"}:
            weights = rest.get("weights")
            if weights is None:
                return Lot(float(rate), None)
            if isinstance(weights, dict) and weights and all(_is_weight(each) for each in weights.values()):
                for name in weights:
                    fault_named(name)
                return Lot(float(rate), weights)
    raise invalid(f"`random` has a `rate` between 0 and 1 and may have positive `weights`, not {value!r}")


def _step(value: object) -> _Step:
    match value:
        case {"fault": str(fault), **rest} if not rest.keys() - {"model", "after", "times"}:
            fault_named(fault)
            model, after, times = rest.get("model"), rest.get("after", 0), rest.get("times")
            if isinstance(model, str | None) and _is_count(after) and (times is None or _is_count(times)):
                return _Step(fault, model, after, times)
    raise invalid(f"a step has `fault` and may have `model`, `after`, `times`, not {value!r}")


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and value > 0
