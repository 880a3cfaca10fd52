"""What changes on the market while requests go on: prices, the version behind a name, whether `/models` can be read.

`PATCH /sandbox/market` takes a JSON object with any of these members; what is not named stays as it is:

    {"models": {"deepseek/deepseek-v4-flash": {
         "pricing": {"prompt": "0.0000003"},   new prices by their names in /models, USD per token or per piece; also
                                               `request` and `image`; null takes one away. The base rates only.
         "times": "3",                         every price of the model times this, its long-context tier included
         "canonical_slug": "deepseek/...",     the name stands for this version from now on
         "peak": {"utc": [[100, 400]], "prompt": ..},  prices in these hours of the day (HHMM, UTC); null ends that
         "shown": {"prompt": "-1", ...}        what /models shows as `pricing` instead of the truth; null ends that
         "listed": {"top_provider": {...}}     other members /models shows of it; null ends that
     }},
     "oddities": true | false,                    /models also lists an unpriced router, a batch id and an alias
     "page_size": 7,                              /models shows at most so many at once; null: all
     "listing": "ok" | "down" | "broken" | "empty",   /models answers; with 503; with half a page; with no model
     "reply_model": "requested" | "version"}          what replies put into `model`: both were seen (wire, 2026)

A request that has been accepted is billed at the prices of that moment, the next one at the new ones. `GET` shows what
is set, `DELETE` restores the stock as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from router.sandbox.json_text import JsonObject, decode
from router.sandbox.offer import Offer, PeakHours, Rates
from router.sandbox.refusals import figure_of, invalid
from router.sandbox.stock import Stock

_LISTINGS = ("ok", "down", "broken", "empty")
_REPLY_MODELS = ("requested", "version")


@dataclass(frozen=True, slots=True)
class _State:
    offers: tuple[Offer, ...]
    shown: Mapping[str, JsonObject]
    listed: Mapping[str, JsonObject]
    has_oddities: bool = False
    page_size: int | None = None
    listing: str = "ok"
    reply_model: str = "requested"


class Market:
    """What is on sale now."""

    def __init__(self, stock: Stock) -> None:
        self._original = _State(stock.offers, shown={}, listed={})
        self._state = self._original

    @property
    def stock(self) -> Stock:
        return Stock(self._state.offers)

    @property
    def listed(self) -> Mapping[str, JsonObject]:
        """What `/models` shows of a model instead of the truth, by members."""
        pricing: dict[str, JsonObject] = {id_: {"pricing": shown} for id_, shown in self._state.shown.items()}
        others = self._state.listed
        return {id_: others.get(id_, {}) | pricing.get(id_, {}) for id_ in pricing.keys() | others.keys()}

    @property
    def has_oddities(self) -> bool:
        """Whether `/models` lists what nobody can ask for."""
        return self._state.has_oddities

    @property
    def page_size(self) -> int | None:
        """The most models on one page, if there is a limit."""
        return self._state.page_size

    @property
    def listing(self) -> str:
        """`ok`, `down`, `broken` or `empty`."""
        return self._state.listing

    def reply_model(self, requested: str, offer: Offer) -> str:
        """What a reply says has served it."""
        return offer.canonical_slug if self._state.reply_model == "version" else requested

    def change(self, body: bytes) -> None:
        """Everything the wish says, or nothing. Raises Refusal (400) for what cannot be read."""
        try:
            wish = decode(body)
        except ValueError:
            raise invalid("the body is not JSON") from None
        state = self._state
        for key, value in _members(wish, "the body").items():
            match key:
                case "models":
                    for model, change in _members(value, "`models`").items():
                        state = _changed(state, model, _members(change, model))
                case "listing" if value in _LISTINGS:
                    state = replace(state, listing=value)
                case "oddities" if isinstance(value, bool):
                    state = replace(state, has_oddities=value)
                case "page_size" if value is None or (isinstance(value, int) and value > 0):
                    state = replace(state, page_size=value)
                case "reply_model" if value in _REPLY_MODELS:
                    state = replace(state, reply_model=value)
                case _:
                    raise invalid(f"the market does not understand `{key}`: {value!r}")
        self._state = state

    def reset(self) -> None:
        """As at the start."""
        self._state = self._original

    def as_json(self) -> JsonObject:
        state = self._state
        changed = [offer for offer in state.offers if offer not in self._original.offers]
        return {
            "listing": state.listing,
            "reply_model": state.reply_model,
            "changed": [offer.id for offer in changed],
            "shown": state.shown,
            "listed": state.listed,
            "oddities": state.has_oddities,
            "page_size": state.page_size,
        }


def _changed(state: _State, model: str, wish: JsonObject) -> _State:
    offer = Stock(state.offers).find(model)
    if offer is None:
        raise invalid(f"nothing is sold as {model}")
    new, views = offer, {"shown": dict(state.shown), "listed": dict(state.listed)}
    for key, value in wish.items():
        if key not in views:
            new = _changed_offer(new, key, value)
        elif value is None:
            views[key].pop(offer.id, None)
        else:
            views[key][offer.id] = _members(value, f"`{key}`")
    offers = tuple(new if each is offer else each for each in state.offers)
    return replace(state, offers=offers, shown=views["shown"], listed=views["listed"])


def _changed_offer(offer: Offer, key: str, value: object) -> Offer:
    match key:
        case "pricing":
            return replace(offer, rates=_repriced(offer.rates, _members(value, "`pricing`")))
        case "times":
            return _multiplied(offer, _price(value))
        case "canonical_slug" if isinstance(value, str):
            return replace(offer, canonical_slug=value)
        case "peak":
            return replace(offer, peak=None if value is None else _peak(offer, _members(value, "`peak`")))
    raise invalid(f"the market does not understand `{key}` of {offer.id}")


def _peak(offer: Offer, wish: JsonObject) -> PeakHours:
    prices = {name: price for name, price in wish.items() if name != "utc"}
    match wish.get("utc"):
        case [*windows] if windows and all(map(_is_window, windows)):
            return PeakHours(tuple((start, end) for start, end in windows), _repriced(offer.rates, prices))
    raise invalid("`utc` of `peak` is an array of [from, to], each hours and minutes as one number")


def _is_window(value: object) -> bool:
    match value:
        case [int(start), int(end)] if start != end:
            return all(0 <= edge <= 2359 and edge % 100 < 60 for edge in (start, end))
    return False


def _repriced(rates: Rates, pricing: JsonObject) -> Rates:
    figures = _figures(rates)
    for name, value in pricing.items():
        if name not in figures or (value is None and name in ("prompt", "completion")):
            raise invalid(f"the market has no such price: `{name}` {value!r}")
        figures[name] = None if value is None else _price(value)
    return _rates(figures)


def _figures(rates: Rates) -> dict[str, Decimal | None]:
    """The rates by their names in `/models`."""
    return {
        "prompt": rates.prompt,
        "completion": rates.completion,
        "input_cache_read": rates.cache_read,
        "input_cache_write": rates.cache_write,
        "request": rates.request,
        "image": rates.image,
    }


def _rates(figures: Mapping[str, Decimal | None]) -> Rates:
    prompt, completion = figures["prompt"], figures["completion"]
    assert prompt is not None
    assert completion is not None
    return Rates(
        prompt=prompt,
        completion=completion,
        cache_read=figures["input_cache_read"],
        cache_write=figures["input_cache_write"],
        request=figures["request"],
        image=figures["image"],
    )


def _multiplied(offer: Offer, factor: Decimal) -> Offer:
    tier, peak = offer.long_context, offer.peak
    return replace(
        offer,
        peak=None if peak is None else replace(peak, rates=_times(peak.rates, factor)),
        rates=_times(offer.rates, factor),
        long_context=None if tier is None else replace(tier, rates=_times(tier.rates, factor)),
    )


def _times(rates: Rates, factor: Decimal) -> Rates:
    figures = _figures(rates)
    return _rates({name: None if figure is None else figure * factor for name, figure in figures.items()})


def _members(value: object, what: str) -> JsonObject:
    if not isinstance(value, dict):
        raise invalid(f"{what} should be an object")
    return value


def _price(value: object) -> Decimal:
    return figure_of(value, refused_as=f"{value!r} is no price")
