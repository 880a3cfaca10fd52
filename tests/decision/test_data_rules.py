"""How data must be handled: demands add up, and only who meets all of them may see the prompt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import DataHandling, Deployment, Provider, ProviderKind, ProviderName
from router.decision.data_rules import NO_DATA_RULES, DataRules, names, stricter, unmet
from tests.decision.builders import always, at, model, per_mtok
from tests.replacing import replace

SLUGS = ("deepinfra", "deepinfra/fp8", "azure", "local")
slugs = st.frozensets(st.sampled_from(SLUGS))
rules = st.builds(
    DataRules,
    zdr=st.booleans(),
    deny_collection=st.booleans(),
    regions=st.none() | st.frozensets(st.sampled_from(["eu", "us"])),
    only=st.none() | slugs,
    ignore=slugs,
)
handling = st.builds(
    DataHandling, keeps_nothing=st.booleans(), may_collect=st.booleans(), region=st.sampled_from([None, "eu", "us"])
)
kinds: st.SearchStrategy[ProviderKind] = st.sampled_from(["openrouter", "deepseek", "openai_compatible"])


def hosted(data: DataHandling, *, kind: ProviderKind = "openai_compatible", name: str = "local") -> Deployment:
    somewhere = at(name, model("m"), always(per_mtok("1", "1")))
    return replace(somewhere, provider=Provider(ProviderName(name), kind, "http://x.example"), data=data)


deployments = st.builds(hosted, handling, kind=kinds, name=st.sampled_from(["local", "azure", "openrouter"]))


@given(rules, rules, deployments)
def test_who_meets_two_demands_at_once_meets_each(first: DataRules, second: DataRules, deployment: Deployment) -> None:
    if unmet(stricter(first, second), deployment) is None:
        assert unmet(first, deployment) is None
        assert unmet(second, deployment) is None


@given(rules, rules)
def test_it_does_not_matter_who_demands_first(first: DataRules, second: DataRules) -> None:
    assert stricter(first, second) == stricter(second, first)
    assert stricter(first, first) == first
    assert stricter(first, NO_DATA_RULES) == first


@given(slugs, slugs, st.sampled_from([*SLUGS, "deepinfra/bf16", "azure/eu", "other"]))
def test_a_provider_is_named_by_two_lists_together_only_if_by_each(
    first: frozenset[str], second: frozenset[str], slug: str
) -> None:
    both = stricter(DataRules(only=first), DataRules(only=second)).only

    assert both is not None
    assert names(both, slug) == (names(first, slug) and names(second, slug))


@pytest.mark.parametrize(
    ("demanded", "data", "why"),
    [
        (NO_DATA_RULES, DataHandling(), None),
        (DataRules(zdr=True), DataHandling(), "it is not declared to keep nothing (zdr) and the data rules want that"),
        (DataRules(zdr=True), DataHandling(keeps_nothing=True), None),
        (DataRules(deny_collection=True), DataHandling(), "it may collect data and the data rules deny that"),
        (DataRules(deny_collection=True), DataHandling(may_collect=False), None),
        (DataRules(deny_collection=True), DataHandling(keeps_nothing=True), None),
        (
            DataRules(regions=frozenset({"eu"})),
            DataHandling(),
            "its region is not declared and the data rules want eu",
        ),
        (
            DataRules(regions=frozenset({"eu"})),
            DataHandling(region="us"),
            "its region is us and the data rules want eu",
        ),
        (DataRules(regions=frozenset({"eu", "us"})), DataHandling(region="us"), None),
        (DataRules(only=frozenset({"azure"})), DataHandling(), "the data rules allow only azure to see the data"),
        (DataRules(only=frozenset({"azure", "local"})), DataHandling(), None),
        (DataRules(ignore=frozenset({"local"})), DataHandling(), "the data rules keep the data from local"),
    ],
)
def test_a_provider_of_ones_own_meets_what_it_is_declared_to(
    demanded: DataRules, data: DataHandling, why: str | None
) -> None:
    assert unmet(demanded, hosted(data)) == why


def test_openrouter_is_asked_and_only_its_region_must_be_declared() -> None:
    asked = DataRules(zdr=True, deny_collection=True, only=frozenset({"azure"}), ignore=frozenset({"deepinfra"}))
    openrouter = hosted(DataHandling(), kind="openrouter", name="openrouter")

    assert unmet(asked, openrouter) is None
    assert unmet(replace(asked, regions=frozenset({"eu"})), openrouter) is not None
    assert unmet(replace(asked, only=frozenset()), openrouter) is not None


def test_openrouter_is_not_asked_for_what_nobody_behind_it_can_meet() -> None:
    asked = DataRules(only=frozenset({"azure", "azure/eu"}), ignore=frozenset({"azure", "novita"}))

    why = unmet(asked, hosted(DataHandling(), kind="openrouter", name="openrouter"))

    assert why is not None
    assert "only azure, azure/eu may see the data, and it is kept from azure, novita" in why
