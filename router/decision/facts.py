"""What a decision is made from: `RequestProfile` (what is known of the request, no text), `Tightening` (what its
headers ask for) and `Conditions` (the moment it is made in)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from router.catalog.catalog import Capability, DeploymentId, Task


@dataclass(frozen=True, slots=True)
class RequestProfile:
    """A request in numbers and enums."""

    alias: str  # what the client wrote in `model`
    input_tokens: int  # counted with the o200k_base vocabulary; each model's own count is this times its ratio
    input_bytes: int  # of the whole body: no byte-level vocabulary makes more tokens of it than this
    images: int
    max_output_tokens: int | None  # per choice; None if the client set no limit
    choices: int
    needs: frozenset[Capability]
    task: Task
    has_unbounded_parts: bool  # files, audio or video, whose tokens their bytes do not bound
    asks_one_hour_cache: bool
    is_stream: bool
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tightening:
    """What a request asks beyond its team's policy; it can only narrow it."""

    max_cost_usd: Decimal | None = None
    min_quality: float | None = None


NO_TIGHTENING = Tightening()


@dataclass(frozen=True, slots=True)
class Conditions:
    """The moment of a decision."""

    now: datetime  # aware, UTC
    unavailable: Mapping[DeploymentId, str] = field(default_factory=dict)  # why nobody should be sent there now
    seed: int = 0  # breaks exact ties, so that replicas with equal prices share the load, reproducibly
