"""How fast a ledger is replayed, and how true it is: `python -m tests.benchmarks.replay [--entries 1000000] [--day]`.

The ledger is synthetic: as many requests as wanted of both shipped teams, decided by `decide` under the shipped
configuration. It is replayed against the same configuration with a lower quality floor by a process of its own, whose
time and peak memory are printed; then `penstock spend` is timed on it. `--day` records a day against the sandbox,
replays it, and really runs it again under the other configuration.
"""

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from router.catalog.catalog import Capability, DeploymentId, Task
from router.catalog.prices import cost
from router.config.loader import load
from router.config.snapshot import Snapshot
from router.decision.decide import Decision, decide
from router.decision.explain import profile_as_data
from router.decision.facts import Conditions, RequestProfile
from router.decision.recorded import record_of
from router.keys import KeyId, TeamName
from router.ledger import Attempt, LedgerEntry, Outcome
from router.quality.predictor import TablePredictor
from router.storage.sqlite import SqliteStore
from router.units import CostSource, Usage, nano_usd
from tests.e2e.conftest import CHECKOUT
from tests.e2e.days import REQUESTS, two_days
from tests.replacing import replace

_BEGIN = datetime(2026, 11, 10, tzinfo=UTC)
_SPAN = timedelta(days=7)
_BATCH = 1_000
_DIFFERENT = 20_000  # requests that are decided one by one: making a million that way takes longer than replaying it
_ROUNDS = 3
_UNAVAILABLE = DeploymentId("deepseek:deepseek/deepseek-v4-flash")
_GROUPS = (("team",), ("model",), ("day",), ("key",), ("tag",), ("team", "model", "day"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--day", action="store_true", help="measure how true it is instead")
    options = parser.parse_args()
    with TemporaryDirectory() as directory:
        if options.day:
            measure_truth(Path(directory))
        else:
            measure_speed(Path(directory), options.entries)


def measure_speed(directory: Path, count: int) -> None:
    config, cheaper = directory / "config", directory / "cheaper"
    shutil.copytree(CHECKOUT / "config", config)
    main_file = config / "penstock.yaml"
    main_file.write_text(main_file.read_text() + f"\nstate:\n  directory: {directory / 'state'}\n")
    shutil.copytree(config, cheaper)
    team = cheaper / "teams" / "research.yaml"
    team.write_text(team.read_text().replace("at_least: 0.95", "at_least: 0.8"))

    store = SqliteStore(directory / "state" / "penstock.sqlite")
    began_s = time.perf_counter()
    batch: list[LedgerEntry] = []
    for entry in made(load(config, environment={}), count):
        batch.append(entry)
        if len(batch) == _BATCH:
            store.write(batch)
            batch = []
    store.write(batch)
    size_mb = (directory / "state" / "penstock.sqlite").stat().st_size / 1e6
    print(f"{count:,} entries made in {time.perf_counter() - began_s:.0f} s, {size_mb:,.0f} MB", flush=True)

    command = ["replay", "--config", str(config), "--against", str(cheaper), "--since", "2026-11-01", "--json"]
    began_s = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "router.cli.main", *command], cwd=CHECKOUT, capture_output=True, check=True
    )
    took_s = time.perf_counter() - began_s
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = json.loads(ended.stdout)
    assert report["requests"] == count
    print(
        f"replay: {took_s:.1f} s, {count / took_s:,.0f} entries/s, {used.ru_utime + used.ru_stime:.1f} s of CPU, "
        f"peak {used.ru_maxrss / 1024:.0f} MiB; {report['decided_the_same']:,} decided the same, "
        f"${report['judged']['then_usd']} then, ${report['judged']['now_usd']} now",
        flush=True,
    )
    for by in _GROUPS:
        rounds = [_timed(store, by) for _ in range(_ROUNDS)]
        wall_s, cpu_s = (min(figures) for figures in zip(*rounds, strict=True))
        print(f"spend by {', '.join(by):<20} {wall_s:6.3f} s, {cpu_s:.3f} s of CPU (best of {_ROUNDS})", flush=True)


def _timed(store: SqliteStore, by: tuple[str, ...]) -> tuple[float, float]:
    """Seconds by the clock and of the processor: they differ where the machine is shared."""
    began_s, worked_s = time.perf_counter(), time.process_time()
    store.spend(by, None)
    return time.perf_counter() - began_s, time.process_time() - worked_s


