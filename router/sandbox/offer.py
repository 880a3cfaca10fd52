"""What the sandbox can sell: a model with its limits, prices, provider and temper. The models themselves: `stock`."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

Modality = Literal["text", "image", "file"]


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per token, but for the last two, exact. `None` means the model has no such price."""

    prompt: Decimal
    completion: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None  # the five-minute cache; the one-hour cache is not simulated
    request: Decimal | None = None  # USD per call
    image: Decimal | None = None  # USD per image or file in the prompt, beside the tokens it makes


@dataclass(frozen=True, slots=True)
class LongContextTier:
    """The rates of the whole request once its prompt is *strictly* longer than `above_prompt_tokens`."""

    above_prompt_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class PeakHours:
    """The base rates during some hours of every day, UTC. A window ends before its end and may pass midnight."""

    windows: tuple[tuple[int, int], ...]  # hours and minutes as one number: 130 is half past one
    rates: Rates

    def holds(self, at: datetime) -> bool:
        """Whether they apply at this time, given in UTC."""
        now = at.hour * 100 + at.minute
        return any(start <= now < end if start < end else now >= start or now < end for start, end in self.windows)


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
    spread: float = 0.0  # of both speeds from one answer to the next: standard deviation of their logarithms


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
    peak: PeakHours | None = None

    def at(self, time: datetime) -> "Offer":
        """What is sold at this time of day: the base rates are those of the hour."""
        return self if self.peak is None or not self.peak.holds(time) else replace(self, rates=self.peak.rates)

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
