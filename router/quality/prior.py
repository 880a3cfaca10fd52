"""What is to be expected of a model before anything was learned of it: `Prior`, from the catalog's table of scores.

A cell of the table is a model at an effort and a kind of task. One that is missing is filled by the first of these:

1. the model's figure for that kind at the nearest effort, moved by what effort is worth for that kind (`effort_gain`);
2. its figure for the related kind (`TASK_FALLBACKS`) at that effort, or else as in 1;
3. the lowest of all its figures, as in 1, as what nobody has measured must not win by being unmeasured;
4. nothing: then the answer is taken to be bad.

Each step is less sure than the one before, and so is a figure for another version of the model.
"""

from collections.abc import Mapping
from math import exp, log

import msgspec

from router.catalog.catalog import TASK_FALLBACKS, Capability, Effort, Model, Score, Task

# Variances in squared log-odds: how far a figure may lie from how good a team's own answers are. Our judgement. A
# benchmark's figure and a workload's share of good answers differ by some seven points in the middle of the scale
# (0.3); derived figures by twelve, and so on. A figure for another version may be anything near it.
_MEASURED = 0.3**2
_ESTIMATED = 0.5**2
_AT_ANOTHER_EFFORT = 0.7**2
_OF_A_RELATED_KIND = 0.9**2
_OF_ANOTHER_KIND = 1.2**2
_OF_NOTHING = 2.0**2
_OF_ANOTHER_VERSION = 0.8**2  # on top

# What thinking is worth, in log-odds: from none to high, and from high to the most. Means over V4-Flash and V4-Pro by
# the DeepSeek-V4 paper, table 7 (GPQA without thinking: voidsource.dev), read on 2026-11-23: MMLU-Pro for chat,
# SimpleQA-Verified for facts, GPQA Diamond for reasoning (high is not published and set at the share of the gain that
# it has on HLE), Terminal-Bench 2.0 for agents, and for code the mean of LiveCodeBench (1.86, 0.42) and SWE-bench
# Verified (0.30, 0.05), as requests lie between a puzzle and a change to a repository.
_GAINS: Mapping[Task, tuple[float, float]] = {
    Task.CHAT: (0.30, 0.01),
    Task.EXTRACTION: (0.30, 0.01),
    Task.FACTS: (0.18, 0.36),
    Task.REASONING: (0.92, 0.24),
    Task.CODE: (1.08, 0.24),
    Task.AGENT: (0.24, 0.11),
}
# How far each effort lies on the way from none to high, and beyond: no figures are published in between.
_WAY = {
    Effort.NONE: 0.0,
    Effort.MINIMAL: 0.25,
    Effort.LOW: 0.5,
    Effort.MEDIUM: 0.75,
    Effort.HIGH: 1.0,
    Effort.XHIGH: 2.0,
    Effort.MAX: 2.0,
}
# For which effort a figure stands that names none, of a model whose default is not known: makers publish their best.
_PUBLISHED_AT = Effort.HIGH

_FURTHEST = 30.0  # log-odds: beyond it nothing changes that anybody could tell


class Prior(msgspec.Struct, frozen=True, gc=False):
    """The probability that an answer is good, as the table has it."""

    probability: float
    variance: float  # of its log-odds, squared
    is_known: bool  # it is a figure for this very kind and effort, measured or estimated by the operator
    words: str  # where it comes from, to be read after "prior"


def prior_of(model: Model, effort: Effort | None, task: Task) -> Prior:
    """The model's cell for that effort and kind of task; filled where it is missing. `effort` None: its default."""
    if Capability.REASONING not in model.capabilities:
        effort = None
    elif effort is None:
        effort = model.default_effort
    at = "" if effort is None else f" at {effort.value} effort"
    score = _cell(model, effort, task)
    if score is not None:
        variance = _ESTIMATED if score.is_estimated else _MEASURED
        prior = Prior(score.value, variance, is_known=True, words=f"for {task.value}{at} {_told(score)}")
    else:
        prior = _filled(model, effort, task, at)
    if model.is_as_rated or (score is not None and score.is_own):
        return prior
    words = f"{prior.words}; of version {model.rated_version}, and another one answers now"
    return Prior(prior.probability, prior.variance + _OF_ANOTHER_VERSION, is_known=False, words=words)


