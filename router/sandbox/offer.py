"""What the sandbox sells: models with their limits, prices, providers and temper.

Ids, slugs, context lengths, output limits and prices are OpenRouter's, from its `/models` of July 2026 and, where they
have moved since, from the newest dated entry of genai-prices 0.2.3 (2026-11-03 to 2026-11-09). The sandbox sells each
model through one provider. Speeds, verbosity and tokenizer ratios are the sandbox's choice, in the proportion of
published measurements.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

Modality = Literal["text", "image", "file"]


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per token, exact. `None` means the model has no such price."""

    prompt: Decimal
    completion: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None  # the five-minute cache; the one-hour cache is not simulated


@dataclass(frozen=True, slots=True)
class LongContextTier:
    """The rates of the whole request once its prompt is *strictly* longer than `above_prompt_tokens`."""

    above_prompt_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Provider:
    """Who serves a model, and what this provider does differently."""

    name: str
    slug: str
    # Whether closing a stream ends the charge (openrouter.ai documentation on cancellation, 2026-08).
    cancel_stops_billing: bool
    native_stop: str = "stop"
    native_length: str = "length"


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How a model thinks aloud."""

    efforts: tuple[str, ...]
    default_effort: str
    reasons_unasked: bool
    is_mandatory: bool
    detail_format: str
    style: Literal["open", "signed", "encrypted"]  # what `reasoning_details` shows besides the text


@dataclass(frozen=True, slots=True)
class Temper:
    """How a model behaves; every figure here is the sandbox's choice."""

    time_to_first_token_s: float
    tokens_per_s: float
    words: int  # length of a typical answer
    words_per_chunk: int
    skill: Literal[1, 2, 3]  # 3 is the frontier; decides how well it draws
    tokenizer_percent: int  # native tokens per hundred o200k_base tokens of English
    tools_tokens: int  # fixed prompt overhead once any tool is offered
    image_tokens: int  # what one image or file adds to the prompt


