"""What a cheap answer that is checked, and a better model's where it fails, are worth together: `cascade`.

The arithmetic, for one request: p and q are the probabilities that the cheap and the strong answer are good, s that the
check passes a good answer (sensitivity), t that it rejects a bad one (specificity). Then the share

    e = p (1 - s) + (1 - p) t

is escalated, and the answer that the client gets is good with probability

    p s + p (1 - s) P(strong good | cheap good) + (1 - p) t P(strong good | cheap bad)

Two models fail on the same requests more often than chance has it, so the last two are not q: `OVERLAP` says how much.
"""

from collections.abc import Iterable, Mapping
from math import prod, sqrt
from types import MappingProxyType
from typing import NamedTuple

from router.catalog.catalog import Task
from router.quality.verify import CheckKind

# How the outcomes of a cheap and a strong model hang together: the correlation of good and good. Measured 2026-11-30 on
# the shipped data as 0.42 (MMLU, Mixtral and GPT-4), 0.40 and 0.53 (MMLU-Pro), 0.34 and 0.47 (GSM8K), 0.29 (MATH level
# 5), 0.28 and 0.53 (CRUXEval); a cautious one of these.
OVERLAP = 0.45


class Accuracy(NamedTuple):
    """How often a check is right."""

    sensitivity: float  # P(passes | good)
    specificity: float  # P(fails | bad)

    @property
    def balanced(self) -> float:
        """One half says nothing, 1 is always right. Below 0.7 a check rarely pays (reference figures of 2026-11)."""
        return (self.sensitivity + self.specificity) / 2


class Cascade(NamedTuple):
    """What comes of asking a cheap model, checking, and asking a stronger one where the check fails."""

    probability: float  # that the answer the client gets is good
    escalated: float  # share of requests that ask both


def cascade(cheap: float, strong: float, accuracy: Accuracy, *, overlap: float = OVERLAP) -> Cascade:
    """The probability of a good answer and the share escalated, given those of the two models, each from 0 to 1.

    `overlap` is the correlation of their outcomes, from 0 to 1, as far as the two probabilities allow it.
    """
    both = min(cheap * strong + overlap * sqrt(cheap * (1 - cheap) * strong * (1 - strong)), cheap, strong)
    rejected_good, rejected_bad = 1 - accuracy.sensitivity, accuracy.specificity
    return Cascade(
        probability=min(cheap * accuracy.sensitivity + both * rejected_good + (strong - both) * rejected_bad, 1.0),
        escalated=cheap * rejected_good + (1 - cheap) * rejected_bad,
    )


def together(accuracies: Iterable[Accuracy]) -> Accuracy:
    """Of several checks that must all pass. No checks pass everything.

    Cautious both ways: good answers are taken to fail them independently, and bad ones to be seen by the best alone.
    """
    known = tuple(accuracies)
    return Accuracy(prod(each.sensitivity for each in known), max((each.specificity for each in known), default=0.0))


def prior_accuracy(check: CheckKind, task: Task) -> Accuracy:
    """Of a check before anything has been counted.

    Cautious: a check that sees form is taken to see few of the answers that are wrong, since most of these have the
    right form.
    """
    return _OF_TASK.get((check, task)) or _PRIORS[check]


# Judgements, but for agreement. There sensitivity is P(second right | first right), measured on the shipped data
# (2026-11-30): MMLU-Pro 0.66 and 0.80, GSM8K 0.86 and 0.92, MATH level 5 0.48, CRUXEval 0.70 and 0.76. Specificity
# follows from the balanced accuracies of reference/quality.md section 5 (0.72 to 0.85, errors in common included):
# MMLU-Pro 0.78 and 0.70, GSM8K 0.84 and 0.62.
_PRIORS: Mapping[CheckKind, Accuracy] = MappingProxyType(
    {
        CheckKind.JSON_SCHEMA: Accuracy(0.99, 0.15),
        CheckKind.TOOL_ARGUMENTS: Accuracy(0.99, 0.15),
        CheckKind.REGEX: Accuracy(0.97, 0.15),
        CheckKind.NON_EMPTY: Accuracy(0.999, 0.02),
        CheckKind.NOT_TRUNCATED: Accuracy(0.98, 0.05),
        CheckKind.CODE: Accuracy(0.96, 0.10),
        CheckKind.AGREEMENT: Accuracy(0.70, 0.65),
    }
)
_OF_TASK: Mapping[tuple[CheckKind, Task], Accuracy] = MappingProxyType(
    {
        # Where the form is the work, more of the bad answers show.
        (CheckKind.JSON_SCHEMA, Task.EXTRACTION): Accuracy(0.99, 0.30),
        (CheckKind.JSON_SCHEMA, Task.CLASSIFICATION): Accuracy(0.99, 0.20),
        (CheckKind.TOOL_ARGUMENTS, Task.AGENT): Accuracy(0.99, 0.25),
        (CheckKind.TOOL_ARGUMENTS, Task.TOOL_CALL): Accuracy(0.99, 0.25),
        (CheckKind.CODE, Task.CODE): Accuracy(0.96, 0.15),
        (CheckKind.AGREEMENT, Task.REASONING): Accuracy(0.72, 0.65),
        (CheckKind.AGREEMENT, Task.MATH): Accuracy(0.78, 0.65),
        (CheckKind.AGREEMENT, Task.EXTRACTION): Accuracy(0.75, 0.65),
        (CheckKind.AGREEMENT, Task.CLASSIFICATION): Accuracy(0.78, 0.65),
        # Nobody says the same about an open question in the same words.
        **dict.fromkeys(
            [
                (CheckKind.AGREEMENT, task)
                for task in (Task.CHAT, Task.WRITING, Task.TRANSLATION, Task.SUMMARY, Task.CODE, Task.AGENT)
            ],
            Accuracy(0.40, 0.65),
        ),
    }
)
