"""How a prompt's data must be handled: `DataRules`, and who meets them.

They come from a team, a policy, a rule and the request itself, and only ever add up: `stricter` of two is what both
demand. OpenRouter is asked to keep them with every request (`upstream/outgoing.py`); every other provider must have
been declared to.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from router.catalog.catalog import Deployment


@dataclass(frozen=True, slots=True)
class DataRules:
    """What is demanded; nothing by default."""

    zdr: bool = False  # zero data retention: nothing is kept once the answer is out
    deny_collection: bool = False  # nothing may be stored for training or the provider's own use
    regions: frozenset[str] | None = None  # processed in one of these; None: anywhere
    only: frozenset[str] | None = None  # seen by these providers alone, OpenRouter's slugs or our names; None: anyone
    ignore: frozenset[str] = frozenset()  # and never by these


NO_DATA_RULES = DataRules()


def stricter(first: DataRules, second: DataRules) -> DataRules:
    """What both demand."""
    if second is NO_DATA_RULES or second == first:
        return first
    if first is NO_DATA_RULES:
        return second
    return DataRules(
        zdr=first.zdr or second.zdr,
        deny_collection=first.deny_collection or second.deny_collection,
        regions=_in_both(first.regions, second.regions),
        only=_named_by_both(first.only, second.only),
        ignore=first.ignore | second.ignore,
    )


def unmet(rules: DataRules, deployment: Deployment) -> str | None:
    """Which demand the deployment does not meet, in a sentence; None if it meets all."""
    provider, data = deployment.provider, deployment.data
    if rules.regions is not None and data.region not in rules.regions:
        wanted = ", ".join(sorted(rules.regions)) or "no region at all"
        return f"its region is {data.region or 'not declared'} and the data rules want {wanted}"
    if rules.only is not None and not rules.only:
        return "no provider is left that both the policy and the request allow to see the data"
    if rules.only is not None and all(names(rules.ignore, each) for each in rules.only):
        allowed, kept_from = ", ".join(sorted(rules.only)), ", ".join(sorted(rules.ignore))
        return f"the data rules contradict each other: only {allowed} may see the data, and it is kept from {kept_from}"
    if provider.kind == "openrouter":
        return None  # the rest is asked of OpenRouter, which refuses if no provider behind it complies
    if rules.zdr and not data.keeps_nothing:
        return "it is not declared to keep nothing (zdr) and the data rules want that"
    if rules.deny_collection and data.may_collect and not data.keeps_nothing:
        return "it may collect data and the data rules deny that"
    if rules.only is not None and not names(rules.only, provider.name):
        return f"the data rules allow only {', '.join(sorted(rules.only))} to see the data"
    if names(rules.ignore, provider.name):
        return f"the data rules keep the data from {provider.name}"
    return None


def names(slugs: Iterable[str], slug: str) -> bool:
    """Whether one of `slugs` means the provider: `deepinfra` means all of its variants (openrouter.md §1.2)."""
    slug = slug.lower()
    return any(slug == each or slug.startswith(f"{each}/") for each in slugs)


def _in_both(first: frozenset[str] | None, second: frozenset[str] | None) -> frozenset[str] | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _named_by_both(first: frozenset[str] | None, second: frozenset[str] | None) -> frozenset[str] | None:
    """The providers that both lists mean: of a provider and one of its variants, the variant."""
    if first is None or second is None:
        return second if first is None else first
    return frozenset(each for each in first if names(second, each)) | frozenset(
        each for each in second if names(first, each)
    )
