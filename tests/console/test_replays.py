"""Replays run in processes of their own: they end, fail, are cancelled, and are seen by whoever has the directory."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from router.console.replays import LONGEST_S, Asked, CannotReplay, Replay, Replays
from tests.waiting import eventually

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ASKED = Asked(NOW - timedelta(hours=1), NOW, None, "config", None, entries=4, begun=NOW)


class Runs:
    """Replays whose command is a program of the test's."""

    def __init__(self, directory: Path, program: str) -> None:
        self._program = program
        self.numbers = iter(range(1, 99))
        self.replays = Replays(directory, command=self._command, new_id=lambda: f"{next(self.numbers):012d}")

    def _command(self, _: Asked, against: Path) -> Sequence[str]:
        return [sys.executable, "-c", self._program, str(against)]

    def begin(self) -> str:
        return self.replays.begin(ASKED, lambda place: place)

    def ended(self, replay_id: str) -> Replay:
        def found() -> Replay:
            replay = self.replays.find(replay_id, NOW)
            assert replay is not None
            return replay

        eventually(lambda: found().state != "running", within_s=20)
        return found()


def test_what_the_command_says_is_the_report_and_is_seen_by_another_process(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "import sys; print('read 8 of 8', file=sys.stderr); print('{\"requests\": 4}')")

    ended = runs.ended(runs.begin())

    assert (ended.state, ended.report, ended.share) == ("done", {"requests": 4}, 1.0)
    another = Replays(tmp_path, command=lambda _, __: [], new_id=lambda: "")
    assert [each.report for each in another.all(NOW)] == [{"requests": 4}]


def test_how_far_it_is_can_be_seen_and_it_can_be_cancelled_from_elsewhere(tmp_path: Path) -> None:
    wait = "import sys, time; print('read 2 of 8', file=sys.stderr, flush=True); time.sleep(60)"
    runs = Runs(tmp_path, wait)
    replay_id = runs.begin()

    def share() -> float:
        replay = runs.replays.find(replay_id, NOW)
        return 0.0 if replay is None else replay.share

    eventually(lambda: share() == 0.25, within_s=20)
    with pytest.raises(CannotReplay):
        runs.begin()
    Replays(tmp_path, command=lambda _, __: [], new_id=lambda: "").cancel(replay_id)

    assert runs.ended(replay_id).state == "cancelled"


def test_what_went_wrong_is_told_as_the_command_told_it(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "import sys; print('read 1 of 8', file=sys.stderr); sys.exit('The store is out of reach.')")

    ended = runs.ended(runs.begin())

    assert (ended.state, ended.why) == ("failed", "The store is out of reach.")


def test_one_whose_server_has_died_is_given_up_when_its_time_is_over(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "")
    replay_id = runs.begin()
    runs.ended(replay_id)
    (tmp_path / replay_id / "ended").unlink()

    late = runs.replays.find(replay_id, NOW + timedelta(seconds=LONGEST_S + 120))

    assert late is not None
    assert late.state == "failed"


def test_where_the_configuration_cannot_be_had_nothing_is_left_behind(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "")

    def refusing(_: Path) -> Path:
        raise CannotReplay("no")

    with pytest.raises(CannotReplay):
        runs.replays.begin(ASKED, refusing)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("replay_id", ["", "..", "../../etc", "0123456789ab/..", "é" * 12, "0123456789abc"])
def test_only_ids_are_looked_for(tmp_path: Path, replay_id: str) -> None:
    assert Runs(tmp_path / "replays", "").replays.find(replay_id, NOW) is None


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "print('{}')")

    for _ in range(11):
        runs.ended(runs.begin())

    assert 8 <= len(runs.replays.all(NOW)) <= 9
