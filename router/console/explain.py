"""Explain: who would serve a request, at what cost, how well, and why the others may not."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus

from router.console.asking import Answer, Asked
from router.console.drawing import Axis, money_axis
from router.console.explaining import Explained, Explaining
from router.console.rendering import colours
from router.console.sources import Sources
from router.decision.decide import Decision
from router.decision.eligibility import Candidate, Reason, Rejection
from router.decision.explain import notes, summary
from router.errors import CallerError, InvalidRequest, PenstockError
from router.gateway.past import Past, is_same
from router.keys import TeamName
from router.quality.predictor import Part
from router.units import nano_usd
from router.wire.controls import Controls

_WIDTH, _HEIGHT = 560.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 14.0, 14.0, 34.0
_MOST_PARTS = 3

EXAMPLE = '{"model": "auto", "messages": [{"role": "user", "content": "What is a penstock?"}]}'


@dataclass(frozen=True, slots=True)
class CandidateShown:
    rank: int
    candidate: Candidate
    expected_nano_usd: int
    worst_nano_usd: int
    parts: tuple[Part, ...]  # what moved its probability most

    @property
    def name(self) -> str:
        effort = self.candidate.arm.effort and self.candidate.effort_in_force
        model = self.candidate.deployment.model.name
        return model if effort is None else f"{model}@{effort.value}"


@dataclass(frozen=True, slots=True)
class Dot:
    """A candidate in the plot of quality over cost."""

    mark: str  # its rank; letters for those that have none
    model: str
    x: float
    y: float
    low: float | None  # the interval of its quality
    high: float | None
    kind: str  # chosen, eligible or rejected
    told: str
    quality: float
    nano_usd: int


@dataclass(frozen=True, slots=True)
class Plot:
    dots: list[Dot]
    bar_y: float | None  # where good enough begins
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    width: float = _WIDTH
    height: float = _HEIGHT
    left: float = _LEFT
    bottom: float = _HEIGHT - _BOTTOM
    top: float = _TOP
    right: float = _WIDTH - _RIGHT


@dataclass(frozen=True, slots=True)
class Shown:
    """A decision with what templates draw."""

    explained: Explained
    decision: Decision
    summary: tuple[str, ...]
    notes: tuple[str, ...]
    candidates: list[CandidateShown]
    rejected: tuple[Rejection, ...]
    plot: Plot | None
    past: Past | None
    is_same: bool


def shown_decision(explained: Explained, explaining: Explaining) -> Shown:
    plan = explained.plan
    decision = plan.decision
    candidates = [
        CandidateShown(
            rank=rank,
            candidate=each,
            expected_nano_usd=nano_usd(each.estimate.expected_usd),
            worst_nano_usd=nano_usd(each.estimate.worst_usd),
            parts=each.forecast.parts[:_MOST_PARTS] if each.forecast is not None else (),
        )
        for rank, each in enumerate(decision.ranked, start=1)
    ]
    refused = {(each.deployment, each.effort) for each in decision.rejected if each.reason is Reason.BELOW_QUALITY}
    all_of_them = explaining.without_bar(explained).decision.ranked if refused else ()
    weak = [each for each in all_of_them if (each.deployment.id, each.arm.effort) in refused]
    return Shown(
        explained=explained,
        decision=decision,
        summary=summary(decision, plan.profile),
        notes=notes(decision),
        candidates=candidates,
        rejected=decision.rejected,
        plot=_plot(list(decision.ranked), weak, decision.quality_bar),
        past=explained.past,
        is_same=explained.past is not None and is_same(explained.past, plan),
    )


def _plot(eligible: list[Candidate], weak: list[Candidate], bar: float) -> Plot | None:
    """Quality over expected cost; None where nobody has a figure."""
    both = [*eligible, *weak]
    if not both:
        return None
    costs = [float(each.estimate.expected_usd) for each in both]
    x_axis, x_ticks = money_axis(costs, begins=_LEFT + 8, ends=_WIDTH - _RIGHT - 8)
    lows = [each.forecast.low if each.forecast is not None else each.quality for each in both]
    y_axis = Axis(max(0.0, int(min([*lows, bar or 1.0]) * 10) / 10), 1.0, begins=_HEIGHT - _BOTTOM, ends=_TOP)
    dots = []
    for number, (each, cost) in enumerate(zip(both, costs, strict=True)):
        is_weak = number >= len(eligible)
        kind = "rejected" if is_weak else "chosen" if number == 0 else "eligible"
        forecast = each.forecast
        dots.append(
            Dot(
                mark=chr(ord("a") + (number - len(eligible)) % 26) if is_weak else str(number + 1),
                model=each.deployment.model.name,
                x=x_axis.at(cost) if cost > 0 or not x_axis.is_logarithmic else x_axis.begins,
                y=y_axis.at(each.quality),
                low=None if forecast is None else y_axis.at(forecast.low),
                high=None if forecast is None else y_axis.at(forecast.high),
                kind=kind,
                told=f"{each.id}: quality {each.quality:.3f}, expected ${cost:.6f}, {kind}",
                quality=each.quality,
                nano_usd=nano_usd(each.estimate.expected_usd),
            )
        )
    step = 0.05 if y_axis.low >= 0.75 else 0.1
    ticks = [y_axis.low + step * number for number in range(round((1.0 - y_axis.low) / step) + 1)]
    return Plot(
        dots=dots,
        bar_y=y_axis.at(bar) if bar else None,
        x_ticks=[(x_axis.at(tick), _tick(tick)) for tick in x_ticks],
        y_ticks=[(y_axis.at(tick), f"{tick:.2f}") for tick in ticks],
    )


def _tick(usd: float) -> str:
    return f"${Decimal(f'{usd:.6g}').normalize():f}"


class Explain:
    """`GET /explain`, `GET /explain?request=ID`; `POST /explain` with the page's own form."""

    def __init__(self, sources: Sources, explaining: Explaining) -> None:
        self._sources = sources
        self._explaining = explaining

    async def page(self, asked: Asked) -> Answer:
        fields = asked.query if asked.form is None else asked.form
        wrong: PenstockError | None = None
        explained: Explained | None = None
        try:
            explained = await self._answered(fields)
        except CallerError as error:
            wrong = error
        return Answer(
            "explain.html",
            {
                "path": "/explain",
                "fields": fields,
                "teams": self._sources.snapshot().teams,
                "decision": None if explained is None else shown_decision(explained, self._explaining),
                "wrong": wrong,
                "example": EXAMPLE,
                "colours": colours(self._sources.catalog()),
            },
            status=HTTPStatus.OK if wrong is None else wrong.status,
        )

    async def _answered(self, fields: Mapping[str, str]) -> Explained | None:
        if "request" in fields:
            return await self._explaining.past(fields["request"])
        if "body" not in fields:
            return None
        team, policy = fields.get("team", ""), fields.get("policy")
        if policy is not None:
            owner, _, policy = policy.partition("/")
            if owner != team:
                raise InvalidRequest(
                    f"The policy {policy[:60]!r} is of team {owner[:60]!r}; choose one of {team[:60]!r}, or the "
                    "alias's own.",
                    param="policy",
                )
        return await self._explaining.new(TeamName(team), fields["body"].encode(), Controls(policy=policy))
