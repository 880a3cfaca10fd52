"""`litellm_settings`, `router_settings`, `general_settings` and what else stands beside `model_list`.

Keys are those of LiteLLM 1.110.2 (`__init__.py`, `types/router.py`, `proxy/_types.py`, read 2026-11-30).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal

from router.cli.litellm.accounts import variable_in
from router.cli.litellm.findings import Findings, Path, Verdict, name
from router.cli.litellm.known import CALLBACKS, NO_CALLBACK, OF_SETTINGS, OF_TOP, note_on
from router.cli.litellm.source import is_on
from router.quotas import Per

# `litellm_core_utils/duration_parser.py`: a number and one of these.
_DURATION = re.compile(r"(\d{1,6})(s|m|h|d|w|mo)")
_SECONDS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "mo": 2_592_000}
_WINDOWS: Sequence[tuple[int, Per]] = (
    (2_592_000, Per.MONTH),
    (604_800, Per.WEEK),
    (86_400, Per.DAY),
    (3_600, Per.HOUR),
    (60, Per.MINUTE),
)
_MOST_USD = Decimal(9_007_199)  # what a budget may be: 2^53 nano-dollars
_NANO = Decimal("0.000000001")
_MOST_COUNT = 1_000_000_000_000
_MOST_SECONDS = 86_400
_CACHE_S = 600  # our choice where the config names no ttl
_MOST_CACHE_S = 30 * 86_400
_MOST_FIRST_TOKEN_S = 600
_MEGABYTE = 1_048_576
_MOST_BODY_BYTES = 1_073_741_824
_SECTIONS = ("litellm_settings", "router_settings", "general_settings")
_SEMANTIC = ("redis-semantic", "qdrant-semantic", "valkey-semantic")


@dataclass(frozen=True, slots=True)
class Budget:
    limit_usd: Decimal
    per: Per
    is_exact: bool = True  # the window is as long as the config says


@dataclass(slots=True)
class Allowance:
    """Of the team, or of each of its keys."""

    budgets: list[Budget] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Terms:
    """What the settings come to."""

    team: Allowance = field(default_factory=Allowance)
    each_key: Allowance = field(default_factory=Allowance)
    cache_s: Decimal | None = None
    first_byte_s: Decimal | None = None
    first_token_s: Decimal | None = None
    max_body_bytes: int | None = None
    aliases: dict[str, str] = field(default_factory=dict)  # of a group, by another name
    fallbacks: dict[str, list[str]] = field(default_factory=dict)  # by group
    for_all: list[str] = field(default_factory=list)  # fallbacks of every group


def terms_of(config: Mapping[str, object], findings: Findings, *, variables: frozenset[str]) -> Terms:
    """What becomes of everything but `model_list`. `variables`: those that providers' keys are found in."""
    reader = _Reader(config, findings)
    for section in _SECTIONS:
        reader.section(section)
    _beside(config, findings, variables)
    return reader.terms


def credentials_in(config: Mapping[str, object], findings: Findings) -> dict[str, dict[str, object]]:
    """`credential_list`: addresses and keys that deployments name by `litellm_credential_name`."""
    entries = config.get("credential_list")
    found: dict[str, dict[str, object]] = {}
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        values = entry.get("credential_values") if isinstance(entry, dict) else None
        called = entry.get("credential_name") if isinstance(entry, dict) else None
        if isinstance(values, dict) and isinstance(called, str):
            found[called] = {key: values[key] for key in ("api_key", "api_base") if key in values}
            findings.converted(("credential_list", number), "address and key of the deployments that name it")
    return found


def _beside(config: Mapping[str, object], findings: Findings, variables: frozenset[str]) -> None:
    for key, value in config.items():
        if key in ("model_list", *_SECTIONS):
            continue
        if key == "include":
            findings.converted((key,), "the files were read, and are part of this report")
        elif key == "environment_variables" and isinstance(value, dict):
            for variable in value:
                _environment(findings, (key, variable), variable, variables)
        elif key != "credential_list" or not isinstance(value, list):
            note = note_on(key, OF_TOP)
            findings.add((key,), note.verdict, note.what)


