"""What a decision is made from: `RequestProfile` (what is known of the request, no text), `Tightening` (what its
headers ask for), `Conditions` (the moment it is made in) and `Experience` (what earlier requests have taught)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

import msgspec

from router.apis import Api
from router.catalog.catalog import (
    TEXT_APIS,
    Capability,
    Deployment,
    DeploymentId,
    Effort,
    Model,
    ModelName,
    Task,
)
from router.decision.data_rules import NO_DATA_RULES, DataRules
from router.quality.cascade import Accuracy, prior_accuracy
from router.quality.language import Language
from router.quality.predictor import NO_LESSON, Lesson
from router.quality.signals import NO_SIGNALS, TextSignals
from router.quality.verify import CheckKind


class PrefixMark(NamedTuple):
    """Where a prefix of the prompt ends: a provider that has seen it may have it in its cache."""

    digest: int  # 64 bits, of everything up to here; the same in every process
    tokens: int  # up to here, counted with the o200k_base vocabulary


# Marks kept of a long prompt. The next turn of a conversation needs the end of this one, a few messages from its own
# end: 24 are twenty parallel tool calls with room to spare. Another conversation shares only the beginning: tools,
# system prompt, a first question. All marks of a long conversation would be kilobytes in every ledger entry.
FIRST_MARKS = 4
LAST_MARKS = 24


# Structs where every request makes one: a tenth of what a frozen dataclass costs to make. They hold nothing that could
# lead back to them, so the garbage collector need not look.
class RequestProfile(msgspec.Struct, frozen=True, gc=False):
    """A request in numbers and enums."""

    alias: str  # what the client wrote in `model`
    input_tokens: int  # counted with the o200k_base vocabulary; each model's own count is this times its ratio
    input_bytes: int  # of the whole body: no byte-level vocabulary makes more tokens of it than this
    images: int
    max_output_tokens: int | None  # per choice; None if the client set no limit; 0 where nothing is written
    choices: int
    needs: frozenset[Capability]
    task: Task
    has_unbounded_parts: bool  # files, audio or video, whose tokens their bytes do not bound
    asks_one_hour_cache: bool
    is_stream: bool
    tags: tuple[str, ...] = ()
    team: str = ""  # whose habits the experience speaks of
    effort: Effort | None = None  # as the client asked; None if it did not say
    prefix: tuple[PrefixMark, ...] = ()  # of the prompt, shortest first; not all of them where it is long
    language: Language = Language.OTHER
    difficulty: float = 0.5  # 0 to 1, how hard it looks: a prior, not a probability
    asks_cache: bool = False  # somewhere in the prompt, to be kept in the provider's cache
    cache_breakpoints: tuple[int, ...] = ()  # tokens up to each `cache_control` of the client's, shortest first
    apis: tuple[Api, ...] = (Api.CHAT,)  # by which it can be put to a model, the client's own first
    prompts: int = 1  # that are put to the model side by side: the input tokens are of all, the window is for each
    longest_prompt_tokens: int = 0  # of several prompts, counted as `input_tokens` are; 0: there is one
    id_tokens: int = 0  # of the input, those that came as ids: the model's own, whatever its ratio
    echoes_prompt: bool = False  # the answer repeats the prompt, which a provider may bill as output
    signals: TextSignals = NO_SIGNALS  # of its words

    @property
    def is_text(self) -> bool:
        """Whether a model writes the answer: then it has a quality, and can be verified."""
        return not TEXT_APIS.isdisjoint(self.apis)

    @property
    def choices_per_prompt(self) -> int:
        """How many answers each prompt gets; `choices` are those of all prompts together."""
        return self.choices // self.prompts


@dataclass(frozen=True, slots=True)
class Tightening:
    """What a request asks, and its API key demands, beyond its team's policy; it can only narrow it."""

    max_cost_usd: Decimal | None = None
    min_quality: float | None = None
    max_latency_ms: int | None = None
    max_effort: Effort | None = None
    data: DataRules = NO_DATA_RULES
    only_models: frozenset[ModelName] | None = None  # that its API key may be answered by; None: any


NO_TIGHTENING = Tightening()


class OutputForecast(NamedTuple):
    """How much a model is likely to write."""

    output_tokens: int  # per choice, reasoning included
    reasoning_tokens: int  # of these


@dataclass(frozen=True, slots=True)
class Latency:
    """How fast a deployment has been lately."""

    first_token_s: float  # median
    output_tokens_per_s: float  # median, after the first


