"""What a server learns while it serves, learned again from the ledger in order of time."""

from collections.abc import Sequence
from typing import Protocol

from router.catalog.catalog import Deployment
from router.decision.facts import Conditions, Experience, RequestProfile
from router.ledger import LedgerEntry


class Learner(Experience, Protocol):
    """Answers for what no decision of then had asked: deployments that were no candidates."""

    def observe(self, entry: LedgerEntry, /) -> None:
        """Entries come in order of time."""
        ...


class PromptMemory(Protocol):
    """Which deployment has how much of a prompt in its cache, as `Warmth` in `learning`.

    A replay keeps two: one that is told where requests really went, and one where they would go now. Where the two
    agree, what was recorded holds; where they differ, the difference is the new configuration's doing.
    """

    def foreseen(
        self, profile: RequestProfile, conditions: Conditions, candidates: Sequence[Deployment], /
    ) -> Conditions:
        """The conditions, with what caches are likely to hold now, and in the turns to come."""
        ...

    def observe(self, entry: LedgerEntry, /) -> None:
        """Entries come in order of time."""
        ...
