"""The pages of docs/reference say what the code says."""

import re
from pathlib import Path

import pytest

from router.cli.main import penstock
from tests.documentation import reference

_HEADER = re.compile(r'"((?:x-|openai-|idempoten|retry-after)[a-z0-9-]*[a-z0-9])"')
_TOLD = re.compile(r"^\| (`[^|]*`) \|", re.MULTILINE)


@pytest.mark.parametrize("name", list(reference.GENERATED))
def test_a_page_is_what_the_code_makes_of_it(name: str) -> None:
    assert (reference.PAGES / name).read_text(encoding="utf-8") == reference.GENERATED[name](), (
        "the page is old; renew it: python -m tests.documentation.reference"
    )


def test_every_code_that_says_exactly_what_is_wrong_is_explained_and_no_other() -> None:
    raised = reference.exact_codes_raised() - {"error", "ok"}

    assert raised == reference.exact_codes_told()


def test_every_header_that_the_code_names_is_explained() -> None:
    page = (reference.PAGES / "headers.md").read_text(encoding="utf-8")
    rooms = ("server", "gateway", "wire", "upstream")
    named = {
        header
        for room in rooms
        for path in (Path(reference.CHECKOUT) / "router" / room).rglob("*.py")
        for header in _HEADER.findall(path.read_text(encoding="utf-8"))
    }

    told = {name.strip("` ") for names in _TOLD.findall(page) for name in names.split(",")}
    assert named - told == set()


def test_every_command_is_on_the_page_with_an_example() -> None:
    page = (reference.PAGES / "commands.md").read_text(encoding="utf-8")

    told = re.findall(r"^## penstock (.*)$", page, re.MULTILINE)
    assert {each.split()[0] for each in told} >= set(penstock.commands)
    assert page.count("Example:") >= len(told)
