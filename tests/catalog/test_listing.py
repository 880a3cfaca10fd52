"""OpenRouter's list of models becomes tariffs; what cannot be read becomes a problem, and never a price."""

import json
from contextlib import suppress
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.listing import Listed, ListingReader, pricing_of, tariff_of
from router.catalog.prices import IMAGE_TOKENS_BOUND, Price, Rates, Tier
from router.catalog.tariffs import Tariff, Window, as_data, from_data
from router.errors import PricingError

READER = ListingReader()
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FLASH = "deepseek/deepseek-v4-flash"

PLAIN = {"prompt": "0.000001", "completion": "0.000002"}


def page(*models: object, **members: object) -> bytes:
    return json.dumps({"data": list(models), "total_count": len(models), "links": {"next": None}} | members).encode()


def model(pricing: object, name: str = FLASH, **members: object) -> dict[str, object]:
    return {"id": name, "canonical_slug": f"{name}-20260423", "pricing": pricing} | members


def listed(pricing: object, name: str = FLASH) -> Listed:
    [found] = READER.page(page(model(pricing, name)), {name}).listed
    return found


def tariff(pricing: dict[str, Any], *, now: datetime = NOON, before: Tariff | None = None, name: str = FLASH) -> Tariff:
    return tariff_of(pricing_of(name, pricing), now=now, before=before)


def rates(prompt: str, completion: str, **others: str) -> Rates:
    """Rates in USD per token; what is not given costs as plain input."""
    figures = {name: Decimal(figure) for name, figure in others.items()}
    plain = Decimal(prompt)
    return Rates(
        input=plain,
        output=Decimal(completion),
        cached_input=figures.pop("cached_input", plain),
        cache_write=figures.get("cache_write", plain),
        cache_write_1h=figures.pop("cache_write_1h", figures.pop("cache_write", plain)),
        request=figures.pop("request", Decimal(0)),
        image=figures.pop("image", Decimal(0)),
        web_search=figures.pop("web_search", Decimal(0)),
    )


def test_a_page_gives_the_models_asked_for_with_the_version_behind_each_name() -> None:
    found = READER.page(page(model(PLAIN), model(PLAIN, "z-ai/glm-5.1")), {FLASH})

    assert [(each.name, each.version, each.problem) for each in found.listed] == [(FLASH, f"{FLASH}-20260423", None)]
    assert (found.models, found.following) == (2, None)


def test_a_page_says_where_the_list_goes_on() -> None:
    more = page(model(PLAIN), links={"next": "/api/v1/models?offset=1000"})

    assert READER.page(more, {FLASH}).following == "/api/v1/models?offset=1000"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data": {}}', b'{"error": {"code": 500}}', b"<html>", b"\xff"])
def test_what_is_not_a_page_is_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(PricingError):
        READER.page(body, {FLASH})


def test_rates_are_exact_and_what_is_not_listed_costs_as_plain_input() -> None:
    pricing = {"prompt": "0.00000009", "completion": "0.00000018", "input_cache_read": "0.000000018"}

    assert tariff(pricing) == Tariff.all_day(Price(rates("0.00000009", "0.00000018", cached_input="0.000000018")))


def test_fees_and_cache_writes_are_read() -> None:
    pricing = PLAIN | {
        "request": "0.005",
        "image": "0.0048",
        "web_search": "0.01",
        "input_cache_write": "0.00000125",
        "input_cache_write_1h": "0.000003",
    }

    assert tariff(pricing).at(time()).base == rates(
        "0.000001",
        "0.000002",
        cache_write="0.00000125",
        cache_write_1h="0.000003",
        request="0.005",
        image="0.0048",
        web_search="0.01",
    )


def test_claudes_cache_write_for_an_hour_costs_twice_the_input_where_it_is_not_listed() -> None:
    [window] = tariff(PLAIN | {"input_cache_write": "0.00000125"}, name="anthropic/claude-opus-4.7").windows

    assert window.price.base.cache_write_1h == Decimal("0.000002")


def test_reasoning_with_a_dearer_price_of_its_own_sets_the_output_rate() -> None:
    assert tariff(PLAIN | {"internal_reasoning": "0.000012"}).at(time()).base.output == Decimal("0.000012")
    assert tariff(PLAIN | {"internal_reasoning": "0"}).at(time()).base.output == Decimal("0.000002")


@pytest.mark.parametrize(
    ("pricing", "fee"),
    [
        ({"image": "0.0048"}, Decimal("0.0048")),
        ({"image": "0.000001"}, Decimal("0.000001")),  # as Gemini 3 is listed: the price of a token
        ({"image": "0.000003"}, Decimal("0.000003") + Decimal("0.000002") * IMAGE_TOKENS_BOUND),
        ({"image_token": "0.000003"}, Decimal("0.000002") * IMAGE_TOKENS_BOUND),
        ({"image_token": "0.0000005"}, Decimal(0)),
    ],
)
def test_an_image_costs_its_fee_and_what_its_tokens_cost_beyond_those_of_text(
    pricing: dict[str, str], fee: Decimal
) -> None:
    assert tariff(PLAIN | pricing).at(time()).base.image == fee


