"""`QualityLessons`: how much better or worse models answer a team than was expected, learned from its labels.

Teams do not learn of each other here, unlike of lengths and speeds: a score is a team's own judgement, and one team
must not be able to send another's requests elsewhere. Within a team a model's efforts and the kinds of task lean on
what holds for the model as a whole, since these are features beside one that is always there.

What is learned speaks only for teams that a refit has promoted (`quality_refit`), and is silenced at once of a model
whose labels it foretells worse than the forecast alone.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from math import sqrt
from types import MappingProxyType
from typing import Any

import msgspec

from router.catalog.catalog import Catalog, DeploymentId, Effort, ModelName, Task
from router.decision.facts import RequestProfile
from router.keys import TeamName
from router.learning.quality_features import FEATURES, Sparse, features_of, unnamed
from router.learning.quality_refit import LEAST_LABELS, MEMORY, brier_gain
from router.learning.quality_ridge import Corrections
from router.learning.signals import CheckAccuracy, Signals
from router.quality.labels import Label, Signal, SignalAccuracy, weight
from router.quality.predictor import NO_LESSON, Lesson

_WATCH_MEMORY = 200.0  # labels that the guard looks back on
_WATCH_LEAST = 40.0  # before it says anything
_WATCH_SURE = 1.0  # standard errors by which it must have been worse
_MOST_REVISABLE = 10_000  # scores that a later one of the same answer may still replace without counting twice

_AnswerKey = tuple[str, int, Signal]
NO_KINDS: Mapping[str, float] = MappingProxyType({})
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # before any request


class Installed(msgspec.Struct):
    """What the last refit of a team has come to, and since: what processes take over from each other."""

    until: int  # the number of the last label in it
    speaks: bool
    arms: msgspec.Raw  # a few kilobytes a model, which most readers have no use for
    silent: list[ModelName] = []  # of these nothing learned speaks any more
    generation: int = 0  # how many refits of the team there have been, with this one
    kinds: dict[str, float] = {}  # labels of each kind of task, up to `until`
    versions: dict[DeploymentId, str] = {}  # that the deployments stood for when it was made


class QualityLessons:
    """Of all teams. Deterministic: the same labels in the same order teach the same."""

    def __init__(self) -> None:
        self.signals = Signals()
        self.changes = 0  # how many times anything has been learned, or forgotten, since the start
        self.last_number = 0  # of the labels in the store: learned up to there
        self._teams: dict[TeamName, _Team] = {}
        self._learned: OrderedDict[_AnswerKey, float] = OrderedDict()  # scores
        self._asked_until = _BEGINNING  # the latest request that a label was about
        self._versions: dict[DeploymentId, str] = {}  # of what was learned of
        self._anew: dict[ModelName, datetime] = {}  # since when a name stands for what it stands for now

    def lesson(self, model: ModelName, profile: RequestProfile, effort: Effort | None) -> Lesson:
        """What is to be added to the forecast for such a request of the team's."""
        team = self._teams.get(TeamName(profile.team))
        if team is None or not team.speaks or model in team.silent:
            return NO_LESSON
        features, learned = features_of(profile, effort), team.learned
        return Lesson(learned.shift(model, features), learned.variance(model, features), learned.labels(model))

    def judged(self, profile: RequestProfile) -> float:
        """How many labels of the team's, of that kind of task, are behind what speaks for it; 0 where nothing does."""
        team = self._teams.get(TeamName(profile.team))
        return team.kinds.get(profile.task, 0.0) if team is not None and team.speaks else 0.0

    def speaks_for(self, team: TeamName) -> bool:
        known = self._teams.get(team)
        return known is not None and known.speaks

    def due(self) -> list[TeamName]:
        """The teams with enough new labels for another refit."""
        return [name for name, team in self._teams.items() if team.since_refit >= LEAST_LABELS]

    def learn(self, label: Label, number: int) -> bool:
        """Learn from a label, or from what replaces an earlier one. True: it silences what was learned of its model."""
        self.last_number = max(self.last_number, number)
        team = self._teams.get(label.team)
        if team is None:
            team = self._teams[label.team] = _Team()
        if number <= team.until or self.is_outdated(label):
            return False
        self._asked_until = max(self._asked_until, label.asked_at)
        features = unnamed(label.features)
        key = (label.request_id, label.number, label.signal)
        before = self._learned.get(key)
        self._remember(key, label.score)
        self.changes += 1
        if before is not None:
            accuracy = self.signals.accuracy(label)
            by, worth = (label.score - before) / accuracy.informedness, weight(accuracy) / label.share
            team.learned.revise(label.model, features, by=by, weight=worth)
            return False
        lecture = self.signals.lecture(label)
        team.since_refit += 1
        team.kinds[label.task] = team.kinds.get(label.task, 0.0) + 1.0
        silenced = team.speaks and label.model not in team.silent and team.has_turned(label, features, *lecture)
        team.learned.learn(
            label.model, features, prior_logit=label.prior_logit, score=lecture.score, weight=lecture.weight
        )
        return silenced

    def is_outdated(self, label: Label) -> bool:
        """Whether the label is about a model whose name stands for another one now."""
        anew = self._anew.get(label.model)
        return anew is not None and label.asked_at <= anew

    def solving(self) -> Iterator[None]:
        """Work out the weights of all that has learned, in steps of some tenth of a millisecond."""
        for team in list(self._teams.values()):
            if team.learned.unsolved:
                yield from team.learned.solving()

    def install(
        self,
        team: TeamName,
        corrections: Corrections,
        *,
        speaks: bool,
        until: int,
        silent: Iterable[ModelName] = (),
        kinds: Mapping[str, float] = NO_KINDS,
    ) -> None:
        """What a refit has learned, from the labels up to that number, takes the place of what was learned on the way;
        it speaks if it was promoted, but not of the `silent`. `kinds`: how many labels of each kind there were."""
        known = self._teams.get(team)
        if known is None:
            known = self._teams[team] = _Team()
        known.learned = corrections
        known.speaks = speaks
        known.silent = set(silent)
        known.watches = {}
        known.since_refit = 0
        known.until = until
        for task in Task:  # labels up to `until` that were not read here are read past; those behind it count here
            if task in kinds:
                known.kinds[task] = max(known.kinds.get(task, 0.0), kinds[task])
        self.changes += 1

    def agree(self, team: TeamName, its: Installed) -> bool:
        """Be as silent as another process is since that refit. False: that refit is not known here."""
        known = self._teams.get(team)
        if known is None or known.until < its.until:
            return False
        known.speaks = known.speaks and its.speaks
        known.silent.update(its.silent)
        return True

    def taking_over(self, team: TeamName, its: Installed) -> Iterator[None]:
        """What another process's refit has come to, in steps of some tenth of a millisecond. What has been learned
        here since that refit is not in it, and is lost until the next: the labels of a few seconds. So is what it has
        of models that are known here to be of other versions.

        Raises ValueError, TypeError or IndexError if it is none.
        """
        moved = {
            deployment.partition(":")[2]
            for deployment, version in its.versions.items()
            if self._versions.get(deployment, version) != version
        }
        corrections = Corrections(memory=MEMORY)
        for model, names, data in msgspec.json.decode(its.arms):
            if model not in moved:
                corrections.take(ModelName(model), data, names)
            yield
        yield from corrections.solving()
        self.install(team, corrections, speaks=its.speaks, until=its.until, silent=its.silent, kinds=its.kinds)

    def until(self, team: TeamName) -> int:
        """The number of the last label that the team's last refit rests on; 0 before the first."""
        known = self._teams.get(team)
        return 0 if known is None else known.until

    def kinds(self, team: TeamName, unread: Iterable[Label] = ()) -> dict[str, float]:
        """How many labels of each kind of task there are of the team, with those that have not been read yet."""
        known = self._teams.get(team)
        counts = {} if known is None else {task.value: count for task, count in known.kinds.items()}
        for label in unread:
            counts[label.task.value] = counts.get(label.task.value, 0.0) + 1.0
        return counts

    def versions(self) -> dict[DeploymentId, str]:
        """That the deployments stand for, as far as it is known."""
        return dict(self._versions)

    def meet(self, catalog: Catalog) -> list[ModelName]:
        """Forget the models whose versions are others than those that were learned of, and say which."""
        moved: dict[ModelName, None] = {}
        for deployment in catalog:
            if deployment.version is None:
                continue
            known = self._versions.get(deployment.id)
            if known is not None and known != deployment.version:
                moved[deployment.model.name] = None
            self._versions[deployment.id] = deployment.version
        for model in moved:
            self.forget(model)
        return list(moved)

    def silence(self, team: TeamName) -> bool:
        """Back to the forecast alone, until the next refit. False if nothing spoke."""
        known = self._teams.get(team)
        if known is None or not known.speaks:
            return False
        known.speaks = False
        self.changes += 1
        return True

    def forget(self, model: ModelName) -> None:
        """The name stands for another model now; scores of its earlier answers that come late teach nothing."""
        self._anew[model] = self._asked_until
        for team in self._teams.values():
            team.learned.forget(model)
            team.watches.pop(model, None)
        self.changes += 1

    def check_accuracy(self, team: str, check: str, task: Task, prior: SignalAccuracy) -> CheckAccuracy:
        return self.signals.check_accuracy(team, check, task, prior)

    def as_data(self) -> Iterator[list[Any]]:
        yield ["until", self.last_number, self._asked_until.isoformat(), list(FEATURES)]
        for model, anew in self._anew.items():
            yield ["anew", model, anew.isoformat()]
        for deployment, version in self._versions.items():
            yield ["version", deployment, version]
        for piece in self.signals.as_data():
            yield ["signal", piece]
        for name, team in self._teams.items():
            kinds = {task.value: round(count, 3) for task, count in team.kinds.items()}
            watches = {model: watch.as_data() for model, watch in team.watches.items()}
            yield ["team", name, team.speaks, sorted(team.silent), team.since_refit, team.until, watches, kinds]
            for model, names, data in team.learned.as_data():
                yield ["arm", name, model, names, data]

    def take(self, piece: list[Any]) -> None:
        """A piece from `as_data`; `solving` ends it. Raises ValueError, TypeError or KeyError if it is none."""
        kind, *rest = piece
        match kind:
            case "until":
                number, until, _ = rest
                self.last_number, self._asked_until = int(number), _moment(until)
            case "anew":
                model, anew = rest
                self._anew[ModelName(model)] = _moment(anew)
            case "version":
                deployment, version = rest
                self._versions[DeploymentId(deployment)] = str(version)
            case "signal":
                self.signals.take(rest[0])
            case "team":
                name, speaks, silent, since_refit, number, watches, kinds = rest
                team = self._teams.setdefault(TeamName(name), _Team())
                team.since_refit, team.until = int(since_refit), int(number)
                team.speaks = bool(speaks)
                team.silent = {ModelName(model) for model in silent}
                team.watches = {ModelName(model): _Watch(*map(float, watch)) for model, watch in dict(watches).items()}
                team.kinds = {Task(task): float(count) for task, count in dict(kinds).items()}
            case "arm":
                name, model, names, data = rest
                self._teams.setdefault(TeamName(name), _Team()).learned.take(ModelName(model), data, names)
            case _:
                raise ValueError(f"{kind} is nothing that was learned of quality")

    def _remember(self, key: _AnswerKey, score: float) -> None:
        self._learned[key] = score
        if len(self._learned) > _MOST_REVISABLE:
            self._learned.popitem(last=False)


