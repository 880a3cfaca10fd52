"""A generation that has been accepted: everything about it that is known before its first token."""

from dataclasses import dataclass
from datetime import datetime

from router.sandbox.admission import Admission
from router.sandbox.answers import Choice
from router.sandbox.billing import Tokens
from router.sandbox.faults import Fault, Quirk
from router.sandbox.manners import Manners
from router.sandbox.prompt_cache import CacheUse

_UNCACHED_TOKENS = 7
"""What is left of a prompt whose rest was both written to the cache and read from it (wire, Gemini, 2026-03)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast this one is served, in simulated time."""

    time_to_first_token_s: float
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Order:
    """What one request leads to."""

    id: str
    admission: Admission
    cache_use: CacheUse
    choices: tuple[Choice, ...]
    fault: Fault
    created_at: datetime
    pace: Pace
    manners: Manners

    def tokens(self, *, completion: int, reasoning: int) -> Tokens:
        """What it consumed once so much has been generated."""
        prompt = self.admission.prompt_tokens
        cached, written = self.cache_use.read_tokens, self.cache_use.write_tokens
        if self.fault.quirk is Quirk.CACHE_OVERLAP:
            cached = written = max(prompt - _UNCACHED_TOKENS, 0)
        return Tokens(prompt=prompt, cached=cached, cache_write=written, completion=completion, reasoning=reasoning)

    def all_tokens(self) -> Tokens:
        """What it consumes when it comes to its end."""
        return self.tokens(
            completion=sum(choice.tokens for choice in self.choices),
            reasoning=sum(choice.reasoning_tokens for choice in self.choices),
        )
