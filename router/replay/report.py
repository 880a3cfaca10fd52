"""What a replay says: dollars then and now, routes that change, quality, and what is not known: `Report`.

Every entry stands in it: those that were judged, and those that were not, by reason, with what they cost then. The two
add up to what `penstock spend` says of the same period.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from router.replay.judge import Error, Judged, NotJudged
from router.units import usd_text

FORMAT = 1  # of the data; a change that breaks a reader raises it

_MOST_NAMES = 20  # of what is missing, per reason, in the report; the rest are counted together
_TWO_SIGMA = 2.0  # the range given holds the true figure about 19 times in 20, if errors are normal


@dataclass(slots=True)
class Sums:
    """Requests and nano-dollars."""

    requests: int = 0
    then_nano_usd: int = 0
    now_nano_usd: int = 0

    def add(self, then_nano_usd: int, now_nano_usd: int) -> None:
        self.requests += 1
        self.then_nano_usd += then_nano_usd
        self.now_nano_usd += now_nano_usd

    def as_data(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            **_dollars("then", self.then_nano_usd),
            **_dollars("now", self.now_nano_usd),
            **_dollars("saved", self.then_nano_usd - self.now_nano_usd),
        }


@dataclass(slots=True)
class Quality:
    """Mean predicted quality of the answered requests for which both figures are known."""

    requests: int = 0
    then: float = 0.0
    now: float = 0.0

    def add(self, then: float | None, now: float | None) -> None:
        if then is not None and now is not None:
            self.requests += 1
            self.then += then
            self.now += now

    def as_data(self) -> dict[str, Any]:
        means = (round(self.then / self.requests, 4), round(self.now / self.requests, 4)) if self.requests else None
        then, now = means or (None, None)
        return {"quality_then": then, "quality_now": now, "quality_known_of": self.requests}


@dataclass(slots=True)
class Spread:
    """How far the sum of estimates may be off: what errs together is added up, what errs alone cancels out."""

    requests: int = 0
    nano_usd: int = 0
    _common: defaultdict[object, float] = field(default_factory=lambda: defaultdict(float))
    _single: float = 0.0  # sum of squares

    def add(self, nano_usd: int, error: Error) -> None:
        self.requests += 1
        self.nano_usd += nano_usd
        self._common[error.cause] += error.common_nano_usd
        self._single += error.single_nano_usd**2

    @property
    def margin_nano_usd(self) -> int:
        return round(_TWO_SIGMA * sqrt(sum(each**2 for each in self._common.values()) + self._single))


@dataclass(slots=True)
class _Group:
    sums: Sums = field(default_factory=Sums)
    quality: Quality = field(default_factory=Quality)


@dataclass(slots=True)
class _Model:
    """A model's share of the judged requests."""

    calls_then: int = 0
    then_nano_usd: int = 0
    calls_now: int = 0
    now_nano_usd: int = 0


@dataclass(slots=True)
class _Missing:
    requests: int = 0
    then_nano_usd: int = 0
    about: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))


class Report:
    """Adds up verdicts, in whatever order they come. Its size depends on the configuration, not on the ledger."""

    def __init__(self) -> None:
        self._all = _Group()
        self._spread = Spread()
        self._teams: defaultdict[str, _Group] = defaultdict(_Group)
        self._models: defaultdict[str, _Model] = defaultdict(_Model)
        self._routes: defaultdict[tuple[str, str, str], _Group] = defaultdict(_Group)
        self._missing: defaultdict[str, _Missing] = defaultdict(_Missing)
        self._decided = 0
        self._same = 0

    def add(self, verdict: Judged | NotJudged) -> None:
        if verdict.is_same is not None:
            self._decided += 1
            self._same += verdict.is_same
        if isinstance(verdict, NotJudged):
            self._add_missing(verdict)
        else:
            self._add_judged(verdict)

    @property
    def requests(self) -> int:
        return self._all.sums.requests + sum(each.requests for each in self._missing.values())

    def as_data(self) -> dict[str, Any]:
        """JSON-ready; dollars are strings, nano-dollars integers. docs/replay.md says what each member means."""
        margin = self._spread.margin_nano_usd
        now = self._all.sums.now_nano_usd
        unjudged_nano_usd = sum(each.then_nano_usd for each in self._missing.values())
        return {
            "format": FORMAT,
            "requests": self.requests,
            **_dollars("then", self._all.sums.then_nano_usd + unjudged_nano_usd),
            "decided_again": self._decided,
            "decided_the_same": self._same,
            "judged": {
                **self._all.sums.as_data(),
                **_dollars("now_low", max(now - margin, now - self._spread.nano_usd)),
                **_dollars("now_high", now + margin),
                "estimated": {"requests": self._spread.requests, **_dollars("now", self._spread.nano_usd)},
                **self._all.quality.as_data(),
            },
            "not_judged": [
                {
                    "reason": reason,
                    "requests": each.requests,
                    **_dollars("then", each.then_nano_usd),
                    "about": _most(each.about),
                }
                for reason, each in sorted(self._missing.items(), key=lambda item: -item[1].requests)
            ],
            "teams": [{"team": team, **_group(each)} for team, each in _dearest(self._teams.items())],
            "models": [
                {
                    "model": model,
                    "calls_then": each.calls_then,
                    **_dollars("then", each.then_nano_usd),
                    "calls_now": each.calls_now,
                    **_dollars("now", each.now_nano_usd),
                }
                for model, each in sorted(
                    self._models.items(), key=lambda item: (-item[1].then_nano_usd, -item[1].now_nano_usd, item[0])
                )
            ],
            "routes": [
                {"team": team, "from": then, "to": now, **_group(each)}
                for (team, then, now), each in _dearest(self._routes.items())
            ],
        }

    def _add_judged(self, verdict: Judged) -> None:
        then, now = verdict.then_nano_usd, verdict.now_nano_usd
        groups = [self._all, self._teams[verdict.team]]
        if verdict.then != verdict.now:
            groups.append(self._routes[verdict.team, verdict.then or "nobody", verdict.now or "nobody"])
        for group in groups:
            group.sums.add(then, now)
            group.quality.add(verdict.quality_then, verdict.quality_now)
        for model, nano_usd in verdict.spent:
            self._models[model].calls_then += 1
            self._models[model].then_nano_usd += nano_usd
        for model, nano_usd in verdict.would_spend:
            self._models[model].calls_now += 1
            self._models[model].now_nano_usd += nano_usd
        if verdict.error is not None:
            self._spread.add(now, verdict.error)

    def _add_missing(self, verdict: NotJudged) -> None:
        missing = self._missing[verdict.reason]
        missing.requests += 1
        missing.then_nano_usd += verdict.then_nano_usd
        about = verdict.about if verdict.about in missing.about or len(missing.about) < _MOST_NAMES else "others"
        missing.about[about] += 1


def _group(group: _Group) -> dict[str, Any]:
    return {**group.sums.as_data(), **group.quality.as_data()}


def _dearest(groups: Iterable[tuple[Any, _Group]]) -> list[tuple[Any, _Group]]:
    """By what changes most, then by what cost most, then by name."""
    return sorted(
        groups,
        key=lambda item: (
            -abs(item[1].sums.then_nano_usd - item[1].sums.now_nano_usd),
            -item[1].sums.then_nano_usd,
            item[0],
        ),
    )


def _most(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(((name, count) for name, count in counts.items() if name), key=lambda item: -item[1]))


def _dollars(name: str, nano_usd: int) -> dict[str, Any]:
    return {f"{name}_nano_usd": nano_usd, f"{name}_usd": usd_text(nano_usd)}
