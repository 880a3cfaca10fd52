"""A state directory of one process alone: counters in memory must not stand beside another process's."""

import fcntl
import os
from pathlib import Path

from router.errors import PenstockError


class StateInUse(PenstockError):
    code = "state_in_use"


class DirectoryLock:
    """Held from `take` until the process ends or gives it up; the kernel frees it if the process is killed."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "serving.lock"
        self._file = -1

    def take(self) -> None:
        """Raises StateInUse if another process holds it. Taken already, it stays so."""
        if self._file >= 0:
            return
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.give_up()
            raise StateInUse(
                f"Another process serves from {self._path.parent}, and budgets counted in memory cannot be shared. "
                "Give this one a state directory of its own, or configure redis and postgres in penstock.yaml."
            ) from error

    def give_up(self) -> None:
        os.close(self._file)
        self._file = -1
