"""How fast deployments have been lately: `Latencies`, decayed medians of what streams have shown."""

from collections.abc import Iterator
from typing import Any

from router.catalog.catalog import DeploymentId
from router.decision.facts import Latency
from router.learning.sketch import Sketch

_ENOUGH = 5.0  # streams before a median is given: one cold start says nothing


class _Pace:
    __slots__ = ("first_token_s", "latency", "tokens_per_s")

    def __init__(self, first_token_s: Sketch, tokens_per_s: Sketch) -> None:
        self.first_token_s = first_token_s
        self.tokens_per_s = tokens_per_s
        self.latency: Latency | None = None
        self.refresh()

    def refresh(self) -> None:
        if min(self.first_token_s.weight, self.tokens_per_s.weight) >= _ENOUGH:
            self.latency = Latency(self.first_token_s.quantile(0.5), self.tokens_per_s.quantile(0.5))


class Latencies:
    """As many as the catalog has deployments."""

    def __init__(self) -> None:
        self._paces: dict[DeploymentId, _Pace] = {}

    def latency(self, deployment: DeploymentId) -> Latency | None:
        """None if too few streams came from there."""
        pace = self._paces.get(deployment)
        return None if pace is None else pace.latency

    def observe(self, deployment: DeploymentId, *, first_token_s: float, output_tokens: int, writing_s: float) -> None:
        """A stream began after `first_token_s` and wrote so many tokens in the `writing_s` after that."""
        pace = self._paces.setdefault(deployment, _Pace(Sketch(), Sketch()))
        pace.first_token_s.add(first_token_s)
        if writing_s > 0 and output_tokens > 1:
            pace.tokens_per_s.add(output_tokens / writing_s)
        pace.refresh()

    def forget(self, deployments: "set[DeploymentId]") -> None:
        for deployment in deployments:
            self._paces.pop(deployment, None)

    def known(self) -> list[DeploymentId]:
        return list(self._paces)

    def as_data(self) -> Iterator[list[Any]]:
        """JSON-ready, one deployment after the other."""
        for deployment, pace in list(self._paces.items()):
            yield [deployment, pace.first_token_s.as_data(), pace.tokens_per_s.as_data()]

    def take(self, data: list[Any]) -> None:
        """A deployment from `as_data`. Raises ValueError or TypeError if it is none."""
        deployment, first_token_s, tokens_per_s = data
        self._paces[DeploymentId(deployment)] = _Pace(Sketch.from_data(first_token_s), Sketch.from_data(tokens_per_s))
