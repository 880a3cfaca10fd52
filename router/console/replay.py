"""Replay: what a stretch of the ledger would have cost under another configuration."""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from router.audit import Act
from router.config.settings import MAIN_FILE
from router.console import replays as runs
from router.console.asking import Answer, Asked, Elsewhere
from router.console.drawing import Bar, bars
from router.console.off_loop import OffLoop
from router.console.rendering import colours
from router.console.replays import MOST_ENTRIES, CannotReplay, Replay, Replays
from router.console.sources import Files, Sources
from router.errors import CallerError, ConfigError, InvalidRequest, PenstockError
from router.keys import TeamName
from router.ledger import Period

_BAR = 300.0
_MOST_DIRECTORIES = 20
_MOST_PASTED_BYTES = 64 * 1024  # twice the largest file that is shipped; reading them takes half a second
# Without reading the whole: that comes with the check, which refuses a file whose name is another than its team.
_TEAM = re.compile(r"""^team:[ \t]+(["']?)([A-Za-z0-9_-]{1,200})\1[ \t]*(?:#.*)?\r?$""", re.MULTILINE)
PERIODS = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}

Check = Callable[[Path], None]  # raises ConfigError


@dataclass(frozen=True, slots=True)
class Row:
    """What a group cost then, and would cost now."""

    names: tuple[str, ...]
    data: Mapping[str, Any]
    then: Bar
    now: Bar

    @property
    def change(self) -> float | None:
        then = self.data["then_nano_usd"]
        return (self.data["now_nano_usd"] - then) / then if then else None


class ReplayPages:
    """`GET /replay`, `POST /replay`, `GET /replay/{id}`, `POST /replay/{id}` (cancel)."""

    def __init__(self, sources: Sources, replays: Replays, check: Check, off_loop: OffLoop) -> None:
        """`check` loads a configuration, as a server would."""
        self._sources = sources
        self._replays = replays
        self._check = check
        self._off_loop = off_loop

    async def page(self, asked: Asked) -> Answer | Elsewhere:
        wrong: PenstockError | None = None
        problems: list[str] = []
        if asked.form is not None:
            try:
                replay_id = await self._off_loop(partial(self._begin, asked.form))
                told = " ".join(
                    f"{name}={asked.form[name]}" for name in ("period", "team", "against") if name in asked.form
                )
                self._sources.noted(asked.visitor, Act.REPLAY_STARTED, replay_id, told)
                return Elsewhere(f"/replay/{replay_id}")
            except ConfigError as error:
                wrong = InvalidRequest("This team file would not be served:")
                problems = [_without_place(str(each)) for each in error.problems]
            except CallerError as error:
                wrong = error
        sources = self._sources
        earlier = await self._off_loop(lambda: self._replays.all(sources.now()))
        return Answer(
            "replay.html",
            {
                "path": "/replay",
                "fields": asked.form or {},
                "periods": list(PERIODS),
                "teams": list(sources.snapshot().teams),
                "directories": [str(each) for each in directories(sources.files)],
                "served_from": None if sources.files is None else str(sources.files.directory),
                "earlier": earlier,
                "most": MOST_ENTRIES,
                "wrong": wrong,
                "problems": problems,
            },
            status=HTTPStatus.OK if wrong is None else HTTPStatus.BAD_REQUEST,
        )

    async def one(self, asked: Asked) -> Answer | Elsewhere:
        replay_id = asked.path.removeprefix("/replay/")
        if asked.form is not None:
            await self._off_loop(lambda: self._replays.cancel(replay_id))
            return Elsewhere(f"/replay/{replay_id}")
        found = await self._off_loop(lambda: self._replays.find(replay_id, self._sources.now()))
        if found is None:
            raise UnknownReplay(f"There is no replay {replay_id[:40]!r}; the last ones are listed under Replay.")
        return Answer(
            "replay_run.html" if asked.is_fragment else "replay_one.html",
            {
                "path": "/replay",
                "replay": found,
                "teams": rows(found, "teams", ("team",)),
                "models": rows(found, "models", ("model",)),
                "routes": rows(found, "routes", ("team", "from", "to")),
                "colours": colours(self._sources.catalog()),
            },
        )

    def _begin(self, form: Mapping[str, str]) -> str:
        pasted = form.get("team_file")
        if pasted is not None and len(pasted.encode()) > _MOST_PASTED_BYTES:
            raise InvalidRequest(
                f"The team file is longer than {_MOST_PASTED_BYTES:,} bytes. Put it into a copy of the configuration "
                "directory beside the one that is served, which can then be chosen here.",
                param="team_file",
            )
        sources = self._sources
        now, files = sources.now(), sources.files
        if files is None:
            raise CannotReplay(
                "It is not known where the configuration was read from, so that nothing can be replayed."
            )
        period_name, team = form.get("period", "24h"), form.get("team")
        if period_name not in PERIODS:
            raise InvalidRequest(f"`period` takes one of {', '.join(PERIODS)}.", param="period")
        if team is not None and team not in sources.snapshot().teams:
            raise InvalidRequest(f"There is no team {team[:60]!r}.", param="team")
        against = Path(form.get("against", str(files.directory)))
        if against not in directories(files):
            raise InvalidRequest("Only directories beside the one that is served can be chosen.", param="against")
        period = Period(now - PERIODS[period_name], now, None if team is None else TeamName(team))
        entries = sources.store.count(period)
        if not entries:
            raise CannotReplay("The ledger has no requests in that time; choose a longer one.")
        if entries > MOST_ENTRIES:
            raise CannotReplay(
                f"That are {entries:,} requests, and the console replays {MOST_ENTRIES:,} at most. Choose a shorter "
                "time or one team, or run `penstock replay` in a terminal."
            )
        name = None if pasted is None else _team_of(pasted)
        assert period.since is not None
        return self._replays.begin(
            runs.Asked(
                since=period.since,
                until=period.until,
                team=team,
                against=str(against),
                team_file=name,
                entries=entries,
                begun=now,
            ),
            partial(self._made, against, name, pasted),
        )

    def _made(self, chosen: Path, name: str | None, pasted: str | None, place: Path) -> Path:
        """The directory to decide under: the chosen one, or a copy of it with the pasted file. Raises ConfigError."""
        if name is None or pasted is None:
            self._check(chosen)
            return chosen
        shutil.copytree(chosen, place, ignore=shutil.ignore_patterns(".*"))
        (place / "teams" / f"{name}.yaml").write_text(pasted, encoding="utf-8")
        self._check(place)
        return place


