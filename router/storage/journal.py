"""The journal: what was sent and what came of it, on disk before it happens, so that `kill -9` loses no money.

For each request, in this order: INTENT before money is held for a call, where holds outlive their process; SENT before
the call leaves, HEAD when the provider has named the generation, END when a call is over and another follows, DONE with
the whole ledger entry. Each record is one `write`, which survives the death of the process; with `strict` durability
the disk is waited for as well, which survives a power failure.

A file is a sequence of records: length and CRC-32 of the payload, four bytes each, big-endian, then the payload in
MessagePack. A torn record is what a killed process leaves at the end; reading stops there.

Every process writes into a directory of its own and holds a lock on it. Whoever can take the lock of a directory knows
that its process is dead, and may replay what it left.
"""

import fcntl
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from zlib import crc32

import msgspec
from msgspec.structs import replace

from router.errors import Unavailable
from router.ledger import Attempt, LedgerEntry

_FRAME = struct.Struct(">II")
_SEGMENT_BYTES = 16 * 1024 * 1024  # a file this long is closed, and removed once the ledger has all that is in it
_MOST_PAYLOAD_BYTES = 64 * 1024 * 1024  # a length beyond this is not one: the frame is damaged
_LOCK = "lock"
_SUFFIX = ".journal"


class JournalUnwritable(Unavailable):
    """The journal cannot be written, so nothing that costs money may be sent."""

    code = "journal_unwritable"
    retry_after_s = 5.0


class Intent(msgspec.Struct, frozen=True, tag="I", array_like=True):
    """Money is about to be held for a call."""

    call_id: str


class Sent(msgspec.Struct, frozen=True, tag="S", array_like=True):
    """A call is about to leave. `entry` is what to book if no more is heard of it; its last attempt is this call."""

    entry: LedgerEntry


class Head(msgspec.Struct, frozen=True, tag="H", array_like=True):
    """The provider has named the call, so that its record can be asked for."""

    call_id: str
    generation_id: str


class End(msgspec.Struct, frozen=True, tag="E", array_like=True):
    """A call is over and what it cost is known; its request goes on."""

    attempt: Attempt


class Done(msgspec.Struct, frozen=True, tag="D", array_like=True):
    """The request is over."""

    entry: LedgerEntry


Record = Intent | Sent | Head | End | Done


