"""How pytest runs under mutmut: the same examples for every mutant, and the tests that start a server last.

A mutant counts as killed by its first failing test, so the order decides how long it takes, never what comes of it.
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


@pytest.fixture(autouse=True)
def patience_with_redis(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine kept busy by mutants is slow, and a test that fails for that alone would count as one that noticed.

    Only tests with a Redis of their own, in real time, are about how soon it answers.
    """
    if "own_redis" not in request.fixturenames:
        defaults = BudgetFunctions.call.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "timeout_s", 10.0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_slowness)


def _slowness(item: pytest.Item) -> tuple[bool, bool, bool]:
    """Tests that wait for a Redis of their own in real time come last, those that start one before them."""
    fixtures = getattr(item, "fixturenames", ())
    return (
        "own_redis" in fixtures,
        "clocked_redis" in fixtures or "[redis" in item.name,
        getattr(getattr(item, "obj", None), "is_hypothesis_test", False),
    )
