"""The catalog: which models there are, who serves each, what each can do, how well, and at what price."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, NamedTuple, NewType

from router.apis import Api
from router.catalog.prices import PriceList
from router.catalog.prompt_caches import PromptCaching, prompt_caching

ModelName = NewType("ModelName", str)  # the catalog id, `author/slug`
ProviderName = NewType("ProviderName", str)
DeploymentId = NewType("DeploymentId", str)  # `provider:model`
ArmName = NewType("ArmName", str)  # `model@effort`: a model that is asked to think just so hard
Named = ModelName | ArmName  # a candidate, as the configuration writes it


class Capability(StrEnum):
    """What a request may need beyond text in, text out."""

    TOOLS = "tools"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"
    REASONING = "reasoning"
    IMAGE_INPUT = "image_input"
    AUDIO_INPUT = "audio_input"
    VIDEO_INPUT = "video_input"
    FILE_INPUT = "file_input"
    IMAGE_OUTPUT = "image_output"
    AUDIO_OUTPUT = "audio_output"


class Task(StrEnum):
    """Kinds of work a quality figure speaks of. docs/tasks.md says how each is told, and why it is one."""

    CHAT = "chat"  # everyday questions, advice, ideas: what no other kind claims
    WRITING = "writing"  # texts made or made better: letters, stories, another tone
    TRANSLATION = "translation"
    SUMMARY = "summary"
    EXTRACTION = "extraction"  # text in, structure out
    CLASSIFICATION = "classification"  # text in, one of a few words out
    FACTS = "facts"  # recall of particulars
    MATH = "math"  # sums, word problems, proofs
    REASONING = "reasoning"  # logic, and science that has to be argued
    CODE = "code"  # writing, changing and explaining programs
    TOOL_CALL = "tool_call"  # one call of one of a few tools
    AGENT = "agent"  # tool use over several steps
    VISION = "vision"  # about pictures that are given
    LONG_CONTEXT = "long_context"  # about more text than most models read with care


# Which figure stands in for a kind that nobody has scored: that of the kind nearest to it in what it takes. One step
# only, to one of the six kinds for which there is a figure of nearly every model; docs/tasks.md has the reasons.
TASK_FALLBACKS: Mapping[Task, Task] = MappingProxyType(
    {
        Task.WRITING: Task.CHAT,
        Task.TRANSLATION: Task.CHAT,
        Task.SUMMARY: Task.CHAT,
        Task.CLASSIFICATION: Task.EXTRACTION,
        Task.MATH: Task.REASONING,
        Task.TOOL_CALL: Task.EXTRACTION,
        Task.VISION: Task.CHAT,
        Task.LONG_CONTEXT: Task.REASONING,
    }
)


class Effort(StrEnum):
    """How hard a request asks the model to think: OpenRouter's words for it (openrouter.md §1.1), weakest first."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


class Arm(NamedTuple):
    """What a policy chooses among: a model, at an effort of its own or as each request and its policy have it."""

    name: Named
    model: ModelName
    effort: Effort | None  # None: the name says nothing


def arm_of(name: Named) -> Arm:
    """The arm that is called `model` or `model@effort`. Raises ValueError if what follows the @ is no effort."""
    model, at, effort = name.rpartition("@")
    return Arm(name, ModelName(model), Effort(effort)) if at else Arm(name, ModelName(name), None)


def models_of(names: Iterable[Named]) -> tuple[ModelName, ...]:
    """The models of these arms, each once, in the order of the first of its arms."""
    return tuple(dict.fromkeys(ModelName(name.partition("@")[0]) for name in names))


@dataclass(frozen=True, slots=True)
class Score:
    """How likely an answer of this kind is good: a probability from 0 to 1, with where the figure comes from."""

    value: float
    source: str
    checked: date
    is_estimated: bool = False  # derived from other figures, not measured
    is_own: bool = False  # a team's, of what it uses


# By which a model can be asked that writes text; one for another purpose says so in the catalog.
TEXT_APIS = frozenset({Api.CHAT, Api.RESPONSES, Api.MESSAGES, Api.COMPLETIONS})