def test_long_prompts_become_a_tier_that_inherits_what_it_does_not_name() -> None:
    pricing = PLAIN | {
        "input_cache_read": "0.0000001",
        "overrides": [{"min_prompt_tokens": 272000, "prompt": "0.000005", "completion": "0.00001"}],
    }

    assert tariff(pricing) == Tariff.all_day(
        Price(
            rates("0.000001", "0.000002", cached_input="0.0000001"),
            (Tier(272_000, rates("0.000005", "0.00001", cached_input="0.0000001")),),
        )
    )


def test_of_overrides_that_apply_the_later_wins_for_each_key() -> None:
    pricing = PLAIN | {
        "overrides": [
            {"min_prompt_tokens": 100, "prompt": "0.000003", "completion": "0.000004"},
            {"min_prompt_tokens": 200, "prompt": "0.000005"},
            {"prompt": "0.0000015"},
        ]
    }

    [window] = tariff(pricing).windows
    assert window.price == Price(
        rates("0.0000015", "0.000002"),
        (Tier(100, rates("0.0000015", "0.000004")), Tier(200, rates("0.0000015", "0.000004"))),
    )


PEAK = {"utc_start": 100, "utc_end": 400, "prompt": "0.000002", "completion": "0.000004"}


def test_hours_of_the_day_become_windows_that_cover_it() -> None:
    assert tariff(PLAIN | {"overrides": [PEAK]}) == Tariff(
        (
            Window((time(1), time(4)), Price(rates("0.000002", "0.000004"))),
            Window((time(4), time(1)), Price(rates("0.000001", "0.000002"))),
        )
    )


@pytest.mark.parametrize(
    ("moment", "input_usd"),
    [
        (time(23, 29), "0.000001"),
        (time(23, 30), "0.000002"),
        (time(0, 0), "0.000002"),
        (time(0, 59, 59), "0.000002"),
        (time(1, 0), "0.000001"),
    ],
)
def test_a_window_may_wrap_midnight_and_is_half_open(moment: time, input_usd: str) -> None:
    at_night = PEAK | {"utc_start": 2330, "utc_end": 100}

    assert tariff(PLAIN | {"overrides": [at_night]}).at(moment).base.input == Decimal(input_usd)


def test_a_reading_in_peak_hours_does_not_change_the_price_of_the_other_hours() -> None:
    """The list shows the price of the hour outside of the overrides, says one page of the documentation."""
    outside = tariff(PLAIN | {"overrides": [PEAK]}, now=NOON)
    shown = {"prompt": PEAK["prompt"], "completion": PEAK["completion"], "overrides": [PEAK]}

    assert tariff(shown, now=NOON.replace(hour=2), before=outside) == outside


def test_a_condition_that_is_not_known_counts_where_it_makes_the_call_dearer() -> None:
    odd = {"moon": "full", "prompt": "0.000003", "completion": "0.0000001"}

    assert tariff(PLAIN | {"overrides": [odd]}).at(time()).base.figures()[:2] == (
        Decimal("0.000003"),
        Decimal("0.000002"),
    )


def test_a_discount_is_in_the_figures_already() -> None:
    assert tariff(PLAIN | {"discount": 0.5}) == tariff(PLAIN)


def test_nothing_costs_nothing_only_where_it_says_so() -> None:
    free = tariff({"prompt": "0", "completion": "0"})

    assert free == Tariff.all_day(Price(rates("0", "0")))


@pytest.mark.parametrize(
    "pricing",
    [
        {"prompt": "-1", "completion": "-1"},
        {"prompt": -1, "completion": -1},
        {"prompt": "0.000001", "completion": "-1"},
        {"prompt": "0.000001"},
        {"completion": "0.000001"},
        {"prompt": None, "completion": "0.000001"},
        {"prompt": "", "completion": "0.000001"},
        {"prompt": " ", "completion": "0.000001"},
        {"prompt": "free", "completion": "0.000001"},
        {"prompt": "NaN", "completion": "0.000001"},
        {"prompt": "Infinity", "completion": "0.000001"},
        {"prompt": "1e-40", "completion": "0.000001"},
        {"prompt": "1e9999999999", "completion": "0.000001"},
        {"prompt": "\u0661", "completion": "0.000001"},  # a digit, though not an ASCII one
        {"prompt": True, "completion": "0.000001"},
        {"prompt": ["0.000001"], "completion": "0.000001"},
        {"prompt": "2", "completion": "0.000001"},  # dollars per token: per million was meant
        PLAIN | {"request": "many"},
        PLAIN | {"overrides": {"prompt": "0"}},
        PLAIN | {"overrides": ["0"]},
        PLAIN | {"overrides": [PEAK | {"utc_end": 100}]},
        PLAIN | {"overrides": [PEAK | {"utc_end": 2561}]},
        PLAIN | {"overrides": [PEAK | {"utc_end": None}]},
        PLAIN | {"overrides": [{"min_prompt_tokens": -5, "prompt": "0.1"}]},
        PLAIN | {"overrides": [{"min_prompt_tokens": 5, "prompt": "-1"}]},
        PLAIN | {"overrides": [{"odd": number, "prompt": "0.1"} for number in range(7)]},
        None,
        [],
        "0.000001",
    ],
)
def test_what_is_no_price_is_a_problem_with_a_reason(pricing: object) -> None:
    found = listed(pricing)

    assert found.pricing is None
    assert found.problem


