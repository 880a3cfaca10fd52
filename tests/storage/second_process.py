"""A process that writes entries into a store: `python -m tests.storage.second_process PLACE PREFIX COUNT SEED`.

It writes them in batches and in an order of its own, so that several may be given the same entries.
"""

import random
import sys

from tests.storage.entries import entry
from tests.storage.places import opened

_BATCH = 10


def main(place: str, prefix: str, count: int, *, seed: int) -> None:
    entries = [entry(f"{prefix}_{number}") for number in range(count)]
    random.Random(seed).shuffle(entries)
    with opened(place) as store:
        for start in range(0, count, _BATCH):
            store.write(entries[start : start + _BATCH])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), seed=int(sys.argv[4]))