def _moment(text: str) -> datetime:
    """Raises ValueError, TypeError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:  # it could not be compared with any other
        raise ValueError(f"{text} has no time zone")
    return moment


class _Watch:
    """Whether what is learned still foretells better than the forecast alone: the gain of late, in Brier score."""

    __slots__ = ("gain", "square", "weight")

    def __init__(self, gain: float = 0.0, square: float = 0.0, weight: float = 0.0) -> None:
        self.gain = gain
        self.square = square
        self.weight = weight

    def add(self, gain: float, weight: float) -> None:
        fade = 1.0 - 1.0 / _WATCH_MEMORY
        self.gain = self.gain * fade + gain * weight
        self.square = self.square * fade + (gain * weight) ** 2
        self.weight = self.weight * fade + weight

    def as_data(self) -> list[float]:
        return [self.gain, self.square, self.weight]

    @property
    def is_worse(self) -> bool:
        return self.weight >= _WATCH_LEAST and self.gain < -_WATCH_SURE * sqrt(self.square)


class _Team:
    __slots__ = ("kinds", "learned", "silent", "since_refit", "speaks", "until", "watches")

    def __init__(self) -> None:
        self.learned = Corrections(memory=MEMORY)
        self.speaks = False
        self.silent: set[ModelName] = set()  # of these the forecast alone speaks, until the next refit
        self.watches: dict[ModelName, _Watch] = {}
        self.since_refit = 0  # labels
        self.until = 0  # the number of the last label that the last refit rests on
        self.kinds: dict[Task, float] = {}  # labels of each kind

    def has_turned(self, label: Label, features: Sparse, score: float, weight: float) -> bool:
        """Whether what is learned has foretold the model's labels of late, this one included, worse than the forecast
        alone: then it speaks no more of that model."""
        learned = label.prior_logit + self.learned.shift(label.model, features)
        watch = self.watches.setdefault(label.model, _Watch())
        watch.add(brier_gain(score, label.prior_logit, learned), weight)
        if watch.is_worse:
            self.silent.add(label.model)
        return watch.is_worse
