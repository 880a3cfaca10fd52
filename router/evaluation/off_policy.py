"""Routers judged on a ledger: of each request the outcome of one model is known, of the other it is estimated.

The estimate is doubly robust (Dudík, Langford and Li, ICML 2011; as scores for policies: Athey and Wager, Econometrica
2021). For request i and model a, with the outcome foretold m, the model that went A, its probability e, the score Y:

    outcome of a on i = m(a, i) + [A = a] ÷ e · (Y − m(a, i))

Single ones may lie beyond 0 and 1; their mean over any requests that are chosen by what is known beforehand is that of
the true outcomes, whatever m is, since e is not an estimate but what was drawn with. m only makes it less uncertain. It
is a ridge regression on the features that labels keep, learned from other conversations than it is asked about, as is
every router that learns from these scores. The lot fell for whole conversations, so these are what is drawn with
replacement for the intervals.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from router.catalog.catalog import Catalog, Named, arm_of
from router.decision.effort import effort_asked
from router.decision.facts import NO_EXPERIENCE
from router.decision.recorded import Recalled
from router.errors import BadOutcomes
from router.evaluation.draws import Draw, Draws, Unused, draws_between
from router.evaluation.judging import RANDOM, RouterLine
from router.evaluation.metrics import Curve, curve_of
from router.evaluation.routers import KindTable
from router.learning.quality_features import FEATURES
from router.quality.predictor import NO_LESSON, QualityPredictor
from router.training.outcomes import Floats

FORECAST = "forecast"  # of the configuration, with what had been learned then
DIFFICULTY = "difficulty of the text"
LEARNED = "learned from these scores"
KINDS = "table of kinds"

LEAST_CONVERSATIONS = 20  # scored ones of each model: with fewer an interval means nothing. Our judgement
_FOLDS = 5
_RIDGE = 10.0  # rows that a weight is held against
_DRAWS = 300
_SHARES = np.linspace(0.0, 1.0, 11)
_NANO_PER_USD_PER_THOUSAND = 1e6  # nano-dollars a request in a dollar for a thousand

Interval = tuple[float, float]  # 95 %


@dataclass(frozen=True, slots=True)
class Level:
    """A model asked always."""

    quality: float  # mean score
    quality_95: Interval
    usd_per_thousand: float
    usd_95: Interval
    scored: int  # answers of it that are known
    drawn: int  # requests that went to it by lot, scored or not


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One router's result."""

    router: RouterLine
    usd_per_thousand: tuple[float, ...]  # at each point of the curve


@dataclass(frozen=True, slots=True)
class LedgerJudgement:
    """What a period of the ledger says of two models, and of who should choose between them."""

    known: Draws
    unused: Counter[Unused]
    cheap: Named
    strong: Named
    conversations: int
    cheap_level: Level
    strong_level: Level
    as_it_was: tuple[float, float, float]  # share of strong calls, mean score, dollars a thousand: nothing estimated
    gap_95: Interval
    lines: tuple[LedgerLine, ...]

    @property
    def gap(self) -> float:
        """By how much the strong model's mean score is higher."""
        return self.strong_level.quality - self.cheap_level.quality

    @property
    def has_gap(self) -> bool:
        """Whether it is more than chance: what share of nothing is recovered is no figure."""
        return self.gap_95[0] > 0


def judge_draws(
    found: Draws, *, cheap: str | None, strong: str | None, catalog: Catalog, quality: QualityPredictor
) -> LedgerJudgement:
    """Estimates both models' outcomes, and judges by them. Reproducible.

    `cheap` and `strong` are as on the command line; without them it is the pair with the most scored draws of both,
    and the cheap one is who costs less. Raises BadOutcomes where too little is known.
    """
    low, high = pair_of(found, cheap, strong)
    draws = draws_between(found, low, high)
    went_strong = np.array([each.went == high for each in draws])
    for name, went in ((low, ~went_strong), (high, went_strong)):
        _enough(draws, name, went, other=high if name == low else low)
    rows = Rows(
        went_strong,
        probability=np.array([each.probability(low, high) for each in draws]),
        score=np.array([each.score for each in draws]),
        usd=np.array([each.nano_usd / _NANO_PER_USD_PER_THOUSAND for each in draws]),
        features=_matrix(draws),
        kinds=np.array([each.profile.task.value for each in draws]),
        folds=np.array([crc32(f"{each.team}\n{each.seed}".encode()) % _FOLDS for each in draws]),
    )
    outcomes, usd, learned, table = estimated(rows)
    routers = {LEARNED: learned, KINDS: table}
    forecast = _forecast(draws, low, high, catalog, quality)
    if forecast is not None:
        routers = {FORECAST: forecast, **routers}
    if any(each.profile.signals.head for each in draws):
        routers[DIFFICULTY] = np.array([each.profile.signals.difficulty_logit for each in draws])
    clusters = [f"{each.team}\n{each.seed}" for each in draws]
    spread = _bootstrap(routers, outcomes, usd, clusters)
    levels = []
    for arm, name in enumerate((low, high)):
        other = high if name == low else low
        levels.append(
            Level(
                float(outcomes[arm].mean()),
                _middle(spread.quality[arm]),
                float(usd[arm].mean()),
                _middle(spread.usd[arm]),
                scored=int((went_strong == bool(arm)).sum()),
                drawn=found.drawn[name, other],
            )
        )
    unused = found.unused.copy()
    unused[Unused.OTHER_PAIR] = len(found.draws) - len(draws)
    return LedgerJudgement(
        found,
        +unused,
        low,
        high,
        len(set(clusters)),
        levels[0],
        levels[1],
        (float(went_strong.mean()), float(rows.score.mean()), float(rows.usd.mean())),
        _middle(spread.quality[1] - spread.quality[0]),
        (
            *(_line(name, score, outcomes, usd, spread.apgr[name]) for name, score in routers.items()),
            _random(outcomes, usd),
        ),
    )


