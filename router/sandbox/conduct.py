"""How providers behave while requests go on: who is out, who is slow, whose charge a hang-up ends.

`PATCH /sandbox/providers` takes a JSON object with any of these members; what is not named stays as it is:

    {"providers": {"deepinfra": {              by the provider's slug, for all it serves; null restores it
         "cancel_stops_billing": false}},      whether closing a stream ends the charge
     "models": {"openai/gpt-5.4": {            by the model's id; null restores it
         "time_to_first_token_s": 2.5,         the median, in simulated time
         "tokens_per_s": 12,                   the median
         "spread": 0.8}},                      of both: standard deviation of the logarithm; 0: always the median
     "outages": [{"fault": "503",              replaces all outages; the first that fits is met
         "provider": "deepinfra",              a slug; without it all providers
         "model": "deepseek/deepseek-v4-pro",  an id; without it all models
         "share": 0.5}]}                       of the requests; without it all

An outage may be any fault of the table. `GET` shows what is set, `DELETE` ends it all.
"""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from router.sandbox.fault_source import fault_named
from router.sandbox.faults import Fault
from router.sandbox.json_text import JsonObject, decode
from router.sandbox.offer import Offer, Temper
from router.sandbox.orders import Pace
from router.sandbox.refusals import invalid

_T = TypeVar("_T")
_PACE_KEYS = ("time_to_first_token_s", "tokens_per_s", "spread")


@dataclass(frozen=True, slots=True)
class Outage:
    """Requests that meet a fault without asking for it."""

    fault: str
    provider: str | None
    model: str | None
    share: float

    def concerns(self, offer: Offer) -> bool:
        """Whether requests to this offer meet it."""
        return self.provider in (None, offer.provider.slug) and self.model in (None, offer.id)

    def as_json(self) -> JsonObject:
        """As it was ordered."""
        return {"fault": self.fault, "provider": self.provider, "model": self.model, "share": self.share}


class Conduct:
    """How everybody behaves now."""

    def __init__(self, *, spread: float, seed: random.Random) -> None:
        self._spread = spread
        self._seed = seed
        self._providers: Mapping[str, bool] = {}  # whether a hang-up ends the charge
        self._models: Mapping[str, dict[str, float]] = {}
        self._outages: tuple[Outage, ...] = ()

    def of(self, offer: Offer) -> Offer:
        """The offer as its provider keeps it now."""
        provider, model = self._providers.get(offer.provider.slug), self._models.get(offer.id, {})
        if provider is not None:
            offer = replace(offer, provider=replace(offer.provider, cancel_stops_billing=provider))
        return replace(offer, temper=_paced(offer.temper, {"spread": self._spread} | model))

    def pace(self, offer: Offer) -> Pace:
        """How fast the next answer comes: both figures are lognormal about their medians."""
        temper = offer.temper
        wait, speed = (math.exp(self._seed.gauss(0.0, temper.spread)) if temper.spread else 1.0 for _ in range(2))
        return Pace(temper.time_to_first_token_s * wait, temper.tokens_per_s * speed)

    def outage(self, offer: Offer) -> Fault | None:
        """What keeps this offer from being served, if anything does."""
        for outage in self._outages:
            if outage.concerns(offer) and (outage.share >= 1 or self._seed.random() < outage.share):
                return fault_named(outage.fault)
        return None

    def is_out(self, offer: Offer) -> bool:
        """Whether any outage concerns it."""
        return any(outage.concerns(offer) for outage in self._outages)

    def change(self, body: bytes) -> None:
        """Everything the wish says, or nothing. Raises Refusal (400) for what cannot be read."""
        try:
            wish = decode(body)
        except ValueError:
            raise invalid("the body is not JSON") from None
        if not isinstance(wish, dict) or wish.keys() - {"providers", "models", "outages"}:
            raise invalid("the body should be an object with `providers`, `models` or `outages`")
        providers = _changed(self._providers, wish.get("providers"), _cancel_rule)
        models = _changed(self._models, wish.get("models"), _pace_figures)
        outages = self._outages if wish.get("outages") is None else _outages(wish["outages"])
        self._providers, self._models, self._outages = providers, models, outages

    def reset(self) -> None:
        """As at the start."""
        self._providers, self._models, self._outages = {}, {}, ()

    def as_json(self) -> JsonObject:
        """What is set."""
        return {
            "providers": {slug: {"cancel_stops_billing": stops} for slug, stops in self._providers.items()},
            "models": self._models,
            "outages": [outage.as_json() for outage in self._outages],
        }


def _changed(now: Mapping[str, _T], wish: object, read: Callable[[object], _T]) -> Mapping[str, _T]:
    if wish is None:
        return now
    if not isinstance(wish, dict):
        raise invalid("`providers` and `models` should be objects")
    restored = {name for name, value in wish.items() if value is None}
    kept = {name: value for name, value in now.items() if name not in restored}
    return kept | {name: read(value) for name, value in wish.items() if value is not None}


def _cancel_rule(value: object) -> bool:
    match value:
        case {"cancel_stops_billing": bool(stops), **rest} if not rest:
            return stops
    raise invalid("a provider has `cancel_stops_billing`, true or false")


def _pace_figures(value: object) -> dict[str, float]:
    if not isinstance(value, dict) or value.keys() - set(_PACE_KEYS):
        raise invalid(f"a model has {', '.join(_PACE_KEYS)}")
    for key, figure in value.items():
        is_number = isinstance(figure, int | float) and not isinstance(figure, bool) and math.isfinite(figure)
        if not is_number or figure < 0 or (key == "tokens_per_s" and figure == 0):
            raise invalid(f"`{key}` cannot be {figure!r}")
    return value


def _paced(temper: Temper, figures: Mapping[str, float]) -> Temper:
    return replace(
        temper,
        time_to_first_token_s=figures.get("time_to_first_token_s", temper.time_to_first_token_s),
        tokens_per_s=figures.get("tokens_per_s", temper.tokens_per_s),
        spread=figures.get("spread", temper.spread),
    )


def _outages(value: object) -> tuple[Outage, ...]:
    if not isinstance(value, list):
        raise invalid("`outages` should be an array")
    return tuple(map(_outage, value))


def _outage(value: object) -> Outage:
    match value:
        case {"fault": str(fault), **rest} if not rest.keys() - {"provider", "model", "share"}:
            fault_named(fault)
            provider, model, share = rest.get("provider"), rest.get("model"), rest.get("share", 1)
            if not isinstance(provider, str | None) or not isinstance(model, str | None):
                raise invalid("`provider` and `model` of an outage are names")
            if not isinstance(share, int | float) or not 0 <= share <= 1:
                raise invalid("`share` of an outage lies between 0 and 1")
            return Outage(fault, provider, model, float(share))
    raise invalid(f"an outage has `fault` and may have `provider`, `model`, `share`, not {value!r}")
