"""The numbers of several workers in memory that all of them see: whichever is asked answers for all.

`WorkersFigures` is the parent's, which makes the memory and outlives its workers; `SharedFigures` are a worker's. The
client library's own way of doing this keeps floats, of which nano-dollars lose their last digits in a long life, and
a file for each process that ever was; here they are whole numbers, and a worker that is started in the place of a dead
one counts on in its area, so that no counter ever falls.

The memory has a directory of series and an area of numbers for each worker. Only one process writes to an area; the
directory is appended to under a lock, which is asked for when a series is new and at no other time.

Money is exact also when a worker is killed between two instructions. What a request adds is first written down in the
area: which numbers become what (`_REDO`), then how many they are, which is the moment from which on it counts; then it
is done. What a killed worker had begun is finished by the parent. Among these numbers is the mark of the request
counted last, by which whoever replays the worker's journal knows what was counted: every request that it has written
down as done, but possibly for the last one (gateway/settlement.py has them counted between journal and ledger).
"""

import fcntl
import mmap
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from zlib import crc32

import msgspec

from router.errors import PenstockError
from router.telemetry.figures import MOST_HELD, Floats, Ints, Labels

_LAYOUT = 1  # of the memory; to be raised with any change below

# The memory, in bytes: a head, the directory, then the areas.
_HEAD_BYTES = 64
_AREAS_AT_BYTES = 1024 * 1024
_LONGEST_RECORD_BYTES = 4096  # of the directory; label values longer than that are counted with others
# The head, in numbers of eight bytes.
_HEAD_LAYOUT, _HEAD_DIRECTORY_BYTES, _HEAD_RESTARTS, _HEAD_WORKERS = range(4)

# An area, in numbers of eight bytes.
_AREA = 128 * 1024  # pages that nobody has written to take no memory
_ALIVE, _BEAT, _REDO, _NEXT_MARK = range(4)
_PAIRS_AT, _MOST_PAIRS = 8, 128  # a number's index in the area, and what it becomes
_MARKS_AT, _MARKS = 512, 64  # a process, and the request that it counted last
_HELD_AT, _HELD_SIZE = 1024, 9  # calls: is one, place, amount, and 48 bytes of its id
_ID_BYTES = 48
_FIGURES_AT = 80 * 1024


class WorkersFigures:
    """The parent's: makes the memory, finishes what dead workers have begun."""

    def __init__(self, workers: int) -> None:
        self.fd = os.memfd_create("penstock-figures", 0)  # no flag: workers inherit it
        self._size = _AREAS_AT_BYTES + workers * _AREA * 8
        os.ftruncate(self.fd, self._size)
        self._map = mmap.mmap(self.fd, self._size)
        self._numbers = memoryview(self._map).cast("q")
        self._numbers[_HEAD_LAYOUT] = _LAYOUT
        self._numbers[_HEAD_WORKERS] = workers

    def bury(self, index: int) -> None:
        """The worker is dead: what it had begun to count is counted, and nothing is read of it any more but sums."""
        area = self._numbers[_area(index)]
        _finish(area)
        area[_ALIVE] = 0

    def restarted(self) -> None:
        """A worker is about to be started in the place of a dead one."""
        self._numbers[_HEAD_RESTARTS] += 1

    def close(self) -> None:
        """Give the memory back; workers that still live keep theirs."""
        self._numbers.release()
        self._map.close()
        os.close(self.fd)


class StrangeFigures(PenstockError):
    """The memory was made by another version."""

    code = "strange_figures"


