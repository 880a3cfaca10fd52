"""One whole configuration, validated and immutable. A request keeps the snapshot it began with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from router.catalog.catalog import Catalog, ModelName, Named, Provider, ProviderName, Score, Task, models_of
from router.decision.policy import NO_GUARD, Guard, Policy, named_by_client
from router.errors import Problem
from router.keys import Network, Secret, TeamName
from router.quotas import Allowance, Budget, Limits, OutageAllowance
from router.roles import Role


@dataclass(frozen=True, slots=True)
class Listen:
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A socket in the file system, for whoever its directory and its mode (0600) let in."""

    path: Path

    @property
    def is_loopback(self) -> bool:
        """Nobody reaches it from another machine."""
        return True

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class AdminToken:
    """What opens the admin port, and how far."""

    name: str
    role: Role
    secret: Secret | None  # None: its variable or file is empty, and it opens nothing
    origin: str  # the variable or file that should hold it, for messages


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds allowed to one attempt at a provider."""

    connect_s: float
    first_byte_s: float  # from sending the request to the first byte of the answer
    between_bytes_s: float


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """What clients of streams are told while they wait, and how long they may keep us waiting, in seconds."""

    comment_every_s: float = 10.0  # before the first event
    unread_s: float = 300.0  # without taking any byte of what waits for them


@dataclass(frozen=True, slots=True)
class PriceRefresh:
    """When providers' own price lists are read."""

    every_s: float | None = 300.0  # None: never by a server
    confirm_s: float = 60.0  # a sudden change counts if it is read again at least so long after; not a key of the file


@dataclass(frozen=True, slots=True)
class QualityLearning:
    """Whether and how far what labels of answers teach may move a forecast (docs/learning.md)."""

    is_on: bool = True
    escalated_share: float = 0.3  # of seven days' answers; beyond it the catalog's forecast stands alone
    retried_share: float = 0.3
    kept_days: int = 180  # labels


@dataclass(frozen=True, slots=True)
class ProviderAccess:
    """A provider and how we reach it."""

    provider: Provider
    api_key: Secret | None  # None: none was configured, or its variable or file is empty
    api_key_from: str | None  # the variable or file that should hold it, for messages


@dataclass(frozen=True, slots=True)
class Server:
    """A database or cache."""

    url: Secret | None  # None: its variable or file is empty, and nothing can start
    url_from: str  # the variable or file that should hold it, for messages


@dataclass(frozen=True, slots=True)
class Traces:
    """Where spans of requests go, and of how many requests."""

    endpoint: str | None  # what they are posted to; None only with a problem
    headers: Mapping[str, Secret] = field(default_factory=dict)  # of each delivery
    headers_missing: str | None = None  # the variable or file that should hold them, and does not
    sample_share: float = 1.0  # of the requests that come without a trace of their client's
    to_providers: bool = True  # they are told which trace a call belongs to
    is_private: bool | None = None  # the collector's name may lead into a private network; None: if it can to no other
    resource: Mapping[str, str] = field(default_factory=dict)  # attributes of this process, `service.name` among them
    problem: str | None = None  # why it cannot be served
    notes: tuple[str, ...] = ()  # what the environment says in vain


