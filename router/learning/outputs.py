"""How long answers are: `Outputs`, by who asks which model what, from the general to the particular.

Three groups learn from every answer: all requests of a kind of task and depth of thought; these at one model; and these
of one team with prompts of a size. A group of fewer than forty answers leans on the wider one, and the widest on the
priors in `decision.facts`: each is worth ten answers.

Expected dollars add up over many requests, so the forecast is a mean, not a median: half of all answers being dearer
would say nothing of how much dearer. One answer that ran away counts for eight usual ones at most. An answer that its
limit cut off says "at least so many": it counts as what longer answers of its group have come to on average.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from router.catalog.catalog import Effort, ModelName
from router.decision.facts import OutputForecast, RequestProfile, is_thinking, usual_output
from router.learning.sketch import Sketch

_Key = tuple[str, ModelName]  # a group without its model, and the model; an empty one stands for all

_LEAN = 10.0  # how many answers the wider group is worth
_ENOUGH = 40.0  # a group of so many answers speaks for itself
_MOST_TIMES_USUAL = 8.0
_TAIL_LEAN = 2.0  # how many longer answers the guess of what a cut answer might have become is worth
ALL_MODELS = ModelName("")


class _Habit:
    """The answers of one group."""

    __slots__ = ("_alone", "output", "output_mean", "reasoning", "reasoning_mean", "share", "weight")

    def __init__(self, output: Sketch, reasoning: Sketch) -> None:
        self.output = output
        self.reasoning = reasoning
        self._alone: OutputForecast | None = None  # most groups are never asked by themselves
        self._refresh()

    def add(self, output_tokens: float, reasoning_tokens: float) -> None:
        self.output.add(output_tokens)
        self.reasoning.add(reasoning_tokens)
        self._refresh()

    def alone(self) -> OutputForecast:
        """What this group says by itself."""
        if self._alone is None:
            self._alone = _forecast(self.output_mean, self.reasoning_mean)
        return self._alone

    def _refresh(self) -> None:
        weight = self.weight = self.output.weight
        # Of a forecast; the rest is the wider group's.
        self.share = weight / (weight + _LEAN) if weight < _ENOUGH else 1.0
        self.output_mean = self.output.mean if weight else 0.0
        self.reasoning_mean = self.reasoning.mean if weight else 0.0
        self._alone = None


class _Asked(NamedTuple):
    """What the candidates of one decision have in common: all but the model."""

    profile: RequestProfile
    effort: Effort | None
    general: str
    particular: str
    output: float  # of all models together
    reasoning: float
    forecast: OutputForecast  # the same, of a model that has not answered yet


class Outputs:
    """Forecasts, and what they are made from. Bounded: of more than `most_groups` the one unheard of longest goes."""

    def __init__(self, *, most_groups: int = 3_000) -> None:
        self._most_groups = most_groups
        self._habits: dict[_Key, _Habit] = {}  # the one heard of last is the last
        self._asked: _Asked | None = None

    def __len__(self) -> int:
        return len(self._habits)

    def forecast(self, model: ModelName, profile: RequestProfile, effort: Effort | None) -> OutputForecast:
        """Tokens per choice where nothing limits the answer."""
        asked = self._asked
        if asked is None or asked.profile is not profile or asked.effort is not effort:
            group, own = _groups(profile, effort)
            output, reasoning = _leaning((self._habits.get((group, ALL_MODELS)),), *_prior(profile, effort))
            forecast = _forecast(output, reasoning)
            asked = self._asked = _Asked(profile, effort, group, own, output, reasoning, forecast)
        particular = self._habits.get((asked.particular, model))
        if particular is not None and particular.share == 1.0:
            return particular.alone()
        general = self._habits.get((asked.general, model))
        if general is None and particular is None:
            return asked.forecast
        return _forecast(*_leaning((general, particular), asked.output, asked.reasoning))

    def observe(
        self,
        model: ModelName,
        profile: RequestProfile,
        effort: Effort | None,
        *,
        output_tokens: float,
        reasoning_tokens: float,
        is_cut: bool,
    ) -> None:
        """An answer of so many tokens a choice; `is_cut` if it would have been longer."""
        self._asked = None
        general, particular = _groups(profile, effort)
        prior = _prior(profile, effort)
        keys = ((general, ALL_MODELS), (general, model), (particular, model))
        usual, _ = _leaning(map(self._habits.get, keys), *prior)
        if is_cut:
            output_tokens = self._completed(keys, output_tokens, prior)
        output_tokens = min(output_tokens, _MOST_TIMES_USUAL * usual)
        reasoning_tokens = min(reasoning_tokens, output_tokens)
        for key in keys:
            habit = self._habits.pop(key, None) or _Habit(Sketch(), Sketch())
            self._habits[key] = habit
            habit.add(output_tokens, reasoning_tokens)
        while len(self._habits) > self._most_groups:
            del self._habits[next(iter(self._habits))]

    def quantile(self, share: float, model: ModelName, profile: RequestProfile, effort: Effort | None) -> float | None:
        """Of the narrowest group with ten answers, the tokens that so large a share of them stays below."""
        general, particular = _groups(profile, effort)
        for key in ((particular, model), (general, model), (general, ALL_MODELS)):
            habit = self._habits.get(key)
            if habit is not None and habit.weight >= _LEAN:
                return habit.output.quantile(share)
        return None

    def forget(self, model: ModelName) -> None:
        """What was learned of a model that is another one now. What all models taught together stays."""
        self._asked = None
        for key in [key for key in self._habits if key[1] == model]:
            del self._habits[key]

    def as_data(self) -> Iterator[list[Any]]:
        """JSON-ready, one group after the other, the one heard of last at the end; others may be learned meanwhile."""
        for (group, model), habit in list(self._habits.items()):
            yield [group, model, habit.output.as_data(), habit.reasoning.as_data()]

    def take(self, data: list[Any]) -> None:
        """A group from `as_data`. Raises ValueError or TypeError if it is none."""
        self._asked = None
        group, model, output, reasoning = data
        self._habits[(str(group), ModelName(model))] = _Habit(Sketch.from_data(output), Sketch.from_data(reasoning))

    def _completed(self, keys: tuple[_Key, _Key, _Key], at_least: float, prior: OutputForecast) -> float:
        """What an answer may have become that was cut off at so many tokens."""
        weight, total = _TAIL_LEAN, _TAIL_LEAN * (at_least + prior.output_tokens)
        for key in keys[1:]:
            habit = self._habits.get(key)
            if habit is not None:
                more, mean = habit.output.above(at_least)
                weight, total = weight + more, total + more * mean
        return total / weight


def _leaning(habits: Iterable[_Habit | None], output: float, reasoning: float) -> tuple[float, float]:
    """What the last of the groups says, as far as it has learned, and else the one before; the first on what is given.

    Tokens of output, and of reasoning.
    """
    for habit in habits:
        if habit is not None:
            output += habit.share * (habit.output_mean - output)
            reasoning += habit.share * (habit.reasoning_mean - reasoning)
    return output, reasoning


def _forecast(output: float, reasoning: float) -> OutputForecast:
    return OutputForecast(round(output) or 1, round(reasoning))


def _groups(profile: RequestProfile, effort: Effort | None) -> tuple[str, str]:
    """The kind of request, and the team's own with prompts of that size, in steps of four times as much."""
    depth: str = effort if effort is not None else "thinking" if is_thinking(profile, effort) else ""
    general = f"{profile.task}/{depth}"
    return general, f"{general}/{profile.team}/{(profile.input_tokens.bit_length() + 1) // 2}"


def _prior(profile: RequestProfile, effort: Effort | None) -> OutputForecast:
    return usual_output(profile, effort)
