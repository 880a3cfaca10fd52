"""`LearnedExperience`: what earlier requests have taught, as decisions ask it; fed from ledger entries.

Deterministic: the same entries in the same order teach the same, whoever reads them and whenever. Not to be observed
from two threads at once.
"""

from collections.abc import Container, Iterator, Mapping
from typing import Any

import msgspec

from router.catalog.catalog import Catalog, Deployment, DeploymentId, Effort, Model, ModelName, Task
from router.decision.facts import Latency, OutputForecast, RequestProfile
from router.learning.latencies import Latencies
from router.learning.outputs import Outputs
from router.learning.quality import QualityLessons
from router.learning.rates import Rates
from router.learning.ratios import Ratios
from router.learning.signals import CheckAccuracy
from router.ledger import FAILED_VERIFICATION, SECOND_OPINION, Attempt, LedgerEntry, Outcome
from router.quality.cascade import Accuracy, prior_accuracy
from router.quality.labels import SignalAccuracy
from router.quality.predictor import NO_LESSON, Lesson
from router.quality.verify import CheckKind

VERSION = 2  # of the data; what another version wrote is not read

CUT_SHORT = frozenset({"length", "max_tokens", "MAX_TOKENS"})  # reasons for finishing that mean "at least"
_WHOLE = frozenset({"ok", FAILED_VERIFICATION, SECOND_OPINION})
_NOT_AN_ANSWER = frozenset({"error", "content_filter"})


class LearnedExperience:
    """The `Experience` of one process."""

    def __init__(self, token_ratios: Mapping[ModelName, float], *, unmoved: Container[str] = ()) -> None:
        """`token_ratios` are the catalog's: what to expect of a model nothing has been learned of. The quality that is
        expected by the teams `unmoved` is the catalog's, whatever their labels say."""
        self._outputs = Outputs()
        self._ratios = Ratios(token_ratios)
        self._latencies = Latencies()
        self.judgements = QualityLessons()
        self.rates = Rates()
        self._unmoved = unmoved
        self._profile = msgspec.json.Decoder(RequestProfile)
        self._lessons = 0

    def reconfigured(self, token_ratios: Mapping[ModelName, float], *, unmoved: Container[str]) -> None:
        """What the constructor was told, of another configuration; what was learned stays."""
        self._ratios.token_ratios = token_ratios
        self._unmoved = unmoved

    def is_moved(self, team: str) -> bool:
        """Whether the labels of a team's answers may move what is expected of them."""
        return team not in self._unmoved

    def input_ratio(self, model: Model, profile: RequestProfile) -> float:
        learned = self._ratios.ratio(model.name, profile)
        return model.token_ratio if learned is None else learned

    def output(self, deployment: Deployment, profile: RequestProfile, effort: Effort | None) -> OutputForecast:
        return self._outputs.forecast(deployment.model.name, profile, effort)

    def latency(self, deployment: Deployment, profile: RequestProfile) -> Latency | None:
        return self._latencies.latency(deployment.id, profile.team)

    def pace(self, deployment: DeploymentId) -> Latency | None:
        """What all teams together have seen there; None if too few streams came from there."""
        return self._latencies.latency(deployment, "")

    def quality(self, model: Model, profile: RequestProfile, effort: Effort | None) -> Lesson:
        return NO_LESSON if profile.team in self._unmoved else self.judgements.lesson(model.name, profile, effort)

    def judged(self, profile: RequestProfile) -> float:
        return 0.0 if profile.team in self._unmoved else self.judgements.judged(profile)

    def check_accuracy(self, team: str, check: str, task: Task, prior: SignalAccuracy) -> CheckAccuracy:
        """How far a check of a team's answers of that kind can be trusted, by the scores of those it has looked at."""
        return self.judgements.check_accuracy(team, check, task, prior)

    @property
    def lessons(self) -> int:
        """How many times anything has been learned, or forgotten, since the start."""
        return self._lessons + self.judgements.changes

    def accuracy(self, check: CheckKind, profile: RequestProfile) -> Accuracy:
        prior = prior_accuracy(check, profile.task)
        if profile.team in self._unmoved:
            return prior
        known = self.check_accuracy(profile.team, check, profile.task, SignalAccuracy(*prior))
        return Accuracy(known.sensitivity, known.specificity) if known.labels else prior

    def observe(self, entry: LedgerEntry) -> None:
        """`learn` from an entry that was kept. One without a readable profile is let be."""
        try:
            profile = self._profile.decode(entry.profile_json)
        except msgspec.DecodeError:
            return
        self.learn(entry, profile)

    def learn(self, entry: LedgerEntry, profile: RequestProfile) -> None:
        """Learn from every call of the request, whose profile this is, if its usage is known."""
        calls = [each for each in entry.attempts if each.usage is not None and each.usage.input_tokens]
        if not calls:
            return
        for call in calls:
            self._observe_call(call, profile, is_whole=entry.outcome is Outcome.OK or call is not entry.served_by)
        self._lessons += 1

    def forget(self, model: ModelName) -> None:
        """The name stands for another model now: what the old one taught misleads."""
        self._forget_but_judgements(model)
        self.judgements.forget(model)

    def meet(self, catalog: Catalog) -> list[ModelName]:
        """Forget the models whose names stand for other versions now than what was learned is of, and say which."""
        moved = self.judgements.meet(catalog)
        for model in moved:
            self._forget_but_judgements(model)
        return moved

    def as_data(self) -> Iterator[tuple[str, list[Any]]]:
        """Everything, piece by piece, each JSON-ready with the name of its kind."""
        for kind, pieces in (
            ("output", self._outputs.as_data()),
            ("ratio", self._ratios.as_data()),
            ("latency", self._latencies.as_data()),
            ("rate", self.rates.as_data()),
            ("quality", self.judgements.as_data()),
        ):
            for piece in pieces:
                yield kind, piece

    def take(self, kind: str, piece: list[Any]) -> None:
        """A piece from `as_data`; `work_out` ends it. Raises ValueError, TypeError or KeyError if it is none."""
        takes = {
            "output": self._outputs.take,
            "ratio": self._ratios.take,
            "latency": self._latencies.take,
            "rate": self.rates.take,
            "quality": self.judgements.take,
        }
        takes[kind](piece)

    def work_out(self) -> None:
        """Make what was taken ready to be asked. Takes milliseconds for each team and model."""
        for _ in self.judgements.solving():
            pass

    def _forget_but_judgements(self, model: ModelName) -> None:
        self._outputs.forget(model)
        self._ratios.forget(model)
        self._latencies.forget({each for each in self._latencies.known() if each.partition(":")[2] == model})
        self._lessons += 1

    def _observe_call(self, call: Attempt, profile: RequestProfile, *, is_whole: bool) -> None:
        usage = call.usage
        assert usage is not None
        self._ratios.observe(call.model, profile, reported=usage.input_tokens)
        if not usage.output_tokens or call.finish_reason in _NOT_AN_ANSWER:
            return
        self._outputs.observe(
            call.model,
            profile,
            call.effort or profile.effort,
            output_tokens=usage.output_tokens / profile.choices,
            reasoning_tokens=usage.reasoning_tokens / profile.choices,
            is_cut=call.finish_reason in CUT_SHORT or not is_whole or call.outcome not in _WHOLE,
        )
        if call.first_token_s is not None:
            self._latencies.observe(
                DeploymentId(f"{call.provider}:{call.model}"),
                profile.team,
                first_token_s=call.first_token_s,
                output_tokens=usage.output_tokens,
                writing_s=call.duration_s - call.first_token_s,
            )
