"""Names that one place of the configuration uses and another must define: models, providers, regions, policies and
aliases.

They are looked up in the files' plain data, not in validated sections, so that a misspelt key elsewhere in a file does
not hide a misspelt model.
"""

from collections.abc import Iterable, Iterator

from router.config.complaints import unknown
from router.config.yaml_source import Document
from router.errors import Problem

_MODELS_OF_A_TEAM = (
    ("banned_models", "*"),
    ("policies", "*", "shadow", "model"),
    ("baseline",),
    ("aliases", "*", "model"),
    ("policies", "*", "candidates", "*"),
    ("policies", "*", "banned_models", "*"),
    ("policies", "*", "rules", "*", "candidates", "*"),
)
_PROVIDERS_OF_A_TEAM = (
    ("banned_providers", "*"),
    ("only_providers", "*"),
    ("policies", "*", "banned_providers", "*"),
    ("policies", "*", "only_providers", "*"),
    ("policies", "*", "rules", "*", "only_providers", "*"),
)
_REGIONS_OF_A_TEAM = (
    ("data", "regions", "*"),
    ("policies", "*", "data", "regions", "*"),
    ("policies", "*", "rules", "*", "data", "regions", "*"),
)
_ALIASES_OF_RULES = (
    ("policies", "*", "rules", "*", "when", "alias"),
    ("policies", "*", "rules", "*", "when", "alias", "*"),
)


def names_in(document: Document | None, section: str) -> frozenset[str] | None:
    """The names a file defines in a section; None if that cannot be told, so that nobody is blamed for using one."""
    if document is None or document.is_faulty(()) or not isinstance(document.data, dict):
        return None
    entries = document.data.get(section)
    return frozenset(entries) if isinstance(entries, dict) and entries else None


def regions_in(main: Document | None, models: Document | None) -> frozenset[str] | None:
    """The regions that providers and deployments declare; None if that cannot be told."""
    if main is None or models is None or main.is_faulty(()) or models.is_faulty(()):
        return None
    declared = (
        *main.matching(("providers", "*", "region")),
        *models.matching(("models", "*", "deployments", "*", "region")),
    )
    return frozenset(name for _, name in declared if isinstance(name, str))


def problems_of_models(models: Document, providers: frozenset[str] | None) -> Iterator[Problem]:
    yield from _unknown(models, "provider", (("models", "*", "deployments", "*", "provider"),), providers)


def problems_of_team(
    team: Document, *, models: frozenset[str] | None, providers: frozenset[str] | None, regions: frozenset[str] | None
) -> Iterator[Problem]:
    yield from _unknown(team, "model", _MODELS_OF_A_TEAM, models)
    yield from _unknown(team, "provider", _PROVIDERS_OF_A_TEAM, providers)
    yield from _unknown(team, "region", _REGIONS_OF_A_TEAM, regions)
    if isinstance(team.data, dict):
        yield from _unknown(team, "policy", (("aliases", "*", "policy"),), names_in(team, "policies") or frozenset())
        yield from _unknown(team, "alias", _ALIASES_OF_RULES, names_in(team, "aliases"))


def _unknown(
    document: Document, what: str, patterns: Iterable[tuple[str, ...]], known: frozenset[str] | None
) -> Iterator[Problem]:
    if known is None:
        return
    for pattern in patterns:
        for path, name in document.matching(pattern):
            if isinstance(name, str) and name not in known:
                yield document.at_value(path, unknown(what, name, known))