@dataclass(frozen=True, slots=True)
class Logs:
    """What is written to the log, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] | None = None  # None: text on a terminal, else JSON
    requests: bool = False  # a line for each


@dataclass(frozen=True, slots=True)
class OverloadLimits:
    """What one process bears."""

    under_way: int | None = None  # requests; None: by its open files
    memory_bytes: int | None = None  # of all workers together; None: what the system lets them have


@dataclass(frozen=True, slots=True)
class PromptKey:
    """A key that prompts are sealed with, by the name that stands beside what it has sealed."""

    id: str
    secret: Secret | None  # 64 hex digits; None: it is not there, or none
    secret_from: str  # the variable or file that should hold it, for messages


@dataclass(frozen=True, slots=True)
class PromptSealing:
    """How prompts of teams that opt in are kept."""

    keys: tuple[PromptKey, ...]  # the first one seals, and all open
    most_bytes: int  # of a request, and of an answer; longer ones are cut


@dataclass(frozen=True, slots=True)
class Settings:
    """`penstock.yaml`."""

    listen: Listen
    admin: Listen | UnixSocket
    admin_tokens: tuple[AdminToken, ...]  # as configured; without any that holds something, the port asks for none
    state_dir: Path  # journal, ledger, keys, pepper
    durability: Literal["fast", "strict"]
    postgres: Server | None  # None: SQLite in the state directory
    redis: Server | None  # None: this process alone
    allowance: OutageAllowance | None  # None: while Redis is away nothing that has a budget is let through
    max_body_bytes: int
    stop_grace_s: float
    timeouts: Timeouts
    providers: Mapping[ProviderName, ProviderAccess]
    streams: StreamTimes = StreamTimes()
    stop_notice_s: float = 5.0  # of stop_grace_s
    prices: PriceRefresh = PriceRefresh()
    learning: QualityLearning = QualityLearning()
    text_head: Path | None = None  # None: the one that ships
    breakers: bool = True  # whether deployments that fail, or say "not now", are left alone
    files: tuple[Path, ...] = ()  # beside the configuration's own: of secrets, of the text head
    traces: Traces | None = None  # None: there are none
    logs: Logs = Logs()
    trusted_proxies: tuple[Network, ...] = ()  # whose X-Forwarded-For is believed
    overload: OverloadLimits = OverloadLimits()
    prompts: PromptSealing | None = None  # None: none can be kept

    @property
    def asks_for_a_token(self) -> bool:
        """Whether the admin port does."""
        return any(token.secret is not None for token in self.admin_tokens)


@dataclass(frozen=True, slots=True)
class PromptKeeping:
    """Which requests of a team are kept with their answers, and for how long."""

    kept_days: int
    sample_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Caching:
    """Which answers of a team are given again to who asks exactly the same."""

    ttl_s: float
    is_always: bool  # also where an answer is drawn; else only at temperature 0


@dataclass(frozen=True, slots=True)
class Team:
    """`teams/NAME.yaml`."""

    name: TeamName
    baseline: ModelName | None  # what the team would use without us; savings are measured against it
    zone: ZoneInfo  # where its days and months begin
    budgets: tuple[Budget, ...]
    limits: Limits
    each_key: Allowance  # what every API key may spend on its own, within the team's
    projects: Mapping[str, Allowance]  # tags with money of their own
    aliases: Mapping[str, Policy]  # what its clients may write in `model`
    policies: Mapping[str, Policy]
    cache: Caching | None = None
    prompts: PromptKeeping | None = None  # None: nothing that it asks or is answered is kept
    learns_quality: bool = True  # its own answers' labels move its forecasts
    guard: Guard = NO_GUARD  # of the whole team: policies and aliases are held to it already
    quality: Mapping[Named, Mapping[Task, Score]] = field(default_factory=dict)  # its own figures of models
    weight: float = 1.0  # of its share, beside those of the other teams, while there is not enough for all

    def pin(self, arm: Named) -> Policy:
        """The policy of a client that names a model itself: held to the strictest of all it is offered under."""
        return named_by_client(arm, (*self.policies.values(), *self.aliases.values())).within(self.guard)

    def models(self) -> frozenset[ModelName]:
        """Every model that some policy or alias of this team may choose."""
        return frozenset(
            models_of(
                name
                for policy in (*self.policies.values(), *self.aliases.values())
                for candidates in (policy.candidates, *(rule.candidates or () for rule in policy.rules))
                for name in candidates
            )
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a request is served under. `version` is a digest of all files, shown in `x-penstock-config`."""

    settings: Settings
    catalog: Catalog
    teams: Mapping[TeamName, Team]
    version: str
    notes: tuple[Problem, ...] = ()  # what is of no use in the files, by file and place
