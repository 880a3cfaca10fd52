"""`LearnedExperience`: what earlier requests have taught, as decisions ask it; fed from ledger entries.

Deterministic: the same entries in the same order teach the same, whoever reads them and whenever. Not to be observed
from two threads at once.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from router.catalog.catalog import Deployment, DeploymentId, Effort, Model, ModelName
from router.decision.facts import Latency, OutputForecast, RequestProfile
from router.learning.latencies import Latencies
from router.learning.outputs import Outputs
from router.learning.ratios import Ratios
from router.ledger import FAILED_VERIFICATION, SECOND_OPINION, Attempt, LedgerEntry, Outcome
from router.quality.cascade import Accuracy, prior_accuracy
from router.quality.predictor import NO_LESSON, Lesson
from router.quality.verify import CheckKind

VERSION = 2  # of the data; what another version wrote is not read

CUT_SHORT = frozenset({"length", "max_tokens", "MAX_TOKENS"})  # reasons for finishing that mean "at least"
_WHOLE = frozenset({"ok", FAILED_VERIFICATION, SECOND_OPINION})
_NOT_AN_ANSWER = frozenset({"error", "content_filter"})


class LearnedExperience:
    """The `Experience` of one process."""

    def __init__(self, token_ratios: Mapping[ModelName, float]) -> None:
        """`token_ratios` are the catalog's: what to expect of a model nothing has been learned of."""
        self._outputs = Outputs()
        self._ratios = Ratios(token_ratios)
        self._latencies = Latencies()
        self._profile = msgspec.json.Decoder(RequestProfile)
        self.lessons = 0  # how many times anything has been learned, or forgotten, since the start

    def input_ratio(self, model: Model, profile: RequestProfile) -> float:
        learned = self._ratios.ratio(model.name, profile)
        return model.token_ratio if learned is None else learned

    def output(self, deployment: Deployment, profile: RequestProfile, effort: Effort | None) -> OutputForecast:
        return self._outputs.forecast(deployment.model.name, profile, effort)

    def latency(self, deployment: Deployment, profile: RequestProfile) -> Latency | None:
        return self._latencies.latency(deployment.id, profile.team)

    def quality(self, _: Model, __: RequestProfile, ___: Effort | None) -> Lesson:
        return NO_LESSON

    def accuracy(self, check: CheckKind, profile: RequestProfile) -> Accuracy:
        return prior_accuracy(check, profile.task)

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
        self.lessons += 1

    def forget(self, model: ModelName) -> None:
        """The name stands for another model now: what the old one taught misleads."""
        self._outputs.forget(model)
        self._ratios.forget(model)
        self._latencies.forget({each for each in self._latencies.known() if each.partition(":")[2] == model})
        self.lessons += 1

    def as_data(self) -> Iterator[tuple[str, list[Any]]]:
        """Everything, piece by piece, each JSON-ready with the name of its kind."""
        for kind, pieces in (
            ("output", self._outputs.as_data()),
            ("ratio", self._ratios.as_data()),
            ("latency", self._latencies.as_data()),
        ):
            for piece in pieces:
                yield kind, piece

    def take(self, kind: str, piece: list[Any]) -> None:
        """A piece from `as_data`. Raises ValueError, TypeError or KeyError if it is none."""
        {"output": self._outputs.take, "ratio": self._ratios.take, "latency": self._latencies.take}[kind](piece)

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
