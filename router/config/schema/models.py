"""`models.yaml`: which models there are, what each can do, how well, at what price, and who serves it."""

from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Discriminator, Field, model_validator
from pydantic import Tag as Case

from router.catalog.catalog import TEXT_APIS, Effort
from router.config.schema.values import (
    ApiWord,
    CapabilityWord,
    Day,
    EffortWord,
    ModelId,
    Probability,
    Region,
    Section,
    Text,
    TimeOfDay,
    TokenRatio,
    Tokens,
    Usd,
    fault,
)


class ScoreSection(Section):
    score: Annotated[Probability, Field(description="probability that an answer of this kind is good")]
    source: Annotated[Text, Field(description="benchmark, effort and where the figure was read")]
    checked: Annotated[Day, Field(description="when it was last compared with its source")]
    estimated: Annotated[bool, Field(description="true if derived from other figures, not measured")] = False


class EffortsSection(Section):
    """A figure for each effort; one that is missing is filled from the nearest (docs/quality.md)."""

    none: ScoreSection | None = None
    minimal: ScoreSection | None = None
    low: ScoreSection | None = None
    medium: ScoreSection | None = None
    high: ScoreSection | None = None
    xhigh: ScoreSection | None = None
    max: ScoreSection | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "EffortsSection":
        if all(getattr(self, effort.value) is None for effort in Effort):
            raise fault("expected a figure for some effort, got none")
        return self


# How pydantic marks in the path of an error which of the two it took a mapping for; no key looks like this.
CASES: Mapping[str, type[Section]] = {"[figure]": ScoreSection, "[by effort]": EffortsSection}
_ABOUT_A_SCORE = frozenset(ScoreSection.model_fields)


def _case_of(value: object) -> str:
    """What makes a mapping a figure is any key that only figures have; all else is judged as figures by effort."""
    keys = value if isinstance(value, dict) else getattr(value, "model_fields_set", ())
    return "[figure]" if _ABOUT_A_SCORE.intersection(keys) else "[by effort]"


# One figure, or one for each effort that has any.
Cell = Annotated[
    Annotated[ScoreSection, Case("[figure]")] | Annotated[EffortsSection, Case("[by effort]")],
    Discriminator(_case_of),
]
Cells = Annotated[Cell | None, Field(description="one figure, at the model's default effort, or one for each effort")]


class FiguresSection(Section):
    """A kind without a figure takes that of the kind it is nearest to (docs/quality.md), and it is said so."""

    chat: Cells = None
    writing: Annotated[Cells, Field(description="without it: as chat")] = None
    translation: Annotated[Cells, Field(description="without it: as chat")] = None
    summary: Annotated[Cells, Field(description="without it: as chat")] = None
    extraction: Cells = None
    classification: Annotated[Cells, Field(description="without it: as extraction")] = None
    facts: Cells = None
    math: Annotated[Cells, Field(description="without it: as reasoning")] = None
    reasoning: Cells = None
    code: Cells = None
    tool_call: Annotated[Cells, Field(description="without it: as extraction")] = None
    agent: Cells = None
    vision: Annotated[Cells, Field(description="without it: as chat")] = None
    long_context: Annotated[Cells, Field(description="without it: as reasoning")] = None


class QualitySection(FiguresSection):
    version: Annotated[
        Text | None,
        Field(description="which version of the model the figures are of, as its provider's list calls it"),
    ] = None


class RatesSection(Section):
    input_usd_per_mtok: Usd
    output_usd_per_mtok: Annotated[Usd, Field(description="reasoning tokens are output tokens")]
    cached_input_usd_per_mtok: Annotated[Usd | None, Field(description="default: as plain input")] = None
    cache_write_usd_per_mtok: Annotated[Usd | None, Field(description="all in; default: as plain input")] = None
    cache_write_1h_usd_per_mtok: Annotated[Usd | None, Field(description="default: as cache_write")] = None
    request_usd: Annotated[Usd, Field(description="for each call, beside its tokens")] = Decimal(0)
    image_usd: Annotated[Usd, Field(description="for each input image, beside its tokens")] = Decimal(0)


class TierSection(RatesSection):
    above_input_tokens: Annotated[Tokens, Field(description="for strictly more input tokens; reprices all of them")]


class DailySection(Section):
    from_: Annotated[TimeOfDay, Field(alias="from", description="UTC, inclusive")]
    until: Annotated[TimeOfDay, Field(description="UTC, exclusive; earlier than from means past midnight")]

    @model_validator(mode="after")
    def _not_empty(self) -> "DailySection":
        if self.from_ == self.until:
            raise fault(f"expected two different times, got {self.until:%H:%M} twice", "until")
        return self


