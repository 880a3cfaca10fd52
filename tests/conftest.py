"""What holds for every test: a law is not broken because the machine was busy while an example was drawn or tried."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file comes first: whoever begins it last would be waited for by all others."""
    items.sort(key=lambda item: "torture" not in item.path.parts)
