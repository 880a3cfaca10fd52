"""What pages ask of the process: `Sources`. Everything is asked for anew by every page, as configuration, prices and
health change under way. Numbers of `Live` are of the process that makes the page; all else is shared by all of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from router.audit import Act, Head
from router.catalog.book import PriceBook
from router.catalog.catalog import Catalog, DeploymentId
from router.config.snapshot import Snapshot
from router.console.visiting import Visitor
from router.decision.facts import Latency
from router.keys import TeamName
from router.learning.rates import Week
from router.quotas import BudgetState
from router.storage.store import Store


@dataclass(frozen=True, slots=True)
class Live:
    """What this process knows of itself."""

    in_flight: Callable[[], int]
    breakers: Callable[[], Mapping[DeploymentId, int]]  # the value of BreakerState
    paused: Callable[[], Mapping[DeploymentId, str]]
    pace: Callable[[DeploymentId], Latency | None]  # as learned
    speaks_for: Callable[[TeamName], bool]  # what the team's labels have taught
    week: Callable[[TeamName], Week]


@dataclass(frozen=True, slots=True)
class Files:
    """Where the configuration that is served was read from."""

    directory: Path
    is_sandbox: bool  # the demo's: the sandbox answers in the providers' place


@dataclass(frozen=True, slots=True)
class Sources:
    """What all pages have in common."""

    snapshot: Callable[[], Snapshot]
    catalog: Callable[[], Catalog]  # the snapshot's, at the prices in force
    book: Callable[[], PriceBook]
    price_ages_s: Callable[[], Mapping[str, float]]
    unavailable: Callable[[], Mapping[DeploymentId, str]]  # no key is configured
    budgets: Callable[[], list[BudgetState]]
    store: Store
    live: Live
    files: Files | None  # None: not known, as in tests
    now: Callable[[], datetime]
    version: str
    audited: Callable[[], tuple[Head, bool]]  # the end of the audit log, and whether it is what was written
    noted: Callable[[Visitor, Act, str, str], None]  # into the audit log: who, what, to what, details