def pair_of(found: Draws, cheap: str | None, strong: str | None) -> tuple[Named, Named]:
    """Whom to judge: the cheap and the strong arm. Raises BadOutcomes with what is missing, and what to do."""
    if not found.scored:
        raise BadOutcomes(
            f"None of {found.requests} answered requests of this time has a score; send scores with POST /v1/feedback "
            "(docs/clients.md), or give an earlier --since."
        )
    pairs: dict[frozenset[Named], Counter[Named]] = {}
    for each in found.draws:
        for other in each.among:
            if other != each.went:
                pairs.setdefault(frozenset((each.went, other)), Counter())[each.went] += 1
    if not pairs:
        raise BadOutcomes(
            f"{found.scored} requests of this time have a score, but the model of none was drawn, so nobody knows what "
            "another would have answered; set `explore: 0.05`, or the `weights` of an experiment, in the team's policy "
            "(docs/learning.md) and wait."
        )
    asked = [None if each is None else {name.strip() for name in each.split(",")} for each in (cheap, strong)]
    fitting = [pair for pair in pairs if _directed(pair, *asked)]
    if not fitting:
        there = "; ".join(sorted(" and ".join(sorted(pair)) for pair in pairs))
        raise BadOutcomes(f"No scored request was drawn between these two; of this time there are: {there}.")

    def worth(pair: frozenset[Named]) -> tuple[int, int, Sequence[Named]]:
        counts = pairs[pair]
        return min(counts[each] for each in pair), counts.total(), sorted(pair)

    best = max(fitting, key=worth)
    ways = _directed(best, *asked)
    if len(ways) == 1:
        return ways[0]
    return min(ways, key=lambda way: (_mean_usd(found, *way), way))


def _directed(
    pair: frozenset[Named], cheap: Collection[str] | None, strong: Collection[str] | None
) -> list[tuple[Named, Named]]:
    one, other = sorted(pair)
    return [
        (low, high)
        for low, high in ((one, other), (other, one))
        if (cheap is None or low in cheap) and (strong is None or high in strong)
    ]


def _mean_usd(found: Draws, arm: Named, other: Named) -> float:
    """What a request costs at the arm, had all of the pair gone there; infinite if none has."""
    went = [each for each in draws_between(found, arm, other) if each.went == arm]
    worth = sum(1.0 / each.probability(arm, other) for each in went)
    return sum(each.nano_usd / each.probability(arm, other) for each in went) / worth if worth else float("inf")


