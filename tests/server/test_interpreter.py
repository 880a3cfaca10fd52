"""Memory that is given back."""

import subprocess
import sys

_HOLES = """
import random
from pathlib import Path
from router.server.interpreter import give_holes_back

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

chance = random.Random(1)
held = [bytes(chance.randrange(600, 20_000)) for _ in range(10_000)]
held = [each if chance.random() < 0.6 else None for each in held]
before = resident_mib()
give_holes_back()
print(before - resident_mib())
"""


def test_what_was_freed_between_what_is_held_is_given_back() -> None:
    """After many requests at once a process kept tens of megabytes that nobody held."""
    ran = subprocess.run([sys.executable, "-c", _HOLES], capture_output=True, text=True, check=True)

    assert float(ran.stdout) > 15
