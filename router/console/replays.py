"""Replays that the console has begun: `Replays`. Each is `penstock replay` in a process of its own, in a directory.

A process of its own, since deciding a day again keeps an interpreter busy for minutes, and requests would wait for it.
The directory is the record: any process that serves with the same state directory shows it, and it outlives them.

    asked.json      what was asked
    against/        the configuration to decide under, where a team's file was pasted
    progress        the command's standard error: `read N of M`, or why it failed
    report.json     its standard output
    ended           its exit code, once it has ended; `cancelled` or `took too long` in its place
    cancel          somebody wants it to end
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from router.errors import CallerError

MOST_ENTRIES = 300_000
LONGEST_S = 600.0
_KEPT = 8
_LOOK_S = 0.2
_ID_DIGITS = 12


class CannotReplay(CallerError):
    """Nothing was begun."""

    code = "cannot_replay"


class Asked(msgspec.Struct, frozen=True):
    """What a replay is of."""

    since: datetime
    until: datetime
    team: str | None
    against: str  # a directory, as a person knows it
    team_file: str | None  # the team whose file was pasted
    entries: int
    begun: datetime


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay as it is now."""

    id: str
    asked: Asked
    state: str  # running, done, failed, cancelled
    read: int  # entries, of `of`
    of: int
    why: str | None  # it failed
    report: dict[str, Any] | None

    @property
    def share(self) -> float:
        return min(self.read / self.of, 1.0) if self.of else 0.0


Command = Callable[[Asked, Path], Sequence[str]]


class Replays:
    """Blocks; safe to share between threads."""

    def __init__(self, directory: Path, *, command: Command, new_id: Callable[[], str]) -> None:
        """`command` is what to run for a replay, with the directory of the configuration to decide under."""
        self._directory = directory
        self._command = command
        self._new_id = new_id
        self._guard = threading.Lock()  # of beginning one

    def begin(self, asked: Asked, against: Callable[[Path], Path]) -> str:
        """Its id. `against` says where the configuration is, and may put it below the path it is given.

        Raises CannotReplay while another one runs, and whatever `against` raises.
        """
        with self._guard:
            running = next((each for each in self.all(asked.begun) if each.state == "running"), None)
            if running is not None:
                raise CannotReplay("Another replay is running: wait for it, or cancel it.")
            replay_id = self._new_id()[:_ID_DIGITS]
            home = self._directory / replay_id
            home.mkdir(parents=True, mode=0o700)
            with ExitStack() as undo:
                undo.callback(shutil.rmtree, home)
                configuration = against(home / "against")
                undo.pop_all()
            (home / "asked.json").write_bytes(msgspec.json.encode(asked))
            self._forget_old()
            with (home / "report.json").open("wb") as report, (home / "progress").open("wb") as progress:
                process = subprocess.Popen(  # noqa: S603 - our own program; what was asked has been checked
                    self._command(asked, configuration),
                    stdin=subprocess.DEVNULL,
                    stdout=report,
                    stderr=progress,
                    start_new_session=True,  # a Ctrl-C in the terminal of the server is not meant for it
                )
        threading.Thread(target=_watch, args=(process, home), name="replay", daemon=True).start()
        return replay_id

    def cancel(self, replay_id: str) -> None:
        home = self._home(replay_id)
        if home is not None:
            (home / "cancel").touch()

    def find(self, replay_id: str, now: datetime) -> Replay | None:
        home = self._home(replay_id)
        return None if home is None else _read(home, now)

    def all(self, now: datetime) -> list[Replay]:
        """Newest first."""
        if not self._directory.is_dir():
            return []
        found = [replay for home in self._directory.iterdir() if (replay := _read(home, now)) is not None]
        return sorted(found, key=lambda each: each.asked.begun, reverse=True)

    def _home(self, replay_id: str) -> Path | None:
        is_id = replay_id.isalnum() and replay_id.isascii() and len(replay_id) == _ID_DIGITS
        home = self._directory / replay_id
        return home if is_id and home.is_dir() else None

    def _forget_old(self) -> None:
        homes = sorted(
            (each for each in self._directory.iterdir() if (each / "ended").exists()),
            key=lambda each: each.stat().st_mtime,
        )
        for home in homes[:-_KEPT]:
            shutil.rmtree(home, ignore_errors=True)


def _watch(process: "subprocess.Popen[bytes]", home: Path) -> None:
    """Until it has ended, was cancelled, or has taken too long."""
    ended = ""
    waited_s = 0.0
    while not ended:
        with suppress(subprocess.TimeoutExpired):
            ended = str(process.wait(_LOOK_S))
            break
        waited_s += _LOOK_S
        if (home / "cancel").exists():
            ended = "cancelled"
        elif waited_s > LONGEST_S:
            ended = "took too long"
    if process.poll() is None:
        process.kill()
        process.wait()
    part = home / "ended.part"
    with suppress(OSError):  # the directory was removed meanwhile
        part.write_text(ended)
        os.replace(part, home / "ended")


def _read(home: Path, now: datetime) -> Replay | None:
    """None: it is no replay's directory, or is being made."""
    try:
        asked = msgspec.json.decode((home / "asked.json").read_bytes(), type=Asked)
    except (OSError, msgspec.DecodeError):
        return None
    ended = _text(home / "ended").strip()
    progress = _text(home / "progress")
    read, of = _progress(progress)
    if not ended:
        if (now - asked.begun.astimezone(UTC)).total_seconds() > LONGEST_S + 60:
            return Replay(home.name, asked, "failed", read, of, "The process that ran it has ended.", None)
        return Replay(home.name, asked, "running", read, of, None, None)
    if ended == "0":
        try:
            return Replay(
                home.name, asked, "done", of, of, None, msgspec.json.decode((home / "report.json").read_bytes())
            )
        except (OSError, msgspec.DecodeError):
            ended = "its report cannot be read"
    if ended == "cancelled":
        return Replay(home.name, asked, "cancelled", read, of, None, None)
    told = [line for line in progress.splitlines() if not line.startswith("read ")]
    why = f"It took longer than {LONGEST_S:.0f} s." if ended == "took too long" else "\n".join(told[-12:]) or ended
    return Replay(home.name, asked, "failed", read, of, why, None)


def _progress(text: str) -> tuple[int, int]:
    lines = [line.split() for line in text.splitlines() if line.startswith("read ")]
    if not lines or len(lines[-1]) != 4 or not (lines[-1][1].isdigit() and lines[-1][3].isdigit()):
        return 0, 0
    return int(lines[-1][1]), int(lines[-1][3])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
