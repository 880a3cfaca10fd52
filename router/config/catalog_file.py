"""`models.yaml` and the providers of `penstock.yaml` as the `Catalog`."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time

from router.catalog.catalog import (
    TEXT_APIS,
    Catalog,
    DataHandling,
    Deployment,
    Effort,
    Model,
    ModelName,
    Provider,
    ProviderName,
    Score,
    Task,
)
from router.catalog.prices import Price, PriceEntry, PriceList, Rates, Tier
from router.config.price_data import GENAI_PRICES_VERSION, published
from router.config.schema.models import (
    DeploymentSection,
    EffortsSection,
    FiguresSection,
    ModelSection,
    ModelsFile,
    PriceSection,
    RatesSection,
    ScoreSection,
)

VERSION_DIGITS = 12


def catalog(file: ModelsFile, content: bytes, providers: Mapping[ProviderName, Provider]) -> Catalog:
    """The catalog of a validated file whose providers are all known; `content` is what the file was read from."""
    return Catalog(
        deployments={
            ModelName(name): _deployments(_model(ModelName(name), section), section.deployments, providers)
            for name, section in file.models.items()
        },
        version=_version(content, providers),
    )


def _version(content: bytes, providers: Mapping[ProviderName, Provider]) -> str:
    digest = hashlib.sha256(content)
    digest.update(GENAI_PRICES_VERSION.encode())
    for provider in sorted(providers.values(), key=lambda provider: provider.name):
        told = (provider.name, provider.kind, provider.base_url, str(provider.data), *sorted(provider.apis))
        digest.update(f"\n{' '.join(told)}".encode())
    return digest.hexdigest()[:VERSION_DIGITS]


def _model(name: ModelName, section: ModelSection) -> Model:
    return Model(
        name=name,
        context_tokens=section.context_tokens,
        max_output_tokens=section.max_output_tokens or 0,
        capabilities=frozenset(section.capabilities),
        token_ratio=section.tokens_per_o200k,
        quality=plain_scores(section.quality),
        quality_at=scores_by_effort(section.quality),
        rated_version=section.quality.version,
        efforts=frozenset(section.reasoning.efforts if section.reasoning else ()),
        default_effort=section.reasoning.default if section.reasoning else None,
        apis=TEXT_APIS if section.apis is None else frozenset(section.apis),
        released=section.released,
    )


def plain_scores(section: FiguresSection, *, are_own: bool = False) -> dict[Task, Score]:
    """The figures that name no effort; `are_own`: they are a team's."""
    cells = _cells(section)
    return {task: _score(cell, are_own) for task, cell in cells.items() if isinstance(cell, ScoreSection)}


def scores_by_effort(section: FiguresSection, *, are_own: bool = False) -> dict[Task, dict[Effort, Score]]:
    """The others."""
    return {
        task: {
            effort: _score(score, are_own) for effort in Effort if (score := getattr(cell, effort.value)) is not None
        }
        for task, cell in _cells(section).items()
        if isinstance(cell, EffortsSection)
    }


def _cells(section: FiguresSection) -> dict[Task, ScoreSection | EffortsSection]:
    cells = {
        Task.CHAT: section.chat,
        Task.WRITING: section.writing,
        Task.TRANSLATION: section.translation,
        Task.SUMMARY: section.summary,
        Task.EXTRACTION: section.extraction,
        Task.CLASSIFICATION: section.classification,
        Task.FACTS: section.facts,
        Task.MATH: section.math,
        Task.REASONING: section.reasoning,
        Task.CODE: section.code,
        Task.TOOL_CALL: section.tool_call,
        Task.AGENT: section.agent,
        Task.VISION: section.vision,
        Task.LONG_CONTEXT: section.long_context,
    }
    return {task: cell for task, cell in cells.items() if cell is not None}


def _score(section: ScoreSection, is_own: bool) -> Score:
    source = f"estimated: {section.source}" if section.estimated else section.source
    return Score(section.score, source, section.checked, is_estimated=section.estimated, is_own=is_own)


def _deployments(
    model: Model, sections: Sequence[DeploymentSection], providers: Mapping[ProviderName, Provider]
) -> tuple[Deployment, ...]:
    return tuple(_deployment(model, section, providers) for section in sections)


def _deployment(model: Model, section: DeploymentSection, providers: Mapping[ProviderName, Provider]) -> Deployment:
    provider = providers[ProviderName(section.provider)]
    upstream_model = section.upstream_model or model.name
    own = tuple(_price_entry(price) for price in section.prices)
    return Deployment(
        model=model,
        provider=provider,
        upstream_model=upstream_model,
        # The later entry wins, so what the operator wrote stands after what was published.
        prices=PriceList((*published(provider.kind, upstream_model), *own)),
        max_output_tokens=section.max_output_tokens or model.max_output_tokens,
        context_tokens=section.context_tokens or model.context_tokens,
        lacks=frozenset(section.lacks),
        version=section.version,
        data=_data(section, provider.data),
    )


def _data(section: DeploymentSection, providers: DataHandling) -> DataHandling:
    collection = section.data_collection
    return DataHandling(
        keeps_nothing=providers.keeps_nothing if section.zdr is None else section.zdr,
        may_collect=providers.may_collect if collection is None else collection == "allow",
        region=section.region or providers.region,
    )


def _price_entry(section: PriceSection) -> PriceEntry:
    entry = PriceEntry(
        price=Price(
            base=_rates(section),
            tiers=tuple(Tier(tier.above_input_tokens, _rates(tier)) for tier in section.tiers),
        ),
        source=section.source,
        starts=_midnight(section.from_),
        ends=None if section.until is None else _midnight(section.until),
        checked=section.checked,
    )
    if section.daily is None:
        return entry
    return replace(entry, daily=(section.daily.from_, section.daily.until))


def _rates(section: RatesSection) -> Rates:
    return Rates.per_mtok(
        input_usd=section.input_usd_per_mtok,
        output_usd=section.output_usd_per_mtok,
        cached_input_usd=section.cached_input_usd_per_mtok,
        cache_write_usd=section.cache_write_usd_per_mtok,
        cache_write_1h_usd=section.cache_write_1h_usd_per_mtok,
        request_usd=section.request_usd,
        image_usd=section.image_usd,
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
