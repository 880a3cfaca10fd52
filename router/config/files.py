"""Where a configuration's bytes come from: the disk, or what somebody read there earlier and has kept: `Files`.

`Recorded` notes what is read while a configuration is loaded; its `record`, as bytes, gives the same configuration
later, in another process, whatever has become of the files meanwhile. It holds secrets that stand in files.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec


class Files(Protocol):
    """What loading a configuration asks."""

    def is_directory(self, path: Path) -> bool:
        """Whether it is there, and one."""

    def names(self, directory: Path) -> Sequence[str]:
        """What is in the directory, in order; nothing where there is none."""

    def content(self, path: Path) -> bytes:
        """Raises OSError."""


class OnDisk:
    """The files as they are now."""

    def is_directory(self, path: Path) -> bool:
        return path.is_dir()

    def names(self, directory: Path) -> Sequence[str]:
        try:
            return sorted(each.name for each in directory.iterdir())
        except OSError:
            return ()

    def content(self, path: Path) -> bytes:
        return path.read_bytes()


ON_DISK = OnDisk()


class _Record(msgspec.Struct, frozen=True):
    directories: dict[str, Sequence[str]]
    contents: dict[str, bytes]


class Recorded:
    """Other files, and a note of everything that was read of them."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._directories: dict[str, Sequence[str]] = {}
        self._contents: dict[str, bytes] = {}

    def is_directory(self, path: Path) -> bool:
        is_one = self._files.is_directory(path)
        if is_one:
            self._directories.setdefault(str(path), ())
        return is_one

    def names(self, directory: Path) -> Sequence[str]:
        names = self._directories[str(directory)] = self._files.names(directory)
        return names

    def content(self, path: Path) -> bytes:
        content = self._contents[str(path)] = self._files.content(path)
        return content

    @property
    def record(self) -> bytes:
        """For `Kept`."""
        return msgspec.msgpack.encode(_Record(self._directories, self._contents))


class Kept:
    """The files as they were when the record was made."""

    def __init__(self, record: bytes) -> None:
        self._record = msgspec.msgpack.decode(record, type=_Record)

    def is_directory(self, path: Path) -> bool:
        return str(path) in self._record.directories

    def names(self, directory: Path) -> Sequence[str]:
        return self._record.directories.get(str(directory), ())

    def content(self, path: Path) -> bytes:
        content = self._record.contents.get(str(path))
        if content is None:
            raise FileNotFoundError(str(path))
        return content