@dataclass(frozen=True, slots=True)
class Offer:
    """One model on sale."""

    id: str
    canonical_slug: str
    name: str
    created: int
    context_length: int
    max_completion_tokens: int
    rates: Rates
    long_context: LongContextTier | None
    provider: Provider
    input_modalities: tuple[Modality, ...]
    tokenizer: str
    is_moderated: bool
    supported_parameters: tuple[str, ...]
    reasoning: Reasoning | None
    caching: Literal["automatic", "explicit"]
    temper: Temper

    def rates_for(self, prompt_tokens: int) -> Rates:
        """The rates of a request with a prompt of this length."""
        if self.long_context is not None and prompt_tokens > self.long_context.above_prompt_tokens:
            return self.long_context.rates
        return self.rates

    def native_tokens(self, counted_tokens: int) -> int:
        """Tokens of this model's own tokenizer for text that o200k_base cuts into `counted_tokens`."""
        return counted_tokens * self.temper.tokenizer_percent // 100

    def counted_tokens_within(self, native_tokens: int) -> int:
        """The most o200k_base tokens that still make at most `native_tokens`."""
        return (native_tokens * 100 + 99) // self.temper.tokenizer_percent


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The models on sale, in the order `/models` lists them."""

    offers: tuple[Offer, ...]
    by_name: Mapping[str, Offer]  # by id and by canonical slug

    def find(self, model: str) -> Offer | None:
        """The offer with this id or canonical slug; variants (`:free`, `:nitro`) are not sold here."""
        return self.by_name.get(model)


def standard_catalogue() -> Catalogue:
    """The fifteen models of this month."""
    offers = _deepseek() + _openai() + _anthropic() + _google() + _others()
    names = {offer.id: offer for offer in offers} | {offer.canonical_slug: offer for offer in offers}
    return Catalogue(offers, MappingProxyType(names))


_TEXT: tuple[Modality, ...] = ("text",)
_TEXT_IMAGE: tuple[Modality, ...] = ("text", "image")
_TEXT_IMAGE_FILE: tuple[Modality, ...] = ("text", "image", "file")

_COMMON = ("include_reasoning", "max_tokens", "reasoning", "response_format", "structured_outputs", "tool_choice", "tools")
_OPEN_WEIGHT = tuple(
    sorted(
        (
            *_COMMON,
            "frequency_penalty",
            "logit_bias",
            "logprobs",
            "min_p",
            "presence_penalty",
            "repetition_penalty",
            "seed",
            "stop",
            "temperature",
            "top_k",
            "top_logprobs",
            "top_p",
        )
    )
)
_GPT = tuple(sorted((*_COMMON, "max_completion_tokens", "seed")))  # no temperature (wire, 2026-07)
_CLAUDE_OPUS = tuple(sorted((*_COMMON, "max_completion_tokens", "stop", "verbosity")))  # nor here
_CLAUDE = tuple(sorted((*_CLAUDE_OPUS, "temperature", "top_k", "top_p")))
_GEMINI = tuple(sorted((*_COMMON, "seed", "stop", "temperature", "top_p")))

_DEEPINFRA = Provider("DeepInfra", "deepinfra", cancel_stops_billing=True)
_DEEPSEEK = Provider("DeepSeek", "deepseek", cancel_stops_billing=True)
_OPENAI = Provider("OpenAI", "openai", cancel_stops_billing=True, native_stop="completed", native_length="max_output_tokens")
_AZURE = Provider("Azure", "azure", cancel_stops_billing=True, native_stop="completed", native_length="max_output_tokens")
_ANTHROPIC = Provider("Anthropic", "anthropic", cancel_stops_billing=True, native_stop="end_turn", native_length="max_tokens")
_BEDROCK = Provider("Amazon Bedrock", "amazon-bedrock", cancel_stops_billing=False)
_VERTEX = Provider("Google", "google-vertex", cancel_stops_billing=False, native_stop="STOP", native_length="MAX_TOKENS")
_AI_STUDIO = Provider(
    "Google AI Studio", "google-ai-studio", cancel_stops_billing=False, native_stop="STOP", native_length="MAX_TOKENS"
)
_FIREWORKS = Provider("Fireworks", "fireworks", cancel_stops_billing=True)
_NOVITA = Provider("NovitaAI", "novita", cancel_stops_billing=True)


def _per_million(prompt: str, completion: str, cache_read: str | None = None, cache_write: str | None = None) -> Rates:
    def per_token(usd_per_mtok: str | None) -> Decimal | None:
        return None if usd_per_mtok is None else Decimal(usd_per_mtok).scaleb(-6)

    return Rates(
        prompt=Decimal(prompt).scaleb(-6),
        completion=Decimal(completion).scaleb(-6),
        cache_read=per_token(cache_read),
        cache_write=per_token(cache_write),
    )


def _deepseek() -> tuple[Offer, ...]:
    reasoning = Reasoning(
        efforts=("xhigh", "high"),
        default_effort="high",
        reasons_unasked=False,
        is_mandatory=False,
        detail_format="unknown",
        style="open",
    )

    def offer(
        slug: str, dated: str, title: str, created: int, *, context: int, max_out: int, rates: Rates, provider: Provider, temper: Temper
    ) -> Offer:
        return Offer(
            id=f"deepseek/{slug}",
            canonical_slug=f"deepseek/{dated}",
            name=f"DeepSeek: {title}",
            created=created,
            context_length=context,
            max_completion_tokens=max_out,
            rates=rates,
            long_context=None,
            provider=provider,
            input_modalities=_TEXT,
            tokenizer="DeepSeek",
            is_moderated=False,
            supported_parameters=_OPEN_WEIGHT,
            reasoning=reasoning,
            caching="automatic",
            temper=temper,
        )

    return (
        offer(
            "deepseek-v4-flash",
            "deepseek-v4-flash-20260423",
            "DeepSeek V4 Flash",
            1777000666,
            context=1_048_576,
            max_out=65_536,
            rates=_per_million("0.105", "0.21", "0.021"),
            provider=_DEEPINFRA,
            temper=Temper(0.45, 110, 90, 3, 1, 103, 142, 0),
        ),
        offer(
            "deepseek-v4-pro",
            "deepseek-v4-pro-20260423",
            "DeepSeek V4 Pro",
            1777000679,
            context=1_048_576,
            max_out=384_000,
            rates=_per_million("1.416", "2.832", "0.118"),
            provider=_DEEPINFRA,
            temper=Temper(0.9, 45, 120, 2, 2, 103, 142, 0),
        ),
        offer(
            "deepseek-v3.2",
            "deepseek-v3.2-20251201",
            "DeepSeek V3.2",
            1764547200,
            context=131_072,
            max_out=64_000,
            rates=_per_million("0.26", "0.38", "0.13"),
            provider=_DEEPSEEK,
            temper=Temper(0.8, 40, 110, 2, 1, 103, 142, 0),
        ),
    )
