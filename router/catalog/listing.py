"""OpenRouter's `GET /models` as tariffs. Pure: bytes in, values out; the network is `upstream/listing.py`.

Facts are from openrouter.md §4 (wire and documentation, 2026): prices are strings in USD per token, or per piece for
`request`, `image` and `web_search`. `-1` stands for no price, `0` for free; a missing key is normal, but for `prompt`
and `completion`. Of `overrides` all conditions of an entry must hold, later entries win for each key, absent keys are
inherited. `discount` is in the figures already. Ids that end in `:batch` are not served to anyone who waits.

What cannot be read is a `problem` of that one model. It never becomes a price, least of all zero.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from router.catalog.prices import (
    IMAGE_TOKENS_BOUND,
    ZERO,
    Price,
    Rates,
    Tier,
    dearest_of,
    is_within,
    one_hour_write,
)
from router.catalog.tariffs import Tariff, Window, canonical
from router.errors import PricingError

_Figures = Mapping[str, Decimal]

_PER_TOKEN = (
    "prompt",
    "completion",
    "image_token",
    "internal_reasoning",
    "input_cache_read",
    "input_cache_write",
    "input_cache_write_1h",
)
_PER_PIECE = ("request", "image", "web_search")
# Sound, and pictures that a model makes: requests for them are not served, so that these bind nobody.
_NOT_NEEDED = frozenset({"audio", "audio_output", "input_audio_cache", "image_output", "video", "discount"})
_CONDITIONS = frozenset({"min_prompt_tokens", "utc_start", "utc_end"})

# Figures outside of these are mistakes, and not believed: less than $0.0000001 per million tokens is no price but a
# slip, and as good as free; a dollar per token is a thousand times the dearest model known (o1-pro, $600 per million).
_LEAST_USD = Decimal("1e-13")
_MOST_USD_PER_TOKEN = Decimal(1)
_MOST_USD_PER_PIECE = Decimal(1000)

_NUMBER = re.compile(r"-?(\d{1,20}(\.\d{1,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?", re.ASCII)
_MOST_TOKENS = 1_000_000_000
_MOST_OVERRIDES = 64
_MOST_UNCLEAR = 3  # overrides under conditions that we do not know: each doubles the prices to be compared
# The most that any launch provider lists are 4 hours and 3 lengths. Every price of the day is worked out for each.
_MOST_EDGES = 24
_MOST_THRESHOLDS = 8
_NAME_LENGTH = 200

# The documentation calls `image` dollars per image; Gemini 3 was listed with its price per token there (openrouter.md
# §4.3). No real fee for an image is so near to the price of a token, so that such a figure is taken for both.
_TOKENS_IN_NO_IMAGE = 20


@dataclass(frozen=True, slots=True)
class Override:
    """Figures that replace others where all conditions hold."""

    above_input_tokens: int | None  # for strictly more input tokens
    daily: tuple[time, time] | None  # UTC, half-open, may wrap midnight
    is_clear: bool  # False: there are conditions that we do not know
    figures: _Figures


@dataclass(frozen=True, slots=True)
class Pricing:
    """The `pricing` of one model as listed, checked figure by figure."""

    model: str
    figures: _Figures
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """One model of the list."""

    name: str  # what the provider calls it
    version: str | None  # what the name stands for now; providers re-point names
    pricing: Pricing | None  # None: it has no price
    problem: str | None = None  # why not


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list."""

    listed: tuple[Listed, ...]  # those that were asked for
    models: int  # how many there are on the page
    following: str | None  # where the list goes on


class _Model(Struct):
    id: Any = None
    canonical_slug: Any = None
    pricing: Raw | UnsetType = UNSET


