"""The fifteen models on sale, as data.

Ids, slugs, context lengths, output limits and prices are OpenRouter's, from its `/models` of July 2026 and, where they
have moved since, from the newest dated entry of genai-prices 0.2.3 (2026-11-03 to 2026-11-09). The sandbox sells each
model through one provider. Tempers are the sandbox's choice: speeds in the proportion of published measurements,
tokenizer ratios as measured on English against o200k_base (DeepSeek 1.03, Gemini 1.07, Claude 1.22, Opus 4.7 1.6).
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from router.sandbox.offer import LongContextTier, Modality, Offer, Provider, Rates, Reasoning, Temper


@dataclass(frozen=True, slots=True)
class Stock:
    """The models on sale, in the order `/models` lists them."""

    offers: tuple[Offer, ...]

    def find(self, model: str) -> Offer | None:
        """The offer with this id or canonical slug; variants (`:free`, `:nitro`) are not sold here."""
        return next((offer for offer in self.offers if model in (offer.id, offer.canonical_slug)), None)


def usd_per_mtok(prompt: str, completion: str, cache_read: str, cache_write: str | None = None) -> Rates:
    """Rates from USD per million tokens."""
    return Rates(
        prompt=Decimal(prompt).scaleb(-6),
        completion=Decimal(completion).scaleb(-6),
        cache_read=Decimal(cache_read).scaleb(-6),
        cache_write=None if cache_write is None else Decimal(cache_write).scaleb(-6),
    )


_TEXT_IMAGE_FILE: tuple[Modality, ...] = ("text", "image", "file")

_GEMINI_PARAMETERS = (
    "include_reasoning",
    "max_tokens",
    "reasoning",
    "response_format",
    "seed",
    "stop",
    "structured_outputs",
    "temperature",
    "tool_choice",
    "tools",
    "top_p",
)
_GPT_PARAMETERS = (  # no temperature: OpenRouter lists none for these (wire, 2026-07)
    "include_reasoning",
    "max_completion_tokens",
    "max_tokens",
    "reasoning",
    "response_format",
    "seed",
    "structured_outputs",
    "tool_choice",
    "tools",
)
_OPUS_PARAMETERS = (  # nor for Opus 4.7
    "include_reasoning",
    "max_completion_tokens",
    "max_tokens",
    "reasoning",
    "response_format",
    "stop",
    "structured_outputs",
    "tool_choice",
    "tools",
    "verbosity",
)
_CLAUDE_PARAMETERS = (*_OPUS_PARAMETERS, "temperature", "top_k", "top_p")
_OPEN_WEIGHT_PARAMETERS = (
    *_GEMINI_PARAMETERS,
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "min_p",
    "presence_penalty",
    "repetition_penalty",
    "top_k",
    "top_logprobs",
)

_DEEPINFRA = Provider("DeepInfra", "deepinfra", cancel_stops_billing=True)
_OPENAI = Provider("OpenAI", "openai", cancel_stops_billing=True, native_stop="completed")
_AZURE = Provider("Azure", "azure", cancel_stops_billing=True, native_stop="completed")
_ANTHROPIC = Provider("Anthropic", "anthropic", cancel_stops_billing=True, native_stop="end_turn")
_BEDROCK = Provider("Amazon Bedrock", "amazon-bedrock", cancel_stops_billing=False)
_VERTEX = Provider(
    "Google", "google-vertex", cancel_stops_billing=False, native_stop="STOP", native_length="MAX_TOKENS"
)
_AI_STUDIO = replace(_VERTEX, name="Google AI Studio", slug="google-ai-studio")

_DEEPSEEK_V4_FLASH = Offer(
    id="deepseek/deepseek-v4-flash",
    canonical_slug="deepseek/deepseek-v4-flash-20260423",
    name="DeepSeek: DeepSeek V4 Flash",
    created=1777000666,
    context_length=1_048_576,
    max_completion_tokens=65_536,
    rates=usd_per_mtok("0.105", "0.21", "0.021"),
    long_context=None,
    provider=_DEEPINFRA,
    input_modalities=("text",),
    tokenizer="DeepSeek",
    is_moderated=False,
    supported_parameters=_OPEN_WEIGHT_PARAMETERS,
    reasoning=Reasoning(
        efforts=("xhigh", "high"),
        default_effort="high",
        reasons_unasked=False,
        is_mandatory=False,
        detail_format="unknown",
        style="open",
    ),
    caching="automatic",
    temper=Temper(
        time_to_first_token_s=0.45,
        tokens_per_s=110,
        words=90,
        words_per_chunk=3,
        skill=1,
        tokenizer_percent=103,
        tools_tokens=142,
        image_tokens=0,
    ),
)
_DEEPSEEK_V4_PRO = replace(
    _DEEPSEEK_V4_FLASH,
    id="deepseek/deepseek-v4-pro",
    canonical_slug="deepseek/deepseek-v4-pro-20260423",
    name="DeepSeek: DeepSeek V4 Pro",
    created=1777000679,
    max_completion_tokens=384_000,
    rates=usd_per_mtok("1.416", "2.832", "0.118"),
    temper=replace(
        _DEEPSEEK_V4_FLASH.temper, time_to_first_token_s=0.9, tokens_per_s=45, words=120, words_per_chunk=2, skill=2
    ),
)
_DEEPSEEK_V3_2 = replace(
    _DEEPSEEK_V4_FLASH,
    id="deepseek/deepseek-v3.2",
    canonical_slug="deepseek/deepseek-v3.2-20251201",
    name="DeepSeek: DeepSeek V3.2",
    created=1764547200,
    context_length=131_072,
    max_completion_tokens=64_000,
    rates=usd_per_mtok("0.26", "0.38", "0.13"),
    provider=Provider("DeepSeek", "deepseek", cancel_stops_billing=True),
    temper=replace(_DEEPSEEK_V4_FLASH.temper, time_to_first_token_s=0.8, tokens_per_s=40, words=110),
)

_GPT_5_4 = Offer(
    id="openai/gpt-5.4",
    canonical_slug="openai/gpt-5.4-20260305",
    name="OpenAI: GPT-5.4",
    created=1772734352,
    context_length=1_050_000,
    max_completion_tokens=128_000,
    rates=usd_per_mtok("2.5", "15", "0.25"),
    long_context=LongContextTier(272_000, usd_per_mtok("5", "22.5", "0.5")),
    provider=_OPENAI,
    input_modalities=_TEXT_IMAGE_FILE,
    tokenizer="GPT",
    is_moderated=True,
    supported_parameters=_GPT_PARAMETERS,
    reasoning=Reasoning(
        efforts=("xhigh", "high", "medium", "low", "none"),
        default_effort="medium",
        reasons_unasked=False,
        is_mandatory=False,
        detail_format="openai-responses-v1",
        style="encrypted",
    ),
    caching="automatic",
    temper=Temper(
        time_to_first_token_s=0.7,
        tokens_per_s=75,
        words=110,
        words_per_chunk=2,
        skill=3,
        tokenizer_percent=100,
        tools_tokens=24,
        image_tokens=1_105,  # a high-detail image of four tiles beside the base: 85 + 6 * 170
    ),
)
_GPT_5_4_MINI = replace(
    _GPT_5_4,
    id="openai/gpt-5.4-mini",
    canonical_slug="openai/gpt-5.4-mini-20260317",
    name="OpenAI: GPT-5.4 Mini",
    created=1773705600,
    context_length=400_000,
    rates=usd_per_mtok("0.75", "4.5", "0.075"),
    long_context=None,
    temper=replace(_GPT_5_4.temper, time_to_first_token_s=0.5, tokens_per_s=120, words=80, skill=2),
)
_GPT_5_4_NANO = replace(
    _GPT_5_4_MINI,
    id="openai/gpt-5.4-nano",
    canonical_slug="openai/gpt-5.4-nano-20260317",
    name="OpenAI: GPT-5.4 Nano",
    rates=usd_per_mtok("0.2", "1.25", "0.02"),
    provider=_AZURE,
    temper=replace(_GPT_5_4_MINI.temper, time_to_first_token_s=0.35, tokens_per_s=170, words=60, skill=1),
)
_GPT_5_5 = replace(
    _GPT_5_4,
    id="openai/gpt-5.5",
    canonical_slug="openai/gpt-5.5-20260423",
    name="OpenAI: GPT-5.5",
    created=1777051893,
    rates=usd_per_mtok("5", "30", "0.5"),
    long_context=LongContextTier(272_000, usd_per_mtok("10", "45", "1")),
    reasoning=Reasoning(
        efforts=("xhigh", "high", "medium", "low", "none"),
        default_effort="medium",
        reasons_unasked=True,
        is_mandatory=False,
        detail_format="openai-responses-v1",
        style="encrypted",
    ),
    temper=replace(_GPT_5_4.temper, time_to_first_token_s=1.1, tokens_per_s=60, words=130),
)

_CLAUDE_SONNET_4_6 = Offer(
    id="anthropic/claude-sonnet-4.6",
    canonical_slug="anthropic/claude-4.6-sonnet-20260217",
    name="Anthropic: Claude Sonnet 4.6",
    created=1771342990,
    context_length=1_000_000,
    max_completion_tokens=128_000,
    rates=usd_per_mtok("3", "15", "0.3", "3.75"),
    long_context=None,
    provider=_ANTHROPIC,
    input_modalities=_TEXT_IMAGE_FILE,
    tokenizer="Claude",
    is_moderated=True,
    supported_parameters=_CLAUDE_PARAMETERS,
    reasoning=Reasoning(
        efforts=("max", "high", "medium", "low"),
        default_effort="medium",
        reasons_unasked=False,
        is_mandatory=False,
        detail_format="anthropic-claude-v1",
        style="signed",
    ),
    caching="explicit",
    temper=Temper(
        time_to_first_token_s=0.9,
        tokens_per_s=70,
        words=140,
        words_per_chunk=4,
        skill=3,
        tokenizer_percent=122,
        tools_tokens=549,
        image_tokens=1_600,
    ),
)
_CLAUDE_OPUS_4_7 = replace(
    _CLAUDE_SONNET_4_6,
    id="anthropic/claude-opus-4.7",
    canonical_slug="anthropic/claude-4.7-opus-20260416",
    name="Anthropic: Claude Opus 4.7",
    created=1776351100,
    rates=usd_per_mtok("5", "25", "0.5", "6.25"),
    is_moderated=False,
    supported_parameters=_OPUS_PARAMETERS,
    temper=replace(
        _CLAUDE_SONNET_4_6.temper, time_to_first_token_s=1.3, tokens_per_s=50, words=170, tokenizer_percent=160
    ),
)
_CLAUDE_HAIKU_4_5 = replace(
    _CLAUDE_SONNET_4_6,
    id="anthropic/claude-haiku-4.5",
    canonical_slug="anthropic/claude-4.5-haiku-20251001",
    name="Anthropic: Claude Haiku 4.5",
    created=1760547638,
    context_length=200_000,
    max_completion_tokens=64_000,
    rates=usd_per_mtok("1", "5", "0.1", "1.25"),
    provider=_BEDROCK,
    temper=replace(_CLAUDE_SONNET_4_6.temper, time_to_first_token_s=0.5, tokens_per_s=140, words=90, skill=2),
)

_GEMINI_3_1_PRO = Offer(
    id="google/gemini-3.1-pro-preview",
    canonical_slug="google/gemini-3.1-pro-preview-20260219",
    name="Google: Gemini 3.1 Pro Preview",
    created=1771509627,
    context_length=1_048_576,
    max_completion_tokens=65_536,
    rates=usd_per_mtok("2", "12", "0.2", "0.375"),
    long_context=LongContextTier(200_000, usd_per_mtok("4", "18", "0.4")),
    provider=_VERTEX,
    input_modalities=_TEXT_IMAGE_FILE,
    tokenizer="Gemini",
    is_moderated=False,
    supported_parameters=_GEMINI_PARAMETERS,
    reasoning=Reasoning(
        efforts=("high", "medium", "low"),
        default_effort="medium",
        reasons_unasked=True,
        is_mandatory=True,
        detail_format="google-gemini-v1",
        style="signed",
    ),
    caching="automatic",  # Gemini's implicit cache; writing to it is free, the price is that of the explicit one
    temper=Temper(
        time_to_first_token_s=1.2,
        tokens_per_s=85,
        words=120,
        words_per_chunk=8,
        skill=3,
        tokenizer_percent=107,
        tools_tokens=0,
        image_tokens=1_120,
    ),
)
_GEMINI_3_FLASH = replace(
    _GEMINI_3_1_PRO,
    id="google/gemini-3-flash-preview",
    canonical_slug="google/gemini-3-flash-preview-20251217",
    name="Google: Gemini 3 Flash Preview",
    created=1765987078,
    max_completion_tokens=65_535,
    rates=usd_per_mtok("0.5", "3", "0.05", "0.08333333333333334"),
    long_context=None,
    provider=_AI_STUDIO,
    reasoning=Reasoning(
        efforts=("high", "medium", "low", "minimal"),
        default_effort="medium",
        reasons_unasked=False,
        is_mandatory=False,
        detail_format="google-gemini-v1",
        style="signed",
    ),
    temper=replace(_GEMINI_3_1_PRO.temper, time_to_first_token_s=0.6, tokens_per_s=150, words=90, skill=2),
)
_GEMINI_3_1_FLASH_LITE = replace(
    _GEMINI_3_FLASH,
    id="google/gemini-3.1-flash-lite",
    canonical_slug="google/gemini-3.1-flash-lite-20260507",
    name="Google: Gemini 3.1 Flash Lite",
    created=1778112000,
    max_completion_tokens=65_536,
    rates=usd_per_mtok("0.25", "1.5", "0.025", "0.08333333333333334"),
    temper=replace(_GEMINI_3_FLASH.temper, time_to_first_token_s=0.35, tokens_per_s=220, words=60, skill=1),
)

_KIMI_K2_6 = replace(
    _DEEPSEEK_V4_FLASH,
    id="moonshotai/kimi-k2.6",
    canonical_slug="moonshotai/kimi-k2.6-20260420",
    name="MoonshotAI: Kimi K2.6",
    created=1776643200,
    context_length=262_144,
    max_completion_tokens=262_144,
    rates=usd_per_mtok("0.95", "4", "0.16"),
    provider=Provider("Fireworks", "fireworks", cancel_stops_billing=True),
    input_modalities=("text", "image"),
    tokenizer="Other",
    temper=replace(
        _DEEPSEEK_V4_FLASH.temper,
        time_to_first_token_s=0.8,
        tokens_per_s=60,
        skill=2,
        tokenizer_percent=105,
        tools_tokens=33,
        image_tokens=1_024,
    ),
)
_GLM_5_1 = replace(
    _DEEPSEEK_V4_FLASH,
    id="z-ai/glm-5.1",
    canonical_slug="z-ai/glm-5.1-20260406",
    name="Z.ai: GLM 5.1",
    created=1775578025,
    context_length=202_752,
    max_completion_tokens=131_072,
    rates=usd_per_mtok("1.4", "4.4", "0.26"),
    provider=Provider("NovitaAI", "novita", cancel_stops_billing=True),
    tokenizer="Other",
    reasoning=Reasoning(
        efforts=("xhigh", "high"),
        default_effort="high",
        reasons_unasked=True,
        is_mandatory=False,
        detail_format="unknown",
        style="open",
    ),
    temper=replace(
        _DEEPSEEK_V4_FLASH.temper,
        time_to_first_token_s=0.9,
        tokens_per_s=55,
        skill=2,
        tokenizer_percent=105,
        tools_tokens=33,
    ),
)

STOCK = Stock(
    (
        _DEEPSEEK_V4_FLASH,
        _DEEPSEEK_V4_PRO,
        _DEEPSEEK_V3_2,
        _GPT_5_4,
        _GPT_5_4_MINI,
        _GPT_5_4_NANO,
        _GPT_5_5,
        _CLAUDE_OPUS_4_7,
        _CLAUDE_SONNET_4_6,
        _CLAUDE_HAIKU_4_5,
        _GEMINI_3_1_PRO,
        _GEMINI_3_1_FLASH_LITE,
        _GEMINI_3_FLASH,
        _KIMI_K2_6,
        _GLM_5_1,
    )
)
