"""How likely a model's answer to a kind of task is good."""

from typing import Protocol

from router.catalog.catalog import Model, Task


class QualityPredictor(Protocol):
    """What ranking and the quality floor ask. Pure: the same answer for the same catalog."""

    def probability(self, model: Model, task: Task) -> float:
        """The probability, from 0 to 1, that this model's answer to such a task is good."""
        ...

    def is_known(self, model: Model, task: Task) -> bool:
        """Whether that rests on a figure for this very task, not on a fallback."""
        ...


class TablePredictor:
    """The catalog's own scores.

    Where a model has no score for a task its lowest score stands in, and where it has none at all, 0: what nobody has
    measured must not win a request by being unmeasured.
    """

    def probability(self, model: Model, task: Task) -> float:
        score = model.quality.get(task)
        if score is not None:
            return score.value
        return min((known.value for known in model.quality.values()), default=0.0)

    def is_known(self, model: Model, task: Task) -> bool:
        return task in model.quality
