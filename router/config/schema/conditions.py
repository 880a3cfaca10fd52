"""`when` of a rule: to which requests it applies."""

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from router.config.schema.values import (
    AliasName,
    Hours,
    LanguageWord,
    ModalityWord,
    NeedWord,
    Probability,
    Section,
    Tag,
    TaskWord,
    Tokens,
    WeekdayWord,
    fault,
    one_or_more,
    or_a_single_one,
)


class InputTokensSection(Section):
    over: Annotated[Tokens | None, Field(description="strictly more than")] = None
    under: Annotated[Tokens | None, Field(description="strictly fewer than")] = None

    @model_validator(mode="after")
    def _can_hold(self) -> "InputTokensSection":
        if self.over is None and self.under is None:
            raise fault("expected over, under or both")
        if self.over is not None and self.under is not None and self.under - self.over < 2:
            raise fault(f"no number is over {self.over} and under {self.under}, so the rule could never apply", "under")
        return self


class DifficultySection(Section):
    over: Annotated[Probability | None, Field(description="strictly more than, from 0 to 1")] = None
    under: Annotated[Probability | None, Field(description="strictly less than, from 0 to 1")] = None

    @model_validator(mode="after")
    def _can_hold(self) -> "DifficultySection":
        if self.over is None and self.under is None:
            raise fault("expected over, under or both")
        if self.over is not None and self.under is not None and self.under <= self.over:
            raise fault(
                f"no difficulty is over {self.over} and under {self.under}, so the rule could never apply", "under"
            )
        return self


class WhenSection(Section):
    """Every condition given must hold."""

    input_tokens: InputTokensSection | None = None
    language: Annotated[
        list[LanguageWord],
        BeforeValidator(one_or_more),
        Field(description="of the prompt, any of: ISO 639-1, or other", json_schema_extra=or_a_single_one),
    ] = []
    modalities: Annotated[
        list[ModalityWord],
        BeforeValidator(one_or_more),
        Field(description="of the input, any of; text is text alone", json_schema_extra=or_a_single_one),
    ] = []
    difficulty: Annotated[DifficultySection | None, Field(description="from 0, easy, to 1")] = None
    hour: Annotated[
        list[Hours],
        BeforeValidator(one_or_more),
        Field(
            description="any of, in the team's time zone; from inclusive, until exclusive, past midnight if earlier",
            json_schema_extra=or_a_single_one,
        ),
    ] = []
    weekdays: Annotated[
        list[WeekdayWord],
        BeforeValidator(one_or_more),
        Field(
            description="any of, in the team's time zone; a night belongs to the day on which it began",
            json_schema_extra=or_a_single_one,
        ),
    ] = []
    task: Annotated[
        list[TaskWord], BeforeValidator(one_or_more), Field(description="any of", json_schema_extra=or_a_single_one)
    ] = []
    needs: Annotated[
        list[NeedWord],
        BeforeValidator(one_or_more),
        Field(description="all of; vision is image_input", json_schema_extra=or_a_single_one),
    ] = []
    alias: Annotated[
        list[AliasName], BeforeValidator(one_or_more), Field(description="any of", json_schema_extra=or_a_single_one)
    ] = []
    tags: Annotated[
        list[Tag], BeforeValidator(one_or_more), Field(description="all of", json_schema_extra=or_a_single_one)
    ] = []

    @model_validator(mode="after")
    def _says_something(self) -> "WhenSection":
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise fault("expected a condition; a rule that always applies belongs into the policy itself")
        return self
