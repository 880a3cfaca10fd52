"""`Teacher`: carries labels to the store and from there to what is learned, and puts it to the test every night.

The store is where all processes learn from: each keeps its own labels there, reads all of them in one order, and so
learns the same. A refit is made by one process, under a lease; the others take over what came of it.

What they share about refits is one record, read, changed and written by all: it is written only in the place of what
was read, and else changed anew. A lease ends by the clock, whoever still believes to have it: so a refit carries the
generation that it was to be, and is dropped if another process has made that one in the meantime.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec

from router.catalog.catalog import Catalog, ModelName
from router.errors import PenstockError
from router.keys import TeamName
from router.learning.quality import Installed, QualityLessons
from router.learning.quality_refit import Refit, Replay
from router.learning.rates import Rates
from router.quality.labels import Label

log = logging.getLogger("penstock.learning")

_PAUSE_S = 5.0
_AT_LATEST = timedelta(minutes=10)  # something is learned without time for it as well, one lot of labels at a time
_SHORT_PAUSE_S = 0.5  # without time to learn: labels are kept a few at a time, lest requests wait for thousands
_MOST_WAITING = 10_000  # labels that are not in the store yet; beyond it the oldest are given up
_AT_ONCE = 500  # labels read in one go
_MOST_REPLAYED = 5_000  # the newest of a team: what it asked long ago says little of today
_MOST_KEPT_REFITS = 200  # for whoever wants to know what happened
_NIGHT = timedelta(hours=3)  # UTC; what came before belongs to the day before
_LEASE = timedelta(minutes=10)
_LEASE_NAME = "quality refits"
_RECORD = "quality_refits"
_PRUNED_EVERY = timedelta(hours=1)
_LEAST_ANSWERED = 200  # requests in a week before their rates say anything
_PIECES_AT_ONCE = 4  # steps of a tenth of a millisecond before the event loop may go on


class LabelShelf(Protocol):
    """Where labels are kept. Implementations block, and raise PenstockError if they cannot be reached."""

    def keep_labels(self, labels: Sequence[Label], /) -> int: ...

    def labels_after(self, number: int, limit: int) -> list[tuple[int, Label | None]]: ...

    def last_labels(self, team: TeamName, limit: int) -> list[tuple[int, Label]]: ...

    def drop_labels(self, before: datetime) -> int: ...

    def take_lease(self, name: str, holder: str, *, at: datetime, until: datetime) -> bool: ...

    def learned(self, name: str) -> bytes | None: ...

    def swap_learned(self, name: str, before: bytes | None, content: bytes, at: datetime) -> bool: ...


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refit, or that what was learned was silenced; kept for the audit."""

    team: str
    at: datetime
    what: str  # promoted, refused, silenced, fell_back; overtaken, which is not kept
    labels_until: int  # the number of the last label it rests on
    refit: Refit | None = None
    why: str = ""
    model: ModelName | None = None  # of which nothing learned speaks any more; None: of none


class _Record(msgspec.Struct):
    """What all processes share about refits."""

    events: list[Event] = []  # oldest first
    installed: dict[str, Installed] = {}  # by team

    def generation(self, team: TeamName) -> int:
        """Of the last refit of the team; 0 before the first."""
        its = self.installed.get(team)
        return 0 if its is None else its.generation


class Limits(msgspec.Struct, frozen=True):
    """When what was learned is not to be trusted, whatever it foretells, and how long labels are kept."""

    escalated_share: float = 0.3  # of the answered requests of seven days
    retried_share: float = 0.3
    kept: timedelta = timedelta(days=180)


