"""How pytest runs under mutmut: the same examples for every mutant, nothing that a busy machine could decide.

A mutant counts as killed by its first failing test. So a test that fails now and then for being slow would make the
score look better than it is: tests in real time are left out, and the others have all the time they need.
"""

import pytest
from hypothesis import HealthCheck, Phase, settings

from router.limits.functions import BudgetFunctions

# Drawn once and for all, and never remembered: a mutant must not be judged by examples that another one left behind.
# Nor made smaller: that a test fails is all that is asked, and shrinking took longer than a mutant is given.
settings.register_profile(
    "mutation",
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("mutation")

# A Redis of the test's own, in real time: it is frozen and killed, and how soon that is noticed is what is tested.
_IN_REAL_TIME = "own_redis"


@pytest.fixture(autouse=True)
def patience_with_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its time stands still, nothing is said about how soon Redis answers."""
    defaults = BudgetFunctions.call.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "timeout_s", 10.0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    in_real_time = [item for item in items if _IN_REAL_TIME in _fixtures(item)]
    config.hook.pytest_deselected(items=in_real_time)
    items[:] = sorted((item for item in items if item not in in_real_time), key=_slowness)


def _slowness(item: pytest.Item) -> tuple[bool, bool]:
    """Quick tests come first: which one kills a mutant does not matter."""
    uses_redis = "clocked_redis" in _fixtures(item) or "[redis" in item.name
    return uses_redis, getattr(getattr(item, "obj", None), "is_hypothesis_test", False)


def _fixtures(item: pytest.Item) -> tuple[str, ...]:
    return tuple(getattr(item, "fixturenames", ()))
