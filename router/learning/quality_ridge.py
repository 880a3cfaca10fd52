"""`Corrections`: corrections in log-odds, linear in a few features, one for each model of a team, learned from labels.

Bayesian logistic regression around a given forecast, by Laplace's approximation: before any label every weight is 0,
give or take the spread of its feature, so that little evidence moves little. A weight is the sum of one that all
models of the team have in common and one of the model's own: what turns out harder than thought is so for most models,
and a correction of the one that gets the traffic, and so the labels, must not put it behind those that get none.

Each model keeps a precision matrix and a right-hand side, to which a label adds what its few features say: some five
microseconds. Weights and covariances follow in `solving`, some two milliseconds a model, beside the requests. In this
form labels add up: their order matters only as far as there was solving between them and as old ones fade, and one
that was wrong is taken back by adding the difference. No numpy: the process that serves has no use for it otherwise.
"""

from collections.abc import Generator, Iterator, Sequence
from math import exp, sqrt
from typing import Any

from router.catalog.catalog import ModelName
from router.learning.quality_features import FEATURES, OWN_SPREADS, SHARED_SPREADS, Sparse

MOST_SHIFT = 3.0  # log-odds: beyond it a forecast is turned over whatever it was, which no few features can know

_LEAST_CURVATURE = 0.05  # of the likelihood: near certainty a single surprise must not move everything
_MOST_GAIN = 1e6
_FURTHEST = 30.0  # log-odds
_SIZE = len(FEATURES)
_OWN = tuple(spread**-2 for spread in OWN_SPREADS)  # precisions
_SHARED = tuple(spread**-2 for spread in SHARED_SPREADS)

_Matrix = list[list[float]]
_Vector = list[float]


def probability(log_odds: float) -> float:
    return 1.0 / (1.0 + exp(-max(-_FURTHEST, min(log_odds, _FURTHEST))))


