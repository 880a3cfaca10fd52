"""What a server learns while it serves, learned again from the ledger in order of time."""

from collections.abc import Mapping
from typing import Protocol

from router.catalog.catalog import DeploymentId
from router.decision.facts import NO_EXPERIENCE, Conditions, Experience, RequestProfile
from router.ledger import LedgerEntry


class Learner(Protocol):
    """Answers for what no decision of then had asked: deployments that were no candidates."""

    @property
    def experience(self) -> Experience: ...

    def observe(self, entry: LedgerEntry, /) -> None:
        """Entries come in order of time."""
        ...


class PromptMemory(Protocol):
    """Which deployment has how much of a prompt in its cache, as `Warmth` in `learning`.

    A replay keeps two: one that is told where requests really went, and one where they would go now. Where the two
    agree, what was recorded holds; where they differ, the difference is the new configuration's doing.
    """

    def look_up(self, profile: RequestProfile, conditions: Conditions, /) -> Mapping[DeploymentId, int]:
        """Tokens that each deployment is likely to read from its cache."""
        ...

    def observe(self, entry: LedgerEntry, /) -> None:
        """Entries come in order of time."""
        ...


class NothingLearned:
    """Priors alone."""

    @property
    def experience(self) -> Experience:
        return NO_EXPERIENCE

    def observe(self, _: LedgerEntry) -> None:
        pass


class NoMemory:
    """No prompt is remembered anywhere."""

    def look_up(self, _: RequestProfile, __: Conditions) -> Mapping[DeploymentId, int]:
        return {}

    def observe(self, _: LedgerEntry) -> None:
        pass
