"""Teams: what each file says, in words; where its money stands; who holds keys."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import partial

from router.config.snapshot import Team
from router.console.asking import Answer, Asked
from router.console.off_loop import OffLoop
from router.console.overview import BudgetLine, budget_lines, range_named, spend_chart
from router.console.rendering import colours
from router.console.sources import Sources
from router.decision.data_rules import NO_DATA_RULES, DataRules
from router.decision.matching import Match
from router.decision.policy import MIDDLE, Objective, Policy, QualityFloor, Rule
from router.errors import InvalidRequest
from router.keys import ApiKey, TeamName
from router.quality.verify import Check
from router.quotas import Limits
from router.storage.browsing import Browser, Sum, Totals

_LOOKED_BACK = timedelta(days=30)


class UnknownTeam(InvalidRequest):
    status = 404
    code = "unknown_team"


@dataclass(frozen=True, slots=True)
class TeamLine:
    """A team in the list."""

    team: Team
    totals: Totals
    budgets: list[BudgetLine]
    keys: int


@dataclass(frozen=True, slots=True)
class KeyShown:
    """A key by what is public of it."""

    key: ApiKey
    last_used: datetime | None
    state: str  # valid, rotating, expired or revoked
    may: list[str]  # less than its team, in words; empty: as much


@dataclass(frozen=True, slots=True)
class PolicyShown:
    policy: Policy
    terms: list[tuple[str, str]]
    rules: list[tuple[str, str, list[tuple[str, str]]]]  # name, when, what differs
    aliases: list[str]


class Teams:
    """`GET /teams` and `GET /teams/{name}`."""

    def __init__(self, sources: Sources, off_loop: OffLoop) -> None:
        self._sources = sources
        self._browser = Browser(sources.store)
        self._off_loop = off_loop

    async def page(self, _: Asked) -> Answer:
        sources = self._sources
        now, snapshot = sources.now(), sources.snapshot()
        sums, keys = await self._off_loop(lambda: (self._sums(now), sources.store.all()))
        used = {each.group[0]: each.totals for each in sums}
        lines = budget_lines(sources.budgets(), snapshot, now)
        return Answer(
            "teams.html",
            {
                "path": "/teams",
                "teams": [
                    TeamLine(
                        team=team,
                        totals=used.get(name, Totals()),
                        budgets=[each for each in lines if each.state.scope.team == name and each.whose == "team"],
                        keys=sum(key.team == name and key.is_valid_at(now) for key in keys),
                    )
                    for name, team in snapshot.teams.items()
                ],
                "days": _LOOKED_BACK.days,
            },
        )

    async def one(self, asked: Asked) -> Answer:
        sources = self._sources
        name = asked.path.removeprefix("/teams/")
        now, snapshot, catalog = sources.now(), sources.snapshot(), sources.catalog()
        team = snapshot.teams.get(TeamName(name))
        if team is None:
            raise UnknownTeam(f"There is no team {name[:60]!r}. There are: {', '.join(snapshot.teams)}.")
        shown = range_named("30d")
        by_model, over_time, keys = await self._off_loop(partial(self._found, name, now))
        colour_of = colours(catalog)
        return Answer(
            "team.html",
            {
                "path": "/teams",
                "team": team,
                "budgets": [
                    each for each in budget_lines(sources.budgets(), snapshot, now) if each.state.scope.team == name
                ],
                "limits": limits_told(team.limits),
                "key_limits": limits_told(team.each_key.limits),
                "data": data_told(team.guard.data),
                "policies": [_policy_shown(policy, team) for policy in team.policies.values()],
                "pinned": [(alias, its) for alias, its in team.aliases.items() if its.name not in team.policies],
                "keys": keys,
                "by_model": by_model,
                "chart": spend_chart(over_time, shown, now, colour_of),
                "range": shown,
                "colours": colour_of,
                "days": _LOOKED_BACK.days,
                "totals": _sum_of(by_model),
            },
        )

    def _sums(self, now: datetime) -> list[Sum]:
        return self._browser.totals("day", _first_day(now), by=("team",))

    def _found(self, name: str, now: datetime) -> tuple[list[Sum], list[Sum], list[KeyShown]]:
        by_model = self._browser.totals("day", _first_day(now), by=("model",), team=name)
        over_time = self._browser.totals("day", range_named("30d").since(now), by=("starts", "model"), team=name)
        uses = self._browser.key_uses()
        keys = [
            KeyShown(key, uses.get(key.id), _state(key, now), _may(key))
            for key in self._sources.store.all()
            if key.team == name
        ]
        return by_model, over_time, sorted(keys, key=lambda each: (not each.key.is_valid_at(now), each.key.created_at))


def _first_day(now: datetime) -> datetime:
    return (now - _LOOKED_BACK).replace(hour=0, minute=0, second=0, microsecond=0)


def _sum_of(sums: list[Sum]) -> Totals:
    return Totals(*(sum(getattr(each.totals, name) for each in sums) for name in Totals.__struct_fields__))


def _state(key: ApiKey, now: datetime) -> str:
    if key.is_valid_at(now):
        return "rotating" if key.former is not None and now < key.former.until else "valid"
    return "revoked" if key.revoked_at is not None else "unreadable" if key.scope is None else "expired"


def _may(key: ApiKey) -> list[str]:
    return ["nothing: a later version made it"] if key.scope is None else key.scope.told()


def limits_told(limits: Limits) -> list[tuple[str, str]]:
    named = (
        ("requests a minute", limits.requests_per_minute),
        ("tokens a minute", limits.tokens_per_minute),
        ("at the same time", limits.concurrent),
    )
    return [(name, f"{value:,}") for name, value in named if value is not None]


def data_told(rules: DataRules) -> list[str]:
    """What is demanded of whoever gets a prompt, in words."""
    if rules == NO_DATA_RULES:
        return []
    told = []
    if rules.zdr:
        told.append("nothing is kept once the answer is out")
    if rules.deny_collection:
        told.append("nothing is stored for a provider's own use")
    if rules.regions is not None:
        told.append(f"processed in {', '.join(sorted(rules.regions))} only")
    if rules.only is not None:
        told.append(f"seen by {', '.join(sorted(rules.only))} alone")
    if rules.ignore:
        told.append(f"never seen by {', '.join(sorted(rules.ignore))}")
    return told


def _policy_shown(policy: Policy, team: Team) -> PolicyShown:
    terms = [("objective", _objective(policy.objective)), ("good enough", _floor(policy.floor))]
    if policy.confidence != MIDDLE:
        terms.append(("with confidence", f"{policy.confidence:g}"))
    if policy.max_cost_usd is not None:
        terms.append(("at most, a request", f"${policy.max_cost_usd.normalize():f}"))
    if policy.verify:
        terms.append(("answers are checked for", _checks(policy.verify)))
    if policy.max_latency_ms is not None:
        terms.append(("expected within", f"{policy.max_latency_ms:,} ms"))
    if policy.max_reasoning_effort is not None:
        terms.append(("reasoning effort, at most", policy.max_reasoning_effort.value))
    if policy.weights:
        terms.append(("shares", ", ".join(f"{name} {share:.0%}" for name, share in policy.weights)))
    if policy.explore:
        terms.append(("explores", f"{policy.explore:.1%} of conversations"))
    if policy.shadow is not None:
        terms.append(("shadow", f"{policy.shadow.model}, {policy.shadow.share:.0%} of requests"))
    if told := data_told(policy.data):
        terms.append(("data", "; ".join(told)))
    return PolicyShown(
        policy=policy,
        terms=terms,
        rules=[(rule.name, _when(rule.when), _differs(rule)) for rule in policy.rules],
        aliases=[alias for alias, its in team.aliases.items() if its.name == policy.name],
    )


def _objective(objective: Objective) -> str:
    return {
        Objective.CHEAPEST: "the cheapest that is good enough",
        Objective.BEST: "the best",
        Objective.VALUE: "most quality for its money",
    }[objective]


def _floor(floor: QualityFloor | None) -> str:
    if floor is None:
        return "any quality"
    if floor.of == "best_candidate":
        return f"{floor.at_least:.0%} of the best candidate"
    return f"a probability of {floor.at_least:g}"


def _differs(rule: Rule) -> list[tuple[str, str]]:
    """What the rule puts in place of its policy's terms."""
    named = [
        ("candidates", rule.candidates and ", ".join(rule.candidates)),
        ("objective", rule.objective and _objective(rule.objective)),
        ("good enough", rule.floor and _floor(rule.floor)),
        ("at most, a request", None if rule.max_cost_usd is None else f"${rule.max_cost_usd.normalize():f}"),
        ("answers are checked for", None if rule.verify is None else _checks(rule.verify)),
        ("expected within", rule.max_latency_ms and f"{rule.max_latency_ms:,} ms"),
        ("reasoning effort", rule.reasoning_effort and rule.reasoning_effort.value),
        ("reasoning effort, at most", rule.max_reasoning_effort and rule.max_reasoning_effort.value),
        ("providers", None if rule.only_providers is None else ", ".join(sorted(rule.only_providers)) or "none"),
        ("data", "; ".join(data_told(rule.data))),
    ]
    told = [(name, value) for name, value in named if value]
    return told or [("otherwise", "as the policy")]