class _Links(Struct):
    next: str | None = None


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ListingReader:
    """Reads pages; holds the decoders, which are costly to make and safe to share."""

    def __init__(self) -> None:
        self._page = msgspec.json.Decoder(dict[str, Raw])
        self._models = msgspec.json.Decoder(list[Raw])
        self._model = msgspec.json.Decoder(_Model)
        self._links = msgspec.json.Decoder(_Links)
        self._pricing = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)

    def page(self, body: bytes, names: Collection[str]) -> Page:
        """The models called so on this page of the list. Raises PricingError if it is not one."""
        try:
            members = self._page.decode(body)
            models = self._models.decode(members["data"])
        except (*_UNREADABLE, KeyError):
            raise PricingError("The list of models cannot be read: expected a JSON object with `data`.") from None
        listed = tuple(found for each in models if (found := self._listed(each, names)) is not None)
        return Page(listed=listed, models=len(models), following=self._following(members.get("links")))

    def _listed(self, model: Raw, names: Collection[str]) -> Listed | None:
        try:
            read = self._model.decode(model)
        except _UNREADABLE:
            return None  # not an object, so that it has no name by which anyone could have asked for it
        if not isinstance(read.id, str) or read.id not in names:
            return None
        slug = read.canonical_slug
        version = slug[:_NAME_LENGTH] if isinstance(slug, str) and slug else None
        try:
            return Listed(read.id, version, self._read_pricing(read))
        except PricingError as error:
            return Listed(read.id, version, pricing=None, problem=error.message)

    def _read_pricing(self, model: _Model) -> Pricing:
        if model.id.endswith(":batch"):
            raise PricingError("it is listed for batches only")
        if model.pricing is UNSET:
            raise PricingError("it is listed without `pricing`")
        try:
            return pricing_of(model.id, self._pricing.decode(model.pricing))
        except (*_UNREADABLE, ArithmeticError):
            raise PricingError("its `pricing` cannot be read") from None

    def _following(self, links: Raw | None) -> str | None:
        if links is None:
            return None
        try:
            return self._links.decode(links).next
        except _UNREADABLE:
            raise PricingError("The list of models cannot be read: `links` does not say where it goes on.") from None


def pricing_of(model: str, members: Mapping[str, Any]) -> Pricing:
    """The pricing of a model in a JSON object. Raises PricingError, saying which figure is none."""
    figures = _figures(members)
    for name in ("prompt", "completion"):
        if name not in figures:
            raise PricingError(f"its price has no `{name}`")
    overrides = members.get("overrides") or []
    if not isinstance(overrides, list) or len(overrides) > _MOST_OVERRIDES:
        raise PricingError("its `overrides` cannot be read")
    read = tuple(_override(each) for each in overrides)
    if sum(not each.is_clear for each in read) > _MOST_UNCLEAR:
        raise PricingError("it has too many `overrides` under conditions that are not known")
    edges = {edge for each in read for edge in each.daily or ()}
    if len(edges) > _MOST_EDGES or len({each.above_input_tokens for each in read} - {None}) > _MOST_THRESHOLDS:
        raise PricingError("it has too many `overrides` for hours or lengths of input")
    return Pricing(model, figures, read)


def tariff_of(pricing: Pricing, *, now: datetime, before: Tariff | None) -> Tariff:
    """What the pricing, read at `now`, says of every hour of the day.

    The figures outside of `overrides` are said to be those of other hours by one page of the documentation, and those
    of this hour by another (openrouter.md §4.1). Where this hour's override equals them, the other hours cannot be told
    from this reading: then `before`, the tariff known until now, counts for them.
    """
    edges = sorted({edge for override in pricing.overrides for edge in override.daily or ()})
    if not edges:
        return Tariff.all_day(_price(pricing, time()))
    is_hidden = _is_base_hidden(pricing, now.astimezone(UTC).time())
    windows = []
    for start, end in zip(edges, (*edges[1:], edges[0]), strict=True):
        if is_hidden and before is not None and not _has_window_at(pricing, start):
            windows.append(Window((start, end), before.at(start)))
        else:
            windows.append(Window((start, end), _price(pricing, start)))
    return Tariff(tuple(windows))


def _is_base_hidden(pricing: Pricing, moment: time) -> bool:
    active = [
        override
        for override in pricing.overrides
        if override.daily is not None and override.above_input_tokens is None and is_within(override.daily, moment)
    ]
    shown = [pricing.figures.get(name) == figure for override in active for name, figure in override.figures.items()]
    return bool(shown) and all(shown)


def _has_window_at(pricing: Pricing, moment: time) -> bool:
    return any(override.daily is not None and is_within(override.daily, moment) for override in pricing.overrides)


def _price(pricing: Pricing, moment: time) -> Price:
    """The price at one time of the day, with a tier for every threshold."""
    applying = [each for each in pricing.overrides if each.daily is None or is_within(each.daily, moment)]
    thresholds = sorted({each.above_input_tokens for each in applying if each.above_input_tokens is not None})
    base = _dearest_rates(pricing, [each for each in applying if each.above_input_tokens is None])
    tiers = []
    for threshold in thresholds:
        reached = [each for each in applying if (each.above_input_tokens or 0) <= threshold]
        tiers.append(Tier(threshold, _dearest_rates(pricing, reached)))
    return Price(base, tuple(tiers))


