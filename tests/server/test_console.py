"""The console is one page that can be read, that loads nothing, and that runs nothing whatever a name contains."""

from datetime import timedelta
from html.parser import HTMLParser

import pytest

from router.catalog.catalog import ModelName
from router.ledger import Outcome
from router.quotas import BudgetState, Per, ScopeId, Window
from router.server.console import Console
from router.storage.sqlite import SqliteStore
from tests.replacing import replace
from tests.server.asgi import get
from tests.server.conftest import NOW
from tests.storage.entries import attempt, entry

pytestmark = pytest.mark.anyio

EVIL = "<script>alert('x')</script>&\"'"
TODAY = Window(NOW, NOW + timedelta(days=1))
_VOID = {"meta", "input"}


class Page(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)
        if tag in ("td", "h2", "p"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "h2", "p"} & set(self.open):
            self.cells[-1] += data


def console(store: SqliteStore, *states: BudgetState) -> Console:
    return Console(store, budgets=lambda: list(states), now=lambda: NOW, version="0.1.0", config_version="0123456789ab")


async def shown(store: SqliteStore, *states: BudgetState) -> Page:
    answer = await get(console(store, *states), "/")
    assert answer.status == 200
    return Page(answer.body.decode())


async def test_an_empty_ledger_makes_a_page_that_says_what_would_stand_there(store: SqliteStore) -> None:
    page = await shown(store)

    assert page.cells == [
        "version 0.1.0 · configuration 0123456789ab · 2026-11-23 09:30:00 UTC",
        *("Budgets", "No budget is known: no team file has `budgets`, or the start is not complete."),
        *("Spend of the last 7 days", "No request was booked in these days. Older ones: penstock spend."),
        "Latest requests",
        "The ledger is empty. A request appears here when it is over and booked, within a second.",
    ]


async def test_the_page_shows_budgets_spend_and_requests(store: SqliteStore) -> None:
    month = BudgetState(
        ScopeId.of_team("search"),
        Per.MONTH,
        limit_nano_usd=10**9,
        spent_nano_usd=3 * 10**8,
        held_nano_usd=10**8,
        window=TODAY,
    )
    store.write(
        [
            entry("req_1", attempt(model=ModelName("openai/gpt-5.5")), at=NOW - timedelta(days=8)),
            entry("req_2", at=NOW - timedelta(days=1), outcome=Outcome.CLIENT_GONE, baseline_nano_usd=None),
        ]
    )

    page = await shown(store, month)

    assert page.cells[1:] == [
        "Budgets",
        *("search", "whole team", "month", "1.00", "0.30", "0.10", "40 % 40 %"),
        "Spend of the last 7 days",
        *("search", "deepseek/deepseek-v4-flash", "1", "1,000", "200", "0.000147"),
        "Latest requests",
        *("2026-11-22 09:30:00", "search", "auto", "balanced/code", "deepseek/deepseek-v4-flash"),
        *("client_gone", "0.000147", "–", "2.50"),
        *("2026-11-15 09:30:00", "search", "auto", "balanced/code", "openai/gpt-5.5", "ok"),
        *("0.000147", "0.011", "2.50"),
    ]


async def test_names_are_shown_as_text_and_never_as_markup(store: SqliteStore) -> None:
    store.write([entry("req_1", attempt(model=ModelName(EVIL)), at=NOW, team=EVIL, alias=EVIL)])

    page = await shown(
        store,
        BudgetState(ScopeId.of_team(EVIL), Per.DAY, limit_nano_usd=1, spent_nano_usd=0, held_nano_usd=0, window=TODAY),
    )

    assert page.cells.count(EVIL) == 1 + 2 + 3  # a budget; a line of spend; a request
    assert "script" not in {tag for tag, _ in page.elements}


async def test_the_page_loads_nothing_and_links_only_to_the_console(store: SqliteStore) -> None:
    store.write([entry(at=NOW)])
    answer = await get(console(store), "/")
    page = Page(answer.body.decode())

    assert {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "form", "object"} == set()
    assert {names["href"] for tag, names in page.elements if tag == "a"} == {"/", "/explain", "/explain?request=req_1"}
    assert not {"src", "action", "style", "onload"} & {name for _, names in page.elements for name in names}
    assert b"url(" not in answer.body
    assert b"//" not in answer.body.removeprefix(b"<!doctype html>")
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    )
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("limit", "spent", "share"), [(0, 0, "100"), (10, 25, "100"), (10**9, 1, "0"), (3, 2, "67")])
async def test_a_budgets_bar_stays_between_empty_and_full(
    store: SqliteStore, limit: int, spent: int, share: str
) -> None:
    page = await shown(
        store,
        BudgetState(ScopeId.of_team("ads"), Per.DAY, limit, spent, held_nano_usd=0, window=TODAY),
    )

    assert [names["value"] for tag, names in page.elements if tag == "meter"] == [share]


async def test_a_request_that_was_refused_is_shown_without_a_model(store: SqliteStore) -> None:
    store.write([replace(entry(at=NOW, outcome=Outcome.REFUSED), attempts=(), rule=None)])

    page = await shown(store)

    latest = page.cells.index("Latest requests")
    assert page.cells[latest + 4 : latest + 8] == ["balanced", "–", "refused", "0.00"]
