"""What is asked of every contestant: the loads, and how long each lasts in a full round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CHUNKS_PER_STREAM = 64
LATENCY_RATE_PER_S = 100.0

ScenarioName = Literal["request_1kb", "stream_no_gaps", "stream_gaps", "latency", "request_100kb"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load."""

    name: ScenarioName
    duration_s: float  # in a full round; enough requests that start-up and stragglers do not show
    connections: int
    prompt_bytes: int = 600  # with the fields around it, a body of about 1 KB
    is_streamed: bool = False
    gap_ms: int = 0
    rate_per_s: float | None = None  # open loop when given


SCENARIOS = (
    Scenario(name="request_1kb", duration_s=1.5, connections=32),
    Scenario(name="stream_no_gaps", duration_s=1.5, connections=32, is_streamed=True),
    Scenario(name="stream_gaps", duration_s=3.0, connections=16, is_streamed=True, gap_ms=5),
    Scenario(name="latency", duration_s=2.5, connections=32, rate_per_s=LATENCY_RATE_PER_S),
    Scenario(name="request_100kb", duration_s=1.0, connections=4, prompt_bytes=100_000),
)
