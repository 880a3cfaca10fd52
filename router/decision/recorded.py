"""What a decision was made in, kept so that it can be made again, and what it came to: `DecisionRecord`.

Together with the profile it is everything `decide` depends on but the configuration. What had been learned is kept as
the answers that the decision asked for: the rest of it cannot have mattered.
"""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from router.catalog.catalog import Deployment, DeploymentId, Effort, Model, ModelName, Named
from router.decision.decide import Decision
from router.decision.facts import (
    NO_EXPERIENCE,
    NO_TIGHTENING,
    Conditions,
    Experience,
    Latency,
    OutputForecast,
    RequestProfile,
    Tightening,
)
from router.quality.cascade import Accuracy
from router.quality.predictor import NO_LESSON, Lesson
from router.quality.verify import CheckKind

VERSION = 2  # of the record; a reader that does not know it must not guess
_BEFORE_ARMS = 1  # the same but for `ranked`, which names deployments, with their efforts in `efforts`

WAS_UNAVAILABLE = "it was unavailable when the request was decided"


# Empty defaults are no shared state: msgspec copies them.
class Answers(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What an `Experience` said during one decision."""

    input_ratios: dict[ModelName, float] = {}
    outputs: dict[str, tuple[int, int]] = {}  # output and reasoning tokens, by `deployment effort`
    latencies: dict[DeploymentId, tuple[float, float] | None] = {}  # s to the first token, tokens per s
    judged: float | None = None  # answers to such work; None: nobody asked
    lessons: dict[str, tuple[float, float, float]] = {}  # shift, variance, labels, by `model effort`; no entry: none
    accuracies: dict[CheckKind, tuple[float, float]] = {}  # sensitivity and specificity


class DecisionRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The conditions of a decision, and whom it preferred. Numbers, enums and names of the configuration; no text."""

    version: int  # by which it was written
    ranked: tuple[str, ...]  # the ids of the eligible candidates in their order: the decision itself
    tightening: Tightening = NO_TIGHTENING
    policy: str | None = None  # the header x-penstock-policy, if it was sent
    is_downgraded: bool = False  # a spent budget had put the policy's cheapest models in place of the good enough
    cascade: tuple[str, ...] = ()  # ids: asked first, where a check fails, for an opinion
    propensity: float | None = None  # with which the first of the ranked came to be first; None: nothing was drawn
    # How likely each was to be first; empty: nothing was drawn, or it was kept before 30 November 2026.
    drawn_from: dict[Named, float] = {}
    seed: int = 0
    unavailable: tuple[DeploymentId, ...] = ()
    warm_tokens: dict[DeploymentId, int] = {}
    further_turns: int = 0
    growth_tokens: int = 0
    later_tokens: dict[DeploymentId, int] = {}
    answers: Answers | None = None  # None: nothing had been learned, the priors spoke

    @property
    def keeps_efforts_with_calls(self) -> bool:
        """Whether the ledger has the effort of each call of the request; else it is that of its candidate."""
        return self.version != _BEFORE_ARMS

    def conditions(self, conditions: Conditions) -> Conditions:
        """The conditions of then. `conditions` tells the moment, what nobody asked for then, and where the prompt is
        warm, or no longer, because of what has been decided differently since."""
        experience = NO_EXPERIENCE if self.answers is None else Recalled(self.answers, conditions.experience)
        return replace(
            conditions,
            seed=self.seed,
            unavailable=dict.fromkeys(self.unavailable, WAS_UNAVAILABLE),
            warm_tokens={**self.warm_tokens, **conditions.warm_tokens},
            further_turns=self.further_turns,
            growth_tokens=self.growth_tokens,
            later_tokens={**conditions.later_tokens, **self.later_tokens},
            experience=experience,
        )


class Remembering:
    """An experience that keeps what it has answered. All that follow from one plan get the same answers."""

    def __init__(self, experience: Experience) -> None:
        self._experience = experience
        self._input_ratios: dict[ModelName, float] = {}
        self._outputs: dict[tuple[DeploymentId, Effort | None], OutputForecast] = {}
        self._latencies: dict[DeploymentId, Latency | None] = {}
        self._lessons: dict[tuple[ModelName, Effort | None], Lesson] = {}
        self._accuracies: dict[CheckKind, Accuracy] = {}
        self._judged: float | None = None

    def input_ratio(self, model: Model, profile: RequestProfile) -> float:
        known = self._input_ratios.get(model.name)
        if known is None:
            known = self._input_ratios[model.name] = self._experience.input_ratio(model, profile)
        return known

    def output(self, deployment: Deployment, profile: RequestProfile, effort: Effort | None) -> OutputForecast:
        key = (deployment.id, effort)
        known = self._outputs.get(key)
        if known is None:
            known = self._outputs[key] = self._experience.output(deployment, profile, effort)
        return known

    def latency(self, deployment: Deployment, profile: RequestProfile) -> Latency | None:
        if deployment.id not in self._latencies:
            self._latencies[deployment.id] = self._experience.latency(deployment, profile)
        return self._latencies[deployment.id]

    def quality(self, model: Model, profile: RequestProfile, effort: Effort | None) -> Lesson:
        key = (model.name, effort)
        known = self._lessons.get(key)
        if known is None:
            known = self._lessons[key] = self._experience.quality(model, profile, effort)
        return known

    def accuracy(self, check: CheckKind, profile: RequestProfile) -> Accuracy:
        known = self._accuracies.get(check)
        if known is None:
            known = self._accuracies[check] = self._experience.accuracy(check, profile)
        return known

    def judged(self, profile: RequestProfile) -> float:
        if self._judged is None:
            self._judged = self._experience.judged(profile)
        return self._judged

    def answers(self) -> Answers:
        """What has been asked so far."""
        return Answers(
            input_ratios=dict(self._input_ratios),
            outputs={
                _arm_key(deployment, effort): (forecast.output_tokens, forecast.reasoning_tokens)
                for (deployment, effort), forecast in self._outputs.items()
            },
            latencies={
                deployment: None if known is None else (known.first_token_s, known.output_tokens_per_s)
                for deployment, known in self._latencies.items()
            },
            judged=self._judged,
            lessons={
                _arm_key(model, effort): (lesson.shift, lesson.variance, lesson.labels)
                for (model, effort), lesson in self._lessons.items()
                if lesson is not NO_LESSON
            },
            accuracies={check: (known.sensitivity, known.specificity) for check, known in self._accuracies.items()},
        )


class Recalled:
    """The experience of then, where it was asked; another where it was not."""

    def __init__(self, answers: Answers, otherwise: Experience) -> None:
        self._answers = answers
        self._otherwise = otherwise

    def input_ratio(self, model: Model, profile: RequestProfile) -> float:
        known = self._answers.input_ratios.get(model.name)
        return self._otherwise.input_ratio(model, profile) if known is None else known

    def output(self, deployment: Deployment, profile: RequestProfile, effort: Effort | None) -> OutputForecast:
        known = self._answers.outputs.get(_arm_key(deployment.id, effort))
        return self._otherwise.output(deployment, profile, effort) if known is None else OutputForecast(*known)

    def latency(self, deployment: Deployment, profile: RequestProfile) -> Latency | None:
        if deployment.id not in self._answers.latencies:
            return self._otherwise.latency(deployment, profile)
        known = self._answers.latencies[deployment.id]
        return None if known is None else Latency(*known)

    def quality(self, model: Model, _: RequestProfile, effort: Effort | None) -> Lesson:
        # What had been learned of quality is kept whole: who was not asked then had taught nothing that was used.
        known = self._answers.lessons.get(_arm_key(model.name, effort))
        return NO_LESSON if known is None else Lesson(*known)

    def accuracy(self, check: CheckKind, profile: RequestProfile) -> Accuracy:
        known = self._answers.accuracies.get(check)
        return self._otherwise.accuracy(check, profile) if known is None else Accuracy(*known)

    def judged(self, profile: RequestProfile) -> float:
        known = self._answers.judged
        return self._otherwise.judged(profile) if known is None else known


def remembered(experience: Experience) -> Experience:
    """The same experience, and what it is asked is kept for the record. Priors can be asked again at any time."""
    return experience if experience is NO_EXPERIENCE else Remembering(experience)


def record_of(
    decision: Decision,
    conditions: Conditions,
    *,
    tightening: Tightening = NO_TIGHTENING,
    policy: str | None = None,
    is_downgraded: bool = False,
) -> DecisionRecord:
    """The record of a decision; what was `remembered` of its experience is in it."""
    experience = conditions.experience
    return DecisionRecord(
        version=VERSION,
        ranked=ids(decision),
        tightening=NO_TIGHTENING if tightening == NO_TIGHTENING else tightening,
        policy=policy,
        is_downgraded=is_downgraded,
        cascade=cascade_ids(decision),
        propensity=decision.propensity,
        drawn_from=decision.drawn_from,
        seed=conditions.seed,
        unavailable=tuple(conditions.unavailable),
        warm_tokens={deployment: count for deployment, count in conditions.warm_tokens.items() if count},
        further_turns=conditions.further_turns,
        growth_tokens=conditions.growth_tokens,
        later_tokens=dict(conditions.later_tokens),
        answers=experience.answers() if isinstance(experience, Remembering) else None,
    )


def ids(decision: Decision) -> tuple[str, ...]:
    """Whom the decision prefers, in order."""
    return tuple([candidate.id for candidate in decision.ranked])


def cascade_ids(decision: Decision) -> tuple[str, ...]:
    """Of the decision's cascade: the first, the one behind it, and whose opinion is asked, if anybody's."""
    arm = decision.cascade
    if arm is None:
        return ()
    return tuple([each.id for each in (arm.first, arm.then, arm.opinion) if each is not None])


def profile_json(profile: RequestProfile) -> bytes:
    """What the ledger keeps of a request: `profile_as_data` as JSON, at a third of its price."""
    return _SORTED.encode(profile)


def read_profile(content: bytes) -> RequestProfile | None:
    """The profile that `profile_json` wrote; None if it is one that this version does not understand."""
    try:
        return _PROFILES.decode(content)
    except msgspec.DecodeError:
        return None


def read_record(content: bytes) -> DecisionRecord | None:
    """The record as JSON; None if there is none, or one that this version does not understand."""
    try:
        record = _RECORDS.decode(content)
        if record.version == VERSION:
            return record
        return _with_arms(record, _EFFORTS.decode(content).efforts) if record.version == _BEFORE_ARMS else None
    except msgspec.DecodeError:
        return None


class _Efforts(msgspec.Struct, frozen=True, gc=False):
    """What a record of version 1 says beside the rest."""

    efforts: dict[str, Effort] = {}  # that the policy told of the ranked; those not named: as the client asked


def _with_arms(record: DecisionRecord, efforts: Mapping[str, Effort]) -> DecisionRecord:
    ranked = tuple([f"{each}@{efforts[each].value}" if each in efforts else each for each in record.ranked])
    return replace(record, ranked=ranked)


_SORTED = msgspec.json.Encoder(order="deterministic")  # what a request needs is a set
_PROFILES = msgspec.json.Decoder(RequestProfile)
_RECORDS = msgspec.json.Decoder(DecisionRecord)
_EFFORTS = msgspec.json.Decoder(_Efforts)


def _arm_key(name: DeploymentId | ModelName, effort: Effort | None) -> str:
    return f"{name} {effort.value}" if effort is not None else name