def _dearest_rates(pricing: Pricing, overrides: list[Override]) -> Rates:
    """The rates after all overrides; with those whose conditions we do not know and without, the dearest counts."""
    possible = [pricing.figures]
    for override in overrides:
        replaced: list[_Figures] = [{**each, **override.figures} for each in possible]
        possible = replaced if override.is_clear else [*possible, *replaced]
    return dearest_of([_rates(pricing.model, each) for each in possible])


def _rates(model: str, figures: _Figures) -> Rates:
    prompt, completion = figures["prompt"], figures["completion"]
    write = figures.get("input_cache_write", prompt)
    rates = Rates(
        input=prompt,
        # Reasoning tokens are counted as output tokens; where they have a price of their own the dearer one is taken.
        output=max(completion, figures.get("internal_reasoning", ZERO)),
        cached_input=figures.get("input_cache_read", prompt),
        cache_write=write,
        cache_write_1h=figures.get("input_cache_write_1h", write),
        request=figures.get("request", ZERO),
        image=_image_fee(figures),
        web_search=figures.get("web_search", ZERO),
    )
    return canonical(rates if "input_cache_write_1h" in figures else one_hour_write(model, rates))


def _image_fee(figures: _Figures) -> Decimal:
    """What an image costs beside its tokens at the prompt rate; of image tokens that are dearer, the excess of all."""
    prompt, image = figures["prompt"], figures.get("image", ZERO)
    per_token = figures.get("image_token", ZERO)
    if image <= _TOKENS_IN_NO_IMAGE * prompt:
        per_token = max(per_token, image)
    return image + max(per_token - prompt, ZERO) * IMAGE_TOKENS_BOUND


def _override(members: object) -> Override:
    if not isinstance(members, dict):
        raise PricingError("one of its `overrides` is no object")
    unknown = members.keys() - _CONDITIONS - _NOT_NEEDED - set(_PER_TOKEN) - set(_PER_PIECE)
    return Override(
        above_input_tokens=_threshold(members.get("min_prompt_tokens")),
        daily=_daily(members.get("utc_start"), members.get("utc_end")),
        is_clear=not unknown,
        figures=_figures(members),
    )


def _figures(members: Mapping[str, Any]) -> dict[str, Decimal]:
    return dict(_each_figure(members))


def _each_figure(members: Mapping[str, Any]) -> Iterator[tuple[str, Decimal]]:
    for names, most_usd in ((_PER_TOKEN, _MOST_USD_PER_TOKEN), (_PER_PIECE, _MOST_USD_PER_PIECE)):
        for name in names:
            value = members.get(name)
            if value is not None:
                yield name, _figure(name, value, most_usd)


def _figure(name: str, value: object, most_usd: Decimal) -> Decimal:
    figure = _number(value)
    if figure is None:
        raise PricingError(f"its price for `{name}` is not a number")
    if figure < 0:
        raise PricingError(f"its price for `{name}` is {value}, which stands for none")
    if figure and not _LEAST_USD <= figure <= most_usd:
        raise PricingError(f"its price for `{name}` is {value}, which is not believed")
    return figure


def _number(value: object) -> Decimal | None:
    """The figure in a text or number, exact; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | Decimal):
        value = str(value)
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return None
    return +Decimal(value)  # to the 28 digits that sums are worked out with: the book keeps no more


def _threshold(value: object) -> int | None:
    if value is None:
        return None
    figure = _number(value) if not isinstance(value, str) else None
    if figure is None or not 0 <= figure <= _MOST_TOKENS:
        raise PricingError("the `min_prompt_tokens` of one of its `overrides` is no number of tokens")
    return int(figure)


def _daily(start: object, end: object) -> tuple[time, time] | None:
    if start is None and end is None:
        return None
    daily = (_clock(start), _clock(end))
    if daily[0] == daily[1]:
        raise PricingError("the hours of one of its `overrides` begin when they end")
    return daily


def _clock(value: object) -> time:
    """A time of day that is written as a number: 1030 is half past ten; 2400 is midnight."""
    figure = None if isinstance(value, str) else _number(value)
    if figure is None or figure != figure.to_integral_value():
        raise PricingError("the hours of one of its `overrides` are no times of day")
    hour, minute = divmod(int(figure), 100)
    if (hour, minute) == (24, 0):
        return time()
    if not (0 <= hour <= 23 and 0 <= minute <= 59):
        raise PricingError("the hours of one of its `overrides` are no times of day")
    return time(hour, minute)
