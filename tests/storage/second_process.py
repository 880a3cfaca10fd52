"""A process that writes entries of its own into a store: `python -m tests.storage.second_process PATH COUNT`."""

import sys
from pathlib import Path

from router.storage.sqlite import SqliteStore
from tests.storage.entries import entry


def main(path: Path, count: int) -> None:
    store = SqliteStore(path)
    for number in range(count):
        store.write([entry(f"second_{number}")])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
