"""Answers by another version than figures of quality are of: each counted, each version said once."""

import pytest

from router.catalog.catalog import ModelName, ProviderName
from router.gateway.versions import VersionsAnswered
from router.ledger import LedgerEntry, Outcome
from tests.decision.builders import CHAT, always, at, catalog, model, per_mtok
from tests.replacing import replace
from tests.storage.entries import FLASH, GPT, OPENROUTER, attempt, entry

RATED = "deepseek/deepseek-v4-flash-20260423"
PRICES = always(per_mtok("1", "2"))
CATALOG = catalog(
    at("openrouter", replace(model(FLASH), rated_version=RATED), PRICES), at("openrouter", model(GPT), PRICES)
)


class Counted:
    """What was counted of answers by these versions, in their order."""

    def __init__(self) -> None:
        self.unrated: list[tuple[ModelName, ProviderName]] = []
        self._answered = VersionsAnswered(CATALOG, unrated=lambda *whose: self.unrated.append(whose))

    def by(self, *versions: str | None, of: ModelName = FLASH) -> "Counted":
        for version in versions:
            self.ends(entry("req_1", replace(attempt(model=of), version=version)))
        return self

    def ends(self, booked: LedgerEntry) -> None:
        self._answered.observe(booked, CHAT)


@pytest.mark.parametrize("version", [None, RATED, "deepseek-v4-flash-20260423", "deepseek-v4-flash-2026-04-23"])
def test_an_answer_by_the_version_that_was_rated_or_by_nobody_knows_which_is_none(
    version: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert Counted().by(version).unrated == []
    assert caplog.messages == []


def test_each_answer_by_another_version_is_counted_and_the_version_said_once(caplog: pytest.LogCaptureFixture) -> None:
    counted = Counted().by("v4.1", "v4.1", RATED, "v4.1")

    assert counted.unrated == [(FLASH, OPENROUTER)] * 3
    assert caplog.messages == [
        f"openrouter answers {FLASH} by version v4.1, and its figures are of {RATED}",
        f"openrouter answers {FLASH} by version {RATED}, and did by v4.1 before",
    ]


def test_of_a_model_without_a_rated_version_it_is_said_that_another_one_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted = Counted().by("gpt-5.4-2026-03-05", "openai/gpt-5.4-20260305", "gpt-5.4-2026-09-01", of=GPT)

    assert counted.unrated == []
    assert caplog.messages == [
        f"openrouter answers {GPT} by version gpt-5.4-2026-09-01, and did by openai/gpt-5.4-20260305 before"
    ]


def test_a_request_that_nobody_answered_says_nothing() -> None:
    counted = Counted()

    counted.ends(entry("req_1", replace(attempt(outcome="upstream_timeout"), version="v4.1"), outcome=Outcome.FAILED))

    assert counted.unrated == []


def test_a_provider_that_names_ever_new_versions_fills_neither_the_log_nor_the_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted = Counted().by(*(f"v{number}" for number in range(2_000)))

    assert len(counted.unrated) == 2_000
    assert len(caplog.messages) == 1_999  # of the first thousand: two each, but for the first


def test_another_catalog_has_figures_of_other_versions() -> None:
    counted = Counted().by("deepseek-v4-flash-20270101")
    rated = replace(model(FLASH), rated_version="deepseek/deepseek-v4-flash-20270101")

    counted._answered.recatalogued(catalog(at("openrouter", rated, PRICES)))

    assert len(counted.by("deepseek-v4-flash-20270101").unrated) == 1
    assert len(counted.by("deepseek-v4-flash-20260423").unrated) == 2
