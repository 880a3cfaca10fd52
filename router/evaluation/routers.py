"""What is judged: scores of prompts, the higher the sooner the strong model is asked."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from router.quality.features import features_of
from router.quality.text_head import CHEAP, DIFFICULTY, STRONG, TextHead
from router.training.outcomes import Floats
from router.wire.requests import ChatReader

_ROWS_TO_BELIEVE = 10.0  # a kind's gain is drawn to the mean as if by so many prompts
_LOT_SEED = 7
_TEXT_SHARE = 0.5  # how much of a head's differences within a kind is believed, beside the table of kinds


def told_kinds(prompts: Sequence[str]) -> NDArray[np.str_]:
    """The kind of task of each prompt, as the proxy tells it."""
    reader = ChatReader()
    bodies = (
        msgspec.json.encode({"model": "auto", "messages": [{"role": "user", "content": prompt}]}) for prompt in prompts
    )
    return np.array([features_of(reader.read(body)).task.value for body in bodies])


class KindTable:
    """What the strong model added on average, by kind; the mean for kinds that were not seen."""

    def __init__(self, kinds: NDArray[np.str_], gains: Floats) -> None:
        self._mean = float(gains.mean())
        self._gains = {
            str(kind): (gains[kinds == kind].sum() + _ROWS_TO_BELIEVE * self._mean)
            / ((kinds == kind).sum() + _ROWS_TO_BELIEVE)
            for kind in np.unique(kinds)
        }

    def scores(self, kinds: NDArray[np.str_]) -> Floats:
        """One score a prompt."""
        return np.array([self._gains.get(str(kind), self._mean) for kind in kinds])


class TableAndText:
    """The table of kinds, and within a kind the text: for prompts whose kind is known."""

    def __init__(self, kinds: NDArray[np.str_], gains: Floats, scores: Floats) -> None:
        self._table = KindTable(kinds, gains)
        self._text = KindTable(kinds, scores)

    def scores(self, kinds: NDArray[np.str_], scores: Floats) -> Floats:
        """One score a prompt: the kind's gain, and half of how the text differs from its kind."""
        return self._table.scores(kinds) + _TEXT_SHARE * (scores - self._text.scores(kinds))


def lots(count: int) -> Floats:
    """A router that draws lots. Reproducible."""
    return np.random.default_rng(_LOT_SEED).random(count)


def probabilities_of(head: TextHead, prompts: Sequence[str]) -> tuple[Floats, Floats] | None:
    """That the cheap and that the strong model is right, as a head says it; None if it is not one of a pair."""
    names = [each.name for each in head.header.heads]
    if CHEAP not in names or STRONG not in names:
        return None
    logits = np.array([head.said(prompt).logits for prompt in prompts])
    cheap, strong = (
        expit(each.slope * logits[:, number] + each.shift)
        for number, each in ((names.index(name), head.header.heads[names.index(name)]) for name in (CHEAP, STRONG))
    )
    return cheap, strong


def scores_of(head: TextHead, prompts: Sequence[str]) -> Floats:
    """How a trained head ranks prompts: by what the strong model adds if it is one of a pair, else by difficulty."""
    names = [each.name for each in head.header.heads]
    logits = np.array([head.said(prompt).logits for prompt in prompts])
    if CHEAP in names and STRONG in names:
        cheap, strong = expit(logits[:, names.index(CHEAP)]), expit(logits[:, names.index(STRONG)])
        return np.asarray(head.header.strong_weight * strong - cheap)
    return np.asarray(logits[:, names.index(DIFFICULTY)])
