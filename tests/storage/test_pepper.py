"""The pepper is made once, is for its owner's eyes, and is never replaced in silence."""

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from router.storage.pepper import DamagedPepper, pepper


def test_the_pepper_is_made_on_first_use_and_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "state" / "pepper"

    first = pepper(path, secrets.token_bytes)

    assert len(first) == 32
    assert pepper(path, secrets.token_bytes) == first == path.read_bytes()


def test_only_its_owner_may_read_the_pepper_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    before = os.umask(0)
    try:
        pepper(path, secrets.token_bytes)
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o600


def test_several_that_start_at_the_same_time_agree_on_one_pepper(tmp_path: Path) -> None:
    for attempt in range(20):
        path = tmp_path / str(attempt) / "pepper"
        with ThreadPoolExecutor(8) as threads:
            peppers = set(threads.map(lambda _, at=path: pepper(at, secrets.token_bytes), range(8)))

        assert len(peppers) == 1
        assert [each.name for each in path.parent.iterdir()] == ["pepper"]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_pepper_is_reported_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pepper"
    path.write_bytes(content)

    with pytest.raises(DamagedPepper) as damage:
        pepper(path, secrets.token_bytes)

    assert damage.value.message == (
        f"{path} should hold 32 bytes and holds {len(content)}. Restore it from a backup; "
        "or delete it and create all keys anew."
    )
    assert path.read_bytes() == content