class Experience(Protocol):
    """What earlier requests have taught. Asking changes nothing: the same answers for every candidate of a decision."""

    def input_ratio(self, model: Model, profile: RequestProfile, /) -> float:
        """Input tokens that the model's provider reports for each token that we count."""
        ...

    def output(self, deployment: Deployment, profile: RequestProfile, effort: Effort | None, /) -> OutputForecast:
        """What an answer will take where nothing limits it, at that effort; None: as the request asks."""
        ...

    def latency(self, deployment: Deployment, profile: RequestProfile, /) -> Latency | None:
        """None if too few requests went there."""
        ...

    def quality(self, model: Model, profile: RequestProfile, effort: Effort | None, /) -> Lesson:
        """How much better or worse its answers to such requests have been than expected beforehand."""
        ...

    def accuracy(self, check: CheckKind, profile: RequestProfile, /) -> Accuracy:
        """How often the check is right about answers to such requests."""
        ...

    def judged(self, profile: RequestProfile, /) -> float:
        """How many of its team's answers to this kind of work have been judged, where that moves the forecast."""
        ...


# Output tokens to expect where nothing has been learned yet: our judgement, from the lengths such answers usually
# have. Only the ranking uses them; what is held is bounded by the request's own limit.
_USUAL_OUTPUT_TOKENS = {
    Task.CHAT: 350,
    Task.WRITING: 450,
    Task.TRANSLATION: 250,
    Task.SUMMARY: 200,
    Task.EXTRACTION: 250,
    Task.CLASSIFICATION: 20,
    Task.FACTS: 150,
    Task.MATH: 1_000,
    Task.REASONING: 1_500,
    Task.CODE: 900,
    Task.TOOL_CALL: 80,
    Task.AGENT: 300,
    Task.VISION: 300,
    Task.LONG_CONTEXT: 700,
}
# On top, when the request asks the model to reason: 1,200 tokens at medium effort, and at others in proportion to the
# share of the output limit that OpenRouter allots them: .1, .2, .5, .8, .95 (openrouter.md §1.1).
_USUAL_REASONING_TOKENS = {
    Effort.NONE: 0,
    Effort.MINIMAL: 240,
    Effort.LOW: 480,
    Effort.MEDIUM: 1_200,
    Effort.HIGH: 1_920,
    Effort.XHIGH: 2_280,
    Effort.MAX: 2_280,
}
_USUAL = {
    effort: {
        task: OutputForecast(tokens + reasoning_tokens, reasoning_tokens)
        for task, tokens in _USUAL_OUTPUT_TOKENS.items()
    }
    for effort, reasoning_tokens in _USUAL_REASONING_TOKENS.items()
}
_USUAL_THOUGHTLESS, _USUAL_THINKING = _USUAL[Effort.NONE], _USUAL[Effort.MEDIUM]


def is_thinking(profile: RequestProfile, effort: Effort | None) -> bool:
    """Whether an answer at that effort begins with thoughts; None: as the request asks."""
    return Capability.REASONING in profile.needs if effort is None else effort is not Effort.NONE


def usual_output(profile: RequestProfile, effort: Effort | None) -> OutputForecast:
    """What to expect of such a request at any model, before anything has been learned; `effort` as `is_thinking`."""
    if effort is not None:
        return _USUAL[effort][profile.task]
    return (_USUAL_THINKING if Capability.REASONING in profile.needs else _USUAL_THOUGHTLESS)[profile.task]


class NoExperience:
    """Priors alone: what is expected before anything has been learned."""

    def input_ratio(self, model: Model, _: RequestProfile) -> float:
        return model.token_ratio

    def output(self, _: Deployment, profile: RequestProfile, effort: Effort | None) -> OutputForecast:
        return usual_output(profile, effort)

    def latency(self, _: Deployment, __: RequestProfile) -> Latency | None:
        return None

    def quality(self, _: Model, __: RequestProfile, ___: Effort | None) -> Lesson:
        return NO_LESSON

    def accuracy(self, check: CheckKind, profile: RequestProfile) -> Accuracy:
        return prior_accuracy(check, profile.task)

    def judged(self, _: RequestProfile) -> float:
        return 0.0


NO_EXPERIENCE: Experience = NoExperience()


class Conditions(msgspec.Struct, frozen=True, gc=False):
    """The moment of a decision."""

    now: datetime  # aware, UTC
    unavailable: Mapping[DeploymentId, str] = {}  # why nobody should be sent there now
    seed: int = 0  # of the conversation: breaks exact ties, and draws the arm of an experiment, reproducibly
    warm_tokens: Mapping[DeploymentId, int] = {}  # of the prompt, likely in the cache there
    # A choice binds the turns that follow: they will find the prompt in the cache of whoever is chosen now.
    further_turns: int = 0  # of this conversation, expected while caches last
    growth_tokens: int = 0  # what each of them is expected to add to the prompt, counted with o200k_base
    later_tokens: Mapping[DeploymentId, int] = {}  # of the prompt, in the cache there by then
    experience: Experience = NO_EXPERIENCE
