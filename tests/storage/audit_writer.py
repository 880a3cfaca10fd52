"""A process that writes into the audit log: `python -m tests.storage.audit_writer PLACE DIRECTORY COUNT`."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from router.audit import Act, Chain
from router.storage.audit_trail import AuditTrail, HeadFile
from tests.storage.places import opened


def main(place: str, directory: Path, count: int) -> None:
    at = datetime(2026, 11, 30, tzinfo=UTC)
    with opened(place) as store:
        trail = AuditTrail(store, Chain(b"pepper"), head_file=HeadFile(directory / "audit.head"), now=lambda: at)
        for number in range(count):
            trail.write(trail.entry("another process", Act.KEY_CREATED, subject=str(number)))
            trail.look()
        assert trail.is_intact


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