class PriceSection(RatesSection):
    """A dated price. It comes after the published ones and wins over them as long as it holds."""

    from_: Annotated[Day, Field(alias="from", description="first day, from midnight UTC")]
    until: Annotated[Day | None, Field(description="first day on which it no longer holds")] = None
    daily: Annotated[DailySection | None, Field(description="only between these hours of each day")] = None
    tiers: Annotated[list[TierSection], Field(description="dearer rates for long inputs, by ascending threshold")] = []
    source: Annotated[Text, Field(description="where the figure was read")]
    checked: Annotated[Day, Field(description="when it was last compared with its source")]

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> "PriceSection":
        if self.until is not None and self.until <= self.from_:
            raise fault(f"expected a day after from ({self.from_}), got {self.until}", "until")
        return self

    @model_validator(mode="after")
    def _tiers_ascend(self) -> "PriceSection":
        thresholds = [tier.above_input_tokens for tier in self.tiers]
        if any(upper <= lower for lower, upper in pairwise(thresholds)):
            raise fault(f"expected ascending thresholds, got {', '.join(map(str, thresholds))}", "tiers")
        return self


class DeploymentSection(Section):
    provider: Annotated[Text, Field(description="a provider of penstock.yaml")]
    upstream_model: Annotated[Text | None, Field(description="what it calls the model; default: the catalog id")] = None
    version: Annotated[
        Text | None,
        Field(description="what that name stands for, as `quality.version` calls it, if the provider does not tell"),
    ] = None
    context_tokens: Annotated[Tokens | None, Field(description="if it differs from the model's")] = None
    max_output_tokens: Annotated[Tokens | None, Field(description="if it differs from the model's")] = None
    lacks: Annotated[list[CapabilityWord], Field(description="what the model can do, but not at this provider")] = []
    zdr: Annotated[bool | None, Field(description="if it differs from the provider's")] = None
    data_collection: Annotated[
        Literal["allow", "deny"] | None, Field(description="if it differs from the provider's")
    ] = None
    region: Annotated[Region | None, Field(description="if it differs from the provider's")] = None
    prices: Annotated[
        list[PriceSection], Field(description="own prices, oldest first; each wins over published ones while it holds")
    ] = []

    @model_validator(mode="after")
    def _prices_ascend(self) -> "DeploymentSection":
        """Each entry starts no earlier than the one before, and a stated end does not reach into the next."""
        for earlier, later in pairwise(self.prices):
            if later.from_ < earlier.from_:
                raise fault(f"expected the oldest price first, got {later.from_} after {earlier.from_}", "prices")
            all_day = earlier.daily is None and later.daily is None
            if all_day and earlier.until is not None and earlier.until > later.from_:
                raise fault(
                    f"expected prices that do not overlap, got one until {earlier.until} and the next "
                    f"from {later.from_}",
                    "prices",
                )
        return self


class ReasoningSection(Section):
    """How hard the model can be asked to think."""

    efforts: Annotated[
        list[EffortWord], Field(min_length=1, description="those it knows; none among them if it can do without")
    ]
    default: Annotated[EffortWord | None, Field(description="where a request says nothing")] = None


class ModelSection(Section):
    released: Annotated[
        Day | None, Field(description="when its maker released it; clients see it as `created` in /v1/models")
    ] = None
    context_tokens: Annotated[Tokens, Field(description="input and output together")]
    max_output_tokens: Annotated[
        Tokens | None, Field(description="required of a model that writes text; others write nothing")
    ] = None
    capabilities: Annotated[list[CapabilityWord], Field(description="beyond text in, text out")] = []
    tokens_per_o200k: Annotated[
        TokenRatio, Field(description="tokens of this model per token of OpenAI's o200k_base, English prose")
    ] = 1.0
    quality: QualitySection = QualitySection()
    reasoning: Annotated[
        ReasoningSection | None, Field(description="the efforts it knows; without it, all are taken to be known")
    ] = None
    apis: Annotated[
        list[ApiWord] | None, Field(min_length=1, description="how it can be asked; default: as one that writes text")
    ] = None
    deployments: Annotated[list[DeploymentSection], Field(min_length=1, description="who serves it")]

    @model_validator(mode="after")
    def _who_writes_has_a_limit(self) -> "ModelSection":
        writes = self.apis is None or not TEXT_APIS.isdisjoint(self.apis)
        if writes and self.max_output_tokens is None:
            raise fault("expected `max_output_tokens`, as it writes text")
        if not writes and self.max_output_tokens is not None:
            raise fault("expected no limit on the output of a model that writes none", "max_output_tokens")
        return self

    @model_validator(mode="after")
    def _one_deployment_a_provider(self) -> "ModelSection":
        seen: set[str] = set()
        for deployment in self.deployments:
            if deployment.provider in seen:
                raise fault(
                    f"expected one deployment a provider, got '{deployment.provider}' twice; give the second provider "
                    "a name of its own in penstock.yaml",
                    "deployments",
                )
            seen.add(deployment.provider)
        return self


class ModelsFile(Section):
    """`models.yaml`: which models there are, what each can do, how well, and who serves it."""

    models: Annotated[dict[ModelId, ModelSection], Field(min_length=1)]
