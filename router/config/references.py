"""Names that one place of the configuration uses and another must define: models, providers, regions, policies and
aliases.

They are looked up in the files' plain data, not in validated sections, so that a misspelt key elsewhere in a file does
not hide a misspelt model.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from router.catalog.catalog import Capability, Effort
from router.config.sentences import hint, unknown
from router.config.yaml_source import Document
from router.errors import Problem

_MODELS_OF_A_TEAM = (
    ("banned_models", "*"),
    ("baseline",),
    ("policies", "*", "banned_models", "*"),
)
_ARMS_OF_A_TEAM = (  # models, with @effort or without
    ("policies", "*", "shadow", "model"),
    ("aliases", "*", "model"),
    ("policies", "*", "candidates", "*"),
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


def efforts_in(models: Document | None) -> Mapping[str, tuple[str, ...] | None]:
    """By model, the efforts it can be asked for, weakest first; None where that cannot be told."""
    entries = models.data.get("models") if models is not None and isinstance(models.data, dict) else None
    if models is None or not isinstance(entries, dict):
        return {}
    return {name: _efforts_of(models, name) for name in entries}


def _efforts_of(models: Document, name: str) -> tuple[str, ...] | None:
    capabilities = _only(models, ("models", name, "capabilities"))
    if capabilities is None or (isinstance(capabilities, list) and Capability.REASONING not in capabilities):
        return ()
    listed = _only(models, ("models", name, "reasoning", "efforts"))
    if listed is not None and not isinstance(listed, list):
        return None
    return tuple(effort.value for effort in Effort if listed is None or effort.value in listed)


def _only(document: Document, path: tuple[str, ...]) -> object:
    return next((value for _, value in document.matching(path)), None)


def problems_of_models(models: Document, providers: frozenset[str] | None) -> Iterator[Problem]:
    yield from _unknown(models, "provider", (("models", "*", "deployments", "*", "provider"),), providers)
    efforts = efforts_in(models)
    for path, cells in models.matching(("models", "*", "quality", "*")):
        if isinstance(cells, dict) and "score" not in cells:
            known = efforts.get(str(path[1]))
            for effort in cells:
                if effort in _EFFORTS and known is not None and effort not in known:
                    yield models.at_key((*path, effort), _unknown_effort(str(path[1]), effort, known))


def problems_of_team(
    team: Document,
    *,
    models: frozenset[str] | None,
    efforts: Mapping[str, tuple[str, ...] | None],
    providers: frozenset[str] | None,
    regions: frozenset[str] | None,
) -> Iterator[Problem]:
    yield from _unknown(team, "model", _MODELS_OF_A_TEAM, models)
    for pattern in _ARMS_OF_A_TEAM:
        for path, name in team.matching(pattern):
            message = _wrong_arm(name, models, efforts) if isinstance(name, str) else None
            if message is not None:
                yield team.at_value(path, message)
    for path, _ in team.matching(("quality", "*")):
        message = _wrong_arm(str(path[-1]), models, efforts)
        if message is not None:
            yield team.at_key(path, message)
    yield from _unknown(team, "provider", _PROVIDERS_OF_A_TEAM, providers)
    yield from _unknown(team, "region", _REGIONS_OF_A_TEAM, regions)
    if isinstance(team.data, dict):
        yield from _unknown(team, "policy", (("aliases", "*", "policy"),), names_in(team, "policies") or frozenset())
        yield from _unknown(team, "alias", _ALIASES_OF_RULES, names_in(team, "aliases"))


_EFFORTS = frozenset(effort.value for effort in Effort)


def _wrong_arm(name: str, models: frozenset[str] | None, efforts: Mapping[str, tuple[str, ...] | None]) -> str | None:
    """What is wrong with `model` or `model@effort`, if anything."""
    model, at, effort = name.partition("@")
    if models is not None and model not in models:
        return unknown("model", model, models)
    known = efforts.get(model)
    if not at or known is None or effort in known:
        return None
    return _unknown_effort(model, effort, known)


def _unknown_effort(model: str, effort: str, known: Sequence[str]) -> str:
    if not known:
        return f"{model} cannot be asked to think: it lacks the capability reasoning; leave out '@{effort}'"
    return f"unknown effort '{effort}' of {model}; it knows {', '.join(known)}{hint(effort, known)}"


def _unknown(
    document: Document, what: str, patterns: Iterable[tuple[str, ...]], known: frozenset[str] | None
) -> Iterator[Problem]:
    if known is None:
        return
    for pattern in patterns:
        for path, name in document.matching(pattern):
            if isinstance(name, str) and name not in known:
                yield document.at_value(path, unknown(what, name, known))
