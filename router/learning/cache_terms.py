"""How providers' prompt caches behave over time: `CacheTerms`, dated data. What they leave open is judged here.

Which prompts are cached, and whether one has to ask, stands in the catalog (`prompt_caches`). Sources, read in November
2026: OpenRouter's documentation on prompt caching (reference: openrouter.md §6), and for DeepSeek's own API
api-docs.deepseek.com/guides/kv_cache. Where a range is published the lower end is taken: a cache that is believed warm
and is cold costs the whole prompt, and `warmth` learns from the cached tokens reported when one lives longer.
"""

from dataclasses import dataclass

from router.catalog.catalog import Deployment


@dataclass(frozen=True, slots=True)
class CacheTerms:
    """How one provider's cache behaves; tokens are the model's own."""

    minimum_tokens: int  # shorter beginnings are not cached
    step_tokens: int  # what is read is a multiple of this
    lifetime_s: float  # from the last use on
    is_explicit: bool = False  # caches only up to the client's own `cache_control` marks
    keeps_answers: bool = False  # what the model wrote is cached too, and read when it comes back in the next turn


ONE_HOUR_S = 3600.0  # the longer of Anthropic's two lifetimes, if the request asks for it

# OpenAI keeps prompts for 5 to 10 minutes and reads them in steps of 128 tokens. Grok, Groq, Moonshot, Z.AI and the
# hosts of open weights cache automatically too and publish neither: taken to be as OpenAI.
_STEP_TOKENS = 128
_LIFETIME_S = 300.0

# Anthropic (its shorter lifetime) and Alibaba read exactly what was marked.
# Google reads without being asked what it has kept for 3 to 5 minutes; only its explicit cache wants marks.
_GOOGLE_LIFETIME_S = 180.0

# DeepSeek itself: on disk, a unit at the end of each prompt and each answer; kept as long as it is in use, usually for
# hours to days. An hour is enough for a conversation, and what is remembered longer is learned.
_DEEPSEEK = CacheTerms(minimum_tokens=64, step_tokens=64, lifetime_s=3600.0, keeps_answers=True)

# Servers of one's own (vLLM, SGLang, llama.cpp) keep blocks of 16 or so while there is room. Nothing is billed there
# unless the catalog says so.
_OWN_SERVER = CacheTerms(minimum_tokens=16, step_tokens=16, lifetime_s=_LIFETIME_S, keeps_answers=True)


def cache_terms(deployment: Deployment) -> CacheTerms:
    """The terms of the provider behind a deployment, or the likely ones."""
    match deployment.provider.kind:
        case "deepseek":
            return _DEEPSEEK
        case "openai_compatible":
            return _OWN_SERVER
        case "openrouter":
            caching = deployment.caching
            if deployment.model.name.startswith("google/"):
                return CacheTerms(caching.least_tokens, step_tokens=1, lifetime_s=_GOOGLE_LIFETIME_S)
            if caching.is_asked_for:
                return CacheTerms(caching.least_tokens, step_tokens=1, lifetime_s=_LIFETIME_S, is_explicit=True)
            return CacheTerms(caching.least_tokens, step_tokens=_STEP_TOKENS, lifetime_s=_LIFETIME_S)
