"""Forty costs worked out by hand, each equal to the last nano-dollar, and the sum in words beside it.

`BILLED` are calls as providers report them, `EXPECTED` requests before they are sent; both go through the arithmetic of
`catalog.prices`. Prices are those of November 2026 (openrouter.md §4.3), in dollars per million tokens: $2.50/M is
2,500 nano-dollars a token.
"""

from datetime import UTC, datetime, time

import pytest

from router.catalog.catalog import Capability, DeploymentId, Task
from router.catalog.prices import Price, PriceEntry, PriceList, Tier, cost
from router.decision.estimate import estimate
from router.decision.facts import Conditions, RequestProfile
from router.units import Usage, nano_usd
from tests.decision.builders import CHAT, always, at, model, per_mtok
from tests.replacing import replace

SONNET = Price(per_mtok("3", "15", cached_input_usd="0.3", cache_write_usd="3.75", cache_write_1h_usd="6"))
OPUS = Price(per_mtok("5", "25", cached_input_usd="0.5", cache_write_usd="6.25", cache_write_1h_usd="10"))
# Above 272,000 input tokens everything is dearer; strictly above (openrouter.md §4.1).
GPT = Price(
    per_mtok("2.5", "15", cached_input_usd="0.25"), (Tier(272_000, per_mtok("5", "22.5", cached_input_usd="0.5")),)
)
GEMINI_PRO = Price(
    per_mtok("2", "12", cached_input_usd="0.2", cache_write_usd="0.375"),
    (Tier(200_000, per_mtok("4", "18", cached_input_usd="0.4", cache_write_usd="0.375")),),
)
# The model of the capture in §1.4, with the price of a write in OpenRouter's own digits: five minutes of storage.
GEMINI_FLASH = Price(per_mtok("0.3", "2.5", cached_input_usd="0.03", cache_write_usd="0.08333333333333334"))
GPT_5_6 = Price(per_mtok("5", "30", cached_input_usd="0.5", cache_write_usd="6.25"))
FLASH = Price(per_mtok("0.105", "0.21", cached_input_usd="0.021"))
PER_CALL = Price(per_mtok("1", "4", request_usd="0.005", image_usd="0.0013"))

BILLED = [
    # Tiers: below, at, above
    pytest.param(GPT, Usage(271_999, 1_000), 0, 694_997_500, id="below the tier: 271,999 x 2,500 + 1,000 x 15,000"),
    pytest.param(GPT, Usage(272_000, 1_000), 0, 695_000_000, id="at the tier: 272,000 x 2,500 + 1,000 x 15,000"),
    pytest.param(
        GPT, Usage(272_001, 1_000), 0, 1_382_505_000, id="above it all of it: 272,001 x 5,000 + 1,000 x 22,500"
    ),
    pytest.param(GEMINI_PRO, Usage(199_999, 500), 0, 405_998_000, id="below: 199,999 x 2,000 + 500 x 12,000"),
    pytest.param(GEMINI_PRO, Usage(200_000, 500), 0, 406_000_000, id="at: 200,000 x 2,000 + 500 x 12,000"),
    pytest.param(GEMINI_PRO, Usage(200_001, 500), 0, 809_004_000, id="above: 200,001 x 4,000 + 500 x 18,000"),
    # Cached
    pytest.param(
        GPT, Usage(10_000, 100, cached_tokens=8_192), 0, 8_068_000,
        id="cached: 1,808 x 2,500 = 4,520,000; 8,192 x 250 = 2,048,000; 100 x 15,000 = 1,500,000",
    ),
    pytest.param(
        GPT, Usage(300_000, 0, cached_tokens=290_000), 0, 195_000_000,
        id="cached above the tier, which counts cached tokens: 10,000 x 5,000 + 290,000 x 500",
    ),
    pytest.param(FLASH, Usage(1_000, 0, cached_tokens=1_000), 0, 21_000, id="all of it cached: 1,000 x 21"),
    pytest.param(FLASH, Usage(1, 1), 0, 315, id="one token in, one out: 105 + 210"),
    # Written to the cache: OpenRouter's own figures (openrouter.md §1.4)
    pytest.param(
        SONNET, Usage(3_214, 0, cache_write_tokens=3_211), 0, 12_050_250,
        id="Anthropic writes: 3 x 3,000 = 9,000; 3,211 x 3,750 = 12,041,250",
    ),
    pytest.param(
        SONNET, Usage(3_329, 0, cached_tokens=3_211, cache_write_tokens=115), 0, 1_403_550,
        id="Anthropic reads and writes: 3 x 3,000 = 9,000; 3,211 x 300 = 963,300; 115 x 3,750 = 431,250",
    ),
    pytest.param(
        GEMINI_FLASH, Usage(2_168, 0, cached_tokens=2_161, cache_write_tokens=2_161), 0, 247_013,
        id="Google bills both: 7 x 300 = 2,100; 2,161 x 30 = 64,830; 2,161 x 83.33… = 180,083.33…",
    ),
    pytest.param(
        GPT_5_6, Usage(4_020, 10, cache_write_tokens=4_012), 0, 25_415_000,
        id="OpenAI since 5.6 writes at 1.25: 8 x 5,000 = 40,000; 4,012 x 6,250 = 25,075,000; 10 x 30,000 = 300,000",
    ),
    # Reasoning is output
    pytest.param(
        SONNET, Usage(100, 36, reasoning_tokens=13), 0, 840_000, id="reasoning: 100 x 3,000 + 36 x 15,000, 13 of them"
    ),
    pytest.param(
        FLASH, Usage(50, 10, reasoning_tokens=11), 0, 7_350, id="more reasoning than output: 50 x 105 + 10 x 210"
    ),
    # Per call, per image
    pytest.param(PER_CALL, Usage(1_000, 100), 0, 6_400_000, id="a fee a call: 1,000,000 + 400,000 + 5,000,000"),
    pytest.param(
        PER_CALL, Usage(1_000, 100), 3, 10_300_000, id="and one an image: the same 6,400,000 + 3 x 1,300,000"
    ),
    pytest.param(PER_CALL, Usage(0, 0), 0, 5_000_000, id="a call of nothing costs its fee"),
]  # fmt: skip