def _environment(findings: Findings, path: Path, variable: str, variables: frozenset[str]) -> None:
    if variable in variables:
        findings.approximated(path, f"not copied, as it may be a secret: set {name(variable)} for the process itself")
    else:
        findings.no_equal(path, "not copied, as it may be a secret; nothing that was converted reads it")


class _Reader:
    def __init__(self, config: Mapping[str, object], findings: Findings) -> None:
        self._config = config
        self._findings = findings
        self.terms = Terms()
        self._readers: Mapping[str, Callable[[Path, object], None]] = {
            "fallbacks": self._fallbacks,
            "context_window_fallbacks": self._fallbacks,
            "default_fallbacks": self._default_fallbacks,
            "model_group_alias": self._aliases,
            "model_alias_map": self._aliases,
            "callbacks": self._callbacks,
            "success_callback": self._callbacks,
            "failure_callback": self._callbacks,
            "audit_log_callbacks": self._callbacks,
            "default_key_generate_params": self._each_key,
            "routing_strategy": self._strategy,
            "request_timeout": self._first_byte,
            "timeout": self._first_byte,
            "stream_timeout": self._first_token,
            "max_parallel_requests": self._concurrent,
            "global_max_parallel_requests": self._concurrent,
            "max_request_size_mb": self._body,
        }

    def section(self, section: str) -> None:
        values = self._config.get(section)
        if not isinstance(values, dict):
            if section in self._config:
                self._findings.no_equal((section,), "nothing is in it" if values is None else "expected a mapping")
            return
        self._budget((section,), values, self.terms.team, "the team's budget")
        for key, value in values.items():
            self._setting((section, key), key, value, values)

    def _setting(self, path: Path, key: str, value: object, beside: Mapping[str, object]) -> None:
        if key in ("max_budget", "budget_duration") or (key == "cache_params" and is_on(beside.get("cache"))):
            return  # read together, or with `cache`
        if key == "cache":
            self._cache(path, value, beside.get("cache_params"))
        elif (read := self._readers.get(key)) is not None:
            read(path, value)
        else:
            note = note_on(key, OF_SETTINGS)
            self._findings.add(path, note.verdict, note.what)

    # Money and limits

    def _budget(self, path: Path, values: Mapping[str, object], allowance: Allowance, whose: str) -> None:
        limit, duration = _number(values.get("max_budget")), values.get("budget_duration")
        if "max_budget" not in values:
            if "budget_duration" in values:
                self._findings.no_equal((*path, "budget_duration"), "no max_budget is beside it")
            return
        budget = None if limit is None else _budget(limit, duration)
        if budget is None:  # the limit is no sum, or the duration none
            self._findings.no_equal(
                (*path, "max_budget"), "expected dollars from 0 to 9007199; write `budgets` into the team's file"
            )
            if "budget_duration" in values:
                self._findings.no_equal((*path, "budget_duration"), "of no budget")
            return
        allowance.budgets.append(budget)
        told = f"{whose}: {_plain(budget.limit_usd)} dollars a {budget.per.value}, that hold"
        if duration is None:
            self._findings.approximated(
                (*path, "max_budget"), f"{told}; it was without an end, and now is of each month"
            )
            return
        if budget.is_exact:
            self._findings.converted((*path, "max_budget"), told)
            self._findings.approximated(
                (*path, "budget_duration"), f"a {budget.per.value} begins by the calendar, in the team's time zone"
            )
            return
        self._findings.approximated((*path, "max_budget"), f"{told}: its part of the sum for {name(str(duration))}")
        self._findings.approximated(
            (*path, "budget_duration"), f"the nearest shorter window, a {budget.per.value}, by the calendar"
        )

    def _each_key(self, path: Path, value: object) -> None:
        if not isinstance(value, dict):
            self._findings.no_equal(path, "expected a mapping")
            return
        self._budget(path, value, self.terms.each_key, "each key's budget")
        limits = {
            "rpm_limit": "requests_per_minute",
            "tpm_limit": "tokens_per_minute",
            "max_parallel_requests": "concurrent",
        }
        for key, each in value.items():
            if key in limits:
                self._limit(
                    (*path, key), each, self.terms.each_key, limits[key], f"each_key.limits.{limits[key]} of the team"
                )
            elif key not in ("max_budget", "budget_duration"):
                self._findings.no_equal(
                    (*path, key), "not of keys; what a team may ask for, and how, stands in its file"
                )

    def _concurrent(self, path: Path, value: object) -> None:
        self._limit(path, value, self.terms.team, "concurrent", "limits.concurrent of the team")

    def _limit(self, path: Path, value: object, allowance: Allowance, limit: str, what: str) -> None:
        number = _number(value)
        if number is None or not 1 <= number <= _MOST_COUNT:
            self._findings.no_equal(path, "expected a number from 1 on")
            return
        allowance.limits[limit] = min(int(number), allowance.limits.get(limit, _MOST_COUNT))
        self._findings.converted(path, what)

    # Who is asked

    def _fallbacks(self, path: Path, value: object) -> None:
        """Groups that are asked where one fails; for one that fails and for a prompt that is too long it is all one."""
        entries = value if isinstance(value, list) else []
        pairs = [(group, to) for entry in entries if isinstance(entry, dict) for group, to in entry.items()]
        if not isinstance(value, list) or not all(isinstance(to, list) for _, to in pairs):
            self._findings.no_equal(path, "expected a list of {group: [groups]}")
            return
        if not pairs:
            self._findings.no_equal(path, "nothing is in it")
            return
        for group, to in pairs:
            target = self.terms.for_all if group == "*" else self.terms.fallbacks.setdefault(group, [])
            target += [each for each in _groups(to) if each not in target]
        self._findings.approximated(
            path,
            "further candidates of the group's policy, asked where its own may not serve or fail; among themselves the "
            "cheapest first, not in the order given",
        )

    def _default_fallbacks(self, path: Path, value: object) -> None:
        if not isinstance(value, list):
            self._findings.no_equal(path, "expected a list of groups")
            return
        self.terms.for_all += [each for each in _groups(value) if each not in self.terms.for_all]
        self._findings.approximated(path, "further candidates of every policy, the cheapest first")

    def _aliases(self, path: Path, value: object) -> None:
        if not isinstance(value, dict):
            self._findings.no_equal(path, "expected a mapping")
            return
        for alias, to in value.items():
            target = to.get("model") if isinstance(to, dict) else to
            if isinstance(target, str):
                self.terms.aliases[alias] = target
                if isinstance(to, dict) and is_on(to.get("hidden")):
                    self._findings.approximated((*path, alias), f"alias {name(alias)}; /v1/models shows it too")
                else:
                    self._findings.converted((*path, alias), f"alias {name(alias)}")
            else:
                self._findings.no_equal((*path, alias), "expected the name of a group")

    def _strategy(self, path: Path, value: object) -> None:
        told = {
            "cost-based-routing": (Verdict.CONVERTED, "objective: cheapest"),
            "simple-shuffle": (
                Verdict.APPROXIMATED,
                "requests are not spread: the cheapest that is good enough is asked; shares are `weights` of a policy",
            ),
            "latency-based-routing": (
                Verdict.APPROXIMATED,
                "the cheapest that is good enough; max_latency_ms of a policy leaves out who is too slow",
            ),
        }
        usual = (
            Verdict.NO_EQUAL,
            "load is not spread: the cheapest that is good enough is asked, and who is busy is passed over",
        )
        verdict, what = told.get(value if isinstance(value, str) else "", usual)
        self._findings.add(path, verdict, what)

    # Patience, sizes

    def _first_byte(self, path: Path, value: object) -> None:
        seconds = _number(value)
        if seconds is None or not 0 < seconds <= _MOST_SECONDS:
            self._findings.no_equal(path, f"expected seconds, at most {_MOST_SECONDS}; `timeouts` in penstock.yaml")
            return
        self.terms.first_byte_s = min(seconds, self.terms.first_byte_s or seconds)
        self._findings.approximated(
            path,
            "timeouts.first_byte_s in penstock.yaml: until an answer begins, not until it ends; the shortest counts",
        )

    def _first_token(self, path: Path, value: object) -> None:
        seconds = _number(value)
        if seconds is None or not 0 < seconds <= _MOST_FIRST_TOKEN_S:
            self._findings.no_equal(
                path, f"first_token_timeout_s of a policy takes at most {_MOST_FIRST_TOKEN_S} seconds"
            )
            return
        self.terms.first_token_s = seconds
        self._findings.approximated(path, "first_token_timeout_s of every policy: then the next candidate is asked")

    def _body(self, path: Path, value: object) -> None:
        size = _number(value)
        if size is None or not 0 < size * _MEGABYTE <= _MOST_BODY_BYTES:
            self._findings.no_equal(path, "expected at most 1024; max_body_bytes in penstock.yaml")
            return
        self.terms.max_body_bytes = max(int(size * _MEGABYTE), 1_024)
        self._findings.converted(path, "max_body_bytes in penstock.yaml")

    # The rest

    def _cache(self, path: Path, value: object, params: object) -> None:
        if not is_on(value):
            self._findings.converted(path, "none: the team's file has no `cache`")
            return
        known = params if isinstance(params, dict) else {}
        where = (*path[:-1], "cache_params")
        if known.get("type") in _SEMANTIC:
            self._findings.no_equal(path, "answers are given again to the same request only, never to a similar one")
            if params is not None:
                self._findings.no_equal(where, "of no cache")
            return
        ttl = _number(known.get("ttl"))
        self.terms.cache_s = min(ttl, Decimal(_MOST_CACHE_S)) if ttl is not None and ttl > 0 else Decimal(_CACHE_S)
        self._findings.approximated(
            path,
            f"`cache` in the team's file, for {_plain(self.terms.cache_s)} s: of the team alone, whatever the "
            "temperature, kept in the process or in Penstock's own Redis (docs/answers-again.md)",
        )
        if params is not None:
            self._findings.approximated(where, "ttl alone is taken; where answers are kept is Penstock's to say")

    def _callbacks(self, path: Path, value: object) -> None:
        if not isinstance(value, list):
            note = NO_CALLBACK if not isinstance(value, str) else CALLBACKS.get(value, NO_CALLBACK)
            self._findings.add(path, note.verdict, note.what)
            return
        for number, each in enumerate(value):
            note = CALLBACKS.get(each, NO_CALLBACK) if isinstance(each, str) else NO_CALLBACK
            self._findings.add((*path, number), note.verdict, note.what)


