"""Logistic regression on a sparse matrix, with targets anywhere between 0 and 1 and a penalty of its own per column."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit

from router.training.outcomes import Floats

_STEPS = 60  # of L-BFGS; more change no figure in its third digit


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A fitted head."""

    weights: Floats  # one a column
    bias: float
    slope: float = 1.0  # what makes log-odds that are borne out of those that rank best
    shift: float = 0.0

    def logits(self, matrix: csr_matrix) -> Floats:
        """The log-odds of each row, by which rows are ranked."""
        return np.asarray(matrix @ self.weights + self.bias)

    def probabilities(self, matrix: csr_matrix) -> Floats:
        """The probability of each row, as far as it can be relied on."""
        return np.asarray(expit(self.slope * self.logits(matrix) + self.shift))


def fitted(matrix: csr_matrix, targets: Floats, penalties: Floats, *, rows: Floats | None = None) -> Line:
    """The line with the least Σ row × cross-entropy + ½ Σ penalty × weight². The bias is free. Deterministic.

    `rows` says how much each row counts; rows whose target is nan do not.
    """
    counts = ~np.isnan(targets) * (1.0 if rows is None else rows)
    target = np.nan_to_num(targets)
    mean = float(np.clip((counts * target).sum() / max(counts.sum(), 1e-9), 1e-3, 1 - 1e-3))
    transposed = matrix.T.tocsr()

    def loss(point: Floats) -> tuple[float, Floats]:
        weights, bias = point[:-1], point[-1]
        logits = matrix @ weights + bias
        errors = counts * (expit(logits) - target)
        value = (counts * (np.logaddexp(0.0, logits) - target * logits)).sum() + 0.5 * (penalties * weights**2).sum()
        return float(value), np.append(transposed @ errors + penalties * weights, errors.sum())

    start = np.append(np.zeros(matrix.shape[1]), np.log(mean / (1 - mean)))
    point = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}).x
    return Line(point[:-1], float(point[-1]))
