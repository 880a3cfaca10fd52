"""What the prefixes of LiteLLM's model names are to Penstock: whom it asks itself, and whose models it asks elsewhere.

Base addresses and variables are from LiteLLM 1.110.2, read 2026-11-30: `litellm_core_utils/get_llm_provider_logic.py`,
`constants.py`, and `llms/*/chat/transformation.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from router.catalog.catalog import ProviderKind


@dataclass(frozen=True, slots=True)
class Spoken:
    """A server that speaks the OpenAI API."""

    base_url: str | None = None  # None: every deployment names its own
    key_env: str | None = None  # the variable that LiteLLM takes the key from where the config names none
    kind: ProviderKind = "openai_compatible"
    prices: str | None = None  # what genai-prices calls it, if it knows it
    maker: str | None = None  # of all models that it serves, as OpenRouter's ids begin
    serves_open_weights: bool = False  # the same weights as others, under names that differ in the ending
    is_own_machine: bool = False


SPOKEN: Mapping[str, Spoken] = {
    "openai": Spoken("https://api.openai.com/v1", "OPENAI_API_KEY", prices="openai", maker="openai"),
    "openrouter": Spoken("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "openrouter", prices="openrouter"),
    # LiteLLM asks /beta there; Penstock's dialect needs nothing of it.
    "deepseek": Spoken("https://api.deepseek.com", "DEEPSEEK_API_KEY", "deepseek", prices="deepseek", maker="deepseek"),
    "groq": Spoken("https://api.groq.com/openai/v1", "GROQ_API_KEY", prices="groq", serves_open_weights=True),
    "together_ai": Spoken(
        "https://api.together.ai/v1", "TOGETHER_API_KEY", prices="together", serves_open_weights=True
    ),
    "fireworks_ai": Spoken(
        "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", prices="fireworks", serves_open_weights=True
    ),
    "mistral": Spoken("https://api.mistral.ai/v1", "MISTRAL_API_KEY", prices="mistral", maker="mistralai"),
    "xai": Spoken("https://api.x.ai/v1", "XAI_API_KEY", prices="x-ai", maker="x-ai"),
    "perplexity": Spoken("https://api.perplexity.ai", "PERPLEXITYAI_API_KEY", prices="perplexity", maker="perplexity"),
    "cerebras": Spoken("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", prices="cerebras", serves_open_weights=True),
    "deepinfra": Spoken("https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY", serves_open_weights=True),
    "nvidia_nim": Spoken("https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY", serves_open_weights=True),
    "sambanova": Spoken("https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY", serves_open_weights=True),
    "nebius": Spoken("https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY", serves_open_weights=True),
    "novita": Spoken("https://api.novita.ai/v3/openai", "NOVITA_API_KEY", prices="novita", serves_open_weights=True),
    "baseten": Spoken("https://inference.baseten.co/v1", "BASETEN_API_KEY", prices="baseten", serves_open_weights=True),
    "zai": Spoken("https://api.z.ai/api/paas/v4", "ZAI_API_KEY", prices="zai", maker="z-ai"),
    "ollama": Spoken("http://127.0.0.1:11434", is_own_machine=True),
    "ollama_chat": Spoken("http://127.0.0.1:11434", is_own_machine=True),
    "hosted_vllm": Spoken(is_own_machine=True),
    "lm_studio": Spoken(is_own_machine=True),
    "llamafile": Spoken("http://127.0.0.1:8080/v1", is_own_machine=True),
    "litellm_proxy": Spoken(),
    "custom_openai": Spoken(),
    "openai_like": Spoken(),
}

# Those whose own API Penstock does not speak; OpenRouter has many of their models. What their names begin with there.
ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("anthropic",),
    "gemini": ("google",),
    "azure": ("openai",),
    "azure_ai": ("openai", "anthropic", "mistralai", "meta-llama", "deepseek", "microsoft", "cohere", "x-ai"),
    "vertex_ai": ("google", "anthropic", "meta-llama", "mistralai", "deepseek", "qwen"),
    "vertex_ai_beta": ("google",),
    "bedrock": ("anthropic", "amazon", "meta-llama", "mistralai", "deepseek", "openai", "cohere", "qwen"),
    "bedrock_converse": ("anthropic", "amazon", "meta-llama", "mistralai", "deepseek", "openai", "cohere", "qwen"),
    "cohere": ("cohere",),
    "cohere_chat": ("cohere",),
    "text-completion-openai": ("openai",),
}

# Of a name without a prefix LiteLLM looks up lists of its own (`open_ai_chat_completion_models`, …).
_BARE = (
    (re.compile(r"(gpt-|o[134](-|$)|chatgpt-|text-embedding-|omni-moderation|text-moderation|ft:)"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gemini-"), "vertex_ai"),
    (re.compile(r"command-"), "cohere"),
)
_OPENROUTER_HOSTS = ("openrouter.ai", "eu.openrouter.ai")
_PRIVATE = re.compile(r"localhost|127\..*|0\.0\.0\.0|\[?::1\]?|10\..*|192\.168\..*|172\.(1[6-9]|2\d|3[01])\..*")
_PRIVATE_ENDINGS = (".local", ".internal", ".lan", ".svc", ".cluster.local")


def prefix_and_name(model: str, custom: str | None) -> tuple[str, str]:
    """`groq/llama-3` is `groq` and `llama-3`; the prefix is empty if nobody can tell. `custom`: custom_llm_provider."""
    prefix, slash, rest = model.partition("/")
    if custom:
        return custom, rest if slash and prefix == custom else model
    if slash and (prefix in SPOKEN or prefix in ELSEWHERE):
        return prefix, rest
    bare = next((provider for pattern, provider in _BARE if pattern.match(model)), "")
    return (bare, model) if bare or not slash else (prefix, rest)


def kind_at(prefix: str, base_url: str) -> ProviderKind:
    """The dialect spoken at an address: OpenRouter's and DeepSeek's only where it is theirs."""
    host = urlsplit(base_url).hostname
    if prefix == "openrouter" or host in _OPENROUTER_HOSTS:
        return "openrouter" if host in _OPENROUTER_HOSTS else "openai_compatible"
    return "deepseek" if host == "api.deepseek.com" else "openai_compatible"


def is_private(base_url: str) -> bool:
    """Whether an address is this machine's or of a private network (RFC 1918), by its looks."""
    host = urlsplit(base_url).hostname or ""
    is_word = "." not in host and ":" not in host  # as Docker and Kubernetes name their services
    return bool(_PRIVATE.fullmatch(host)) or host.endswith(_PRIVATE_ENDINGS) or (bool(host) and is_word)
