"""Looking things up in a catalog."""

from decimal import Decimal

from router.catalog.catalog import (
    TASK_FALLBACKS,
    Catalog,
    Deployment,
    Model,
    ModelName,
    Provider,
    ProviderName,
    Task,
)
from router.catalog.prices import Price, PriceEntry, PriceList, Rates
from tests.decision.builders import always, at, model, per_mtok
from tests.replacing import replace

FLASH = Model(
    name=ModelName("deepseek/deepseek-v4-flash"),
    context_tokens=1_048_576,
    max_output_tokens=65_536,
    capabilities=frozenset(),
    token_ratio=1.05,
    quality={},
)


def deployment(provider: str) -> Deployment:
    rates = Rates.per_mtok(input_usd=Decimal("0.105"), output_usd=Decimal("0.21"))
    return Deployment(
        model=FLASH,
        provider=Provider(ProviderName(provider), "openrouter", "https://openrouter.ai/api/v1"),
        upstream_model=FLASH.name,
        prices=PriceList((PriceEntry(Price(rates), source="a test"),)),
        max_output_tokens=FLASH.max_output_tokens,
        context_tokens=FLASH.context_tokens,
    )


def test_a_deployment_is_called_by_its_provider_and_model() -> None:
    assert deployment("openrouter").id == "openrouter:deepseek/deepseek-v4-flash"


def test_a_catalog_knows_its_models_and_all_their_deployments_in_order() -> None:
    first, second = deployment("openrouter"), deployment("deepseek")
    catalog = Catalog(deployments={FLASH.name: (first, second)}, version="1")

    assert catalog.of(FLASH.name) == (first, second)
    assert list(catalog) == [first, second]
    assert FLASH.name in catalog


def test_a_model_the_catalog_does_not_know_has_no_deployments() -> None:
    catalog = Catalog(deployments={}, version="1")

    assert catalog.of(ModelName("openai/gpt-9")) == ()
    assert "openai/gpt-9" not in catalog


def test_what_stands_in_for_a_kind_of_task_stands_on_its_own() -> None:
    own = {Task.CHAT, Task.EXTRACTION, Task.FACTS, Task.REASONING, Task.CODE, Task.AGENT}

    assert set(TASK_FALLBACKS.values()) <= own
    assert set(TASK_FALLBACKS) == set(Task) - own


def test_scores_are_not_trusted_where_the_name_stands_for_another_version() -> None:
    rated = replace(model("maker/model"), rated_version="v1")
    deployment = at("cloud", rated, always(per_mtok("1", "1")))

    assert [replace(deployment, version=version).rated.is_as_rated for version in (None, "v1", "v2")] == [
        True,
        True,
        False,
    ]
    assert replace(at("cloud", model("maker/model"), deployment.prices), version="v2").rated.is_as_rated