class Teacher:
    """Teaches one process."""

    def __init__(
        self,
        lessons: QualityLessons,
        rates: Rates,
        shelf: LabelShelf,
        *,
        holder: str,
        now: Callable[[], datetime],
        catalog: Callable[[], Catalog],
        limits: Limits,
        happened: Callable[[str, str], None],
        lost: Callable[[int], None],
        has_time: Callable[[], bool] = lambda: True,
        pause_s: float = _PAUSE_S,
    ) -> None:
        """`holder` names the process; `happened` is told the team and the word of every event of this process, `lost`
        how many labels were given up since too many waited for the store. Without `has_time` labels are kept, and
        learned later."""
        self._lessons = lessons
        self._rates = rates
        self._shelf = shelf
        self._holder = holder
        self._now = now
        self._catalog = catalog
        self.limits = limits  # replaced by another configuration's
        self._happened = happened
        self._lost = lost
        self._has_time = has_time
        self._learned_at = now()
        self._lost_lately = 0  # labels, since all that waited were kept last
        self._pause_s = pause_s
        self._waiting: deque[Label] = deque(maxlen=_MOST_WAITING)
        self._pruned_at: datetime | None = None
        self._seen_record: bytes | None = None

    def put(self, label: Label) -> None:
        """Have it kept, and learned, soon. Returns at once. Where too many wait the oldest is given up."""
        if len(self._waiting) == _MOST_WAITING:
            self._give_up(1)
        self._waiting.append(label)

    async def run(self) -> None:
        """Teach, until cancelled."""
        while True:
            is_kept = await self.teach()
            await anyio.sleep(_SHORT_PAUSE_S if is_kept and not self._has_time() else self._pause_s)

    async def teach(self) -> bool:
        """One round: keep what waits, take over what others have learned, fall back where it is needed; and if there is
        time learn what is new, and refit where it is due. Never raises; logs what fails, and says so with False."""
        try:
            await self.keep()
            self._lessons.meet(self._catalog())
            await self._take_over()
            if self._has_time() or self._now() - self._learned_at >= _AT_LATEST:
                await self._learn()
                self._learned_at = self._now()
            await self._fall_back()
            if self._has_time():
                await self._refit_who_is_due()
            await self._prune()
        except PenstockError as error:
            log.warning("labels of answers cannot be read or kept just now (%s)", error.code)
            return False
        return True

    async def stop(self) -> None:
        """Keep and learn what still waits. Never raises; logs what fails."""
        try:
            await self.keep()
            await self._learn()
        except PenstockError as error:
            log.warning("%d labels of answers are lost (%s)", len(self._waiting), error.code)

    async def keep(self) -> None:
        """Write what waits. Raises PenstockError; then it waits on."""
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(len(self._waiting), _AT_ONCE))]
            try:
                await anyio.to_thread.run_sync(self._shelf.keep_labels, some)
            except PenstockError:
                self._put_back(some)
                raise
        if self._lost_lately:
            log.warning("%d labels of answers were lost before the store could be written again", self._lost_lately)
            self._lost_lately = 0

    def _put_back(self, labels: list[Label]) -> None:
        """Have the labels wait again, before those that came meanwhile; those for which there is no room are lost."""
        too_many = max(len(self._waiting) + len(labels) - _MOST_WAITING, 0)
        if too_many:
            self._give_up(too_many)
        self._waiting.extendleft(reversed(labels[too_many:]))

    def _give_up(self, count: int) -> None:
        """Say that so many labels, the oldest, are lost: each is counted, the log has one line until all are kept."""
        if not self._lost_lately:
            log.warning("labels of answers are lost: %d wait for the store, the oldest make room", _MOST_WAITING)
        self._lost_lately += count
        self._lost(count)

    async def _learn(self) -> None:
        lessons = self._lessons
        while True:
            found = await anyio.to_thread.run_sync(self._shelf.labels_after, lessons.last_number, _AT_ONCE)
            for number, label in found:
                if label is None:  # kept by another version: read past, or so many in a row would stop all learning
                    lessons.last_number = number
                elif lessons.learn(label, number):
                    await self._tell(self._event(label.team, "silenced", why="foretold_worse", model=label.model))
                if number % _PIECES_AT_ONCE == 0:
                    await anyio.lowlevel.checkpoint()
            await _in_pieces(lessons.solving())
            if len(found) < _AT_ONCE or not self._has_time():
                return

    async def _fall_back(self) -> None:
        """Silence what was learned of teams whose answers have had to be bought or asked for again too often."""
        for team in self._rates.teams():
            why = self._too_many(team)
            if why is not None and self._lessons.silence(team):
                await self._tell(self._event(team, "fell_back", why=why))

    def _too_many(self, team: TeamName) -> str | None:
        week = self._rates.week(team, self._now().date())
        if week.answered < _LEAST_ANSWERED:
            return None
        if week.escalated_share > self.limits.escalated_share:
            return "escalations"
        return "retries" if week.retried_share > self.limits.retried_share else None

    async def _refit_who_is_due(self) -> None:
        due = self._lessons.due()
        if not due:
            return
        if not await self._has_lease():
            return
        _, record = await self._read()
        for team in due:
            last = max(
                (each.at for each in record.events if each.team == team and each.refit is not None), default=None
            )
            if last is None or (last - _NIGHT).date() < (self._now() - _NIGHT).date():
                if not await self._has_lease():  # again: the refit before may have taken its time
                    return
                await self._refit(team, record.generation(team) + 1)

    async def _has_lease(self) -> bool:
        now = self._now()
        lease = partial(self._shelf.take_lease, _LEASE_NAME, self._holder, at=now, until=now + _LEASE)
        return await anyio.to_thread.run_sync(lease)

    async def _refit(self, team: TeamName, generation: int) -> None:
        found = await anyio.to_thread.run_sync(self._shelf.last_labels, team, _MOST_REPLAYED)
        labels = [label for _, label in found if not self._lessons.is_outdated(label)]
        replay = Replay(labels)
        await _in_pieces(replay.run())
        refit = replay.judged(team)
        why = self._too_many(team)
        speaks = refit.is_promoted and why is None
        until = max((number for number, _ in found), default=0)
        event = self._event(team, "promoted" if speaks else "refused", why=why or refit.why, refit=refit, until=until)
        read = self._lessons.last_number
        unread = [label for number, label in found if number > read and not self._lessons.is_outdated(label)]
        installed = Installed(
            until,
            speaks,
            msgspec.Raw(msgspec.json.encode(list(replay.corrections.as_data()))),
            generation=generation,
            kinds=self._lessons.kinds(team, unread),
            versions=self._lessons.versions(),
        )
        if await self._keep_event(event, installed=installed):
            self._lessons.install(team, replay.corrections, speaks=speaks, until=until, kinds=installed.kinds)
            self._announce(event)
        else:
            self._announce(msgspec.structs.replace(event, what="overtaken", why="by another process's refit"))

    async def _take_over(self) -> None:
        """What another process's refits have come to."""
        content = await anyio.to_thread.run_sync(self._shelf.learned, _RECORD)
        if content is None or content == self._seen_record:
            return
        self._seen_record = content
        record = _decoded(content)
        for team, its in record.installed.items():
            whose = TeamName(team)
            if self._lessons.agree(whose, its):
                continue
            try:
                await _in_pieces(self._lessons.taking_over(whose, its))
            except (ValueError, TypeError, IndexError, KeyError):
                log.warning("what was learned of the answers of team %s cannot be read, and is learned anew", team)

    async def _read(self) -> tuple[bytes | None, _Record]:
        content = await anyio.to_thread.run_sync(self._shelf.learned, _RECORD)
        return content, _Record() if content is None else _decoded(content)

    async def _tell(self, event: Event) -> None:
        """Log, count and keep that something was silenced."""
        self._announce(event)
        await self._keep_event(event)

    def _announce(self, event: Event) -> None:
        refit = event.refit
        whose = event.team if event.model is None else f"{event.team}, model {event.model}"
        log.warning("quality of team %s: %s (%s)", whose, event.what, event.why)
        if refit is not None:
            log.info(
                "%d labels, Brier %s as forecast and %s as learned on the newest fifth, gain %s ± %s on all",
                refit.labels,
                refit.brier_prior,
                refit.brier_learned,
                refit.gain,
                refit.gain_error,
            )
        self._happened(event.team, event.what)

    async def _keep_event(self, event: Event, *, installed: Installed | None = None) -> bool:
        """Put the event into the record, and what a refit has come to. False: another process has made the refit of
        that generation, and nothing is kept."""
        while True:
            before, record = await self._read()
            if installed is not None:
                if record.generation(TeamName(event.team)) >= installed.generation:
                    return False
                record.installed[event.team] = installed
            elif event.team in record.installed:
                self._silence(record.installed[event.team], event)
            record.events = [*record.events, event][-_MOST_KEPT_REFITS:]
            content = msgspec.json.encode(record)
            swap = partial(self._shelf.swap_learned, _RECORD, before, content, self._now())
            if await anyio.to_thread.run_sync(swap):
                break
        if before == self._seen_record:  # else what others have written in between is still to be taken over
            self._seen_record = content
        return True

    def _silence(self, its: Installed, event: Event) -> None:
        """What is silenced is the refit that this process has: of a newer one nothing has been found yet."""
        if its.until > self._lessons.until(TeamName(event.team)):
            return
        if event.model is None:
            its.speaks = False
        elif event.model not in its.silent:
            its.silent.append(event.model)

    async def _prune(self) -> None:
        now = self._now()
        if self._pruned_at is None or now - self._pruned_at >= _PRUNED_EVERY:
            self._pruned_at = now
            await anyio.to_thread.run_sync(self._shelf.drop_labels, now - self.limits.kept)

    def _event(
        self,
        team: TeamName,
        what: str,
        *,
        why: str,
        refit: Refit | None = None,
        until: int | None = None,
        model: ModelName | None = None,
    ) -> Event:
        last = self._lessons.last_number if until is None else until
        return Event(team=team, at=self._now(), what=what, labels_until=last, refit=refit, why=why, model=model)


class Record(Protocol):
    def learned(self, name: str) -> bytes | None: ...


def quality_events(shelf: Record) -> list[Event]:
    """What happened lately, oldest first. Blocks. Raises StoreUnavailable."""
    content = shelf.learned(_RECORD)
    return [] if content is None else _decoded(content).events


def _decoded(content: bytes) -> _Record:
    try:
        return msgspec.json.decode(content, type=_Record)
    except msgspec.DecodeError:
        return _Record()  # another version's: begun anew


async def _in_pieces(steps: Iterator[None]) -> None:
    for number, _ in enumerate(steps):
        if number % _PIECES_AT_ONCE == 0:
            await anyio.lowlevel.checkpoint()