@dataclass(frozen=True, slots=True)
class Model:
    name: ModelName
    context_tokens: int  # input and output together
    max_output_tokens: int  # 0: it writes no text
    capabilities: frozenset[Capability]
    token_ratio: float  # tokens of this family's vocabulary per o200k_base token, on English prose
    quality: Mapping[Task, Score]  # at its default effort
    efforts: frozenset[Effort] = frozenset()  # it can be asked for; none: not known
    default_effort: Effort | None = None  # where a request says nothing; None: not known
    apis: frozenset[Api] = TEXT_APIS
    released: date | None = None  # by its maker, as far as the operator has said
    quality_at: Mapping[Task, Mapping[Effort, Score]] = field(default_factory=dict)  # at efforts that are named
    rated_version: str | None = None  # for which version of the model the scores hold; None: nobody has said
    is_as_rated: bool = True  # False: its name stands for another version now


@dataclass(frozen=True, slots=True)
class DataHandling:
    """What happens to a prompt, as the operator has declared it. What is not declared is not promised."""

    keeps_nothing: bool = False  # zero data retention
    may_collect: bool = True  # may store it for training or for its own use
    region: str | None = None  # where it is processed


NOTHING_DECLARED = DataHandling()

ProviderKind = Literal["openrouter", "deepseek", "openai_compatible"]

# What a provider of each kind speaks unless the configuration says otherwise. OpenRouter: its OpenAPI file of
# 2026-08-22, and its documentation for /completions, which the file lacks.
SPOKEN: Mapping[ProviderKind, frozenset[Api]] = {
    "openrouter": frozenset({Api.CHAT, Api.RESPONSES, Api.MESSAGES, Api.COMPLETIONS, Api.EMBEDDINGS}),
    "deepseek": frozenset({Api.CHAT}),
    "openai_compatible": frozenset({Api.CHAT}),
}


@dataclass(frozen=True, slots=True)
class Provider:
    """A server that speaks the OpenAI API. Its key is not here: the catalog is printed, logged and hashed."""

    name: ProviderName
    kind: ProviderKind
    base_url: str
    data: DataHandling = NOTHING_DECLARED
    apis: frozenset[Api] = frozenset({Api.CHAT})  # that it speaks
    is_private: bool | None = None  # whether it is in a private network; None: as its host says (upstream/egress.py)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model at a provider: what one actually sends a request to."""

    model: Model
    provider: Provider
    upstream_model: str  # what the provider calls the model
    prices: PriceList
    max_output_tokens: int
    context_tokens: int
    lacks: frozenset[Capability] = frozenset()  # what the model can do, and this provider does not offer
    version: str | None = None  # what `upstream_model` stands for now: its provider tells, or the operator; names move
    data: DataHandling = NOTHING_DECLARED  # the provider's, unless this deployment differs
    id: DeploymentId = field(init=False)
    # What every decision asks, worked out once.
    capabilities: frozenset[Capability] = field(init=False, repr=False, compare=False)  # here
    apis: frozenset[Api] = field(init=False, repr=False, compare=False)  # by which the model can be asked here
    caching: PromptCaching = field(init=False, repr=False, compare=False)
    rated: Model = field(init=False, repr=False, compare=False)  # the model as its scores may be trusted here

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", DeploymentId(f"{self.provider.name}:{self.model.name}"))
        object.__setattr__(self, "capabilities", self.model.capabilities - self.lacks)
        object.__setattr__(self, "apis", self.model.apis & self.provider.apis)
        object.__setattr__(self, "caching", prompt_caching(self.model.name))
        is_as_rated = self.version is None or self.model.rated_version in (None, self.version)
        object.__setattr__(self, "rated", self.model if is_as_rated else replace(self.model, is_as_rated=False))


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every model with its deployments, in the order of the configuration."""

    deployments: Mapping[ModelName, tuple[Deployment, ...]]
    version: str  # digest of everything the catalog was made from

    def of(self, model: ModelName) -> tuple[Deployment, ...]:
        """The deployments of a model; empty if the catalog does not know it."""
        return self.deployments.get(model, ())

    def __contains__(self, model: object) -> bool:
        return model in self.deployments

    def __iter__(self) -> Iterator[Deployment]:
        for deployments in self.deployments.values():
            yield from deployments
