"""Whether models answer by the version that their figures of quality are of: `VersionsAnswered`.

Names move. A provider's list tells it, the operator does (`version` of a deployment), or only a reply, which names
another version than the one before. By the first two what was learned is dropped (`LivePrices`, `LearnedExperience`).
What a reply says may be a replica's or a rollout's, here one version and there the other: it is said, nothing dropped.
"""

import logging
from collections.abc import Callable

from router.catalog.catalog import Catalog, ModelName, ProviderName
from router.decision.facts import RequestProfile
from router.ledger import LedgerEntry

log = logging.getLogger("penstock.versions")

_MOST_KNOWN = 1_000  # versions, of all deployments: what a reply names is the provider's to choose


class VersionsAnswered:
    """Of one process."""

    def __init__(self, catalog: Catalog, *, unrated: Callable[[ModelName, ProviderName], None]) -> None:
        """`unrated` is told of every answer by a version that the figures are not of."""
        self._rated = {each.model.name: each.model.rated_version for each in catalog}
        self._unrated = unrated
        self._is_unrated: dict[tuple[ModelName, ProviderName, str], bool] = {}
        self._last: dict[tuple[ModelName, ProviderName], str] = {}  # that a deployment was first seen to answer by

    def recatalogued(self, catalog: Catalog) -> None:
        """Another configuration's catalog is in force: its figures may be of other versions."""
        self._rated = {each.model.name: each.model.rated_version for each in catalog}
        self._is_unrated.clear()

    def observe(self, entry: LedgerEntry, _: RequestProfile) -> None:
        """Look at the version that answered the request, if anybody did and it is known."""
        served = entry.served_by
        if served is None or served.version is None:
            return
        is_unrated = self._is_unrated.get((served.model, served.provider, served.version))
        if is_unrated is None:
            is_unrated = self._met(served.model, served.provider, served.version)
        if is_unrated:
            self._unrated(served.model, served.provider)

    def _met(self, model: ModelName, provider: ProviderName, version: str) -> bool:
        """Whether it is a version that the figures are not of; the log says what is new."""
        rated = self._rated.get(model)
        is_unrated = rated is not None and not _is_same(rated, version)
        if len(self._is_unrated) >= _MOST_KNOWN:
            return is_unrated
        self._is_unrated[model, provider, version] = is_unrated
        if is_unrated:
            log.warning("%s answers %s by version %.100s, and its figures are of %s", provider, model, version, rated)
        last, self._last[model, provider] = self._last.get((model, provider)), version
        if last is not None and not _is_same(last, version):
            log.warning("%s answers %s by version %.100s, and did by %.100s before", provider, model, version, last)
        return is_unrated


def _is_same(one: str, other: str) -> bool:
    """Whether two names of versions mean the same. OpenRouter's list has the maker before the name and the date without
    hyphens (`anthropic/claude-4.6-sonnet-20260217`); OpenAI's own names have it with (`gpt-4o-2024-05-13`)."""
    return one == other or _core(one) == _core(other)


def _core(version: str) -> str:
    return "".join(each for each in version.rpartition("/")[2].lower() if each.isalnum())
