"""What a process may have of memory, as its control groups and the machine tell it."""

from pathlib import Path

from router.telemetry.cpu import busy
from router.telemetry.memory import MemoryUse, memory_limit_bytes, resident_bytes

_MACHINE = "MemTotal:       1000 kB\nMemFree: 3 kB\n"


def machine(root: Path, groups: str, limits: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(_MACHINE)
    (root / "proc/self/cgroup").write_text(groups)
    for path, limit in limits.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(limit + "\n")
    return root


def test_the_least_limit_of_a_group_and_those_around_it_counts(tmp_path: Path) -> None:
    limits = {"sys/fs/cgroup/a/memory.max": "4096", "sys/fs/cgroup/a/b/memory.max": "max"}
    root = machine(tmp_path, "0::/a/b\n", limits)

    assert memory_limit_bytes(root) == 4096


def test_groups_of_version_one_count_as_well(tmp_path: Path) -> None:
    root = machine(tmp_path, "4:cpu,memory:/a\n1:pids:/\n", {"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "8192"})

    assert memory_limit_bytes(root) == 8192


def test_without_a_limit_it_is_what_the_machine_has(tmp_path: Path) -> None:
    assert memory_limit_bytes(machine(tmp_path, "0::/\n", {})) == 1000 * 1024


def test_where_nothing_is_told_nothing_is_short(tmp_path: Path) -> None:
    assert MemoryUse(limit_bytes=memory_limit_bytes(tmp_path)).share() < 0.01
    assert resident_bytes(tmp_path / "statm") == 0


def test_workers_have_equal_parts_of_what_there_is() -> None:
    alone, shared = (MemoryUse(limit_bytes=1 << 30, processes=number).share() for number in (1, 4))

    assert alone > 0.01
    assert 3.5 < shared / alone < 4.5


def test_time_in_which_a_core_was_waited_for_is_busy(tmp_path: Path) -> None:
    schedstat = tmp_path / "schedstat"
    schedstat.write_text("1 5000000000 7\n")

    waited, alone = busy(schedstat), busy(tmp_path / "none")

    assert 4.9 < waited.all_s - alone.all_s < 5.5
    assert abs(waited.loop_s - alone.loop_s) < 0.5
    assert alone.loop_s <= busy(schedstat).all_s - 4.9
