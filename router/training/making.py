"""From rows to the bytes of an artefact."""

import numpy as np

from router.errors import BadOutcomes
from router.quality.text_head import DIFFICULTY
from router.training.logistic import Line
from router.training.matrix import known_words, matrix_of
from router.training.pairs import Pairs
from router.training.quantize import as_artefact
from router.training.recipe import difficulty_head, pair_heads, recipe_for

_OFTEN = 3  # prompts with a word, for it to be known
_LEAST_PROMPTS = 20


def make_head(pairs: Pairs, *, is_pair: bool, also: Pairs | None = None, licence: str = "", note: str = "") -> bytes:
    """An artefact with a head of difficulty, and before it those of the pair if it is one. Deterministic.

    `also` are further rows to learn difficulty from, which the pair's heads then lean on. Raises BadOutcomes if there
    are too few rows.
    """
    if len(pairs) < _LEAST_PROMPTS:
        raise BadOutcomes(f"{len(pairs)} prompts are too few to learn from; give {_LEAST_PROMPTS} or more.")
    matrix = matrix_of(pairs.prompts)
    lines: dict[str, Line] = {}
    difficulty = difficulty_head(pairs, matrix) if also is None else difficulty_head(also, matrix_of(also.prompts))
    recipe = recipe_for(len(pairs))
    if is_pair:
        heads = pair_heads(pairs, matrix, recipe, prior=None if also is None else difficulty)
        lines.update(heads.lines())
    lines[DIFFICULTY] = difficulty
    names = set(pairs.names.values())
    return as_artefact(
        lines,
        {name: float(line.logits(matrix).mean()) for name, line in lines.items()},
        known_words([*pairs.prompts, *(() if also is None else also.prompts)], least=_OFTEN),
        trained_on={
            str(name): int(count)
            for source in ((pairs,) if also is None else (pairs, also))
            for name, count in zip(*np.unique(source.datasets, return_counts=True), strict=True)
        },
        licence=licence,
        pair=names.pop() if is_pair and len(names) == 1 else ("", ""),
        strong_weight=recipe.strong_weight,
        note=note,
    )
