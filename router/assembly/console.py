"""The console, with everything it asks of the process."""

import secrets
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from router.assembly.clock import utc_now
from router.assembly.providers import unavailable
from router.audit import Act
from router.config.loader import load
from router.config.settings import environment
from router.config.snapshot import Snapshot
from router.console import replays
from router.console.app import Console
from router.console.explaining import Explaining
from router.console.rendering import Renderer, Templates
from router.console.replays import Replays
from router.console.sources import Files, Live, Sources
from router.console.visiting import Visitor
from router.gateway.live_prices import LivePrices
from router.learning.experience import LearnedExperience
from router.limits.gate import Gate
from router.storage.audit_trail import AuditTrail
from router.storage.store import Store
from router.upstream.breaker import Availability


def make_console(
    snapshot: Callable[[], Snapshot],
    *,
    store: Store,
    gate: Gate,
    prices: LivePrices,
    availability: Availability,
    experience: LearnedExperience,
    in_flight: Callable[[], int],
    explaining: Explaining,
    files: Files | None,
    secret: bytes,
    version: str,
    trail: AuditTrail,
    noted: Callable[[Visitor, Act, str, str], None],
) -> Console:
    """`secret` is shared by all processes; `files` is where the configuration was read from; `noted` writes into
    the audit log."""
    return Console(
        Sources(
            snapshot=snapshot,
            catalog=lambda: prices.catalog,
            book=lambda: prices.book,
            price_ages_s=prices.ages_s,
            unavailable=lambda: unavailable(snapshot()),
            budgets=gate.states,
            store=store,
            live=Live(
                in_flight=in_flight,
                breakers=availability.states,
                paused=availability.paused,
                pace=experience.pace,
                speaks_for=experience.judgements.speaks_for,
                week=lambda team: experience.rates.week(team, utc_now().date()),
            ),
            files=files,
            now=utc_now,
            version=version,
            audited=lambda: (trail.head, trail.is_intact),
            noted=noted,
        ),
        explaining=explaining,
        replays=Replays(
            snapshot().settings.state_dir / "replays",
            command=partial(_command, files),
            new_id=lambda: secrets.token_hex(6),
        ),
        check=_check,
        renderer=Renderer(_templates),
        secret=secret,
    )


def _templates() -> Templates:
    """Imported by name, since jinja2 is for those who look (`console/environment.py`)."""
    templates: Templates = import_module("router.console.environment").environment()
    return templates


def _check(directory: Path) -> None:
    """Raises ConfigError."""
    load(directory, environment=environment())


def _command(files: Files | None, asked: replays.Asked, against: Path) -> Sequence[str]:
    """`penstock replay`, behind whatever else the machine has to do."""
    assert files is not None  # nothing can be asked for otherwise
    return [
        *([nice, "-n", "15"] if (nice := shutil.which("nice")) else []),
        sys.executable,
        "-m",
        "router.cli.main",
        "replay",
        *("--config", str(files.directory), "--against", str(against)),
        *("--since", asked.since.isoformat(), "--until", asked.until.isoformat()),
        *(("--team", asked.team) if asked.team is not None else ()),
        *(("--sandbox",) if files.is_sandbox else ()),
        "--json",
        "--progress",
    ]
