"""What makes a head: which targets, which penalties. The figures behind each choice are in docs/quality.md.

Three heads: whether the cheap model is right, whether the strong one is, and how hard a prompt is for models in the
middle. Prompts are ranked by what the strong model adds, P(strong right) − P(cheap right), not by how likely the cheap
one is to fail: much of what is hard for one is hard for both.

An outcome is a coin thrown once. What it was likely to be is told in part by its subject, where one is given; so a
target is drawn from the outcome towards the subject's mean. (Drawing it towards what other models made of the prompt
was tried too, and made GSM8K and MMLU-Pro worse by .02.) Where the prompts to come
are of kinds that are new, it is not: what tells one subject from another in training says little about a third.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix, hstack
from scipy.special import expit

from router.quality.text_head import CHEAP, STRONG
from router.quality.text_terms import BUCKETS
from router.training.logistic import Line, fitted
from router.training.matrix import COLUMNS
from router.training.outcomes import Floats
from router.training.pairs import Pairs
from router.training.quantize import rounded

_ROWS_TO_BELIEVE = 10.0  # a subject's mean is drawn to the whole as if by so many rows


@dataclass(frozen=True, slots=True)
class Recipe:
    """The numbers that were chosen."""

    word_penalty: float
    mark_penalty: float
    own_share: float  # how much of its own outcome a target keeps, against what its row leads to expect
    strong_weight: float  # prompts are ranked by strong_weight × P(strong right) − P(cheap right)


# Of the difficulty head, which is for prompts of other origin.
_DIFFICULTY_WORD_PENALTY = 16.0
_DIFFICULTY_MARK_PENALTY = 1.0
_LEVEL_PENALTY = 1e-3
_USUAL_ROWS = 2000.0  # a file of so many counts as it is
DIFFICULTY_SHARE = 0.5  # how far its log-odds move a model's; half of what it claims, for prompts of other origin
_PRIOR_PENALTY = 0.1
_PARTS = 3  # in which rows are divided to find the slope
_DIFFICULTY_WEIGHT = 0.15  # of a unit of log-odds: about as much as the pair's heads spread on new subjects
_LEAST_STEEPNESS = 0.01
_SLOPE_PENALTY = 1.0
_SLOPES = (0.25, 4.0)  # what a slope may come to, lest few rows make nonsense of a head

# For kinds of prompts that recur, as those of one application do.
RECURRING = Recipe(word_penalty=4.0, mark_penalty=1.0, own_share=0.15, strong_weight=1.0)
# The same with few rows: what is known of a subject is worth more than one outcome.
FEW = Recipe(word_penalty=8.0, mark_penalty=1.0, own_share=0.1, strong_weight=1.0)
FEW_ROWS = 3_000
# For kinds that were not seen: words weigh less against form, and the strong model's chances less against difficulty.
NEW = Recipe(word_penalty=64.0, mark_penalty=0.25, own_share=1.0, strong_weight=0.75)


def recipe_for(rows: int) -> Recipe:
    """The recipe for so many rows to learn from, for kinds that recur."""
    return FEW if rows < FEW_ROWS else RECURRING


@dataclass(frozen=True, slots=True, eq=False)
class PairHeads:
    """The heads of a pair, with weights as an artefact carries them."""

    cheap: Line
    strong: Line
    recipe: Recipe
    difficulty: Line | None = None  # where it counts for ranking too, as much as the next says
    levels: tuple[float, float] = (0.5, 0.5)  # mean scores of the pair
    shares: tuple[float, float] = (1.0, 0.0)  # of what the pair's heads say, and of what difficulty leads to expect
    average: float = 0.0  # what is taken off

    def probabilities(self, matrix: csr_matrix) -> tuple[Floats, Floats]:
        """That the cheap model is right, and that the strong one is, for each row."""
        return self.cheap.probabilities(matrix), self.strong.probabilities(matrix)

    def scores(self, matrix: csr_matrix) -> Floats:
        """By what prompts are ranked: the higher, the more the strong model adds."""
        strong, cheap = expit(self.strong.logits(matrix)), expit(self.cheap.logits(matrix))
        scores = np.asarray(self.recipe.strong_weight * strong - cheap)
        if self.difficulty is None:
            return scores
        expected = _gains_expected(self.difficulty, self.levels, matrix)
        return self.shares[0] * scores + self.shares[1] * expected - self.average

    def lines(self) -> dict[str, Line]:
        """By name, for an artefact."""
        return {CHEAP: self.cheap, STRONG: self.strong}


def pair_heads(pairs: Pairs, matrix: csr_matrix, recipe: Recipe, *, prior: Line | None = None) -> PairHeads:
    """The heads of the pair, from all of its rows.

    `prior` is a difficulty head that was trained elsewhere: each head may lean on it as far as the rows bear it out.
    """
    return PairHeads(
        _head(pairs, matrix, pairs.cheap, recipe, prior), _head(pairs, matrix, pairs.strong, recipe, prior), recipe
    )


def heads_for_new_subjects(pairs: Pairs, matrix: csr_matrix, *, prior: Line | None = None) -> PairHeads:
    """Heads for subjects that are not among the rows.

    What the pair's heads say of a new subject may be wrong altogether, since what told subjects apart among the rows
    need not hold for another. So difficulty, learned within subjects and elsewhere, has as much to say. Scores are told
    against the average of the rows, or heads that were trained without a subject could not be compared: without one
    where the strong model adds much, it seems to add less everywhere.
    """
    heads = pair_heads(pairs, matrix, NEW, prior=prior)
    if len(set(pairs.subjects)) < 2:
        return heads
    levels = float(pairs.cheap.mean()), float(pairs.strong.mean())
    weight = _DIFFICULTY_WEIGHT * (1.0 if prior is None else 2.0) / _steepness(levels)
    difficulty = _within_subjects(pairs, matrix, prior)
    whole = replace(heads, difficulty=difficulty, levels=levels, shares=(1.0, weight))
    return replace(whole, average=float(whole.scores(matrix).mean()))


def _steepness(levels: tuple[float, float]) -> float:
    """How fast the expected gain changes with difficulty, where it is average."""
    low, high = shifted(levels, np.array([-0.5, 0.5]))
    change = (high - low)[1] - (high - low)[0]
    return max(abs(float(change)), _LEAST_STEEPNESS)


def _gains_expected(difficulty: Line, levels: tuple[float, float], matrix: csr_matrix) -> Floats:
    cheap, strong = shifted(levels, difficulty.logits(matrix))
    return np.asarray(strong - cheap)


def _within_subjects(pairs: Pairs, matrix: csr_matrix, prior: Line | None) -> Line:
    """Difficulty as it shows within each subject, 0 on average, and as much of the prior where there is one.

    What tells subjects apart is not in it.
    """
    own = _centred(difficulty_head(replace(pairs, datasets=pairs.subjects), matrix), matrix)
    if prior is None:
        return own
    other = _centred(prior, matrix)
    return Line((own.weights + other.weights) / 2, (own.bias + other.bias) / 2)


def _centred(line: Line, matrix: csr_matrix) -> Line:
    return Line(line.weights, line.bias - float(line.logits(matrix).mean()))


def _head(pairs: Pairs, matrix: csr_matrix, outcomes: Floats, recipe: Recipe, prior: Line | None) -> Line:
    line = rounded(_fitted(pairs, matrix, outcomes, recipe, prior))
    if recipe.own_share >= 1.0:
        return line
    # Targets drawn to a mean make a line too flat. That ranks well, and is put right where a probability is wanted: by
    # the slope that outcomes have where the line has not seen them.
    rows = np.arange(len(pairs))
    said = np.zeros(len(pairs))
    for part in range(_PARTS):
        learned, told = np.flatnonzero(rows % _PARTS != part), np.flatnonzero(rows % _PARTS == part)
        partial = _fitted(pairs.at(learned), matrix[learned], outcomes[learned], recipe, prior)
        said[told] = partial.logits(matrix[told])
    slope = fitted(csr_matrix(said[:, None]), outcomes, np.full(1, _SLOPE_PENALTY))
    return Line(line.weights, line.bias, float(np.clip(slope.weights[0], *_SLOPES)), slope.bias)


def _fitted(pairs: Pairs, matrix: csr_matrix, outcomes: Floats, recipe: Recipe, prior: Line | None) -> Line:
    penalties = np.full(COLUMNS, recipe.word_penalty)
    penalties[BUCKETS:] = recipe.mark_penalty
    targets = targets_of(pairs, outcomes, recipe.own_share)
    if prior is None:
        return fitted(matrix, targets, penalties)
    said = prior.logits(matrix)
    middle, spread = float(said.mean()), float(said.std()) or 1.0
    column = csr_matrix(((said - middle) / spread)[:, None])
    line = fitted(hstack([matrix, column], format="csr"), targets, np.append(penalties, _PRIOR_PENALTY))
    share = line.weights[-1] / spread
    return Line(line.weights[:-1] + share * prior.weights, line.bias + share * (prior.bias - middle))


def difficulty_head(pairs: Pairs, matrix: csr_matrix) -> Line:
    """The log-odds that a middling model fails, learned within each file: how hard the files are is not in it.

    Half of the target is the cheap model, half the mean of all others. Files count by the root of their size, so that
    a large one does not speak for all.
    """
    others = np.where(np.isnan(pairs.others), (pairs.cheap + pairs.strong) / 2, pairs.others)
    files, numbers, sizes = np.unique(pairs.datasets, return_inverse=True, return_counts=True)
    levels = csr_matrix((np.ones(len(pairs)), (np.arange(len(pairs)), numbers)), shape=(len(pairs), len(files)))
    penalties = np.concatenate(
        (
            np.full(BUCKETS, _DIFFICULTY_WORD_PENALTY),
            np.full(COLUMNS - BUCKETS, _DIFFICULTY_MARK_PENALTY),
            np.full(len(files), _LEVEL_PENALTY),
        )
    )
    line = fitted(
        hstack([matrix, levels], format="csr"),
        1.0 - (pairs.cheap + others) / 2,
        penalties,
        rows=np.sqrt(_USUAL_ROWS / sizes)[numbers],
    )
    return rounded(Line(line.weights[:COLUMNS], line.bias + float(line.weights[COLUMNS:].mean())))


def shifted(levels: tuple[float, float], difficulty: Floats) -> tuple[Floats, Floats]:
    """The probabilities of a cheap and a strong model whose mean is known, moved by how hard each prompt looks.

    This is what the proxy does with a pair that it has no labels of: the prior table tells the means, the text the
    difficulty, in log-odds with 0 for an average prompt. Where even the strong model mostly fails, harder prompts are
    those where it adds least, and so ranked last.
    """
    low, high = (np.log(level / (1 - level)) for level in np.clip(levels, 0.01, 0.99))
    return expit(low - DIFFICULTY_SHARE * difficulty), expit(high - DIFFICULTY_SHARE * difficulty)


def targets_of(pairs: Pairs, outcomes: Floats, own_share: float) -> Floats:
    """Each outcome, drawn towards its subject's mean, which is itself drawn to the mean of all."""
    if own_share >= 1.0:
        return outcomes
    subjects = np.unique(pairs.subjects, return_inverse=True)[1]
    if subjects.max(initial=0) == 0:
        return outcomes
    mean = outcomes.mean()
    total, rows = np.bincount(subjects, weights=outcomes - mean), np.bincount(subjects)
    expected = (mean + total / (rows + _ROWS_TO_BELIEVE))[subjects]
    return np.asarray(expected + own_share * (outcomes - expected))
