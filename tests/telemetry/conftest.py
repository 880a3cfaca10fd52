"""Metrics of a process of the test's own."""

import pytest

from router.telemetry.metrics import Gauges, Metrics


@pytest.fixture
def metrics() -> Metrics:
    """As the assembly makes them, with gauges that stand still and no budgets."""
    metrics = Metrics(version="0.1.0", config_version="0123456789ab")
    metrics.watch(Gauges(in_flight=lambda: 3, ledger_lag_s=lambda: 0.25, budgets=list))
    return metrics