class Arm:
    """What labels say of one model: of its own, before it is seen beside the others."""

    __slots__ = ("_gain", "_memory", "_precision", "_right", "labels", "unsolved")

    def __init__(self, *, memory: float) -> None:
        """`memory`: how many of the last labels count, as the mean age of an exponential fading."""
        self._memory = memory
        self._precision: _Matrix = [[0.0] * (row + 1) for row in range(_SIZE)]  # lower triangle; of the labels alone
        self._right: _Vector = [0.0] * _SIZE
        self._gain = 1.0  # what a new label is multiplied by, so that the old ones fade
        self.labels = 0.0  # effective: weighted, faded
        self.unsolved = 0  # labels since the weights were worked out

    def learn(self, features: Sparse, *, linear: float, prior_logit: float, score: float, weight: float) -> None:
        """A label: `score` as debiased, worth `weight` perfect ones, of a request with that forecast, corrected by
        `linear` as things stand."""
        expected = probability(prior_logit + linear)
        curvature = max(expected * (1.0 - expected), _LEAST_CURVATURE)
        fade = 1.0 - 1.0 / self._memory
        self._gain /= fade
        self.labels = self.labels * fade + weight
        self._add(features, curvature * weight, (curvature * linear + score - expected) * weight)
        if self._gain > _MOST_GAIN:
            self._rescale()

    def revise(self, features: Sparse, *, by: float, weight: float) -> None:
        """A label that was learned has been changed by so much, as debiased."""
        self._add(features, 0.0, by * weight)

    def precision(self) -> _Matrix:
        gain = self._gain
        return [[value / gain for value in row] for row in self._precision]

    def right(self) -> _Vector:
        gain = self._gain
        return [value / gain for value in self._right]

    def as_data(self) -> list[Any]:
        """JSON-ready."""
        return [
            self.labels,
            [round(value, 9) for row in self.precision() for value in row],
            [round(value, 9) for value in self.right()],
        ]

    def take(self, data: Sequence[Any], names: Sequence[str]) -> None:
        """What `as_data` gave when the features were called `names`; those not known any more are left out.

        Raises ValueError, TypeError or IndexError if it is no such data.
        """
        labels, precision, right = data
        if len(precision) != len(names) * (len(names) + 1) // 2 or len(right) != len(names):
            raise ValueError("a correction of another shape")
        places = {name: place for place, name in enumerate(FEATURES)}
        for row, name in enumerate(names):
            place = places.get(name)
            if place is None:
                continue
            self._right[place] = float(right[row])
            for column in range(row + 1):
                other = places.get(names[column])
                if other is not None:
                    value = float(precision[row * (row + 1) // 2 + column])
                    self._precision[max(place, other)][min(place, other)] = value
        self.labels = float(labels)
        self.unsolved += 1

    def _add(self, features: Sparse, curvature: float, force: float) -> None:
        right, precision = self._right, self._precision
        places, values = features
        force *= self._gain
        curvature *= self._gain
        self.unsolved += 1
        for number, place in enumerate(places):
            value = values[number]
            right[place] += force * value
            if curvature:
                row = precision[place]
                scaled = curvature * value
                for before in range(number + 1):
                    row[places[before]] += scaled * values[before]

    def _rescale(self) -> None:
        self._right, self._precision, self._gain = self.right(), self.precision(), 1.0


class _Solution:
    """Weights and their covariance."""

    __slots__ = ("covariance", "weights")

    def __init__(self, weights: _Vector, covariance: _Matrix) -> None:
        self.weights = weights
        self.covariance = covariance


_UNSOLVED = _Solution(
    [0.0] * _SIZE,
    [[1 / _OWN[row] + 1 / _SHARED[row] if row == column else 0.0 for column in range(_SIZE)] for row in range(_SIZE)],
)


class Corrections:
    """One team's."""

    def __init__(self, *, memory: float) -> None:
        self._memory = memory
        self.arms: dict[ModelName, Arm] = {}
        self._solutions: dict[ModelName, _Solution] = {}
        self._common = _UNSOLVED  # for models without labels

    def shift(self, model: ModelName, features: Sparse) -> float:
        """The correction for such a request, in log-odds."""
        return max(-MOST_SHIFT, min(self._linear(model, features), MOST_SHIFT))

    def variance(self, model: ModelName, features: Sparse) -> float:
        """Of the correction, in squared log-odds."""
        covariance, total = self._solutions.get(model, self._common).covariance, 0.0
        pairs = tuple(zip(*features, strict=True))
        for number, (place, value) in enumerate(pairs):
            row = covariance[place]
            total += value * value * row[place]
            for other, its_value in pairs[:number]:
                total += 2.0 * value * its_value * row[other]
        return max(total, 0.0)

    def labels(self, model: ModelName) -> float:
        """How many labels of the model stand behind it, weighted and faded."""
        arm = self.arms.get(model)
        return 0.0 if arm is None else arm.labels

    def learn(
        self,
        model: ModelName,
        features: Sparse,
        *,
        prior_logit: float,
        score: float,
        weight: float,
        around: "Corrections | None" = None,
    ) -> None:
        """A label: `score` as debiased, worth `weight` perfect ones, of a request with that forecast.

        The likelihood is approximated `around` these corrections; None: as they stand here.
        """
        if weight:
            linear = (around or self)._linear(model, features)
            self._arm(model).learn(features, linear=linear, prior_logit=prior_logit, score=score, weight=weight)

    def revise(self, model: ModelName, features: Sparse, *, by: float, weight: float) -> None:
        """A label that was learned has been changed by so much, as debiased."""
        self._arm(model).revise(features, by=by, weight=weight)

    def take(self, model: ModelName, data: Sequence[Any], names: Sequence[str]) -> None:
        """An arm, as its `as_data` gave it; see there."""
        arm = Arm(memory=self._memory)
        arm.take(data, names)
        self.arms[model] = arm

    def as_data(self) -> Iterator[list[Any]]:
        """Each arm: its model, the names of the features, and what `take` takes."""
        for model, arm in list(self.arms.items()):
            yield [model, list(FEATURES), arm.as_data()]

    def forget(self, model: ModelName) -> None:
        """What the others have shared of it stays, and fades with them."""
        self.arms.pop(model, None)
        self._solutions.pop(model, None)

    @property
    def unsolved(self) -> int:
        """Labels since the weights were worked out."""
        return sum([arm.unsolved for arm in self.arms.values()])

    def solve(self) -> None:
        """Work out weights and covariances from what has been learned."""
        for _ in self.solving():
            pass

    def solving(self, *, variances: bool = True) -> Iterator[None]:
        """The same in steps of some tenth of a millisecond. What is asked meanwhile is answered as before.

        Without `variances` these are too small, and a third of the time is saved.

        A model's labels speak of shared + own weights, with precision A and right-hand side b. With its own weights
        integrated out (prior precision V, and C the inverse of A + V) they say of the shared ones: precision V - VCV,
        right-hand side VCb. Given the shared u, the model's are C (b + Vu).
        """
        shared = [[_SHARED[row] if row == column else 0.0 for column in range(row + 1)] for row in range(_SIZE)]
        force = [0.0] * _SIZE
        alone: dict[ModelName, tuple[_Matrix, _Vector]] = {}
        for model, arm in list(self.arms.items()):
            arm.unsolved = 0
            right, precision = arm.right(), arm.precision()
            for place in range(_SIZE):
                precision[place][place] += _OWN[place]
            covariance = yield from _inverse(precision)
            alone[model] = (covariance, right)
            _add_marginal(shared, force, covariance, right)
            yield
        common = yield from _inverse(shared)
        weights = [_dot(line, force) for line in common]
        pull = [own * weight for own, weight in zip(_OWN, weights, strict=True)]
        solutions: dict[ModelName, _Solution] = {}
        for model, (covariance, right) in alone.items():
            towards = [given + pulled for given, pulled in zip(right, pull, strict=True)]
            whole = covariance
            if variances:
                whole = yield from _whole_covariance(covariance, common)
            solutions[model] = _Solution([_dot(line, towards) for line in covariance], whole)
        for place in range(_SIZE):
            common[place][place] += 1 / _OWN[place]
        self._common = _Solution(weights, common)
        self._solutions = {model: solution for model, solution in solutions.items() if model in self.arms}

    def _linear(self, model: ModelName, features: Sparse) -> float:
        weights, total = self._solutions.get(model, self._common).weights, 0.0
        for place, value in zip(*features, strict=True):
            total += weights[place] * value
        return total

    def _arm(self, model: ModelName) -> Arm:
        arm = self.arms.get(model)
        if arm is None:
            arm = self.arms[model] = Arm(memory=self._memory)
        return arm


def _add_marginal(shared: _Matrix, force: _Vector, covariance: _Matrix, right: _Vector) -> None:
    """Add to precision and right-hand side of the shared weights what one model says of them: V - VCV and VCb."""
    for place, line in enumerate(covariance):
        its, own = shared[place], _OWN[place]
        its[place] += own
        for column in range(place + 1):
            its[column] -= own * line[column] * _OWN[column]
        force[place] += own * _dot(line, right)


def _whole_covariance(covariance: _Matrix, common: _Matrix) -> Generator[None, None, _Matrix]:
    """Of a model's weights, when those that are shared have the covariance U: C + CV U VC; in steps."""
    leaning = [[value * own for value, own in zip(line, _OWN, strict=True)] for line in covariance]  # CV
    half: _Matrix = []
    for row in leaning:
        half.append([_dot(row, line) for line in common])
        if len(half) % 4 == 0:
            yield
    whole: _Matrix = []
    for row, line in zip(half, covariance, strict=True):
        whole.append([value + _dot(row, other) for value, other in zip(line, leaning, strict=True)])
        if len(whole) % 4 == 0:
            yield
    return whole


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum([a * b for a, b in zip(left, right, strict=True)])


def _inverse(matrix: _Matrix) -> Generator[None, None, _Matrix]:
    """The whole inverse of a positive matrix given by its lower triangle, by Cholesky's root; in steps."""
    size = len(matrix)
    root: _Matrix = []
    for row in range(size):
        line: _Vector = []
        for column in range(row):
            other = root[column]
            line.append((matrix[row][column] - sum([a * b for a, b in zip(line, other, strict=False)])) / other[column])
        line.append(sqrt(max(matrix[row][row] - _dot(line, line), 1e-12)))
        root.append(line)
        if row % 4 == 3:
            yield
    columns: _Matrix = []  # of the root's inverse, each from its diagonal on
    for column in range(size):
        values = [1.0 / root[column][column]]
        for row in range(column + 1, size):
            line = root[row]
            values.append(-_dot(line[column:row], values) / line[row])
        columns.append(values)
        if column % 4 == 3:
            yield
    inverse = [[0.0] * size for _ in range(size)]
    for row in range(size):
        of_row = columns[row]
        for column in range(row + 1):
            value = _dot(of_row, columns[column][row - column :])
            inverse[row][column] = inverse[column][row] = value
        if row % 4 == 3:
            yield
    return inverse
