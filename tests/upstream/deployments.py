"""A model at a provider, and what it would cost, for tests of what is sent there."""

from decimal import Decimal

from router.apis import Api
from router.catalog.catalog import Deployment, Model, ModelName, Provider, ProviderKind, ProviderName
from router.catalog.prices import PriceList, Rates
from router.decision.estimate import Estimate


def deployment(
    kind: ProviderKind = "openrouter",
    *,
    base_url: str = "http://127.0.0.1:9/api/v1",
    apis: frozenset[Api] = frozenset({Api.CHAT}),
) -> Deployment:
    """DeepSeek's small model at a provider that is called what it is."""
    model = Model(
        name=ModelName("deepseek/deepseek-v4-flash"),
        context_tokens=100_000,
        max_output_tokens=8_000,
        capabilities=frozenset(),
        token_ratio=1.0,
        quality={},
    )
    return Deployment(
        model=model,
        provider=Provider(name=ProviderName(kind), kind=kind, base_url=base_url, apis=apis),
        upstream_model="deepseek-chat",
        prices=PriceList(()),
        max_output_tokens=8_000,
        context_tokens=100_000,
    )


def estimate(*, max_output_tokens: int = 500, input_usd: str = "0.1", output_usd: str = "0.40") -> Estimate:
    """An estimate with this output limit, held at these rates per million tokens."""
    return Estimate(
        input_tokens=10,
        output_tokens=20,
        cached_tokens=0,
        reasoning_tokens=0,
        input_tokens_bound=100,
        max_output_tokens=max_output_tokens,
        expected_usd=Decimal("0.000009"),
        worst_usd=Decimal("0.00021"),
        dearest_rates=Rates.per_mtok(input_usd=Decimal(input_usd), output_usd=Decimal(output_usd)),
    )