def _enough(draws: Sequence[Draw], name: Named, went: NDArray[np.bool_], *, other: Named) -> None:
    conversations = len({each.conversation for each, is_its in zip(draws, went, strict=True) if is_its})
    if conversations < LEAST_CONVERSATIONS:
        raise BadOutcomes(
            f"Of {len(draws)} scored requests drawn between {name} and {other}, those that {name} answered are of "
            f"{conversations} conversations, and {LEAST_CONVERSATIONS} are needed; raise `explore` in the team's "
            "policy, have more answers scored, or give an earlier --since."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Requests whose model was drawn, as columns."""

    went_strong: NDArray[np.bool_]
    probability: Floats  # of the model that went
    score: Floats
    usd: Floats  # for a thousand
    features: Floats  # requests x features
    kinds: NDArray[np.str_]
    folds: NDArray[np.intp]  # the same for all of a conversation


class Estimates(NamedTuple):
    """Of each request: outcomes and costs of the cheap and the strong model, and how two routers rank it."""

    outcomes: tuple[Floats, Floats]
    usd: tuple[Floats, Floats]
    learned: Floats
    table: Floats


def estimated(rows: Rows) -> Estimates:
    """Each fold's by what the others have taught."""
    count = len(rows.score)
    outcomes, usd = np.zeros((2, count)), np.zeros((2, count))
    learned, table = np.zeros(count), np.zeros(count)
    for fold in range(_FOLDS):
        train, test = np.flatnonzero(rows.folds != fold), np.flatnonzero(rows.folds == fold)
        if not len(test):
            continue
        for arm, sign in ((0, -1.0), (1, 1.0)):
            taught = train[rows.went_strong[train] == bool(arm)]
            if not len(taught):
                taught = train  # all of that model's are here: what its outcomes may be, the others say as well as any
            its = rows.went_strong[test] == bool(arm)
            for target, known in ((outcomes, rows.score), (usd, rows.usd)):
                foretold = _ridge(rows.features[taught], known[taught], rows.features[test])
                moved = np.where(its, (known[test] - foretold) / rows.probability[test], 0.0)
                target[arm, test] = foretold + moved
                if target is outcomes:
                    learned[test] += sign * foretold
            kinds = KindTable(rows.kinds[taught], rows.score[taught])
            table[test] += sign * kinds.scores(rows.kinds[test])
    return Estimates((outcomes[0], outcomes[1]), (usd[0], usd[1]), learned, table)


def _ridge(features: Floats, known: Floats, asked: Floats) -> Floats:
    """What is foretold within what has been seen; the mean is not held against anything."""
    mean, middle = known.mean(), features.mean(axis=0)
    centred = features - middle
    inner = centred.T @ centred + _RIDGE * np.eye(features.shape[1])
    weights = np.linalg.solve(inner, centred.T @ (known - mean))
    return np.asarray(np.clip(mean + (asked - middle) @ weights, known.min(), known.max()))


def _matrix(draws: Sequence[Draw]) -> Floats:
    matrix = np.zeros((len(draws), len(FEATURES)))
    for row, each in enumerate(draws):
        matrix[row, list(each.features.places)] = each.features.values
    return matrix


def _forecast(
    draws: Sequence[Draw], cheap: Named, strong: Named, catalog: Catalog, quality: QualityPredictor
) -> Floats | None:
    """P(strong right) − P(cheap right) of each request; None where the catalog has not both."""
    probabilities = []
    for name in (cheap, strong):
        arm = arm_of(name)
        deployments = catalog.of(arm.model)
        if not deployments:
            return None
        model = deployments[0].rated
        of_arm = []
        for each in draws:
            effort = arm.effort or effort_asked(each.profile) or model.default_effort
            learned = NO_LESSON
            if each.answers is not None:
                learned = Recalled(each.answers, NO_EXPERIENCE).quality(model, each.profile, effort)
            of_arm.append(quality.forecast(model, effort, each.profile, learned).probability)
        probabilities.append(np.array(of_arm))
    return np.asarray(probabilities[1] - probabilities[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """What came of conversations drawn with replacement, one figure a draw."""

    quality: tuple[Floats, Floats]
    usd: tuple[Floats, Floats]
    apgr: dict[str, Floats]


def _bootstrap(
    routers: dict[str, Floats], outcomes: tuple[Floats, Floats], usd: tuple[Floats, Floats], clusters: Sequence[str]
) -> _Spread:
    random = np.random.default_rng(0)
    _, numbers = np.unique(np.asarray(clusters), return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
    quality, dollars = np.zeros((2, _DRAWS)), np.zeros((2, _DRAWS))
    apgr = {name: np.zeros(_DRAWS) for name in routers}
    for draw in range(_DRAWS):
        rows = np.concatenate([members[each] for each in random.integers(0, len(members), len(members))])
        cheap, strong = outcomes[0][rows], outcomes[1][rows]
        quality[:, draw] = cheap.mean(), strong.mean()
        dollars[:, draw] = usd[0][rows].mean(), usd[1][rows].mean()
        for name, score in routers.items():
            apgr[name][draw] = curve_of(score[rows], cheap, strong).apgr
    return _Spread((quality[0], quality[1]), (dollars[0], dollars[1]), apgr)


def _middle(figures: Floats) -> Interval:
    low, high = np.nanquantile(figures, [0.025, 0.975])
    return float(low), float(high)


def _line(
    name: str, score: Floats, outcomes: tuple[Floats, Floats], usd: tuple[Floats, Floats], apgr: Floats
) -> LedgerLine:
    known = None if np.isnan(apgr).all() else _middle(apgr)
    return LedgerLine(RouterLine(name, curve_of(score, *outcomes), known), curve_of(score, *usd).quality)


def _random(outcomes: tuple[Floats, Floats], usd: tuple[Floats, Floats]) -> LedgerLine:
    """On average: single lots would have the luck of the few answers that count much."""
    cheap, strong = (float(each.mean()) for each in outcomes)
    low, high = (float(each.mean()) for each in usd)
    curve = Curve(
        tuple(float(each) for each in _SHARES),
        tuple(float(cheap + each * (strong - cheap)) for each in _SHARES),
        cheap,
        strong,
    )
    return LedgerLine(RouterLine(RANDOM, curve), tuple(float(low + each * (high - low)) for each in _SHARES))
