"""How models differ in the length of their answers and in their vocabulary, as the ledger itself has it: `Habits`.

Two models give two texts to one request. What the other one would have written is the text of then, times the ratio of
the two models' lengths; thinking is the other's own mean for such requests. Answers that were cut off, by the client,
by the provider or by the limit, say nothing of habits and are left out.

A ratio is taken within one kind of request where the ledger has many answers of both models to it. Elsewhere the means
of all kinds cannot be compared as they are: a policy sends one model the essays and another the one-word answers. So
each mean is taken for a product, length of the model x length of the kind, and both are fitted to all answers (a
Poisson model, whose best fit makes the sums of every model and of every kind right).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

from router.catalog.catalog import Capability, Effort, ModelName, Task
from router.decision.facts import RequestProfile
from router.learning.experience import CUT_SHORT
from router.ledger import LedgerEntry, Outcome
from router.units import CostSource, Usage

# All of these are our judgement.
_MANY = 200  # answers of each of two models to one kind of request: their ratio needs no help of other kinds
_ENOUGH = 20  # answers of a model, before anything about it is believed
_ROUNDS = 200  # of fitting: few answers to shared kinds let it converge slowly, and it takes milliseconds

# Relative errors, one standard deviation. Where the ledger has not enough of a model, its answers may be half as long
# again as those of another (mean lengths of public models differ by a factor of two at most). That models keep their
# proportion from kind to kind is true to some 10 %. So are the token ratios of models.yaml, as it says.
_UNKNOWN_LENGTH = 0.5
_UNEQUAL_KINDS = 0.1
_UNKNOWN_VOCABULARY = 0.1

_STRUCTURED = frozenset({Capability.TOOLS, Capability.JSON_OBJECT, Capability.JSON_SCHEMA})


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests whose answers are of comparable length."""

    task: Task
    effort: Effort | None
    thinks: bool  # was asked to
    is_structured: bool  # JSON or a tool call may be the answer

    @classmethod
    def of(cls, profile: RequestProfile, told: Effort | None) -> "Kind":
        """`told` is the effort that the policy wrote into the request; None: as the client asked."""
        needs = profile.needs
        return cls(
            profile.task, told or profile.effort, Capability.REASONING in needs, not _STRUCTURED.isdisjoint(needs)
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What becomes of an answer's length if another model gives it; errors are relative, one standard deviation."""

    text_ratio: float  # tokens of text, in each model's own tokens
    thinking_tokens: float | None  # of the other model, per choice; None: as many as then
    common_error: float  # of all such answers alike: the ratio may be wrong
    single_error: float  # of each on its own: chance


class Observations:
    """What answered requests tell, in any order. Grows with the number of models, not of requests."""

    def __init__(self) -> None:
        self.lengths: defaultdict[ModelName, defaultdict[Kind, Lengths]] = defaultdict(lambda: defaultdict(Lengths))
        self.vocabularies: defaultdict[ModelName, Vocabulary] = defaultdict(Vocabulary)

    def observe(self, entry: LedgerEntry, profile: RequestProfile) -> None:
        served = entry.served_by
        if served is None or served.usage is None or served.source is CostSource.HELD:
            return
        kind = Kind.of(profile, served.effort)
        if not profile.images and not profile.has_unbounded_parts and not kind.is_structured:
            self.vocabularies[served.model].add(profile.input_tokens, served.usage)
        limit = profile.max_output_tokens
        is_cut = served.finish_reason in CUT_SHORT or (
            limit is not None and served.usage.output_tokens >= limit * profile.choices
        )
        if entry.outcome is Outcome.OK and not is_cut:
            self.lengths[served.model][kind].add(served.usage, profile.choices)


class Habits:
    """What the observations come to."""

    def __init__(self, observations: Observations) -> None:
        self._lengths = observations.lengths
        self._vocabularies = observations.vocabularies
        self._of_model = {model: _together(kinds.values()) for model, kinds in self._lengths.items()}
        self._factors = _model_factors(self._lengths)
        self._known: dict[tuple[ModelName, ModelName, Kind], Comparison | None] = {}

    def compared(self, then: ModelName, now: ModelName, kind: Kind, *, token_ratio: float) -> Comparison:
        """How answers of `now` compare with those of `then`; `token_ratio` of their vocabularies is the last resort."""
        key = (then, now, kind)
        if key not in self._known:
            self._known[key] = self._measured(then, now, kind)
        measured = self._known[key]
        return measured or Comparison(token_ratio, None, common_error=_UNKNOWN_LENGTH, single_error=0.0)

    def rethought(self, model: ModelName, kind: Kind) -> Comparison:
        """The same model's answer, if it is another effort that is asked of it, or another provider that runs it."""
        thinking = self._thinking(model, kind) if model in self._lengths else None
        return Comparison(1.0, thinking, common_error=0.0, single_error=0.0)

    def token_ratio(self, model: ModelName, *, otherwise: float | None) -> tuple[float | None, float]:
        """Input tokens reported per token counted, and its relative error; `otherwise` if the ledger has too few."""
        known = self._vocabularies.get(model)
        if known is None or known.answers < _ENOUGH or not known.counted or not known.reported:
            return otherwise, _UNKNOWN_VOCABULARY
        return known.reported / known.counted, 0.0

    def _measured(self, then: ModelName, now: ModelName, kind: Kind) -> Comparison | None:
        if then not in self._lengths or now not in self._lengths:
            return None
        old, new = self._lengths[then].get(kind), self._lengths[now].get(kind)
        thinking = self._thinking(now, kind)
        if old and new and min(old.answers, new.answers) >= _MANY and old.text and new.text:
            return Comparison(new.text / old.text, thinking, _common(old, new), _single(old, new))
        all_old, all_new = self._of_model[then], self._of_model[now]
        if min(all_old.answers, all_new.answers) < _ENOUGH or not self._factors[then]:
            return None
        ratio = self._factors[now] / self._factors[then]
        common = sqrt(_common(all_old, all_new) ** 2 + _UNEQUAL_KINDS**2)
        return Comparison(ratio, thinking, common, _single(all_old, all_new))

    def _thinking(self, model: ModelName, kind: Kind) -> float | None:
        """Mean tokens of thinking for the kind, else for all that were asked to think alike, else unknown."""
        kinds = self._lengths[model]
        own = kinds.get(kind)
        if own is not None and own.answers >= _ENOUGH:
            return own.thinking
        alike = [each for other, each in kinds.items() if (other.effort, other.thinks) == (kind.effort, kind.thinks)]
        answers = sum(each.answers for each in alike)
        return sum(each.thinking * each.answers for each in alike) / answers if answers >= _ENOUGH else None


class Lengths:
    """Of one model's answers to one kind of request: sums."""

    __slots__ = ("_square", "_text", "_thinking", "answers")

    def __init__(self) -> None:
        self.answers = 0
        self._text = 0.0
        self._square = 0.0
        self._thinking = 0.0

    def add(self, usage: Usage, choices: int) -> None:
        text = (usage.output_tokens - usage.reasoning_tokens) / choices
        self.answers += 1
        self._text += text
        self._square += text * text
        self._thinking += usage.reasoning_tokens / choices

    @property
    def text(self) -> float:
        """Mean tokens of text."""
        return self._text / self.answers

    @property
    def thinking(self) -> float:
        """Mean tokens of thinking."""
        return self._thinking / self.answers

    @property
    def spread(self) -> float:
        """Standard deviation of the text's length, relative to the mean."""
        mean = self.text
        return sqrt(max(self._square / self.answers - mean * mean, 0.0)) / mean if mean else 0.0


class Vocabulary:
    """Tokens that we counted and that the provider reported, of the same prompts."""

    __slots__ = ("answers", "counted", "reported")

    def __init__(self) -> None:
        self.answers = 0
        self.counted = 0
        self.reported = 0

    def add(self, counted: int, usage: Usage) -> None:
        self.answers += 1
        self.counted += counted
        self.reported += usage.input_tokens


@dataclass(frozen=True, slots=True)
class _Together:
    """A model's answers of all kinds; the spread is that within a kind."""

    answers: int
    spread: float


def _together(kinds: Iterable[Lengths]) -> _Together:
    all_kinds = list(kinds)
    answers = sum(each.answers for each in all_kinds)
    return _Together(answers, sqrt(sum(each.answers * each.spread**2 for each in all_kinds) / answers))


def _model_factors(lengths: Mapping[ModelName, Mapping[Kind, Lengths]]) -> dict[ModelName, float]:
    """How long each model's answers are in proportion to the others', for requests of one kind."""
    kinds = {kind for of_model in lengths.values() for kind in of_model}
    factors = dict.fromkeys(lengths, 1.0)
    for _ in range(_ROUNDS):
        written = dict.fromkeys(kinds, 0.0)
        expected = dict.fromkeys(kinds, 0.0)
        for model, of_model in lengths.items():
            for kind, each in of_model.items():
                written[kind] += each.text * each.answers
                expected[kind] += factors[model] * each.answers
        length = {kind: written[kind] / expected[kind] if expected[kind] else 0.0 for kind in kinds}
        for model, of_model in lengths.items():
            would_be = sum(length[kind] * each.answers for kind, each in of_model.items())
            text = sum(each.text * each.answers for each in of_model.values())
            factors[model] = text / would_be if would_be else 0.0
    return factors


def _common(old: Lengths | _Together, new: Lengths | _Together) -> float:
    return sqrt(old.spread**2 / old.answers + new.spread**2 / new.answers)


def _single(old: Lengths | _Together, new: Lengths | _Together) -> float:
    return sqrt(old.spread**2 + new.spread**2)
