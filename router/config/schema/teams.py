"""`teams/NAME.yaml`: what one team may spend, on what, by which policies and aliases."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from router.config.schema.models import EffortsSection, FiguresSection
from router.config.schema.policies import DataSection, OnlyProviders, PolicySection
from router.config.schema.values import (
    AliasName,
    CacheSeconds,
    Count,
    LimitUsd,
    Name,
    PerWord,
    Probability,
    Seconds,
    Section,
    Tag,
    Text,
    TimeZone,
    Weight,
    WhenSpentWord,
    fault,
)
from router.quotas import WhenSpent


class BudgetSection(Section):
    limit_usd: Annotated[LimitUsd, Field(description="dollars in each window")]
    per: PerWord
    when_spent: Annotated[
        WhenSpentWord, Field(description="reject: 429. downgrade: try the policy's cheaper models first")
    ] = WhenSpent.REJECT


class LimitsSection(Section):
    requests_per_minute: Count | None = None
    tokens_per_minute: Annotated[
        Count | None, Field(description="input and output: as expected at admission, as used afterwards")
    ] = None
    concurrent: Annotated[Count | None, Field(description="requests in flight")] = None


class TeamLimitsSection(LimitsSection):
    queue: Annotated[
        int, Field(ge=0, le=10_000, description="requests beyond `concurrent` that wait, in each process; 0: refused")
    ] = 0
    queue_s: Annotated[Seconds, Field(description="for so long at most")] = 5.0
    weight: Annotated[
        Weight, Field(description="of the team's share, beside the other teams', while there is not enough for all")
    ] = 1.0

    @model_validator(mode="after")
    def _has_something_to_wait_for(self) -> "TeamLimitsSection":
        if self.queue and self.concurrent is None:
            raise fault("expected `concurrent` beside it, which is what a queue waits for, got none", "queue")
        return self


class AllowanceSection(Section):
    """What a key or a project may spend, within what its team may."""

    budgets: list[BudgetSection] = []
    limits: LimitsSection = LimitsSection()


class AliasSection(Section):
    """What a client's `model` stands for: a policy, or one model."""

    policy: Annotated[Text | None, Field(description="a policy of this file")] = None
    model: Annotated[
        Text | None, Field(description="a model of models.yaml, always this one; model@effort to have it think so hard")
    ] = None

    @model_validator(mode="after")
    def _either(self) -> "AliasSection":
        if (self.policy is None) == (self.model is None):
            raise fault("expected either policy or model")
        return self


class CacheSection(Section):
    """Answers that are given again to who asks exactly the same."""

    ttl_s: Annotated[CacheSeconds, Field(description="for so long; at most 30 days")]
    when: Annotated[
        Literal["temperature_zero", "always"],
        Field(description="temperature_zero: where the same answer is to be expected; always: whatever is asked"),
    ] = "temperature_zero"


class TeamPromptsSection(Section):
    """Requests and answers of the team are kept, encrypted (docs/privacy.md). Without this section none are."""

    kept_days: Annotated[int, Field(ge=1, le=3650, description="deleted after so many days")]
    sample_share: Annotated[Probability, Field(description="of the requests; the others are not kept")] = 1.0


def _says_efforts_once(sections: dict[str, FiguresSection]) -> dict[str, FiguresSection]:
    for name, section in sections.items():
        for kind in FiguresSection.model_fields:
            if "@" in name and isinstance(getattr(section, kind), EffortsSection):
                raise fault(f"expected one figure, got figures by effort, as '{name}' names one already", name, kind)
            model, at, effort = name.partition("@")
            whole = getattr(sections.get(model), kind, None)
            efforts = whole.model_dump(exclude_none=True) if isinstance(whole, EffortsSection) else {}
            if at and effort in efforts and getattr(section, kind) is not None:
                raise fault(f"expected one figure for '{name}', got another under '{model}'", name, kind)
    return sections


class TeamLearningSection(Section):
    """What a team's own labels may do."""

    quality: Annotated[bool, Field(description="false: the team's forecasts are the catalog's alone")] = True


class TeamFile(Section):
    """`teams/NAME.yaml`: what one team may spend, on what, and how good is good enough for it."""

    team: Annotated[Name, Field(description="the name of this file without .yaml")]
    baseline: Annotated[
        Text | None, Field(description="the model the team would use otherwise; savings are measured against it")
    ] = None
    time_zone: Annotated[TimeZone, Field(description="where its days, weeks and months begin")] = "UTC"
    budgets: list[BudgetSection] = []
    limits: TeamLimitsSection = TeamLimitsSection()
    each_key: Annotated[AllowanceSection, Field(description="what every API key of the team may spend on its own")] = (
        AllowanceSection()
    )
    projects: Annotated[
        dict[Tag, AllowanceSection],
        Field(description="tags with money of their own: a request with the tag is charged to them as well"),
    ] = {}
    banned_models: Annotated[list[Text], Field(description="never these, by whatever policy or alias")] = []
    banned_providers: Annotated[list[Text], Field(description="never at these, by whatever policy or alias")] = []
    only_providers: Annotated[
        OnlyProviders | None, Field(description="never at others, by whatever policy or alias")
    ] = None
    cache: Annotated[
        CacheSection | None,
        Field(description="answers that are given again to who asks exactly the same; default: none"),
    ] = None
    prompts: Annotated[
        TeamPromptsSection | None,
        Field(description="keep what is asked and answered, encrypted, for so long; default: nothing is kept"),
    ] = None
    learning: TeamLearningSection = TeamLearningSection()
    data: Annotated[
        DataSection | None, Field(description="how every prompt of the team must be handled, pinned models included")
    ] = None
    aliases: Annotated[dict[AliasName, AliasSection], Field(min_length=1, description="what clients write in `model`")]
    quality: Annotated[
        dict[Text, FiguresSection],
        AfterValidator(_says_efforts_once),
        Field(description="model or model@effort → the team's own figures, in place of those of models.yaml"),
    ] = {}
    policies: dict[Name, PolicySection] = {}
