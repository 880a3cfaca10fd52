"""What `pip install penstock` brings, by the metadata of what is installed here."""

from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PENSTOCK = "penstock"


def runtime_set(*extras: str) -> Mapping[str, Distribution]:
    """Penstock and every distribution that it needs, with those of its extras that are named; by canonical name."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(f"{PENSTOCK}[{','.join(extras)}]")]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, wanted = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        found[name] = distribution(name)
        waiting += needs(found[name], wanted)
    return dict(sorted(found.items()))


def needs(installed: Distribution, extras: Iterable[str] = ()) -> list[Requirement]:
    """What it needs on this machine, and for its extras."""
    requirements = [Requirement(text) for text in installed.requires or ()]
    return [
        each
        for each in requirements
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]
