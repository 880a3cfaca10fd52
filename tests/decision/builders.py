"""Small catalogs, requests and policies for plain calls; `dataclasses.replace` makes the variations."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

from router.catalog.catalog import (
    Capability,
    Catalog,
    Deployment,
    Model,
    ModelName,
    Provider,
    ProviderName,
    Score,
    Task,
)
from router.catalog.prices import Price, PriceEntry, PriceList, Rates
from router.decision.facts import Conditions, RequestProfile
from router.decision.policy import Policy

NOON = Conditions(now=datetime(2026, 11, 23, 12, tzinfo=UTC))

# 1,000 input tokens of chat without a limit: 350 output tokens are usual.
CHAT = RequestProfile(
    alias="auto",
    input_tokens=1_000,
    input_bytes=4_000,
    images=0,
    max_output_tokens=None,
    choices=1,
    needs=frozenset(),
    task=Task.CHAT,
    has_unbounded_parts=False,
    asks_one_hour_cache=False,
    is_stream=False,
)


def per_mtok(
    input_usd: str,
    output_usd: str,
    *,
    cached_input_usd: str | None = None,
    cache_write_usd: str | None = None,
    cache_write_1h_usd: str | None = None,
    request_usd: str = "0",
    image_usd: str = "0",
) -> Rates:
    return Rates.per_mtok(
        input_usd=Decimal(input_usd),
        output_usd=Decimal(output_usd),
        cached_input_usd=_figure(cached_input_usd) if cached_input_usd else Decimal(0),
        cache_write_usd=_figure(cache_write_usd),
        cache_write_1h_usd=_figure(cache_write_1h_usd),
        request_usd=Decimal(request_usd),
        image_usd=Decimal(image_usd),
    )


def always(price: Price | Rates) -> PriceList:
    """A price in force at all times."""
    return PriceList((PriceEntry(Price(price) if isinstance(price, Rates) else price, source="a test"),))


def scores(quality: Mapping[Task, float]) -> dict[Task, Score]:
    return {task: Score(value, source="a test", checked=date(2026, 11, 23)) for task, value in quality.items()}


def model(
    name: str,
    *,
    quality: float | Mapping[Task, float] = 0.5,
    capabilities: frozenset[Capability] = frozenset(),
    token_ratio: float = 1.0,
    context_tokens: int = 100_000,
    max_output_tokens: int = 10_000,
) -> Model:
    """A model; a single quality holds for every task."""
    return Model(
        name=ModelName(name),
        context_tokens=context_tokens,
        max_output_tokens=max_output_tokens,
        capabilities=capabilities,
        token_ratio=token_ratio,
        quality=scores(quality if isinstance(quality, Mapping) else dict.fromkeys(Task, quality)),
    )


def at(provider: str, what: Model, prices: PriceList) -> Deployment:
    """The model at a provider, with the model's own limits."""
    return Deployment(
        model=what,
        provider=Provider(ProviderName(provider), kind="openai_compatible", base_url=f"http://{provider}.example/v1"),
        upstream_model=f"upstream/{what.name}",
        prices=prices,
        max_output_tokens=what.max_output_tokens,
        context_tokens=what.context_tokens,
    )


def catalog(*deployments: Deployment) -> Catalog:
    by_model: dict[ModelName, tuple[Deployment, ...]] = {}
    for deployment in deployments:
        name = deployment.model.name
        by_model[name] = (*by_model.get(name, ()), deployment)
    return Catalog(deployments=by_model, version="c1")


def policy(*candidates: str) -> Policy:
    """The policy `any`: these models, the cheapest first, nothing else asked."""
    return Policy(name="any", candidates=tuple(ModelName(name) for name in candidates))


def _figure(usd: str | None) -> Decimal | None:
    return None if usd is None else Decimal(usd)
