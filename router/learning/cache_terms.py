"""What providers publish about their prompt caches: `CacheTerms`, dated data. What they leave open is judged here.

Sources, read in November 2026: OpenRouter's documentation on prompt caching (reference: openrouter.md §6), and for
DeepSeek's own API api-docs.deepseek.com/guides/kv_cache. Where a range is published the lower end is taken: a cache
that is believed warm and is cold costs the whole prompt, and `warmth` learns from the cached tokens reported when one
lives longer.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from router.catalog.catalog import Deployment


@dataclass(frozen=True, slots=True)
class CacheTerms:
    """How one provider's cache behaves; tokens are the model's own."""

    minimum_tokens: int  # shorter beginnings are not cached
    step_tokens: int = 1  # what is read is a multiple of this
    lifetime_s: float = 300.0  # from the last use on
    is_explicit: bool = False  # caches only up to the client's own `cache_control` marks
    keeps_answers: bool = False  # what the model wrote is cached too, and read when it comes back in the next turn


ONE_HOUR_S = 3600.0  # the longer of Anthropic's two lifetimes, if the request asks for it

# OpenAI: from 1,024 tokens on, in steps of 128, for 5 to 10 minutes.
_OPENAI = CacheTerms(minimum_tokens=1_024, step_tokens=128)

# Grok, Groq, Moonshot, Z.AI and the hosts of open weights cache automatically and publish neither minimum nor lifetime:
# taken to be OpenAI's.
_UNPUBLISHED = _OPENAI

# DeepSeek itself: on disk, a unit at the end of each prompt and each answer; kept as long as it is in use, "usually
# hours to days". An hour is enough for a conversation, and what is remembered longer is learned.
_DEEPSEEK = CacheTerms(minimum_tokens=64, step_tokens=64, lifetime_s=3600.0, keeps_answers=True)

# Servers of one's own (vLLM, SGLang, llama.cpp) keep blocks of 16 or so while there is room. Nothing is billed there
# unless the catalog says so.
_OWN_SERVER = CacheTerms(minimum_tokens=16, step_tokens=16, keeps_answers=True)

# By the model's name in the catalog; the first pattern that fits counts.
_BY_MODEL = (
    ("anthropic/claude-sonnet-4*", CacheTerms(1_024, is_explicit=True)),
    ("anthropic/claude-opus-4.1", CacheTerms(1_024, is_explicit=True)),
    ("anthropic/claude-opus-4", CacheTerms(1_024, is_explicit=True)),
    ("anthropic/claude-3.5-haiku", CacheTerms(2_048, is_explicit=True)),
    ("anthropic/*", CacheTerms(4_096, is_explicit=True)),  # Opus 4.5 to 4.8, Haiku 4.5; unknown ones may have the most
    ("google/*flash*", CacheTerms(1_024, lifetime_s=180.0)),  # implicit caching: 3 to 5 minutes
    ("google/*", CacheTerms(4_096, lifetime_s=180.0)),
    ("qwen/*", CacheTerms(1_024, is_explicit=True)),  # Alibaba; its minimum is not published
    ("openai/*", _OPENAI),
)


def cache_terms(deployment: Deployment) -> CacheTerms:
    """The terms of the provider behind a deployment, or the likely ones."""
    match deployment.provider.kind:
        case "deepseek":
            return _DEEPSEEK
        case "openai_compatible":
            return _OWN_SERVER
        case "openrouter":
            name = deployment.model.name
            return next((terms for pattern, terms in _BY_MODEL if fnmatchcase(name, pattern)), _UNPUBLISHED)