def measure_truth(directory: Path) -> None:
    days = two_days(directory)
    said = days.cheaper["judged"]
    print(
        f"{REQUESTS} requests, {days.spent_nano_usd} nano-dollars; decided the same under their own configuration: "
        f"{days.same['decided_the_same']}\n"
        f"under the cheaper one: {said['now_nano_usd']} said ({said['now_low_nano_usd']} to "
        f"{said['now_high_nano_usd']}, {said['estimated']['requests']} requests estimated), {days.really_nano_usd} "
        f"when really run: {said['now_nano_usd'] / days.really_nano_usd - 1:+.2%}"
    )


def made(snapshot: Snapshot, count: int) -> Iterator[LedgerEntry]:
    """Requests as seeded, answered by whom `decide` chose; after the first `_DIFFERENT` they come again."""
    chance = random.Random(20261125)
    different: list[LedgerEntry] = []
    for number in range(count):
        at = _BEGIN + _SPAN * (number / count)
        if number < _DIFFERENT:
            different.append(_decided(snapshot, Conditions(at, unavailable={_UNAVAILABLE: "no key"}), chance))
        yield replace(different[number % _DIFFERENT], request_id=f"req_{number:024x}", at=at)


def _decided(snapshot: Snapshot, conditions: Conditions, chance: random.Random) -> LedgerEntry:
    team = chance.choice(list(snapshot.teams.values()))
    profile = _profile(chance, team.name)
    decision = decide(profile, team.aliases["auto"], snapshot.catalog, conditions, quality=TablePredictor())
    return replace(
        _entry(profile, decision, conditions, chance),
        profile_json=msgspec.json.encode(profile_as_data(profile)),
        conditions_json=msgspec.json.encode(record_of(decision, conditions)),
        config_version=snapshot.version,
        baseline=team.baseline,
    )


def _profile(chance: random.Random, team: TeamName) -> RequestProfile:
    tokens = int(chance.lognormvariate(6.5, 1.2)) + 5
    return RequestProfile(
        alias="auto",
        input_tokens=tokens,
        input_bytes=tokens * 5,
        images=0,
        max_output_tokens=chance.choice((None, None, 500, 4_000)),
        choices=1,
        needs=frozenset({Capability.TOOLS}) if chance.random() < 0.2 else frozenset(),
        task=chance.choice(list(Task)),
        has_unbounded_parts=False,
        asks_one_hour_cache=False,
        is_stream=chance.random() < 0.5,
        tags=("app=web", f"job={chance.randrange(30)}") if chance.random() < 0.3 else (),
        team=team,
    )


def _entry(profile: RequestProfile, decision: Decision, conditions: Conditions, chance: random.Random) -> LedgerEntry:
    attempts: tuple[Attempt, ...] = ()
    if decision.chosen is not None:
        deployment = decision.chosen.deployment
        price = deployment.prices.at(conditions.now)
        assert price is not None
        usage = Usage(
            input_tokens=round(profile.input_tokens * deployment.model.token_ratio),
            output_tokens=min(int(chance.lognormvariate(5.5, 0.8)) + 1, profile.max_output_tokens or 60_000),
        )
        attempts = (
            Attempt(
                id="req.1",
                model=deployment.model.name,
                provider=deployment.provider.name,
                outcome="ok",
                served_model=deployment.model.name,
                generation_id=f"gen-{chance.getrandbits(64):x}",
                usage=usage,
                held_nano_usd=decision.chosen.estimate.worst_nano_usd,
                cost_nano_usd=nano_usd(cost(usage, price)),
                source=CostSource.REPORTED,
                duration_s=2.0,
            ),
        )
    return LedgerEntry(
        request_id="req",
        at=conditions.now,
        team=TeamName(profile.team),
        key_id=KeyId(f"{chance.randrange(100):016x}"),
        alias=profile.alias,
        policy=decision.policy,
        rule=decision.terms.rule,
        outcome=Outcome.OK if attempts else Outcome.REFUSED,
        attempts=attempts,
        rejected=tuple((each.model, each.reason.value) for each in decision.rejected),
        profile_json=b"",
        counted_input_tokens=profile.input_tokens,
        expected_nano_usd=nano_usd(decision.chosen.estimate.expected_usd) if decision.chosen else 0,
        baseline=None,
        baseline_nano_usd=None,
        config_version="",
        is_stream=profile.is_stream,
        overhead_s=0.002,
        first_token_s=0.4,
        duration_s=2.0,
        tags=profile.tags,
    )


if __name__ == "__main__":
    main()
