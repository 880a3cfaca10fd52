"""How fast deployments have been lately: `Latencies`, decayed medians of what streams have shown.

Two groups learn from every stream: the team's own at that deployment, and all of it there. A team with few streams
leans on the wider group, one with many is not concerned by what others ask.
"""

from collections.abc import Iterator
from typing import Any

from router.catalog.catalog import DeploymentId
from router.decision.facts import Latency
from router.learning.sketch import Sketch

_ENOUGH = 5.0  # streams before a median is given: one cold start says nothing
_LEAN = 10.0  # how many streams of its own the wider group is worth to a team
_ALONE = 40.0  # a team with so many of its own speaks for itself

_Key = tuple[str, DeploymentId]  # a team, and what answered it; the empty one stands for all
_ALL = ""


class _Pace:
    __slots__ = ("first_token_s", "latency", "share", "tokens_per_s")

    def __init__(self, first_token_s: Sketch, tokens_per_s: Sketch) -> None:
        self.first_token_s = first_token_s
        self.tokens_per_s = tokens_per_s
        self.latency: Latency | None = None
        self.share = 0.0  # of what is told; the rest is the wider group's
        self.refresh()

    def refresh(self) -> None:
        weight = min(self.first_token_s.weight, self.tokens_per_s.weight)
        if weight >= _ENOUGH:
            self.share = weight / (weight + _LEAN) if weight < _ALONE else 1.0
            self.latency = Latency(self.first_token_s.quantile(0.5), self.tokens_per_s.quantile(0.5))


class Latencies:
    """As many as the catalog has deployments, for each team and for all."""

    def __init__(self) -> None:
        self._paces: dict[_Key, _Pace] = {}

    def latency(self, deployment: DeploymentId, team: str) -> Latency | None:
        """What the team has to expect there; None if too few streams came from there."""
        everybody, own = self._paces.get((_ALL, deployment)), self._paces.get((team, deployment))
        general = None if everybody is None else everybody.latency
        if own is None or own.latency is None:
            return general
        if general is None or own.share == 1.0:
            return own.latency
        return Latency(
            general.first_token_s + own.share * (own.latency.first_token_s - general.first_token_s),
            general.output_tokens_per_s + own.share * (own.latency.output_tokens_per_s - general.output_tokens_per_s),
        )

    def observe(
        self, deployment: DeploymentId, team: str, *, first_token_s: float, output_tokens: int, writing_s: float
    ) -> None:
        """A stream of the team's began after `first_token_s` and wrote so many tokens in the `writing_s` after that."""
        for key in {(_ALL, deployment), (team, deployment)}:
            pace = self._paces.setdefault(key, _Pace(Sketch(), Sketch()))
            pace.first_token_s.add(first_token_s)
            if writing_s > 0 and output_tokens > 1:
                pace.tokens_per_s.add(output_tokens / writing_s)
            pace.refresh()

    def forget(self, deployments: "set[DeploymentId]") -> None:
        for key in [key for key in self._paces if key[1] in deployments]:
            del self._paces[key]

    def known(self) -> set[DeploymentId]:
        return {deployment for _, deployment in self._paces}

    def as_data(self) -> Iterator[list[Any]]:
        """JSON-ready, one deployment and team after the other."""
        for (team, deployment), pace in list(self._paces.items()):
            yield [deployment, team, pace.first_token_s.as_data(), pace.tokens_per_s.as_data()]

    def take(self, data: list[Any]) -> None:
        """What `as_data` gave. Raises ValueError or TypeError if it is not."""
        deployment, team, first_token_s, tokens_per_s = data
        pace = _Pace(Sketch.from_data(first_token_s), Sketch.from_data(tokens_per_s))
        self._paces[(str(team), DeploymentId(deployment))] = pace