class UnknownReplay(InvalidRequest):
    status = HTTPStatus.NOT_FOUND
    code = "unknown_replay"


def directories(files: Files | None) -> list[Path]:
    """The configuration that is served, and those beside it."""
    if files is None:
        return []
    served = files.directory
    try:
        beside = [each for each in sorted(served.absolute().parent.iterdir()) if (each / MAIN_FILE).is_file()]
    except OSError:
        beside = []
    others = [each for each in beside if each != served.absolute()]
    return [served, *others[:_MOST_DIRECTORIES]]


def _team_of(text: str) -> str:
    """The name of the team whose file it is. Raises InvalidRequest."""
    found = _TEAM.search(text)
    if found is None:
        raise InvalidRequest("A team file begins with `team: NAME`; this one has no such line.", param="team_file")
    return found[2]


def _without_place(problem: str) -> str:
    """A problem by the file's own name: the directory is a passing one."""
    place, colon, rest = problem.partition(":")
    return f"{Path(place).name}{colon}{rest}"


def rows(replay: Replay, group: str, names: tuple[str, ...]) -> list[Row]:
    """The groups of a report, with bars in proportion to the dearest of them."""
    if replay.report is None:
        return []
    groups: list[Mapping[str, Any]] = replay.report[group]
    whole = max((max(each["then_nano_usd"], each["now_nano_usd"]) for each in groups), default=0)
    return [
        Row(
            names=tuple(str(each[name]) for name in names),
            data=each,
            then=bars([each["then_nano_usd"]], whole=whole, length=_BAR)[0],
            now=bars([each["now_nano_usd"]], whole=whole, length=_BAR)[0],
        )
        for each in groups
    ]
