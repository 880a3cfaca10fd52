"""What is kept of memory that was freed, and when it is given back."""

import subprocess
import sys

import pytest

_SCRIPT = """
import random
from pathlib import Path
import anyio
from router.server.interpreter import give_holes_back, keep_giving_back

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

def make_holes():
    chance = random.Random(1)
    held = [bytes(chance.randrange(600, 20_000)) for _ in range(10_000)]
    return [each if chance.random() < 0.6 else None for each in held]
"""
_HOLES = """
held = make_holes()
before = resident_mib()
give_holes_back()
print(before - resident_mib())
"""
_SOON = """
class Enough(Exception):
    pass

looks, memory = [], []

async def sleep(seconds):
    memory.append(resident_mib())
    if len(looks) > {looks}:
        raise Enough
    looks.append(seconds)

async def main():
    held = make_holes()
    try:
        await keep_giving_back(lambda: {is_short}, sleep)
    except Enough:
        print(memory[0] - memory[-1])

anyio.run(main)
"""


def printed(script: str) -> float:
    ran = subprocess.run([sys.executable, "-c", _SCRIPT + script], capture_output=True, text=True, check=True)
    return float(ran.stdout)


def test_what_was_freed_between_what_is_held_is_given_back() -> None:
    """After many requests at once a process kept tens of megabytes that nobody held."""
    assert printed(_HOLES) > 15


@pytest.mark.parametrize(
    ("is_short", "looks", "is_given_back"), [(True, 1, True), (False, 58, False), (False, 60, True)]
)
def test_it_is_given_back_once_a_minute_and_at_once_where_memory_is_short(
    *, is_short: bool, looks: int, is_given_back: bool
) -> None:
    assert (printed(_SOON.format(is_short=is_short, looks=looks)) > 15) is is_given_back
