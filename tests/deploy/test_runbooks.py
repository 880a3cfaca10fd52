"""Every alert has a runbook; its queries find metrics that exist, its commands are commands that there are."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from router.cli.main import penstock
from tests.deploy.expressions import RUNBOOKS, alerts, existing, named
from tests.deploy.prometheus_server import CHECKOUT
from tests.deploy.test_rules import promtool

PAGES = sorted(RUNBOOKS.glob("Penstock*.md"))
_SECTIONS = ["What it means", "What to look at", "What to do", "When it is a false alarm"]
_ADMIN = re.compile(r"127\.0\.0\.1:800[01](/[a-z/]+)")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every `penstock ...` of a page, in blocks and in lines of text."""
    text = page.read_text(encoding="utf-8")
    lines = [line.rpartition("| ")[2] for block in blocks(page, "sh") for line in block.splitlines()]
    lines += [" ".join(each.split()) for each in re.findall(r"`(penstock [^`.]+(?:\.[^`]+)?)`", text)]
    yield from (shlex.split(line) for line in lines if line.startswith("penstock "))


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")

    assert {page.stem for page in PAGES} == {alert.name for alert in alerts()}
    assert {page.name for page in RUNBOOKS.iterdir()} == {page.name for page in PAGES} | {"README.md"}
    for alert in alerts():
        assert f"| [{alert.name}]({alert.name}.md) | {alert.labels['severity']} |" in index


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_answers_the_four_questions(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == _SECTIONS
    assert blocks(page, "promql")
    assert blocks(page, "sh")


def test_queries_of_runbooks_and_of_the_list_of_metrics_are_valid_and_name_what_exists(tmp_path: Path) -> None:
    queries = [query for page in (*PAGES, CHECKOUT / "docs" / "metrics.md") for query in blocks(page, "promql")]
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))

    checked = promtool("check", "rules", str(file))

    assert checked.returncode == 0, checked.stderr
    assert {name for query in queries for name in named(query)} <= existing()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_a_runbook_exist_with_their_options(page: Path) -> None:
    for line in commands(page):
        words = line[1:]
        command: click.Command | None = penstock
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(penstock), words.pop(0))
        assert command is not None, line
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_addresses_of_runbooks_are_answered() -> None:
    operations = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")

    paths = {path for page in PAGES for path in _ADMIN.findall(page.read_text(encoding="utf-8"))}
    assert paths
    assert [path for path in sorted(paths) if path not in operations] == []