class SharedFigures:
    """A worker's. Counts on where the one before it in its place ended."""

    def __init__(self, fd: int, index: int, *, process: str, monotonic_s: Callable[[], float]) -> None:
        """`process` is the name of the worker's journal. Raises StrangeFigures."""
        self._fd = fd
        self._index = index
        self._process = _number_of(process)
        self._monotonic_s = monotonic_s
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        self._numbers = memoryview(self._map).cast("q")
        if self._numbers[_HEAD_LAYOUT] != _LAYOUT:
            raise StrangeFigures(
                "Penstock was updated while it ran: start it anew for its workers to be of one version."
            )
        everybody = range(self._numbers[_HEAD_WORKERS])
        floats = memoryview(self._map).cast("d")
        self._areas = [self._numbers[_area(each)] for each in everybody]
        self._own = self._areas[index]
        self._beats = [floats[_area(each)] for each in everybody]
        self._counts = tuple(area[_FIGURES_AT:] for area in self._areas)
        self._sums = tuple(area[_FIGURES_AT:] for area in self._beats)
        self.ints: Ints = self._counts[index]
        self.floats: Floats = self._sums[index]
        self._money = _Pending(self._own)
        self.money: Ints = self._money
        self._guard = threading.Lock()
        self._places: dict[str, dict[Labels, int]] = {}
        self._read_bytes = 0  # of the directory
        self._next_place = 0
        _finish(self._own)
        self._mark = self._new_mark()
        self._held, self._free = self._found_held()
        self.beat()
        self._own[_ALIVE] = 1

    # Places

    def place(self, family: str, labels: Labels, *, width: int, most: int) -> int | None:
        with self._guard:
            place = self._places.get(family, {}).get(labels)
            if place is not None:
                return place
            with self._locked():
                self._read_directory()
                places = self._places.setdefault(family, {})
                if labels not in places and len(places) < most:
                    self._append(family, labels, width)
                return places.get(labels)

    def series(self, family: str) -> list[tuple[Labels, int]]:
        with self._guard:
            self._read_directory()
            return list(self._places.get(family, {}).items())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the directory. A lock of the process, not of the open file, which all of us have in common."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def _append(self, family: str, labels: Labels, width: int) -> None:
        """A record that is cut short by death is overwritten by the next: it counts once the head says so."""
        record = msgspec.msgpack.encode((width, family, labels))
        begin = _HEAD_BYTES + self._read_bytes
        end = begin + 4 + len(record)
        has_room = self._next_place + width <= _AREA - _FIGURES_AT and end <= _AREAS_AT_BYTES
        if len(record) > _LONGEST_RECORD_BYTES or not has_room:
            return
        self._map[begin:end] = len(record).to_bytes(4, "little") + record
        self._numbers[_HEAD_DIRECTORY_BYTES] = end - _HEAD_BYTES
        self._read_directory()

    def _read_directory(self) -> None:
        written = self._numbers[_HEAD_DIRECTORY_BYTES]
        while self._read_bytes < written:
            begin = _HEAD_BYTES + self._read_bytes + 4
            end = begin + int.from_bytes(self._map[begin - 4 : begin], "little")
            width, family, labels = msgspec.msgpack.decode(self._map[begin:end], type=tuple[int, str, Labels])
            self._places.setdefault(family, {})[labels] = self._next_place
            self._next_place += width
            self._read_bytes = end - _HEAD_BYTES

    # Everybody's

    def counts(self) -> Sequence[Ints]:
        return self._counts

    def sums(self) -> Sequence[Floats]:
        return self._sums

    def readings(self) -> Sequence[Floats]:
        return [sums for area, sums in zip(self._areas, self._sums, strict=True) if area[_ALIVE]]

    def silences_s(self) -> Sequence[float]:
        now_s = self._monotonic_s()
        return [
            now_s - beats[_BEAT]
            for each, (area, beats) in enumerate(zip(self._areas, self._beats, strict=True))
            if area[_ALIVE] and each != self._index
        ]

    def beat(self) -> None:
        self._beats[self._index][_BEAT] = self._monotonic_s()  # one clock for all processes of a machine

    @property
    def workers(self) -> int:
        return sum(area[_ALIVE] for area in self._areas)

    @property
    def restarts(self) -> int:
        return self._numbers[_HEAD_RESTARTS]

    # Money

    def hold(self, call_id: str, place: int, nano_usd: int) -> None:
        if len(self._held) >= MOST_HELD:
            self.release(next(iter(self._held)))
        text = call_id.encode()
        at = self._free.pop() if self._free and len(text) <= _ID_BYTES else None
        if at is not None:
            self._own[at + 1], self._own[at + 2] = place, nano_usd
            padded = text.ljust(_ID_BYTES, b"\0")
            for number in range(_ID_BYTES // 8):
                piece = padded[number * 8 : number * 8 + 8]
                self._own[at + 3 + number] = int.from_bytes(piece, "little", signed=True)
            self._money.become(at, 1)
        self._held[call_id] = (place, nano_usd, at)

    def release(self, call_id: str) -> tuple[int, int] | None:
        found = self._held.pop(call_id, None)
        if found is None:
            return None
        place, nano_usd, at = found
        if at is not None:
            self._money.become(at, 0)
            self._free.append(at)
        return place, nano_usd

    def held(self) -> list[str]:
        return list(self._held)

    def commit(self, request_id: str | None = None) -> None:
        if request_id is not None:
            self._money.become(self._mark + 1, _mark_of(request_id))
        self._money.commit()

    def has_counted(self, process: str, request_id: str, is_last: bool, /) -> bool:
        wanted = _number_of(process)
        for area in self._areas:
            for at in range(_MARKS_AT, _MARKS_AT + 2 * _MARKS, 2):
                if area[at] == wanted:
                    return not is_last or _as_it_will_be(area, at + 1) == _mark_of(request_id)
        return False

    def _new_mark(self) -> int:
        """A place for what this process counts last, in the stead of the one of a process that is long dead."""
        next_mark = self._own[_NEXT_MARK]
        self._own[_NEXT_MARK] = (next_mark + 1) % _MARKS
        at = _MARKS_AT + 2 * next_mark
        self._own[at + 1] = 0
        self._own[at] = self._process
        return at

    def _found_held(self) -> tuple[dict[str, tuple[int, int, int | None]], list[int]]:
        """Calls that the one before has noted, and where there is room for more."""
        held: dict[str, tuple[int, int, int | None]] = {}
        free: list[int] = []
        for at in range(_HELD_AT, _HELD_AT + MOST_HELD * _HELD_SIZE, _HELD_SIZE):
            if self._own[at]:
                pieces = self._own[at + 3 : at + _HELD_SIZE]
                held[bytes(pieces).rstrip(b"\0").decode()] = (self._own[at + 1], self._own[at + 2], at)
            else:
                free.append(at)
        return held, free[::-1]


class _Pending:
    """Numbers of an area that change together: what is set is seen here at once, and by others when it is committed."""

    def __init__(self, area: "memoryview[int]") -> None:
        self._area = area
        self._changes: dict[int, int] = {}  # by index in the area

    def __getitem__(self, place: int, /) -> int:
        at = _FIGURES_AT + place
        changed = self._changes.get(at)
        return self._area[at] if changed is None else changed

    def __setitem__(self, place: int, number: int, /) -> None:
        self._changes[_FIGURES_AT + place] = number

    def become(self, at: int, number: int) -> None:
        """The same for any number of the area."""
        self._changes[at] = number

    def commit(self) -> None:
        changes, area = self._changes, self._area
        if not changes:
            return
        if len(changes) <= _MOST_PAIRS:
            pair = _PAIRS_AT
            for at, number in changes.items():
                area[pair] = at
                area[pair + 1] = number
                pair += 2
            area[_REDO] = len(changes)
        for at, number in changes.items():
            area[at] = number
        area[_REDO] = 0
        changes.clear()


def _area(index: int) -> slice:
    begin = _AREAS_AT_BYTES // 8 + index * _AREA
    return slice(begin, begin + _AREA)


def _finish(area: "memoryview[int]") -> None:
    """Do what its process had written down and not done; once more does no harm."""
    for pair in range(_PAIRS_AT, _PAIRS_AT + 2 * area[_REDO], 2):
        area[area[pair]] = area[pair + 1]
    area[_REDO] = 0


def _as_it_will_be(area: "memoryview[int]", at: int) -> int:
    """The number once the area is finished: its process is dead, and the parent may not know yet."""
    number = area[at]
    for pair in range(_PAIRS_AT, _PAIRS_AT + 2 * area[_REDO], 2):
        if area[pair] == at:
            number = area[pair + 1]
    return number


def _number_of(process: str) -> int:
    return int.from_bytes(blake2b(process.encode(), digest_size=8).digest(), "little", signed=True)


def _mark_of(request_id: str) -> int:
    """Tells the last request of a process from the one before it, for which 32 bits are plenty; 0 is none."""
    return crc32(request_id.encode()) + 1
