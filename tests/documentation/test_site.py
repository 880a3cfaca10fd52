"""The site has every page, and its links lead where those of the checkout lead."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documentation.site import CHECKOUT, lay_out, linked


def navigated(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for value in entry.values():
            yield from navigated(value)
    elif isinstance(entry, list):
        for each in entry:
            yield from navigated(each)


def test_every_page_can_be_reached_from_the_navigation_and_every_entry_is_a_page(tmp_path: Path) -> None:
    lay_out(tmp_path)

    nav = set(navigated(tomllib.loads((tmp_path / "zensical.toml").read_text())["project"]["nav"]))
    pages = {path.relative_to(tmp_path / "docs").as_posix() for path in (tmp_path / "docs").rglob("*.md")}
    assert nav == pages


@pytest.mark.parametrize(
    ("page", "text", "on_the_site"),
    [
        ("README.md", "[money](docs/money.md#holds)", "[money](money.md#holds)"),
        ("docs/money.md", "[list](metrics.md)", "[list](metrics.md)"),
        ("docs/decisions/0001.md", "[back](../money.md)", "[back](../money.md)"),
        ("docs/money.md", "[start](../README.md)", "[start](index.md)"),
        ("docs/money.md", "[sets](../tests/evaluation/README.md)", "sets (`tests/evaluation/README.md`)"),
        ("README.md", "[`config/teams/*.yaml`](config/teams)", "`config/teams/*.yaml`"),
        ("README.md", "[all](docs/decisions)", "all"),
        ("README.md", "[them](https://example.org/a.md)", "[them](https://example.org/a.md)"),
        ("README.md", "[below](#try-it)", "[below](#try-it)"),
    ],
)
def test_links_are_made_to_fit_the_site(page: str, text: str, on_the_site: str) -> None:
    to = page if page.startswith("docs/") else "docs/index.md"

    assert linked(text, page, to=to) == on_the_site


def test_the_site_is_laid_out_again_in_place_of_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "site"
    (target / "docs").mkdir(parents=True)
    (target / "docs" / "old.md").write_text("old")

    lay_out(target)

    assert not (target / "docs" / "old.md").exists()
    assert (target / "docs" / "index.md").read_text().startswith("# Penstock")
    assert CHECKOUT not in target.parents