def effort_gain(task: Task, *, of: Effort, to: Effort) -> float:
    """What the one effort is worth against the other for that kind of task, in log-odds."""
    return _worth(task, to) - _worth(task, of)


def moved(probability: float, shift: float) -> float:
    """The probability, `shift` further in log-odds, by thirty at most. What is certain stays so."""
    if not shift:
        return probability
    weight = probability * exp(min(max(shift, -_FURTHEST), _FURTHEST))
    return weight / (1.0 - probability + weight)


def log_odds(probability: float) -> float:
    """Thirty at most, either way."""
    if probability <= 0.0 or probability >= 1.0:
        return _FURTHEST if probability >= 1.0 else -_FURTHEST
    return min(max(log(probability / (1.0 - probability)), -_FURTHEST), _FURTHEST)


def _cell(model: Model, effort: Effort | None, task: Task) -> Score | None:
    named = model.quality_at.get(task)
    if named is not None and effort is not None and effort in named:
        return named[effort]
    return model.quality.get(task) if effort is None or effort is model.default_effort else None


def _filled(model: Model, effort: Effort | None, task: Task, at: str) -> Prior:
    variance, kind = _AT_ANOTHER_EFFORT, task
    near = _nearest(model, effort, task)
    if near is None and task in TASK_FALLBACKS:
        variance, kind = _OF_A_RELATED_KIND, TASK_FALLBACKS[task]
        near = _nearest(model, effort, kind)
    if near is not None:
        probability, score, its = near
        of = "" if kind is task else f" for {kind.value}"
        of += "" if its is effort or its is None else f" at {its.value}"
        return Prior(
            probability,
            variance,
            is_known=False,
            words=f"for {task.value}{at} {probability:.3f}, from {_told(score)}{of}",
        )
    known = {*model.quality, *model.quality_at}
    others = [(found[0], kind) for kind in Task if kind in known and (found := _nearest(model, effort, kind))]
    if not others:
        return Prior(0.0, _OF_NOTHING, is_known=False, words="without any figure")
    lowest, kind = min(others)
    words = f"for {task.value}{at}, which has no figure: its lowest, {lowest:.3f} for {kind.value}"
    return Prior(lowest, _OF_ANOTHER_KIND, is_known=False, words=words)


def _nearest(model: Model, effort: Effort | None, task: Task) -> tuple[float, Score, Effort | None] | None:
    """What the model's figure for that kind at the nearest effort comes to at this one, that figure, and its effort.

    Where the effort is not known, its lowest figure.
    """
    scores: dict[Effort, Score] = {**model.quality_at.get(task, {})}
    plain = model.quality.get(task)
    if plain is not None:
        if effort is None:
            return plain.value, plain, None
        scores.setdefault(model.default_effort or _PUBLISHED_AT, plain)
    if not scores:
        return None
    if effort is None:
        its, score = min(scores.items(), key=lambda pair: pair[1].value)
        return score.value, score, its
    its, score = min(scores.items(), key=lambda pair: abs(_WAY[pair[0]] - _WAY[effort]))
    return moved(score.value, effort_gain(task, of=its, to=effort)), score, its


def _worth(task: Task, effort: Effort) -> float:
    to_high, beyond = _GAINS[TASK_FALLBACKS.get(task, task)]
    way = _WAY[effort]
    return to_high * min(way, 1.0) + beyond * max(way - 1.0, 0.0)


def _told(score: Score) -> str:
    return f"{score.value:.3f} ({score.source}, {score.checked})"
