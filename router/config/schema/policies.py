"""`policies` of a team: candidates, objective, limits, how data is handled; and the rules of each."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from router.config.schema.checks import MODELS_FOR_AGREEMENT, Checks, CheckSection, models_in
from router.config.schema.conditions import WhenSection
from router.config.schema.values import (
    Candidates,
    EffortWord,
    LimitUsd,
    Milliseconds,
    ObjectiveWord,
    PerWord,
    Probability,
    Region,
    Section,
    Share,
    Slug,
    StartWord,
    Text,
    Tokens,
    Usd,
    exact,
    fault,
    ratio,
)
from router.config.sentences import hint
from router.decision.policy import Objective, Start
from router.quality.verify import CheckKind
from router.quotas import Per


class FloorSection(Section):
    at_least: Annotated[Probability, Field(description="0..1: a probability, or the share of the best candidate's")]
    of: Annotated[
        Literal["best_candidate"] | None, Field(description="makes at_least a share of the best candidate's figure")
    ] = None


class DataSection(Section):
    """How prompts must be handled. It only ever adds to what team, policy, rule and request demand already."""

    zdr: Annotated[bool, Field(description="true: nothing may be kept once the answer is out")] = False
    collection: Annotated[
        Literal["allow", "deny"], Field(description="deny: nothing may be stored for the provider's own use")
    ] = "allow"
    regions: Annotated[
        list[Region] | None, Field(min_length=1, description="any of: deployments must declare one of them")
    ] = None
    only: Annotated[
        list[Slug] | None,
        Field(min_length=1, description="who may see prompts: OpenRouter's slugs, or providers of penstock.yaml"),
    ] = None
    ignore: Annotated[list[Slug], Field(description="who may not, named the same way")] = []


class ShadowSection(Section):
    """A model that is asked the same, unseen by the client, to be measured."""

    model: Annotated[Text, Field(description="a model of models.yaml, or model@effort")]
    share: Annotated[Share, Field(description="of the answered requests, 0..1")]
    budget_usd: Annotated[LimitUsd, Field(description="its own, beside the team's budgets; when spent, no more copies")]
    per: PerWord = Per.DAY


Weights = Annotated[
    dict[Text, Share],
    Field(min_length=1, description="candidate → share of the requests; what they leave to 1 the objective chooses"),
]
OnlyProviders = Annotated[list[Text], Field(min_length=1)]
MaxLatency = Annotated[
    Milliseconds | None,
    Field(description="expected time to the first token of a stream, or to the end of a whole answer"),
]
WishedEffort = Annotated[EffortWord | None, Field(description="how hard to think where the client says nothing")]
MostEffort = Annotated[EffortWord | None, Field(description="how hard to think at most, whatever the client asks")]
_MOST_OVER = 1e-9  # by which shares may exceed 1: 0.1 + 0.2 + 0.7 does


def _judge_weights(weights: dict[str, float], candidates: list[str], *where: str | int) -> None:
    stranger = next((model for model in weights if model not in candidates), None)
    if stranger is not None:
        near = hint(stranger, candidates)
        raise fault(f"expected a candidate, got '{stranger}'{near}", *where, "weights", stranger)
    if sum(weights.values()) > 1 + _MOST_OVER:
        raise fault(f"expected shares of at most 1 together, got {sum(weights.values()):g}", *where, "weights")


UsdPerPoint = Annotated[
    Annotated[Decimal, BeforeValidator(exact), Field(gt=0), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]
    | None,
    Field(description="to objective value: dollars that one percentage point (0.01) of the chance to be good is worth"),
]
Confidence = Annotated[
    Annotated[float, BeforeValidator(ratio), Field(ge=0.5, le=0.99)] | None,
    Field(description="that a candidate is as good as the floor asks: 0.5 to 0.99; 0.5 takes its figure as it is"),
]


class RuleSection(Section):
    """Replaces single terms of its policy for the requests it matches; the first rule that applies is the only one."""

    name: Annotated[Text, Field(max_length=63, description="shown in x-penstock-decision and in metrics")]
    when: WhenSection
    candidates: Candidates | None = None
    objective: ObjectiveWord | None = None
    quality: FloorSection | None = None
    max_cost_usd: Annotated[Usd | None, Field(description="what one request may cost at worst")] = None
    max_latency_ms: MaxLatency = None
    reasoning_effort: WishedEffort = None
    max_reasoning_effort: MostEffort = None
    weights: Weights | None = None
    only_providers: Annotated[OnlyProviders | None, Field(description="these alone, of those the policy allows")] = None
    data: Annotated[DataSection | None, Field(description="on top of the policy's")] = None
    verify: Checks | None = None
    confidence: Confidence = None
    usd_per_point: UsdPerPoint = None

    @model_validator(mode="after")
    def _changes_something(self) -> "RuleSection":
        terms = [name for name in type(self).model_fields if name not in ("name", "when")]
        if all(getattr(self, name) is None for name in terms):
            raise fault(f"expected at least one of {', '.join(terms)}: the rule changes nothing")
        return self


class PolicySection(Section):
    candidates: Annotated[
        Candidates,
        Field(description="what may be chosen: model, or model@effort; a model may stand here at several efforts"),
    ]
    objective: ObjectiveWord = Objective.CHEAPEST
    quality: Annotated[FloorSection | None, Field(description="how good is good enough")] = None
    confidence: Confidence = None
    usd_per_point: UsdPerPoint = None
    max_cost_usd: Annotated[Usd | None, Field(description="what one request may cost at worst")] = None
    default_max_output_tokens: Annotated[
        Tokens, Field(description="set on requests that name no limit, so that a bound can be held")
    ] = 32_768
    may_shorten: Annotated[
        bool, Field(description="where no budget has room for the output limit, lower the limit before refusing")
    ] = False
    max_latency_ms: MaxLatency = None
    first_token_timeout_s: Annotated[
        float | None,
        Field(
            gt=0, le=600, description="a stream that has not begun by then has failed, and the next candidate is asked"
        ),
    ] = None
    reasoning_effort: WishedEffort = None
    max_reasoning_effort: MostEffort = None
    weights: Weights | None = None
    shadow: Annotated[ShadowSection | None, Field(description="a model to be measured beside the one that answers")] = (
        None
    )
    banned_models: Annotated[list[Text], Field(description="never these, whatever a rule says")] = []
    banned_providers: Annotated[list[Text], Field(description="never at these, whatever a rule says")] = []
    only_providers: Annotated[OnlyProviders | None, Field(description="never at others, whatever a rule says")] = None
    data: Annotated[DataSection | None, Field(description="how prompts must be handled, whatever a rule says")] = None
    rules: list[RuleSection] = []
    verify: Checks = []
    max_escalations: Annotated[
        int, Field(ge=1, le=3, description="better models asked after an answer that failed a check")
    ] = 1
    buffer: Annotated[
        bool, Field(description="collect streamed answers before the client gets them, so that they can be verified")
    ] = False
    explore: Annotated[
        float,
        BeforeValidator(ratio),
        Field(ge=0, le=0.2, description="share of requests that go to the second choice, to learn how good it is"),
    ] = 0.0
    start: Annotated[
        StartWord,
        Field(
            description="prior: new kinds of work go where the forecast says; strong: to the best model, until labels "
            "say that less will do",
        ),
    ] = Start.PRIOR

    @model_validator(mode="after")
    def _weights_are_of_candidates(self) -> "PolicySection":
        if self.weights is not None:
            _judge_weights(self.weights, self.candidates)
        for number, rule in enumerate(self.rules):
            if rule.weights is not None:
                _judge_weights(rule.weights, rule.candidates or self.candidates, "rules", number)
        return self

    @model_validator(mode="after")
    def _agreement_has_three_models(self) -> "PolicySection":
        """One answers, another one is asked, and the best is neither: it decides where the two disagree."""
        own = [self.candidates, *(rule.candidates or [] for rule in self.rules if rule.verify is None)]
        self._judge_agreement(self.verify, own)
        for number, rule in enumerate(self.rules):
            self._judge_agreement(rule.verify or [], [rule.candidates or self.candidates], "rules", number)
        return self

    def _judge_agreement(self, checks: list[CheckSection], candidates: list[list[str]], *where: str | int) -> None:
        """`candidates`: the lists from which an answer may come that is put to these checks."""
        number = next((number for number, check in enumerate(checks) if check.kind is CheckKind.AGREEMENT), None)
        most = max(len(models_in(names).difference(self.banned_models)) for names in candidates)
        if number is not None and most < MODELS_FOR_AGREEMENT:
            raise fault(
                f"expected {MODELS_FOR_AGREEMENT} different models among the candidates, got {most}: a second one is "
                "asked for its opinion, and the best decides where the two disagree; add models, or leave agreement "
                "out, as no answer could be put to it",
                *where,
                "verify",
                number,
            )

    @model_validator(mode="after")
    def _rule_names_differ(self) -> "PolicySection":
        names = [rule.name for rule in self.rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise fault(f"expected a name of its own for each rule, got '{twice}' twice", "rules")
        return self
