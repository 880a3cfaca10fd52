"""The journal: what a killed process leaves, whole records or torn ones, is what the next one books."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ledger import LedgerEntry, Outcome
from router.storage.journal import Done, End, Head, Intent, Journal, JournalUnwritable, Record, Sent, left_by_the_dead
from router.units import CostSource
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


def test_a_closed_journal_takes_nothing_more(tmp_path: Path) -> None:
    journal = Journal(tmp_path, name="process")
    journal.start()
    journal.close()

    with pytest.raises(JournalUnwritable):
        journal.write(Intent("req_1.1"), request_id="req_1")


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
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))
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
