"""What a generation cost, exactly, and the bill of all of them.

Cached and written tokens are contained in `prompt_tokens` and priced at their own rates; reasoning tokens are contained
in `completion_tokens`. The bill is the provider's truth: a client that adds up what it was told must arrive at it.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from router.sandbox.json_text import JsonObject
from router.sandbox.offer import Rates


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one generation consumed and made."""

    prompt: int
    cached: int
    cache_write: int
    completion: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class Charge:
    """USD, exact."""

    prompt_usd: Decimal
    completion_usd: Decimal

    @property
    def total_usd(self) -> Decimal:
        """What the generation costs."""
        return self.prompt_usd + self.completion_usd


NOTHING = Charge(Decimal(0), Decimal(0))


def charge(tokens: Tokens, rates: Rates, *, images: int = 0) -> Charge:
    """What `tokens` cost at `rates`; a missing cache price means the full prompt price. Fees are the prompt's."""
    special = tokens.cached + tokens.cache_write
    if special > tokens.prompt:
        special = max(tokens.cached, tokens.cache_write)  # the same tokens were written, then read: both are paid
    plain = tokens.prompt - special
    read = rates.prompt if rates.cache_read is None else rates.cache_read
    write = rates.prompt if rates.cache_write is None else rates.cache_write
    prompt_usd = plain * rates.prompt + tokens.cached * read + tokens.cache_write * write
    prompt_usd += (rates.request or 0) + images * (rates.image or 0)
    completion_usd = tokens.completion * rates.completion
    return Charge(prompt_usd.normalize(), completion_usd.normalize())


def nano_usd(usd: Decimal) -> int:
    """Billionths of a dollar, rounded half to even."""
    return int(usd.scaleb(9).to_integral_value(rounding=ROUND_HALF_EVEN))


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation whose billing has ended."""

    id: str
    model: str
    provider: str
    is_streamed: bool
    is_cancelled: bool
    tokens: Tokens
    charge: Charge
    finish_reason: str | None
    native_finish_reason: str | None
    created_at: datetime
    first_token_s: float
    duration_s: float
    server: str  # openrouter, deepseek or local
    api_type: str  # completions, responses or embeddings
    missing_reads: int  # how often its record is asked for in vain

    def bill_line(self) -> JsonObject:
        """This generation on `/sandbox/bill`."""
        return {
            "id": self.id,
            "model": self.model,
            "provider": self.provider,
            "server": self.server,
            "streamed": self.is_streamed,
            "cancelled": self.is_cancelled,
            "prompt_tokens": self.tokens.prompt,
            "cached_tokens": self.tokens.cached,
            "completion_tokens": self.tokens.completion,
            "reasoning_tokens": self.tokens.reasoning,
            "nano_usd": nano_usd(self.charge.total_usd),
        }

    def record(self) -> JsonObject:
        """This generation on `/api/v1/generation` (OpenRouter's OpenAPI file, 2026-08)."""
        return {
            "id": self.id,
            "upstream_id": f"chatcmpl-{self.id[-20:]}",
            "total_cost": self.charge.total_usd,
            "usage": self.charge.total_usd,
            "upstream_inference_cost": self.charge.total_usd,
            "cache_discount": None,
            "created_at": self.created_at.isoformat(),
            "model": self.model,
            "app_id": None,
            "streamed": self.is_streamed,
            "cancelled": self.is_cancelled,
            "provider_name": self.provider,
            "latency": round(self.first_token_s * 1000),
            "moderation_latency": None,
            "generation_time": round(self.duration_s * 1000),
            "finish_reason": self.finish_reason,
            "native_finish_reason": self.native_finish_reason,
            "tokens_prompt": self.tokens.prompt,
            "tokens_completion": self.tokens.completion,
            "native_tokens_prompt": self.tokens.prompt,
            "native_tokens_completion": self.tokens.completion,
            "native_tokens_reasoning": self.tokens.reasoning,
            "native_tokens_cached": self.tokens.cached,
            "native_tokens_completion_images": 0,
            "num_media_prompt": 0,
            "num_input_audio_prompt": 0,
            "num_media_completion": 0,
            "num_search_results": 0,
            "num_fetches": 0,
            "web_search_engine": None,
            "origin": "",
            "is_byok": False,
            "external_user": None,
            "api_type": self.api_type,
            "router": None,
            "provider_responses": None,
            "user_agent": None,
            "http_referer": None,
            "request_id": None,
            "session_id": None,
            "service_tier": "default",
            "preset_id": None,
            "workspace_id": None,
            "data_region": "global",
        }


class Bill:
    """Every generation billed since the start or the last reset; it grows until it is reset."""

    def __init__(self) -> None:
        self._generations: dict[str, Generation] = {}
        self._reads: Counter[str] = Counter()

    def add(self, generation: Generation) -> None:
        """Puts a generation on the bill, once. Raises ValueError if its id is there already."""
        if generation.id in self._generations:
            raise ValueError(f"generation {generation.id} is on the bill already")
        self._generations[generation.id] = generation

    def read(self, generation_id: str, *, missing_reads: int = 0) -> Generation | None:
        """The generation with this id, once its billing has ended and it was asked for in vain often enough."""
        generation = self._generations.get(generation_id)
        if generation is None:
            return None
        self._reads[generation_id] += 1
        is_due = self._reads[generation_id] > max(generation.missing_reads, missing_reads)
        return generation if is_due else None

    def total_usd(self) -> Decimal:
        """The exact sum."""
        return sum((g.charge.total_usd for g in self._generations.values()), Decimal(0))

    def as_json(self) -> JsonObject:
        """The whole bill; its total is the sum of the rounded lines."""
        lines = [generation.bill_line() for generation in self._generations.values()]
        return {"generations": lines, "total_nano_usd": sum(line["nano_usd"] for line in lines)}

    def reset(self) -> None:
        """Tears the bill up."""
        self._generations.clear()
        self._reads.clear()