def test_models_for_batches_only_have_no_price_for_anyone_who_waits() -> None:
    found = listed(PLAIN, f"{FLASH}:batch")

    assert (found.pricing, found.problem) == (None, "it is listed for batches only")


def test_one_model_that_cannot_be_read_does_not_spoil_the_others() -> None:
    body = page(None, 7, {"id": 7}, {"id": "a/b"}, model("?", "c/d"), model(PLAIN))

    found = READER.page(body, {FLASH, "a/b", "c/d"})

    assert [(each.name, each.pricing is not None) for each in found.listed] == [
        ("a/b", False),
        ("c/d", False),
        (FLASH, True),
    ]


numbers = st.floats(allow_nan=False, allow_infinity=False)  # JSON has no others
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | st.text(max_size=8)
    | st.sampled_from(["0", "-1", "0.000001", "1e-7", "-0", "0e5", ".5", "5.", "1e-13", "0.00000000000001"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
long_numbers = st.from_regex(r"0\.0{1,9}[0-9]{1,24}", fullmatch=True)
_KEYS = (
    "prompt", "completion", "request", "image", "image_token", "web_search", "internal_reasoning", "input_cache_read",
    "input_cache_write", "input_cache_write_1h", "discount", "min_prompt_tokens", "utc_start", "utc_end", "utc_days",
)  # fmt: skip
figures = (
    st.sampled_from(["0", "-1", "0.000001", "0.0000010", "0.00000175", "3e-7", 0.00001, 1, 100, 2330, None])
    | long_numbers
)
members = st.dictionaries(st.sampled_from(_KEYS), figures | json_values, max_size=8)
pricings = st.builds(
    lambda base, overrides, extra: {**base, "overrides": overrides, **extra},
    st.fixed_dictionaries({"prompt": figures, "completion": figures}),
    st.lists(members, max_size=4) | json_values,
    members,
)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_garbage_in_place_of_a_page_raises_nothing_but_our_own_error(body: bytes) -> None:
    with suppress(PricingError):
        READER.page(body, {FLASH})


@given(pricings | json_values, st.integers(0, 23))
def test_garbage_in_place_of_a_price_never_raises_and_never_becomes_a_free_one(pricing: object, hour: int) -> None:
    found = listed(pricing)

    assert (found.pricing is None) != (found.problem is None)
    if found.pricing is not None:
        read = tariff_of(found.pricing, now=NOON.replace(hour=hour), before=None)
        for window in read.windows:
            for each in (window.price.base, *(tier.rates for tier in window.price.tiers)):
                assert all(figure >= 0 for figure in each.figures())
                assert each.input > 0 or _says_zero(pricing, "prompt")
                assert each.output > 0 or _says_zero(pricing, "completion")


def _says_zero(value: object, key: str) -> bool:
    """Whether the key stands for zero anywhere in the pricing."""
    assert isinstance(value, dict)
    texts = [value.get(key), *(each.get(key) for each in value["overrides"] or [])]
    return any(text is not None and not isinstance(text, bool) and Decimal(str(text)) == 0 for text in texts)


@given(pricings)
def test_figures_from_the_book_are_written_as_those_that_were_read(pricing: object) -> None:
    """Dollars worked out with 0.0000010 have a digit more than with 0.000001, and explanations would differ."""
    found = listed(pricing)
    if found.pricing is not None:
        read = tariff_of(found.pricing, now=NOON, before=None)
        kept = from_data(json.loads(json.dumps(as_data(read))))

        assert repr(kept) == repr(read)


@given(pricings, st.integers(0, 23))
def test_the_hours_of_a_tariff_cover_the_day_and_it_is_read_back_as_it_was_written(pricing: object, hour: int) -> None:
    found = listed(pricing)
    if found.pricing is not None:
        read = tariff_of(found.pricing, now=NOON.replace(hour=hour), before=None)

        assert from_data(json.loads(json.dumps(as_data(read)))) == read
        for minute in range(0, 24 * 60, 7):
            read.at(time(minute // 60, minute % 60))


@pytest.mark.parametrize(
    "overrides",
    [
        [{"prompt": "1", "utc_start": hour * 100, "utc_end": hour * 100 + 30} for hour in range(13)],
        [{"prompt": "1", "min_prompt_tokens": 1000 * tier} for tier in range(1, 10)],
    ],
)
def test_a_list_of_more_hours_or_lengths_than_anyone_has_is_not_worked_out(overrides: list[dict[str, object]]) -> None:
    with pytest.raises(PricingError, match="too many"):
        pricing_of(
            "m",
            {"prompt": "1e-6", "completion": "1e-6", "overrides": [each | {"prompt": "2e-6"} for each in overrides]},
        )
