"""Whether a request may be served at all: model, filters, modalities, context length, price ceiling."""

from dataclasses import dataclass
from decimal import Decimal

from router.sandbox.failures import only_others
from router.sandbox.offer import Offer
from router.sandbox.prompt_tokens import PromptSize, media_of
from router.sandbox.refusals import ROUTING_HELP, Refusal, invalid, no_endpoints
from router.sandbox.requests import ChatRequest, ProviderPreferences

_SAMPLING_PARAMETERS = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "top_a",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "seed",
        "stop",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "tools",
        "tool_choice",
        "response_format",
        "reasoning",
        "verbosity",
    }
)


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that will be served: by which offer, with how long a prompt, and how long an answer at most."""

    request: ChatRequest
    offer: Offer
    model: str  # what answers call it
    size: PromptSize
    prompt_tokens: int
    output_limit: int

    @property
    def reserved_tokens(self) -> int:
        """Output OpenRouter reserves credits for: what was asked for, else the model's limit."""
        return self.request.max_tokens or self.offer.max_completion_tokens

    @property
    def reserved_usd(self) -> Decimal:
        """The most this request can cost without a prompt cache, for one choice."""
        return self.prompt_usd + self.reserved_tokens * self.token_usd

    @property
    def prompt_usd(self) -> Decimal:
        """What its prompt costs without a prompt cache."""
        return self.prompt_tokens * self.offer.rates_for(self.prompt_tokens).prompt

    @property
    def token_usd(self) -> Decimal:
        """What one token of output costs."""
        return self.offer.rates_for(self.prompt_tokens).completion


def admit(request: ChatRequest, offer: Offer, *, model: str, size: PromptSize) -> Admission:
    """The admission of `request` to `offer`. Raises Refusal (400 or 404) when OpenRouter would."""
    _check_modalities(request, offer)
    _check_provider(request.preferences, offer)
    _check_parameters(request, offer)
    prompt_tokens = size.native_tokens(offer)
    _check_context(request, offer, _longest_prompt(request, size, offer, prompt_tokens))
    _check_price(request.preferences, offer, prompt_tokens)
    room = offer.context_length - prompt_tokens
    return Admission(
        request=request,
        offer=offer,
        model=model,
        size=size,
        prompt_tokens=prompt_tokens,
        output_limit=min(request.max_tokens or offer.max_completion_tokens, offer.max_completion_tokens, room),
    )


def _check_modalities(request: ChatRequest, offer: Offer) -> None:
    for message in request.messages:
        for modality in media_of(message):
            if modality not in offer.input_modalities:
                readable = modality.replace("_", " ")
                raise no_endpoints(
                    f"No endpoints found that support {readable} input", step="Filter by Model Input Modalities"
                )


def _check_provider(preferences: ProviderPreferences, offer: Offer) -> None:
    slug = offer.provider.slug
    if preferences.only and not any(_names(entry, slug) for entry in preferences.only):
        raise only_others(offer, preferences.only)
    if any(_names(entry, slug) for entry in preferences.ignore):
        raise no_endpoints(
            "No allowed providers are available for the selected model.", step="Filter by Ignored Providers"
        )


def _names(entry: str, slug: str) -> bool:
    """A base slug names all of a provider's variants: `deepinfra` and `deepinfra/fp4` both name DeepInfra."""
    return entry.lower().split("/", 1)[0] == slug


def _check_parameters(request: ChatRequest, offer: Offer) -> None:
    dropped = (request.parameters & _SAMPLING_PARAMETERS) - set(offer.supported_parameters)
    is_too_long = request.max_tokens is not None and request.max_tokens > offer.max_completion_tokens
    if is_too_long or (request.preferences.requires_parameters and dropped):
        raise no_endpoints(
            f"No endpoints found that can handle the requested parameters. {ROUTING_HELP}",
            step="Filter by Parameters",
        )
    if offer.reasoning is not None and offer.reasoning.is_mandatory and request.reasoning.effort == "none":
        raise invalid("Reasoning is mandatory for this endpoint and cannot be disabled.")


def _longest_prompt(request: ChatRequest, size: PromptSize, offer: Offer, prompt_tokens: int) -> int:
    """Texts that are no conversation have the window for themselves, each of them."""
    if not request.is_plain:
        return prompt_tokens
    return max(message.native_tokens(offer) for message in size.messages)


def _check_context(request: ChatRequest, offer: Offer, prompt_tokens: int) -> None:
    output_tokens = request.max_tokens or 0
    needed = prompt_tokens + max(output_tokens, 1)
    if needed <= offer.context_length:
        return
    raise Refusal(
        400,
        f"This endpoint's maximum context length is {offer.context_length} tokens. However, you requested about "
        f"{prompt_tokens + output_tokens} tokens ({prompt_tokens} of text input, {output_tokens} in the output). "
        "Please reduce the length of either one, or use the context-compression plugin to compress your prompt "
        "automatically.",
        metadata={"provider_name": None},
    )


def _check_price(preferences: ProviderPreferences, offer: Offer, prompt_tokens: int) -> None:
    rates = offer.rates_for(prompt_tokens)
    too_dear = _exceeds(rates.prompt, preferences.max_prompt_usd_per_mtok) or _exceeds(
        rates.completion, preferences.max_completion_usd_per_mtok
    )
    if too_dear:
        raise no_endpoints(
            f"No endpoints found that satisfy the max price for this request. {ROUTING_HELP}",
            step="Filter by Max Price",
        )


def _exceeds(usd_per_token: Decimal, limit_usd_per_mtok: Decimal | None) -> bool:
    return limit_usd_per_mtok is not None and usd_per_token.scaleb(6) > limit_usd_per_mtok
