"""The journal: what a killed process leaves, whole records or torn ones, is what the next one books."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.ledger import LedgerEntry, Outcome
from router.storage.journal import Done, End, Head, Intent, Journal, JournalUnwritable, Record, Sent, left_by_the_dead
from router.units import CostSource
from tests.replacing import replace
from tests.storage.entries import attempt, entry

IN_DOUBT = replace(attempt(outcome="lost", usage=None, source=CostSource.HELD), generation_id=None)
LOST = replace(entry("req_1", IN_DOUBT), outcome=Outcome.LOST)


def left(directory: Path) -> list[LedgerEntry]:
    with left_by_the_dead(directory) as left:
        return list(left.entries.values())


def written(directory: Path, *records: Record, name: str = "process") -> None:
    """What a process leaves that wrote these records and died."""
    journal = Journal(directory, name=name)
    journal.start()
    for record in records:
        journal.write(record, request_id="req_1")
    os.close(journal._file)
    os.close(journal._lock_file)  # as the kernel does it for the dead


def started(directory: Path) -> Journal:
    journal = Journal(directory, name="process")
    journal.start()
    return journal


def as_if_killed(journal: Journal) -> None:
    """Lets go of the files without a word, as the kernel does for the dead."""
    os.close(journal._file)
    os.close(journal._lock_file)


def sizes(directory: Path) -> list[int]:
    return [path.stat().st_size for path in sorted(directory.glob("process/*.journal"))]


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Stands in for a disk that is full: the kernel writes what fits, and then refuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_finished_request_is_left_whole(tmp_path: Path) -> None:
    done = entry("req_1", attempt())

    written(tmp_path, Intent("req_1.1"), Sent(LOST), Done(done))

    assert left(tmp_path) == [done]
    assert list(tmp_path.iterdir()) == []


def test_a_call_that_was_sent_and_never_heard_of_is_booked_at_what_was_held(tmp_path: Path) -> None:
    written(tmp_path, Intent("req_1.1"), Sent(LOST))

    assert left(tmp_path) == [LOST]


def test_a_call_whose_generation_was_named_can_be_asked_about(tmp_path: Path) -> None:
    written(tmp_path, Intent("req_1.1"), Sent(LOST), Head("req_1.1", "gen-1"))

    (only,) = left(tmp_path)
    assert only.attempts == (replace(IN_DOUBT, generation_id="gen-1"),)


def test_a_call_that_ended_before_another_began_is_booked_at_its_own_cost(tmp_path: Path) -> None:
    refused = attempt(outcome="upstream_503", cost_nano_usd=0)
    second = replace(IN_DOUBT, id="req_1.2")

    written(
        tmp_path,
        Intent("req_1.1"), Sent(LOST), End(refused), Intent("req_1.2"), Sent(replace(LOST, attempts=(second,))),
    )  # fmt: skip

    (only,) = left(tmp_path)
    assert only.attempts == (refused, second)


def test_money_held_for_a_call_that_never_left_is_known_to_be_free(tmp_path: Path) -> None:
    written(tmp_path, Intent("req_1.1"))

    with left_by_the_dead(tmp_path) as what_is_left:
        assert what_is_left.unsent == {"req_1.1"}
        assert what_is_left.entries == {}


def test_a_call_that_left_is_not_among_those_that_never_did(tmp_path: Path) -> None:
    written(tmp_path, Intent("req_1.1"), Sent(LOST))

    with left_by_the_dead(tmp_path) as what_is_left:
        assert what_is_left.unsent == set()


def test_a_generation_is_that_of_the_call_it_was_named_for_alone(tmp_path: Path) -> None:
    first, second = replace(IN_DOUBT, id="tenant.req.1"), replace(IN_DOUBT, id="tenant.req.2")
    of_a_tenant = replace(LOST, request_id="tenant.req")

    written(
        tmp_path,
        Sent(replace(of_a_tenant, attempts=(first,))),
        Sent(replace(of_a_tenant, attempts=(second,))),
        Head("tenant.req.2", "gen-2"),
        Head("nobody.1", "gen-3"),
    )

    (only,) = left(tmp_path)
    assert only.attempts == (first, replace(second, generation_id="gen-2"))


@settings(deadline=None)  # it writes files
@given(cut=st.integers(min_value=0, max_value=2_000), junk=st.binary(max_size=40))
def test_what_is_torn_or_damaged_at_the_end_hides_nothing_before_it(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    written(directory, Sent(LOST), Done(entry("req_1", attempt())))
    (path,) = directory.glob("process/*.journal")
    content = path.read_bytes()
    first = 8 + int.from_bytes(content[:4], "big")
    kept = content[: max(first, len(content) - cut)]
    path.write_bytes(kept + (junk if len(kept) < len(content) else b""))

    (only,) = left(directory)

    assert only == (entry("req_1", attempt()) if len(kept) == len(content) else LOST)


def test_the_journal_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, name="living")
    journal.start()
    journal.write(Sent(LOST), request_id="req_1")

    # Another process looks: a lock belongs to an open file, so looking from this one would not tell.
    looked = subprocess.run(
        [sys.executable, "-c", _LOOK, str(tmp_path)], capture_output=True, text=True, check=True, timeout=30
    )

    assert looked.stdout.strip() == "0"
    journal.kept(["req_1"])
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_process_killed_in_the_middle_leaves_everything_it_wrote(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _WRITE, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    assert left(tmp_path) == [LOST]


def test_files_are_removed_once_the_ledger_has_what_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.storage.journal._SEGMENT_BYTES", 1_000)
    journal = Journal(tmp_path, name="process")
    journal.start()
    for number in range(50):
        journal.write(Done(entry(f"req_{number}", attempt())), request_id=f"req_{number}")
    many = len(list(tmp_path.glob("process/*.journal")))

    journal.kept([f"req_{number}" for number in range(49)])

    assert many > 10
    assert len(list(tmp_path.glob("process/*.journal"))) <= 2
    journal.kept(["req_49"])
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_that_leaves_the_journal_readable(tmp_path: Path) -> None:
    """With a limit on the size of files standing in for the disk: the kernel writes a part, then refuses."""
    ended = subprocess.run(
        [sys.executable, "-c", _FILL, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )

    whole = int(ended.stdout)
    assert whole > 3
    assert len(left(tmp_path)) == whole


@pytest.mark.parametrize("before", ["nothing", "a record", "records that are kept", "a file that is full"])
@pytest.mark.parametrize(("more", "why"), [(0, "File too large"), (9, "the disk took only a part")])
def test_a_record_for_which_there_is_no_room_is_refused_and_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, more: int, why: str
) -> None:
    journal = started(tmp_path)
    if before == "a file that is full":
        monkeypatch.setattr("router.storage.journal._SEGMENT_BYTES", 1)
    if before != "nothing":
        journal.write(Sent(LOST), request_id="req_1")
    if before == "records that are kept":
        journal.kept(["req_1"])
    held = sizes(tmp_path)

    with no_file_longer_than(held[-1] + more), pytest.raises(JournalUnwritable) as refusal:
        journal.write(Intent("req_2.1"), request_id="req_2")

    assert refusal.value.message == (
        f"The journal cannot be written ({why}); nothing was sent. "
        "The operator should make room on the disk of the state directory."
    )
    assert sizes(tmp_path) == held
    journal.write(Sent(replace(LOST, request_id="req_3")), request_id="req_3")
    as_if_killed(journal)
    kept_or_never_written = before in {"nothing", "records that are kept"}
    assert [each.request_id for each in left(tmp_path)] == (["req_3"] if kept_or_never_written else ["req_1", "req_3"])


def test_a_closed_journal_takes_nothing_more(tmp_path: Path) -> None:
    journal = started(tmp_path)
    journal.close()

    with pytest.raises(JournalUnwritable) as refusal:
        journal.write(Intent("req_1.1"), request_id="req_1")
    assert refusal.value.message == "The journal is closed: this process is stopping. Ask another instance."
    assert (refusal.value.status, refusal.value.code, refusal.value.retry_after_s) == (503, "journal_unwritable", 5.0)


def test_the_end_of_a_request_is_written_and_one_that_cannot_be_is_left_to_the_ledger(tmp_path: Path) -> None:
    done = entry("req_1", attempt())
    journal = started(tmp_path)
    journal.done(done)
    with no_file_longer_than(*sizes(tmp_path)):
        journal.done(entry("req_2", attempt()))

    journal.sync()
    journal.kept(["req_2"])
    as_if_killed(journal)

    assert left(tmp_path) == [done]


def test_a_file_whose_requests_are_all_over_and_kept_is_emptied(tmp_path: Path) -> None:
    journal = started(tmp_path)
    journal.done(entry("req_1", attempt()))
    assert sizes(tmp_path) != [0]

    journal.kept(["req_1"])

    assert sizes(tmp_path) == [0]
    journal.close()


def test_its_size_is_that_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.storage.journal._SEGMENT_BYTES", 1_000)
    journal = started(tmp_path)
    assert journal.size_bytes() == 0
    for number in range(10):
        journal.done(entry(f"req_{number}", attempt()))
    assert journal.size_bytes() == sum(sizes(tmp_path)) > 3_000

    journal.kept([f"req_{number}" for number in range(5)])
    assert journal.size_bytes() == sum(sizes(tmp_path)) > 1_000

    journal.kept([f"req_{number}" for number in range(5, 10)])
    assert journal.size_bytes() == sum(sizes(tmp_path)) == 0
    journal.close()


def test_of_finished_requests_it_is_known_whose_they_were_and_which_was_the_last(tmp_path: Path) -> None:
    first, second, third = (Done(entry(f"req_{number}", attempt())) for number in range(3))
    written(tmp_path, first, second, Sent(replace(LOST, request_id="req_9")), name="one")
    written(tmp_path, third, name="other")
    written(tmp_path, Intent("req_8.1"), name="third")

    with left_by_the_dead(tmp_path) as left:
        assert left.done == {"req_0": ("one", False), "req_1": ("one", True), "req_2": ("other", True)}
        assert left.processes == ["one", "other", "third"]


def test_a_record_that_is_whole_but_damaged_ends_what_can_be_read(tmp_path: Path) -> None:
    written(tmp_path, Intent("req_1.1"), Intent("req_1.2"), Intent("req_1.3"))
    (path,) = tmp_path.glob("process/*.journal")
    content = path.read_bytes()
    assert content.count(b"req_1.2") == 1
    path.write_bytes(content.replace(b"req_1.2", b"req_1.9"))

    with left_by_the_dead(tmp_path) as what_is_left:
        assert what_is_left.unsent == {"req_1.1"}


def test_a_process_may_be_the_first_to_use_a_state_directory(tmp_path: Path) -> None:
    journal = started(tmp_path / "state" / "journals")

    assert [path.name for path in sorted((tmp_path / "state" / "journals" / "process").iterdir())] == [
        "00000001.journal",
        "lock",
    ]
    journal.close()


def test_nobody_else_may_read_what_a_process_writes(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal = started(tmp_path)
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "process").iterdir()}
    finally:
        os.umask(before)
    journal.close()

    assert modes == {"00000001.journal": 0o600, "lock": 0o600}


def test_a_directory_without_a_lock_is_that_of_a_dead_process(tmp_path: Path) -> None:
    written(tmp_path, Sent(LOST))
    (tmp_path / "process" / "lock").unlink()
    before = os.umask(0)
    try:
        with left_by_the_dead(tmp_path) as what_is_left:
            assert list(what_is_left.entries.values()) == [LOST]
            assert (tmp_path / "process" / "lock").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_looking_at_the_living_does_not_keep_their_locks_open(tmp_path: Path) -> None:
    journal = started(tmp_path)
    journal.write(Sent(LOST), request_id="req_1")
    descriptors = len(os.listdir("/proc/self/fd"))

    assert left(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors
    as_if_killed(journal)
    assert left(tmp_path) == [LOST]


def test_a_file_ends_with_the_record_that_fills_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = started(tmp_path)
    journal.write(Intent("req_1.1"), request_id="req_1")
    (length,) = sizes(tmp_path)
    monkeypatch.setattr("router.storage.journal._SEGMENT_BYTES", 2 * length)

    journal.write(Intent("req_1.2"), request_id="req_1")
    journal.write(Intent("req_1.3"), request_id="req_1")

    assert sizes(tmp_path) == [2 * length, length]
    as_if_killed(journal)


def test_a_file_that_cannot_be_followed_by_another_grows_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.storage.journal._SEGMENT_BYTES", 1)
    journal = started(tmp_path)
    in_the_way = tmp_path / "process" / "00000002.journal"
    in_the_way.mkdir()
    journal.write(Sent(LOST), request_id="req_1")
    in_the_way.rmdir()
    journal.write(Head("req_1.1", "gen-1"), request_id="req_1")
    journal.write(Intent("req_1.2"), request_id="req_1")
    as_if_killed(journal)

    assert len(sizes(tmp_path)) == 3
    (only,) = left(tmp_path)
    assert only.attempts == (replace(IN_DOUBT, generation_id="gen-1"),)


def test_what_the_ledger_keeps_may_be_unknown_here_and_its_file_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.storage.journal._SEGMENT_BYTES", 1)
    journal = started(tmp_path)
    for number in (1, 2, 3):
        journal.write(Intent(f"req_{number}.1"), request_id=f"req_{number}")
    (tmp_path / "process" / "00000001.journal").unlink()

    journal.kept(["req_0", "req_1", "req_2"])

    assert [path.name for path in sorted(tmp_path.glob("process/*.journal"))] == [
        "00000003.journal",
        "00000004.journal",
    ]
    as_if_killed(journal)


@pytest.mark.parametrize(("longest", "is_read"), [(0, True), (-1, False)])
def test_a_length_beyond_what_a_record_can_have_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest: int, is_read: bool
) -> None:
    written(tmp_path, Sent(LOST))
    payload = sizes(tmp_path)[0] - 8
    monkeypatch.setattr("router.storage.journal._MOST_PAYLOAD_BYTES", payload + longest)

    assert left(tmp_path) == ([LOST] if is_read else [])


def test_every_record_reads_back_as_it_was_written() -> None:
    records: list[Record] = [Intent("a.1"), Sent(LOST), Head("a.1", "gen-1"), End(IN_DOUBT), Done(entry("req_2"))]
    decoder = msgspec.msgpack.Decoder(Record)

    assert [decoder.decode(msgspec.msgpack.encode(record)) for record in records] == records


_LOOK = """
import pathlib, sys
from router.storage.journal import left_by_the_dead
with left_by_the_dead(pathlib.Path(sys.argv[1])) as left:
    print(len(left.entries))
