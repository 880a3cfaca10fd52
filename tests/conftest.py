"""What holds for every test: a law is not broken because the machine was busy while an example was drawn or tried."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# CI has fifteen minutes for everything, and draws fewer examples of each law; elsewhere it is Hypothesis' hundred.
settings.register_profile("ci", settings.get_profile("any-machine"), max_examples=35)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "any-machine")  # noqa: TID251 - told by .ci/run


# Whose files take longest, for they start servers or wait for time to pass.
_LONG = ("torture", "e2e", "deploy", "clients", "console", "cli", "storage", "limits")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first: whoever begins one last would be waited for by all others.

    Where files are spread over processes this wants `--no-loadscope-reorder`: pytest-xdist would begin with the files
    that have the most tests, which are quick ones.
    """
    room = Path(__file__).parent
    order = {name: number for number, name in enumerate(_LONG)}
    items.sort(key=lambda item: order.get(item.path.relative_to(room).parts[0], len(order)))