def _budget(limit: Decimal, duration: object) -> Budget | None:
    """The budget in the longest window that is no longer than the duration, with its part of the sum."""
    if not 0 <= limit <= _MOST_USD:
        return None
    if duration is None:
        return Budget(_whole_nano(limit), Per.MONTH)
    found = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    if found is None or int(found[1]) == 0:
        return None
    seconds = int(found[1]) * _SECONDS[found[2]]
    window, per = next(((length, per) for length, per in _WINDOWS if length <= seconds), _WINDOWS[-1])
    part = Decimal(1) if seconds < window else Decimal(window) / Decimal(seconds)
    return Budget(_whole_nano(limit * part), per, is_exact=seconds == window)


def _whole_nano(usd: Decimal) -> Decimal:
    return usd.quantize(_NANO, rounding=ROUND_DOWN)


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _groups(names: Sequence[object]) -> list[str]:
    """Fallbacks are named, or mappings with `model` and what else is to be sent."""
    told = (each.get("model") if isinstance(each, dict) else each for each in names)
    return [each for each in told if isinstance(each, str)]


def _number(value: object) -> Decimal | None:
    """A number, also one in quotes, as LiteLLM takes it."""
    if isinstance(value, bool) or variable_in(value) is not None:
        return None
    if isinstance(value, str) and re.fullmatch(r"\d{1,15}(\.\d{1,9})?", value):
        return Decimal(value)
    return Decimal(value) if isinstance(value, int | Decimal) else None