def _checks(checks: tuple[Check, ...]) -> str:
    return ", ".join(check.kind.value for check in checks) or "nothing"


def _when(match: Match) -> str:
    """The conditions in words."""
    told = [
        text
        for value, text in (
            (match.input_tokens_over, f"more than {match.input_tokens_over or 0:,} input tokens"),
            (match.input_tokens_under, f"fewer than {match.input_tokens_under or 0:,} input tokens"),
            (match.difficulty_over, f"difficulty above {match.difficulty_over or 0:g}"),
            (match.difficulty_under, f"difficulty below {match.difficulty_under or 0:g}"),
        )
        if value is not None
    ]
    sets = (
        ("task is", match.tasks),
        ("it needs", match.needs),
        ("it asks for", match.aliases),
        ("it is tagged", match.tags),
        ("language is", match.languages),
        ("input is", match.modalities),
    )
    for what, names in sets:
        if names:
            told.append(f"{what} {_either(names)}")
    if match.schedule is not None:
        hours = ", ".join(f"{begins:%H:%M} to {ends:%H:%M}" for begins, ends in match.schedule.hours) or "all day"
        days = ", ".join(sorted(day.value for day in match.schedule.weekdays)) or "every day"
        told.append(f"it is {hours}, {days} ({match.schedule.zone.key})")
    return " and ".join(told) or "always"


def _either(names: "frozenset[Enum] | frozenset[str]") -> str:
    return " or ".join(sorted(str(each.value) if isinstance(each, Enum) else each for each in names))
