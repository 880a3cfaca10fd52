"""Which prompts a model's makers keep in their cache, and whether one has to ask: `PromptCaching`, by model name.

OpenRouter's page on prompt caching, read in November 2026 (openrouter.md §6). What a write costs is a price and stands
in `prices`; most makers charge nothing for it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PromptCaching:
    least_tokens: int  # a shorter prompt is not kept
    is_asked_for: bool  # only what the request marks with `cache_control` is kept


_AUTOMATIC = PromptCaching(least_tokens=1_024, is_asked_for=False)  # where nothing is documented: as at OpenAI

# The first name that the model's own begins with.
_BY_NAME: tuple[tuple[str, PromptCaching], ...] = (
    ("anthropic/claude-opus-4.1", PromptCaching(least_tokens=1_024, is_asked_for=True)),
    ("anthropic/claude-opus-4.", PromptCaching(least_tokens=4_096, is_asked_for=True)),
    ("anthropic/claude-haiku-4.5", PromptCaching(least_tokens=4_096, is_asked_for=True)),
    ("anthropic/claude-3.5-haiku", PromptCaching(least_tokens=2_048, is_asked_for=True)),
    ("anthropic/", PromptCaching(least_tokens=1_024, is_asked_for=True)),
    # Google keeps prompts by itself too, free of charge; what costs is the cache that a request asks for.
    ("google/gemini-3.1-pro", PromptCaching(least_tokens=4_096, is_asked_for=True)),
    ("google/gemini-2.5-pro", PromptCaching(least_tokens=4_096, is_asked_for=True)),
    ("google/", PromptCaching(least_tokens=1_024, is_asked_for=True)),
    ("qwen/", PromptCaching(least_tokens=1_024, is_asked_for=True)),
)


def prompt_caching(model: str) -> PromptCaching:
    """What is known of the makers of `model`, a catalog id."""
    return next((caching for start, caching in _BY_NAME if model.startswith(start)), _AUTOMATIC)