class Journal:
    """The journal of this process. `write` is called on the event loop; `kept` by the thread that writes the ledger."""

    def __init__(self, directory: Path, *, name: str) -> None:
        self._own = directory / name
        self._encoder = msgspec.msgpack.Encoder()
        self._guard = threading.Lock()
        self._file = -1
        self._lock_file = -1
        self._written = 0  # bytes of the file that are whole records
        self._number = 0
        self._open: dict[str, int] = {}  # request id → number of the file it began in
        self._oldest = 1  # number of the oldest file there is
        self._closed_bytes: dict[int, int] = {}  # by number, of files that are full

    def start(self) -> None:
        """Take this process's directory. Blocks."""
        hidden = self._own.with_name(
            f".{self._own.name}"
        )  # until it is locked, so that nobody takes it for a dead one's
        hidden.mkdir(parents=True)
        self._lock_file = _locked(hidden)
        hidden.rename(self._own)
        self._begin_file()

    def write(self, record: Record, *, request_id: str) -> None:
        """Append the record. Raises JournalUnwritable if it is not wholly on its way to the disk."""
        payload = self._encoder.encode(record)
        frame = _FRAME.pack(len(payload), crc32(payload)) + payload
        with self._guard:
            if self._file < 0:
                raise JournalUnwritable("The journal is closed: this process is stopping. Ask another instance.")
            try:
                written = os.write(self._file, frame)
                if written < len(frame):
                    raise OSError("the disk took only a part")
            except OSError as error:
                os.ftruncate(self._file, self._written)  # what is torn would hide what is written after it
                raise JournalUnwritable(
                    f"The journal cannot be written ({error.strerror or error}); nothing was sent. "
                    "The operator should make room on the disk of the state directory."
                ) from error
            self._written += written
            self._open.setdefault(request_id, self._number)
            if self._written >= _SEGMENT_BYTES:
                with suppress(OSError):  # then this file grows on, and the next record tries again
                    self._begin_file()

    def done(self, entry: LedgerEntry) -> None:
        """Append the whole entry of a request that is over. If that fails the ledger still gets it, from memory."""
        try:  # noqa: SIM105 - suppress costs a microsecond, and this is done for each request
            self.write(Done(entry), request_id=entry.request_id)
        except JournalUnwritable:
            pass

    def kept(self, request_ids: Sequence[str]) -> None:
        """The ledger has these entries now. A file is removed once every open request began in a later one."""
        with self._guard:
            for request_id in request_ids:
                self._open.pop(request_id, None)
            needed_from = min(self._open.values(), default=self._number)
            while self._oldest < needed_from:
                self._path(self._oldest).unlink(missing_ok=True)
                self._closed_bytes.pop(self._oldest, None)
                self._oldest += 1
            if not self._open and self._file >= 0:
                os.ftruncate(self._file, 0)
                self._written = 0

    def size_bytes(self) -> int:
        """What is on the disk: of requests under way, and of those that the ledger may not have yet."""
        with self._guard:
            return self._written + sum(self._closed_bytes.values())

    def sync(self) -> None:
        """Wait until everything written so far is on the disk. Blocks."""
        os.fdatasync(self._file)

    def close(self) -> None:
        """Give the directory up; it is removed if the ledger has everything."""
        with self._guard:
            os.close(self._file)
            self._file = -1
            if not self._open:
                self._path(self._number).unlink()
                (self._own / _LOCK).unlink()
                self._own.rmdir()
            os.close(self._lock_file)

    def _begin_file(self) -> None:
        opened = os.open(self._path(self._number + 1), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if self._file >= 0:
            os.close(self._file)
            self._closed_bytes[self._number] = self._written
        self._file = opened
        self._number += 1
        self._written = 0

    def _path(self, number: int) -> Path:
        return self._own / f"{number:08d}{_SUFFIX}"


class Left:
    """What a dead process left: entries to book, and calls that were never sent."""

    def __init__(self) -> None:
        self.entries: dict[str, LedgerEntry] = {}  # by request id; finished, or as far as they came
        self.unsent: set[str] = set()  # ids of calls for which money may be held, and which never left
        self.processes: list[str] = []  # the names of their journals
        self.done: dict[str, tuple[str, bool]] = {}  # of finished requests: whose, and whether it was his last
        self._last_done: str | None = None  # of the process whose records are being followed

    def begin(self, process: str) -> None:
        """What follows is of this process."""
        self.processes.append(process)
        self._last_done = None

    def take(self, record: Record) -> None:
        """Follow the records in the order they were written."""
        match record:
            case Intent(call_id):
                self.unsent.add(call_id)
            case Sent(entry):
                self.unsent.discard(entry.attempts[-1].id)
                known = self.entries.get(entry.request_id)
                before = known.attempts if known else ()
                self.entries[entry.request_id] = replace(entry, attempts=(*before, entry.attempts[-1]))
            case Head(call_id, generation_id):
                self._amend(call_id, generation_id=generation_id)
            case End(attempt):
                self._amend(attempt.id, attempt=attempt)
            case Done(entry):
                self.entries[entry.request_id] = entry
                if self._last_done is not None:
                    self.done[self._last_done] = (self.processes[-1], False)
                self._last_done = entry.request_id
                self.done[self._last_done] = (self.processes[-1], True)

    def _amend(self, call_id: str, *, generation_id: str | None = None, attempt: Attempt | None = None) -> None:
        entry = self.entries.get(call_id.rpartition(".")[0])
        if entry is None:
            return
        self.entries[entry.request_id] = replace(
            entry,
            attempts=tuple(
                (attempt or replace(each, generation_id=generation_id)) if each.id == call_id else each
                for each in entry.attempts
            ),
        )


@contextmanager
def left_by_the_dead(directory: Path) -> Iterator[Left]:
    """Everything that processes which are no more have left below `directory`, removed once the context ends well."""
    left = Left()
    decoder = msgspec.msgpack.Decoder(Record)
    dead: list[tuple[Path, int]] = []
    for own in sorted(path for path in directory.glob("[!.]*") if path.is_dir()):
        lock_file = _locked_if_free(own)
        if lock_file is None:
            continue
        dead.append((own, lock_file))
        left.begin(own.name)
        for path in sorted(own.glob(f"*{_SUFFIX}")):
            for record in records(path, decoder):
                left.take(record)
    try:
        yield left
    except BaseException:
        for _, lock_file in dead:
            os.close(lock_file)
        raise
    for own, lock_file in dead:
        for path in own.iterdir():
            path.unlink()
        own.rmdir()
        os.close(lock_file)


def records(path: Path, decoder: "msgspec.msgpack.Decoder[Record]") -> Iterator[Record]:
    """The whole records of a file, in order, up to the first torn or damaged one."""
    with path.open("rb") as file:
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum = _FRAME.unpack(frame)
            if length > _MOST_PAYLOAD_BYTES:
                return
            payload = file.read(length)
            if len(payload) < length or crc32(payload) != checksum:
                return
            yield decoder.decode(payload)


def _locked(own: Path) -> int:
    lock_file = os.open(own / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lock_file


def _locked_if_free(own: Path) -> int | None:
    """The lock of a directory whose process is dead, or None if it lives."""
    lock_file = os.open(own / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock_file)
        return None
    return lock_file
