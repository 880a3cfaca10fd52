"""Each fault of the sandbox, streamed and whole, and a configuration that stands in the way of none."""

from collections.abc import Iterator
from pathlib import Path

from router.sandbox.faults import FAULTS, Break, Fault

# Nothing comes back to ask by, so the hold stays booked: see test_books.
_NOTHING_TO_ASK_BY = {Break.DROP_BEFORE_HEADERS, Break.RESET_BEFORE_HEADERS}
_NOTHING_TO_ASK_BY_WHOLE = {Break.DROP, Break.RESET}


def every_play() -> Iterator[tuple[Fault, bool]]:
    """Every fault whose cost can be known, and whether it is met by a stream."""
    for fault in FAULTS.values():
        if fault.breaks in (Break.STALL, Break.STALL_BEFORE_HEADERS) or fault.breaks in _NOTHING_TO_ASK_BY:
            continue
        yield fault, True
        if fault.breaks not in _NOTHING_TO_ASK_BY_WHOLE:
            yield fault, False


def without_rate_limits(config: Path) -> None:
    """No team is told to wait."""
    for team in (config / "teams").glob("*.yaml"):
        text = team.read_text().replace("requests_per_minute: ", "requests_per_minute: 100")
        team.write_text(text.replace("tokens_per_minute: ", "tokens_per_minute: 1000"))


def without_breakers(config: Path) -> None:
    """One fault's pause or breaker keeps no other request from the provider."""
    main = config / "penstock.yaml"
    text = main.read_text()
    assert "\nbreakers: true\n" in text
    main.write_text(text.replace("\nbreakers: true\n", "\nbreakers: false\n"))
