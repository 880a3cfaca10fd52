"""When files are read anew, what becomes of what they say, and what is told of it."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from weakref import ref

import anyio
import pytest

from router.config.loader import load
from router.config.snapshot import Snapshot
from router.config.watching import fingerprint
from router.errors import BrokenArtefact, ConfigError, Problem
from router.gateway.dispatch import Gateway
from router.gateway.in_force import InForce
from router.gateway.reload import Inherited, Reload, Source, Standing
from router.server.app import OuterEdge
from router.storage.errors import StoreUnavailable
from tests.replacing import replace

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SHIPPED = load(Path(__file__).resolve().parents[2] / "config", environment={})
OTHER = replace(SHIPPED, version="other")


@dataclass(eq=False)
class Carrier:
    """A gateway, as far as a reload looks at it."""

    snapshot: Snapshot
    in_flight: int = 0

    @property
    def config_version(self) -> str:
        return self.snapshot.version


def gateway(snapshot: Snapshot, *, in_flight: int = 0) -> Gateway:
    return cast("Gateway", Carrier(snapshot, in_flight))


@dataclass
class Place:
    """A directory, what reading it gives next, and what came of it."""

    directory: Path
    reads: list[Snapshot | Exception] = field(default_factory=list)
    takes: Callable[[Snapshot], None] = lambda _: None
    failures: int = 0
    confirmations: int = 0
    writes_while_read: int = 0  # readings during which somebody else writes
    in_force: InForce = field(default_factory=lambda: InForce(gateway(SHIPPED)))

    def __post_init__(self) -> None:
        (self.directory / "penstock.yaml").write_text("a: 1\n")
        self.read = anyio.Event()
        self.begin(None)

    def begin(self, inherited: Inherited | None) -> None:
        self.reload = Reload(
            self.in_force,
            Source(self.directory, fingerprint(self.directory), self._read, inherited),
            take=self._take,
            tidy=lambda: None,
            now=lambda: NOW,
            confirmed=self._confirmed,
            failed=self._failed,
            announced=nullcontext,
            outer_edge=OuterEdge,
        )

    def _read(self) -> Snapshot:
        result = self.reads.pop(0)
        if self.writes_while_read:
            self.writes_while_read -= 1
            (self.directory / "penstock.yaml").write_text(f"a: {'1' * len(self.reads)}\n")
        if not self.reads:
            anyio.from_thread.run_sync(self.read.set)
        if isinstance(result, Exception):
            raise result
        return result

    async def _take(self, snapshot: Snapshot) -> None:
        self.takes(snapshot)
        self.in_force.put(gateway(snapshot))

    def _confirmed(self) -> None:
        self.confirmations += 1

    def _failed(self) -> None:
        self.failures += 1

    async def runs_until_read(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.reload.run)
            with anyio.fail_after(20):
                await self.read.wait()
                while not self.failures and self.in_force.current.config_version != "other":
                    await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_what_is_in_force_already_is_not_taken_again(place: Place) -> None:
    def never(_: Snapshot) -> None:
        raise AssertionError("it was taken")

    place.reads, place.takes = [SHIPPED], never

    standing = await place.reload.reload()

    assert (standing.version, standing.failed_at, place.failures) == (SHIPPED.version, None, 0)


async def test_files_that_are_put_back_end_the_failure_for_whoever_watches_the_metrics(place: Place) -> None:
    place.reads = [ConfigError([Problem("a.yaml", 1, 2, "no")]), SHIPPED]

    await place.reload.reload()
    before = place.confirmations
    standing = await place.reload.reload()

    assert standing.failed_at is None
    assert (before, place.confirmations) == (0, 1)


async def test_a_secret_that_changed_is_taken_although_no_file_of_the_configuration_did(place: Place) -> None:
    taken: list[Snapshot] = []
    changed = replace(SHIPPED, settings=replace(SHIPPED.settings, breakers=not SHIPPED.settings.breakers))
    place.reads, place.takes = [changed], taken.append

    await place.reload.reload()

    assert taken == [changed]


async def test_every_problem_is_told_and_the_configuration_stays(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.reads = [ConfigError([Problem("a.yaml", 1, 2, "no"), Problem("b.yaml", 3, 4, "nor this")])]

    standing = await place.reload.reload()

    assert standing.problems == ("a.yaml:1:2: no", "b.yaml:3:4: nor this")
    assert (standing.version, standing.failed_at, place.failures) == (SHIPPED.version, NOW, 1)
    assert caplog.messages[:2] == list(standing.problems)


async def test_a_mistake_of_our_own_ends_at_the_outer_edge_and_the_next_reload_works(place: Place) -> None:
    place.reads = [RuntimeError("a secret"), OTHER]

    first = await place.reload.reload()
    second = await place.reload.reload()

    assert (first.version, place.failures) == (SHIPPED.version, 1)
    assert "a secret" not in "".join(first.problems)
    assert (second.version, second.failed_at, second.problems) == ("other", None, ())


async def test_a_head_that_is_broken_is_told_and_nothing_is_taken(place: Place) -> None:
    def breaks(_: Snapshot) -> None:
        raise BrokenArtefact("ours.bin is no head.")

    place.reads, place.takes = [OTHER], breaks

    standing = await place.reload.reload()

    assert (standing.version, standing.problems) == (SHIPPED.version, ("ours.bin is no head.",))


async def test_a_change_during_the_start_is_taken_up_and_so_is_one_after_it(place: Place) -> None:
    (place.directory / "penstock.yaml").write_text("a: 2\n")
    place.reads = [OTHER]

    await place.runs_until_read()

    assert place.in_force.current.config_version == "other"


async def test_a_store_that_could_not_be_read_is_tried_again_and_a_bad_file_is_not(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.gateway.reload._LOOK_S", 0.01)
    monkeypatch.setattr("router.gateway.reload._RETRY_S", 0.0)
    place.reads = [StoreUnavailable("away"), ConfigError([Problem("a.yaml", 1, 2, "no")])]

    place.reload.ask()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(place.reload.run)
        with anyio.fail_after(20):
            while place.failures < 2:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    assert place.reads == []
    assert place.reload._retry_at_s is None


async def test_files_that_change_while_they_are_read_are_read_again(place: Place) -> None:
    """A valid mixture of two configurations, and a mixture that looks like a mistake."""
    mixture, faulty = replace(SHIPPED, version="mixture"), ConfigError([Problem("a.yaml", 1, 2, "no such model")])
    taken: list[Snapshot] = []
    place.reads, place.takes = [mixture, faulty, OTHER], taken.append
    place.writes_while_read = 2

    standing = await place.reload.reload()

    assert (standing.version, standing.problems, place.failures) == ("other", (), 0)
    assert taken == [OTHER]


async def test_files_that_never_rest_are_told_and_nothing_is_taken_of_them(place: Place) -> None:
    place.reads, place.writes_while_read = [OTHER, OTHER, OTHER], 3

    standing = await place.reload.reload()

    (problem,) = standing.problems
    assert "the files were changed while they were read" in problem
    assert (standing.version, place.failures) == (SHIPPED.version, 1)


async def test_files_that_look_different_at_every_look_are_read_all_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sidecar that writes the same again and again."""
    looks = iter(range(10_000))
    monkeypatch.setattr("router.gateway.reload._LOOK_S", 0.001)
    monkeypatch.setattr("router.gateway.reload.fingerprint", lambda *_: frozenset({(next(looks) // 2,)}))
    place.reads = [OTHER]

    await place.runs_until_read()

    assert place.reads == []


async def test_a_worker_that_began_with_what_was_in_force_says_what_is_wrong_with_the_files(place: Place) -> None:
    since = datetime(2026, 11, 29, tzinfo=UTC)
    failed = ConfigError([Problem("a.yaml", 1, 2, "no")])
    place.begin(Inherited(since, ("redis",), failed))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(place.reload.run)
        with anyio.fail_after(20):
            while not place.failures:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    assert place.reload.standing == Standing(SHIPPED.version, since, ("redis",), NOW, ("a.yaml:1:2: no",))


async def test_a_warning_is_said_once_for_as_long_as_it_holds(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.reads = [OTHER, replace(OTHER, version="third")]

    with caplog.at_level(logging.INFO):
        await place.reload.reload()
        await place.reload.reload()

    assert [each.levelname for each in caplog.records] == ["INFO", "INFO"]


def test_requests_under_way_count_under_whichever_configuration_they_began() -> None:
    in_force = InForce(first := gateway(SHIPPED, in_flight=2))
    in_force.put(second := gateway(OTHER, in_flight=3))

    assert in_force.in_flight == 5
    assert list(in_force.in_use()) == [second, first]


def test_a_configuration_that_no_request_holds_any_more_is_let_go() -> None:
    in_force = InForce(gateway(SHIPPED))
    first = ref(in_force.current)
    in_force.put(gateway(OTHER))

    assert first() is None
    assert list(in_force.in_use()) == [in_force.current]
