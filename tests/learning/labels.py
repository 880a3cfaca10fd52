"""Labels for tests: one plain score to vary, and what a truth would have been scored as."""

from datetime import UTC, datetime, timedelta

from router.catalog.catalog import Capability, ModelName, Task
from router.decision.facts import RequestProfile
from router.keys import TeamName
from router.learning.quality_features import features_of, named
from router.quality.labels import Label, Signal

AT = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
SEARCH, RESEARCH = TeamName("search"), TeamName("research")
FLASH, PRO = ModelName("deepseek/deepseek-v4-flash"), ModelName("deepseek/deepseek-v4-pro")


def profile(
    task: Task = Task.CODE, *, team: str = "search", needs: frozenset[Capability] = frozenset()
) -> RequestProfile:
    return RequestProfile(
        alias="auto",
        input_tokens=1_000,
        input_bytes=4_000,
        images=0,
        max_output_tokens=None,
        choices=1,
        needs=needs,
        task=task,
        has_unbounded_parts=False,
        asks_one_hour_cache=False,
        is_stream=False,
        team=team,
    )


def label(
    number: int = 1,
    *,
    score: float = 1.0,
    model: ModelName = FLASH,
    task: Task = Task.CODE,
    team: TeamName = SEARCH,
    signal: Signal = Signal.FEEDBACK,
    prior_logit: float = 1.0,
    checks: dict[str, bool] | None = None,
    share: float = 1.0,
) -> Label:
    """The score of an answer to a request of its own, as many seconds after the first as its number."""
    at = AT + timedelta(seconds=number)
    return Label(
        request_id=f"req_{number}",
        number=1,
        signal=signal,
        team=team,
        model=model,
        effort=None,
        version=None,
        task=task,
        asked_at=at,
        at=at,
        score=score,
        prior_logit=prior_logit,
        features=named(features_of(profile(task, team=team), None)),
        checks=checks or {},
        share=share,
    )
