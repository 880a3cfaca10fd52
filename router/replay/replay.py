"""`replay`: a period of the ledger, read twice in the order of time: first for habits, then to judge.

Pages are read and forgotten, so that memory depends neither on the period's length nor on the number of requests.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from router.config.snapshot import Snapshot
from router.gateway.past import CannotDecideAgain, Past
from router.ledger import History, Period, pages
from router.quality.predictor import QualityPredictor
from router.replay.habits import Habits, Observations
from router.replay.judge import Judge
from router.replay.learned import Learner, PromptMemory
from router.replay.report import Report

READINGS = 2  # how often every entry is read, for whoever shows progress


@dataclass(frozen=True, slots=True)
class Faculties:
    """What decides, and what learns on the way."""

    quality: QualityPredictor
    learner: Learner
    memory_then: PromptMemory  # is told where requests really went
    memory_now: PromptMemory  # is told where they would go


def replay(
    history: History,
    period: Period,
    against: Snapshot,
    *,
    faculties: Faculties,
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """What the period's requests would have cost under `against`.

    `progress` is told how many more entries have been read. Blocks. Raises StoreUnavailable.
    """
    observations = Observations()
    for entries in pages(history, period, progress):
        for entry in entries:
            with suppress(CannotDecideAgain):
                past = Past.of(entry)
                observations.observe(past.entry, past.profile)
    judge = Judge(
        against,
        quality=faculties.quality,
        habits=Habits(observations),
        learner=faculties.learner,
        memory_then=faculties.memory_then,
        memory_now=faculties.memory_now,
    )
    report = Report()
    for entries in pages(history, period, progress):
        for entry in entries:
            report.add(judge.judge(entry))
    return report
