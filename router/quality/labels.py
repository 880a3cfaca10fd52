"""What an answer turned out to be worth: `Label`, from a person, a check, or what the client did next; no text.

A label is a signal, and signals err. `SignalAccuracy` is how often each speaks well of a good answer, and ill of a bad
one; `debiased` takes that error out again, so that many labels mean on average what perfect ones would, and `weight`
says how much one of them is worth beside a perfect one.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from router.catalog.catalog import Effort, ModelName, Task
from router.keys import TeamName


class Signal(StrEnum):
    """Who says it."""

    FEEDBACK = "feedback"  # a person or a program of the team's, by POST /v1/feedback
    VERIFIER = "verifier"  # a check of the policy, of the answer that the client got
    ESCALATION = "escalation"  # a check of the policy failed, so a better model was asked
    RETRY = "retry"  # whether the same turn was asked again


class Verdict(StrEnum):
    """What a label comes to; the label `verdict` of penstock_quality_feedback_total."""

    GOOD = "good"
    MIXED = "mixed"
    BAD = "bad"


class SignalAccuracy(NamedTuple):
    """How far a signal can be trusted."""

    sensitivity: float  # the share of good answers that it calls good
    specificity: float  # the share of bad answers that it calls bad

    @property
    def informedness(self) -> float:
        """Youden's J: 1 for a signal that never errs, 0 for one that says nothing."""
        return self.sensitivity + self.specificity - 1.0


# Our judgement, until they are measured against each other (`LearnedExperience.check_accuracy`). People err in one of
# twenty scores, which is also what the reference's simulation was run with. A check of form lets most bad answers pass.
# Many ask again who were answered well, and most leave a bad answer without asking again.
PRIOR_ACCURACY: Mapping[Signal, SignalAccuracy] = MappingProxyType(
    {
        Signal.FEEDBACK: SignalAccuracy(0.95, 0.95),
        Signal.VERIFIER: SignalAccuracy(0.98, 0.35),
        Signal.ESCALATION: SignalAccuracy(0.98, 0.35),
        Signal.RETRY: SignalAccuracy(0.97, 0.25),
    }
)

LEAST_INFORMEDNESS = 0.1  # a signal that says less is not listened to: its label would be ten answers' worth of noise

_GOOD_FROM = 2 / 3
_BAD_UP_TO = 1 / 3


class Label(msgspec.Struct, frozen=True, gc=False):
    """One signal about one answer. Of one signal about one answer, the last counts."""

    request_id: str
    number: int  # of the call within its request, from 1
    signal: Signal
    team: TeamName
    model: ModelName
    effort: Effort | None  # it thought so hard, whoever said so; None: not known
    version: str | None  # of the model, as far as it is known
    task: Task
    asked_at: datetime  # when the request was decided
    at: datetime  # when the signal came
    score: float  # 0 bad to 1 good, as the signal has it
    prior_logit: float  # log-odds of a good answer, as forecast without anything learned
    features: dict[str, float]  # of the request, by name; those that are 0 are left out
    checks: dict[str, bool] = {}  # of its policy that looked at the answer: whether it passed, where that is known
    share: float = 1.0  # of such labels that are kept: one in so many stands for the others
    reason: str | None = None  # of feedback: one of the words that docs/learning.md has
    propensity: float | None = None  # the probability with which the decision chose this arm; None: it was certain

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.score)


def verdict_of(score: float) -> Verdict:
    """Thirds: what is neither good nor bad is mixed."""
    if score >= _GOOD_FROM:
        return Verdict.GOOD
    return Verdict.BAD if score <= _BAD_UP_TO else Verdict.MIXED


def debiased(score: float, accuracy: SignalAccuracy) -> float:
    """The score without the error of its signal: 0 and 1 on average where the answer is bad and good.

    With the same error e both ways this is (score - e) / (1 - 2e). A single one may lie beyond 0 and 1.
    """
    return (score - (1.0 - accuracy.specificity)) / accuracy.informedness


def weight(accuracy: SignalAccuracy) -> float:
    """What a label of that signal is worth beside a perfect one: debiasing makes its noise so much larger."""
    return accuracy.informedness**2 if accuracy.informedness >= LEAST_INFORMEDNESS else 0.0