@pytest.mark.parametrize(("price", "usage", "images", "nano"), BILLED)
def test_what_a_call_is_billed(price: Price, usage: Usage, images: int, nano: int) -> None:
    assert nano_usd(cost(usage, price, images=images)) == nano


NIGHT = datetime(2026, 11, 23, 0, 59, 59, 999_999, tzinfo=UTC)
PEAK_BEGINS = datetime(2026, 11, 23, 1, tzinfo=UTC)
PEAK_ENDS = datetime(2026, 11, 23, 4, tzinfo=UTC)
PEAK_LASTS = datetime(2026, 11, 23, 3, 59, 59, 999_999, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

# DeepSeek's own API is twice as dear from 01 to 04 UTC (openrouter.md §4.3).
WITH_PEAK = PriceList(
    (
        PriceEntry(FLASH, source="a test"),
        PriceEntry(
            Price(per_mtok("0.21", "0.42", cached_input_usd="0.042")), source="a test", daily=(time(1), time(4))
        ),
    )
)
CHANGES_AT_NOON = PriceList(
    (PriceEntry(FLASH, source="a test"), PriceEntry(SONNET, source="a test", starts=NOON))
)  # fmt: skip

LONG = replace(CHAT, input_tokens=5_000, input_bytes=20_000, max_output_tokens=200)
MARKED = replace(LONG, asks_cache=True)
THINKING = replace(CHAT, task=Task.REASONING, needs=frozenset({Capability.REASONING}))
EXPECTED = [
    # 350 tokens of output are usual for chat, 1,500 for reasoning and 1,200 more to think.
    pytest.param("a/m", always(FLASH), CHAT, NOON, 0, 178_500, id="chat: 1,000 x 105 + 350 x 210"),
    pytest.param(
        "a/m", always(FLASH), replace(CHAT, max_output_tokens=349), NOON, 0, 178_290, id="cut: 105,000 + 349 x 210"
    ),
    pytest.param(
        "a/m", always(FLASH), replace(CHAT, choices=3), NOON, 0, 325_500, id="three choices: 105,000 + 1,050 x 210"
    ),
    pytest.param("a/m", always(FLASH), THINKING, NOON, 0, 672_000, id="reasoning: 105,000 + 2,700 x 210"),
    # By the clock
    pytest.param("a/m", WITH_PEAK, CHAT, NIGHT, 0, 178_500, id="a microsecond before the peak"),
    pytest.param("a/m", WITH_PEAK, CHAT, PEAK_BEGINS, 0, 357_000, id="at the peak: 1,000 x 210 + 350 x 420"),
    pytest.param("a/m", WITH_PEAK, CHAT, PEAK_LASTS, 0, 357_000, id="a microsecond before it ends"),
    pytest.param("a/m", WITH_PEAK, CHAT, PEAK_ENDS, 0, 178_500, id="after it"),
    pytest.param("a/m", CHANGES_AT_NOON, CHAT, NOON, 0, 8_250_000, id="on the day: 1,000 x 3,000 + 350 x 15,000"),
    # By the tier, with the answer at its own rate
    pytest.param(
        "a/m", always(GPT), replace(CHAT, input_tokens=272_000, input_bytes=900_000), NOON, 0, 685_250_000,
        id="at the tier: 272,000 x 2,500 + 350 x 15,000",
    ),
    pytest.param(
        "a/m", always(GPT), replace(CHAT, input_tokens=272_001, input_bytes=900_000), NOON, 0, 1_367_880_000,
        id="above it: 272,001 x 5,000 + 350 x 22,500",
    ),
    # Warm
    pytest.param(
        "a/m", always(GPT), LONG, NOON, 4_096, 6_284_000,
        id="warm: 904 x 2,500 = 2,260,000; 4,096 x 250 = 1,024,000; 200 x 15,000 = 3,000,000",
    ),
    pytest.param(
        "a/m", always(GPT), LONG, NOON, 9_999, 4_250_000, id="no more is warm than is sent: 5,000 x 250 + 200 x 15,000"
    ),
    # Written to the cache
    pytest.param(
        "anthropic/claude-sonnet-4.6", always(SONNET), LONG, NOON, 0, 18_000_000,
        id="Anthropic writes nothing unasked: 5,000 x 3,000 + 200 x 15,000",
    ),
    pytest.param(
        "anthropic/claude-sonnet-4.6", always(SONNET), MARKED, NOON, 0, 21_750_000,
        id="asked, all of it: 5,000 x 3,750 + 200 x 15,000",
    ),
    pytest.param(
        "anthropic/claude-sonnet-4.6", always(SONNET), replace(MARKED, asks_one_hour_cache=True), NOON, 0, 33_000_000,
        id="for an hour: 5,000 x 6,000 + 200 x 15,000",
    ),
    pytest.param(
        "anthropic/claude-sonnet-4.6", always(SONNET), MARKED, NOON, 4_000, 7_950_000,
        id="warm, the rest is written: 4,000 x 300 = 1,200,000; 1,000 x 3,750 = 3,750,000; 3,000,000",
    ),
    pytest.param(
        "anthropic/claude-opus-4.7", always(OPUS), replace(MARKED, input_tokens=4_095), NOON, 0, 25_475_000,
        id="too short to be kept: 4,095 x 5,000 + 200 x 25,000",
    ),
    pytest.param(
        "anthropic/claude-opus-4.7", always(OPUS), replace(MARKED, input_tokens=4_096), NOON, 0, 30_600_000,
        id="just long enough: 4,096 x 6,250 + 200 x 25,000",
    ),
    pytest.param(
        "openai/gpt-5.6-sol", always(GPT_5_6), LONG, NOON, 0, 37_250_000,
        id="OpenAI writes unasked: 5,000 x 6,250 + 200 x 30,000",
    ),
    # Fees
    pytest.param(
        "a/m", always(PER_CALL), replace(CHAT, images=2), NOON, 0, 10_000_000,
        id="images: 1,000 x 1,000 + 350 x 4,000 + 5,000,000 + 2 x 1,300,000",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "prices", "profile", "now", "warm", "nano"), EXPECTED)
def test_what_a_request_is_expected_to_cost(
    name: str, prices: PriceList, profile: RequestProfile, now: datetime, warm: int, nano: int
) -> None:
    where = at("cloud", model(name, context_tokens=1_000_000), prices)
    conditions = Conditions(now=now, warm_tokens={DeploymentId(f"cloud:{name}"): warm})

    forecast = estimate(profile, where, conditions=conditions, default_max_output_tokens=10_000)

    assert forecast is not None
    assert nano_usd(forecast.expected_usd) == nano


def test_there_are_forty_of_them() -> None:
    assert len(BILLED) + len(EXPECTED) == 40
