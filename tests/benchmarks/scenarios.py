"""What is asked of every contestant: the loads, and how long each lasts in a full round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CHUNKS_PER_STREAM = 64
LATENCY_RATE_PER_S = 100.0
LONG_PROMPT_BYTES = 5_000_000  # 0.7 million tokens of our text by o200k_base, one million of code or of other languages

ScenarioName = Literal[
    "request_1kb",
    "stream_no_gaps",
    "stream_gaps",
    "latency",
    "request_100kb",
    "request_tls",
    "request_alone",
    "request_pair",
    "others",
    "long_prompt_new",
    "long_prompt_beside",
    "long_prompt_seen",
]


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
    request_limit: int | None = None
    history_bytes: int = 0  # of conversation before each prompt
    history_seed: int = 0  # which conversation


SCENARIOS = (
    Scenario(name="request_1kb", duration_s=1.5, connections=32),
    Scenario(name="stream_no_gaps", duration_s=1.5, connections=32, is_streamed=True),
    Scenario(name="stream_gaps", duration_s=2.0, connections=16, is_streamed=True, gap_ms=5),
    Scenario(name="latency", duration_s=2.5, connections=32, rate_per_s=LATENCY_RATE_PER_S),
    Scenario(name="request_100kb", duration_s=1.0, connections=4, prompt_bytes=100_000),
)
TLS = Scenario(name="request_tls", duration_s=1.5, connections=32)
ALONE = Scenario(name="request_alone", duration_s=1.5, connections=32)
PAIR = Scenario(name="request_pair", duration_s=1.5, connections=32)  # shared out over the processes

# Long prompts. `OTHERS` is what everybody else does meanwhile. Of `LONG_BESIDE` the first request is of a conversation
# that nobody has seen, the others are its next turns; `LONG_SEEN` goes on with it.
OTHERS = Scenario(name="others", duration_s=3.5, connections=64, rate_per_s=200.0)
LONG_NEW = Scenario(
    name="long_prompt_new", duration_s=5, connections=1, request_limit=1, history_bytes=LONG_PROMPT_BYTES
)
LONG_BESIDE = Scenario(
    name="long_prompt_beside",
    duration_s=1.75,
    connections=4,
    rate_per_s=2.0,
    history_bytes=LONG_PROMPT_BYTES,
    history_seed=1,
)
LONG_SEEN = Scenario(
    name="long_prompt_seen", duration_s=0.75, connections=1, history_bytes=LONG_PROMPT_BYTES, history_seed=1
)
