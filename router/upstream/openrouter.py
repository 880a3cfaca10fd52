"""Facts about OpenRouter that no field of its replies tells."""

# Closing the connection stops billing at these providers, and only for streams.
# Source: openrouter.ai/docs, "API streaming: cancellation", 2026-08 (reference: openrouter.md §2.5).
_CANCEL_STOPS_BILLING = frozenset(
    {
        "anthropic", "anyscale", "avian", "azure", "chutes", "cloudflare", "cohere", "deepinfra", "deepseek",
        "fireworks", "friendli", "hyperbolic", "infermatic", "lepton", "liquid", "mancer", "nineteen", "novita",
        "octoai", "openai", "recursal", "sfcompute", "together", "xai",
    }
)  # fmt: skip


def cancel_stops_billing(serving_provider: str | None) -> bool:
    """Whether a stream served by this provider is billed only up to the moment it is closed. Unknown: no."""
    return serving_provider is not None and serving_provider.lower() in _CANCEL_STOPS_BILLING
