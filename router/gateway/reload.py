"""Configurations that change while requests go on: `Reload` looks for them, has them read, and has them taken up.

The new files are read and checked whole, in a thread. If anything is wrong with them, the configuration in force stays
in force, and every problem is in the log, as `penstock check` would say it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread

from router.config.loader import warnings
from router.config.restart import held_back
from router.config.snapshot import Snapshot
from router.config.watching import Fingerprint, fingerprint
from router.errors import BrokenArtefact, ConfigError, PenstockError, Problem
from router.gateway.in_force import InForce

log = logging.getLogger("penstock.config")

# A change is taken up when two looks in a row have seen the same: who writes several files is not read in between.
_LOOK_S = 1.0
_RETRY_S = 15.0  # what failed for another reason than the files is tried again
_MOST_LOOKS = 10  # files that look different every time are read all the same, rather than never
_MOST_READS = 3  # of files that change while they are read


@dataclass(frozen=True, slots=True)
class Source:
    """Where the configuration comes from."""

    directory: Path
    seen: Fingerprint  # of its own files, before they were first read
    read: Callable[[], Snapshot]  # blocks; raises ConfigError with every problem
    # Of one worker of several:
    inherited: "Inherited | None" = None
    taken: Callable[[], None] = lambda: None  # told that what was read last is in force


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a worker begins with that serves beside others, or in the place of another."""

    since: datetime  # the configuration is in force
    held_back: tuple[str, ...] = ()
    failed: PenstockError | None = None  # why it is not what the files say


@dataclass(frozen=True, slots=True)
class Standing:
    """Which configuration is in force, and what became of the last attempt to replace it."""

    version: str
    since: datetime  # it is in force
    held_back: tuple[str, ...] = ()  # keys whose change takes effect at the next start
    failed_at: datetime | None = None  # None: the files are what is in force
    problems: tuple[str, ...] = ()


class Reload:
    """Keeps the configuration in force what its files say."""

    def __init__(
        self,
        in_force: InForce,
        source: Source,
        *,
        take: Callable[[Snapshot], Awaitable[None]],
        tidy: Callable[[], None],
        now: Callable[[], datetime],
        confirmed: Callable[[], None],
        failed: Callable[[], None],
        announced: Callable[[], AbstractContextManager[None]],
        outer_edge: Callable[[], AbstractContextManager[None, bool]],
    ) -> None:
        """`take` puts a snapshot into force, or raises a PenstockError and changes nothing. `tidy` is called every
        second: it lets go of what only requests of earlier configurations needed. `confirmed` is told that the files
        say what is in force already, `failed` counts. `announced` is open while files are read."""
        self._in_force = in_force
        self._source = source
        self._take = take
        self._tidy = tidy
        self._now = now
        self._confirmed = confirmed
        self._failed = failed
        self._announced = announced
        self._outer_edge = outer_edge  # the server's: a mistake in reading ends there, and not the server
        self._one_at_a_time = anyio.Lock()
        self._wake = anyio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None  # while it runs
        self._is_asked = False
        self._seen: Fingerprint | None = None  # of the files that were read last
        self._retry_at_s: float | None = None
        self._warned = warnings(in_force.current.snapshot)
        self._inherited = source.inherited or Inherited(now())
        self.standing = Standing(in_force.current.config_version, self._inherited.since, self._inherited.held_back)

    def ask(self) -> None:
        """Have the files read now, whether they seem to have changed or not. May be called by a signal's handler."""
        self._is_asked = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake_up)

    def _wake_up(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Look for changes until cancelled."""
        self._loop = asyncio.get_running_loop()
        last, moved = await self._look(), 0
        if await anyio.to_thread.run_sync(fingerprint, self._source.directory) == self._source.seen:
            self._seen = last  # else they have changed during the start
            if self._inherited.failed is not None:
                self._refused(self._inherited.failed)
        while True:
            with anyio.move_on_after(_LOOK_S):
                await self._wake.wait()
            self._wake = anyio.Event()
            looked = await self._look()
            moved = 0 if looked == last else moved + 1
            is_settled, last = moved in (0, _MOST_LOOKS), looked
            is_due = self._retry_at_s is not None and anyio.current_time() >= self._retry_at_s
            if self._is_asked or (is_settled and (looked != self._seen or is_due)):
                await self.reload()
                moved = 0
            self._tidy()

    async def reload(self) -> Standing:
        """Read the files, and put into force what they say, if that is something else and nothing is wrong with it."""
        async with self._one_at_a_time:
            with self._announced():
                return await self._reload()

    async def _reload(self) -> Standing:
        """The same, while nobody else does."""
        self._is_asked, self._retry_at_s = False, None
        is_done = False
        with self._outer_edge():
            try:
                await self._read_and_take()
            except PenstockError as error:
                self._refused(error)
            is_done = True
        if not is_done:
            self._fail(("A mistake in Penstock itself, which is in the log.",))
        return self.standing

    async def _read(self) -> Snapshot:
        """What the files say at one moment: half of one configuration and half of another may be no mistake to see."""
        for _ in range(_MOST_READS):
            self._seen = await self._look()
            try:
                read = await anyio.to_thread.run_sync(self._source.read)
            except ConfigError:
                if await self._is_as_seen():
                    raise
            else:
                if await self._is_as_seen():
                    return read
        problem = "the files were changed while they were read, each of three times; put them there by one rename"
        raise ConfigError([Problem(str(self._source.directory), 1, 1, problem)])

    async def _is_as_seen(self) -> bool:
        return await self._look() == self._seen

    async def _read_and_take(self) -> None:
        read = await self._read()
        running = self._in_force.current.snapshot
        settings, waiting = held_back(running.settings, read.settings)
        snapshot = replace(read, settings=settings)
        for key in waiting:
            log.warning("%s of penstock.yaml was changed: it takes effect at the next start", key)
        if snapshot.version == running.version and settings == running.settings:
            log.info("the configuration is unchanged: %s stays in force", running.version)
            self.standing = Standing(running.version, self.standing.since, waiting)
            self._confirmed()
            self._source.taken()
            return
        await self._take(snapshot)
        self.standing = Standing(snapshot.version, self._now(), waiting)
        self._source.taken()
        warned, self._warned = self._warned, warnings(snapshot)
        for warning in self._warned:
            if warning not in warned:
                log.warning(warning)
        log.info("configuration %s is in force, in place of %s", snapshot.version, running.version)

    def _refused(self, error: PenstockError) -> None:
        if isinstance(error, ConfigError):
            problems = tuple(str(problem) for problem in error.problems)
        else:
            problems = (error.message,)
            if not isinstance(error, BrokenArtefact):
                self._retry_at_s = anyio.current_time() + _RETRY_S
        for problem in problems:
            log.error(problem)
        self._fail(problems)

    def _fail(self, problems: tuple[str, ...]) -> None:
        self.standing = replace(self.standing, failed_at=self._now(), problems=problems)
        self._failed()
        log.error("the configuration was not reloaded: %s stays in force", self.standing.version)

    async def _look(self) -> Fingerprint:
        files = self._in_force.current.snapshot.settings.files
        return await anyio.to_thread.run_sync(fingerprint, self._source.directory, files)