"""

_WRITE = """
import pathlib, sys
from router.storage.journal import Journal, Sent
from tests.storage.test_journal import LOST
journal = Journal(pathlib.Path(sys.argv[1]), name="killed")
journal.start()
journal.write(Sent(LOST), request_id="req_1")
print("written", flush=True)
sys.stdin.read()
"""

_FILL = """
import pathlib, resource, signal, sys
from router.storage.journal import Done, Journal, JournalUnwritable
from tests.storage.entries import attempt, entry
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(pathlib.Path(sys.argv[1]), name="full")
journal.start()
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
written = 0
for number in range(100):
    try:
        journal.write(Done(entry(f"req_{number}", attempt())), request_id=f"req_{number}")
        written += 1
    except JournalUnwritable:
        pass
print(written)
"""


def test_a_second_call_in_a_later_file_is_not_forgotten_with_the_others_of_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file once was emptied when all requests that *began* in it were kept."""
    monkeypatch.setattr("router.storage.journal._SEGMENT_BYTES", 1_500)
    journal = Journal(tmp_path, name="process")
    journal.start()
    journal.write(Sent(LOST), request_id="req_1")
    while len(list(tmp_path.glob("process/*.journal"))) == 1:
        journal.write(Done(entry("req_2", attempt())), request_id="req_2")
    second = replace(LOST, attempts=(replace(IN_DOUBT, id="req_1.2"),))
    journal.write(Sent(second), request_id="req_1")
    journal.kept(["req_2"])
    os.close(journal._file)
    os.close(journal._lock_file)

    (only,) = [each for each in left(tmp_path) if each.request_id == "req_1"]

    assert [each.id for each in only.attempts] == ["req_1.1", "req_1.2"]
